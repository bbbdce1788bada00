//! Completion: what the scripts in `completions/` get from the program. `tests/generated` runs the scripts themselves.

use crate::support::{Listener, Outcome, TestEnv};

/// Runs the program as the script for fish does: one candidate per line, with its description after a tab.
fn complete(env: &TestEnv, words: &[&str]) -> Outcome {
    let args = [&["--", "hookfire"], words].concat();
    let completed = env.hookfire(args).env("HOOKFIRE_COMPLETE", "fish").run();
    assert_eq!(completed.stderr(), "", "{completed}");
    completed.assert_code(0)
}

/// The candidates that are not options.
fn values(env: &TestEnv, words: &[&str]) -> Vec<String> {
    let completed = complete(env, words);
    let lines = completed.stdout().lines();
    let values = lines.filter(|line| !line.starts_with('-'));
    values.map(str::to_owned).collect()
}

#[test]
fn commands_and_events_are_completed() {
    let env = TestEnv::new();
    let commands = values(&env, &[""]);
    assert!(
        commands.iter().any(|line| line.starts_with("fire\t")),
        "{commands:?}"
    );
    assert!(
        !commands.iter().any(|line| line.starts_with("generate")),
        "{commands:?}"
    );
    assert_eq!(
        values(&env, &["fire", ""]),
        ["account", "user", "application"]
    );
    assert_eq!(
        values(&env, &["fire", "user", ""]),
        ["created", "updated", "deleted"]
    );
    assert_eq!(
        values(&env, &["failed", "list", "--action", "plan"]),
        ["plan_changed"]
    );
    assert_eq!(values(&env, &["captured", "list", "--type", "u"]), ["user"]);
    assert_eq!(values(&env, &["failed", "list", "-o", "nd"]), ["ndjson"]);
}

#[test]
fn names_and_ids_come_from_configuration_and_journal() {
    let env = TestEnv::new();
    let url = "http://127.0.0.1:1/hook?token=open-sesame";
    env.write_config(&format!("[endpoints.staging]\nurl = \"{url}\"\n"));
    let masked = "http://127.0.0.1:1/hook?token=***";
    let staging = format!("staging\t{masked}");
    for command in [["fire", "-e", ""], ["ping", "--endpoint", "st"]] {
        assert_eq!(values(&env, &command), [staging.as_str()]);
    }
    assert_eq!(
        values(&env, &["fire", "--sign", "st"]),
        ["standard", "stripe", staging.as_str()]
    );
    for options in [["--no-retry"], ["--background"]] {
        env.hookfire(["fire", "user", "created", "-e", "staging"])
            .args(options)
            .run();
    }
    let listener = Listener::start(&env, &["--bin", "orders"]);
    listener.get("/\u{1b}[2J?secret=canary".replace('\u{1b}', "%1b").as_str());
    listener.stop();
    let delivery = |id| format!("{id}\t#{id} user.created → {masked}");
    for command in [["failed", "show", ""], ["failed", "delete", ""]] {
        assert_eq!(values(&env, &command), [delivery(1)], "{command:?}");
    }
    assert_eq!(values(&env, &["retry", "1"]), [delivery(1)]);
    assert_eq!(
        values(&env, &["journal", "show", ""]),
        [delivery(2), delivery(1)]
    );
    assert_eq!(values(&env, &["journal", "cancel", ""]), [delivery(2)]);
    assert_eq!(values(&env, &["captured", "show", ""]), ["1\tGET /%1b[2J"]);
    assert_eq!(values(&env, &["captured", "list", "--bin", ""]), ["orders"]);
    let other = env.root().join("other.db");
    let other = ["--journal", &other.to_string_lossy(), "journal", "show", ""];
    assert_eq!(values(&env, &other), [""; 0]);
}

#[test]
fn completion_creates_nothing_and_reports_no_error() {
    let env = TestEnv::new();
    assert_eq!(values(&env, &["failed", "show", ""]), [""; 0]);
    assert!(!env.journal_path().exists());
    let empty = env.write_file("empty.db", "");
    let text = env.write_file("text.db", "not a journal");
    for file in [&empty, &text] {
        let before = std::fs::read(file).unwrap();
        let words = ["--journal", &file.to_string_lossy(), "captured", "show", ""];
        assert_eq!(values(&env, &words), [""; 0]);
        assert_eq!(std::fs::read(file).unwrap(), before);
    }
    env.write_config("nonsense = [");
    assert_eq!(values(&env, &["fire", "-e", ""]), [""; 0]);
    complete(&env, &["no-such-command", "--no-such-option", ""]);
}
