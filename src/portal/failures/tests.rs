//! Reading lists of failures: both forms, and every kind of damage.

use std::convert::Infallible;
use std::io::BufReader;

use super::*;
use crate::secret::TestVariables;
use crate::time::rfc3339;

const EVENT: &str =
    "<event><action>created</action><type>account</type><object><account/></object></event>";

fn entry(id: &str, time: &str, url: &str) -> String {
    format!(
        "<webhooks-failure><id>{id}</id><time>{time}</time><error>503 Service Unavailable</error><url>{url}</url>{EVENT}</webhooks-failure>"
    )
}

fn json_entry(id: &str) -> String {
    let event = serde_json::Value::from(format!("<?xml version=\"1.0\"?>{EVENT}"));
    format!(
        "{{\"webhooks-failure\":{{\"id\":\"{id}\",\"time\":\"2026-11-20T10:00:00Z\",\"error\":\"x\",\"url\":\"http://h/?a=b\",\"event\":{event}}}}}"
    )
}

fn failures(
    list: &str,
) -> (
    Vec<Result<PortalFailure, UnreadableFailure>>,
    Result<(), ListError>,
) {
    let mut found = Vec::new();
    // Three bytes at a time.
    let mut input = BufReader::with_capacity(3, list.as_bytes());
    let ended = each(&mut input, |failure| {
        found.push(failure);
        Ok::<(), Infallible>(())
    });
    (found, ended.map(|_| ()))
}

/// Ids of the good ones, words for the broken ones.
fn summary(list: &str) -> (Vec<String>, Option<String>) {
    let (found, ended) = failures(list);
    let words = found
        .into_iter()
        .map(|failure| failure.map_or_else(|broken| broken.to_string(), |failed| failed.uuid));
    (words.collect(), ended.err().map(|e| e.to_string()))
}

#[test]
fn targets_have_no_secret_values() {
    let url = "https://h/3scale?token=CANARY&amp;debug";
    let list = format!(
        "<webhooks-failures>{}</webhooks-failures>",
        entry("a-1", "2026-11-20 10:00:00.345 UTC", url)
    )
    .replace(
        "503 Service Unavailable",
        "getaddrinfo: https://h/3scale?token=CANARY",
    );
    let (mut found, ended) = failures(&list);
    ended.unwrap();
    let failed = found.pop().unwrap().unwrap();
    assert_eq!(
        (failed.uuid.as_str(), rfc3339(failed.at).as_str()),
        ("a-1", "2026-11-20T10:00:00.345Z")
    );
    assert_eq!(failed.time, "2026-11-20 10:00:00.345 UTC");
    assert_eq!(failed.target.to_string(), "https://h/3scale?token=***&***");
    assert_eq!(
        failed.full_target.to_string(),
        "https://h/3scale?token=***&***"
    );
    assert!(!format!("{failed:?}").contains("CANARY"));
    assert_eq!(failed.error.message, "getaddrinfo: https://h/3scale?***");
    assert_eq!(
        (failed.error.kind, failed.error.http_status),
        (ErrorKind::Dns, None)
    );
    assert_eq!(
        (
            failed.payload.event_type.as_deref(),
            failed.payload.action.as_deref()
        ),
        (Some("account"), Some("created"))
    );
    assert!(String::from_utf8_lossy(&failed.payload.bytes).ends_with(&format!("?>\n{EVENT}\n")));
}

#[test]
fn unusual_urls_are_read_without_their_secrets() {
    for (url, stored, full) in [
        (
            "http://user:CANARY@h/a?b=CANARY#CANARY",
            "http://h/a?b=***",
            Some("http://h/a?b=CANARY"),
        ),
        ("https://CANARY@h/", "https://h/", Some("https://h/")),
        ("http://h/a#CANARY", "http://h/a", Some("http://h/a")),
        ("http:://banana", "http:://banana", None),
        ("", "", None),
        ("  foo http://h/?t=CANARY ", "foo http://h/?t=***", None),
        (
            "http:://u:CANARY@banana/?CANARY",
            "http:://banana/?***",
            None,
        ),
        ("ftp://h/", "ftp://h/", None),
    ] {
        let escaped = url.replace('&', "&amp;");
        let entry = entry("a", "2026-11-20 10:00:00 UTC", &escaped).replace(
            "503 Service Unavailable",
            &format!("cannot reach {escaped}"),
        );
        let list = format!("<webhooks-failures>{entry}</webhooks-failures>");
        let (mut found, _) = failures(&list);
        let failed = found.pop().unwrap().unwrap();
        assert_eq!(failed.target.to_string(), stored, "{url}");
        assert_eq!(failed.target.base.is_url(), full.is_some(), "{url}");
        let (printed, message) = (format!("{failed:?}"), &failed.error.message);
        assert!(!printed.contains("CANARY"), "{printed}");
        assert!(message.starts_with("cannot reach "), "{message}");
        if let Some(full) = full {
            let resolved = failed.full_target.resolve(&TestVariables(&[])).unwrap();
            assert_eq!(resolved.url.expose(), full);
        }
    }
}

#[test]
fn user_information_is_sent_as_a_credential() {
    let list = entry("a", "2026-11-20 10:00:00 UTC", "http://us%20er:p%3Aw@h/");
    let (mut found, _) = failures(&format!("<webhooks-failures>{list}</webhooks-failures>"));
    let target = found.pop().unwrap().unwrap().full_target;
    let headers = target.resolve(&TestVariables(&[])).unwrap().headers;
    let (name, value) = &headers[0];
    assert_eq!(
        (name.as_str(), value.expose()),
        ("authorization", "Basic dXMgZXI6cDp3")
    );
}

#[test]
fn xml_and_json_lists_read_alike() {
    let xml = format!(
        "\u{feff}\n<?xml version=\"1.0\"?><webhooks-failures>{}</webhooks-failures>",
        entry("a", "2026-11-20T10:00:00Z", "http://h/")
    );
    assert_eq!(summary(&xml), (vec!["a".to_owned()], None));
    for list in [
        format!(
            "{{\"webhooks-failures\":[{},{}]}}",
            json_entry("a"),
            json_entry("b")
        ),
        format!(
            " {{\"x\":[1],\"webhooks-failures\":[{},{}],\"y\":null}}\n",
            json_entry("a"),
            json_entry("b")
        ),
        format!("[{},{}]", json_entry("a"), json_entry("b")),
    ] {
        assert_eq!(
            summary(&list),
            (vec!["a".to_owned(), "b".to_owned()], None),
            "{list}"
        );
    }
    for empty in [
        "{\"webhooks-failures\":[]}",
        "{\"webhooks-failures\":null}",
        "[]",
        "<webhooks-failures/>",
    ] {
        assert_eq!(summary(empty), (vec![], None), "{empty}");
    }
}

#[test]
fn unreadable_failures_have_a_position() {
    let time = "2026-11-20 10:00:00 UTC";
    let list = [
        entry("a", time, "http://h/"),
        entry("", time, "http://h/"),
        entry("b", "yesterday", "http://h/"),
        entry("c", time, "ftp://h/?token=CANARY"),
        entry("d", time, "http://h/").replace("<action>created</action>", ""),
        "<webhooks-failure><id>e</di></webhooks-failure>".to_owned(),
        entry("f", time, "http://h/"),
    ]
    .join("\n");
    let (words, end) = summary(&format!(
        "<webhooks-failures>\n{list}\n</webhooks-failures>"
    ));
    assert_eq!(end, None);
    assert_eq!((words[0].as_str(), words[6].as_str()), ("a", "f"));
    assert_eq!(
        words[1],
        "failure 2 (line 3): it has no `id`, or one that cannot be a header's value"
    );
    assert_eq!(
        words[2],
        "failure 3 (line 4), id `b`: its `time` cannot be read"
    );
    assert_eq!(words[3], "c", "a portal accepts any text as a URL");
    assert_eq!(
        words[4],
        "failure 5 (line 6), id `d`: its `event`: not an event: it has no `action`"
    );
    assert!(
        words[5].starts_with("failure 6 (line 7): in it, line 1"),
        "{words:?}"
    );

    let list = format!(
        "[{},7,{{\"id\":\"x\"}},{}]",
        json_entry("a"),
        json_entry("b")
    );
    let (words, end) = summary(&list);
    assert_eq!(end, None);
    assert_eq!(
        words,
        [
            "a",
            "failure 2: it is not an object",
            "failure 3, id `x`: it has no `time`",
            "b"
        ]
    );
}

#[test]
fn a_truncated_list_gives_its_complete_failures() {
    let list = format!("[{},{}", json_entry("a"), &json_entry("b")[..40]);
    assert_eq!(
        summary(&list),
        (
            vec!["a".to_owned()],
            Some("the list ends too early".to_owned())
        )
    );
    let (words, end) = summary(&format!("[{} x", json_entry("a")));
    assert_eq!(
        (
            words.len(),
            end.unwrap().starts_with("not JSON: line 1, column ")
        ),
        (1, true)
    );
}

#[test]
fn other_documents_are_refused() {
    for (text, words) in [
        ("", "it is empty"),
        ("Forbidden", "it is neither XML nor JSON"),
        (
            "<!DOCTYPE html><html></html>",
            "not a list of failures: it has no element `webhooks-failures`",
        ),
        (
            "{\"error\":\"CANARY\"}",
            "not a list of failures: line 1, column 18",
        ),
        ("\u{0}", "it is neither XML nor JSON"),
    ] {
        assert_eq!(summary(text).1.as_deref(), Some(words), "{text}");
    }
    let utf16: Vec<u8> = std::iter::once(0xFEFF)
        .chain("<a/>".encode_utf16())
        .flat_map(u16::to_be_bytes)
        .collect();
    let refused = each(&mut &utf16[..], |_| Ok::<(), Infallible>(())).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "not a list of failures: it is in UTF-16BE; only UTF-8 lists can be read"
    );
}

#[test]
fn an_error_of_the_visitor_stops_the_reading() {
    let list = format!("[{},{}]", json_entry("a"), json_entry("b"));
    let xml = format!(
        "<webhooks-failures>{0}{0}</webhooks-failures>",
        entry("a", "2026-11-20 10:00:00 UTC", "http://h/")
    );
    for list in [list, xml] {
        let mut seen = 0;
        let stopped = each(&mut list.as_bytes(), |_| {
            seen += 1;
            Err("enough")
        });
        assert_eq!((seen, stopped.unwrap()), (1, Err("enough")));
    }
}

#[test]
fn error_kinds_are_guessed_from_messages() {
    for (words, kind, status) in [
        ("503 Service Unavailable", ErrorKind::Status, Some(503)),
        ("404", ErrorKind::Status, Some(404)),
        ("execution expired", ErrorKind::Timeout, None),
        ("Connection refused - connect(2)", ErrorKind::Connect, None),
        ("SSL_connect returned=1", ErrorKind::Tls, None),
        ("999 bottles", ErrorKind::Protocol, None),
        ("WebHookWorker::ClientError", ErrorKind::Portal, None),
        ("", ErrorKind::Protocol, None),
    ] {
        let error = last_error(words.to_owned());
        assert_eq!(
            (error.kind, error.http_status, error.message.as_str()),
            (kind, status, words)
        );
    }
}
