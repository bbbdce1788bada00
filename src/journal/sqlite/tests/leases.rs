//! Leases: which process may send, how it loses a lease, and which results it can record afterwards.
//! What only SQLite does.

use super::leases_suite::*;
use super::*;
use crate::delivery::Status;

#[test]
fn a_process_with_a_fast_wall_clock_takes_nothing_over() {
    let bench = Bench::new();
    let one = bench.open(1);
    let fast = bench.host.process_ahead(2, Duration::from_secs(180));
    let fast = SqliteJournal::open(&bench.path(), fast).unwrap();
    let id = accept(&one, T0).id;
    assert_eq!(fast.release_dead(at(89)).unwrap(), 0);
    assert_eq!(read(&one, id).0.status, Status::Pending);
    assert!(one.renew(id, at(170)).unwrap());
    assert_eq!(fast.release_dead(at(169)).unwrap(), 0);
    assert_eq!(fast.release_dead(at(171)).unwrap(), 1);
    // The leases of the fast process last as long as those of others.
    let id = accept(&fast, T0).id;
    assert_eq!(one.release_dead(at(89)).unwrap(), 0);
    assert_eq!(one.release_dead(at(91)).unwrap(), 1);
    assert_eq!(read(&one, id).0.status, Status::Interrupted);
}

#[test]
fn outcome_in_a_removed_journal_is_not_reported_as_recorded() {
    let bench = Bench::new();
    let one = bench.open(1);
    let id = accept(&one, T0).id;
    std::fs::remove_file(bench.path()).unwrap();
    let removed = one
        .finish_attempt(id, 1, Duration::ZERO, &success(), NextStep::Delivered)
        .unwrap_err();
    assert!(
        removed
            .to_string()
            .ends_with("the file was removed or replaced"),
        "{removed}"
    );
}
