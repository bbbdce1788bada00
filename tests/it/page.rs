//! The web UI in a browser: captures, deliveries, and the effect of the buttons.

use serde_json::Value;

use crate::support::browser::{Browser, DOWN, ENTER, ESCAPE, UP};
use crate::support::{Listener, Server, TestEnv, needs, respond};

/// Opens the page and waits until it receives live updates.
fn open(browser: &Browser, listener: &Listener, place: &str) {
    browser.open(&format!("{}/_hookfire/{place}", listener.url()));
    browser.wait_for_text("#live", "Live");
}

fn rows(browser: &Browser, list: &str) -> Vec<String> {
    let script = format!(
        "return [...document.querySelectorAll('{list} [role=option]')].map(row => row.innerText)"
    );
    browser
        .script(&script)
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row.as_str().unwrap().to_owned())
        .collect()
}

fn wait_for_rows(browser: &Browser, count: usize) {
    browser.wait_for(&format!(
        "document.querySelectorAll('#list [role=option]').length === {count}"
    ));
}

fn focused(browser: &Browser) -> String {
    browser
        .script("return document.activeElement.id || document.activeElement.tagName")
        .as_str()
        .unwrap()
        .to_owned()
}

/// Allows the page to use the clipboard, and returns its content.
fn clipboard(browser: &Browser) -> String {
    browser
        .wait_for("navigator.clipboard.readText()")
        .as_str()
        .unwrap()
        .to_owned()
}

fn allow_clipboard(browser: &Browser, listener: &Listener) {
    let permissions = ["clipboardReadWrite", "clipboardSanitizedWrite"];
    let grant = serde_json::json!({ "origin": listener.url(), "permissions": permissions });
    browser.devtools("Browser.grantPermissions", &grant);
}

#[test]
fn a_capture_appears_without_reload() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &[]);
    let Some(browser) = Browser::start() else {
        return;
    };
    open(&browser, &listener, "");
    browser.wait_for_text("#detail", "Waiting for the first request");
    let hint = format!(
        "hookfire fire application created --url {}/",
        listener.url()
    );
    assert!(
        browser.text("#detail").contains(&hint),
        "{}",
        browser.text("#detail")
    );
    browser.script("window.notReloaded = true");

    env.hookfire([
        "fire",
        "application",
        "created",
        "--url",
        &format!("{}/hook", listener.url()),
    ])
    .run()
    .assert_code(0);
    wait_for_rows(&browser, 1);
    assert!(
        rows(&browser, "#list")[0].contains("application.created"),
        "{:?}",
        rows(&browser, "#list")
    );
    browser.wait_for_text("#detail h2", "application.created");
    assert!(
        browser
            .text("#detail")
            .contains("\n  <type>application</type>\n"),
        "{}",
        browser.text("#detail")
    );
    listener
        .send(b"PUT /second HTTP/1.1\r\nHost: h\r\nX-Odd: 1\r\nx-odd: 2\r\nContent-Length: 13\r\n\r\n{\"n\":1.00e+1}");
    wait_for_rows(&browser, 2);
    browser.click("#list [role=option]");
    browser.wait_for_text("#detail h2", "PUT /second");
    let shown = browser.text("#detail");
    let headers: Vec<&str> = shown
        .lines()
        .filter(|line| line.eq_ignore_ascii_case("x-odd"))
        .collect();
    assert_eq!(
        headers,
        ["X-Odd", "x-odd"],
        "in order, in their own case:\n{shown}"
    );
    assert!(
        shown.contains("\"n\": 1.00e+1"),
        "a number keeps its spelling:\n{shown}"
    );
    assert_eq!(browser.script("return window.notReloaded"), true);
    browser.wait_for("document.querySelector('#captures-count').innerText === '2'");
}

#[test]
fn inspect_opens_the_bin() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &[]);
    let Some(browser) = Browser::start() else {
        return;
    };
    let made = listener
        .send(b"POST /api/v1/bins HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n");
    let bin = made.json();
    let name = bin["name"].as_str().unwrap();
    browser.open(&format!("{}/{name}?inspect", listener.url()));
    browser.wait_for_text(
        "#detail",
        &format!("curl -d 'hello' {}/{name}", listener.url()),
    );
    browser.wait_for_text("#live", "Live");
    for path in ["elsewhere".to_owned(), format!("{name}/hook")] {
        listener.send(format!("POST /{path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
    }
    browser.wait_for_text("#detail h2", &format!("POST /{name}/hook"));
    assert_eq!(rows(&browser, "#list").len(), 1);
    browser.wait_for(
        "[...document.querySelector('#bin').options].some(option => option.text === 'inbox (1)')",
    );
}

#[test]
fn keyboard_navigates_and_filters_the_list() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &[]);
    let Some(browser) = Browser::start() else {
        return;
    };
    for path in ["/one", "/two", "/three"] {
        listener.send(format!("POST {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
    }
    open(&browser, &listener, "");
    wait_for_rows(&browser, 3);
    browser.wait_for_text("#detail h2", "POST /three");
    browser.keys(DOWN);
    browser.wait_for_text("#detail h2", "POST /two");
    browser.keys(DOWN);
    browser.wait_for_text("#detail h2", "POST /one");
    browser.keys(UP);
    browser.wait_for_text("#detail h2", "POST /two");
    let active =
        "document.getElementById(document.activeElement.getAttribute('aria-activedescendant'))";
    assert_eq!(
        browser.script(&format!("return {active}.getAttribute('aria-selected')")),
        "true"
    );

    browser.keys("/");
    assert_eq!(focused(&browser), "filter");
    browser.keys("pOSt thr");
    wait_for_rows(&browser, 1);
    browser.keys(ENTER);
    browser.wait_for_text("#detail h2", "POST /three");
    assert_eq!(focused(&browser), "list");
    browser.keys(ENTER);
    browser.wait_for("document.activeElement.tagName === 'H2'");
    browser.keys(ESCAPE);
    assert_eq!(focused(&browser), "list");
    browser.keys("/");
    browser.keys(ESCAPE);
    wait_for_rows(&browser, 3);
    assert_eq!(focused(&browser), "list");
    browser.keys("/nothing-like-that");
    browser.wait_for_text("#list-foot", "No captures match");
}

#[test]
fn page_masks_secrets_and_copies_a_working_curl_command() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &["--require-secret", "token=canary"]);
    let Some(browser) = Browser::start() else {
        return;
    };
    let body = "{\"a\": \"it's <b>\"}";
    let head = "POST /a%20b?token=canary&x=1 HTTP/1.1\r\nHost: HOST\r\nContent-Type: application/json\r\nX-Odd: a  b";
    let head = head.replace("HOST", listener.url().trim_start_matches("http://"));
    listener.send(format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
    open(&browser, &listener, "");
    allow_clipboard(&browser, &listener);
    browser.wait_for_text("#detail h2", "POST /a%20b");
    assert!(
        !browser
            .script("return document.documentElement.outerHTML")
            .as_str()
            .unwrap()
            .contains("canary")
    );
    browser.click("#copy-curl");
    browser.wait_for_text("#toast", "Copied as curl without secret values");
    assert!(!clipboard(&browser).contains("canary"));

    browser.click("#reveal");
    browser.wait_for_text("#detail", "canary");
    browser.click("#copy-curl");
    browser.wait_for("document.querySelector('#toast').innerText === 'Copied as curl'");
    let command = clipboard(&browser);
    assert!(
        command.starts_with("curl ") && command.contains("canary"),
        "{command}"
    );
    if needs("curl", &["--version"]) {
        let ran = std::process::Command::new("sh")
            .args(["-c", &command])
            .output()
            .unwrap();
        assert!(ran.status.success(), "{command}");
        wait_for_rows(&browser, 2);
        let both = listener.inbox();
        for what in ["method", "path", "query_string", "body"] {
            assert_eq!(both[0][what], both[1][what], "{what} of {command}");
        }
        assert_eq!(both[0]["headers"]["X-Odd"], "a  b");
    }
}

#[test]
fn page_deletes_only_after_confirmation() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &[]);
    let Some(browser) = Browser::start() else {
        return;
    };
    for path in ["/one", "/two", "/three"] {
        listener.send(format!("POST {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
    }
    open(&browser, &listener, "");
    browser.wait_for_text("#detail h2", "POST /three");
    browser.click("#delete");
    browser.wait_for("document.activeElement.innerText === 'Cancel'");
    browser.keys(ESCAPE);
    browser.wait_for("!document.querySelector('#dialog').open");
    assert_eq!(listener.inbox().len(), 3);
    browser.click("#delete");
    browser.click("#confirm");
    wait_for_rows(&browser, 2);
    browser.wait_for_text("#detail h2", "POST /two");
    assert_eq!(listener.inbox().len(), 2);
    browser.click("#clear");
    browser.wait_for_text("#dialog", "2 captures");
    listener.get("/while-the-question-is-open");
    browser.click("#confirm");
    browser.wait_for_text("#detail h2", "GET /while-the-question-is-open");
    assert_eq!(listener.inbox().len(), 1);
}

#[test]
fn page_shows_changes_by_other_processes() {
    let env = TestEnv::new();
    let [listener, other] = [(); 2].map(|()| Listener::start(&env, &[]));
    let Some(browser) = Browser::start() else {
        return;
    };
    // The page requests the deleted one once.
    let browser = browser.lenient();
    open(&browser, &listener, "");
    listener.get("/own");
    wait_for_rows(&browser, 1);
    other.get("/others");
    wait_for_rows(&browser, 2);
    browser.click("#list [role=option]");
    browser.wait_for_text("#detail h2", "GET /others");
    env.hookfire(["captured", "delete", "1", "2"])
        .run()
        .assert_code(0);
    wait_for_rows(&browser, 0);
    browser.wait_for_text("#detail", "there is no capture #2");
}

#[test]
fn page_works_after_a_restart_of_the_listener() {
    let env = TestEnv::new();
    let listener = Listener::start_to_be_followed(&env, &[]);
    let Some(browser) = Browser::start() else {
        return;
    };
    let browser = browser.lenient();
    listener.get("/one");
    open(&browser, &listener, "");
    wait_for_rows(&browser, 1);
    browser.script("window.ofTheFirst = true");
    let port = listener.port().to_string();
    listener.stop();
    let mut again = env
        .hookfire(["listen", "--port", &port, "-o", "ndjson"])
        .spawn();
    again.wait_for_stdout_line("\"ready\"");
    // Polled from here, because a script that waits in the page ends with it.
    let limit = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while browser.script("return window.ofTheFirst === undefined") != true {
        assert!(
            std::time::Instant::now() < limit,
            "the page is still the first listener's"
        );
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    browser.wait_for_text("#live", "Live");
    wait_for_rows(&browser, 1);
    browser.click("#delete");
    browser.click("#confirm");
    wait_for_rows(&browser, 0);
    let list = env
        .hookfire(["captured", "list", "-o", "ndjson"])
        .run()
        .assert_code(0);
    assert!(list.ndjson().is_empty(), "{list}");
    again.terminate();
    again.wait().assert_code(0);
}

#[test]
fn a_failed_delivery_is_retried_from_the_page() {
    let env = TestEnv::new();
    let endpoint = Server::script(vec![
        respond(503).body("<b>down</b>").times(2),
        respond(200),
    ]);
    for action in ["created", "updated"] {
        let args = [
            "fire",
            "user",
            action,
            "--no-retry",
            "--url",
            &endpoint.url(),
        ];
        env.hookfire(args).run().assert_code(3);
    }
    let listener = Listener::start(&env, &[]);
    let Some(browser) = Browser::start() else {
        return;
    };
    open(&browser, &listener, "#/deliveries");
    browser.wait_for_text("#delivery h2", "user.updated");
    assert_eq!(rows(&browser, "#delivery-list").len(), 2);
    let timeline = browser.text("#delivery .timeline");
    assert!(timeline.contains("503 Service Unavailable"), "{timeline}");
    let chart =
        browser.script("return document.querySelector('#chart svg').getAttribute('aria-label')");
    assert_eq!(
        chart,
        "Deliveries accepted in the last 24 hours: 0 delivered, 2 failed, 0 pending"
    );
    browser.click("#retry");
    browser.wait_for_text("#delivery h2", "delivered");
    browser.wait_for("document.querySelectorAll('#delivery-list [role=option]').length === 1");
    assert_eq!(browser.text("#failed-count"), "1");
    let ids: Vec<String> = endpoint
        .requests()
        .iter()
        .map(|request| request.header("webhook-id").unwrap().to_owned())
        .collect();
    assert!(
        ids.len() == 3 && ids[1] == ids[2] && ids[0] != ids[1],
        "{ids:?}"
    );
    let left = env
        .hookfire(["failed", "list", "-o", "json"])
        .run()
        .assert_code(0)
        .json();
    assert_eq!(
        left.as_array()
            .unwrap()
            .iter()
            .map(|delivery| &delivery["id"])
            .collect::<Vec<_>>(),
        [1]
    );

    browser.click("#delivery-list [role=option]");
    browser.wait_for_text("#delivery h2", "failed");
    browser.click("#delete-delivery");
    browser.click("#confirm");
    browser.wait_for_text("#delivery", "No failed deliveries");
    assert_eq!(
        env.hookfire(["failed", "list", "-o", "json"])
            .run()
            .assert_code(0)
            .json(),
        Value::Array(vec![])
    );
}

#[test]
fn page_shows_deliveries_of_any_payload() {
    let env = TestEnv::new();
    env.write_file("order.json", "{\"type\":\"order.paid\",\"amount\":10.50}");
    env.write_file("photo.png", b"\x89PNG\xff\0");
    let response = respond(503).header("X-Request-Id", "r-42").times(2);
    let endpoint = Server::script(vec![response]);
    for body in ["order.json", "photo.png"] {
        let fire = ["fire", "--body", body, "--method", "PUT", "--no-retry"];
        let url = endpoint.url();
        env.hookfire(fire)
            .args(["--url", &url])
            .run()
            .assert_code(3);
    }
    let listener = Listener::start(&env, &[]);
    let Some(browser) = Browser::start() else {
        return;
    };
    open(&browser, &listener, "#/deliveries/1");
    browser.wait_for_text("#delivery h2", "order.paid");
    let shown = browser.text("#delivery");
    assert!(shown.contains("PUT"), "{shown}");
    assert!(shown.contains("\"amount\": 10.50"), "{shown}");
    browser.click("#delivery .timeline summary");
    browser.wait_for_text("#delivery .timeline", "r-42");
    open(&browser, &listener, "#/deliveries/2");
    browser.wait_for_text("#delivery", "image/png");
    let shown = browser.text("#delivery");
    assert!(shown.contains("89 50 4e 47"), "{shown}");
    assert!(rows(&browser, "#delivery-list")[0].starts_with("PUT"));
}

#[test]
fn page_retries_all_after_confirmation() {
    let env = TestEnv::new();
    let endpoint = Server::script(vec![respond(503).times(12), respond(200).times(12)]);
    for _ in 0..12 {
        env.hookfire([
            "fire",
            "user",
            "created",
            "--no-retry",
            "--url",
            &endpoint.url(),
        ])
        .run()
        .assert_code(3);
    }
    let listener = Listener::start(&env, &[]);
    let Some(browser) = Browser::start() else {
        return;
    };
    open(&browser, &listener, "#/deliveries");
    browser.wait_for_text("#delivery-foot", "12 deliveries");
    browser.click("#retry-all");
    browser.wait_for_text("#dialog", "Retry 12 failed deliveries?");
    browser.click("#confirm");
    browser.wait_for_text("#toast", "12 deliveries of 12 delivered");
    browser.wait_for_text("#delivery-foot", "No failed deliveries.");
}

#[test]
fn page_replays_a_capture_to_a_given_url() {
    let env = TestEnv::new();
    let endpoint = Server::script(vec![
        respond(200).body("thanks"),
        respond(404).body("<h1>no</h1>"),
        respond(204),
    ]);
    let listener = Listener::start(&env, &[]);
    let Some(browser) = Browser::start() else {
        return;
    };
    listener
        .send(b"PUT /hook?a=1 HTTP/1.1\r\nHost: h\r\nAuthorization: canary\r\nX-A: 1\r\nContent-Length: 4\r\n\r\nbody");
    open(&browser, &listener, "");
    browser.click("#send-again");
    browser.wait_for("document.activeElement.id === 'send-to'");
    let kept = || browser.script("return localStorage.getItem('hookfire.send-to')");
    browser.keys(&endpoint.url().replace("http://", "http://user:pass@"));
    browser.keys(ENTER);
    browser.wait_for_text("#dialog .result", "user or password");
    browser.script("document.querySelector('#send-to').value = ''");
    browser.click("#send-to");
    browser.keys(&endpoint.url());
    browser.keys(ENTER);
    browser.wait_for_text("#dialog .result", "carries `Authorization`");
    assert_eq!(
        endpoint.requests().len(),
        0,
        "credentials are for the host that they came for"
    );
    assert_eq!(kept(), Value::Null, "what was refused is not remembered");
    browser.click("#send-credentials");
    browser.click("#dialog [type=submit]");
    browser.wait_for_text("#dialog .result", "status 200");
    browser.wait_for_text("#dialog .result", "thanks");
    browser.click("#dialog [type=submit]");
    browser.wait_for_text("#dialog .result", "status 404");
    browser.wait_for_text("#dialog .result", "<h1>no</h1>");
    browser.script("document.querySelector('#send-to').value += '/T0/secret?token=x'");
    browser.click("#dialog [type=submit]");
    browser.wait_for_text("#dialog .result", "status 204");
    assert_eq!(kept(), endpoint.url(), "neither path nor query");
    let sent = endpoint.requests();
    assert_eq!(
        (
            sent[0].method.as_str(),
            sent[0].target.as_str(),
            &sent[0].body[..]
        ),
        ("PUT", "/hook?a=1", &b"body"[..])
    );
    assert_eq!(sent[0].header("authorization"), Some("canary"));
    assert_eq!(sent[0].header("x-a"), Some("1"));
}

#[test]
fn page_shows_a_later_response() {
    let upstream = Server::script(vec![respond(201).held()]);
    let env = TestEnv::new();
    let listener = Listener::start(&env, &["--forward-to", &upstream.url()]);
    let Some(browser) = Browser::start() else {
        return;
    };
    open(&browser, &listener, "");
    std::thread::scope(|scope| {
        scope.spawn(|| listener.get("/slow"));
        browser.wait_for_text("#detail .response", "no response");
        upstream.release();
        browser.wait_for_text("#detail .response", "201");
    });
}

#[test]
fn page_shows_the_start_of_a_large_body_with_a_link() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &["--max-body", "16MiB", "--max-buffered", "64MiB"]);
    let Some(browser) = Browser::start() else {
        return;
    };
    listener.post("/", &format!("[{}1]", "1,".repeat(300_000)));
    open(&browser, &listener, "");
    browser.wait_for_text("#body", "Only the beginning of this large body");
    browser.wait_for_text("#body", "[\n  1,\n  1,");
    let size = browser.wait_for(
        "fetch(document.querySelector('#download').href).then(a => a.text()).then(t => t.length)",
    );
    assert_eq!(size, 600_003);
    listener.post("/", &format!("[{}1]", "1,".repeat(5_000_000)));
    wait_for_rows(&browser, 2);
    browser.click("#list-2");
    browser.wait_for_text("#body", "Not formatted: it is longer than 8 MiB");
    listener.post("/", "[1]");
    wait_for_rows(&browser, 3);
    browser.click("#list-3");
    browser.wait_for("!document.querySelector('#body').innerText.includes('Only the beginning')");
}

#[test]
fn malformed_capture_opens_as_raw_bytes() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &[]);
    let Some(browser) = Browser::start() else {
        return;
    };
    listener.post("/good", "<a/>");
    let twice =
        b"POST /cut HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n<cut";
    assert_eq!(listener.send(twice).status, 400);
    listener.send(b"\x16\x03\x01\x02\x00 not HTTP\r\n\r\n");
    open(&browser, &listener, "");
    wait_for_rows(&browser, 3);
    let open_row = |row: u32| {
        browser.click(&format!("#list [role=option]:nth-of-type({row})"));
        let id = 4 - row;
        browser.wait_for_text("#detail .facts", &format!("#{id}"));
        let shows_raw = browser.script(
            "return document.querySelector('.part:last-child [aria-pressed=true]').innerText",
        );
        let buttons = browser.text("#detail .actions");
        (shows_raw.as_str().unwrap().to_owned(), buttons)
    };
    for row in [1, 2] {
        let (view, buttons) = open_row(row);
        assert_eq!(
            (&*view, &*buttons),
            ("Raw request", "Compare…\nPin\nNote…\nDelete"),
            "{row}"
        );
    }
    let raw = browser.text("#detail .part:last-child");
    assert!(raw.contains("Content-Length: 2"), "{raw}");
    let (view, buttons) = open_row(3);
    assert_eq!(view, "Pretty", "a complete capture is shown as before");
    assert!(buttons.contains("Copy as curl"), "{buttons}");
}

#[test]
fn commands_on_the_page_name_the_journal() {
    let env = TestEnv::new();
    let journal = env.work_dir().join("it's here/<b>.db");
    let journal = journal.to_str().unwrap();
    let listener = Listener::start(&env, &["--journal", journal]);
    let Some(browser) = Browser::start() else {
        return;
    };
    open(&browser, &listener, "");
    let program = format!("hookfire --journal '{}'", journal.replace('\'', r"'\''"));
    browser.wait_for_text("#detail", &format!("{program} fire application created"));
    listener.post("/a", "a");
    listener.send(b"POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n\xff\xfe");
    wait_for_rows(&browser, 2);
    browser.click("#list [role=option]");
    browser.wait_for_text("#detail", &format!("{program} captured show 2 --body"));
    let missing = listener.get("/_hookfire/api/captures/9").json();
    assert!(
        missing["error"]["hints"][0]
            .as_str()
            .unwrap()
            .contains("`hookfire ")
    );
    browser.script("say('x', ['`hookfire captured list` lists all captures'])");
    browser.wait_for_text("#toast", &format!("{program} captured list"));
}

#[test]
fn page_sends_or_cancels_a_scheduled_delivery() {
    let env = TestEnv::new();
    let endpoint = Server::script(vec![respond(503).times(3), respond(200)]);
    let url = format!("{}/hooks", endpoint.url());
    for action in ["created", "updated"] {
        let args = ["fire", "user", action, "--background", "--url", &url];
        env.hookfire(args).run().assert_code(0);
    }
    let listener = Listener::start(&env, &[]);
    let Some(browser) = Browser::start() else {
        return;
    };
    open(&browser, &listener, "#/deliveries");
    browser.wait_for_text("#which", "Scheduled 2");
    browser.click("#which [data-list=scheduled]");
    browser.wait_for_text("#delivery h2", "user.updated pending");
    for row in rows(&browser, "#delivery-list") {
        assert!(row.contains("/hooks") && row.contains("503"), "{row}");
        assert!(row.contains("next attempt at"), "{row}");
    }
    browser.click("#retry-now");
    browser.wait_for_text("#toast", "Next attempt");
    browser.wait_for("document.querySelectorAll('#delivery .timeline li').length === 2");
    browser.click("#retry-now");
    browser.wait_for_text("#delivery h2", "delivered");
    browser.wait_for_text("#which", "Scheduled 1");

    browser.click("#delivery-list [role=option]");
    browser.wait_for_text("#delivery h2", "user.created pending");
    browser.click("#cancel-delivery");
    browser.wait_for_text("#delivery h2", "interrupted");
    browser.wait_for_text("#delivery-foot", "No scheduled deliveries");
    let failed = env.hookfire(["failed", "list", "-o", "json"]).run();
    assert_eq!(failed.json()[0]["id"], 1);
    assert_eq!(endpoint.requests().len(), 4);
}

#[test]
fn deliveries_are_searched_and_charted() {
    let env = TestEnv::new();
    let endpoint = Server::script(vec![respond(503).times(2), respond(404)]);
    for action in ["created", "updated", "deleted"] {
        let url = format!("{}/{action}", endpoint.url());
        env.hookfire(["fire", "user", action, "--no-retry", "--url", &url])
            .run()
            .assert_code(3);
    }
    let listener = Listener::start(&env, &[]);
    let Some(browser) = Browser::start() else {
        return;
    };
    open(&browser, &listener, "#/deliveries");
    browser.wait_for_text("#delivery-foot", "3 deliveries");
    let colours = browser.script(
        "return ['retry-all', 'delete-all'].map(id => getComputedStyle(document.getElementById(id)).color)",
    );
    assert_ne!(colours[0], colours[1], "of `Retry all` and `Delete all`");
    browser.keys("/");
    assert_eq!(focused(&browser), "delivery-filter");
    browser.keys("404 /DELETED");
    browser.wait_for_text("#delivery-foot", "1 delivery");
    browser.keys(ENTER);
    browser.wait_for_text("#delivery h2", "user.deleted");
    browser.keys("/");
    browser.keys("nothing");
    browser.wait_for_text("#delivery-foot", "No deliveries match");
    browser.keys(ESCAPE);
    browser.wait_for_text("#delivery-foot", "3 deliveries");

    // The ends of the axis, in minutes before now.
    let labels = |button: u32| {
        browser.click(&format!("#chart .segments button:nth-child({button})"));
        browser.wait_for(&format!(
            "document.querySelector('#chart .segments button:nth-child({button})').ariaPressed === 'true'"
        ));
        browser.text("#chart .ends")
    };
    let (hour, day, week) = (labels(1), labels(2), labels(3));
    let is_weekday = |text: &str| {
        ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
            .iter()
            .any(|day| text.contains(day))
    };
    assert!(hour.contains(':') && !is_weekday(&hour), "{hour}");
    assert!(day.contains(':') && is_weekday(&day), "{day}");
    assert!(!week.contains(':') && is_weekday(&week), "{week}");
}

#[test]
fn search_finds_what_is_not_loaded() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &[]);
    let Some(browser) = Browser::start() else {
        return;
    };
    listener.post("/oldest", "the needle");
    let later = "GET /later HTTP/1.1\r\nHost: h\r\nX-Team: blue\r\n\r\n".repeat(60);
    listener.pipeline(later.into_bytes(), 60);
    open(&browser, &listener, "");
    wait_for_rows(&browser, 50);
    browser.keys("/");
    browser.keys("NEEDLE");
    // While a word is typed, the list shows what its beginning finds.
    let rows = "[...document.querySelectorAll('#list [role=option]')].map(row => row.textContent)";
    browser.wait_for(&format!(
        "{rows}.length === 1 && {rows}[0].includes('/oldest')"
    ));
    listener.post("/new", "a needle, too");
    browser.wait_for(&format!(
        "{rows}.length === 2 && {rows}[0].includes('/new')"
    ));
    // A capture arrives after the filter was changed, and before the list was loaded for it.
    browser.script("document.querySelector('#filter').value = 'x-team blue'");
    listener.send("GET /later HTTP/1.1\r\nHost: h\r\nX-Team: blue\r\n\r\n");
    // The list loads more than a page if its end comes into view.
    browser.wait_for(&format!(
        "{rows}.length >= 50 && {rows}.every(row => row.includes('/later'))"
    ));
}

#[test]
fn bodies_are_shown_by_their_type() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &[]);
    let Some(browser) = Browser::start() else {
        return;
    };
    let send = |headers: &str, body: &[u8]| {
        let head = format!(
            "POST / HTTP/1.1\r\nHost: h\r\n{headers}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        listener.send([head.as_bytes(), body].concat());
    };
    open(&browser, &listener, "");
    send(
        "Content-Type: application/x-www-form-urlencoded",
        b"From=%2B1501&Body=Hello+there%21&Body=",
    );
    browser.wait_for_text("#body dl", "Hello there!");
    let names = browser
        .script("return [...document.querySelectorAll('#body dt')].map(name => name.innerText)");
    assert_eq!(names, serde_json::json!(["From", "Body", "Body"]));

    let part = |name: &str, rest: &str| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"{rest}")
    };
    let multipart = [
        part("subject", "\r\n\r\nRe: your order\r\n").into_bytes(),
        part(
            "logo",
            "; filename=\"l.png\"\r\nContent-Type: image/png\r\n\r\n",
        )
        .into_bytes(),
        b"\x89PNG\xff\r\n--b--\r\n".to_vec(),
    ];
    send(
        "Content-Type: multipart/form-data; boundary=b",
        &multipart.concat(),
    );
    browser.click("#list-2");
    browser.wait_for_text("#body .form-part:first-child", "Re: your order");
    browser.wait_for_text("#body .form-part:last-child", "l.png, image/png, 5 B");
    browser.wait_for_text("#body .form-part:last-child", "89 50 4e 47");
    send(
        "Content-Type: multipart/mixed; boundary=b",
        &multipart.concat(),
    );
    browser.click("#list-3");
    browser.wait_for_text("#body", "Not split into parts");

    send(
        "Content-Type: application/json",
        b"{\"a\": {\"deep\": [1.0]}, \"b\": 2}",
    );
    browser.click("#list-4");
    browser.wait_for_text("#body", "\"deep\": [");
    browser.click("#body details details summary");
    browser.wait_for("!document.querySelector('#body').innerText.includes('1.0')");
    browser.wait_for_text("#body", "\"b\": 2");

    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, b"{\"zipped\": true}").unwrap();
    send("Content-Encoding: gzip", &gzip.finish().unwrap());
    browser.click("#list-5");
    browser.wait_for_text("#body", "\"zipped\": true");
    let fetched = |id: &str| {
        browser.wait_for(&format!(
            "fetch(document.querySelector('{id}').href).then(a => a.text())"
        ))
    };
    assert_eq!(fetched("#download-decoded"), "{\"zipped\": true}");
    assert_ne!(fetched("#download"), "{\"zipped\": true}");

    send("Content-Type: application/json", b"{\"cut\": [1");
    browser.click("#list-6");
    browser.wait_for_text("#body", "Not formatted: not JSON");
}

/// The script of axe-core, which a Python package contains.
fn axe_core() -> Option<String> {
    const PACKAGE: &str = "axe_playwright_python";
    let find = format!("import {PACKAGE}; print({PACKAGE}.__path__[0])");
    let python = crate::support::python_with(PACKAGE)?;
    let found = std::process::Command::new(python)
        .args(["-c", &find])
        .output();
    let folder = String::from_utf8(found.unwrap().stdout).unwrap();
    Some(std::fs::read_to_string(format!("{}/axe.min.js", folder.trim())).unwrap())
}

/// Problems that axe-core finds, as `rule: elements`.
fn axe(browser: &Browser, axe_core: &str) -> Vec<String> {
    browser.script(axe_core);
    let found = browser.wait_for(
        "axe.run(document).then(found => found.violations.map(
           one => one.id + ': ' + one.nodes.map(node => node.target.join(' ')).join(', ')))",
    );
    serde_json::from_value(found).unwrap()
}

#[test]
fn page_is_accessible_in_light_and_dark() {
    let env = TestEnv::new();
    let endpoint = Server::script(vec![respond(503).times(2)]);
    for option in ["--no-retry", "--background"] {
        let _ = env
            .hookfire(["fire", "user", "created", option, "--url", &endpoint.url()])
            .run();
    }
    let listener = Listener::start(&env, &[]);
    let (Some(axe_core), Some(browser)) = (axe_core(), Browser::start()) else {
        return;
    };
    listener.post("/hook?a=1&long=query", "{\"a\": [1, {\"b\": null}]}");
    listener
        .send(b"POST /cut HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n");
    for scheme in ["light", "dark"] {
        let features = serde_json::json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        browser.devtools(
            "Emulation.setEmulatedMedia",
            &serde_json::json!({ "features": features }),
        );
        for (width, height) in [(1280, 800), (390, 844)] {
            browser.size(width, height);
            let clean = |what: &str| {
                // A row is highlighted for a moment when it arrives.
                browser
                    .wait_for("document.getAnimations().every(one => one.playState !== 'running')");
                assert_eq!(
                    axe(&browser, &axe_core),
                    [""; 0],
                    "{what}, {scheme}, {width}"
                );
            };
            for id in [1, 2] {
                open(&browser, &listener, &format!("#/captures/{id}"));
                browser.wait_for_text("#detail .facts", &format!("#{id}"));
                clean("a capture");
            }
            browser.script("compareCaptures(2)");
            browser.wait_for_text("#dialog", "Method, path");
            clean("a comparison");
            browser.keys(ESCAPE);
            browser.script("editResponse()");
            browser.wait_for("document.querySelector('#response-body')");
            clean("a form");
            browser.keys(ESCAPE);
            browser.script("go('deliveries', null)");
            for list in ["failed", "scheduled", "all"] {
                browser.script("go('deliveries', null)");
                browser.click(&format!("#which [data-list={list}]"));
                browser.wait_for(&format!(
                    "deliveries.list === '{list}' && deliveryList.items.length > 0"
                ));
                clean(list);
            }
            browser.script("go('deliveries', 1)");
            browser.wait_for_text("#delivery h2", "user.created");
            clean("a delivery");
            let pressed = "getComputedStyle(document.querySelector('.segments [aria-pressed=true]')).backgroundColor";
            let group = "getComputedStyle(document.querySelector('.segments')).backgroundColor";
            assert_eq!(
                browser.script(&format!("return {pressed} !== {group}")),
                true
            );
        }
    }
}

#[test]
fn touch_targets_are_large_on_a_phone() {
    let env = TestEnv::new();
    let endpoint = Server::script(vec![respond(503).body("down")]);
    env.hookfire([
        "fire",
        "user",
        "created",
        "--no-retry",
        "--url",
        &endpoint.url(),
    ])
    .run()
    .assert_code(3);
    let listener = Listener::start(&env, &[]);
    let Some(browser) = Browser::start() else {
        return;
    };
    browser.size(390, 844);
    let small = || {
        browser.script(
            "return [...document.querySelectorAll('button, a[href], input:not([type=checkbox]), select, summary, [role=option]')]
               .filter(target => target.checkVisibility())
               .map(target => [target.outerHTML, target.getBoundingClientRect()])
               .filter(([, box]) => box.width < 44 || box.height < 44)
               .map(([html, box]) => `${box.width} x ${box.height}: ${html}`)",
        )
    };
    open(&browser, &listener, "");
    browser.wait_for_text("#detail", "Waiting for the first request");
    assert_eq!(small(), serde_json::json!([]));
    listener.post("/a", "{\"a\": 1}");
    wait_for_rows(&browser, 1);
    assert_eq!(small(), serde_json::json!([]));
    browser.click("#list [role=option]");
    browser.wait_for_text("#detail h2", "POST /a");
    assert_eq!(small(), serde_json::json!([]));
    browser.click("#send-again");
    assert_eq!(small(), serde_json::json!([]));
    browser.keys(ESCAPE);
    browser.click("#tab-deliveries");
    browser.wait_for_text("#delivery-foot", "1 delivery");
    assert_eq!(small(), serde_json::json!([]));
    browser.click("#delivery-list [role=option]");
    browser.wait_for_text("#delivery .timeline", "503");
    assert_eq!(small(), serde_json::json!([]));
}

#[test]
fn long_titles_are_clamped_and_rows_show_the_query() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &[]);
    let Some(browser) = Browser::start() else {
        return;
    };
    let path = format!("/{}?team=blue&a=1", "long/".repeat(160));
    listener.get(&path);
    listener.get("/short?team=blue&a=1");
    open(&browser, &listener, "#/captures/1");
    browser.wait_for_text("#detail h2", "GET /long");
    let height = browser.script("return document.querySelector('#detail h2').clientHeight");
    assert!(height.as_u64().unwrap() < 100, "{height}");
    let row = &rows(&browser, "#list")[0];
    assert!(row.contains("/short?team=blue&a=1"), "{row}");
}

#[test]
fn captures_are_pinned_and_annotated() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &["--keep", "2"]);
    let Some(browser) = Browser::start() else {
        return;
    };
    listener.post("/important", "x");
    open(&browser, &listener, "");
    browser.wait_for_text("#detail h2", "POST /important");
    browser.click("#pin");
    browser.wait_for_text("#list", "pinned");
    browser.click("#note");
    browser.keys("see <b> this");
    browser.click("#dialog [type=submit]");
    browser.wait_for_text("#detail .note", "see <b> this");
    for path in ["/a", "/b", "/c", "/d"] {
        listener.post(path, "");
    }
    browser.wait_for_text("#list", "/d");
    let show = env.hookfire(["captured", "show", "1", "-o", "json"]).run();
    let shown = show.assert_code(0).json();
    assert_eq!(
        (&shown["pinned"], &shown["note"]),
        (&Value::Bool(true), &Value::from("see <b> this"))
    );
    // A note is found, too.
    browser.keys("/");
    browser.keys("<b> this");
    wait_for_rows(&browser, 1);
    browser.keys(ENTER);
    browser.wait_for_text("#detail h2", "POST /important");
    browser.keys("p");
    browser.wait_for("!document.querySelector('#list').innerText.includes('pinned')");
}

#[test]
fn note_is_saved_while_captures_arrive() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &[]);
    let Some(browser) = Browser::start() else {
        return;
    };
    listener.post("/important", "x");
    open(&browser, &listener, "");
    browser.click("#note");
    browser.keys("see this");
    // The list is slow enough for a capture to arrive while the note is saved.
    browser.script(
        "const real = window.fetch;
         window.fetch = async (url, options) => {
           const response = await real(url, options);
           if (url.includes('captures?')) await new Promise((done) => setTimeout(done, 1000));
           return response;
         }",
    );
    browser.click("#dialog [type=submit]");
    browser.wait_for_text("#detail .note", "see this");
    listener.post("/next", "");
    browser.wait_for("!document.querySelector('#dialog').open");
    browser.wait_for_text("#list", "/next");
}

#[test]
fn two_captures_are_compared() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &[]);
    let Some(browser) = Browser::start() else {
        return;
    };
    listener.post("/a", "{\"n\": 1, \"same\": [1]}");
    listener.post("/b?x=1", "{\"same\":[1], \"n\": 2}");
    listener.post("/a", "{\"same\":[1], \"n\": 1}");
    open(&browser, &listener, "");
    browser.wait_for_text("#detail h2", "POST /a");
    browser.click("#compare");
    browser.wait_for_text("#dialog", "The bodies differ in 1 place");
    let rows = browser.script(
        "return [...document.querySelectorAll('.differences tr')].map(row => row.innerText.replace(/\\s+/g, ' '))",
    );
    let rows = rows.as_array().unwrap();
    for row in [".n 1 2", "path /a /b", "query x absent 1"] {
        assert!(rows.contains(&Value::from(row)), "{row}: {rows:?}");
    }
    browser.script(
        "const list = document.querySelector('#compare-with'); list.value = '1'; list.dispatchEvent(new Event('change'))",
    );
    browser.wait_for_text("#dialog", "equivalent: only their bytes differ");
    browser.keys(ESCAPE);
    browser.script(
        "document.querySelector('#list-2').dispatchEvent(new MouseEvent('click', { shiftKey: true, bubbles: true }))",
    );
    browser.wait_for_text("#dialog", "The bodies differ in 1 place");
}

#[test]
fn page_creates_a_bin_and_sets_its_response() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &[]);
    let Some(browser) = Browser::start() else {
        return;
    };
    // The page shows why a response is refused.
    let browser = browser.lenient();
    open(&browser, &listener, "");
    browser.click("#new-bin");
    browser.keys("orders");
    browser.keys(ENTER);
    browser.wait_for("document.querySelector('#bin').value === 'orders'");
    browser.wait_for_text("#detail", &format!("{}/orders", listener.url()));
    let fill = |field: &str, value: &str| {
        browser.wait_for(&format!("document.querySelector('#response-{field}')"));
        browser.script(&format!(
            "document.querySelector('#response-{field}').value = {}",
            serde_json::json!(value)
        ));
    };
    browser.click("#response");
    fill("status", "503");
    fill("headers", "Content-Length: 3");
    fill("body", "{\"later\": true}");
    browser.click("#dialog [type=submit]");
    browser.wait_for_text("#dialog", "cannot be set");
    fill("headers", "Content-Type: application/json\nRetry-After: 3");
    browser.click("#dialog [type=submit]");
    browser.wait_for_text("#toast", "orders responds with 503 now");
    browser.wait_for_text("#bin", "orders (0) → 503");
    let response = listener.post("/orders/x", "x");
    assert_eq!(
        (
            response.status,
            response.text(),
            response.header("retry-after")
        ),
        (503, "{\"later\": true}", Some("3"))
    );
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(listener.post("/", "x").status, 200);
    browser.wait_for_text("#detail .response", "503");
    // Another listener on the same journal responds in the same way.
    let other = Listener::start(&env, &[]);
    assert_eq!(other.post("/orders", "").status, 503);
    browser.click("#response");
    browser.click("#response-reset");
    browser.wait_for_text("#toast", "listener's options");
    assert_eq!(listener.post("/orders", "").status, 200);
}

#[test]
fn page_follows_counts_and_explains_its_keys() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &[]);
    let Some(browser) = Browser::start() else {
        return;
    };
    listener.post("/1", "");
    open(&browser, &listener, "");
    browser.wait_for("document.title === '1 capture · hookfire'");
    listener.post("/2", "");
    wait_for_rows(&browser, 2);
    assert!(browser.text("#detail h2").contains("/1"));
    browser.keys("f");
    browser.wait_for_text("#detail h2", "POST /2");
    listener.post("/3", "");
    browser.wait_for_text("#detail h2", "POST /3");
    browser.click("#list-1");
    browser.wait_for("document.querySelector('#follow').ariaPressed === 'false'");
    browser
        .script("Object.defineProperty(document, 'hidden', { value: true, configurable: true })");
    listener.post("/4", "");
    browser.wait_for("document.title === '(1) 4 captures · hookfire'");
    browser.script(
        "Object.defineProperty(document, 'hidden', { value: false }); document.dispatchEvent(new Event('visibilitychange'))",
    );
    assert_eq!(
        browser.script("return document.title"),
        "4 captures · hookfire"
    );
    browser.keys("?");
    browser.wait_for_text("#dialog", "Keyboard shortcuts");
    browser.keys(ESCAPE);
    browser.wait_for("!document.querySelector('#dialog').open");
}

#[test]
fn scrolling_loads_older_captures() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &[]);
    let Some(browser) = Browser::start() else {
        return;
    };
    let all = "GET /x HTTP/1.1\r\nHost: h\r\n\r\n".repeat(120);
    listener.pipeline(all.into_bytes(), 120);
    open(&browser, &listener, "");
    wait_for_rows(&browser, 50);
    for count in [100, 120] {
        browser.script("document.querySelector('#list-foot').scrollIntoView()");
        wait_for_rows(&browser, count);
    }
    browser.wait_for_text("#list-foot", "120 captures");
}

#[test]
fn signatures_handshakes_and_runs_are_shown() {
    let env = TestEnv::new();
    let args = [
        "--verify",
        "github",
        "--signing-secret",
        "It's a Secret to Everybody",
        "--handshake",
        "dropbox",
        "--exec",
        "sh",
        "--",
        "-c",
        "echo '<b>broken' >&2; exit 4",
    ];
    let listener = Listener::start(&env, &args);
    let Some(browser) = Browser::start() else {
        return;
    };
    open(&browser, &listener, "");
    listener.get("/?challenge=x");
    listener.post("/unsigned", "{}");
    let signature = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    listener.send(format!(
        "POST /signed HTTP/1.1\r\nHost: x\r\nX-Hub-Signature-256: sha256={signature}\r\nContent-Length: 13\r\n\r\nHello, World!"
    ));
    wait_for_rows(&browser, 3);
    let rows = rows(&browser, "#list");
    for (row, badge) in rows
        .iter()
        .zip(["signed", "invalid signature", "handshake"])
    {
        assert!(row.contains(badge), "{badge}: {rows:?}");
    }
    // The page shows the newest capture of its first look, which may be another one.
    browser.click("#list [role=option]:nth-child(1)");
    browser.wait_for_text("#detail", "exit code 4");
    browser.wait_for_text("#detail", "<b>broken");
    browser.wait_for_text("#detail", "github signature valid");
    browser.click("#list [role=option]:nth-child(2)");
    browser.wait_for_text(
        "#detail",
        "The github signature is not valid: the request has no header",
    );
    // The page would report a listener that has ended.
    drop(browser);
    listener.stop();
}

#[test]
fn forwarded_capture_shows_and_resends_its_deliveries() {
    let env = TestEnv::new();
    let upstream = Server::script(vec![respond(500), respond(200)]);
    let url = upstream.url();
    let args = ["--forward-to", &url, "--forward-later", "--retries", "0"];
    let listener = Listener::start(&env, &args);
    let Some(browser) = Browser::start() else {
        drop(upstream.lenient());
        return;
    };
    listener.post("/", "body");
    open(&browser, &listener, "#/captures/1");
    browser.wait_for_text("#list", "not forwarded");
    browser.wait_for_text("#detail .forward", "500 Internal Server Error");
    browser.click(".forward button");
    browser.wait_for_text("#detail .forward", "delivered");
    browser.wait_for(
        "document.querySelector('#list [role=option]').innerText.includes('\\nforwarded')",
    );
    browser.click(".forward a");
    browser.wait_for_text("#delivery", "forwards capture #1");
}
