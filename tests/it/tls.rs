//! TLS: trusted certificates, error messages, and no fallback.

pub mod server;

use std::io::Write;
use std::net::TcpListener;

use serde_json::Value;

use self::server::{Authority, OutputOptions, TlsServer, self_signed, self_signed_authority};
use crate::support::{Outcome, Server, TestEnv, hang_before_read, respond};

static ONLY_1_2: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12];
const HERE: &[&str] = &["127.0.0.1", "localhost"];

/// An environment, an authority with its certificate in `ca.pem`, and an endpoint that it has signed.
fn usual() -> (TestEnv, Authority, TlsServer) {
    let (env, authority) = (TestEnv::new(), Authority::new());
    env.write_file("ca.pem", &authority.pem);
    let server = TlsServer::start(&authority.sign(HERE), &OutputOptions::default());
    (env, authority, server)
}

fn fire(env: &TestEnv, url: &str, more: &[&str]) -> Outcome {
    let usual = [
        "fire",
        "account",
        "created",
        "--no-retry",
        "--timeout",
        "5s",
        "-o",
        "json",
        "--url",
        url,
    ];
    env.hookfire(usual).args(more).run()
}

/// The message of a TLS failure before the request.
fn no_tls(outcome: Outcome, server: &TlsServer, hint: &str) -> String {
    let outcome = outcome.assert_code(4);
    let delivery = outcome.json();
    let attempt = &delivery["attempts"][0];
    assert_eq!(delivery["last_error"]["kind"], "tls", "{outcome}");
    assert_eq!(attempt["error"]["kind"], "tls", "{outcome}");
    assert_eq!(attempt["maybe_received"], false, "{outcome}");
    assert_eq!(server.requests(), 0, "it never falls back\n{outcome}");
    let error: Value = serde_json::from_slice(&outcome.stderr).expect("one JSON object");
    assert_eq!(error["error"]["kind"], "unreachable", "{outcome}");
    assert!(
        error["error"]["hints"].to_string().contains(hint),
        "{hint}\n{outcome}"
    );
    attempt["error"]["message"]
        .as_str()
        .expect("a message")
        .to_owned()
}

#[test]
fn cacert_is_trusted() {
    let (env, _, server) = usual();
    for (index, host) in HERE.iter().enumerate() {
        let url = format!("https://{host}:{}/hook?token=x", server.port());
        let outcome = fire(&env, &url, &["--cacert", "ca.pem"]).assert_code(0);
        let attempt = &outcome.json()["attempts"][0];
        assert_eq!(
            (&attempt["response_body"], &attempt["insecure"]),
            (&"ok".into(), &false.into()),
            "{outcome}"
        );
        assert_eq!(server.requests(), index + 1);
        assert!(
            server
                .last_head()
                .starts_with("POST /hook?token=x HTTP/1.1\r\n"),
            "{}",
            server.last_head()
        );
    }
}

#[test]
fn cacert_comes_from_variable_config_or_ssl_cert_file() {
    let (mut env, authority, server) = usual();
    env.write_config(&format!(
        "[endpoints.here]\nurl = \"{}\"\ncacert = \"own-ca.pem\"\n",
        server.url()
    ));
    std::fs::write(
        env.config_path().with_file_name("own-ca.pem"),
        &authority.pem,
    )
    .expect("a file");
    env.hookfire(["fire", "account", "created", "-e", "here"])
        .run()
        .assert_code(0);
    env.hookfire(["ping", "-e", "here"]).run().assert_code(0);
    let path = env.work_dir().join("ca.pem");
    let fire = |env: &TestEnv, name: &str| {
        env.hookfire(["fire", "account", "created", "--url", &server.url()])
            .env(name, &path)
            .run()
            .assert_code(0)
    };
    fire(&env, "HOOKFIRE_CACERT");
    fire(&env, "SSL_CERT_FILE");
    assert_eq!(server.requests(), 4);
    env.set("SSL_CERT_FILE", &path);
    env.write_file("other.pem", Authority::new().pem);
    no_tls_after(
        4,
        self::fire(&env, &server.url(), &["--cacert", "other.pem"]),
        &server,
    );
}

#[test]
fn built_in_certificates_are_used_with_a_note() {
    let (mut env, _, server) = usual();
    let note = "this system has no certificates of authorities; the built-in ones are used";
    env.write_file("none.pem", "");
    env.set("SSL_CERT_FILE", env.work_dir().join("none.pem"));
    let ping = |option: &[&str]| {
        let ping = ["ping", "--url", &server.url()];
        env.hookfire(ping).args(option).run()
    };
    let by_default = ping(&[]).assert_code(4);
    assert!(by_default.stderr().contains(note), "{by_default}");
    for option in [&["--cacert", "ca.pem"][..], &["--insecure"]] {
        let other = ping(option).assert_code(0);
        assert!(!other.stderr().contains(note), "{other}");
    }
}

/// A given authority replaces the system's.
fn no_tls_after(requests: usize, outcome: Outcome, server: &TlsServer) {
    let outcome = outcome.assert_code(4);
    assert_eq!(outcome.json()["last_error"]["kind"], "tls", "{outcome}");
    assert_eq!(server.requests(), requests);
}

#[test]
fn self_signed_certificate_can_be_trusted_by_itself() {
    let (env, identity) = (TestEnv::new(), self_signed(HERE));
    env.write_file("cert.pem", &identity.certificate_pem);
    let server = TlsServer::start(&identity, &OutputOptions::default());
    no_tls(fire(&env, &server.url(), &[]), &server, "--cacert FILE");
    fire(&env, &server.url(), &["--cacert", "cert.pem"]).assert_code(0);
}

#[test]
fn tls_1_2_is_supported() {
    let (env, authority, _) = usual();
    let manner = OutputOptions {
        versions: Some(ONLY_1_2),
        ..OutputOptions::default()
    };
    let server = TlsServer::start(&authority.sign(HERE), &manner);
    fire(&env, &server.url(), &["--cacert", "ca.pem"]).assert_code(0);
}

#[test]
fn unknown_authority_is_not_trusted() {
    let (env, _, server) = usual();
    let message = no_tls(fire(&env, &server.url(), &[]), &server, "--cacert FILE");
    assert!(
        message == "no TLS connection: the certificate's issuer is not trusted",
        "{message}"
    );
    let text = env
        .hookfire([
            "fire",
            "account",
            "created",
            "--no-retry",
            "--url",
            &server.url(),
        ])
        .run()
        .assert_code(4);
    assert!(
        text.stderr()
            .contains("hint: trust the endpoint's own certificate with `--cacert FILE`"),
        "{text}"
    );
    let ping = env
        .hookfire(["ping", "--url", &server.url()])
        .run()
        .assert_code(4);
    assert!(ping.stderr().contains("--cacert FILE"), "{ping}");
    assert_eq!(server.requests(), 0);
}

#[test]
fn a_certificate_for_another_host_is_not_trusted() {
    let (env, authority, _) = usual();
    let server = TlsServer::start(
        &authority.sign(&["other.example"]),
        &OutputOptions::default(),
    );
    let outcome = fire(&env, &server.url(), &["--cacert", "ca.pem"]);
    let message = no_tls(
        outcome,
        &server,
        "use a host in the URL that the certificate names",
    );
    assert!(
        message.ends_with("the certificate is for another host: other.example"),
        "{message}"
    );
}

#[test]
fn expired_or_future_certificate_is_not_trusted() {
    let (env, authority, _) = usual();
    for (from, to, word) in [(2020, 2021, "expired"), (4000, 4001, "not valid yet")] {
        let identity = authority.sign_with(HERE, |params| {
            params.not_before = rcgen::date_time_ymd(from, 1, 1);
            params.not_after = rcgen::date_time_ymd(to, 1, 1);
        });
        let server = TlsServer::start(&identity, &OutputOptions::default());
        let outcome = fire(&env, &server.url(), &["--cacert", "ca.pem"]);
        let message = no_tls(outcome, &server, if from > 3000 { "clock" } else { "" });
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn certificate_of_openssl_req_x509_can_be_trusted() {
    let (env, _, _) = usual();
    for (names, year, expected) in [
        (HERE, 4000, None),
        (HERE, 2021, Some("the certificate has expired")),
        (
            &["other.example"],
            4000,
            Some("for another host: other.example"),
        ),
    ] {
        let identity = self_signed_authority(names, year);
        env.write_file("own.pem", &identity.certificate_pem);
        let server = TlsServer::start(&identity, &OutputOptions::default());
        let outcome = fire(&env, &server.url(), &["--cacert", "own.pem"]);
        match expected {
            None => drop(outcome.assert_code(0)),
            Some(reason) => {
                let message = no_tls(outcome, &server, "");
                assert!(message.ends_with(reason), "{message}");
            }
        }
        let untrusted = fire(&env, &server.url(), &["--cacert", "ca.pem"]).assert_code(4);
        assert!(!untrusted.to_string().contains("Other"), "{untrusted}");
    }
}

#[test]
fn insecure_warns_and_is_recorded() {
    let (env, authority, _) = usual();
    let server = TlsServer::start(
        &authority.sign(&["other.example"]),
        &OutputOptions::default(),
    );
    let args = [
        "fire",
        "account",
        "created",
        "--url",
        &server.url(),
        "--insecure",
    ];
    let outcome = env.hookfire(args).run().assert_code(0);
    assert!(
        outcome
            .stderr()
            .contains("warning: TLS certificates are not verified (--insecure)"),
        "{outcome}"
    );
    let shown = env
        .hookfire(["journal", "show", "1", "-o", "json"])
        .run()
        .assert_code(0)
        .json();
    assert_eq!(shown["attempts"][0]["insecure"], true, "{shown:#}");
    let page = env.hookfire(["journal", "show", "1"]).run().assert_code(0);
    assert!(
        page.stdout().contains("certificates were not checked"),
        "{page}"
    );
}

#[test]
fn insecure_is_not_recorded_for_plain_http() {
    let (env, server) = (TestEnv::new(), Server::script(vec![respond(200)]));
    let outcome = fire(&env, &server.url(), &["--insecure"]).assert_code(0);
    assert_eq!(
        outcome.json()["attempts"][0]["insecure"],
        false,
        "{outcome}"
    );
}

#[test]
fn plain_http_on_an_https_url_is_a_tls_error() {
    let env = TestEnv::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on loopback");
    let url = format!(
        "https://{}",
        listener.local_addr().expect("the port just bound")
    );
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            .expect("an answer");
        // Until the peer leaves, so that no reset overtakes the response.
        std::io::copy(&mut stream, &mut std::io::sink()).ok();
    });
    let outcome = fire(&env, &url, &[]).assert_code(4);
    answering.join().expect("an answer");
    let attempt = &outcome.json()["attempts"][0];
    assert_eq!(
        (&attempt["error"]["kind"], &attempt["maybe_received"]),
        (&"tls".into(), &false.into()),
        "{outcome}"
    );
    let message = attempt["error"]["message"].as_str().expect("a message");
    assert!(message.contains("is it plain http?"), "{message}");
}

#[test]
fn connection_closed_during_the_handshake_is_a_tls_error() {
    let (env, server) = (TestEnv::new(), Server::script(vec![]).lenient());
    let outcome = fire(&env, &server.url().replace("http", "https"), &[]).assert_code(4);
    let attempt = &outcome.json()["attempts"][0];
    assert_eq!(attempt["maybe_received"], false, "{outcome}");
    assert!(
        ["tls", "connect"].contains(&attempt["error"]["kind"].as_str().expect("a kind")),
        "{outcome}"
    );
}

#[test]
fn hanging_handshake_hits_the_connect_timeout() {
    let (env, server) = (TestEnv::new(), Server::script(vec![hang_before_read()]));
    let url = server.url().replace("http", "https");
    let outcome = fire(&env, &url, &["--connect-timeout", "200ms"]).assert_code(4);
    let attempt = &outcome.json()["attempts"][0];
    assert_eq!(
        (&attempt["error"]["kind"], &attempt["maybe_received"]),
        (&"timeout".into(), &false.into()),
        "{outcome}"
    );
}

#[test]
fn tls_on_a_plain_http_url_is_a_protocol_error() {
    let (env, _, server) = usual();
    let outcome = fire(&env, &server.url().replace("https", "http"), &[]).assert_code(4);
    let kind = outcome.json()["last_error"]["kind"].clone();
    assert!(kind == "protocol" || kind == "reset", "{outcome}");
    assert_eq!(server.requests(), 0);
}

#[test]
fn connection_broken_after_the_request_is_maybe_received() {
    let (env, authority, _) = usual();
    let server = TlsServer::start(
        &authority.sign(HERE),
        &OutputOptions {
            breaks_off: true,
            ..OutputOptions::default()
        },
    );
    let outcome = fire(&env, &server.url(), &["--cacert", "ca.pem"]).assert_code(4);
    assert_eq!(server.requests(), 1);
    let attempt = &outcome.json()["attempts"][0];
    assert_eq!(
        (&attempt["error"]["kind"], &attempt["maybe_received"]),
        (&"reset".into(), &true.into()),
        "{outcome}"
    );
}

#[test]
fn client_certificate_is_sent_on_request() {
    let (env, authority, _) = usual();
    let client = authority.sign(&["hookfire.example"]);
    env.write_file("cert.pem", &client.certificate_pem);
    env.write_file("key.pem", &client.key_pem);
    env.write_file(
        "both.pem",
        format!("{}{}", client.key_pem, client.certificate_pem),
    );
    let manner = OutputOptions {
        clients_of: Some(&authority),
        ..OutputOptions::default()
    };
    let server = TlsServer::start(&authority.sign(HERE), &manner);
    fire(
        &env,
        &server.url(),
        &[
            "--cacert", "ca.pem", "--cert", "cert.pem", "--key", "key.pem",
        ],
    )
    .assert_code(0);
    fire(
        &env,
        &server.url(),
        &["--cacert", "ca.pem", "--cert", "both.pem"],
    )
    .assert_code(0);
    assert_eq!(server.requests(), 2);
    let without = fire(&env, &server.url(), &["--cacert", "ca.pem"]).assert_code(4);
    let attempt = &without.json()["attempts"][0];
    assert_eq!(
        (&attempt["error"]["kind"], &attempt["maybe_received"]),
        (&"tls".into(), &false.into()),
        "{without}"
    );
    assert_eq!(server.requests(), 2);
}

#[test]
fn unusable_certificates_and_keys_are_refused() {
    let (env, authority, server) = usual();
    let client = authority.sign(&["hookfire.example"]);
    env.write_file("cert.pem", &client.certificate_pem);
    env.write_file("other-key.pem", authority.sign(HERE).key_pem);
    env.write_file(
        "garbage.pem",
        "-----BEGIN CERTIFICATE-----\nnot base64\n-----END CERTIFICATE-----\n",
    );
    env.write_file("empty.pem", "");
    env.write_file(
        "pkcs8.pem",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIFHDBO\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    env.write_file(
        "old.pem",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n\
         MIIFHDBO\n-----END RSA PRIVATE KEY-----\n",
    );
    let cases: [(&[&str], &str); 11] = [
        (&["--cacert", "missing.pem"], "missing.pem"),
        (&["--cacert", "garbage.pem"], "garbage.pem"),
        (&["--cacert", "empty.pem"], "empty.pem"),
        (&["--cacert", "other-key.pem"], "other-key.pem"),
        (&["--cert", "missing.pem"], "missing.pem"),
        (&["--cert", "cert.pem"], "cert.pem"),
        (
            &["--cert", "cert.pem", "--key", "missing.pem"],
            "missing.pem",
        ),
        (&["--cert", "cert.pem", "--key", "other-key.pem"], "TLS"),
        (&["--key", "other-key.pem"], "--cert"),
        (
            &["--cert", "cert.pem", "--key", "pkcs8.pem"],
            "the key in `pkcs8.pem` is encrypted",
        ),
        (
            &["--cert", "cert.pem", "--key", "old.pem"],
            "`openssl pkey -in old.pem -out FILE` decrypts it",
        ),
    ];
    for (options, named) in cases {
        let outcome = fire(&env, &server.url(), options).assert_code(2);
        let error: Value = serde_json::from_slice(&outcome.stderr).expect("one JSON object");
        assert_eq!(error["error"]["kind"], "usage", "{outcome}");
        assert!(
            error["error"]["message"]
                .as_str()
                .is_some_and(|message| message.contains(named)),
            "{outcome}"
        );
        assert!(
            !env.journal_path().exists(),
            "nothing is written down\n{outcome}"
        );
    }
    assert_eq!(server.requests(), 0);
}
