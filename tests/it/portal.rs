//! Commands for a tenant: its failed deliveries, objects and webhook switches; and the emulator.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::recovery::{SECRET, Scenario, TOKEN, entry, list};
use crate::support::{Listener, Server, TestEnv, close, forever, hang, python_with, raw, respond};

#[test]
fn portal_errors_are_reported_without_the_token() {
    let page = format!("<!DOCTYPE html><p>{TOKEN}</p>");
    for (step, code, words) in [
        (
            respond(403).body(TOKEN),
            1,
            "403 Forbidden: the portal refuses the token",
        ),
        (
            respond(403).body("{\"error\":\"may only read\"}"),
            1,
            "refuses the token: may only read",
        ),
        (
            respond(403),
            1,
            "may be a member without permission for webhooks, or the tenant may be suspended",
        ),
        (respond(404).times(2), 1, "no such API at this address"),
        (respond(503).body(page.as_str()), 1, "try again later"),
        (respond(302), 1, "the portal redirects without saying where"),
        (
            respond(422).body(format!("bad {TOKEN}")),
            1,
            "422 Unprocessable Entity: bad ***",
        ),
        (respond(200).body(page.as_str()), 1, "a page for a browser"),
        (
            respond(302).header("Location", &format!("/login?back={TOKEN}")),
            1,
            "the portal redirects to `/login?back=***`",
        ),
        (
            respond(200).body("{\"webhooks-failures\":"),
            1,
            "ends too early",
        ),
        (close(), 4, "closed before a response"),
        (hang(), 4, "--timeout 5m"),
    ] {
        let tenant = Server::script(vec![step]);
        let env = TestEnv::new();
        let list = env.hookfire([
            "portal",
            "failed",
            "list",
            "--timeout",
            "2s",
            "--portal-url",
            &tenant.url(),
        ]);
        let outcome = list
            .env("HOOKFIRE_PORTAL_TOKEN", TOKEN)
            .run()
            .assert_code(code);
        assert!(outcome.stderr().contains(words), "{words}: {outcome}");
        env.assert_nowhere(TOKEN, &[&outcome]);
    }
    let env = TestEnv::new();
    env.hookfire(["portal", "failed", "list"])
        .run()
        .assert_code(1);
    let no_token = env
        .hookfire([
            "portal",
            "failed",
            "list",
            "--portal-url",
            "http://127.0.0.1:1",
        ])
        .run()
        .assert_code(1);
    assert!(
        no_token.stderr().contains("HOOKFIRE_PORTAL_TOKEN"),
        "{no_token}"
    );
}

#[test]
fn configured_token_goes_only_to_its_tenant() {
    let env = TestEnv::new();
    env.write_config(&format!(
        "[portal]\nurl = \"http://127.0.0.1:1\"\ntoken = \"{TOKEN}\"\n"
    ));
    let elsewhere = env
        .hookfire([
            "portal",
            "failed",
            "list",
            "--portal-url",
            "http://127.0.0.1:2",
        ])
        .run()
        .assert_code(1);
    assert!(
        elsewhere
            .stderr()
            .contains("no access token for the portal"),
        "{elsewhere}"
    );
    let shown = env.hookfire(["config", "show"]).run().assert_code(0);
    let mut lines = shown.stdout().lines();
    let token = lines.find(|line| line.starts_with("portal.token"));
    assert!(token.is_some_and(|line| line.contains("***")), "{shown}");
    env.assert_nowhere(TOKEN, &[&elsewhere, &shown]);
}

#[test]
fn portal_list_is_shown_and_deleted() {
    let scenario = Scenario::new(Server::script(vec![forever(200)]).lenient(), &[1, 2, 3]);
    let listed = scenario
        .env
        .hookfire(["portal", "failed", "list", "-o", "json"])
        .run()
        .assert_code(0)
        .json();
    let first = &listed[0];
    assert_eq!(
        (&first["uuid"], &first["time"]),
        (&json!("id-1"), &json!("2020-01-01T10:00:01.000Z"))
    );
    assert!(
        first["url"].as_str().unwrap().ends_with("/hook?token=***"),
        "{first}"
    );
    let xml = scenario
        .env
        .hookfire(["portal", "failed", "list", "-o", "xml"])
        .run()
        .assert_code(0);
    assert_eq!(
        roxmltree::Document::parse(xml.stdout())
            .unwrap()
            .root_element()
            .children()
            .filter(|n| n.is_element())
            .count(),
        3
    );

    scenario
        .env
        .hookfire(["portal", "failed", "delete"])
        .run()
        .assert_code(2);
    scenario
        .env
        .hookfire(["portal", "failed", "delete", "--all"])
        .run()
        .assert_code(2);
    scenario
        .env
        .hookfire(["portal", "failed", "delete", "--before", "someday", "--yes"])
        .run()
        .assert_code(2);
    let before = [
        "portal",
        "failed",
        "delete",
        "--before",
        "2020-01-01 10:00:02",
    ];
    let dry = scenario
        .env
        .hookfire(before)
        .arg("--dry-run")
        .run()
        .assert_code(0);
    assert!(
        dry.stderr()
            .contains("2 failed deliveries on the tenant would be deleted"),
        "{dry}"
    );
    assert_eq!(scenario.left().len(), 3);
    let deleted = scenario
        .env
        .hookfire(before)
        .arg("--yes")
        .run()
        .assert_code(0);
    assert_eq!(
        deleted.stdout(),
        "deleted 2 failed deliveries on the tenant\n"
    );
    assert_eq!(scenario.left(), ["id-3"]);
    scenario
        .env
        .hookfire(["portal", "failed", "delete", "--all", "--yes"])
        .run()
        .assert_code(0);
    assert_eq!(scenario.left(), Vec::<String>::new());
}

#[test]
fn deleting_a_truncated_list_reports_and_more() {
    let whole = list([
        entry(1, 1, "http://h/"),
        entry(2, 2, "http://h/"),
        entry(3, 3, "http://h/"),
    ]);
    let body = whole.trim_end().trim_end_matches("</webhooks-failures>");
    let cut = || {
        raw(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            whole.len()
        ))
    };
    let tenant = Server::script(vec![cut(), cut(), cut(), respond(200)]);
    let mut env = TestEnv::new();
    env.set("HOOKFIRE_PORTAL_URL", tenant.url());
    env.set("HOOKFIRE_PORTAL_TOKEN", TOKEN);
    let delete = |args: &[&str]| {
        env.hookfire(["portal", "failed", "delete"])
            .args(args)
            .run()
            .assert_code(0)
    };
    let all = delete(&["--all", "--dry-run"]);
    assert!(
        all.stderr()
            .contains("3 failed deliveries and more on the tenant would be deleted"),
        "{all}"
    );
    let before = ["--before", "2020-01-01 10:00:02"];
    let some = delete(&[&before[..], &["--dry-run", "-o", "json"]].concat());
    assert_eq!(
        some.json(),
        json!({ "would_delete": 2, "and_more": false }),
        "what was not read is later"
    );
    let deleted = delete(&["--all", "--yes"]);
    assert_eq!(
        deleted.stdout(),
        "deleted 3 failed deliveries and more on the tenant\n"
    );
}

#[test]
fn portal_lists_in_json_are_read() {
    let event =
        "<event><action>created</action><type>account</type><object><account/></object></event>";
    let failure = json!({ "id": "id-1", "time": "2020-01-01T10:00:01Z", "error": "Timeout", "url": "http://h/", "event": event });
    let list = json!({ "webhooks-failures": [{ "webhooks-failure": failure }] }).to_string();
    let tenant = Server::script(vec![respond(200).body(list)]);
    let env = TestEnv::new();
    let args = [
        "portal",
        "failed",
        "list",
        "-o",
        "ndjson",
        "--portal-url",
        &tenant.url(),
    ];
    let listed = env
        .hookfire(args)
        .env("HOOKFIRE_PORTAL_TOKEN", TOKEN)
        .run()
        .assert_code(0);
    assert_eq!(
        (&listed.json()["uuid"], &listed.json()["error"]["kind"]),
        (&json!("id-1"), &json!("timeout"))
    );
}

#[test]
fn portal_lists_are_read_in_xml_without_json() {
    let failures = list([entry(1, 1, "http://h/")]);
    for missing in [respond(404), respond(406), respond(404).body("<html>")] {
        let tenant = Server::script(vec![missing, respond(200).body(failures.as_str())]);
        let env = TestEnv::new();
        let url = tenant.url();
        let args = [
            "portal",
            "failed",
            "list",
            "-o",
            "ndjson",
            "--portal-url",
            &url,
        ];
        let list = env.hookfire(args).env("HOOKFIRE_PORTAL_TOKEN", TOKEN);
        assert_eq!(list.run().assert_code(0).json()["uuid"], "id-1");
        let paths = tenant.requests().into_iter().map(|request| request.target);
        let paths: Vec<String> = paths
            .map(|target| target.split('?').next().unwrap().to_owned())
            .collect();
        let list = "/admin/api/webhooks/failures";
        assert_eq!(paths, [format!("{list}.json"), format!("{list}.xml")]);
    }
}

#[test]
fn objects_are_shown_and_fired() {
    let account = "<?xml version=\"1.0\"?><account><id>42</id><org_name>Acme</org_name></account>";
    let tenant = Server::script(vec![
        respond(200).body(account),
        respond(404),
        respond(200).body("<user/>"),
        respond(200).body(account),
    ]);
    let endpoint = Server::script(vec![respond(200)]);
    let mut env = TestEnv::new();
    env.set("HOOKFIRE_PORTAL_URL", tenant.url());
    env.set("HOOKFIRE_PORTAL_TOKEN", TOKEN);
    let shown = env
        .hookfire(["portal", "object", "account", "42"])
        .run()
        .assert_code(0);
    assert_eq!(shown.stdout(), format!("{account}\n"));
    env.hookfire(["portal", "object", "application", "9"])
        .run()
        .assert_code(5);
    env.hookfire(["portal", "object", "user", "7"])
        .run()
        .assert_code(2);
    env.hookfire(["portal", "object", "user", "7", "--account", "42"])
        .run()
        .assert_code(0);
    let args = [
        "fire",
        "account",
        "updated",
        "--portal-object",
        "42",
        "--set",
        "org_name=New",
        "--url",
        &endpoint.url(),
    ];
    let fired = env.hookfire(args).run().assert_code(0);
    let body = String::from_utf8(endpoint.requests()[0].body.clone()).unwrap();
    assert!(
        body.contains("<account><id>42</id><org_name>New</org_name></account>"),
        "{body}"
    );
    let asked: Vec<String> = tenant
        .requests()
        .iter()
        .map(|request| request.target.clone())
        .collect();
    let token = format!("access_token={TOKEN}");
    assert_eq!(
        asked,
        [
            format!("/admin/api/accounts/42.xml?{token}"),
            format!("/admin/api/applications/find.xml?application_id=9&{token}"),
            format!("/admin/api/accounts/42/users/7.xml?{token}"),
            format!("/admin/api/accounts/42.xml?{token}"),
        ]
    );
    env.assert_nowhere(TOKEN, &[&shown, &fired]);
}

#[test]
fn portal_webhooks_are_set_and_shown_without_the_secret() {
    let scenario = Scenario::new(Server::script(vec![forever(200)]).lenient(), &[]);
    let set = |args: &[&str]| {
        scenario
            .env
            .hookfire(["portal", "webhooks", "set"])
            .args(args)
            .run()
    };
    let outcome = set(&[
        "-e",
        "hook",
        "--active",
        "on",
        "--event",
        "account.created=on",
        "--event",
        "user.*=off",
        "-o",
        "json",
    ]);
    let webhook = &outcome.json()["webhook"];
    assert_eq!(
        (&webhook["active"], &webhook["account_created_on"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(
        (&webhook["user_deleted_on"], &webhook["provider_actions"]),
        (&json!(false), &json!(false))
    );
    assert!(
        webhook["url"]
            .as_str()
            .unwrap()
            .ends_with("/hook?token=***"),
        "{outcome}"
    );
    scenario.env.assert_nowhere(SECRET, &[&outcome]);
    assert!(
        set(&["--active", "off"])
            .assert_code(0)
            .stdout()
            .contains("off")
    );
    set(&[]).assert_code(2);
    let mistyped = set(&["--event", "account.craeted=on"]).assert_code(2);
    assert!(
        mistyped
            .stderr()
            .contains("did you mean `account.created`?"),
        "{mistyped}"
    );
    set(&["--url", &format!("http://h/{}", "x".repeat(255))]).assert_code(2);
}

#[test]
fn portal_webhooks_in_xml_are_read_like_json() {
    let xml = format!(
        "<?xml version=\"1.0\"?><webhook><url>https://h/?token={SECRET}</url><active>true</active>\
        <provider_actions>false</provider_actions></webhook>"
    );
    let json = json!({ "webhook": { "url": format!("https://h/?token={SECRET}"), "active": true, "provider_actions": false } });
    let answers = [xml, json.to_string()].map(|body| respond(200).body(body).times(2));
    let tenant = Server::script(answers.into());
    let mut env = TestEnv::new();
    env.set("HOOKFIRE_PORTAL_URL", tenant.url());
    env.set("HOOKFIRE_PORTAL_TOKEN", TOKEN);
    for _ in 0..2 {
        let set = ["portal", "webhooks", "set", "--active", "on"];
        let text = env.hookfire(set).run().assert_code(0);
        let rows: Vec<Vec<&str>> = text
            .stdout()
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        let shown = [
            ["SETTING", "NOW"],
            ["url", "https://h/?token=***"],
            ["active", "on"],
            ["provider_actions", "off"],
        ];
        assert_eq!(rows, shown);
        let structured = env.hookfire(set).args(["-o", "json"]).run().assert_code(0);
        let masked =
            json!({ "url": "https://h/?token=***", "active": true, "provider_actions": false });
        assert_eq!(structured.json(), json!({ "webhook": masked }));
        env.assert_nowhere(SECRET, &[&text, &structured]);
    }
}

#[test]
fn emulator_accepts_requests_of_published_clients() {
    let scenario = Scenario::new(Server::script(vec![forever(200)]).lenient(), &[1, 2]);
    let basic = |pair: String| format!("Authorization: Basic {}\r\n", STANDARD.encode(pair));
    let (as_user, as_password) = (basic(format!("{TOKEN}:")), basic(format!(":{TOKEN}")));
    let in_query = format!("?access_token={TOKEN}");
    let in_form = format!("access_token={TOKEN}&");
    let (json, form) = ("application/json", "application/x-www-form-urlencoded");
    let send = |method: &str, call: &str, header: &str, body: &str| {
        let length = body.len();
        let host = format!("Host: 127.0.0.1:{}\r\n", scenario.listener.port());
        let head = format!("{method} /admin/api/{call} HTTP/1.1\r\n{host}{header}");
        let response = scenario
            .listener
            .send(format!("{head}Content-Length: {length}\r\n\r\n{body}"));
        assert_eq!(response.status, 200, "{method} {call} {body}");
        response
    };
    for (method, query, content_type, auth, body, switched) in [
        // The Python package `3scale-api`.
        (
            "PUT",
            in_query.as_str(),
            json,
            "",
            r#"{"url":"http://h/","active":"true","user_created_on":"true"}"#,
            true,
        ),
        (
            "PUT",
            &in_query,
            json,
            "",
            r#"{"url":"","active":"false","user_created_on":"false"}"#,
            false,
        ),
        // Forms, with the token in the body or as a credential, and nested parameters.
        (
            "PUT",
            "",
            form,
            "",
            &format!("{in_form}user_created_on=true"),
            true,
        ),
        (
            "PATCH",
            "",
            form,
            "",
            &format!("{in_form}web_hook[user_created_on]=0"),
            false,
        ),
        (
            "PUT",
            "",
            form,
            &as_user,
            "url=&active=0&user_created_on=1",
            true,
        ),
        (
            "PATCH",
            "",
            json,
            &as_password,
            r#"{"web_hook":{"user_created_on":0}}"#,
            false,
        ),
        (
            "PUT",
            "",
            json,
            "",
            &format!(r#"{{"provider_key":"{TOKEN}","user_created_on":1}}"#),
            true,
        ),
    ] {
        let header = format!("{auth}Content-Type: {content_type}\r\n");
        let call = format!("webhooks.json{query}");
        let settings = &send(method, &call, &header, body).json()["webhook"];
        assert_eq!(settings["user_created_on"], switched, "{method} {body}");
        assert_eq!(settings.as_object().unwrap().len(), 19);
    }
    let header = format!("{as_user}Content-Type: {form}\r\n");
    send(
        "DELETE",
        "webhooks/failures.xml",
        &header,
        "time=2020-01-01T10:00:01Z",
    );
    assert_eq!(scenario.left(), ["id-2"]);
}

#[test]
fn python_package_of_3scale_works_with_the_emulator() {
    let scenario = Scenario::new(Server::script(vec![forever(200)]).lenient(), &[]);
    let Some(python) = python_with("threescale_api") else {
        return;
    };
    let script = r#"
import sys, threescale_api
webhooks = threescale_api.ThreeScaleClient(sys.argv[1], sys.argv[2], ssl_verify=False).webhooks
for kind in ("Keys", "Users", "Applications", "Accounts"):
    settings = webhooks.setup(kind, "http://127.0.0.1:1/hook").json()["webhook"]
    assert settings["active"] is True and settings["url"] == "http://127.0.0.1:1/hook", settings
assert list(settings.values()).count(False) == 0, settings
settings = webhooks.clear().json()["webhook"]
assert not any(settings.values()), settings
"#;
    let mut command = std::process::Command::new(python);
    command.args(["-c", script, scenario.listener.url(), TOKEN]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn emulator_sends_long_lists_in_parts() {
    let scenario = Scenario::new(Server::script(vec![forever(200)]).lenient(), &[]);
    let event = "x".repeat(20_000);
    let large = |n: usize| entry(n, n % 60, "http://h/").replace("<id>1", &format!("<id>{event}"));
    let failures = list((1..=250).map(large));
    let import = scenario.tenant.hookfire(["failed", "import", "-"]);
    import.stdin(failures).run().assert_code(0);
    let listed = scenario
        .env
        .hookfire(["portal", "failed", "list", "-o", "ndjson"]);
    assert_eq!(listed.run().assert_code(0).ndjson().len(), 250);
    let request = format!(
        "GET /admin/api/webhooks/failures.xml?access_token={TOKEN} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n"
    );
    let response = scenario.listener.send(request);
    let tree = roxmltree::Document::parse(response.text()).unwrap();
    let entries = tree.root_element().children();
    assert_eq!(entries.filter(|node| node.is_element()).count(), 250);
}

#[test]
fn emulator_responds_like_the_portal() {
    let scenario = Scenario::new(Server::script(vec![forever(200)]).lenient(), &[1, 2, 3]);
    let token = format!("access_token={TOKEN}");
    let host = format!("Host: 127.0.0.1:{}", scenario.listener.port());
    let ask = |method: &str, target: &str| {
        scenario
            .listener
            .send(format!("{method} {target} HTTP/1.1\r\n{host}\r\n\r\n"))
    };
    let failures = "/admin/api/webhooks/failures";
    assert_eq!(ask("GET", &format!("{failures}.xml")).status, 403);
    assert_eq!(
        ask("GET", &format!("{failures}.xml?access_token=wrong")).status,
        403
    );
    let listed = ask("GET", &format!("{failures}.json?{token}")).json();
    assert_eq!(
        listed["webhooks-failures"][2]["webhooks-failure"]["time"],
        "2020-01-01T10:00:03Z"
    );
    assert_eq!(
        ask("DELETE", &format!("{failures}.xml?time=soon&{token}")).status,
        400
    );
    assert_eq!(scenario.left().len(), 3);
    let deleted = ask(
        "DELETE",
        &format!("{failures}.xml?time=2020-01-01T10:00:02Z&{token}"),
    );
    assert_eq!((deleted.status, deleted.body.len()), (200, 0));
    assert_eq!(scenario.left(), ["id-3"]);
    let put = |body: &str| {
        let length = body.len();
        scenario
            .listener
            .send(format!("PUT /admin/api/webhooks.json HTTP/1.1\r\n{host}\r\nContent-Length: {length}\r\n\r\n{body}"))
    };
    let bad_url = format!("{token}&active=true&url=ftp%3A%2F%2Fh");
    assert_eq!(put(&bad_url).status, 422);
    assert_eq!(put(&format!("{token}&active=true")).status, 422, "no URL");
    assert_eq!(put("active=true").status, 403);
    let settings = put(&format!("{token}&active=true&web_hook[url]=http%3A%2F%2Fh")).json();
    assert_eq!(
        (
            &settings["webhook"]["active"],
            &settings["webhook"]["url"],
            &settings["webhook"]["application_key_deleted_on"]
        ),
        (&json!(true), &json!("http://h"), &json!(false))
    );
    assert_eq!(
        ask("GET", &format!("/admin/api/accounts/1.xml?{token}")).status,
        404
    );
    assert_eq!(
        ask("GET", &format!("/admin/admin/api/webhooks.json?{token}")).status,
        404
    );
    assert_eq!(
        scenario.listener.inbox(),
        Vec::<Value>::new(),
        "none of it is caught"
    );

    let env = TestEnv::new();
    let plain = Listener::start(&env, &[]);
    assert_eq!(
        plain.get("/admin/api/webhooks/failures.xml").status,
        200,
        "without the option it is a path as any other"
    );
    assert_eq!(plain.inbox().len(), 1);
    let exposed = env
        .hookfire(["listen", "0.0.0.0:0", "--expose", "--emulate-portal"])
        .run()
        .assert_code(2);
    assert!(
        exposed.stderr().contains("--require-portal-token"),
        "{exposed}"
    );
}
