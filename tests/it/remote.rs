//! Reading the captures of a listener on another machine: exactly, and with words for what can go wrong.

use crate::support::{
    Invocation, Machines, READ_TOKEN, Server, TestEnv, chunked_endless, closed_port, respond,
};
use crate::tls::server::Authority;

const JSON: &str = "application/json";

fn about(versions: &str) -> String {
    format!("{{\"name\":\"hookfire\",\"version\":\"9.9.9\",\"api_versions\":{versions}}}")
}

#[test]
fn captures_are_read_exactly() {
    let machines = Machines::new();
    let listener = machines.listener(&[
        "--bin",
        "inbox",
        "--bin",
        "orders",
        "--max-body",
        "8MiB",
        "--exec",
        "sh",
        "--header",
        "x-run=yes",
        "--",
        "-c",
        "echo problem >&2; exit 3",
    ]);
    let large = "x".repeat(3 * 1024 * 1024);
    let requests: Vec<Vec<u8>> = vec![
        b"POST /a HTTP/1.1\r\nhOsT: x\r\nX-Two: 1\r\nx-two:   2  \r\nX-TWO: 1\r\nContent-Length: 3\r\n\r\nabc".to_vec(),
        b"GET /latin HTTP/1.1\r\nHost: x\r\nX-Name: caf\xe9\r\nX-Run: yes\r\n\r\n".to_vec(),
        b"POST /chunks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\n0\r\nX-T: 1\r\n\r\n"
            .to_vec(),
        b"POST /orders/1?token=canary&q=%00 HTTP/1.1\r\nHost: x\r\nCookie: a\r\nContent-Length: 4\r\n\r\n\x00\xff<\x1b"
            .to_vec(),
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_vec(),
        format!("POST /large HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{large}", large.len()).into_bytes(),
        b"POST /e HTTP/1.1\r\nHost: x\r\nContent-Length: 87\r\n\r\n<event><type>account</type><action>created</action><object><account/></object></event> "
            .to_vec(),
    ];
    for request in &requests {
        listener.send(request);
    }
    let url = format!("{}/_hookfire/", listener.url());
    for (index, request) in requests.iter().enumerate() {
        let id = (index + 1).to_string();
        let raw = machines.read(&url, &["captured", "show", &id, "--raw"]);
        assert_eq!(raw.run().assert_code(0).stdout, *request, "{index}");
        for form in [
            &["-o", "json", "--reveal"][..],
            &["-o", "json"],
            &["--body"],
            &[],
        ] {
            let show = [&["captured", "show", &id], form].concat();
            let here = machines.read(&url, &show).run().assert_code(0);
            let there = machines.there.hookfire(&show).run().assert_code(0);
            // The text says how long ago it was.
            let lines = |text: &str| {
                let lines = text.lines().filter(|line| !line.starts_with("received"));
                lines.map(str::to_owned).collect::<Vec<_>>()
            };
            assert_eq!(lines(here.stdout()), lines(there.stdout()), "{show:?}");
        }
    }
    for list in [
        &["captured", "list", "-o", "json"][..],
        &["captured", "list", "--limit", "2"],
        &["captured", "list", "--bin", "orders", "-o", "csv"],
        &[
            "captured", "list", "--type", "account", "--method", "post", "-o", "json",
        ],
        &[
            "captured",
            "list",
            "--contains",
            "abc",
            "--since",
            "1h",
            "-o",
            "json",
        ],
        &["captured", "diff", "1", "3", "-o", "json"],
        &["captured", "bins", "-o", "json"],
        &["captured", "bins", "-o", "csv"],
    ] {
        let here = machines.read(&url, list).run();
        let there = machines.there.hookfire(list).run();
        assert_eq!(here.stdout(), there.stdout(), "{list:?}\n{here}");
        assert_eq!(here.code, there.code, "{here}");
    }
    assert!(
        !machines.here.journal_path().exists(),
        "nothing is stored here"
    );
    listener.stop();
}

#[test]
fn long_lists_are_read_in_pages() {
    let machines = Machines::new();
    let listener = machines.listener(&[]);
    let one = b"GET /hook HTTP/1.1\r\nHost: h\r\n\r\n";
    listener.pipeline(one.repeat(1_200), 1_200);
    let list = ["captured", "list", "-o", "ndjson"];
    let outcome = machines.read(listener.url(), &list).run().assert_code(0);
    let ids = outcome.ndjson();
    let ids: Vec<i64> = ids.iter().filter_map(|one| one["id"].as_i64()).collect();
    assert_eq!(ids, (1..=1_200).rev().collect::<Vec<_>>());
    listener.stop();
}

#[test]
fn deliveries_from_here_are_compared_with_captures_there() {
    let machines = Machines::new();
    let listener = machines.listener(&[]);
    let hook = format!("{}/hook", listener.url());
    let fire = ["fire", "account", "created", "--url", &hook];
    machines.here.hookfire(fire).run().assert_code(0);
    let diff = ["captured", "diff", "delivery:1", "1", "-o", "json"];
    let outcome = machines.read(listener.url(), &diff).run().assert_code(0);
    assert_eq!(outcome.json()["bodies"], "byte_equal", "{outcome}");
    listener.stop();
}

/// Fails with this exit code and a message, without showing the token.
#[track_caller]
fn fails(command: Invocation, code: i32, words: &[&str]) {
    let outcome = command.run().assert_code(code);
    let text = outcome.stderr();
    for word in words {
        assert!(text.contains(word), "no `{word}` in\n{outcome}");
    }
    assert!(
        !text.contains(READ_TOKEN) && !text.contains('\x1b'),
        "{outcome}"
    );
    assert_eq!(outcome.stdout(), "", "{outcome}");
}

#[test]
fn wrong_tokens_ids_and_bins_are_reported() {
    let machines = Machines::new();
    let listener = machines.listener(&["--bin", "inbox", "--bin", "orders"]);
    listener.get("/hook?x");
    let url = listener.url();
    let list = ["captured", "list"];
    let here = &machines.here;
    let from = |args: &[&str]| here.hookfire(list).args(["--from", url]).args(args);
    fails(from(&[]), 1, &["requires a token", "--token @env:VARIABLE"]);
    fails(
        from(&["--token", "wrong"]),
        1,
        &["does not accept this token", "--read-token"],
    );
    fails(
        from(&["--token", "@env:NOT_SET"]),
        1,
        &["`NOT_SET` is not set"],
    );
    let bins = [&list[..], &["--bin", "payments"]].concat();
    fails(
        machines.read(url, &bins),
        2,
        &["no bin `payments`", "inbox", "orders"],
    );
    let near = [&list[..], &["--bin", "order"]].concat();
    fails(
        machines.read(url, &near),
        2,
        &["did you mean `--bin orders`?"],
    );
    fails(
        machines.read(url, &["captured", "show", "7"]),
        5,
        &["no capture #7"],
    );
    let inside = format!("{url}/_hookfire/?token={READ_TOKEN}");
    fails(
        machines.read(&inside, &list),
        2,
        &["must not contain its token", "HOOKFIRE_TOKEN"],
    );
    let user = url.replace("http://", &format!("http://x:{READ_TOKEN}@"));
    fails(
        machines.read(&user, &list),
        2,
        &["must not contain its token"],
    );
    fails(
        here.hookfire(list).args(["--token", "x"]),
        2,
        &["`--token` requires `--from`"],
    );
    fails(
        here.hookfire(list).arg("--insecure"),
        2,
        &["`--insecure` requires `--from`"],
    );
    // The variable alone changes nothing.
    let mut plain = TestEnv::new();
    plain.set("HOOKFIRE_TOKEN", READ_TOKEN);
    plain.hookfire(list).run().assert_code(0);
    let by_variable = plain.hookfire(list).args(["--from", url, "-o", "json"]);
    assert_eq!(by_variable.run().assert_code(0).json()[0]["path"], "/hook");
    listener.stop();
}

#[test]
fn other_servers_and_versions_are_reported() {
    let machines = Machines::new();
    let list = ["captured", "list"];
    let missing =
        "{\"error\":{\"kind\":\"not_found\",\"message\":\"there is no API call GET /x\"}}";
    let hostile = "\u{1b}]0;x\u{7}\u{202e}\n".repeat(500);
    let json = |status, body: &str| respond(status).header("Content-Type", JSON).body(body);
    for (response, code, words) in [
        (
            respond(200).body("<html>"),
            1,
            ["no `hookfire listen` responds", "looks like"],
        ),
        (
            respond(404).body("<html>"),
            1,
            ["no `hookfire listen` responds", "404 Not Found"],
        ),
        (
            json(404, "{\"detail\":\"x\"}"),
            1,
            ["no `hookfire listen` responds", "404 Not Found"],
        ),
        (
            json(
                200,
                "{\"name\":\"other\",\"version\":\"1\",\"api_versions\":[1]}",
            ),
            1,
            ["it is `other`", "looks like"],
        ),
        (
            json(200, "{\"ok\":true}"),
            1,
            ["not as documented", "missing field"],
        ),
        (
            json(200, "{\"ok\":"),
            1,
            ["no `hookfire listen`", "not JSON"],
        ),
        (
            json(404, missing),
            1,
            ["too old", "install this version of hookfire there"],
        ),
        (
            json(200, &about("[]")),
            1,
            ["9.9.9 there is too old", "install"],
        ),
        (
            json(200, &about("[7,8]")),
            1,
            ["9.9.9", "install the newer hookfire here"],
        ),
        (
            json(200, &about("[99999999999999999999]")),
            1,
            ["not as documented", "invalid"],
        ),
        (
            respond(403).body(format!("not you {hostile}")),
            1,
            ["refuses: not you", "\\u{1b}"],
        ),
        (
            json(503, "{\"error\":{\"message\":\"the journal is locked\"}}"),
            1,
            ["503 Service Unavailable", "the journal is locked"],
        ),
        (
            chunked_endless().header("Content-Type", JSON),
            1,
            ["longer than", "MiB"],
        ),
    ] {
        let server = Server::script(vec![response]);
        fails(machines.read(&server.url(), &list), code, &words);
        let requests = server.requests();
        let sent = requests[0].header("authorization").unwrap_or_default();
        assert_eq!(sent, format!("Bearer {READ_TOKEN}"));
        assert!(!requests[0].target.contains("token"), "{requests:?}");
    }
    let nothing = format!("http://127.0.0.1:{}", closed_port());
    fails(
        machines.read(&nothing, &list),
        4,
        &["connection refused", "hookfire listen --expose"],
    );
}

#[test]
fn hostile_captures_are_refused() {
    let machines = Machines::new();
    let capture = |id: &str, bin: &str| {
        format!(
            "{{\"id\":{id},\"bin\":\"{bin}\",\"received_at\":\"2026-11-20T10:00:00.000Z\",\"remote_addr\":\"127.0.0.1:1\",\
             \"type\":null,\"action\":null,\"malformed\":false,\"secret_ok\":null,\"signature\":null,\"handshake\":null,\
             \"response\":{{\"status\":200,\"duration_ms\":1,\"note\":null}},\"pinned\":false,\"note\":null,\"body_size\":0,\
             \"head\":\"R0VUIC8bWzJKIEhUVFAvMS4xDQoNCg==\",\"body\":\"\",\"wire_body\":null}}"
        )
    };
    let list = |captures: &[String]| {
        let captures = captures.join(",");
        format!("{{\"captures\":[{captures}],\"more\":true,\"position\":null}}")
    };
    for (captures, word) in [
        (vec![capture("9223372036854775808", "inbox")], "invalid"),
        (vec![capture("-1", "inbox")], "`id` is not valid"),
        (vec![capture("1", "../../x")], "`bin` is not valid"),
        (
            vec![capture("5", "inbox"), capture("5", "inbox")],
            "`captures` is not valid",
        ),
        (
            vec![capture("5", "inbox"), capture("6", "inbox")],
            "`captures` is not valid",
        ),
    ] {
        let json = |body: String| {
            respond(200)
                .header("Content-Type", JSON)
                .body(body)
                .keep_alive()
        };
        let server = Server::script(vec![json(about("[1]")), json(list(&captures))]);
        fails(
            machines.read(&server.url(), &["captured", "list"]),
            1,
            &["not as documented", word],
        );
    }
    // A page without captures that promises more ends the list; control characters stay out of a terminal's text.
    let json = |body: String| {
        respond(200)
            .header("Content-Type", JSON)
            .body(body)
            .keep_alive()
    };
    let pages = vec![
        json(about("[1]")),
        json(list(&[capture("5", "inbox")])),
        json(list(&[])),
    ];
    let server = Server::script(pages);
    let outcome = machines
        .read(&server.url(), &["captured", "list"])
        .run()
        .assert_code(0);
    assert!(
        outcome.stdout().contains("#5") && !outcome.stdout().contains('\x1b'),
        "{outcome}"
    );
}

#[test]
fn redirects_do_not_get_the_token() {
    let machines = Machines::new();
    let other = Server::script(Vec::new());
    let to = format!("{}/_hookfire/api/about?token={READ_TOKEN}", other.url());
    let server = Server::script(vec![respond(302).header("Location", &to)]);
    let words = ["it redirects to", "tokens are never sent"];
    fails(
        machines.read(&server.url(), &["captured", "list"]),
        1,
        &words,
    );
    assert_eq!(other.connections(), 0);
}

#[test]
fn certificates_are_verified() {
    let machines = Machines::new();
    let authority = Authority::new();
    let identity = authority.sign(&["127.0.0.1"]);
    let ca = machines.here.write_file("ca.pem", &authority.pem);
    let certificate = machines
        .there
        .write_file("cert.pem", &identity.certificate_pem);
    let key = machines.there.write_file("key.pem", &identity.key_pem);
    let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
    let listener = machines.listener(&["--tls-cert", &certificate, "--tls-key", &key]);
    let url = format!("https://127.0.0.1:{}/_hookfire/", listener.port());
    let list = ["captured", "list", "-o", "json"];
    let untrusted = machines.read(&url, &["captured", "list"]);
    fails(
        untrusted,
        4,
        &["the certificate's issuer is not trusted", "--cacert FILE"],
    );
    let other_name = url.replace("127.0.0.1", "localhost");
    let ca = ca.display().to_string();
    let wrong = machines.read(&other_name, &["captured", "list", "--cacert", &ca]);
    fails(wrong, 4, &["the certificate is for another host"]);
    let trusted = machines.read(&url, &list).args(["--cacert", &ca]).run();
    let captures = trusted.assert_code(0).json();
    assert_eq!(captures[0]["response"]["note"], "the TLS handshake failed");
    let insecure = machines
        .read(&url, &list)
        .arg("--insecure")
        .run()
        .assert_code(0);
    assert!(
        insecure
            .stderr()
            .contains("TLS certificates are not verified"),
        "{insecure}"
    );
    listener.stop();
}
