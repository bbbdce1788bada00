//! Importing a tenant's list of failures: round trips, broken entries, long lists, and secrets.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::support::{Server, TestEnv, forever, respond};

const CANARY: &str = "canary-5f1d0c77";

fn event(n: usize) -> String {
    format!(
        "<event><action>created</action><type>account</type><object><account><id>{n}</id></account></object></event>"
    )
}

fn entry(n: usize, time: &str) -> String {
    format!(
        "<webhooks-failure><id>id-{n}</id><time>{time}</time><error>503 Service Unavailable</error>\
         <url>http://127.0.0.1:1/3scale?token={CANARY}</url>{}</webhooks-failure>\n",
        event(n)
    )
}

fn failed(env: &TestEnv) -> Vec<Value> {
    env.hookfire(["failed", "list", "-o", "json"])
        .run()
        .assert_code(0)
        .json()
        .as_array()
        .unwrap()
        .clone()
}

#[test]
fn exported_list_is_delivered_from_another_journal() {
    let (here, there) = (TestEnv::new(), TestEnv::new());
    let down = Server::script(vec![forever(503)]);
    let kinds = [
        ("account", "created"),
        ("user", "updated"),
        ("application", "key_created"),
        ("account", "deleted"),
    ];
    let mut fired = Vec::new();
    for n in 0..20 {
        let (event_type, action) = kinds[n % kinds.len()];
        here.hookfire([
            "fire",
            event_type,
            action,
            "--no-retry",
            "--url",
            &down.url(),
        ])
        .run()
        .assert_code(3);
        fired.push(down.requests()[n].body.clone());
    }
    let list = here
        .hookfire(["failed", "list", "-o", "xml"])
        .run()
        .assert_code(0);
    there.write_file("failures.xml", list.stdout());
    let outcome = there
        .hookfire(["failed", "import", "failures.xml"])
        .run()
        .assert_code(0);
    assert_eq!(outcome.stdout(), "imported 20 failed deliveries\n");
    let again = there
        .hookfire(["failed", "list", "-o", "xml"])
        .run()
        .assert_code(0);
    assert_eq!(
        again.stdout(),
        list.stdout(),
        "the same ids, times, errors and events"
    );
    let twice = there
        .hookfire(["failed", "import", "-", "-o", "json"])
        .stdin(list.stdout())
        .run()
        .assert_code(0);
    assert_eq!(
        twice.json(),
        json!({ "imported": 0, "known": 20, "broken": 0, "problems": [] })
    );

    let up = Server::script(vec![forever(200)]);
    there
        .hookfire(["retry", "--all", "--url", &up.url()])
        .run()
        .assert_code(0);
    let mut received = up.requests();
    assert_eq!(received.len(), 20);
    assert_eq!(failed(&there), Vec::<Value>::new());
    // Failures of the same millisecond have no order.
    received.sort_by_key(|request| request.header("webhook-id").map(str::to_owned));
    let mut sent = down.requests();
    sent.sort_by_key(|request| request.header("webhook-id").map(str::to_owned));
    for (received, sent) in received.iter().zip(&sent) {
        let from_root = |body: &[u8]| {
            let text = String::from_utf8(body.to_vec()).unwrap();
            text[text.find("<event").unwrap()..].to_owned()
        };
        assert_eq!(received.header("webhook-id"), sent.header("webhook-id"));
        assert_eq!(from_root(&received.body), from_root(&sent.body));
    }
    let known = there
        .hookfire(["failed", "import", "failures.xml"])
        .run()
        .assert_code(0);
    assert_eq!(
        known.stdout(),
        "imported 0 failed deliveries, 20 already known\n",
        "what was delivered is not taken anew"
    );
}

#[test]
fn imported_list_is_exported_unchanged() {
    const TIMES: [&str; 8] = [
        "2026-11-20 10:00:00 UTC",
        "2026-11-20T10:00:01Z",
        "2026-11-20 10:00:02.250 UTC",
        "2026-11-20T10:00:02.345678Z",
        "2026-11-20T12:00:03+02:00",
        "2026-11-20T12:00:03.5+02:00",
        "2026-11-20 05:00:04 -0500",
        "2026-11-20 10:00:05",
    ];
    let texts = |xml: &str| {
        let document = roxmltree::Document::parse(xml).unwrap();
        let failures = document
            .root_element()
            .children()
            .filter(|node| node.is_element());
        let failures = failures.map(|failure| {
            let text = |name: &str| {
                let found = failure
                    .children()
                    .find(|node| node.has_tag_name(name))
                    .unwrap();
                if name == "event" {
                    xml[found.range()].to_owned()
                } else {
                    found.text().unwrap_or_default().to_owned()
                }
            };
            ["id", "time", "error", "event"].map(text)
        });
        failures.collect::<Vec<_>>()
    };
    let entries: String = (1..).zip(TIMES).map(|(n, time)| entry(n, time)).collect();
    let list = format!("<webhooks-failures>{entries}</webhooks-failures>")
        .replacen(
            "503 Service Unavailable",
            "Net::ReadTimeout &lt;\u{e9}&gt; &amp; so on",
            1,
        )
        .replacen("503 Service Unavailable", "", 1);
    let env = TestEnv::new();
    env.hookfire(["failed", "import", "-"])
        .stdin(list.as_str())
        .run()
        .assert_code(0);
    let given = env
        .hookfire(["failed", "list", "-o", "xml"])
        .run()
        .assert_code(0);
    assert_eq!(texts(given.stdout()), texts(&list));
    let other = TestEnv::new();
    other
        .hookfire(["failed", "import", "-"])
        .stdin(given.stdout())
        .run()
        .assert_code(0);
    let again = other
        .hookfire(["failed", "list", "-o", "xml"])
        .run()
        .assert_code(0);
    assert_eq!(again.stdout(), given.stdout());

    // Later failures have another time.
    let down = Server::script(vec![respond(503)]);
    env.hookfire(["retry", "3", "--url", &down.url()])
        .run()
        .assert_code(3);
    let tried = env
        .hookfire(["failed", "list", "-o", "xml"])
        .run()
        .assert_code(0);
    let tried = texts(tried.stdout());
    let (third, others): (Vec<_>, Vec<_>) = tried.iter().partition(|entry| entry[0] == "id-3");
    let time = &third[0][1];
    assert!(
        others.iter().all(|entry| *time > entry[1])
            && time.ends_with(" UTC")
            && !time.contains('.'),
        "{tried:?}"
    );
}

#[test]
fn import_reports_broken_entries_and_keeps_the_others() {
    let env = TestEnv::new();
    let broken = "<webhooks-failure><id>x</di></webhooks-failure>\n";
    let list = format!(
        "<webhooks-failures>\n{}{broken}{}{}</webhooks-failures>",
        entry(1, "2026-11-20 10:00:00 UTC"),
        entry(2, "last night"),
        entry(3, "2026-11-20T10:00:01.250Z")
    );
    let outcome = env
        .hookfire(["failed", "import", "-"])
        .stdin(list)
        .run()
        .assert_code(2);
    assert_eq!(outcome.stdout(), "imported 2 failed deliveries\n");
    for words in [
        "failure 2 (line 3): ",
        "failure 3 (line 4), id `id-2`: its `time` cannot be read",
        "2 entries of the list cannot be read",
    ] {
        assert!(outcome.stderr().contains(words), "{outcome}");
    }
    let list = failed(&env);
    assert_eq!(list[0]["finished_at"], "2026-11-20T10:00:00.000Z");
    assert_eq!(list[1]["finished_at"], "2026-11-20T10:00:01.250Z");
    assert_eq!(
        list[1]["last_error"],
        json!({ "kind": "status", "http_status": 503, "message": "503 Service Unavailable" })
    );
    assert_eq!(
        (&list[1]["uuid"], &list[1]["attempt_count"]),
        (&json!("id-3"), &json!(1))
    );

    let cut = format!(
        "<webhooks-failures>{}<webhooks-failure>",
        entry(4, "2026-11-20T10:00:02Z")
    );
    let outcome = env
        .hookfire(["failed", "import", "-"])
        .stdin(cut)
        .run()
        .assert_code(2);
    assert!(outcome.stderr().contains("ends too early"), "{outcome}");
    assert_eq!(failed(&env).len(), 3, "what came whole is kept");
    for (text, words) in [
        ("<html></html>", "not a list of failures"),
        ("no", "neither XML nor JSON"),
        ("", "is empty"),
    ] {
        let outcome = env
            .hookfire(["failed", "import", "-"])
            .stdin(text)
            .run()
            .assert_code(2);
        assert!(outcome.stderr().contains(words), "{outcome}");
    }
    env.hookfire(["failed", "import", "nowhere.xml"])
        .run()
        .assert_code(1);
}

#[test]
fn import_reads_3scale_json() {
    let env = TestEnv::new();
    let entry = |n: usize| {
        json!({ "webhooks-failure": { "id": format!("id-{n}"), "time": "2026-11-20 10:00:00 UTC", "error": "Timeout",
            "url": "http://127.0.0.1:1/", "event": format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{}", event(n)) } })
    };
    let list = json!({ "webhooks-failures": [entry(1), { "webhooks-failure": { "id": "id-9" } }, entry(2)] });
    let outcome = env
        .hookfire(["failed", "import", "-", "-o", "json"])
        .stdin(list.to_string())
        .run()
        .assert_code(2);
    let report: Value = serde_json::from_str(outcome.stdout()).unwrap();
    assert_eq!(
        (&report["imported"], &report["broken"]),
        (&json!(2), &json!(1)),
        "{outcome}"
    );
    assert_eq!(report["problems"][0]["uuid"], "id-9");
    assert_eq!(failed(&env)[0]["last_error"]["kind"], "timeout");
}

#[test]
fn unreported_causes_have_their_own_kind() {
    let env = TestEnv::new();
    let list = format!(
        "<webhooks-failures>{}</webhooks-failures>",
        entry(1, "2026-11-20 10:00:00 UTC")
            .replace("503 Service Unavailable", "WebHookWorker::ClientError")
    );
    env.hookfire(["failed", "import", "-"])
        .stdin(list)
        .run()
        .assert_code(0);
    let matches = |args: &[&str]| {
        let list = env.hookfire(["failed", "list", "-o", "json"]).args(args);
        list.run().assert_code(0).json().as_array().unwrap().len()
    };
    assert_eq!(failed(&env)[0]["last_error"]["kind"], "portal");
    assert_eq!(matches(&["--error", "portal"]), 1);
    for filter in [
        ["--error", "status"],
        ["--error", "protocol"],
        ["--http-status", "100-599"],
    ] {
        assert_eq!(matches(&filter), 0, "{filter:?}");
    }
    let shown = env.hookfire(["failed", "list"]).run().assert_code(0);
    let words: Vec<&str> = shown.stdout().split_whitespace().collect();
    let words = words.join(" ");
    assert!(
        words.contains("cause not reported by the portal"),
        "{shown}"
    );
}

#[test]
fn import_matches_endpoints_and_drops_query_values() {
    let env = TestEnv::new();
    let server = Server::script(vec![forever(200)]);
    let list = format!(
        "<webhooks-failures>{}</webhooks-failures>",
        entry(1, "2026-11-20 10:00:00 UTC")
    )
    .replace(
        "http://127.0.0.1:1/3scale",
        &format!("{}/3scale", server.url().trim_end_matches('/')),
    )
    .replace(
        "503 Service Unavailable",
        &format!("Timeout at /3scale?token={CANARY}"),
    );
    env.write_config(&format!(
        "[endpoints.staging]\nurl = \"{}/3scale\"\nsecrets = {{ token = {{ env = \"HOOK_TOKEN\" }} }}\n",
        server.url().trim_end_matches('/')
    ));
    let imported = env
        .hookfire(["failed", "import", "-"])
        .stdin(list)
        .run()
        .assert_code(0);
    let shown = env.hookfire(["failed", "show", "1"]).run().assert_code(0);
    assert_eq!(failed(&env)[0]["endpoint"], "staging");
    let without = env.hookfire(["retry", "--all"]).run().assert_code(1);
    assert!(without.stderr().contains("HOOK_TOKEN"), "{without}");
    let retried = env
        .hookfire(["retry", "--all"])
        .env("HOOK_TOKEN", "new-value-of-the-secret")
        .run()
        .assert_code(0);
    assert_eq!(
        server.requests()[0].target,
        "/3scale?token=new-value-of-the-secret"
    );
    env.assert_nowhere(CANARY, &[&imported, &shown, &without, &retried]);
}

#[test]
fn imported_deliveries_go_to_a_named_endpoint() {
    let env = TestEnv::new();
    let server = Server::script(vec![forever(200)]);
    env.write_config(&format!(
        "[endpoints.staging]\nurl = \"{}/other\"\n",
        server.url()
    ));
    let list = format!(
        "<webhooks-failures>{}</webhooks-failures>",
        entry(1, "2026-11-20 10:00:00 UTC")
    );
    env.hookfire(["failed", "import", "-"])
        .stdin(list)
        .run()
        .assert_code(0);
    let narrowed = env
        .hookfire(["retry", "--endpoint", "staging"])
        .run()
        .assert_code(0);
    let hint = "1 in the failed list belongs to other endpoints or none; `hookfire retry --all --endpoint staging` sends it to `staging`";
    assert!(narrowed.stderr().contains(hint), "{narrowed}");
    assert_eq!(server.requests().len(), 0);
    let all = ["retry", "--all", "--endpoint", "staging"];
    let dry = env.hookfire(all).arg("--dry-run").run().assert_code(0);
    let words = "would send 1 delivery for another destination to `staging`\n";
    assert!(dry.stderr().starts_with(words), "{dry}");
    let retried = env.hookfire(all).run().assert_code(0);
    assert!(
        retried
            .stderr()
            .starts_with("sending 1 delivery for another destination to `staging`\n"),
        "{retried}"
    );
    assert_eq!(server.requests()[0].target, "/other");
    env.hookfire(["fire", "user", "created", "-e", "staging"])
        .run()
        .assert_code(0);
    let fired = env
        .hookfire(["fire", "user", "created", "-e", "staging", "--no-retry"])
        .args(["--success", "204"])
        .run()
        .assert_code(3);
    assert!(fired.stderr().contains("`hookfire retry"), "{fired}");
    let own = env.hookfire(all).run().assert_code(3);
    assert!(!own.stderr().contains("another destination"), "{own}");
    env.hookfire(all)
        .args(["--success", "200"])
        .run()
        .assert_code(0);
    let empty = env
        .hookfire(["retry", "--endpoint", "staging"])
        .run()
        .assert_code(0);
    assert_eq!(empty.stderr(), "nothing to send again\n");
}

#[test]
#[ignore = "long: runs in CI"]
fn lists_larger_than_memory_are_imported_and_exported() {
    const FAILURES: usize = 40_000;
    let env = TestEnv::new();
    let mut list = String::from("<webhooks-failures>\n");
    let padding = format!("{}</account>", "<x>0123456789</x>".repeat(40));
    for n in 0..FAILURES {
        let entry = entry(n, "2026-11-20 10:00:00 UTC").replace("</account>", &padding);
        let _ = write!(list, "{entry}");
    }
    assert!(list.len() > 32_000_000);
    list.push_str("</webhooks-failures>\n");
    env.write_file("failures.xml", &list);
    // The list alone exceeds the memory limit.
    let program = env!("CARGO_BIN_EXE_hookfire");
    let limited = |rest: &str| {
        let line = format!("ulimit -v 64000; '{program}' failed {rest}");
        env.shell(&line)
            .deadline(std::time::Duration::from_secs(600))
            .run()
            .assert_code(0)
    };
    let outcome = limited("import failures.xml");
    assert_eq!(
        outcome.stdout(),
        format!("imported {FAILURES} failed deliveries\n")
    );
    limited("list -o xml > given.xml");
    let given = std::fs::read_to_string(env.work_dir().join("given.xml")).unwrap();
    assert_eq!(given.matches("<webhooks-failure>").count(), FAILURES);
    assert!(given.ends_with("</webhooks-failures>\n"));
    assert_eq!(
        limited("list -o csv | wc -l").stdout().trim(),
        (FAILURES + 1).to_string()
    );
    let listed = env
        .hookfire(["failed", "list", "--limit", "1"])
        .run()
        .assert_code(0);
    assert!(listed.stderr().contains("1 of 40000 shown"), "{listed}");
}

#[test]
fn a_reader_that_stops_early_ends_the_list() {
    let env = TestEnv::new();
    let mut list = String::from("<webhooks-failures>\n");
    // More than a pipe holds.
    for n in 0..1_000 {
        list += &entry(n, "2026-11-20 10:00:00 UTC");
    }
    env.write_file("failures.xml", list + "</webhooks-failures>\n");
    env.hookfire(["failed", "import", "failures.xml"])
        .run()
        .assert_code(0);
    let program = env!("CARGO_BIN_EXE_hookfire");
    for format in ["xml", "csv", "json", "ndjson"] {
        let line =
            format!("{{ '{program}' failed list -o {format}; echo \"code $?\" >&2; }} | head -n 1");
        let outcome = env.shell(&line).run().assert_code(0);
        assert_eq!(outcome.stderr(), "code 0\n", "{format}");
    }
}
