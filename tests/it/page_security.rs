//! The web UI with hostile, large or many captures, on narrow screens, and against other sites.

use serde_json::Value;

use crate::support::browser::{Browser, ENTER};
use crate::support::{Listener, Server, TestEnv, respond};

const SCRIPT: &str = "<script>window.hacked=1</script>";
const IMAGE: &str = "<img src=x onerror=window.hacked=1>";
const LINK: &str = "javascript:window.hacked=1";

fn post(path: &str, headers: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: h\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Opens each capture in every view, and returns all text.
fn look_at_all(browser: &Browser, count: usize) -> String {
    browser.wait_for(&format!(
        "document.querySelectorAll('#list [role=option]').length === {count}"
    ));
    let mut seen = browser.text("#list");
    for id in 1..=count {
        browser.click(&format!("#list-{id}"));
        browser.wait_for(&format!(
            "document.querySelector('#detail').dataset.about === 'capture {id}'"
        ));
        for view in ["last-child", "first-child"] {
            seen += &browser.text("#detail");
            browser.click(&format!("#body .segments button:{view}"));
        }
    }
    seen
}

#[test]
fn hostile_captures_stay_text() {
    let env = TestEnv::new();
    let endpoint = Server::script(vec![respond(500).body(SCRIPT).header("X", IMAGE)]);
    let encoded = "&lt;img src=x onerror=window.hacked=1&gt;";
    let event = format!(
        "<event><type>{encoded}</type><action>&lt;script&gt;</action><object><a b='{encoded}'>{encoded}</a></object></event>"
    );
    env.write_file("event.xml", &event);
    let args = [
        "fire",
        "--event",
        "event.xml",
        "--no-retry",
        "--url",
        &endpoint.url(),
    ];
    env.hookfire(args).run().assert_code(3);
    let listener = Listener::start(&env, &[]);
    let Some(browser) = Browser::start() else {
        return;
    };
    listener.send(post(
        &format!("/{SCRIPT}?{IMAGE}={LINK}"),
        &format!("X-A: {SCRIPT}\r\nContent-Type: {IMAGE}\r\n"),
        IMAGE,
    ));
    listener.send(post("/xml", "", &event));
    listener.send(post(
        "/json",
        "Content-Type: application/json\r\n",
        &format!("{{\"{IMAGE}\":\"{SCRIPT}\\u0000\"}}"),
    ));
    listener.send(format!("{IMAGE} {SCRIPT}\r\n{LINK}\r\n\r\n").as_bytes());
    listener.send(post("/bidi", "", "good\u{202e}txt.exe\u{0}\u{1b}[2J"));
    browser.open(&format!("{}/_hookfire/", listener.url()));
    let seen = look_at_all(&browser, 5);
    for text in [SCRIPT, IMAGE, LINK, "\\u{202e}", "\\u{1b}[2J"] {
        assert!(seen.contains(text), "{text} is not to be seen in\n{seen}");
    }
    browser.click("#tab-deliveries");
    browser.wait_for_text("#delivery .timeline", "500");
    // The response's headers and its body.
    for (details, text) in [(1, IMAGE), (2, SCRIPT)] {
        browser.click(&format!("#delivery details:nth-of-type({details}) summary"));
        browser.wait_for_text("#delivery", text);
    }
    let strangers = "document.querySelectorAll('main script, main img, main a:not([href^=\"/_hookfire/api/captures/\"]), main iframe, [onerror], [style]').length";
    assert_eq!(browser.script(&format!("return {strangers}")), 0);
    assert_eq!(browser.script("return typeof window.hacked"), "undefined");
}

#[test]
fn page_fits_a_phone() {
    let env = TestEnv::new();
    let long = "x".repeat(700);
    let endpoint = Server::script(vec![respond(500).body(long.as_str())]);
    let event = format!(
        "<event><type>t{long}</type><action>a</action><object><a>{long}</a></object></event>"
    );
    env.write_file("event.xml", &event);
    let url = format!("{}/{long}", endpoint.url());
    env.hookfire(["fire", "--event", "event.xml", "--no-retry", "--url", &url])
        .run()
        .assert_code(3);
    let listener = Listener::start(&env, &[]);
    let Some(browser) = Browser::start() else {
        return;
    };
    browser.size(390, 844);
    browser.open(&format!("{}/_hookfire/", listener.url()));
    browser.wait_for_text("#detail", "Waiting for the first request");
    let fits = |what: &str| {
        let widest = browser.script("return document.scrollingElement.scrollWidth");
        assert_eq!(widest, 390, "{what} is wider than the phone");
        let cut = browser.script(
            "return [...document.querySelectorAll('.detail *, dialog *')].filter(element =>
               !element.closest('.sr') && element.getBoundingClientRect().right > 390.5).map(element => element.outerHTML)",
        );
        assert_eq!(cut, serde_json::json!([]), "{what} is cut off");
    };
    fits("the empty page");
    listener.send(post(
        &format!("/{long}?{long}={long}"),
        &format!("X-{long}: {long}\r\n"),
        &event,
    ));
    listener.send(post("/text", "", &long));
    browser.wait_for("document.querySelectorAll('#list [role=option]').length === 2");
    fits("the list");
    for id in [1, 2] {
        browser.click(&format!("#list-{id}"));
        browser.wait_for(&format!(
            "document.querySelector('#detail').dataset.about === 'capture {id}'"
        ));
        fits("a capture");
        browser.click("#detail .part:last-child .segments button:last-child");
        fits("its raw form");
        browser.click("#send-again");
        fits("the dialog");
        browser.click("#dialog .buttons button");
        browser.click("#detail .back");
        browser.wait_for("document.querySelector('#list').checkVisibility()");
    }
    browser.click("#tab-deliveries");
    browser.wait_for("document.querySelectorAll('#delivery-list [role=option]').length === 1");
    fits("the deliveries");
    browser.click("#delivery-list [role=option]");
    browser.wait_for_text("#delivery .timeline", "500");
    browser.click("#delivery summary");
    fits("a delivery");
    browser.script("history.back()");
    browser.wait_for("document.querySelector('#delivery-list').checkVisibility()");
}

#[test]
fn long_lists_are_paged() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &[]);
    let Some(browser) = Browser::start() else {
        return;
    };
    // On many connections, so that captures share commits.
    let flood = |path: &str, count: usize| {
        std::thread::scope(|scope| {
            for _ in 0..16 {
                let requests =
                    format!("GET /{path} HTTP/1.1\r\nHost: h\r\n\r\n").repeat(count / 16);
                scope.spawn(|| listener.pipeline(requests.into_bytes(), count / 16));
            }
        });
    };
    flood("before", 10_000);
    browser.open(&format!("{}/_hookfire/", listener.url()));
    browser.wait_for_text("#live", "Live");
    browser.wait_for_text("#captures-count", "10,000");
    let rows = "document.querySelectorAll('#list [role=option]').length";
    assert_eq!(browser.script(&format!("return {rows}")), 50);
    browser.script("document.querySelector('#list-foot').scrollIntoView()");
    browser.wait_for(&format!("{rows} === 100"));
    flood("meanwhile", 2_000);
    browser.wait_for_text("#news", "new captures");
    browser.click("#news");
    browser.wait_for("document.querySelector('#list').firstChild.innerText.includes('/meanwhile')");
    // The oldest are deleted together, a hundredth of them at a time.
    browser.wait_for_text("#captures-count", "10,0");
    let shown = browser.script(&format!("return {rows}")).as_u64().unwrap();
    assert!(shown <= 2000, "{shown} rows");
}

#[test]
fn another_site_cannot_change_anything() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &[]);
    let Some(browser) = Browser::start().map(Browser::lenient) else {
        return;
    };
    listener.send(post("/kept", "", "x"));
    let site = Server::script(vec![
        respond(200)
            .header("Content-Type", "text/html")
            .body("<p>another site</p>"),
    ])
    .lenient();
    // Another port is another origin, and `localhost` another site.
    let elsewhere = site.url().replace("127.0.0.1", "localhost");
    browser.open(&elsewhere);
    let api = format!("{}/_hookfire/api", listener.url());
    for (method, path, mode) in [
        ("DELETE", "captures/1", "cors"),
        ("DELETE", "bins/inbox/captures", "cors"),
        ("POST", "deliveries/delete", "no-cors"),
        ("POST", "captures/1/replay", "no-cors"),
        ("GET", "captures/1", "cors"),
    ] {
        let tried = format!("fetch('{api}/{path}', {{ method: '{method}', mode: '{mode}' }})");
        let readable = format!(
            "{tried}.then(answer => answer.type === 'opaque' ? 'unreadable' : 'read', () => 'unreadable')"
        );
        assert_eq!(browser.wait_for(&readable), "unreadable", "{method} {path}");
    }
    assert_eq!(
        listener.inbox().len(),
        1,
        "nothing was deleted, and nothing of it was caught"
    );
    for method in ["DELETE", "POST"] {
        let request = format!(
            "{method} /_hookfire/api/captures/1 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n"
        );
        let answer = listener.send(request.as_bytes());
        assert!(answer.status == 403, "without the page's token: {answer:?}");
    }
    assert_eq!(listener.inbox().len(), 1);
}

#[test]
fn forwarded_page_cannot_use_the_web_ui() {
    let steal = "<title>thief</title><body><script>
        const seen = [];
        const said = (what, value) => seen.push(what + ':' + value);
        const token = html => (html.match(/[0-9a-f]{32}/) || ['none'])[0];
        (async () => {
          for (const url of ['/_hookfire/', '/x?inspect', '/_hookfire/api/captures'])
            await fetch(url).then(r => r.text()).then(text => said(url, token(text)), () => said(url, 'refused'));
          await fetch('/_hookfire/api/captures/1', { method: 'DELETE', headers: { 'X-Hookfire-Token': 'x' } })
            .then(r => said('delete', r.status), () => said('delete', 'refused'));
          await fetch('/api/v1/bins').then(r => said('api', r.status), () => said('api', 'refused'));
          try { const other = window.open('/_hookfire/'); said('open', other ? other.document.title : 'refused'); }
          catch { said('open', 'refused'); }
          const frame = document.createElement('iframe');
          frame.src = '/_hookfire/';
          frame.onload = () => {
            let inside; try { inside = token(frame.contentDocument.documentElement.outerHTML); } catch { inside = 'refused'; }
            said('frame', inside); document.title = 'done'; window.seen = seen;
          };
          document.body.append(frame);
        })();
        </script>";
    let upstream = Server::script(vec![
        respond(200)
            .header("Content-Type", "text/html; charset=utf-8")
            .body(steal),
    ])
    .lenient();
    let env = TestEnv::new();
    let listener = Listener::start(&env, &["--forward-to", &upstream.url()]);
    let Some(browser) = Browser::start().map(Browser::lenient) else {
        return;
    };
    browser.open(&format!("{}/app", listener.url()));
    browser.wait_for("document.title === 'done'");
    let seen = browser.script("return window.seen");
    let seen: Vec<&str> = seen
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|said| said.as_str())
        .collect();
    assert_eq!(seen.len(), 7, "{seen:?}");
    for said in &seen {
        assert!(said.ends_with(":refused"), "{seen:?}");
    }
    assert!(
        listener
            .inbox()
            .iter()
            .any(|capture| capture["path"] == "/app"),
        "nothing was deleted"
    );
    // Opening it directly still works.
    browser.open(&format!("{}/_hookfire/", listener.url()));
    browser.wait_for_text("#live", "Live");
}

#[test]
fn exposed_page_asks_for_the_token_and_hides_it() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &["0.0.0.0", "--expose"]);
    let Some(browser) = Browser::start() else {
        return;
    };
    listener.send(post("/kept", "", "x"));
    let page = listener.ready()["page"]
        .as_str()
        .expect("the ready line has the page")
        .replace("0.0.0.0", "127.0.0.1");
    browser.open(&page);
    browser.wait_for_text("#live", "Live");
    browser.wait_for_text("#detail h2", "POST /kept");
    let address = browser.script("return location.href");
    assert!(
        page.contains("token=") && !address.as_str().unwrap().contains("token="),
        "{address}"
    );
    browser.script("location.reload()");
    browser.wait_for_text("#detail h2", "POST /kept");
    assert_eq!(listener.get("/_hookfire/api/captures").status, 401);
    assert_eq!(listener.get("/_hookfire/").status, 401);
}

#[test]
fn exposed_page_without_a_token_shows_a_form_for_it() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &["0.0.0.0", "--expose", "--bin", "orders"]);
    // The form is sent with status 401, which the console reports.
    let Some(browser) = Browser::start().map(Browser::lenient) else {
        return;
    };
    let page = listener.ready()["page"].as_str().unwrap();
    let token = page.split_once("token=").unwrap().1;
    browser.open(&format!("{}/orders?inspect", listener.url()).replace("0.0.0.0", "127.0.0.1"));
    browser.wait_for_text("form", "Enter the token");
    browser.wait_for("document.activeElement.name === 'token'");
    browser.keys("wrong");
    browser.keys(ENTER);
    browser.wait_for_text("form", "That is not the token");
    browser.keys(token);
    browser.keys(ENTER);
    browser.wait_for_text("#live", "Live");
    browser.wait_for(
        "!location.href.includes('token=') && document.querySelector('#bin').value === 'orders'",
    );
    // Programs get a message instead, and no bin is put into the form unless its name is valid.
    let text = listener.get("/_hookfire/");
    assert!(
        text.status == 401 && text.text().starts_with("requires a token"),
        "{text:?}"
    );
    let hostile =
        "GET /_hookfire/?bin=%22%3E%3Cscript%3E HTTP/1.1\r\nHost: h\r\nAccept: text/html\r\n\r\n";
    let form = listener.send(hostile);
    assert!(
        form.status == 401 && !form.text().contains("<script"),
        "{form:?}"
    );
}

#[test]
fn exposed_page_asks_for_the_new_token_after_a_restart() {
    let env = TestEnv::new();
    let listener = Listener::start_to_be_followed(&env, &["0.0.0.0", "--expose"]);
    let Some(browser) = Browser::start().map(Browser::lenient) else {
        return;
    };
    let page = |ready: &Value| {
        ready["page"]
            .as_str()
            .unwrap()
            .replace("0.0.0.0", "127.0.0.1")
    };
    browser.open(&page(listener.ready()));
    browser.wait_for_text("#live", "Live");
    let port = listener.port().to_string();
    listener.stop();
    let mut again = env
        .hookfire([
            "listen", "0.0.0.0", "--expose", "--port", &port, "-o", "ndjson",
        ])
        .spawn();
    let ready: Value = serde_json::from_str(&again.wait_for_stdout_line("\"ready\"")).unwrap();
    browser.wait_for_text("#asking", "requires the token");
    browser.wait_for_text("#live", "Waiting for the token");
    browser.click("#asked-token");
    browser.keys("wrong");
    browser.keys(ENTER);
    browser.wait_for_text("#toast", "Wrong token");
    browser.script("document.querySelector('#asked-token').value = ''");
    browser.click("#asked-token");
    browser.keys(page(&ready).split_once("token=").unwrap().1);
    browser.keys(ENTER);
    browser.wait_for_text("#live", "Live");
    browser
        .wait_for("document.querySelector('#asking').hidden && !location.href.includes('token=')");
    again.terminate();
    again.wait().assert_code(0);
}
