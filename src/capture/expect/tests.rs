//! Matching captures, and the messages about what differs.

use std::net::SocketAddr;

use super::*;
use crate::time::UnixMs;

const EVENT: &str = "<event><action>updated</action><type>application</type><object><application><id>7</id>\
    <plan><name> Basic </name></plan><keys><key>a</key><key>b</key></keys></application></object></event>";

fn record(head: &str) -> CaptureRecord {
    let head = format!("{head}\r\n\r\n").into_bytes();
    let mut capture = Capture::new(UnixMs(1), SocketAddr::from(([127, 0, 0, 1], 1)), head);
    capture.malformed = false;
    CaptureRecord {
        id: 1,
        bin: "expect".to_owned(),
        event: None,
        body_size: 0,
        pinned: false,
        note: None,
        capture,
    }
}

fn body(text: &str) -> Body {
    Body {
        bytes: text.into(),
        wire: None,
    }
}

fn unmet(expectation: &Expectation, head: &str, text: &str) -> Vec<String> {
    expectation.unmet(&record(head), &body(text))
}

fn fields(fields: &[(&str, &str)]) -> Expectation {
    let read =
        |(path, value): &(&str, &str)| FieldCondition::parse(&format!("{path}={value}")).unwrap();
    Expectation {
        matches: fields.iter().map(read).collect(),
        ..Expectation::default()
    }
}

#[test]
fn a_truncated_event_does_not_match() {
    let expectation = Expectation {
        event_type: Some("application".to_owned()),
        ..Expectation::default()
    };
    let (whole, broken_off) = (EVENT, &EVENT[..EVENT.len() - "</event>".len()]);
    assert_eq!(unmet(&expectation, HEAD, whole), Vec::<String>::new());
    assert_eq!(
        unmet(&expectation, HEAD, broken_off),
        ["it has no type: its body is not an event: line 1, column 1: `<event>` is never closed"]
    );
}

const HEAD: &str = "POST /hook?token=canary-sent&a=1 HTTP/1.1\r\nX-Source: ci\r\nx-source: again\r\nAuthorization: canary-sent";

#[test]
fn a_request_that_meets_all_conditions_matches() {
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
fn differences_are_told_without_secret_values() {
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
fn other_bodies_are_named() {
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
    it has no action: its body is empty; `data/id` cannot be found: the body is empty
    it has no action: its body is not an event: not XML: it starts with `hello`; `data/id` cannot be found: the body is neither XML nor JSON
    it has no action: its body is not an event: its root element is `a`, not `event`
    it has no action: its body is JSON, not an event; `data/id` is `6`, not `5`
    it has no action: its body is JSON, not an event; `data/id` cannot be found: not JSON: EOF while parsing a value at line 1 column 8
    "#);
}

#[test]
fn of_many_values_the_first_few_are_listed_once() {
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
fn messages_stay_on_one_line() {
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
fn a_repeated_secret_must_be_right_each_time() {
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
fn a_malformed_request_never_matches() {
    let mut malformed = record("GET / HTTP/1.1");
    malformed.capture.malformed = true;
    assert_eq!(Expectation::default().unmet(&malformed, &body("")).len(), 1);
}

#[test]
fn json_numbers_match_by_value() {
    let json = r#"{"price":10.50,"big":123456789012345678901234567890,"text":"1.0"}"#;
    let matches = |path, value| unmet(&fields(&[(path, value)]), HEAD, json).is_empty();
    for value in ["10.50", "10.5", "1.05e1", " 10.50 "] {
        assert!(matches("price", value), "{value}");
    }
    assert!(matches("big", "123456789012345678901234567890"));
    assert!(!matches("big", "123456789012345678901234567891"));
    assert!(!matches("text", "1"), "a string is not a number");
    let marked = format!("\u{feff}{json}");
    assert!(unmet(&fields(&[("price", "10.5")]), HEAD, &marked).is_empty());
}

#[test]
fn paths_that_only_json_has_are_not_found_in_xml() {
    let paths = fields(&[("first name", "x"), ("type", "application")]);
    assert_eq!(unmet(&paths, HEAD, EVENT), ["no element `first name`"]);
}
