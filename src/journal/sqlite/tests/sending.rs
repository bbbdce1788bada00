//! Accept, begin, finish: each field is read as it was written, and no secret is stored.
//! What only SQLite does.

use super::sending_suite::*;
use super::*;

#[test]
fn what_a_method_wrote_is_one_commit() {
    let bench = Bench::new();
    let journal = bench.open(1);
    // Keeps SQLite from restarting the WAL, which would hide commits.
    let reader = bench.raw();
    reader
        .execute_batch("BEGIN; SELECT count(*) FROM deliveries")
        .unwrap();
    let commits = |run: &dyn Fn()| {
        let before = commits_in_wal(&bench.path());
        run();
        commits_in_wal(&bench.path()) - before
    };
    assert_eq!(commits(&|| drop(accept(&journal, T0))), 1);
    let again = retry(at(60), at(120));
    assert_eq!(
        commits(&|| journal
            .finish_attempt(1, 1, Duration::ZERO, &refusal(500), again)
            .map(drop)
            .unwrap()),
        1
    );
    let begin = || {
        journal
            .begin_attempt(1, ClaimCondition::Owned, &attempt(at(60)))
            .unwrap()
    };
    assert_eq!(commits(&|| assert_eq!(begin(), Some(2))), 1);
    assert_eq!(
        commits(&|| journal
            .finish_attempt(1, 2, Duration::ZERO, &refusal(500), again)
            .map(drop)
            .unwrap()),
        1
    );
    assert_eq!(commits(&|| journal.interrupt(1).unwrap()), 1);
}

#[test]
fn no_file_of_the_journal_holds_a_byte_of_a_literal_secret() {
    let bench = Bench::new();
    let journal = bench.open(1);
    let target = full_target();
    let new = NewDelivery {
        target: target.clone(),
        ..new_delivery(b"<event>MARKER-IN-THE-EVENT</event>")
    };
    let id = journal.accept(&new, &attempt(T0)).unwrap().id;
    journal
        .finish_attempt(id, 1, Duration::ZERO, &refusal(500), NextStep::Failed)
        .unwrap();
    let mut seen = Vec::new();
    let mut marked = false;
    for file in std::fs::read_dir(bench.folder.path()).unwrap() {
        let file = file.unwrap();
        let bytes = std::fs::read(file.path()).unwrap();
        let holds = |needle: &str| {
            bytes
                .windows(needle.len())
                .any(|window| window == needle.as_bytes())
        };
        assert!(!holds(CANARY), "{:?}", file.path());
        marked |= holds("MARKER-IN-THE-EVENT");
        seen.push(file.file_name().into_string().unwrap());
    }
    seen.sort();
    assert_eq!(seen, ["journal.db", "journal.db-shm", "journal.db-wal"]);
    assert!(marked, "the search itself works");
}
