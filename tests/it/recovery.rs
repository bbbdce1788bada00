//! `portal recover`: nothing is lost, and no delivered event is sent again, even if something fails, arrives or is
//! killed meanwhile.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use serde_json::json;

use crate::support::{Listener, Server, TestEnv, forever, hang, raw, repeat, respond};

pub const TOKEN: &str = "canary-token-3f9a51";
pub const SECRET: &str = "canary-secret-77be02";

pub fn entry(n: usize, second: usize, url: &str) -> String {
    format!(
        "<webhooks-failure><id>id-{n}</id><time>2020-01-01 10:00:{second:02} UTC</time><error>503 Service Unavailable</error>\
         <url>{url}</url><event><action>created</action><type>account</type><object><account><id>{n}</id></account></object>\
         </event></webhooks-failure>\n"
    )
}

pub fn list(entries: impl IntoIterator<Item = String>) -> String {
    format!(
        "<webhooks-failures>\n{}</webhooks-failures>\n",
        entries.into_iter().collect::<String>()
    )
}

/// A tenant with failures for `endpoint`, each in its own second, and the environment for recovering them.
pub struct Scenario {
    pub tenant: TestEnv,
    pub listener: Listener,
    pub env: TestEnv,
    pub endpoint: Server,
}

impl Scenario {
    pub fn new(endpoint: Server, seconds: &[usize]) -> Scenario {
        let mut tenant = TestEnv::new();
        tenant.set("TENANT_TOKEN", TOKEN);
        let listener = Listener::start(
            &tenant,
            &[
                "--emulate-portal",
                "--require-portal-token",
                "@env:TENANT_TOKEN",
            ],
        );
        let mut env = TestEnv::new();
        env.set("THREESCALE_TOKEN", TOKEN);
        env.set("HOOK_TOKEN", SECRET);
        env.write_config(&format!(
            "[endpoints.hook]\nurl = \"{}/hook\"\nsecrets = {{ token = {{ env = \"HOOK_TOKEN\" }} }}\n\
             [portal]\nurl = \"{}\"\ntoken = {{ env = \"THREESCALE_TOKEN\" }}\n",
            endpoint.url(),
            listener.url()
        ));
        let scenario = Scenario {
            tenant,
            listener,
            env,
            endpoint,
        };
        scenario.fail((1..).zip(seconds.iter().copied()));
        scenario
    }

    /// Adds failures to the tenant.
    pub fn fail(&self, failures: impl IntoIterator<Item = (usize, usize)>) {
        let url = format!("{}/hook?token=old", self.endpoint.url());
        let list = list(
            failures
                .into_iter()
                .map(|(n, second)| entry(n, second, &url)),
        );
        self.tenant
            .hookfire(["failed", "import", "-"])
            .stdin(list)
            .run()
            .assert_code(0);
    }

    /// The failures left on the tenant.
    pub fn left(&self) -> Vec<String> {
        let listed = self
            .tenant
            .hookfire(["failed", "list", "-o", "json"])
            .run()
            .assert_code(0)
            .json();
        listed
            .as_array()
            .unwrap()
            .iter()
            .map(|delivery| delivery["uuid"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Number of requests for each event.
    pub fn received(&self) -> BTreeMap<String, usize> {
        let mut received = BTreeMap::new();
        for request in self.endpoint.requests() {
            *received
                .entry(request.header("webhook-id").unwrap().to_owned())
                .or_default() += 1;
        }
        received
    }
}

fn last_line(outcome: &crate::support::Outcome) -> &str {
    outcome.stdout().lines().last().unwrap_or_default()
}

#[test]
fn recover_deletes_up_to_the_first_failure() {
    let endpoint = Server::script(vec![
        repeat(200, 29),
        respond(503),
        repeat(200, 20),
        respond(200),
    ]);
    let seconds: Vec<usize> = (1..=50).collect();
    let scenario = Scenario::new(endpoint, &seconds);
    let dry = scenario
        .env
        .hookfire(["portal", "recover", "--dry-run"])
        .run()
        .assert_code(0);
    assert!(
        dry.stderr()
            .contains("50 would be sent, and if all are delivered, 50 deleted there"),
        "{dry}"
    );
    assert!(!dry.stderr().contains("would stay"), "{dry}");
    assert!(!scenario.env.journal_path().exists());

    let first = scenario
        .env
        .hookfire(["portal", "recover"])
        .run()
        .assert_code(3);
    assert_eq!(
        last_line(&first),
        "recovered 49, still failing 1; deleted on the tenant 29, left there 21"
    );
    assert!(
        first.stderr().ends_with(
            "hint: 20 of the delivered ones stay there: they failed a moment ago, or not in an earlier second than one that \
             still fails; run the command again later\n"
        ),
        "{first}"
    );
    assert_eq!(
        (scenario.left().len(), scenario.left()[0].as_str()),
        (21, "id-30")
    );

    let second = scenario
        .env
        .hookfire(["portal", "recover", "-o", "json"])
        .run()
        .assert_code(0);
    let report = json!({ "recovered": 1, "still_failing": 0, "skipped": 0, "deleted": 21, "left": 0, "and_more": false });
    assert_eq!(second.json(), report);
    assert_eq!(scenario.left(), Vec::<String>::new());
    let third = scenario
        .env
        .hookfire(["portal", "recover"])
        .run()
        .assert_code(0);
    assert_eq!(third.stderr(), "the tenant has no failed deliveries\n");

    let received = scenario.received();
    assert_eq!(received.len(), 50);
    assert!(
        received
            .iter()
            .all(|(id, times)| *times == if id == "id-30" { 2 } else { 1 }),
        "{received:?}"
    );
    assert!(
        scenario
            .endpoint
            .requests()
            .iter()
            .all(|request| request.target == format!("/hook?token={SECRET}"))
    );
    for canary in [TOKEN, SECRET] {
        scenario
            .env
            .assert_nowhere(canary, &[&dry, &first, &second, &third]);
    }
}

#[test]
fn recover_keeps_events_in_the_second_of_a_failure() {
    let endpoint = Server::script(vec![
        repeat(200, 2),
        respond(503),
        repeat(200, 2),
        respond(200),
    ]);
    let scenario = Scenario::new(endpoint, &[1, 2, 2, 2, 3]);
    let first = scenario
        .env
        .hookfire(["portal", "recover"])
        .run()
        .assert_code(3);
    assert_eq!(
        last_line(&first),
        "recovered 4, still failing 1; deleted on the tenant 1, left there 4"
    );
    let second = scenario
        .env
        .hookfire(["portal", "recover"])
        .run()
        .assert_code(0);
    assert_eq!(
        last_line(&second),
        "recovered 1, still failing 0; deleted on the tenant 4, left there 0"
    );
    assert_eq!(scenario.endpoint.requests().len(), 6);
}

#[test]
fn recover_keeps_events_that_fail_meanwhile() {
    for (second, left) in [(5, vec!["id-9"]), (1, vec!["id-1", "id-9"])] {
        let endpoint = Server::script(vec![respond(200).held(), forever(200)]);
        let scenario = Scenario::new(endpoint, &[1]);
        let running = scenario.env.hookfire(["portal", "recover"]).spawn();
        scenario.endpoint.wait_for_requests(1);
        scenario.fail([(9, second)]);
        scenario.endpoint.release();
        running.wait().assert_code(0);
        assert_eq!(
            scenario.left(),
            left,
            "the new one failed in second {second}"
        );
        scenario
            .env
            .hookfire(["portal", "recover"])
            .run()
            .assert_code(0);
        assert_eq!(scenario.left(), Vec::<String>::new());
        assert_eq!(
            scenario.received(),
            BTreeMap::from([("id-1".to_owned(), 1), ("id-9".to_owned(), 1)])
        );
    }
}

/// Forwards `requests` requests to the listener of `scenario`, and calls `before_deletion` before it forwards a DELETE.
fn pass_on(front: &TcpListener, scenario: &Scenario, requests: usize, before_deletion: impl Fn()) {
    for stream in front.incoming().take(requests) {
        let mut client = BufReader::new(stream.unwrap());
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(
                client.read_line(&mut head).unwrap() > 0,
                "the request breaks off: {head}"
            );
        }
        if head.starts_with("DELETE") {
            before_deletion();
        }
        let mut tenant = TcpStream::connect(("127.0.0.1", scenario.listener.port())).unwrap();
        tenant
            .write_all(
                head.replacen("\r\n", "\r\nConnection: close\r\n", 1)
                    .as_bytes(),
            )
            .unwrap();
        let mut answer = Vec::new();
        tenant.read_to_end(&mut answer).unwrap();
        client.get_mut().write_all(&answer).unwrap();
        client.get_mut().shutdown(Shutdown::Both).ok();
    }
}

#[test]
fn recover_keeps_events_that_fail_before_the_deletion() {
    let scenario = Scenario::new(Server::script(vec![forever(200)]), &[1, 2]);
    let front = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", front.local_addr().unwrap());
    let recover = scenario
        .env
        .hookfire(["portal", "recover", "--portal-url", &url])
        .env("HOOKFIRE_PORTAL_TOKEN", TOKEN);
    let running = recover.spawn();
    // Two lists and the deletion.
    pass_on(&front, &scenario, 3, || scenario.fail([(9, 3)]));
    let outcome = running.wait().assert_code(0);
    assert_eq!(
        last_line(&outcome),
        "recovered 2, still failing 0; deleted on the tenant 2, left there 0"
    );
    assert_eq!(scenario.left(), ["id-9"]);
    scenario
        .env
        .hookfire(["portal", "recover"])
        .run()
        .assert_code(0);
    assert_eq!(
        scenario.received(),
        ["id-1", "id-2", "id-9"].map(|id| (id.to_owned(), 1)).into()
    );
}

/// The tenant's clock, for lists of [`entry`].
fn date(second: usize) -> String {
    format!("Wed, 01 Jan 2020 10:00:{second:02} GMT")
}

/// What the tenant is asked to delete.
fn deleted_up_to(tenant: &Server) -> Vec<String> {
    let requests = tenant.requests();
    let deletions = requests.iter().filter(|request| request.method == "DELETE");
    let time = |target: &str| {
        target
            .split_once("time=")
            .unwrap()
            .1
            .split_once('&')
            .unwrap()
            .0
            .to_owned()
    };
    deletions.map(|request| time(&request.target)).collect()
}

#[test]
fn recover_deletes_only_seconds_that_have_passed_at_the_tenant() {
    let endpoint = Server::script(vec![forever(200)]);
    let url = format!("{}/hook", endpoint.url());
    let listed = |failures: &[(usize, usize)]| {
        list(failures.iter().map(|&(n, second)| entry(n, second, &url)))
    };
    let two = listed(&[(1, 1), (2, 2)]);
    // Without a clock, a failure may still be added to the last listed second.
    let no_clock = vec![respond(200).body(two.as_str()).times(2), respond(200)];
    // The last listed second gets a failure after the list was made.
    let late = vec![
        respond(200)
            .header("Date", &date(3))
            .body(two.as_str())
            .times(2),
        respond(200)
            .header("Date", &date(5))
            .body(listed(&[(1, 1), (2, 2), (9, 2)])),
        respond(200),
    ];
    for script in [no_clock, late] {
        let tenant = Server::script(script);
        let mut env = TestEnv::new();
        env.set("HOOKFIRE_PORTAL_URL", tenant.url());
        env.set("HOOKFIRE_PORTAL_TOKEN", TOKEN);
        let outcome = env.hookfire(["portal", "recover"]).run().assert_code(0);
        assert!(
            last_line(&outcome)
                .starts_with("recovered 2, still failing 0; deleted on the tenant 1,"),
            "{outcome}"
        );
        assert_eq!(deleted_up_to(&tenant), ["2020-01-01+10%3A00%3A01+UTC"]);
    }
}

#[test]
fn recover_imports_unusual_urls_and_is_not_blocked_by_them() {
    let endpoint = Server::script(vec![forever(200)]);
    let host = endpoint.url().replace("http://", "");
    let urls = [
        "http:://banana".to_owned(),
        String::new(),
        format!("http://user:{SECRET}@{host}/hook"),
        "some words".to_owned(),
        format!("http://{host}/hook#part"),
    ];
    let failures = list((1..).zip(&urls).map(|(n, url)| entry(n, n, url)));
    let tenant = Server::script(vec![
        respond(200)
            .header("Date", &date(30))
            .body(failures.as_str())
            .times(3),
        respond(200),
    ]);
    let mut env = TestEnv::new();
    env.set("HOOKFIRE_PORTAL_URL", tenant.url());
    env.set("HOOKFIRE_PORTAL_TOKEN", TOKEN);
    let dry = env
        .hookfire(["portal", "recover", "--dry-run"])
        .run()
        .assert_code(0);
    assert!(
        dry.stderr().contains(
            "5 failed deliveries; 2 would be sent, and if all are delivered, 5 deleted there"
        ),
        "{dry}"
    );
    let recover = ["portal", "recover", "--stop-after", "2"];
    let outcome = env.hookfire(recover).run().assert_code(2);
    assert_eq!(
        last_line(&outcome),
        "recovered 2, still failing 3; deleted on the tenant 5, left there 0"
    );
    assert_eq!(deleted_up_to(&tenant), ["2020-01-01+10%3A00%3A05+UTC"]);
    assert!(
        outcome
            .stderr()
            .contains("nothing can be sent to `http:://banana`, which is not a URL")
            && outcome
                .stderr()
                .contains("`--url URL` or `--endpoint NAME`"),
        "{outcome}"
    );
    let requests = endpoint.requests();
    let targets: Vec<&str> = requests
        .iter()
        .map(|request| request.target.as_str())
        .collect();
    assert_eq!(targets, ["/hook", "/hook"]);
    assert!(
        requests[0]
            .header("authorization")
            .unwrap()
            .starts_with("Basic ")
    );
    assert_eq!(requests[1].header("authorization"), None);

    let retry = ["retry", "--all", "--stop-after", "1"];
    let refused = env.hookfire(retry).run().assert_code(2);
    let hints = refused
        .stderr()
        .matches("`--url URL` or `--endpoint NAME`")
        .count();
    assert_eq!(hints, 3, "what is not sent does not count: {refused}");
    let elsewhere = env
        .hookfire(["retry", "--all", "--url", &endpoint.url()])
        .run()
        .assert_code(0);
    assert_eq!(endpoint.requests().len(), 5);
    env.assert_nowhere(SECRET, &[&dry, &outcome, &refused, &elsewhere]);
}

#[test]
fn recover_keeps_a_failure_that_was_refused_elsewhere() {
    let endpoint = Server::script(vec![respond(503)]);
    let failures = list([entry(1, 1, "http:://banana"), entry(2, 2, "words")]);
    let tenant = Server::script(vec![
        respond(200)
            .header("Date", &date(30))
            .body(failures.as_str())
            .times(2),
    ]);
    let mut env = TestEnv::new();
    env.set("HOOKFIRE_PORTAL_URL", tenant.url());
    env.set("HOOKFIRE_PORTAL_TOKEN", TOKEN);
    let recover = ["portal", "recover", "--url", &endpoint.url(), "--max", "1"];
    let outcome = env.hookfire(recover).run().assert_code(3);
    assert_eq!(
        last_line(&outcome),
        "recovered 0, still failing 1; deleted on the tenant 0, left there 2"
    );
}

#[test]
fn recover_sends_events_of_json_lists_byte_for_byte() {
    let event = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><event> <action>created</action>\r\n<type>account</type>\
                 <object><account>\u{e9}</account></object></event>\n\n";
    let endpoint = Server::script(vec![respond(200)]);
    let failure = json!({ "id": "id-1", "time": "2020-01-01T10:00:01Z", "error": "WebHookWorker::ClientError",
        "url": format!("{}/hook", endpoint.url()), "event": event });
    let failures = json!({ "webhooks-failures": [{ "webhooks-failure": failure }] }).to_string();
    let tenant = Server::script(vec![
        respond(200)
            .header("Date", &date(30))
            .body(failures)
            .times(2),
        respond(200),
    ]);
    let mut env = TestEnv::new();
    env.set("HOOKFIRE_PORTAL_URL", tenant.url());
    env.set("HOOKFIRE_PORTAL_TOKEN", TOKEN);
    env.hookfire(["portal", "recover"]).run().assert_code(0);
    assert!(
        tenant.requests()[0]
            .target
            .starts_with("/admin/api/webhooks/failures.json?")
    );
    assert_eq!(endpoint.requests()[0].body, event.as_bytes());
}

#[test]
fn recover_waits_for_the_end_of_the_tenants_second() {
    let endpoint = Server::script(vec![respond(200)]);
    let failures = list([entry(1, 7, &format!("{}/hook", endpoint.url()))]);
    let at = |second| {
        respond(200)
            .header("Date", &date(second))
            .body(failures.as_str())
    };
    // Listed before sending, after sending, and when that second ended long enough ago.
    let tenant = Server::script(vec![at(7), at(9), at(10), respond(200)]);
    let env = TestEnv::new();
    let recover = env
        .hookfire(["portal", "recover", "--portal-url", &tenant.url()])
        .env("HOOKFIRE_PORTAL_TOKEN", TOKEN);
    let outcome = recover.run().assert_code(0);
    assert_eq!(
        last_line(&outcome),
        "recovered 1, still failing 0; deleted on the tenant 1, left there 0"
    );
    let methods: Vec<String> = tenant
        .requests()
        .iter()
        .map(|request| request.method.clone())
        .collect();
    assert_eq!(methods, ["GET", "GET", "GET", "DELETE"]);
    assert!(
        tenant.requests()[3]
            .target
            .contains("time=2020-01-01+10%3A00%3A07+UTC&")
    );
}

#[test]
fn killed_recover_continues_without_duplicates() {
    let endpoint = Server::script(vec![repeat(200, 3), hang(), repeat(200, 7)]);
    let scenario = Scenario::new(endpoint, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    let mut running = scenario.env.hookfire(["portal", "recover"]).spawn();
    scenario.endpoint.wait_for_requests(4);
    running.kill9();
    drop(running);
    assert_eq!(
        scenario.left().len(),
        10,
        "nothing is deleted before all is known"
    );
    let shown = scenario
        .env
        .hookfire(["failed", "list", "--error", "interrupted", "-o", "json"])
        .run()
        .assert_code(0)
        .json();
    assert_eq!(shown[0]["uuid"], "id-4");
    let id = shown[0]["id"].to_string();
    let attempts = &scenario
        .env
        .hookfire(["failed", "show", &id, "-o", "json"])
        .run()
        .assert_code(0)
        .json()["attempts"];
    assert_eq!(
        attempts[1]["maybe_received"], true,
        "what is received twice is what may have been received: {attempts}"
    );
    let again = scenario
        .env
        .hookfire(["portal", "recover"])
        .run()
        .assert_code(0);
    assert_eq!(
        last_line(&again),
        "recovered 7, still failing 0; deleted on the tenant 10, left there 0"
    );
    let received = scenario.received();
    assert_eq!(received.len(), 10);
    assert!(
        received
            .iter()
            .all(|(id, times)| *times == if id == "id-4" { 2 } else { 1 }),
        "{received:?}"
    );
}

#[test]
fn recover_killed_during_deletion_sends_nothing_again() {
    for done in [false, true] {
        let endpoint = Server::script(vec![respond(200)]);
        let failures = list([entry(1, 1, &format!("{}/hook", endpoint.url()))]);
        let listed = || {
            respond(200)
                .header("Date", &date(9))
                .body(failures.as_str())
        };
        let mut steps = vec![listed().times(2), hang()];
        if done {
            steps.push(respond(200).body("<webhooks-failures/>"));
        } else {
            steps.extend([listed().times(2), respond(200)]);
        }
        let tenant = Server::script(steps);
        let mut env = TestEnv::new();
        env.set("HOOKFIRE_PORTAL_URL", tenant.url());
        env.set("HOOKFIRE_PORTAL_TOKEN", TOKEN);
        let mut running = env.hookfire(["portal", "recover"]).spawn();
        tenant.wait_for_requests(3);
        running.kill9();
        drop(running);
        let again = env.hookfire(["portal", "recover"]).run().assert_code(0);
        match done {
            true => assert_eq!(again.stderr(), "the tenant has no failed deliveries\n"),
            false => {
                assert_eq!(
                    last_line(&again),
                    "recovered 0, still failing 0; deleted on the tenant 1, left there 0"
                );
                assert_eq!(tenant.requests()[5].target, tenant.requests()[2].target);
            }
        }
        assert_eq!(endpoint.requests().len(), 1);
    }
}

#[test]
fn recover_reads_a_long_list_in_parts() {
    let endpoint = Server::script(vec![forever(200)]);
    let url = format!("{}/hook", endpoint.url());
    let part = |failures: &[(usize, usize)]| {
        let whole = list(failures.iter().map(|&(n, second)| entry(n, second, &url)));
        let body = whole.trim_end().trim_end_matches("</webhooks-failures>");
        raw(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            whole.len()
        ))
    };
    let (first, second) = ([(1, 1), (2, 2), (3, 3)], [(3, 3), (4, 4), (5, 5)]);
    let tenant = Server::script(vec![
        part(&first),
        part(&first),
        respond(200),
        part(&second),
        part(&second),
        respond(200),
        // The tenant reports a deletion that it has not made.
        part(&second),
        part(&second),
    ]);
    let mut env = TestEnv::new();
    env.set("HOOKFIRE_PORTAL_URL", tenant.url());
    env.set("HOOKFIRE_PORTAL_TOKEN", TOKEN);
    let outcome = env.hookfire(["portal", "recover"]).run().assert_code(0);
    assert_eq!(
        last_line(&outcome),
        "recovered 5, still failing 0; deleted on the tenant 4, left there 3 and more"
    );
    assert!(
        outcome.stderr().contains("lists the same failures still"),
        "{outcome}"
    );
    assert_eq!(endpoint.requests().len(), 5);
    let deleted: Vec<bool> = tenant
        .requests()
        .iter()
        .map(|request| request.method == "DELETE")
        .collect();
    assert_eq!(
        deleted,
        [false, false, true, false, false, true, false, false]
    );
}

#[test]
fn recover_respects_max_and_stop_after() {
    let endpoint = Server::script(vec![respond(200), repeat(503, 2), forever(200)]);
    let scenario = Scenario::new(endpoint, &[1, 2, 3, 4, 5]);
    let one = scenario
        .env
        .hookfire(["portal", "recover", "--max", "1"])
        .run()
        .assert_code(0);
    assert_eq!(
        last_line(&one),
        "recovered 1, still failing 0; deleted on the tenant 1, left there 4"
    );
    let stopped = scenario
        .env
        .hookfire(["portal", "recover", "--stop-after", "2"])
        .run()
        .assert_code(3);
    assert_eq!(
        last_line(&stopped),
        "recovered 0, still failing 2; deleted on the tenant 0, left there 4"
    );
    scenario
        .env
        .hookfire(["portal", "recover"])
        .run()
        .assert_code(0);
    assert_eq!(scenario.endpoint.requests().len(), 7);
    for option in ["--max", "--stop-after"] {
        let none = scenario
            .env
            .hookfire(["portal", "recover", option, "0"])
            .run()
            .assert_code(2);
        assert!(none.stderr().contains("at least 1"), "{none}");
    }
}

#[test]
fn recover_uses_unknown_urls_without_storing_their_secret() {
    let endpoint = Server::script(vec![respond(200)]);
    let url = format!("{}/hook?token={SECRET}", endpoint.url());
    let failures = list([
        entry(1, 1, &url),
        "<webhooks-failure><id>x</webhooks-failure>".to_owned(),
        entry(2, 5, "ftp://x/"),
    ]);
    let tenant = Server::script(vec![respond(200).body(failures.as_str()).times(2)]);
    let mut env = TestEnv::new();
    env.set("HOOKFIRE_PORTAL_URL", tenant.url());
    env.set("HOOKFIRE_PORTAL_TOKEN", TOKEN);
    let outcome = env
        .hookfire(["portal", "recover", "-vv"])
        .run()
        .assert_code(2);
    // The entry without a time may be as old as the one before it.
    assert_eq!(
        last_line(&outcome),
        "recovered 1, still failing 1; deleted on the tenant 0, left there 3"
    );
    assert!(
        outcome
            .stderr()
            .contains("1 listed delivery cannot be read and stays on the tenant"),
        "{outcome}"
    );
    assert!(
        outcome
            .stderr()
            .contains("kept on the tenant: failure 2 (line 3)"),
        "{outcome}"
    );
    assert_eq!(
        endpoint.requests()[0].target,
        format!("/hook?token={SECRET}")
    );
    for canary in [TOKEN, SECRET] {
        env.assert_nowhere(canary, &[&outcome]);
    }
}

#[test]
fn recover_does_not_send_masked_values() {
    // The emulator masks secrets that the journal does not store.
    let scenario = Scenario::new(Server::script(vec![respond(200)]), &[1]);
    let mut env = TestEnv::new();
    env.set("HOOKFIRE_PORTAL_URL", scenario.listener.url());
    env.set("HOOKFIRE_PORTAL_TOKEN", TOKEN);
    env.set("HOOK_TOKEN", SECRET);
    let without = env.hookfire(["portal", "recover"]).run().assert_code(1);
    assert!(
        without.stderr().contains("--secret token=@env:VARIABLE"),
        "{without}"
    );
    assert_eq!(
        last_line(&without),
        "recovered 0, still failing 1; deleted on the tenant 0, left there 1"
    );
    assert_eq!(scenario.endpoint.requests().len(), 0);
    let given = env
        .hookfire(["portal", "recover", "--secret", "token=@env:HOOK_TOKEN"])
        .run()
        .assert_code(0);
    assert_eq!(
        last_line(&given),
        "recovered 1, still failing 0; deleted on the tenant 1, left there 0"
    );
    assert_eq!(
        scenario.endpoint.requests()[0].target,
        format!("/hook?token={SECRET}")
    );
    env.assert_nowhere(SECRET, &[&without, &given]);
}
