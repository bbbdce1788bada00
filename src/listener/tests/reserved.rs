//! The reserved paths: the page, the calls to the desk, who may make them, and that none of it is caught.

use std::sync::Mutex;

use super::super::{Access, Front};
use super::*;
use crate::listener::desk::{Call, Desk, Reply};
use crate::secret::Secret;

/// Notes what it is asked, and says the method and path back.
#[derive(Default)]
pub(super) struct Clerk {
    pub calls: Mutex<Vec<Call>>,
    /// What it says when it is asked for its version.
    pub version: Mutex<u32>,
}

impl Desk for Clerk {
    fn answer(&self, call: &Call) -> Reply {
        let path = call.path.join("|");
        if path.ends_with("version") {
            return Reply {
                status: 200,
                content_type: "text/plain",
                body: self.version.lock().unwrap().to_string().into(),
            };
        }
        self.calls.lock().unwrap().push(call.clone());
        let status = if path.ends_with("nothing") { 404 } else { 200 };
        Reply {
            status,
            content_type: "application/json",
            body: format!("{} {path}", call.method).into(),
        }
    }
}

const PAGE: &str =
    "<script nonce=\"{{nonce}}\">token='{{token}}'</script><style nonce=\"{{nonce}}\"></style>";

pub(super) fn front(clerk: &Arc<Clerk>) -> Front {
    let desk = Arc::clone(clerk) as Arc<dyn Desk>;
    Front {
        desk,
        page: PAGE,
        access: Access::Loopback,
        allow_origin: None,
        as_tenant: false,
    }
}

pub(super) fn catcher_with_front(
    clerk: &Arc<Clerk>,
    choose: impl FnOnce(&mut Front),
) -> TestCatcher {
    let mut front = front(clerk);
    choose(&mut front);
    catcher_set_up("201", |setup| setup.front = Some(front))
}

fn ask(catcher: &TestCatcher, line: &str, headers: &str) -> Answer {
    let host = if headers.to_ascii_lowercase().contains("host:") {
        ""
    } else {
        "Host: localhost\r\n"
    };
    Client::sending(catcher, format!("{line} HTTP/1.1\r\n{host}{headers}\r\n")).answer()
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

fn page_token(page: &Answer) -> String {
    let (_, rest) = page.body.split_once("token='").unwrap();
    rest.split_once('\'').unwrap().0.to_owned()
}

#[test]
fn calls_reach_the_desk_decoded_and_whole_and_nothing_of_it_is_caught() {
    let clerk = Arc::default();
    let catcher = catcher_with_front(&clerk, |_| {});
    let mut client = Client::connect(&catcher);
    client.send(
        "POST /api/v1/bins/a%20b/?x=1%262&y=+ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n2\r\n1}\r\n0\r\n\r\n",
    );
    let answer = client.answer();
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, "POST api|v1|bins|a b")
    );
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("access-control-allow-origin"), None);
    let calls = std::mem::take(&mut *clerk.calls.lock().unwrap());
    assert_eq!(
        calls[0].query,
        [("x", "1&2"), ("y", " ")].map(|(n, v)| (n.to_owned(), v.to_owned()))
    );
    assert_eq!(
        (calls[0].content_type.as_str(), calls[0].body.as_slice()),
        ("application/json", &b"{\"a\":1}"[..])
    );
    client.send("GET /api/v1/bins/nothing HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.answer().status, 404);

    // The same connection goes on to be caught, byte for byte.
    let head = "POST /hook HTTP/1.1\r\nx-ODD: 1\r\nContent-Length: 3\r\n\r\n";
    client.send(format!(
        "{head}abcGET /api/v1/bins HTTP/1.1\r\nHost: localhost\r\n\r\n{head}def"
    ));
    assert_eq!(
        [
            client.answer().status,
            client.answer().status,
            client.answer().status
        ],
        [201, 200, 201]
    );
    for body in ["abc", "def"] {
        let capture = caught(&catcher);
        assert_eq!(
            (capture.head.as_slice(), capture.body.as_slice()),
            (head.as_bytes(), body.as_bytes())
        );
    }
    assert!(catcher.try_caught().is_err());
}

#[test]
fn head_and_options_are_understood_on_reserved_paths() {
    let clerk = Arc::default();
    let catcher = catcher_with_front(&clerk, |_| {});
    let mut client = Client::sending(
        &catcher,
        "HEAD /api/v1/bins HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    );
    let head = String::from_utf8(client.until_closed().unwrap()).unwrap();
    assert!(
        head.starts_with("HTTP/1.1 200")
            && head.contains("content-length: 15")
            && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    assert_eq!(clerk.calls.lock().unwrap()[0].method, "GET");
    for method in ["OPTIONS", "PATCH", "BREW"] {
        let refused = ask(&catcher, &format!("{method} /api/v1/bins"), "");
        assert_eq!(
            (refused.status, refused.header("allow")),
            (405, Some("get, head, post, put, delete")),
            "{method}"
        );
        let refused = ask(&catcher, &format!("{method} /_hookfire/"), "");
        assert_eq!(
            (refused.status, refused.header("allow")),
            (405, Some("get, head")),
            "{method}"
        );
    }
    assert_eq!(ask(&catcher, "GET /_hookfire/nothing", "").status, 404);
    assert!(catcher.try_caught().is_err());
}

#[test]
fn the_page_is_sealed_and_new_each_time() {
    let catcher = catcher_with_front(&Arc::default(), |_| {});
    let mut nonces = Vec::new();
    for path in [
        "/_hookfire/",
        "/_hookfire",
        "/bin?inspect",
        "/bin/more?a=1&inspect",
    ] {
        let page = ask(&catcher, &format!("GET {path}"), "");
        assert_eq!(page.status, 200, "{path}");
        assert_eq!(
            page.header("content-type"),
            Some("text/html; charset=utf-8")
        );
        let policy = page.header("content-security-policy").unwrap();
        let (_, rest) = policy.split_once("script-src 'nonce-").unwrap();
        let nonce = rest.split_once('\'').unwrap().0;
        assert_eq!(
            policy,
            format!(
                "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; \
                 img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
            )
        );
        assert_eq!(page.body.matches(&format!("nonce=\"{nonce}\"")).count(), 2);
        assert!(!page.body.contains("{{"));
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
        ] {
            assert_eq!(page.header(name), Some(value));
        }
        assert_eq!(page.header("set-cookie"), None);
        nonces.push(nonce.to_owned());
    }
    nonces.sort();
    nonces.dedup();
    assert_eq!(nonces.len(), 4);
    assert!(catcher.try_caught().is_err());
    // Only a GET inspects; what else has the word in its query is caught.
    assert_eq!(
        ask(&catcher, "POST /bin?inspect", "Content-Length: 0\r\n").status,
        201
    );
    assert_eq!(caught(&catcher).target, "/bin?inspect");
}

#[test]
fn only_the_page_changes_something_and_only_under_a_name_of_this_machine() {
    let clerk: Arc<Clerk> = Arc::default();
    let catcher = catcher_with_front(&clerk, |_| {});
    let token = page_token(&ask(&catcher, "GET /_hookfire/", ""));
    let delete = "DELETE /_hookfire/api/captures/1";
    let refused = ask(&catcher, delete, "");
    assert_eq!(
        (refused.status, refused.body.as_str()),
        (403, "only the page may change something here\n")
    );
    assert_eq!(
        ask(&catcher, delete, "X-Hookfire-Token: wrong\r\n").status,
        403
    );
    let evil = format!("X-Hookfire-Token: {token}\r\nOrigin: http://evil.example\r\n");
    assert_eq!(ask(&catcher, delete, &evil).status, 403);
    let rebound = ask(&catcher, "GET /_hookfire/", "Host: evil.example\r\n");
    assert_eq!(rebound.status, 403);
    assert!(
        !rebound.body.contains(&token) && rebound.body.contains("localhost"),
        "{rebound:?}"
    );
    assert_eq!(
        ask(
            &catcher,
            "POST /api/v1/bins",
            "Sec-Fetch-Site: cross-site\r\nContent-Length: 0\r\n"
        )
        .status,
        403
    );
    assert!(clerk.calls.lock().unwrap().is_empty());
    assert_eq!(
        ask(&catcher, delete, &format!("X-Hookfire-Token: {token}\r\n")).status,
        200
    );
    assert_eq!(
        ask(&catcher, "POST /api/v1/bins", "Content-Length: 0\r\n").status,
        200
    );
    // A body that nobody reads does not keep the refusal from its sender, and is no request of its own.
    let body = "x".repeat(300_000);
    let mut client = Client::sending(
        &catcher,
        format!("{delete} HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n"),
    );
    client.send(body);
    assert_eq!(client.answer().status, 403);
    assert_eq!(client.until_closed().unwrap(), b"");
    assert!(catcher.try_caught().is_err());
}

#[test]
fn an_exposed_page_gives_the_holder_of_the_token_a_cookie() {
    let catcher = catcher_with_front(&Arc::default(), |front| {
        front.access = Access::Token(Secret::new("T0ken"))
    });
    let refused = ask(&catcher, "GET /_hookfire/", "Host: any.example\r\n");
    assert_eq!(
        (refused.status, refused.header("www-authenticate")),
        (401, Some("bearer"))
    );
    let page = ask(
        &catcher,
        "GET /_hookfire/?token=T0ken",
        "Host: any.example\r\n",
    );
    let cookie = page.header("set-cookie").unwrap();
    let port = catcher.addr().port();
    // The client of these tests lower-cases headers.
    assert_eq!(
        cookie,
        format!("hookfire_{port}=t0ken; path=/_hookfire; httponly; samesite=strict")
    );
    let with_cookie = format!("Host: any.example\r\nCookie: hookfire_{port}=T0ken\r\n");
    assert_eq!(
        ask(&catcher, "GET /_hookfire/api/captures", &with_cookie).status,
        200
    );
    assert_eq!(
        ask(&catcher, "GET /_hookfire/events", "Host: any.example\r\n").status,
        401
    );
    assert_eq!(
        ask(
            &catcher,
            "GET /api/v1/bins",
            "Host: any.example\r\nAuthorization: bearer T0ken\r\n"
        )
        .status,
        200
    );
    assert_eq!(
        ask(&catcher, "GET /bin?inspect", "Host: any.example\r\n").status,
        401
    );
    // To send something takes no token.
    assert_eq!(
        ask(&catcher, "POST /bin", "Content-Length: 0\r\n").status,
        201
    );
}

#[test]
fn another_origin_is_let_into_the_api_if_asked_for() {
    let allow = |origin: &str| Some(origin.to_owned());
    let catcher = catcher_with_front(&Arc::default(), |front| {
        front.allow_origin = allow("http://app.example")
    });
    let from = "Origin: http://app.example\r\n";
    let answer = ask(&catcher, "GET /api/v1/bins", from);
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (200, Some("http://app.example"))
    );
    assert_eq!(answer.header("cross-origin-resource-policy"), None);
    let asked = format!("{from}Access-Control-Request-Method: POST\r\n");
    let preflight = ask(&catcher, "OPTIONS /api/v1/bins", &asked);
    assert_eq!(
        (
            preflight.status,
            preflight.header("access-control-allow-origin")
        ),
        (204, Some("http://app.example"))
    );
    assert_eq!(
        preflight.header("access-control-allow-headers"),
        Some("authorization, content-type")
    );
    let page = ask(&catcher, "GET /_hookfire/api/captures", "");
    assert_eq!(
        (page.status, page.header("access-control-allow-origin")),
        (200, None)
    );
    assert_eq!(
        ask(&catcher, "GET /_hookfire/api/captures", from).status,
        403
    );
}

#[test]
fn what_others_have_written_is_kept_apart_from_the_page() {
    let apart = Some("sandbox allow-scripts allow-forms");
    let policy = |choose: &dyn Fn(&mut Setup)| {
        let catcher = catcher_set_up("200", |setup| choose(setup));
        ask(&catcher, "GET /", "")
            .header("content-security-policy")
            .map(str::to_owned)
    };
    let front = || Some(front(&Arc::default()));
    assert_eq!(
        policy(&|setup| setup.front = front()),
        None,
        "its own words need none"
    );
    let html = |setup: &mut Setup| {
        setup.response_headers = vec![("Content-Type".to_owned(), "text/html".to_owned())]
    };
    assert_eq!(policy(&html), None, "there is no page");
    let with_header = policy(&|setup| {
        html(setup);
        setup.front = front();
    });
    assert_eq!(with_header.as_deref(), apart);
    let with_body = policy(&|setup| {
        setup.response_body = Some(b"<script>".to_vec());
        setup.front = front();
    });
    assert_eq!(with_body.as_deref(), apart);
}

#[test]
fn a_malformed_request_for_a_reserved_path_is_kept() {
    let catcher = catcher_with_front(&Arc::default(), |_| {});
    let head = "POST /api/v1/bins HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(
        Client::sending(&catcher, format!("{head}0\r\n\r\n"))
            .answer()
            .status,
        400
    );
    let capture = caught(&catcher);
    assert_eq!(
        (capture.head.as_slice(), capture.malformed),
        (head.as_bytes(), true)
    );
    // Too much for a call is refused, and is no capture.
    let mut client = Client::sending(
        &catcher,
        "POST /api/v1/bins HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000000\r\n\r\n",
    );
    client.send(vec![b'x'; 2_000_000]);
    assert_eq!(client.answer().status, 413);
    assert_eq!(client.until_closed().unwrap(), b"");
    assert!(catcher.try_caught().is_err());
}

#[test]
fn without_a_front_nothing_is_reserved() {
    let catcher = catcher("200");
    for path in ["/_hookfire/", "/api/v1/bins", "/bin?inspect"] {
        assert_eq!(
            ask(&catcher, &format!("GET {path}"), "Host: evil.example\r\n").status,
            200
        );
        assert_eq!(caught(&catcher).target, path);
    }
}
