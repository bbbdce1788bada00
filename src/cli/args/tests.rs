//! Tests of the filter options and of the parser for numbers.

use clap::{Command, FromArgMatches as _};
use proptest::prelude::*;

use super::*;
use crate::time::rfc3339;

const NOW: UnixMs = UnixMs(1_795_255_200_000);

/// The filter of a command line, or none if it is refused.
fn read(words: &[String]) -> Option<Filter> {
    let command = ListFilterArgs::augment_args(Command::new("list").no_binary_name(true));
    let matches = command.try_get_matches_from(words).ok()?;
    ListFilterArgs::from_arg_matches(&matches)
        .unwrap()
        .filter(NOW)
        .ok()
}

#[test]
fn help_has_the_defaults_of_the_command() {
    let defaults: &'static [(&str, &str)] = &[("success", "200-299")];
    let command = RetryPolicyArgs::augment_args(Command::new("send"));
    let command = command.mut_args(with_defaults(defaults));
    let help = |id: &str| {
        let arg = command.get_arguments().find(|arg| arg.get_id() == id);
        arg.and_then(|arg| arg.get_help()).unwrap().to_string()
    };
    assert!(help("success").ends_with(" [default: 200-299]"));
    assert!(!help("retries").contains("default"));
}

fn filter() -> impl Strategy<Value = Filter> {
    let word = || prop::option::of("[a-z_]{1,8}");
    let time = || prop::option::of((0..4_102_444_800_000i64).prop_map(UnixMs));
    let statuses = prop::sample::select(vec!["200", "5xx", "200-207,404", "100-599"]);
    let statuses =
        prop::option::of(statuses.prop_map(|text| text.parse::<StatusRanges>().unwrap()));
    let error = prop::option::of(prop::sample::select(ErrorKind::ALL.to_vec()));
    (
        word(),
        word(),
        word(),
        time(),
        time(),
        statuses,
        error,
        word(),
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

/// The options for a filter, each with its value.
fn typed(filter: &Filter) -> Vec<[String; 2]> {
    let pairs = [
        ("--type", filter.event_type.clone()),
        ("--action", filter.action.clone()),
        ("--endpoint", filter.endpoint.clone()),
        ("--since", filter.since.map(rfc3339)),
        ("--before", filter.before.map(rfc3339)),
        (
            "--http-status",
            filter.http_status.as_ref().map(ToString::to_string),
        ),
        ("--error", filter.error.map(|kind| kind.as_str().to_owned())),
        ("--owner", filter.owner.clone()),
    ];
    pairs
        .into_iter()
        .filter_map(|(name, value)| Some([name.to_owned(), value?]))
        .collect()
}

proptest! {
    #[test]
    fn filters_round_trip_in_any_order_and_spelling(filter in filter(), turn in 0..8usize, equals: bool) {
        let mut options = typed(&filter);
        let turn = turn % options.len().max(1);
        options.rotate_left(turn);
        let words: Vec<String> = if equals {
            options.iter().map(|option| option.join("=")).collect()
        } else {
            options.concat()
        };
        prop_assert_eq!(read(&words), Some(filter), "{:?}", words);
    }

    #[test]
    fn invalid_values_are_refused_and_never_ignored(
        option in prop::sample::select(vec!["--since", "--before", "--http-status", "--error"]),
        value in prop_oneof![any::<String>(), "[0-9:TZ+. x,-]{1,24}", "[0-9]{1,3}(ms|s|m|h|d|w)?"],
    ) {
        let words = [option.to_owned(), value];
        if let Some(filter) = read(&words) {
            prop_assert!(!filter.is_empty(), "{:?} filters nothing", words);
            prop_assert_eq!(read(&typed(&filter).concat()), Some(filter), "{:?}", words);
        }
    }
}

#[test]
fn number_errors_say_what_is_accepted() {
    let of = |range, text| whole_number::<u16>(range)(text).map_err(|problem| problem.to_string());
    assert_eq!(of(1..=1000, "7"), Ok(7));
    for (range, text, problem) in [
        (1..=1000, "0x", "`0x` is not a whole number"),
        (0..=u64::MAX, "", "it is empty"),
        (0..=u64::MAX, "-1", "`-1` is not a whole number"),
        (1..=u64::MAX, "0", "it must be at least 1"),
        (1..=1000, "1001", "it must be from 1 to 1000"),
        (0..=u64::MAX, "65536", "`65536` is too large"),
        (
            0..=u64::MAX,
            "99999999999999999999",
            "`99999999999999999999` is too large",
        ),
    ] {
        assert_eq!(of(range, text), Err(problem.to_owned()));
    }
}
