//! The schedule: which deliveries are on it, who may claim them, and that it costs other deliveries nothing.
//! What only SQLite does.

use super::schedule_suite::*;
use super::*;
use crate::journal::sqlite::schedule::due_sql;
use crate::journal::statements;

#[test]
fn schedule_and_owners_are_read_by_index() {
    let bench = Bench::new();
    let journal = bench.open(1);
    let plan = |sql: &str| -> String {
        let mut statement = journal
            .conn
            .prepare(&format!("EXPLAIN QUERY PLAN {}", for_sqlite(sql)))
            .unwrap();
        let parameters =
            rusqlite::params_from_iter(vec![rusqlite::types::Null; statement.parameter_count()]);
        let steps = statement
            .query_map(parameters, |row| row.get::<_, String>(3))
            .unwrap();
        steps
            .collect::<rusqlite::Result<Vec<_>>>()
            .unwrap()
            .join("\n")
    };
    for (forwards, index) in [(false, "deliveries_due"), (true, "deliveries_due_forwards")] {
        let due = plan(&due_sql(forwards));
        let searches: Vec<&str> = due
            .lines()
            .filter(|line| line.contains("deliveries"))
            .collect();
        let by_index = |how: &str| format!("SEARCH deliveries USING INDEX {index} ({how})");
        let expected = [
            "next_attempt_at=? AND id>?",
            "next_attempt_at>? AND next_attempt_at<?",
        ];
        assert_eq!(searches, expected.map(by_index), "{due}");
    }
    assert_eq!(
        plan(&statements::next_due(at(0)).sql),
        "SEARCH deliveries USING INDEX deliveries_due (next_attempt_at>?)"
    );
    let counted = plan(&statements::scheduled_to("", true).sql);
    for index in ["deliveries_due", "deliveries_in_sequence"] {
        let search = format!("SEARCH deliveries USING INDEX {index} ");
        assert!(counted.contains(&search), "{counted}");
    }
    assert_eq!(
        plan(&statements::in_progress().sql),
        "SCAN deliveries USING INDEX deliveries_in_progress"
    );
}

/// How many pages `change` writes to an empty WAL.
fn pages_written(bench: &Bench, change: impl FnOnce(&SqliteJournal)) -> usize {
    bench
        .raw()
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
    let journal = bench.open(1);
    journal
        .conn
        .pragma_update(None, "wal_autocheckpoint", 0)
        .unwrap();
    let pages =
        || wal_frames(&std::fs::read(with_suffix(&bench.path(), "-wal")).unwrap_or_default()).len();
    let before = pages();
    change(&journal);
    pages() - before
}

#[test]
fn unscheduled_delivery_does_not_write_the_schedule_index() {
    let bench = Bench::new();
    drop(accept(&bench.open(1), T0));
    let fire = |journal: &SqliteJournal| {
        let id = accept(journal, T0).id;
        finish(journal, id, 1, retry(at(60), at(120)));
        journal
            .begin_attempt(id, ClaimCondition::Owned, &attempt(at(60)))
            .unwrap();
        journal
            .conn
            .execute(
                "UPDATE deliveries SET status = 'delivered', owner = NULL, next_attempt_at = NULL",
                [],
            )
            .unwrap();
    };
    let with = pages_written(&bench, fire);
    bench
        .raw()
        .execute_batch("DROP INDEX deliveries_due")
        .unwrap();
    assert_eq!(with, pages_written(&bench, fire));
}
