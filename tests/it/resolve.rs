//! `--resolve` and the header `Host`: reaching a virtual host on this machine.

use crate::support::{Server, TestEnv, respond};
use crate::tls::server::{Authority, OutputOptions, TlsServer};

#[test]
fn given_address_replaces_the_lookup_and_the_proxy() {
    let (mut env, proxy) = (TestEnv::new(), Server::script(vec![]));
    env.set("ALL_PROXY", proxy.url());
    let server = Server::script(vec![respond(200).times(3)]);
    let port = server.port();
    let resolve = format!("Hooks.Invalid:{port}:127.0.0.1");
    let fire = [
        "fire",
        "account",
        "created",
        "--no-retry",
        "--secret",
        "token=s3cret",
    ];
    // The client sends the second path, which reqwest would respell, over a connection of its own.
    for path in ["/hook", "/a\"b"] {
        let url = format!("http://hooks.invalid:{port}{path}");
        let args = ["--url", &url, "--resolve", &resolve];
        let outcome = env.hookfire(fire).args(args).run().assert_code(0);
        assert!(
            !outcome.stderr().contains("plain http"),
            "it stays on this machine: {outcome}"
        );
    }
    env.write_config(&format!(
        "[endpoints.e]\nurl = 'http://hooks.invalid:{port}/'\nresolve = ['{resolve}']\n"
    ));
    env.hookfire(["ping", "-e", "e"]).run().assert_code(0);
    let host = format!("hooks.invalid:{port}");
    for request in server.requests() {
        assert_eq!(request.header("host"), Some(host.as_str()));
    }
    assert_eq!((server.requests().len(), proxy.connections()), (3, 0));

    // The entry is for one port.
    env.unset("ALL_PROXY");
    let args = ["--url", "http://hooks.invalid:1/", "--resolve", &resolve];
    let outcome = env.hookfire(fire).args(args).run().assert_code(4);
    assert!(outcome.stderr().contains("hooks.invalid"), "{outcome}");
}

#[test]
fn certificate_is_checked_for_the_name_not_the_address() {
    let (env, authority) = (TestEnv::new(), Authority::new());
    env.write_file("ca.pem", &authority.pem);
    let server = TlsServer::start(
        &authority.sign(&["hooks.invalid"]),
        &OutputOptions::default(),
    );
    let port = server.port();
    let resolve = format!("hooks.invalid:{port}:127.0.0.1");
    let args = ["--cacert", "ca.pem", "--resolve", &resolve, "--no-retry"];
    for (host, code) in [("hooks.invalid", 0), ("127.0.0.1", 4)] {
        let url = format!("https://{host}:{port}/");
        let fire = ["fire", "account", "created", "--url", &url];
        env.hookfire(fire).args(args).run().assert_code(code);
    }
}

#[test]
fn host_header_names_a_virtual_host() {
    let (env, server) = (
        TestEnv::new(),
        Server::script(vec![respond(503), respond(503)]),
    );
    let url = format!("{}/hook", server.url());
    let fire = [
        "fire",
        "account",
        "created",
        "--no-retry",
        "-H",
        "Host: virtual.example:81",
    ];
    env.hookfire(fire)
        .args(["--url", &url])
        .run()
        .assert_code(3);
    env.hookfire(["retry", "1"]).run().assert_code(3);
    let dry = env
        .hookfire(fire)
        .args(["--url", &url, "--dry-run"])
        .run()
        .assert_code(0);
    assert!(
        dry.stdout().contains("\nHost: virtual.example:81\n"),
        "{dry}"
    );
    // Another server has another name.
    let elsewhere = Server::script(vec![respond(200)]);
    env.hookfire(["retry", "1", "--url", &elsewhere.url()])
        .run()
        .assert_code(0);
    for request in server.requests() {
        let hosts = request
            .headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("host"));
        let hosts: Vec<&str> = hosts.map(|(_, value)| value.as_str()).collect();
        assert_eq!(hosts, ["virtual.example:81"]);
    }
    let host = format!("127.0.0.1:{}", elsewhere.port());
    assert_eq!(elsewhere.requests()[0].header("host"), Some(host.as_str()));
}

#[test]
fn bad_hosts_and_addresses_are_refused() {
    let env = TestEnv::new();
    for (option, value, problem) in [
        ("--resolve", "hooks.example.com:443", "HOST:PORT:ADDRESS"),
        ("--resolve", "localhost:443:10.0.0.1", "always this machine"),
        ("-H", "Host: two words", "is not a host"),
        ("-H", "Host: a/b", "is not a host"),
        ("-H", "Host: @env:HOST", "is not a host"),
    ] {
        let fire = ["fire", "account", "created", "--url", "http://127.0.0.1:1/"];
        let outcome = env
            .hookfire(fire)
            .args([option, value])
            .run()
            .assert_code(2);
        assert!(outcome.stderr().contains(problem), "{outcome}");
    }
}
