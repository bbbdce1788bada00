//! A journal in PostgreSQL whose server does not respond, or can only be read.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::postgres::{PostgresServer, postgres_server};
use crate::support::proxy::Proxy;
use crate::support::{Listener, Server, TestEnv, closed_port, hang, respond};
use crate::team::{fire, json, on, statuses};

const COMMIT: &[u8] = b"COMMIT\0";

/// An environment with a new database, and another one that reaches it through a proxy.
fn through_proxy(server: &PostgresServer) -> (TestEnv, TestEnv, Proxy) {
    let name = server.new_database();
    let (direct, mut env, proxy) = (
        on(&server.url(&name)),
        TestEnv::new(),
        Proxy::to(server.port),
    );
    let port = proxy.port;
    env.set(
        "HOOKFIRE_JOURNAL",
        format!("postgresql://postgres@127.0.0.1:{port}/{name}"),
    );
    (direct, env, proxy)
}

#[test]
fn nothing_is_sent_while_the_server_is_frozen() {
    let Some(server) = postgres_server() else {
        return;
    };
    for passes in [false, true] {
        let (direct, env, proxy) = through_proxy(server);
        proxy.freeze_at(COMMIT, 1, passes);
        let endpoint = Server::script(vec![]);
        let fired = env
            .hookfire(fire(&endpoint.url(), &[]))
            .run()
            .assert_code(6);
        let text = fired.stderr();
        let words = "cannot be reached: the server has not responded for 5s; what it was storing may have been stored";
        assert!(text.contains(words), "{text}");
        let hint = "hint: `hookfire failed list` shows what was stored";
        assert!(text.contains(hint), "{text}");
        assert_eq!(endpoint.connections(), 0);
        let stored = match passes {
            true => vec!["interrupted"],
            false => vec![],
        };
        assert_eq!(statuses(&direct), stored);
        // A command that begins now does not wait for long, either.
        env.hookfire(["failed", "list"]).run().assert_code(6);
    }
}

#[test]
fn a_request_does_not_wait_long_for_a_frozen_server() {
    let Some(server) = postgres_server() else {
        return;
    };
    let (_direct, env, proxy) = through_proxy(server);
    let listener = Listener::start(&env, &[]);
    proxy.freeze_at(b"BEGIN", 1, false);
    let began = Instant::now();
    assert_eq!(listener.post("/hook", "body").status, 503);
    // Two seconds, and some for a slow machine.
    assert!(began.elapsed() < Duration::from_secs(4));
    proxy.thaw();
}

#[test]
fn a_server_with_too_many_connections_is_tried_again() {
    let Some(server) = postgres_server() else {
        return;
    };
    let (_direct, mut env, proxy) = through_proxy(server);
    let url = env
        .variable("HOOKFIRE_JOURNAL")
        .to_str()
        .unwrap()
        .to_owned();
    let name = url.rsplit('/').next().unwrap();
    let role = format!("limited_{name}");
    server.sql(
        name,
        &format!(
            "CREATE ROLE {role} LOGIN CONNECTION LIMIT 0; GRANT USAGE ON SCHEMA hookfire TO {role};
             GRANT SELECT ON ALL TABLES IN SCHEMA hookfire TO {role}"
        ),
    );
    env.set(
        "HOOKFIRE_JOURNAL",
        url.replace("postgres@", &format!("{role}@")),
    );
    let refused = env.hookfire(["failed", "list"]).run().assert_code(6);
    let text = refused.stderr();
    let words = "cannot be used at the moment: too many connections for role";
    assert!(text.contains(words), "{text}");
    let list = env.hookfire(["failed", "list"]).spawn();
    proxy.wait_for_connections(proxy.connections() + 1);
    server.sql(name, &format!("ALTER ROLE {role} CONNECTION LIMIT -1"));
    list.wait().assert_code(0);
}

#[test]
fn an_error_of_the_server_has_its_code_and_a_fitting_hint() {
    let Some(server) = postgres_server() else {
        return;
    };
    let name = server.new_database();
    let env = on(&server.url(&name));
    server.sql(
        &name,
        "ALTER TABLE hookfire.deliveries RENAME uuid TO id_of_sender",
    );
    let list = env.hookfire(["failed", "list"]).run().assert_code(6);
    let text = list.stderr();
    assert!(text.contains("(SQLSTATE 42703)"), "{text}");
    assert!(text.contains("`hookfire journal check`"), "{text}");
    assert!(!text.contains("sqlite3"), "{text}");
}

/// The commit that is lost first is that of the delivery, then that of its outcome.
#[test]
fn a_commit_goes_on_when_the_server_thaws() {
    let Some(server) = postgres_server() else {
        return;
    };
    for (commit, passes) in [(1, false), (2, true)] {
        let (direct, env, proxy) = through_proxy(server);
        proxy.freeze_at(COMMIT, commit, passes);
        let endpoint = Server::script(vec![respond(200)]);
        let firing = env.hookfire(fire(&endpoint.url(), &[])).spawn();
        // The command has given up the first connection.
        proxy.wait_for_connections(2);
        proxy.thaw();
        firing.wait().assert_code(0);
        assert_eq!(statuses(&direct), ["delivered"], "{commit}");
        let attempts = &json(&direct, &["journal", "list"])[0]["attempt_count"];
        assert_eq!(attempts, 1, "{commit}");
    }
}

#[test]
#[ignore = "long: runs in CI"]
fn what_was_sent_before_the_server_froze_is_not_forgotten() {
    let Some(server) = postgres_server() else {
        return;
    };
    for (passes, status) in [(true, "delivered"), (false, "interrupted")] {
        let (direct, env, proxy) = through_proxy(server);
        // The commit of the outcome.
        proxy.freeze_at(COMMIT, 2, passes);
        let endpoint = Server::script(vec![respond(200)]);
        let fired = env
            .hookfire(fire(&endpoint.url(), &[]))
            .run()
            .assert_code(6);
        let text = fired.stderr();
        let words = "#1 was sent (delivered), but the journal could not record it";
        assert!(text.contains(words), "{text}");
        // The server ends the transaction of the frozen connection after 30 seconds.
        let list = direct
            .hookfire(["journal", "list", "-o", "json"])
            .deadline(Duration::from_secs(90))
            .run()
            .assert_code(0)
            .json();
        assert_eq!(list[0]["status"], status);
        let shown = json(&direct, &["journal", "show", "1"]);
        let maybe_received = Value::from(status == "interrupted");
        assert_eq!(shown["attempts"][0]["maybe_received"], maybe_received);
    }
}

/// A journal with a failed, a scheduled and an abandoned delivery, and a capture.
fn filled(url: &str) -> TestEnv {
    let env = on(url);
    let endpoint = format!("http://127.0.0.1:{}/", closed_port());
    env.hookfire(fire(&endpoint, &["--no-retry"]))
        .run()
        .assert_code(4);
    env.hookfire(fire(&endpoint, &["--background"]))
        .run()
        .assert_code(0);
    let silent = Server::script(vec![hang()]).lenient();
    let mut abandoned = env.hookfire(fire(&silent.url(), &[])).spawn();
    silent.wait_for_requests(1);
    abandoned.kill9();
    let listener = Listener::start(&env, &[]);
    listener.post("/hook", "body");
    listener.stop();
    env
}

#[test]
fn a_role_that_may_only_read_gets_lists() {
    let Some(server) = postgres_server() else {
        return;
    };
    let name = server.new_database();
    let mut env = filled(&server.url(&name));
    server.sql(
        &name,
        &format!(
            "CREATE ROLE reads_{name} LOGIN; GRANT USAGE ON SCHEMA hookfire TO reads_{name};
             GRANT SELECT ON ALL TABLES IN SCHEMA hookfire TO reads_{name}"
        ),
    );
    let url = server
        .url(&name)
        .replace("postgres@", &format!("reads_{name}@"));
    env.set("HOOKFIRE_JOURNAL", url);
    assert_eq!(json(&env, &["failed", "list"]).as_array().unwrap().len(), 1);
    assert_eq!(json(&env, &["journal", "check"])["attempts"], 3);
    for reads in [
        &["failed", "show", "1"][..],
        &["journal", "list"],
        &["journal", "show", "1"],
        &["journal", "export", "copy.db"],
        &["captured", "list"],
        &["captured", "show", "1"],
        &["captured", "bins"],
        &["captured", "diff", "1", "1"],
    ] {
        env.hookfire(reads).run().assert_code(0);
    }
    let endpoint = Server::script(vec![]);
    let url = endpoint.url();
    for args in [&fire(&url, &[])[..], &["retry", "--all", "--url", &url]] {
        let refused = env.hookfire(args).run().assert_code(6);
        let text = refused.stderr();
        assert!(
            text.contains("lacks a right: permission denied")
                && text.contains("this command also writes"),
            "{args:?}: {text}"
        );
    }
    let deleted = env.hookfire(["failed", "delete", "1"]).run().assert_code(6);
    assert_eq!(deleted.stdout(), "");
    assert!(
        deleted
            .stderr()
            .starts_with("error: the user of the journal"),
        "{deleted}"
    );
    assert_eq!(endpoint.connections(), 0);
}

#[test]
#[ignore = "long: runs in CI"]
fn a_standby_is_read_and_refuses_to_write() {
    let Some(primary) = PostgresServer::start_another() else {
        return;
    };
    let name = primary.new_database();
    let primary_env = filled(&primary.url(&name));
    let standby = primary.start_standby();
    let mut env = TestEnv::new();
    env.set("HOOKFIRE_JOURNAL", standby.url(&name));

    for (args, count) in [
        (&["failed", "list"][..], 1),
        (&["journal", "list"], 3),
        (&["captured", "list"], 1),
        (&["captured", "bins"], 1),
    ] {
        let list = json(&env, args);
        assert_eq!(list.as_array().unwrap().len(), count, "{args:?}");
    }
    assert_eq!(json(&env, &["journal", "check"])["attempts"], 3);
    for args in [
        &["failed", "show", "1"][..],
        &["captured", "show", "1", "--body"],
        &["journal", "export", "export.db"],
    ] {
        env.hookfire(args).run().assert_code(0);
    }

    let endpoint = Server::script(vec![]);
    let url = endpoint.url();
    let file = TestEnv::new();
    file.hookfire(fire(
        &format!("http://127.0.0.1:{}/", closed_port()),
        &["--no-retry"],
    ))
    .run()
    .assert_code(4);
    let file = file.journal_path();
    let list = primary_env
        .hookfire(["failed", "list", "-o", "xml"])
        .run()
        .assert_code(0);
    env.write_file("list.xml", list.stdout().replace("<id>", "<id>0"));
    for args in [
        &fire(&url, &[])[..],
        &fire(&url, &["--background"]),
        &["fire", "--batch", "-", "--url", &url],
        &["retry", "1", "--url", &url],
        &["retry", "--all", "--url", &url],
        &["failed", "delete", "1"],
        &["failed", "import", "list.xml"],
        &["journal", "cancel", "2"],
        &[
            "journal",
            "prune",
            "--status",
            "failed",
            "--older-than",
            "now",
            "--yes",
        ],
        &["journal", "copy", "--from", file.to_str().unwrap()],
        &["captured", "delete", "1"],
        &["listen", "--port", "0"],
        &["expect", "--within", "20s", "--", "true"],
    ] {
        let line = r#"{"type":"account","action":"created"}"#;
        let refused = env.hookfire(args).stdin(line).run().assert_code(6);
        let text = refused.stderr();
        let words = "can only be read: its server is a standby";
        assert!(text.contains(words), "{args:?}: {text}");
    }
    assert_eq!(endpoint.connections(), 0);
    standby.stop("fast");
    primary.stop("fast");
}
