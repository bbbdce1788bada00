//! Proxies from options and variables: used for other machines, never for loopback.

use crate::support::{Server, TestEnv, closed_port, respond};
use crate::tls::server::{Authority, OutputOptions, TlsServer, Tunnel};

const OTHER_MACHINE: &str = "http://hooks.example.com/hook";

#[test]
fn no_proxy_is_ever_used_for_loopback() {
    let proxy = Server::script(vec![]);
    for (name, host) in [
        ("HTTP_PROXY", "127.0.0.1"),
        ("ALL_PROXY", "localhost"),
        ("http_proxy", "hook.localhost"),
    ] {
        let mut env = TestEnv::new();
        env.set(name, proxy.url());
        env.set("all_proxy", proxy.url());
        let server = Server::script(vec![respond(200)]);
        let url = format!("http://{host}:{}/hook", server.port());
        let outcome = env
            .hookfire(["fire", "account", "created", "--no-retry", "--url", &url])
            .run()
            .assert_code(0);
        assert_eq!(server.requests()[0].target, "/hook", "{outcome}");
        assert_eq!(proxy.connections(), 0, "{name} for {host}");
    }
}

#[test]
fn no_configured_proxy_is_used_for_loopback() {
    let (mut env, proxy) = (TestEnv::new(), Server::script(vec![]));
    let server = Server::script(vec![respond(200).times(3)]);
    let fire = |env: &TestEnv, more: &[&str]| {
        env.hookfire(["fire", "account", "created"])
            .args(more)
            .run()
            .assert_code(0);
    };
    fire(&env, &["--url", &server.url(), "--proxy", &proxy.url()]);
    env.write_config(&format!(
        "[endpoints.here]\nurl = \"{}\"\nproxy = \"{}\"\n",
        server.url(),
        proxy.url()
    ));
    fire(&env, &["-e", "here"]);
    env.set("HOOKFIRE_PROXY", proxy.url());
    fire(&env, &["--url", &server.url()]);
    assert_eq!(proxy.connections(), 0);
}

#[test]
fn given_proxy_is_used_for_other_machines() {
    let (env, proxy) = (TestEnv::new(), Server::script(vec![respond(200)]));
    let url = format!("{OTHER_MACHINE}?token=via-a-proxy");
    let args = [
        "fire",
        "account",
        "created",
        "--url",
        &url,
        "--proxy",
        &proxy.url(),
        "-o",
        "json",
    ];
    let outcome = env.hookfire(args).run().assert_code(0);
    let request = proxy.requests().remove(0);
    assert_eq!(
        request.target, "http://hooks.example.com/hook?token=via-a-proxy",
        "in absolute form"
    );
    assert_eq!(request.header("host"), Some("hooks.example.com"));
    assert_eq!(
        request.header("webhook-id"),
        outcome.json()["uuid"].as_str()
    );
}

#[test]
fn a_proxy_needs_no_scheme() {
    for name in ["127.0.0.1", "localhost"] {
        let (env, proxy) = (TestEnv::new(), Server::script(vec![respond(200)]));
        let named = format!("{name}:{}", proxy.port());
        env.hookfire([
            "fire",
            "account",
            "created",
            "--url",
            OTHER_MACHINE,
            "--proxy",
            &named,
        ])
        .run()
        .assert_code(0);
        assert_eq!(proxy.requests()[0].target, OTHER_MACHINE);
    }
}

#[test]
fn environment_proxy_is_used_for_other_machines() {
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
        let (mut env, proxy) = (TestEnv::new(), Server::script(vec![respond(200)]));
        env.set(name, proxy.url());
        let outcome = env
            .hookfire(["fire", "account", "created", "--url", OTHER_MACHINE])
            .run()
            .assert_code(0);
        assert_eq!(
            proxy.requests()[0].target,
            OTHER_MACHINE,
            "{name}\n{outcome}"
        );
    }
}

#[test]
fn given_proxy_overrides_the_environment() {
    let (mut env, named) = (TestEnv::new(), Server::script(vec![respond(200)]));
    let other = Server::script(vec![]);
    env.set("HTTP_PROXY", other.url());
    env.hookfire([
        "fire",
        "account",
        "created",
        "--url",
        OTHER_MACHINE,
        "--proxy",
        &named.url(),
    ])
    .run()
    .assert_code(0);
    assert_eq!((named.requests().len(), other.connections()), (1, 0));
}

#[test]
fn no_proxy_is_respected() {
    let mut env = TestEnv::new();
    let proxy = Server::script(vec![]);
    env.set("HTTP_PROXY", proxy.url());
    let fire = |env: &TestEnv, more: &[&str]| {
        let args = [
            "fire",
            "account",
            "created",
            "--no-retry",
            "--url",
            "http://x.invalid/",
            "-o",
            "json",
        ];
        let outcome = env.hookfire(args).args(more).run().assert_code(4);
        assert_eq!(
            outcome.json()["last_error"]["kind"],
            "dns",
            "not through the proxy\n{outcome}"
        );
    };
    for names in ["x.invalid", ".invalid", "*", "a.example, x.invalid"] {
        env.set("NO_PROXY", names);
        fire(&env, &[]);
        fire(&env, &["--proxy", &proxy.url()]);
    }
    assert_eq!(proxy.connections(), 0);
}

#[test]
fn unreachable_proxy_is_not_bypassed() {
    let env = TestEnv::new();
    let proxy = format!("http://127.0.0.1:{}", closed_port());
    let args = [
        "fire",
        "account",
        "created",
        "--no-retry",
        "-o",
        "json",
        "--url",
        OTHER_MACHINE,
        "--proxy",
        &proxy,
    ];
    let outcome = env.hookfire(args).run().assert_code(4);
    let attempt = &outcome.json()["attempts"][0];
    assert_eq!(
        (&attempt["error"]["kind"], &attempt["maybe_received"]),
        (&"connect".into(), &false.into()),
        "{outcome}"
    );
    assert_eq!(
        attempt["error"]["message"],
        "connection refused (through the configured proxy)"
    );
}

#[test]
fn refused_tunnel_sends_nothing() {
    let (env, proxy) = (TestEnv::new(), Server::script(vec![respond(407)]));
    let args = [
        "fire",
        "account",
        "created",
        "--no-retry",
        "-o",
        "json",
        "--url",
        "https://hooks.example.com/hook?token=s3cr3t-in-a-tunnel",
    ];
    let outcome = env
        .hookfire(args)
        .args(["--proxy", &proxy.url()])
        .run()
        .assert_code(4);
    let request = proxy.requests().remove(0);
    assert_eq!(
        (request.method.as_str(), request.target.as_str()),
        ("CONNECT", "hooks.example.com:443")
    );
    let attempt = &outcome.json()["attempts"][0];
    assert_eq!(
        (&attempt["error"]["kind"], &attempt["maybe_received"]),
        (&"connect".into(), &false.into()),
        "{outcome}"
    );
    env.assert_nowhere("s3cr3t-in-a-tunnel", &[&outcome]);
}

#[test]
fn invalid_proxy_urls_are_refused_first() {
    let env = TestEnv::new();
    for proxy in [
        "http://",
        "not a url",
        "http://127.0.0.1:65536",
        "ftp://127.0.0.1:1",
        "socks5://127.0.0.1:1",
    ] {
        let args = [
            "fire",
            "account",
            "created",
            "--no-retry",
            "--url",
            OTHER_MACHINE,
            "--proxy",
            proxy,
        ];
        let outcome = env.hookfire(args).run().assert_code(2);
        assert!(outcome.stderr().contains("proxy"), "{outcome}");
        assert!(!env.journal_path().exists(), "{outcome}");
    }
}

const TENANT: &str = "acme-admin.example.com";
const TOKEN: &str = "canary-token-5c0e71";

#[test]
fn portal_proxy_does_not_see_the_token() {
    let authority = Authority::new();
    let body = Some("<webhooks-failures/>");
    let tenant = TlsServer::start(
        &authority.sign(&[TENANT]),
        &OutputOptions {
            body,
            ..OutputOptions::default()
        },
    );
    let tunnel = Tunnel::to(&tenant);
    let mut env = TestEnv::new();
    env.write_file("ca.pem", &authority.pem);
    env.set("HOOKFIRE_PORTAL_URL", format!("https://{TENANT}"));
    env.set("HOOKFIRE_PORTAL_TOKEN", TOKEN);
    let list = ["portal", "failed", "list", "--cacert", "ca.pem", "-vv"];
    let named = env
        .hookfire(list)
        .args(["--proxy", &tunnel.url()])
        .run()
        .assert_code(0);
    assert!(!named.stderr().contains("warning"), "{named}");
    let found = env
        .hookfire(list)
        .env("HTTPS_PROXY", tunnel.url())
        .run()
        .assert_code(0);
    assert_eq!(tenant.requests(), 2);
    let asked = format!("GET /admin/api/webhooks/failures.json?access_token={TOKEN} HTTP/1.1\r\n");
    assert!(
        tenant.last_head().starts_with(&asked),
        "{}",
        tenant.last_head()
    );
    let set = [
        "portal",
        "webhooks",
        "set",
        "--cacert",
        "ca.pem",
        "--active",
        "on",
        "--proxy",
        &tunnel.url(),
    ];
    let set = env.hookfire(set).run().assert_code(0);
    assert!(
        tenant
            .last_head()
            .starts_with("PUT /admin/api/webhooks.json HTTP/1.1\r\n"),
        "{}",
        tenant.last_head()
    );

    let seen = tunnel.seen();
    assert_eq!(
        seen.matches(&format!("CONNECT {TENANT}:443 HTTP/1.1\r\n"))
            .count(),
        3,
        "{seen}"
    );
    for secret in [TOKEN, "access_token", "/admin/api"] {
        assert!(!seen.contains(secret), "the proxy saw `{secret}`");
    }
    env.assert_nowhere(TOKEN, &[&named, &found, &set]);
}

#[test]
fn portal_over_plain_http_through_a_proxy_warns() {
    let mut env = TestEnv::new();
    env.set("HOOKFIRE_PORTAL_URL", format!("http://{TENANT}"));
    env.set("HOOKFIRE_PORTAL_TOKEN", TOKEN);
    let proxy = Server::script(vec![
        respond(200).body("<webhooks-failures/>"),
        respond(407).body(format!("no: {TOKEN}")),
    ]);
    let listed = env
        .hookfire(["portal", "failed", "list", "--proxy", &proxy.url()])
        .run()
        .assert_code(0);
    let words = format!(
        "warning: secrets are sent to `{TENANT}` over plain http, where others can read them; use https"
    );
    assert!(listed.stderr().contains(&words), "{listed}");
    let refused = env
        .hookfire(["portal", "recover"])
        .env("HTTP_PROXY", proxy.url())
        .run()
        .assert_code(1);
    assert!(
        refused
            .stderr()
            .contains("407 Proxy Authentication Required: no: ***"),
        "{refused}"
    );
    let asked = format!("http://{TENANT}/admin/api/webhooks/failures.json?access_token={TOKEN}");
    assert!(
        proxy
            .requests()
            .iter()
            .all(|request| request.target == asked),
        "{:?}",
        proxy.requests()
    );
    env.assert_nowhere(TOKEN, &[&listed, &refused]);
}
