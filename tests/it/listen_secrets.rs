//! Secrets of a listener stay hidden from the web UI of the next one and from the process list.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::support::browser::Browser;
use crate::support::{Listener, TestEnv};

const CANARY: &str = "canary-of-the-first";

/// All requests of the web UI for these captures, and a filter for text that must not be found.
fn on_the_page(listener: &Listener, captures: usize) -> String {
    let ask = |path: &str| {
        let answer = listener.get(&format!("/_hookfire/api/{path}"));
        // A malformed request has no curl command.
        let expected = [200, if path.ends_with("/curl") { 400 } else { 200 }];
        assert!(expected.contains(&answer.status), "{path}: {answer:?}");
        answer.text().to_owned()
    };
    assert!(
        ask(&format!("captures?q={CANARY}")).starts_with("{\"captures\":[],"),
        "it can be guessed by filtering"
    );
    let each = (1..=captures).flat_map(|id| {
        [
            ask(&format!("captures/{id}")),
            ask(&format!("captures/{id}/curl")),
        ]
    });
    each.chain([ask("captures")]).collect()
}

#[test]
fn secret_of_an_earlier_listener_stays_hidden() {
    let env = TestEnv::new();
    let first = Listener::start(&env, &["--require-secret", &format!("token={CANARY}")]);
    assert_eq!(first.get(&format!("/hook?token={CANARY}")).status, 200);
    assert_eq!(first.get(&format!("/hook?a=1&token={CANARY}x")).status, 403);
    first.stop();
    let secret = format!("key={CANARY}");
    let fire = [
        env!("CARGO_BIN_EXE_hookfire"),
        "fire",
        "user",
        "created",
        "--secret",
        &secret,
    ];
    env.hookfire(["expect", "--secret", &secret, "--"])
        .args(fire)
        .run()
        .assert_code(0);
    for args in [&[][..], &["--require-secret", "other=x"]] {
        let next = Listener::start(&env, args);
        let shown = on_the_page(&next, 3);
        assert!(
            !shown.contains(CANARY) && shown.contains("[\"token\",\"***\"]"),
            "{args:?}: {shown}"
        );
        assert_eq!(shown.matches("\"hidden\":true").count(), 3, "{shown}");
        let asked_for = next.get("/_hookfire/api/captures/1?reveal=1");
        assert!(asked_for.text().contains(CANARY));
        next.stop();
    }
}

#[test]
fn reveal_in_print_does_not_reveal_in_the_web_ui() {
    let env = TestEnv::new();
    env.write_config("[endpoints.staging]\nurl = \"http://127.0.0.1:1/\"\nsecrets = { key = { env = \"UNSET\" } }\n");
    let listener = Listener::start(
        &env,
        &["--reveal", "--require-secret", &format!("token={CANARY}")],
    );
    let head = format!(
        "GET /h?token={CANARY}&key={CANARY} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {CANARY}"
    );
    assert_eq!(listener.send(format!("{head}\r\n\r\n")).status, 200);
    let shown = on_the_page(&listener, 1);
    assert!(
        !shown.contains(CANARY) && shown.contains("\"hidden\":true"),
        "{shown}"
    );
    let printed = listener.stop();
    assert_eq!(printed.stdout().matches(CANARY).count(), 3, "{printed}");
}

#[test]
fn secret_in_a_malformed_request_is_masked() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &["--require-secret", &format!("token={CANARY}")]);
    for head in [
        "G<T /hook?token=VALUE HTTP/1.1\r\nHost: h\r\n\r\n",
        "\u{16}GET /hook?token=VALUE HTTP/1.1\r\n\r\n",
    ] {
        assert_eq!(listener.send(head.replace("VALUE", CANARY)).status, 400);
    }
    let shown = on_the_page(&listener, 2);
    assert!(!shown.contains(CANARY), "{shown}");
    assert_eq!(shown.matches("\"hidden\":true").count(), 2, "{shown}");
    listener.stop();
    for id in ["1", "2"] {
        let shown = env.hookfire(["captured", "show", id]).run().assert_code(0);
        // The part of either on one line of a hex dump.
        assert!(
            !shown.stdout().contains("canary") && shown.stdout().contains("=***"),
            "{shown}"
        );
        assert!(
            env.hookfire(["captured", "show", id, "--raw"])
                .run()
                .stdout()
                .contains(CANARY)
        );
    }
}

/// Replaces the desktop's opener by a program that records its arguments.
fn desktop(env: &mut TestEnv) -> PathBuf {
    let opener = env.write_file(
        "bin/xdg-open",
        "#!/bin/sh\nprintf '%s' \"$*\" > opened.part && mv opened.part opened\n",
    );
    std::fs::set_permissions(&opener, std::fs::Permissions::from_mode(0o700)).unwrap();
    let path = std::env::var("PATH").unwrap();
    env.set(
        "PATH",
        format!("{}:{path}", opener.parent().unwrap().display()),
    );
    env.work_dir().join("opened")
}

fn wait_for(file: &PathBuf) -> String {
    let limit = Instant::now() + Duration::from_secs(20);
    while !file.exists() {
        assert!(Instant::now() < limit, "nothing was opened");
        std::thread::sleep(Duration::from_millis(5));
    }
    std::fs::read_to_string(file).unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn open_keeps_the_token_out_of_the_process_list() {
    let mut env = TestEnv::new();
    let opened = desktop(&mut env);
    let listener = Listener::start(&env, &["0.0.0.0", "--expose", "--open"]);
    let argument = wait_for(&opened);
    let page = listener.ready()["page"].as_str().unwrap().to_owned();
    let token = page.split_once("?token=").unwrap().1;
    assert!(
        !argument.contains(token) && !argument.contains("token"),
        "{argument}"
    );
    let mode = std::fs::metadata(&argument).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{argument} is for its owner only");
    assert!(std::fs::read_to_string(&argument).unwrap().contains(&page));
    if let Some(browser) = Browser::start() {
        browser.open(&format!("file://{argument}"));
        browser.wait_for_text("#live", "Live");
    }
    listener.stop();
    assert!(!PathBuf::from(&argument).exists());

    std::fs::remove_file(&opened).unwrap();
    let listener = Listener::start(&env, &["--open"]);
    assert_eq!(
        wait_for(&opened),
        format!("{}/_hookfire/", listener.url()),
        "on loopback there is no token"
    );
    listener.stop();
}
