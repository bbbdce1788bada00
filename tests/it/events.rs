//! The events of 3scale, the webhook switches, and both body formats.

use std::collections::HashSet;

use serde_json::Value;

use crate::support::{Listener, Outcome, Server, TestEnv, closed_port, repeat, respond};

/// The documented events, repeated here because the program's list is under test.
const EVENTS: [(&str, &[&str]); 3] = [
    (
        "account",
        &["created", "updated", "plan_changed", "deleted"],
    ),
    ("user", &["created", "updated", "deleted"]),
    (
        "application",
        &[
            "created",
            "updated",
            "suspended",
            "plan_changed",
            "user_key_updated",
            "deleted",
            "key_created",
            "key_updated",
            "key_deleted",
        ],
    ),
];

fn pairs() -> impl Iterator<Item = (&'static str, &'static str)> {
    EVENTS
        .iter()
        .flat_map(|(event_type, actions)| actions.iter().map(move |action| (*event_type, *action)))
}

/// Reads an event by name, like a receiver: `event.object[type].id`.
fn received(document: &str) -> (String, String, String) {
    let tree = roxmltree::Document::parse(document).unwrap();
    let event = tree.root_element();
    assert!(event.has_tag_name("event"));
    let child = |node: roxmltree::Node<'_, '_>, name: &str| {
        let found = node
            .children()
            .find(|child| child.has_tag_name(name))
            .map(|child| child.id());
        tree.get_node(found.unwrap_or_else(|| panic!("no {name} in {document}")))
            .unwrap()
    };
    let text = |node: roxmltree::Node<'_, '_>| node.text().unwrap_or_default().to_owned();
    let event_type = text(child(event, "type"));
    let object = child(child(event, "object"), &event_type);
    (
        event_type.clone(),
        text(child(event, "action")),
        text(child(object, "id")),
    )
}

fn body(request: &crate::support::Received) -> &str {
    std::str::from_utf8(&request.body).unwrap()
}

fn list(env: &TestEnv, args: &[&str]) -> Vec<Value> {
    env.hookfire(["events", "list", "-o", "ndjson"])
        .args(args)
        .run()
        .assert_code(0)
        .ndjson()
}

fn shown(env: &TestEnv, args: &[&str]) -> Outcome {
    env.hookfire(["events", "show"]).args(args).run()
}

#[test]
fn all_documented_events_are_listed_shown_and_sent() {
    let env = TestEnv::new();
    let listed: Vec<(String, String)> = list(&env, &[])
        .iter()
        .map(|view| {
            (
                view["type"].as_str().unwrap().to_owned(),
                view["action"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    let documented: Vec<(String, String)> =
        pairs().map(|(t, a)| (t.to_owned(), a.to_owned())).collect();
    assert_eq!(listed, documented);
    assert_eq!(listed.len(), 16);

    let server = Server::script(vec![repeat(200, 16)]);
    let mut ids = HashSet::new();
    for (event_type, action) in pairs() {
        let document = shown(&env, &[event_type, action]).assert_code(0);
        let (read_type, read_action, id) = received(document.stdout());
        assert_eq!(
            (read_type.as_str(), read_action.as_str()),
            (event_type, action)
        );
        ids.insert(id);
        env.hookfire(["fire", event_type, action, "--url", &server.url()])
            .run()
            .assert_code(0);
    }
    for (request, (event_type, action)) in server.requests().iter().zip(pairs()) {
        let (read_type, read_action, id) = received(body(request));
        assert_eq!(
            (read_type.as_str(), read_action.as_str()),
            (event_type, action)
        );
        ids.insert(id);
    }
    assert_eq!(ids.len(), 32, "each is another object");
}

#[test]
fn seed_repeats_a_sample_and_set_changes_any_field() {
    let mut env = TestEnv::new();
    let one = |env: &TestEnv, args: &[&str]| {
        let all = [&["application", "created"], args].concat();
        shown(env, &all).assert_code(0).stdout().to_owned()
    };
    assert_ne!(one(&env, &[]), one(&env, &[]));
    assert_eq!(
        one(&env, &["--seed", "7"]),
        one(&env, &["--seed", "7", "-o", "xml"])
    );
    assert_ne!(one(&env, &["--seed", "7"]), one(&env, &["--seed", "8"]));
    let json = shown(
        &env,
        &["application", "created", "--seed", "7", "-o", "json"],
    )
    .assert_code(0)
    .json();
    assert_eq!(json["event"], one(&env, &["--seed", "7"]));
    env.set("HOOKFIRE_SEED", "7");
    let server = Server::script(vec![repeat(200, 2)]);
    let fire = ["fire", "application", "created", "--url", &server.url()];
    env.hookfire(fire).run().assert_code(0);
    env.hookfire(fire)
        .args([
            "--set",
            "id=17",
            "--set",
            "plan/@default=false",
            "--set",
            "created_at=",
        ])
        .run();
    let requests = server.requests();
    assert_eq!(
        body(&requests[0]),
        one(&env, &[]),
        "what is shown is what is fired"
    );
    let changed = body(&requests[1]);
    assert!(
        changed.contains("<id>17</id>") && changed.contains("default=\"false\""),
        "{changed}"
    );
    assert!(changed.contains("<created_at/>"), "{changed}");
}

#[test]
fn auth_mode_selects_the_credentials_of_a_sample() {
    let env = TestEnv::new();
    for (mode, has, has_not) in [
        (
            "user-key",
            &["<user_key>", "<provider_verification_key>"][..],
            &["<application_id>", "<keys>"][..],
        ),
        (
            "app-id",
            &["<application_id>", "<keys>"],
            &["<user_key>", "<redirect_url>"],
        ),
        (
            "oauth",
            &["<application_id>", "<redirect_url>", "<keys>"],
            &["<user_key>", "<oidc_configuration>"],
        ),
        (
            "oidc",
            &[
                "<application_id>",
                "<redirect_url>",
                "<keys>",
                "<oidc_configuration>",
            ],
            &["<user_key>"],
        ),
    ] {
        let document = shown(&env, &["application", "updated", "--auth-mode", mode]).assert_code(0);
        assert!(
            has.iter().all(|tag| document.stdout().contains(tag)),
            "{document}"
        );
        assert!(
            has_not.iter().all(|tag| !document.stdout().contains(tag)),
            "{document}"
        );
    }
    let refused = shown(
        &env,
        &["application", "key_created", "--auth-mode", "user-key"],
    )
    .assert_code(2);
    insta::assert_snapshot!(refused.stderr(), @"
    error: `key_created` does not occur for applications of this mode
    hint: its sample has `--auth-mode app-id`; another object can be sent with `hookfire fire application key_created --object FILE`
    ");
    shown(&env, &["account", "created", "--auth-mode", "oauth"]).assert_code(2);
    shown(&env, &["acount", "created"]).assert_code(2);
    let fire = [
        "fire",
        "user",
        "created",
        "--url",
        "http://127.0.0.1:9/",
        "--dry-run",
    ];
    let replaced = env
        .hookfire(fire)
        .args(["--object", "-", "--seed", "1"])
        .stdin("<user/>")
        .run()
        .assert_code(2);
    assert!(
        replaced
            .stderr()
            .contains("`--seed` applies to the built-in sample, which `--object` replaces"),
        "{replaced}"
    );
    let variable = env
        .hookfire(fire)
        .args(["--object", "-"])
        .env("HOOKFIRE_SEED", "1")
        .stdin("<user/>");
    variable.run().assert_code(0);
}

fn switches(url: &str) -> String {
    format!(
        "default_endpoint = 'some'\n\
         [endpoints.some]\nurl = '{url}'\nevents = ['application.created', 'account.*']\n\
         [endpoints.off]\nurl = '{url}'\nactive = false\n\
         [endpoints.both]\nurl = '{url}'\nprovider_actions = true\n\
         [endpoints.plain]\nurl = '{url}'\n"
    )
}

#[test]
fn events_list_explains_the_switches_of_an_endpoint() {
    let env = TestEnv::new();
    assert!(list(&env, &[]).iter().all(|view| view["fired"] == true));
    env.write_config(&switches("http://127.0.0.1:9/"));
    let fired = |args: &[&str]| {
        list(&env, args)
            .iter()
            .filter(|view| view["fired"] == true)
            .count()
    };
    assert_eq!(fired(&[]), 5);
    assert_eq!(fired(&["-e", "off"]), 0);
    assert_eq!(fired(&["-e", "plain"]), 16);
    assert_eq!(fired(&["-e", "plain", "--origin", "admin-portal"]), 0);
    assert_eq!(fired(&["-e", "both", "--origin", "admin-portal"]), 16);
    let views = list(&env, &[]);
    assert_eq!(
        (&views[0]["ignored_by"], &views[0]["reason"]),
        (&Value::Null, &"`events` has `account.*`".into())
    );
    assert_eq!(views[4]["ignored_by"], "events");
    let text = env
        .hookfire(["events", "list", "-e", "off"])
        .run()
        .assert_code(0);
    assert_eq!(text.stderr(), "the switches of endpoint `off`\n");
    assert!(
        text.stdout()
            .contains("key_deleted       no    `active` is false"),
        "{text}"
    );
    let csv = env
        .hookfire(["events", "list", "-o", "csv"])
        .run()
        .assert_code(0);
    assert!(
        csv.stdout()
            .starts_with("type,action,fired,reason\naccount,created,true,"),
        "{csv}"
    );
    assert!(
        env.hookfire(["events", "list", "-o", "json"])
            .run()
            .assert_code(0)
            .json()
            .is_array()
    );
    let unknown = env
        .hookfire(["events", "list", "-e", "som"])
        .run()
        .assert_code(2);
    assert!(
        unknown.stderr().contains("did you mean `--endpoint some`?"),
        "{unknown}"
    );
}

#[test]
fn switched_off_event_is_recorded_as_ignored() {
    let env = TestEnv::new();
    let server = Server::script(vec![respond(200)]);
    env.write_config(&switches(&server.url()));
    let fire = |args: &[&str]| env.hookfire(["fire"]).args(args).run().assert_code(0);
    let outcome = fire(&["user", "created"]);
    let path = env.config_path().display().to_string();
    assert_eq!(outcome.stdout(), "#1 ignored\n");
    assert_eq!(
        outcome.stderr(),
        format!(
            "user.created is ignored: `events` of endpoint `some` does not include `user.created`; change it in `{path}`, \
             or send it with `--force`\n"
        )
    );
    let ignored = fire(&["account", "created", "-e", "off", "-o", "json"]);
    assert_eq!(ignored.stderr(), "");
    let delivery = ignored.json();
    assert_eq!(
        (&delivery["status"], &delivery["ignored_by"]),
        (&"ignored".into(), &"active".into())
    );
    assert_eq!(
        (&delivery["attempt_count"], &delivery["attempts"]),
        (&0.into(), &Value::Array(Vec::new()))
    );
    let admin = env
        .hookfire(["fire", "account", "created", "-e", "plain"])
        .env("HOOKFIRE_ORIGIN", "admin-portal");
    let admin = admin.run().assert_code(0);
    assert!(
        admin
            .stderr()
            .contains("`provider_actions` of endpoint `plain` is false, and the change was made"),
        "{admin}"
    );
    let bare = fire(&[
        "account",
        "created",
        "--url",
        &server.url(),
        "--origin",
        "admin-portal",
    ]);
    assert!(
        bare.stderr()
            .contains("`provider_actions` of a bare URL is false"),
        "{bare}"
    );
    let dry = fire(&["user", "created", "--dry-run", "-o", "json"]).json();
    assert_eq!(
        (&dry["ignored_by"], &dry["request"]),
        (&"events".into(), &Value::Null)
    );

    fire(&["user", "created", "--force", "-q"]);
    assert_eq!(server.requests().len(), 1, "only what was forced");

    let listed = |args: &[&str]| {
        let lines = env
            .hookfire(["journal", "list", "-o", "ndjson"])
            .args(args)
            .run()
            .assert_code(0)
            .ndjson();
        lines
            .iter()
            .map(|line| line["id"].as_i64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (listed(&["--status", "ignored"]), listed(&[])),
        (vec![4, 3, 2, 1], vec![5, 4, 3, 2, 1])
    );
    assert_eq!(
        env.hookfire(["failed", "list", "-o", "json"])
            .run()
            .assert_code(0)
            .json(),
        serde_json::json!([])
    );
    let again = env.hookfire(["retry", "1"]).run().assert_code(5);
    assert!(
        again
            .stderr()
            .contains("#1 was ignored because of a webhook switch"),
        "{again}"
    );
    let page = env.hookfire(["journal", "show", "2"]).run().assert_code(0);
    assert!(
        page.stdout()
            .contains("status    ignored, as the switch `active` said\n"),
        "{page}"
    );
    let check = env
        .hookfire(["journal", "check", "-o", "json"])
        .run()
        .assert_code(0)
        .json();
    assert_eq!(check["deliveries"]["ignored"], 4);
    let prune = ["journal", "prune", "--older-than", "0s", "--yes"];
    assert_eq!(
        env.hookfire(prune)
            .args(["--status", "ignored"])
            .run()
            .stdout(),
        "deleted 4 deliveries\n"
    );
    assert_eq!(listed(&[]), [5]);
}

#[test]
fn ignored_event_needs_and_stores_no_secret() {
    let env = TestEnv::new();
    env.write_config(
        "[endpoints.off]\nurl = 'http://127.0.0.1:9/'\nactive = false\nsecrets = { token = { env = 'NOT_SET' } }\n",
    );
    env.hookfire(["fire", "user", "created", "-e", "off"])
        .run()
        .assert_code(0);
    let secret = "canary-in-an-ignored-one";
    let literal = format!("token={secret}");
    let outcome = env
        .hookfire([
            "fire", "user", "created", "-e", "off", "-vv", "-o", "json", "--secret", &literal,
        ])
        .run();
    assert_eq!(outcome.code, Some(0), "{outcome}");
    env.assert_nowhere(secret, &[&outcome]);
}

#[test]
fn mistyped_event_in_config_gets_a_suggestion() {
    let env = TestEnv::new();
    env.write_config(
        "[endpoints.a]\nurl = 'https://a.example/'\nevents = ['aplication.created']\n",
    );
    let outcome = env
        .hookfire(["fire", "account", "created", "-e", "a"])
        .run()
        .assert_code(1);
    let expected = "3: `aplication.created` is not an event that 3scale documents; did you mean `application.created`?\n";
    assert!(outcome.stderr().contains(expected), "{outcome}");
}

#[test]
fn config_show_has_switches_with_their_sources() {
    let mut env = TestEnv::new();
    let setting = |env: &TestEnv, args: &[&str], key: &str| {
        let all = env
            .hookfire(["config", "show", "-o", "json"])
            .args(args)
            .run()
            .assert_code(0)
            .json();
        let found = all
            .as_array()
            .unwrap()
            .iter()
            .find(|setting| setting["key"] == key)
            .unwrap();
        format!(
            "{} {}",
            found["value"].as_str().unwrap(),
            found["source"].as_str().unwrap()
        )
    };
    for (key, value) in [
        ("active", "true default"),
        ("provider_actions", "false default"),
        ("events", "all default"),
        ("wire", "xml default"),
        ("compat", "documented default"),
        ("origin", "developer-portal default"),
    ] {
        assert_eq!(setting(&env, &[], key), value, "{key}");
    }
    env.write_config(&(switches("http://127.0.0.1:9/") + "wire = 'form'\ncompat = 'porta'\n"));
    assert_eq!(
        setting(&env, &[], "events"),
        "application.created, account.* file"
    );
    assert_eq!(setting(&env, &["-e", "off"], "active"), "false file");
    assert_eq!(
        setting(&env, &["-e", "both"], "provider_actions"),
        "true file"
    );
    assert_eq!(setting(&env, &["-e", "plain"], "wire"), "form file");
    env.set("HOOKFIRE_COMPAT", "documented");
    assert_eq!(
        setting(&env, &["-e", "plain"], "compat"),
        "documented environment"
    );
    assert_eq!(
        setting(&env, &["-e", "plain", "--wire", "xml"], "wire"),
        "xml option"
    );
}

/// The only field of a form, decoded without the program's code.
fn form_field(body: &[u8]) -> Vec<u8> {
    let value = body
        .strip_prefix(b"params[xml]=")
        .unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(body)));
    let mut bytes = value.iter().copied();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        assert!(
            byte.is_ascii_alphanumeric() || b"%+*-._".contains(&byte),
            "{byte} must be encoded"
        );
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            byte => byte,
        });
    }
    decoded
}

#[test]
fn form_contains_the_exact_document_also_in_a_retry() {
    let env = TestEnv::new();
    let document =
        b"<?xml version='1.0' encoding='ISO-8859-1'?>\r\n<event><action>b</action><type>a</type>\
                     <object><a>caf\xe9 + &amp;=</a></object></event>\n";
    let file = env.write_file("event.xml", document);
    let server = Server::script(vec![respond(503), respond(200), respond(200)]);
    env.write_config(&format!(
        "[endpoints.old]\nurl = '{}'\nwire = 'form'\n",
        server.url()
    ));
    let fired = env
        .hookfire(["fire", "-e", "old", "--no-retry", "-o", "json", "--event"])
        .arg(&file)
        .run();
    assert_eq!(fired.assert_code(3).json()["wire"], "form");
    env.hookfire(["retry", "1"]).run().assert_code(0);
    env.hookfire(["fire", "-e", "old", "--wire", "xml", "--event"])
        .arg(&file)
        .run()
        .assert_code(0);
    let requests = server.requests();
    for request in &requests[..2] {
        assert_eq!(
            request.header("content-type"),
            Some("application/x-www-form-urlencoded")
        );
        assert_eq!(form_field(&request.body), document);
    }
    assert_eq!(requests[2].header("content-type"), Some("application/xml"));
    assert_eq!(requests[2].body, document);
    let ordered = env
        .hookfire(["fire", "-e", "old", "--compat", "porta", "--event"])
        .arg(&file)
        .run()
        .assert_code(2);
    assert!(
        ordered.stderr().contains("which is sent byte for byte"),
        "{ordered}"
    );
}

#[test]
fn retry_elsewhere_uses_that_endpoints_body_format() {
    let env = TestEnv::new();
    let server = Server::script(vec![respond(200), respond(200)]);
    env.write_config(&format!(
        "[endpoints.old]\nurl = '{}'\nwire = 'form'\n",
        server.url()
    ));
    let down = format!("http://127.0.0.1:{}/", closed_port());
    for wire in ["xml", "form"] {
        let fire = [
            "fire",
            "user",
            "created",
            "--no-retry",
            "--url",
            &down,
            "--wire",
            wire,
        ];
        env.hookfire(fire).run().assert_code(4);
    }
    env.hookfire(["retry", "1", "-e", "old"])
        .run()
        .assert_code(0);
    env.hookfire(["retry", "2", "--url", &server.url()])
        .run()
        .assert_code(0);
    for request in server.requests() {
        assert!(received(std::str::from_utf8(&form_field(&request.body)).unwrap()).0 == "user");
    }
}

#[test]
fn compat_porta_writes_the_action_first() {
    let env = TestEnv::new();
    let server = Server::script(vec![repeat(200, 2)]);
    let fire = ["fire", "account", "updated", "--url", &server.url()];
    env.hookfire(fire)
        .args(["--compat", "porta"])
        .run()
        .assert_code(0);
    env.hookfire(fire).run().assert_code(0);
    let requests = server.requests();
    assert!(
        body(&requests[0])
            .contains("<event><action>updated</action><type>account</type><object><account><id>")
    );
    assert!(
        body(&requests[1])
            .contains("<event>\n  <type>account</type>\n  <action>updated</action>\n  <object>")
    );
    assert_eq!(received(body(&requests[0])).0, "account");
    assert!(!body(&requests[0]).contains('\n') && body(&requests[0]).contains("<annotations/>"));
    assert!(
        shown(&env, &["account", "updated", "--compat", "porta"])
            .stdout()
            .contains("<event><action>")
    );
}

#[test]
fn dry_run_shows_the_form() {
    let env = TestEnv::new();
    let fire = [
        "fire",
        "user",
        "deleted",
        "--url",
        "http://127.0.0.1:9/",
        "--dry-run",
        "--wire",
        "form",
    ];
    let text = env.hookfire(fire).run().assert_code(0);
    assert!(
        text.stdout()
            .contains("content-type: application/x-www-form-urlencoded\n"),
        "{text}"
    );
    assert!(
        text.stdout().contains("\nparams[xml]=%3C%3Fxml+version%3D"),
        "{text}"
    );
    let json = env
        .hookfire(fire)
        .args(["-o", "json"])
        .run()
        .assert_code(0)
        .json();
    assert_eq!(json["ignored_by"], Value::Null);
    let carried = form_field(json["request"]["body"].as_str().unwrap().as_bytes());
    assert_eq!(
        received(std::str::from_utf8(&carried).unwrap()).1,
        "deleted"
    );
}

#[test]
fn listener_reads_events_in_both_body_formats() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &[]);
    for wire in ["xml", "form"] {
        let fire = [
            "fire",
            "application",
            "plan_changed",
            "--url",
            listener.url(),
            "--wire",
            wire,
            "--seed",
            "3",
        ];
        env.hookfire(fire).run().assert_code(0);
    }
    listener.stop();
    let list = env
        .hookfire(["captured", "list", "-o", "ndjson"])
        .run()
        .assert_code(0)
        .ndjson();
    assert_eq!(list.len(), 2);
    assert!(
        list.iter()
            .all(|c| (&c["type"], &c["action"]) == (&"application".into(), &"plan_changed".into()))
    );
    for id in ["1", "2"] {
        let page = env.hookfire(["captured", "show", id]).run().assert_code(0);
        assert!(
            page.stdout()
                .contains("\n  <action>plan_changed</action>\n  <object>\n    <application>\n"),
            "{page}"
        );
    }
    let exact = env
        .hookfire(["captured", "show", "2", "--body"])
        .run()
        .assert_code(0);
    assert!(exact.stdout().starts_with("params[xml]=%3C"), "{exact}");
    let diff = |a: &str, b: &str| {
        env.hookfire(["captured", "diff", a, b])
            .run()
            .assert_code(0)
            .stdout()
            .to_owned()
    };
    assert_eq!(
        diff("delivery:1", "1"),
        "bodies of delivery #1 and #1: byte-equal\n"
    );
    assert_eq!(
        diff("delivery:2", "2"),
        "bodies of delivery #2 and #2: byte-equal\n"
    );
    assert!(diff("delivery:1", "2").starts_with("bodies of delivery #1 and #2: byte-equal\n"));
    assert!(diff("1", "2").starts_with("bodies of #1 and #2: equivalent, bytes differ (xml)\n"));
}

#[test]
fn expect_matches_events_in_forms() {
    let env = TestEnv::new();
    let expect = [
        "expect",
        "--type",
        "account",
        "--match",
        "object/account/org_name=Acme",
        "--within",
        "20s",
        "--",
    ];
    let fire = [
        "fire",
        "account",
        "created",
        "--wire",
        "form",
        "--set",
        "org_name=Acme",
        "-q",
    ];
    env.hookfire(expect)
        .arg(env!("CARGO_BIN_EXE_hookfire"))
        .args(fire)
        .run()
        .assert_code(0);
}
