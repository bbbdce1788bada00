//! Tests of what is asked of a tenant, and of the words for each kind of answer.

use std::sync::Mutex;
use std::time::Duration;

use super::*;
use crate::delivery::ErrorKind;
use crate::http::transport::{Exchange, NoResponse};

const TOKEN: &str = "canary-0a1b&2c";

/// Answers each request the same, and keeps what was asked.
struct Tenant {
    answer: Result<(u16, &'static str, &'static str), ErrorKind>,
    asked: Mutex<Vec<Verbatim>>,
}

impl Relay for Tenant {
    fn exchange(&self, request: &Verbatim) -> Exchange {
        self.asked.lock().unwrap().push(request.clone());
        let result = match self.answer {
            Ok((status, header, body)) => Ok(Exchanged {
                status,
                headers: header
                    .split_once(": ")
                    .map(|(n, v)| (n.to_owned(), v.as_bytes().to_vec()))
                    .into_iter()
                    .collect(),
                body: body.replace("TOKEN", TOKEN).into_bytes(),
                cut: None,
            }),
            Err(kind) => Err(NoResponse {
                error: AttemptError {
                    kind,
                    message: "no answer within 30s".to_owned(),
                },
                maybe_received: true,
            }),
        };
        Exchange {
            duration: Duration::ZERO,
            result,
        }
    }
}

fn tenant(answer: Result<(u16, &'static str, &'static str), ErrorKind>) -> Tenant {
    Tenant {
        answer,
        asked: Mutex::default(),
    }
}

fn portal(tenant: &Tenant) -> Portal<'_> {
    let (base, _) = BaseUrl::parse("https://acme-admin.example/prefix/").unwrap();
    Portal::new(tenant, base, "access_token", Secret::new(TOKEN), &[])
}

#[test]
fn the_token_goes_into_the_query_and_with_a_form_into_the_form() {
    let tenant = tenant(Ok((
        200,
        "date: Fri, 20 Nov 2026 10:00:00 GMT",
        "<webhooks-failures/>",
    )));
    let portal = portal(&tenant);
    assert_eq!(
        portal.failures().unwrap().date,
        crate::time::parse_list_time("2026-11-20T10:00:00Z")
    );
    portal
        .delete_failures(Some("2026-11-20 10:00:00 UTC"))
        .unwrap();
    portal.delete_failures(None).unwrap();
    portal
        .object("applications/find.xml", &[("application_id", "7")])
        .unwrap();
    portal
        .set_webhooks(&[("url".to_owned(), "https://h/?a=b".to_owned())])
        .unwrap();
    let asked = tenant.asked.lock().unwrap();
    let told: Vec<String> = asked
        .iter()
        .map(|r| format!("{} {}", r.method, r.url.expose()))
        .collect();
    let base = "https://acme-admin.example/prefix/admin/api";
    let token = "access_token=canary-0a1b%262c";
    assert_eq!(
        told,
        [
            format!("GET {base}/webhooks/failures.xml?{token}"),
            format!("DELETE {base}/webhooks/failures.xml?time=2026-11-20+10%3A00%3A00+UTC&{token}"),
            format!("DELETE {base}/webhooks/failures.xml?{token}"),
            format!("GET {base}/applications/find.xml?application_id=7&{token}"),
            format!("PUT {base}/webhooks.json"),
        ]
    );
    let form = String::from_utf8(asked[4].body.clone().unwrap()).unwrap();
    assert_eq!(form, format!("{token}&url=https%3A%2F%2Fh%2F%3Fa%3Db"));
}

#[test]
fn whatever_else_comes_is_told_in_words_without_the_token() {
    for (answer, words) in [
        (
            Ok((403, "", "")),
            "403 Forbidden: the tenant does not take the token",
        ),
        (
            Ok((403, "", "<html>TOKEN")),
            "403 Forbidden: the tenant does not take the token",
        ),
        (
            Ok((403, "", "{\"error\":\"TOKEN may only read\"}")),
            "403 Forbidden: the tenant does not take the token: *** may only read",
        ),
        (Ok((404, "", "")), "404 Not Found"),
        (
            Ok((
                422,
                "",
                "{\"errors\":{\"url\":[\"TOKEN is\\n invalid\",\"is too long\"],\"base\":[\"no\"]}}",
            )),
            "422 Unprocessable Entity: url *** is invalid; url is too long; no",
        ),
        (
            Ok((
                422,
                "",
                "<?xml version=\"1.0\"?><errors><error>Url &lt;x&gt;</error><error>no</error></errors>",
            )),
            "422 Unprocessable Entity: Url <x>; no",
        ),
        (
            Ok((422, "", "TOKEN is\n { bad")),
            "422 Unprocessable Entity: *** is { bad",
        ),
        (Ok((500, "", "")), "500 Internal Server Error"),
        (
            Ok((200, "", " <!DOCTYPE html><p>TOKEN")),
            "200 OK, and a page for a browser instead of data",
        ),
        (
            Ok((404, "", "<html><p>TOKEN")),
            "404 Not Found, and a page for a browser instead of data",
        ),
        (
            Ok((302, "location: https://h/login?back=TOKEN", "")),
            "302 Found: the tenant points to `https://h/login?back=***`",
        ),
        (
            Ok((302, "location: ", "")),
            "302 Found: the tenant points elsewhere and does not say where",
        ),
        (
            Ok((302, "", "")),
            "302 Found: the tenant points elsewhere and does not say where",
        ),
        (
            Err(ErrorKind::Timeout),
            "no answer within 30s (it may have been done all the same)",
        ),
    ] {
        let tenant = tenant(answer);
        let error = portal(&tenant)
            .delete_failures(None)
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            format!(
                "DELETE https://acme-admin.example/prefix/admin/api/webhooks/failures.xml: {words}"
            )
        );
    }
}
