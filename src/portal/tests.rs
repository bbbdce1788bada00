//! Requests to the portal, and the error for each kind of response.

use std::sync::Mutex;
use std::time::Duration;

use super::client::PortalClient;
use crate::delivery::ErrorKind;
use crate::http::{Completed, Request, Response, SendError, SendRequest};
use crate::secret::Secret;
use crate::secret::safe_url::BaseUrl;

const TOKEN: &str = "canary-0a1b&2c";

/// Gives each request the same response, and keeps the requests.
struct FakePortal {
    response: Result<(u16, &'static str, &'static str), ErrorKind>,
    requests: Mutex<Vec<Request>>,
}

impl SendRequest for &FakePortal {
    fn send(&self, request: Request) -> Completed {
        self.requests.lock().unwrap().push(request);
        let result = match self.response {
            Ok((status, header, body)) => Ok(Response {
                status,
                headers: header
                    .split_once(": ")
                    .map(|(n, v)| (n.to_owned(), v.as_bytes().to_vec()))
                    .into_iter()
                    .collect(),
                body: body.replace("TOKEN", TOKEN).into_bytes(),
                cut: None,
            }),
            Err(kind) => Err(SendError {
                kind,
                message: "no response within 30s".to_owned(),
                maybe_received: true,
            }),
        };
        Completed {
            duration: Duration::ZERO,
            result,
        }
    }
}

fn fake(response: Result<(u16, &'static str, &'static str), ErrorKind>) -> FakePortal {
    FakePortal {
        response,
        requests: Mutex::default(),
    }
}

fn portal(fake: &FakePortal) -> PortalClient<'_> {
    let (base, _) = BaseUrl::parse("https://acme-admin.example/prefix/").unwrap();
    PortalClient::new(fake, base, "access_token", Secret::new(TOKEN))
}

#[test]
fn token_goes_into_the_query_or_the_form() {
    let fake = fake(Ok((
        200,
        "date: Fri, 20 Nov 2026 10:00:00 GMT",
        "<webhooks-failures/>",
    )));
    let portal = portal(&fake);
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
    let requests = fake.requests.lock().unwrap();
    let urls: Vec<String> = requests
        .iter()
        .map(|r| format!("{} {}", r.method, r.url.expose()))
        .collect();
    let base = "https://acme-admin.example/prefix/admin/api";
    let token = "access_token=canary-0a1b%262c";
    assert_eq!(
        urls,
        [
            format!("GET {base}/webhooks/failures.json?{token}"),
            format!("DELETE {base}/webhooks/failures.xml?time=2026-11-20+10%3A00%3A00+UTC&{token}"),
            format!("DELETE {base}/webhooks/failures.xml?{token}"),
            format!("GET {base}/applications/find.xml?application_id=7&{token}"),
            format!("PUT {base}/webhooks.json"),
        ]
    );
    let form = String::from_utf8(requests[4].body.clone().unwrap()).unwrap();
    assert_eq!(form, format!("{token}&url=https%3A%2F%2Fh%2F%3Fa%3Db"));
}

#[test]
fn error_messages_never_contain_the_token() {
    for (response, message) in [
        (
            Ok((403, "", "")),
            "403 Forbidden: the portal refuses the token",
        ),
        (
            Ok((403, "", "<html>TOKEN")),
            "403 Forbidden: the portal refuses the token",
        ),
        (
            Ok((403, "", "{\"error\":\"TOKEN may only read\"}")),
            "403 Forbidden: the portal refuses the token: *** may only read",
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
            "302 Found: the portal redirects to `https://h/login?back=***`",
        ),
        (
            Ok((302, "location: ", "")),
            "302 Found: the portal redirects without saying where",
        ),
        (
            Ok((302, "", "")),
            "302 Found: the portal redirects without saying where",
        ),
        (
            Err(ErrorKind::Timeout),
            "no response within 30s (the change may have been made)",
        ),
    ] {
        let fake = fake(response);
        let error = portal(&fake).delete_failures(None).unwrap_err().to_string();
        assert_eq!(
            error,
            format!(
                "DELETE https://acme-admin.example/prefix/admin/api/webhooks/failures.xml: {message}"
            )
        );
    }
}
