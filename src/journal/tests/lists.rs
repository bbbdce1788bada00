//! Lists: the SQL selects the same deliveries as [`matches`], in order, and uses the indexes.

use super::*;
use crate::delivery::Status;
use crate::delivery::filter::Filter;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

/// Few values each, so that filters often match; some differ from each other only slightly.
pub const TYPES: [&str; 4] = ["account", "Account", "account\u{1}", "a'c"];
pub const ACTIONS: [&str; 3] = ["created", "%", ""];
pub const ENDPOINTS: [Option<&str>; 4] = [None, Some("prod"), Some("prod "), Some("")];
pub const STATUSES: [u16; 7] = [199, 200, 202, 404, 499, 500, 599];
/// Two of them are on one host.
pub const PROCESSES: [i64; 3] = [1, 2, 12];
pub const OWNERS: [&str; 7] = [
    "host1", "host2", "host2/1", "host2/12", "host2/", "host", "%",
];
pub const RANGES: [&str; 6] = ["200", "404,500", "4xx", "200-499", "5xx,202", "599"];

#[derive(Clone, Debug)]
pub struct Row {
    event_type: &'static str,
    action: &'static str,
    endpoint: Option<&'static str>,
    process: i64,
    started: i64,
    /// Duration of the attempt, error kind, HTTP status and final state; none if it never ended.
    end: Option<(u64, Option<ErrorKind>, Option<u16>, End)>,
}

#[derive(Clone, Copy, Debug)]
pub enum End {
    Delivered,
    Failed,
    Interrupted,
    Waiting,
    GivenUp,
}

pub fn row() -> impl Strategy<Value = Row> {
    let end = prop::sample::select(vec![
        End::Delivered,
        End::Failed,
        End::Failed,
        End::Interrupted,
        End::Waiting,
        End::GivenUp,
    ]);
    let kind = prop::option::weighted(0.8, prop::sample::select(ErrorKind::ALL.to_vec()));
    let status = prop::option::weighted(0.7, prop::sample::select(STATUSES.to_vec()));
    (
        prop::sample::select(TYPES.to_vec()),
        prop::sample::select(ACTIONS.to_vec()),
        prop::sample::select(ENDPOINTS.to_vec()),
        prop::sample::select(PROCESSES.to_vec()),
        0..8i64,
        prop::option::weighted(0.9, (0..4u64, kind, status, end)),
    )
        .prop_map(
            |(event_type, action, endpoint, process, started, end)| Row {
                event_type,
                action,
                endpoint,
                process,
                started,
                end,
            },
        )
}

pub fn filter() -> impl Strategy<Value = Filter> {
    let text = |values: Vec<&'static str>| {
        prop::option::weighted(0.3, prop::sample::select(values).prop_map(str::to_owned))
    };
    let time = || prop::option::weighted(0.4, (-1..13i64).prop_map(|ms| UnixMs(T0.0 + ms)));
    (
        text(TYPES.to_vec()),
        text(ACTIONS.to_vec()),
        text(ENDPOINTS.into_iter().flatten().collect()),
        time(),
        time(),
        prop::option::weighted(
            0.4,
            prop::sample::select(RANGES.to_vec()).prop_map(|text| text.parse().unwrap()),
        ),
        prop::option::weighted(0.3, prop::sample::select(ErrorKind::ALL.to_vec())),
        text(OWNERS.to_vec()),
    )
        .prop_map(
            |(event_type, action, endpoint, since, before, http_status, error, owner)| Filter {
                event_type,
                action,
                endpoint,
                since,
                before,
                http_status,
                error,
                owner,
            },
        )
}

pub fn write(journal: &TestJournal, row: &Row) {
    let target = Target::from_url("https://example.com/hook").unwrap();
    let started = UnixMs(T0.0 + row.started);
    let new = NewDelivery {
        payload: Payload::unchecked_event(row.event_type, row.action, b"<event/>"),
        endpoint: row.endpoint.map(str::to_owned),
        target: target.clone(),
        ..new_delivery(b"<event/>")
    };
    let id = journal.accept(&new, &attempt(started)).unwrap().id;
    let Some((took, kind, http_status, end)) = row.end else {
        return;
    };
    let error = kind.map(|kind| AttemptError {
        kind,
        message: "words".to_owned(),
    });
    let outcome = Outcome {
        http_status,
        error,
        ..success()
    };
    let next = match end {
        End::Delivered => NextStep::Delivered,
        End::Failed => NextStep::Failed,
        End::Interrupted => NextStep::Interrupted,
        End::Waiting | End::GivenUp => retry(at(60), at(120)),
    };
    journal
        .finish_attempt(id, 1, Duration::from_millis(took), &outcome, next)
        .unwrap();
    if let End::GivenUp = end {
        journal.interrupt(id).unwrap();
    }
}

/// Whether a filter selects a delivery: computed without SQL.
pub fn matches(filter: &Filter, delivery: &Delivery) -> bool {
    let equal = |wanted: &Option<String>, actual: Option<&str>| {
        wanted
            .as_deref()
            .is_none_or(|wanted| Some(wanted) == actual)
    };
    let last = delivery.last_error.as_ref();
    equal(&filter.event_type, delivery.event_type.as_deref())
        && equal(&filter.action, delivery.action.as_deref())
        && equal(&filter.endpoint, delivery.endpoint.as_deref())
        && filter
            .since
            .is_none_or(|since| delivery.finished_or_created_at() >= since)
        && filter
            .before
            .is_none_or(|before| delivery.finished_or_created_at() <= before)
        && filter.http_status.as_ref().is_none_or(|ranges| {
            last.and_then(|error| error.http_status)
                .is_some_and(|status| ranges.contains(status))
        })
        && filter
            .error
            .is_none_or(|kind| last.is_some_and(|error| error.kind == kind))
        && filter.owner.as_ref().is_none_or(|owner| {
            let label = delivery.last_owner.as_deref().unwrap_or_default();
            label == owner || label.split_once('/').is_some_and(|(host, _)| host == owner)
        })
}

/// The ids that the query must return: computed without SQL.
pub fn expected(all: &[Delivery], query: &Query) -> Vec<i64> {
    let listed = |delivery: &&Delivery| match query.list {
        DeliveryList::Failed | DeliveryList::NewestFailed => delivery.status.in_failed_list(),
        DeliveryList::All(status) => status.is_none_or(|status| delivery.status == status),
        DeliveryList::Scheduled => delivery.is_scheduled(),
    };
    let mut found: Vec<&Delivery> = all
        .iter()
        .filter(listed)
        .filter(|delivery| matches(&query.filter, delivery))
        .collect();
    match query.list {
        DeliveryList::Failed => found.sort_by_key(|delivery| (delivery.created_at, delivery.id)),
        DeliveryList::NewestFailed => {
            found.sort_by_key(|delivery| (delivery.created_at, delivery.id));
            found.reverse();
        }
        DeliveryList::All(_) | DeliveryList::Scheduled => {
            found.sort_by_key(|delivery| -delivery.id)
        }
    }
    found.into_iter().map(|delivery| delivery.id).collect()
}

pub fn visited(journal: &TestJournal, query: &Query) -> Vec<Delivery> {
    let journal = journal.dynamic();
    let found = journal.deliveries(query, None, PAGE_SIZE);
    found.collect::<Result<_, _>>().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 12,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..ProptestConfig::default()
    })]

    #[test]
    fn sql_finds_exactly_what_the_filter_means(
        rows in prop::collection::vec(row(), 1..40),
        filters in prop::collection::vec(filter(), 12),
        limit in 0..20usize,
    ) {
        finds_exactly(&rows, &filters, limit)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 128,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..ProptestConfig::default()
    })]

    #[test]
    #[ignore = "long: runs in CI"]
    fn sql_finds_exactly_what_more_filters_mean(
        rows in prop::collection::vec(row(), 1..40),
        filters in prop::collection::vec(filter(), 12),
        limit in 0..20usize,
    ) {
        finds_exactly(&rows, &filters, limit)?;
    }
}

fn finds_exactly(rows: &[Row], filters: &[Filter], limit: usize) -> Result<(), TestCaseError> {
    let bench = Bench::new();
    let journals = PROCESSES.map(|pid| bench.open_fast(pid));
    for row in rows {
        let at = PROCESSES.iter().position(|pid| *pid == row.process);
        write(&journals[at.unwrap()], row);
    }
    let journal = &journals[0];
    let count = i64::try_from(rows.len()).unwrap();
    let all: Vec<Delivery> = (1..=count)
        .map(|id| journal.delivery(id).unwrap().unwrap())
        .collect();
    let mut lists = vec![
        DeliveryList::Failed,
        DeliveryList::NewestFailed,
        DeliveryList::All(None),
    ];
    lists.extend(Status::ALL.map(|status| DeliveryList::All(Some(status))));
    for filter in filters.iter().chain([&Filter::default()]) {
        for &list in &lists {
            let whole = Query {
                list,
                filter: filter.clone(),
                limit: None,
            };
            let ids = expected(&all, &whole);
            prop_assert_eq!(&journal.ids(&whole).unwrap(), &ids, "{:?}", &whole);
            let kept = ids
                .iter()
                .map(|id| all[usize::try_from(*id).unwrap() - 1].clone());
            prop_assert_eq!(visited(journal, &whole), kept.collect::<Vec<_>>());
            let first = Query {
                limit: Some(limit),
                ..whole.clone()
            };
            prop_assert_eq!(
                &journal.ids(&first).unwrap()[..],
                &ids[..limit.min(ids.len())]
            );
            for query in [whole, first] {
                prop_assert_eq!(journal.dynamic().count(&query).unwrap(), ids.len());
                prop_assert_eq!(
                    journal.count_up_to(&query, limit).unwrap(),
                    ids.len().min(limit)
                );
            }
        }
    }
    Ok(())
}

#[test]
fn deliveries_are_read_across_pages_up_to_the_limit() {
    let bench = Bench::new();
    let journal = bench.open_fast(1);
    for n in 0..5 {
        accept(&journal, at(n));
    }
    let ids = |limit| {
        let query = Query {
            limit,
            ..Query::all(None)
        };
        let found = journal.dynamic().deliveries(&query, None, 2);
        found.map(|found| found.unwrap().id).collect::<Vec<_>>()
    };
    assert_eq!(ids(None), [5, 4, 3, 2, 1]);
    assert_eq!(ids(Some(3)), [5, 4, 3]);
}
