//! Lists: the SQL selects the same deliveries as [`matches`], in order, and uses the indexes.
//! What only SQLite does.

use super::*;
use crate::delivery::Status;
use crate::delivery::filter::Filter;
#[test]
fn failed_list_uses_its_index_with_every_filter() {
    let bench = Bench::new();
    let journal = bench.open(1);
    let plan = |list, filter| {
        let query = Query {
            list,
            filter,
            limit: Some(50),
        };
        journal.plan(&query, None)
    };
    let along = "SCAN deliveries USING INDEX deliveries_failed";
    assert_eq!(plan(DeliveryList::Failed, Filter::default()), along);
    let narrowed = Filter {
        event_type: Some("account".into()),
        http_status: Some("5xx".parse().unwrap()),
        error: Some(ErrorKind::Status),
        ..Filter::default()
    };
    assert_eq!(plan(DeliveryList::Failed, narrowed), along);
    let since = Filter {
        since: Some(T0),
        ..Filter::default()
    };
    assert_eq!(plan(DeliveryList::Failed, since.clone()), along);
    let between = Filter {
        before: Some(T0),
        ..since
    };
    assert_eq!(plan(DeliveryList::Failed, between), along);
    for list in [
        DeliveryList::All(None),
        DeliveryList::All(Some(Status::Delivered)),
    ] {
        assert_eq!(
            plan(list, Filter::default()),
            "SCAN deliveries",
            "newest first is the reverse order of the table"
        );
    }
}
