//! Imported deliveries: each is added once and recognised by its uuid.
//! What only SQLite does.

use super::import_suite::*;
use super::*;

#[test]
fn an_import_that_fails_keeps_what_it_has_imported() {
    let bench = Bench::new();
    let mut journal = bench.open_fast(1);
    journal.pace.slice_time = Duration::ZERO;
    assert_eq!(import(&journal, &["a"]), 1);
    bench
        .raw()
        .execute_batch(
            "CREATE TRIGGER fails BEFORE INSERT ON deliveries WHEN NEW.uuid = 'c'
             BEGIN SELECT RAISE(ABORT, 'no more'); END",
        )
        .unwrap();
    let (all, result) = try_import(&journal, &["a", "b", "c", "d"]);
    assert!(result.is_err());
    let (done, changed) = (2, 1);
    assert_eq!(all, Slice { done, changed });
    assert!(journal.delivery_by_uuid("b").unwrap().is_some());
}
