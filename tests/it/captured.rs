//! `hookfire captured`: list, show, compare, replay and delete.

use serde_json::json;

use crate::support::{
    Listener, Outcome, Server, TestEnv, closed_port, needs, never_accepting, respond,
};

const CANARY: &str = "canary-7f3a9c";
const EVENT: &str = "<event><type>application</type><action>created</action><object><application><plan>\
                     <name>Basic</name></plan></application></object></event>";

/// Sends these requests to a listener in order, and stops it.
fn catch(env: &TestEnv, args: &[&str], requests: &[impl AsRef<[u8]>]) {
    let listener = Listener::start(env, args);
    for request in requests {
        listener.send(request);
    }
    listener.stop();
}

fn post(target: &str, headers: &str, body: &str) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn captured(env: &TestEnv, args: &[&str]) -> Outcome {
    env.hookfire(["captured"].iter().chain(args)).run()
}

#[test]
fn a_bin_is_unknown_without_a_journal_too() {
    let env = TestEnv::new();
    for command in [
        &["captured", "list"][..],
        &["captured", "delete"],
        &["captured", "delete", "--with-bin"],
        &["expect", "--within", "20s"],
    ] {
        let outcome = env.hookfire(command).args(["--bin", "orders"]);
        let outcome = outcome.run().assert_code(2);
        assert_eq!(
            outcome.stderr(),
            "error: there is no bin `orders`\nhint: there are no bins yet; `hookfire listen` creates one\n"
        );
    }
    assert!(!env.journal_path().exists(), "a journal was created");
}

#[test]
fn captured_list_is_newest_first_and_filtered() {
    let env = TestEnv::new();
    assert_eq!(
        captured(&env, &["list"]).assert_code(0).stderr(),
        "no captures yet\n"
    );
    assert_eq!(
        captured(&env, &["list", "-o", "json"])
            .assert_code(0)
            .json(),
        json!([])
    );
    let requests = [
        post("/orders/a", "", EVENT),
        post("/b", "", "x"),
        "PUT /c HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(),
    ];
    catch(&env, &["--bin", "inbox", "--bin", "orders"], &requests);
    let ids = |args: &[&str]| {
        let all: Vec<&str> = ["list", "-o", "ndjson"]
            .into_iter()
            .chain(args.iter().copied())
            .collect();
        let lines = captured(&env, &all).assert_code(0).ndjson();
        lines
            .iter()
            .map(|line| line["id"].as_i64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&[]), [3, 2, 1]);
    assert_eq!(ids(&["--limit", "2"]), [3, 2]);
    assert_eq!(ids(&["--bin", "orders"]), [1]);
    assert_eq!(ids(&["--method", "put"]), [3]);
    assert_eq!(ids(&["--type", "application", "--action", "created"]), [1]);
    assert_eq!(ids(&["--since", "1h", "--bin", "inbox"]), [3, 2]);
    assert!(ids(&["--since", "2999-01-01"]).is_empty());

    let outcome = captured(&env, &["list", "--type", "aplication"]).assert_code(0);
    assert_eq!(
        outcome.stderr(),
        "no capture matches\nhint: `aplication` is not a type that 3scale documents; did you mean `application`?\n"
    );
    for command in [&["list"][..], &["delete", "--yes"]] {
        let outcome = captured(&env, &[command, &["--bin", "oders"]].concat()).assert_code(2);
        assert_eq!(
            outcome.stderr(),
            "error: there is no bin `oders`\nhint: did you mean `--bin orders`?\n"
        );
    }
    let table = captured(&env, &["list", "--limit", "1"]).assert_code(0);
    assert!(
        table.stdout().contains("#3") && !table.stdout().contains("#2"),
        "{table}"
    );
    assert_eq!(
        table.stderr(),
        "the newest 1 shown; `--limit 2` shows more\n"
    );
    let csv = captured(&env, &["list", "-o", "csv"]).assert_code(0);
    assert!(
        csv.stdout()
            .starts_with("id,bin,received_at,remote_addr,method,target,"),
        "{csv}"
    );
    assert!(
        csv.stdout()
            .lines()
            .nth(3)
            .unwrap()
            .starts_with("1,orders,"),
        "{csv}"
    );
    captured(&env, &["list", "--since", "yesterday"]).assert_code(2);
}

#[test]
fn bins_are_listed_and_deleted_with_their_captures() {
    let env = TestEnv::new();
    let outcome = captured(&env, &["bins"]).assert_code(0);
    assert_eq!((outcome.stdout(), outcome.stderr()), ("", "no bins yet\n"));
    let requests = [post("/orders/a", "", EVENT), post("/orders/b", "", "x")];
    catch(&env, &["--bin", "inbox", "--bin", "orders"], &requests);
    let bins = captured(&env, &["bins", "-o", "json"])
        .assert_code(0)
        .json();
    assert_eq!(
        (
            &bins[0]["name"],
            &bins[0]["captures"],
            &bins[0]["last_capture_at"]
        ),
        (&json!("inbox"), &json!(0), &json!(null))
    );
    assert_eq!(
        (&bins[1]["name"], &bins[1]["captures"]),
        (&json!("orders"), &json!(2))
    );
    let last = captured(&env, &["show", "2", "-o", "json"]).json();
    assert_eq!(bins[1]["last_capture_at"], last["received_at"]);
    let csv = captured(&env, &["bins", "-o", "csv"]).assert_code(0);
    assert!(
        csv.stdout()
            .starts_with("name,captures,last_capture_at,created_at,private\ninbox,0,,"),
        "{csv}"
    );
    let table = captured(&env, &["bins"]).assert_code(0);
    assert!(table.stdout().contains("orders"), "{table}");

    let delete = |args: &[&str]| captured(&env, &[&["delete"], args].concat());
    let words = "2 captures and the bin `orders`";
    let outcome = delete(&["--bin", "orders", "--with-bin", "--dry-run"]).assert_code(0);
    assert!(
        outcome
            .stderr()
            .contains(&format!("{words} would be deleted")),
        "{outcome}"
    );
    delete(&["--bin", "orders", "--with-bin"]).assert_code(2);
    for wrong in [
        &["--with-bin", "--all", "--yes"][..],
        &["--bin", "orders", "--with-bin", "--method", "PUT", "--yes"],
        &["1", "--with-bin", "--yes"],
        &["--bin", "oders", "--with-bin", "--yes"],
    ] {
        delete(wrong).assert_code(2);
    }
    let outcome = delete(&["--bin", "orders", "--with-bin", "--yes"]).assert_code(0);
    assert_eq!(outcome.stdout(), format!("deleted {words}\n"));
    let outcome = delete(&["--bin", "inbox", "--with-bin", "--yes", "-o", "json"]).assert_code(0);
    assert_eq!(outcome.json(), json!({ "deleted": 0 }));
    let left = captured(&env, &["bins", "-o", "json"])
        .assert_code(0)
        .json();
    assert_eq!(left, json!([]));
}

#[test]
fn captured_list_prints_the_objects_of_show_without_body() {
    let env = TestEnv::new();
    catch(
        &env,
        &[],
        &[post("/hook?a=b%20c", "X-A: 1\r\nx-a: 2\r\n", EVENT)],
    );
    let mut shown = captured(&env, &["show", "#1", "-o", "json"])
        .assert_code(0)
        .json();
    assert_eq!(
        (&shown["body"], &shown["body_encoding"]),
        (&json!(EVENT), &json!("utf8"))
    );
    assert_eq!(shown["query"], json!([["a", "b c"]]));
    assert_eq!(shown["headers"][1], json!(["X-A", "1"]));
    assert_eq!(
        captured(&env, &["show", "1", "--as", "json"])
            .assert_code(0)
            .json(),
        shown
    );
    let object = shown.as_object_mut().unwrap();
    object.remove("body");
    object.remove("body_encoding");
    assert_eq!(
        captured(&env, &["list", "-o", "json"])
            .assert_code(0)
            .json()[0],
        shown
    );
}

#[test]
fn unknown_captures_are_reported_with_a_hint() {
    let env = TestEnv::new();
    for args in [
        &["show", "17"][..],
        &["delete", "17"],
        &["replay", "17", "--to", "http://127.0.0.1:1"],
        &["diff", "17", "18"],
    ] {
        let outcome = captured(&env, args).assert_code(5);
        assert_eq!(
            outcome.stderr(),
            "error: there is no capture #17 in the journal\nhint: `hookfire captured list` lists all captures\n"
        );
    }
    captured(&env, &["diff", "delivery:4", "18"]).assert_code(5);
    captured(&env, &["diff", "delivery:x", "18"]).assert_code(2);
    captured(&env, &["show", "0"]).assert_code(2);
    catch(&env, &[], &[post("/", "", "x")]);
    captured(&env, &["show", "2"]).assert_code(5);
    captured(&env, &["show", "1", "--raw", "-o", "json"]).assert_code(2);
}

#[test]
fn captured_show_masks_configured_secrets_unless_revealed() {
    let env = TestEnv::new();
    env.write_config(
        "[endpoints.a]\nurl = \"https://h/\"\nsecrets = { token = { env = \"T\" } }\n",
    );
    let headers = format!("Authorization: Bearer {CANARY}\r\nCookie: a={CANARY}\r\n");
    catch(
        &env,
        &[],
        &[post(&format!("/hook?a=1&t%6fken={CANARY}"), &headers, "x")],
    );
    for args in [
        &["list"][..],
        &["list", "-o", "json"],
        &["list", "-o", "csv"],
        &["show", "1"],
        &["show", "1", "-o", "json"],
        &["show", "1", "--as", "curl"],
        &["show", "1", "--as", "http"],
        &["show", "1", "--as", "har"],
        &["replay", "1", "--to", "http://127.0.0.1:1", "--dry-run"],
        &[
            "replay",
            "1",
            "--to",
            "http://127.0.0.1:1",
            "-v",
            "-o",
            "json",
        ],
        &["delete", "1", "--dry-run"],
        &["diff", "1", "1", "-o", "json"],
    ] {
        let outcome = captured(&env, args);
        assert!(
            outcome.code == Some(0) || outcome.code == Some(4),
            "{outcome}"
        );
        let said = format!("{}{}", outcome.stdout(), outcome.stderr());
        assert!(!said.contains(CANARY), "{outcome}");
        assert!(args[0] == "diff" || said.contains("***"), "{outcome}");
    }
    let hint = captured(&env, &["show", "1"]);
    assert!(hint.stderr().contains("`--reveal` shows them"), "{hint}");
    assert_eq!(
        captured(&env, &["show", "1", "--reveal"])
            .stdout()
            .matches(CANARY)
            .count(),
        4
    );
    assert!(
        captured(&env, &["list", "--reveal"])
            .stdout()
            .contains(CANARY)
    );
    assert!(
        captured(&env, &["show", "1", "--raw"])
            .stdout()
            .contains(CANARY),
        "exact bytes are exact"
    );
}

#[test]
fn query_values_are_masked_if_a_secret_was_required() {
    let env = TestEnv::new();
    let args = ["--require-secret", &format!("token={CANARY}")];
    catch(
        &env,
        &args,
        &[
            post(&format!("/?token={CANARY}&a=1"), "", "x"),
            post("/?token=wrong-one&a=1", "", "x"),
        ],
    );
    let list = captured(&env, &["list"]).assert_code(0);
    assert!(
        list.stdout().contains("/?token=***&a=***")
            && list.stdout().contains("wrong or missing secret"),
        "{list}"
    );
    assert!(
        !list.stdout().contains("wrong-one") && !list.stdout().contains(CANARY),
        "{list}"
    );
}

#[test]
fn captured_show_escapes_on_terminals_but_not_in_pipes() {
    let env = TestEnv::new();
    let request =
        b"POST /a HTTP/1.1\r\nHost: h\r\nX: \xc2\x9bcaf\xe9\r\nContent-Length: 8\r\n\r\n\x1b[2J\x07a\rb".to_vec();
    let refused = b"GET / HTTP/1.1\r\nX: \x1b]0;title\x07\r\n\r\n".to_vec();
    catch(&env, &[], &[&request, &refused]);
    assert_eq!(
        captured(&env, &["show", "1", "--raw"])
            .assert_code(0)
            .stdout,
        request
    );
    assert_eq!(
        captured(&env, &["show", "2", "--raw"])
            .assert_code(0)
            .stdout,
        refused
    );
    assert_eq!(
        captured(&env, &["show", "1", "--body"])
            .assert_code(0)
            .stdout,
        b"\x1b[2J\x07a\rb"
    );
    if !needs("script", &["--version"]) {
        return;
    }
    for what in [
        &[][..],
        &["--raw"],
        &["--body"],
        &["--as", "curl"],
        &["--as", "http"],
        &["--as", "har"],
        &["-o", "json"],
    ] {
        for id in ["1", "2"] {
            let args: Vec<&str> = ["captured", "show", id, "--color", "never"]
                .iter()
                .chain(what)
                .copied()
                .collect();
            let shown = env.hookfire_on_terminal(&args).run();
            // A terminal's line ends are CR LF.
            let text = String::from_utf8(shown.stdout.clone())
                .expect("a terminal gets text")
                .replace("\r\n", "\n");
            assert!(
                !text.contains(|c: char| c.is_control() && c != '\n' && c != '\t'),
                "{args:?} {text:?}"
            );
        }
    }
}

#[test]
fn curl_export_sends_the_same_request() {
    let env = TestEnv::new();
    if !needs("curl", &["--version"]) || !needs("sh", &["-c", "true"]) {
        return;
    }
    let listener = Listener::start(&env, &[]);
    let host = format!("127.0.0.1:{}", listener.port());
    let head = |line: &str, rest: &str| {
        format!("{line} HTTP/1.1\r\nHost: {host}\r\n{rest}\r\n").into_bytes()
    };
    let requests = [
        head("GET /plain?a=1&b=it's", "Accept: */*\r\nUser-Agent: me\r\n"),
        [
            &head(
                "POST /a/../b?x=[1]{2}",
                "X-A: it's \"so\"\r\nX-L: caf\u{e9}\r\nx-a: $HOME `id`\r\nContent-Length: 11\r\n",
            )[..],
            b"@it's $HOME",
        ]
        .concat(),
        [
            &head("PUT /bin", "Content-Type: a/b\r\nContent-Length: 5\r\n")[..],
            b"\x00\xff\x1b\r\n",
        ]
        .concat(),
        head("DELETE /x", "Empty:\r\n"),
    ];
    for (index, request) in requests.iter().enumerate() {
        listener.send(request);
        let id = (index * 2 + 1).to_string();
        let command = captured(&env, &["show", &id, "--as", "curl", "--reveal"])
            .assert_code(0)
            .stdout()
            .to_owned();
        let program = std::path::Path::new(env!("CARGO_BIN_EXE_hookfire"))
            .parent()
            .unwrap()
            .display()
            .to_string();
        let script = format!("set -e; PATH=\"{program}:$PATH\"; {}", command.trim_end());
        let file = env.write_file(format!("{id}.sh"), script);
        let ran = env.on_terminal(&format!("sh {}", file.display())).run();
        let copy = (index * 2 + 2).to_string();
        let diff = captured(&env, &["diff", &id, &copy]);
        assert_eq!(
            diff.stdout(),
            format!("bodies of #{id} and #{copy}: byte-equal\n"),
            "{command}\n{ran}"
        );
    }
    listener.stop();
}

#[test]
fn exported_commands_name_the_journal() {
    let env = TestEnv::new();
    let journal = env.work_dir().join("it's.db").display().to_string();
    let listener = Listener::start(&env, &["--journal", &journal]);
    listener.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n\xff");
    listener.stop();
    let show = |id: &str, form: &str| {
        let args = ["show", id, "--as", form, "--journal", &journal];
        captured(&env, &args)
    };
    let program = format!("hookfire --journal '{}'", journal.replace('\'', r"'\''"));
    let curl = show("1", "curl").assert_code(0);
    let expected = format!("{program} captured show 1 --body | curl");
    assert!(curl.stdout().starts_with(&expected), "{curl}");
    let missing = show("2", "curl").assert_code(5);
    let expected = format!("hint: `{program} captured list` lists");
    assert!(missing.stderr().contains(&expected), "{missing}");
}

#[test]
fn incomplete_captures_are_not_exported() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &[]);
    listener.send(b"G<T / HTTP/1.1\r\nHost: h\r\n\r\n");
    listener.stop();
    for form in ["curl", "http", "har"] {
        let refused = captured(&env, &["show", "1", "--as", form]).assert_code(2);
        assert!(refused.stdout().is_empty(), "{refused}");
        assert!(
            refused.stderr().contains("incomplete or malformed"),
            "{refused}"
        );
    }
}

#[test]
fn captured_delete_needs_confirmation() {
    let env = TestEnv::new();
    let requests = [
        post("/a", "", "x"),
        post("/b", "", "x"),
        post("/c", "", EVENT),
        post("/d", "", "x"),
    ];
    catch(&env, &[], &requests);
    for args in [
        &["delete"][..],
        &["delete", "1", "--all"],
        &["delete", "--all"],
        &["delete", "--bin", "inbox"],
    ] {
        captured(&env, args).assert_code(2);
    }
    captured(&env, &["delete", "1", "99"]).assert_code(5);
    captured(&env, &["delete", "--since", "soon", "--yes"]).assert_code(2);
    let dry = captured(
        &env,
        &["delete", "--type", "application", "--dry-run", "-o", "json"],
    )
    .assert_code(0);
    assert_eq!(dry.json(), json!({ "would_delete": 1, "ids": [3] }));
    assert_eq!(
        captured(&env, &["list", "-o", "ndjson"]).ndjson().len(),
        4,
        "nothing is gone so far"
    );

    assert_eq!(
        captured(&env, &["delete", "1", "#2", "1"])
            .assert_code(0)
            .stdout(),
        "deleted 2 captures\n"
    );
    let bulk = captured(
        &env,
        &["delete", "--type", "application", "--yes", "-o", "json"],
    )
    .assert_code(0);
    assert_eq!(bulk.json(), json!({ "deleted": 1 }));
    assert_eq!(
        captured(&env, &["delete", "--all", "--yes"])
            .assert_code(0)
            .stdout(),
        "deleted 1 capture\n"
    );
    assert!(
        captured(&env, &["list", "-o", "ndjson"])
            .assert_code(0)
            .ndjson()
            .is_empty()
    );
}

#[test]
fn replay_sends_the_captured_request() {
    let env = TestEnv::new();
    let body = "\u{1}\r\n<a/>";
    let request = format!(
        "pATCH /a%2Fb//c?x=%41&&y HTTP/1.1\r\nHost: 127.0.0.1:1\r\nX-A: 1\r\nCookie: k=v\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\
         x-a: 2\r\nUser-Agent: them\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    catch(&env, &[], &[request]);
    let server = Server::script(vec![respond(204), respond(200).body("thanks")]);
    let outcome = captured(&env, &["replay", "1", "--to", &server.url()]).assert_code(0);
    let expected = format!(
        "#1 pATCH → {}/a%2Fb//c?x=%41&&y: 204 No Content (",
        server.url()
    );
    assert!(outcome.stdout().starts_with(&expected), "{outcome}");
    let to = format!("{}/own?k={CANARY}", server.url());
    let outcome = captured(&env, &["replay", "1", "--to", &to, "-o", "json"]).assert_code(0);
    let view = &outcome.json()[0];
    assert_eq!(
        (&view["http_status"], &view["response_body"]),
        (&json!(200), &json!("thanks"))
    );
    assert!(
        view["url"].as_str().unwrap().ends_with("/own?k=***"),
        "{view}"
    );
    env.assert_nowhere(CANARY, &[&outcome]);

    let received = server.requests();
    assert_eq!(
        (received[0].method.as_str(), received[0].target.as_str()),
        ("pATCH", "/a%2Fb//c?x=%41&&y")
    );
    assert_eq!(received[1].target, format!("/own?k={CANARY}"));
    assert_eq!(received[0].body, body.as_bytes());
    let mut headers = received[0].headers.clone();
    headers.retain(|(name, _)| name != "host");
    let expected = [
        ("x-a", "1"),
        ("x-a", "2"),
        ("cookie", "k=v"),
        ("user-agent", "them"),
        ("hookfire-replay-of", "1"),
        ("content-length", "7"),
        ("accept", "*/*"),
    ];
    let mut expected = expected
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
    expected.sort();
    headers.sort();
    assert_eq!(headers, expected);
}

#[test]
fn impossible_replays_are_refused() {
    let env = TestEnv::new();
    catch(&env, &[], &[post("/a?b#c", "", "x")]);
    let server = Server::script(vec![]);
    let refused = captured(&env, &["replay", "1", "--to", &server.url()]).assert_code(2);
    assert!(
        refused.stderr().contains("cannot be sent unchanged"),
        "{refused}"
    );
    assert!(server.requests().is_empty());
    let refused = captured(&env, &["replay", "1"]).assert_code(2);
    let hint = "hint: pass `--to URL`, a configured endpoint with `-e NAME`, or a program with `--exec CMD`\n";
    assert_eq!(
        refused.stderr(),
        format!("error: no destination given\n{hint}")
    );
    for (limit, problem) in [
        ("0", "it must be at least 1"),
        ("x", "`x` is not a whole number"),
    ] {
        let refused = captured(&env, &["list", "--limit", limit]).assert_code(2);
        assert!(refused.stderr().contains(problem), "{refused}");
    }
}

#[test]
fn replay_keeps_credentials_from_other_hosts() {
    let env = TestEnv::new();
    let secret = format!("Authorization: Bearer {CANARY}\r\n");
    catch(
        &env,
        &[],
        &[
            post("/a", "", "x"),
            post("/b", &secret, "x").replace("127.0.0.1", "hooks.example.com:8443"),
        ],
    );
    let server = Server::script(vec![respond(200), respond(200)]);
    let refused = captured(&env, &["replay", "1", "2", "--to", &server.url()]).assert_code(2);
    assert_eq!(
        refused.stderr(),
        "error: nothing is sent, because of capture #2\n\
         caused by: it carries `Authorization` for `hooks.example.com`, not for `127.0.0.1`\n\
         hint: if that host may have them, pass `--send-credentials`\n"
    );
    assert!(server.requests().is_empty());
    let dry = captured(
        &env,
        &[
            "replay",
            "1",
            "2",
            "--to",
            &server.url(),
            "--send-credentials",
            "--dry-run",
        ],
    );
    assert!(dry.assert_code(0).stdout().contains("Authorization: ***\n"));
    assert!(server.requests().is_empty());
    captured(
        &env,
        &[
            "replay",
            "1",
            "2",
            "--to",
            &server.url(),
            "--send-credentials",
        ],
    )
    .assert_code(0);
    assert_eq!(
        server.requests()[1].header("authorization"),
        Some(format!("Bearer {CANARY}").as_str())
    );
}

#[test]
fn replay_exit_code_is_the_outcome() {
    let env = TestEnv::new();
    catch(
        &env,
        &[],
        &[
            post("/a", "", "x"),
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n".to_owned(),
        ],
    );
    let server = Server::script(vec![respond(503), respond(200), respond(302)]);
    let refused = captured(&env, &["replay", "1", "1", "--to", &server.url()]).assert_code(3);
    assert_eq!(
        refused.stdout().lines().count(),
        2,
        "the second is sent although the first was refused: {refused}"
    );
    let refused = captured(
        &env,
        &["replay", "1", "--to", &server.url(), "-o", "ndjson"],
    )
    .assert_code(3);
    assert_eq!(refused.ndjson()[0]["http_status"], 302);
    assert!(
        refused.stderr().contains("\"kind\":\"refused\""),
        "{refused}"
    );
    let nobody = format!("http://127.0.0.1:{}", closed_port());
    let unreachable = captured(&env, &["replay", "1", "--to", &nobody]).assert_code(4);
    assert!(
        unreachable.stdout().contains(": connection refused ("),
        "{unreachable}"
    );
    let partial = captured(&env, &["replay", "2", "--to", &server.url()]).assert_code(2);
    assert!(
        partial
            .stderr()
            .contains("caused by: the captured request is incomplete"),
        "{partial}"
    );
    captured(&env, &["replay", "1"]).assert_code(2);
    captured(&env, &["replay", "1", "--to", "ftp://h"]).assert_code(2);
    captured(&env, &["replay", "1", "--to", &server.url(), "-e", "x"]).assert_code(2);
}

#[test]
fn replay_to_an_endpoint_uses_its_secrets_and_headers() {
    let mut env = TestEnv::new();
    catch(
        &env,
        &[],
        &[post(
            "/theirs?token=theirs&b=1",
            "X-Api-Key: theirs\r\n",
            "x",
        )],
    );
    let server = Server::script(vec![respond(200).body(CANARY)]);
    env.write_config(&format!(
        "[endpoints.a]\nurl = \"{}/ours\"\nsecrets = {{ token = {{ env = \"T\" }} }}\nheaders = {{ X-Api-Key = {{ env = \"T\" }} }}\n",
        server.url()
    ));
    env.set("T", CANARY);
    let outcome = captured(&env, &["replay", "1", "-e", "a", "-o", "json", "-vv"]).assert_code(0);
    env.assert_nowhere(CANARY, &[&outcome]);
    let received = &server.requests()[0];
    assert_eq!(received.target, format!("/ours?token={CANARY}"));
    let keys: Vec<_> = received
        .headers
        .iter()
        .filter(|(name, _)| name == "x-api-key")
        .collect();
    assert_eq!(keys, [&("x-api-key".to_owned(), CANARY.to_owned())]);
}

#[test]
fn replay_target_comes_from_option_or_variable() {
    let env = TestEnv::new();
    catch(&env, &[], &[post("/", "", "x")]);
    let (by_variable, by_option) = (
        Server::script(vec![respond(200)]),
        Server::script(vec![respond(200).times(2)]),
    );
    env.write_config(&format!("[endpoints.a]\nurl = \"{}\"\n", by_option.url()));
    for option in [
        vec![],
        vec!["--to".to_owned(), by_option.url()],
        vec!["-e".to_owned(), "a".to_owned()],
    ] {
        let replay = env
            .hookfire(["captured", "replay", "1"])
            .args(option)
            .env("HOOKFIRE_TO", by_variable.url());
        replay.run().assert_code(0);
    }
    let both = ["replay", "1", "-e", "a", "--to", &by_option.url()];
    assert!(
        captured(&env, &both)
            .assert_code(2)
            .stderr()
            .contains("cannot be combined")
    );
}

#[test]
fn replay_keeps_the_exact_path() {
    let env = TestEnv::new();
    let targets = [
        "/a%2Fb/../c",
        "/a/./b",
        "/a/%2e%2e/b",
        "/a\\b",
        "/a\"b",
        "/a{b}?q={'x':1}",
        "/caf\u{e9}?q=\u{20ac}",
    ];
    let requests: Vec<String> = targets
        .iter()
        .map(|target| format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"))
        .collect();
    catch(&env, &[], &requests);
    let server = Server::script(vec![respond(200).times(targets.len())]);
    for id in 1..=targets.len() {
        let outcome =
            captured(&env, &["replay", &id.to_string(), "--to", &server.url()]).assert_code(0);
        assert_eq!(outcome.stderr(), "");
    }
    let received: Vec<String> = server
        .requests()
        .iter()
        .map(|request| request.target.clone())
        .collect();
    assert_eq!(received, targets);
    let server = never_accepting();
    let (url, limit) = (server.url(), ["--connect-timeout", "100ms"]);
    let replay = ["replay", "1", "--to", &url, "-o", "ndjson"];
    let outcome = captured(&env, &[&replay[..], &limit].concat()).assert_code(4);
    let error = &outcome.ndjson()[0]["error"];
    assert_eq!(error["message"], "no connection within 100ms", "{outcome}");
}

#[test]
fn diff_compares_bodies_by_content() {
    let env = TestEnv::new();
    let other = EVENT.replace("Basic", "Gold");
    let spaced = EVENT
        .replace("><", ">\n <")
        .replace("Basic", "<![CDATA[Bas]]>&#105;c");
    let requests = [
        post("/a", "", EVENT),
        post("/a", "", EVENT),
        post(
            "/a?x=1",
            "X-Try: 2\r\n",
            &format!("<?xml version='1.0'?>{spaced}"),
        ),
        post("/a", "", &other),
        post("/a", "", "{\"n\":1,\"m\":[1]}"),
        post("/a", "", "{ \"m\":[1.0], \"n\":1e0 }"),
    ];
    catch(&env, &[], &requests);
    let diff = |a: &str, b: &str, code: i32| {
        captured(&env, &["diff", a, b])
            .assert_code(code)
            .stdout()
            .to_owned()
    };
    assert_eq!(diff("1", "#2", 0), "bodies of #1 and #2: byte-equal\n");
    assert_eq!(
        diff("1", "3", 0),
        "bodies of #1 and #3: equivalent, bytes differ (xml)\n\nmethod, path, query and headers\n  query x: nothing ≠ \"1\"\n  \
         header x-try: nothing ≠ \"2\"\n"
    );
    assert_eq!(
        diff("1", "4", 1),
        "bodies of #1 and #4: different (xml)\n  event/object/application/plan/name: \"Basic\" ≠ \"Gold\"\n"
    );
    assert_eq!(
        diff("5", "6", 0),
        "bodies of #5 and #6: equivalent, bytes differ (json)\n"
    );
    assert!(diff("4", "5", 1).starts_with("bodies of #4 and #5: different (bytes)\n  byte 0: "));
    let view = captured(&env, &["diff", "1", "4", "-o", "json"]).assert_code(1);
    assert_eq!(view.stderr(), "");
    assert_eq!(
        view.json(),
        json!({
            "a": "#1", "b": "#4", "bodies": "different", "compared_as": "xml",
            "differences": [{ "path": "event/object/application/plan/name", "a": "Basic", "b": "Gold" }],
            "truncated": false, "request_differences": [],
        })
    );
}

#[test]
fn diff_compares_a_delivery_with_a_capture() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &[]);
    let url = format!("{}/hook?token={CANARY}", listener.url());
    let fire = [
        "fire",
        "application",
        "created",
        "--no-retry",
        "--url",
        &url,
    ];
    for _ in 0..2 {
        env.hookfire(fire).run().assert_code(0);
    }
    listener.stop();
    let same = captured(&env, &["diff", "delivery:1", "1"]).assert_code(0);
    assert_eq!(same.stdout(), "bodies of delivery #1 and #1: byte-equal\n");
    let other = captured(&env, &["diff", "2", "delivery:1"]);
    assert!(
        other
            .stdout()
            .contains("\nmethod, path, query and headers\n  header webhook-id: "),
        "{other}"
    );
    assert!(!other.stdout().contains(CANARY), "{other}");
}

#[test]
fn captured_show_reports_a_full_disk() {
    let env = TestEnv::new();
    let body = format!("{}\n{}", "a".repeat(65_535), "z".repeat(100));
    catch(&env, &[], &[post("/", "", &body)]);
    // Writes beyond 64 KiB fail, as on a full disk.
    let line = format!(
        "trap '' XFSZ; ulimit -f 128; exec {} captured show 1 --body > body",
        env!("CARGO_BIN_EXE_hookfire")
    );
    let outcome = env.shell(&line).run();
    assert_ne!(outcome.code, Some(0), "{outcome}");
    assert!(outcome.stderr().contains("File too large"), "{outcome}");
}
