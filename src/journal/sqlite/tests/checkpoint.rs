//! What lies where: a new journal is whole in its file, and what an attempt found in the log it moves there.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::journal::Query;
use crate::journal::sqlite::create::create_by_another_name;
use crate::journal::sqlite::schema::VERSION;
use crate::journal::store::Next;

fn log_length(bench: &Bench) -> u64 {
    std::fs::metadata(beside(&bench.path(), "-wal")).map_or(0, |log| log.len())
}

/// One attempt, from opening to outcome, as one run of the program makes it.
fn fire(path: &Path) {
    let journal = open(path).unwrap();
    let id = accept(&journal, T0).id;
    journal
        .finish_attempt(id, 1, Duration::ZERO, &success(), Next::Delivered)
        .unwrap();
}

#[test]
fn a_new_journal_is_whole_in_its_file_and_nothing_else_is_left_beside_it() {
    let bench = Bench::new();
    let journal = bench.open(1);
    assert_eq!(log_length(&bench), 0);
    let file = std::fs::read(bench.path()).unwrap();
    assert_eq!(
        (&file[18..20], &file[60..64]),
        (
            &[2, 2][..],
            &u32::try_from(VERSION).unwrap().to_be_bytes()[..]
        )
    );
    assert_eq!(&file[68..72], b"hkfr");
    assert!(journal.check().unwrap().problems.is_empty());
    let mut names: Vec<_> = std::fs::read_dir(bench.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["journal.db", "journal.db-shm", "journal.db-wal"]);
}

#[test]
fn a_journal_made_at_once_has_the_tables_of_one_made_in_place() {
    let tables = |bench: &Bench| -> Vec<(String, Option<String>)> {
        let raw = bench.raw();
        let mut statement = raw
            .prepare("SELECT name, sql FROM sqlite_schema ORDER BY name")
            .unwrap();
        let rows = statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        rows.map(Result::unwrap).collect()
    };
    let (at_once, in_place) = (Bench::new(), Bench::new());
    std::fs::write(in_place.path(), "").unwrap();
    for bench in [&at_once, &in_place] {
        drop(bench.open(1));
    }
    assert!(log_length(&at_once) == 0 && log_length(&in_place) > 0);
    assert_eq!(tables(&at_once), tables(&in_place));
}

#[test]
fn where_no_file_can_be_without_a_name_a_new_journal_has_another_one_first() {
    let bench = Bench::new();
    drop(create_by_another_name(&bench.path()).unwrap());
    let mode = std::fs::metadata(bench.path())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o600);
    let before = std::fs::read(bench.path()).unwrap();
    assert!(
        create_by_another_name(&bench.path()).is_none(),
        "never over what is there"
    );
    assert_eq!(std::fs::read(bench.path()).unwrap(), before);
    assert_eq!(std::fs::read_dir(bench.folder.path()).unwrap().count(), 1);
    fire(&bench.path());
    assert_eq!(bench.open(1).count(&Query::all(None)).unwrap(), 1);
}

#[test]
fn what_an_earlier_journal_left_beside_it_does_not_get_into_a_new_one() {
    let bench = Bench::new();
    (0..5).for_each(|n| drop(accept_event(&bench.open(1), at(n), &[b'x'; 10_000])));
    assert!(log_length(&bench) > 0);
    std::fs::remove_file(bench.path()).unwrap();
    let journal = bench.open(1);
    assert_eq!(journal.count(&Query::all(None)).unwrap(), 0);
    assert_eq!(accept(&journal, T0).id, 1);
    assert!(journal.check().unwrap().problems.is_empty());

    // A rollback journal that was under way: its first page would be written back.
    let bench = Bench::new();
    let raw = bench.raw();
    raw.execute_batch("CREATE TABLE a (b); INSERT INTO a VALUES (1); BEGIN; UPDATE a SET b = 2")
        .unwrap();
    raw.cache_flush().unwrap();
    let hot = std::fs::read(beside(&bench.path(), "-journal")).unwrap();
    drop(raw);
    std::fs::remove_file(bench.path()).unwrap();
    std::fs::write(beside(&bench.path(), "-journal"), hot).unwrap();
    let journal = bench.open(1);
    assert_eq!(accept(&journal, T0).id, 1);
    assert!(journal.check().unwrap().problems.is_empty());
}

#[test]
fn every_second_attempt_moves_the_log_also_by_way_of_a_link() {
    let bench = Bench::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("link.db");
    std::os::unix::fs::symlink(bench.path(), &link).unwrap();
    drop(bench.open(1));
    for round in 1..=3 {
        fire(&link);
        assert!(log_length(&bench) > 0, "round {round}");
        fire(&link);
        assert_eq!(log_length(&bench), 0, "round {round}");
    }
    let journal = bench.open(1);
    assert_eq!(journal.count(&Query::all(None)).unwrap(), 6);
    assert!(journal.check().unwrap().problems.is_empty());
}

#[test]
fn within_one_run_the_log_is_moved_by_every_second_attempt_too() {
    let bench = Bench::new();
    let journal = bench.open(1);
    let lengths: Vec<bool> = (1..=4)
        .map(|n| {
            let id = accept(&journal, at(n)).id;
            journal
                .finish_attempt(id, 1, Duration::ZERO, &refusal(503), Next::Failed)
                .unwrap();
            log_length(&bench) > 0
        })
        .collect();
    assert_eq!(lengths, [true, false, true, false]);
}

#[test]
fn while_another_reads_nothing_is_moved_and_nothing_is_lost() {
    let bench = Bench::new();
    fire(&bench.path());
    let reader = bench.raw();
    reader
        .execute_batch("BEGIN; SELECT count(*) FROM deliveries")
        .unwrap();
    fire(&bench.path());
    assert!(log_length(&bench) > 0);
    reader.execute_batch("ROLLBACK").unwrap();
    fire(&bench.path());
    assert_eq!(log_length(&bench), 0);
    assert_eq!(bench.open(1).count(&Query::all(None)).unwrap(), 3);
}
