//! Pages of deliveries, newest first, and counts by status.
//! What only SQLite does.

use super::*;
use crate::journal::{DeliveryList, Query};

#[test]
fn a_page_of_the_failed_list_reads_no_more_than_it_must() {
    let bench = Bench::new();
    let journal = bench.open_fast(1);
    let query = Query {
        list: DeliveryList::NewestFailed,
        ..Query::all(None)
    };
    let after = Cursor {
        created_at: T0,
        id: 1,
    };
    let plan = journal.plan(&query, Some(after));
    assert!(
        plan.contains("deliveries_failed (created_at<?)"),
        "{plan:?}"
    );
    assert!(!plan.contains("TEMP B-TREE"), "{plan:?}");
}
