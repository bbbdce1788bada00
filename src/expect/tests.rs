//! Judging and waiting, without a listener, a process or a pause.

use std::cell::Cell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::capture::EventName;
use crate::journal::store::{JournalError, Kept, SharedCapture};
use crate::time::{Clock, UnixMs, Woken, duration_ms};

const EVENT: &str = "<event><action>updated</action><type>application</type><object><application><id>7</id>\
    <plan><name> Basic </name></plan><keys><key>a</key><key>b</key></keys></application></object></event>";

fn caught(id: i64, head: &str, body: &str) -> SharedCapture {
    let mut capture = Capture::new(
        UnixMs(id),
        SocketAddr::from(([127, 0, 0, 1], 1)),
        format!("{head}\r\n\r\n").into_bytes(),
    );
    capture.malformed = false;
    let event = Event::title(&event::extract_xml(body.as_bytes()));
    let event = event.map(|(event_type, action)| EventName { event_type, action });
    Kept::new(
        id,
        "expect",
        event,
        capture,
        Body {
            bytes: body.into(),
            wire: None,
        },
    )
    .into()
}

fn unmet(expectation: &Expectation, head: &str, body: &str) -> Vec<String> {
    let kept = caught(1, head, body);
    expectation.unmet(&kept.caught, &kept.body)
}

fn fields(fields: &[(&str, &str)]) -> Expectation {
    let read = |(path, value): &(&str, &str)| (Selector::parse(path).unwrap(), (*value).to_owned());
    Expectation {
        matches: fields.iter().map(read).collect(),
        ..Expectation::default()
    }
}

#[test]
fn an_event_that_breaks_off_is_not_the_one_that_was_expected() {
    let expectation = Expectation {
        event_type: Some("application".to_owned()),
        ..Expectation::default()
    };
    let (whole, broken_off) = (EVENT, &EVENT[..EVENT.len() - "</event>".len()]);
    assert_eq!(unmet(&expectation, HEAD, whole), Vec::<String>::new());
    assert_eq!(
        unmet(&expectation, HEAD, broken_off),
        ["it has no type: its body is no event: line 1, column 1: `<event>` is never closed"]
    );
}

const HEAD: &str = "POST /hook?token=canary-sent&a=1 HTTP/1.1\r\nX-Source: ci\r\nx-source: again\r\nAuthorization: canary-sent";

#[test]
fn everything_that_is_as_expected_is_met() {
    let expectation = Expectation {
        event_type: Some("application".into()),
        action: Some("updated".into()),
        method: Some("post".into()),
        headers: vec![
            ExpectedHeader {
                name: "x-SOURCE".into(),
                value: Secret::new("ci"),
                public: true,
            },
            ExpectedHeader {
                name: "authorization".into(),
                value: Secret::new("canary-sent"),
                public: false,
            },
        ],
        secrets: vec![("token".into(), Secret::new("canary-sent"))],
        ..fields(&[
            ("object/application/plan/name", "Basic"),
            ("//key", "b"),
            ("//key[1]", "a"),
        ])
    };
    assert_eq!(unmet(&expectation, HEAD, EVENT), [] as [&str; 0]);
    let form = "params%5Bxml%5D=".to_owned() + &crate::secret::safe_url::encode_pair("", EVENT);
    assert_eq!(
        unmet(&expectation, HEAD, &form),
        [] as [&str; 0],
        "3scale's other wire form"
    );
    assert_eq!(
        unmet(&Expectation::default(), "GET / HTTP/1.1", ""),
        [] as [&str; 0],
        "any request will do"
    );
}

#[test]
fn each_difference_is_said_in_words_without_a_secrets_value() {
    let expectation = Expectation {
        event_type: Some("application".into()),
        action: Some("created".into()),
        method: Some("PUT".into()),
        headers: vec![
            ExpectedHeader {
                name: "X-A".into(),
                value: Secret::new("1"),
                public: true,
            },
            ExpectedHeader {
                name: "X-Source".into(),
                value: Secret::new("cd"),
                public: true,
            },
            ExpectedHeader {
                name: "Authorization".into(),
                value: Secret::new("canary-wanted"),
                public: false,
            },
        ],
        secrets: vec![
            ("token".into(), Secret::new("canary-wanted")),
            ("t2".into(), Secret::new("canary-wanted")),
        ],
        ..fields(&[
            ("object/application/plan/name", "Gold"),
            ("//org_name", "Acme"),
            ("//key", "c"),
            ("//plan", "Gold"),
            ("//plan/@default", "true"),
        ])
    };
    let words = unmet(&expectation, HEAD, EVENT);
    insta::assert_snapshot!(words.join("\n"), @"
    method is `POST`, not `PUT`
    action is `updated`, not `created`
    `object/application/plan/name` is `Basic`, not `Gold`
    no element `//org_name`
    `//key` is `a` and `b`, not `c`
    `//plan` is a group of elements, not `Gold`
    no attribute `//plan/@default`
    header `X-A` is missing
    header `X-Source` is `again`, not `cd`
    header `Authorization` has another value
    secret parameter `token` is wrong
    secret parameter `t2` is missing
    ");
    assert!(
        !words.concat().contains("canary") && !expectation.to_string().contains("canary"),
        "{words:?}"
    );
    insta::assert_snapshot!(expectation, @"method `PUT`, type `application`, action `created`, `object/application/plan/name` = `Gold`, `//org_name` = `Acme`, `//key` = `c`, `//plan` = `Gold`, `//plan/@default` = `true`, header `X-A` = `1`, header `X-Source` = `cd`, header `Authorization`, secret `token`, secret `t2`");
}

#[test]
fn bodies_that_are_something_else_are_said_to_be() {
    let event = Expectation {
        action: Some("created".into()),
        ..fields(&[("data/id", "5")])
    };
    let words: Vec<String> = [
        "",
        "hello",
        "<a><data><id>5</id></data></a>",
        "{\"data\":{\"id\":6}}",
        "{\"data\":",
    ]
    .iter()
    .map(|body| unmet(&event, "POST / HTTP/1.1", body).join("; "))
    .collect();
    insta::assert_snapshot!(words.join("\n"), @r#"
    it has no action: its body is empty; `data/id` cannot be found: the document is empty
    it has no action: its body is no event: not XML: it starts with `hello`; `data/id` cannot be found: not XML: it starts with `hello`
    it has no action: its body is not an event: its root element is `a`, not `event`
    it has no action: its body is no event: not XML: it starts with `{"data":{"id":6}}`; `data/id` is `6`, not `5`
    it has no action: its body is no event: not XML: it starts with `{"data":`; `data/id` cannot be found: not JSON: EOF while parsing a value at line 1 column 8
    "#);
}

#[test]
fn of_many_values_the_first_few_are_said_and_each_once() {
    let words = |body: &str| unmet(&fields(&[("//b", "x")]), "POST / HTTP/1.1", body).concat();
    assert_eq!(
        words("<a><b>1</b><b>1</b><b>2</b></a>"),
        "`//b` is `1` and `2`, not `x`"
    );
    assert_eq!(
        words("[{\"b\":[1,2,2,3,4,5]}]"),
        "`//b` is `1`, `2`, `3` and others, not `x`"
    );
}

#[test]
fn what_came_cannot_break_out_of_its_line() {
    let expectation = fields(&[("a", "b")]);
    let words = unmet(
        &expectation,
        "POST / HTTP/1.1",
        "<x><a>\u{9b}31m&#10;::error::x\u{202e}</a></x>",
    )
    .concat();
    assert!(!words.contains(['\n', '\u{9b}', '\u{202e}']), "{words}");
    let words = unmet(
        &expectation,
        "POST / HTTP/1.1",
        &format!("<x><a>{}</a></x>", "y".repeat(10_000)),
    )
    .concat();
    assert!(words.len() < 200, "{words}");
}

#[test]
fn a_secret_given_twice_must_be_right_twice() {
    let expectation = Expectation {
        secrets: vec![("t".into(), Secret::new("a b"))],
        ..Expectation::default()
    };
    let is_met =
        |target: &str| unmet(&expectation, &format!("GET {target} HTTP/1.1"), "").is_empty();
    assert!(is_met("/?t=a+b") && is_met("/?x=1&%74=a%20b&t=a+b"));
    assert!(
        !is_met("/?t=a+b&t=c")
            && !is_met("/?t=")
            && !is_met("/?t")
            && !is_met("/t=a+b")
            && !is_met("/?t=a+b+")
    );
}

#[test]
fn a_malformed_request_meets_nothing() {
    let mut kept = Kept::clone(&caught(1, "GET / HTTP/1.1", ""));
    kept.caught.capture.malformed = true;
    assert_eq!(
        Expectation::default().unmet(&kept.caught, &kept.body).len(),
        1
    );
}

/// Time passes only while something is waited for.
#[derive(Default)]
struct Now {
    ms: Cell<i64>,
    interrupt_at: Option<i64>,
    /// When somebody sets the time of day, and by how much.
    set: Option<(i64, i64)>,
}

impl Clock for Now {
    fn now(&self) -> UnixMs {
        UnixMs(self.told(self.ms.get()))
    }
    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.ms.get().unsigned_abs())
    }
    fn wait(&self, _: Duration) -> Woken {
        Woken::Elapsed
    }
    fn interrupted(&self) -> bool {
        self.interrupt_at.is_some_and(|at| at <= self.ms.get())
    }
}

impl Now {
    /// What the time of day is, so many milliseconds after the start.
    fn told(&self, ms: i64) -> i64 {
        ms + self.set.filter(|(at, _)| *at <= ms).map_or(0, |(_, by)| by)
    }
}

/// What arrives: a capture, or word of one that could not be kept.
type Plan = Option<SharedCapture>;

/// Arrivals with the time at which each is known; a capture's id is the time at which it was received.
struct Planned<'a> {
    now: &'a Now,
    left: VecDeque<(i64, Plan)>,
}

impl Arrivals for Planned<'_> {
    fn next(&mut self, patience: Duration) -> Result<Option<Arrival>, JournalError> {
        let until = self.now.ms.get() + duration_ms(patience);
        if self.left.front().is_none_or(|(at, _)| *at > until) {
            self.now.ms.set(until);
            return Ok(None);
        }
        let Some((at, arrival)) = self.left.pop_front() else {
            return Ok(None);
        };
        self.now.ms.set(self.now.ms.get().max(at));
        Ok(Some(match arrival {
            Some(kept) => Arrival::Kept(kept),
            None => Arrival::NotKept(Arc::new(JournalError::Unusable {
                path: "x".into(),
                problem: "y".into(),
            })),
        }))
    }
}

struct Ends<'a>(&'a Now, i64, u8);

impl Command for Ends<'_> {
    fn ended(&mut self) -> std::io::Result<Option<u8>> {
        Ok((self.0.ms.get() >= self.1).then_some(self.2))
    }
}

#[derive(Default)]
struct Ids(Vec<i64>);

impl Observer for Ids {
    fn matched(&mut self, caught: &Caught, _: &Body) {
        self.0.push(caught.id);
    }
}

/// Waits a second for `count` requests to `/yes`; the plan says when which path is received and known, and when the
/// command ends how. Gives how and when it ended, and what matched.
fn watched(
    count: u64,
    plan: &[(i64, i64, &str)],
    command: Option<(i64, u8)>,
    now: Now,
) -> (End, i64, Vec<i64>, Seen) {
    let expectation = Expectation {
        method: Some("YES".into()),
        ..fields(&[])
    };
    let arrival = |(received, known, method): &(i64, i64, &str)| {
        (
            *known,
            Some(caught(
                now.told(*received),
                &format!("{method} / HTTP/1.1"),
                "",
            )),
        )
    };
    let mut arrivals = Planned {
        now: &now,
        left: plan.iter().map(arrival).collect(),
    };
    let mut command = command.map(|(at, code)| Ends(&now, at, code));
    let mut ids = Ids::default();
    let watch = Watch {
        expectation: &expectation,
        count,
        within: Duration::from_secs(1),
        clock: &now,
    };
    let running = command.as_mut().map(|command| command as &mut dyn Command);
    let (end, seen) = watch.run(&mut arrivals, running, &mut ids).unwrap();
    (end, now.ms.get(), ids.0, seen)
}

#[test]
fn it_is_met_as_soon_as_enough_have_come() {
    let (end, at, ids, _) = watched(
        1,
        &[(300, 301, "YES"), (400, 400, "YES")],
        None,
        Now::default(),
    );
    assert_eq!((end, at, ids), (End::Met, 301, vec![300]));
    let (end, at, ids, _) = watched(
        2,
        &[(300, 300, "YES"), (350, 350, "NO"), (400, 400, "YES")],
        None,
        Now::default(),
    );
    assert_eq!((end, at, ids), (End::Met, 400, vec![300, 400]));
}

#[test]
fn what_came_in_time_counts_although_it_is_known_late_and_what_came_late_does_not() {
    let (end, _, ids, _) = watched(1, &[(1000, 1000, "YES")], None, Now::default());
    assert_eq!((end, ids), (End::Met, vec![1000]));
    let plan = [(990, 1000, "NO"), (995, 1000, "YES")];
    assert_eq!(watched(1, &plan, None, Now::default()).0, End::Met);
    let (end, at, ids, seen) = watched(1, &[(1001, 1000, "YES")], None, Now::default());
    assert_eq!((end, at, ids, seen.captures), (End::Unmet, 1000, vec![], 0));
}

#[test]
fn the_time_of_day_may_be_set_meanwhile() {
    for by in [-3_600_000, 3_600_000] {
        let set = |at| Now {
            set: Some((at, by)),
            ..Now::default()
        };
        let (end, at, ids, _) = watched(1, &[(800, 801, "YES")], None, set(400));
        assert_eq!((end, at, ids.len()), (End::Met, 801, 1), "{by}");
        let (end, at, ..) = watched(1, &[(990, 1000, "NO"), (1001, 1000, "YES")], None, set(400));
        assert_eq!(
            (end, at),
            (End::Unmet, 1000),
            "neither sooner nor later, {by}"
        );
    }
}

#[test]
fn the_nearest_miss_is_the_one_with_the_fewest_differences_and_the_newest_of_those() {
    let (end, at, _, seen) = watched(
        2,
        &[(1, 1, "NO"), (2, 2, "YES"), (3, 3, "NOT")],
        None,
        Now::default(),
    );
    assert_eq!(
        (end, at, seen.captures, seen.matched),
        (End::Unmet, 1000, 3, 1)
    );
    assert_eq!(seen.nearest.unwrap().kept.caught.id, 3);
}

#[test]
fn none_may_come_where_none_is_expected() {
    assert_eq!(
        watched(0, &[(5, 5, "NO")], Some((100, 0)), Now::default()).0,
        End::Met
    );
    let (end, at, ids, _) = watched(
        0,
        &[(5, 5, "NO"), (500, 500, "YES")],
        Some((100, 0)),
        Now::default(),
    );
    assert_eq!((end, at, ids), (End::Unmet, 500, vec![500]));
    assert_eq!(
        watched(0, &[], Some((2000, 0)), Now::default()).0,
        End::CommandLate
    );
}

#[test]
fn a_command_is_waited_for_and_its_failure_is_the_end() {
    let came = [(10, 10, "YES")];
    assert_eq!(
        watched(1, &came, Some((500, 0)), Now::default()).0,
        End::Met
    );
    let (end, at, ids, _) = watched(1, &came, Some((500, 3)), Now::default());
    assert_eq!(
        (end, ids),
        (End::CommandFailed(3), vec![10]),
        "although it was met"
    );
    assert!((500..=520).contains(&at), "{at}");
    assert_eq!(
        watched(1, &came, Some((2000, 0)), Now::default()).0,
        End::CommandLate
    );
    assert_eq!(
        watched(1, &[], Some((2000, 0)), Now::default()).0,
        End::Unmet
    );
    assert_eq!(
        watched(1, &[(800, 800, "YES")], Some((100, 0)), Now::default()).0,
        End::Met,
        "it may come later"
    );
}

#[test]
fn ctrl_c_ends_the_wait() {
    let (end, at, ..) = watched(
        1,
        &[],
        Some((500, 0)),
        Now {
            interrupt_at: Some(100),
            ..Now::default()
        },
    );
    assert_eq!((end, at), (End::Interrupted, 100));
}

#[test]
fn a_request_that_could_not_be_kept_is_remembered_and_waited_on() {
    let expectation = Expectation::default();
    let now = Now::default();
    let plan = [(10, None), (20, Some(caught(20, "GET / HTTP/1.1", "")))];
    let mut arrivals = Planned {
        now: &now,
        left: plan.into(),
    };
    let watch = Watch {
        expectation: &expectation,
        count: 1,
        within: Duration::from_secs(1),
        clock: &now,
    };
    let (end, seen) = watch.run(&mut arrivals, None, &mut Ids::default()).unwrap();
    assert_eq!(end, End::Met);
    assert!(seen.not_kept.is_some());
}
