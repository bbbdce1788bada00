//! `journal export`: a complete, private copy that overwrites nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::bulk::many_delivered;
use crate::support::{Running, Server, TestEnv, forever};

#[test]
fn export_is_a_complete_independent_journal() {
    let env = TestEnv::new();
    let server = Server::script(vec![forever(503)]);
    for action in ["created", "updated"] {
        env.hookfire([
            "fire",
            "account",
            action,
            "--no-retry",
            "--url",
            &server.url(),
        ])
        .run()
        .assert_code(3);
    }
    let copy = env.work_dir().join("backup.db");
    let copied = env
        .hookfire(["journal", "export"])
        .arg(&copy)
        .args(["-o", "json"])
        .run()
        .assert_code(0)
        .json();
    assert_eq!(copied["path"], copy.to_str().unwrap());
    let size = copy.metadata().unwrap().len();
    assert_eq!(
        (
            copied["bytes"].as_u64(),
            copy.metadata().unwrap().permissions().mode() & 0o777
        ),
        (Some(size), 0o600)
    );

    let list = |more: &[&str]| {
        let args = ["failed", "list", "-o", "json"];
        env.hookfire(args).args(more).run().assert_code(0).json()
    };
    let of_copy = ["--journal", copy.to_str().unwrap()];
    assert_eq!(list(&[]).as_array().unwrap().len(), 2);
    assert_eq!(list(&of_copy), list(&[]));
    env.hookfire(["journal", "check"])
        .args(of_copy)
        .run()
        .assert_code(0);
    env.hookfire(["failed", "delete", "1"]).run().assert_code(0);
    assert_eq!(list(&of_copy).as_array().unwrap().len(), 2);
}

#[test]
fn export_overwrites_nothing_and_cleans_up_on_failure() {
    let env = TestEnv::new();
    let missing = env
        .hookfire(["journal", "export", "backup.db"])
        .run()
        .assert_code(6);
    assert!(
        missing.stderr().contains("there is no journal at"),
        "{missing}"
    );

    let server = Server::script(vec![forever(503)]);
    env.hookfire([
        "fire",
        "account",
        "created",
        "--no-retry",
        "--url",
        &server.url(),
    ])
    .run()
    .assert_code(3);
    let taken = env.work_dir().join("taken.db");
    std::fs::write(&taken, "mine").unwrap();
    let refused = env
        .hookfire(["journal", "export"])
        .arg(&taken)
        .run()
        .assert_code(1);
    assert!(
        refused.stderr().contains("taken.db` already exists"),
        "{refused}"
    );
    assert_eq!(std::fs::read(&taken).unwrap(), b"mine");

    let nowhere = env.work_dir().join("no/such/folder.db");
    let refused = env
        .hookfire(["journal", "export"])
        .arg(&nowhere)
        .run()
        .assert_code(1);
    assert!(refused.stderr().contains("no/such/folder.db`"), "{refused}");
    let left = std::fs::read_dir(env.work_dir()).unwrap().filter(|entry| {
        entry
            .as_ref()
            .unwrap()
            .file_name()
            .to_string_lossy()
            .starts_with(".hookfire-copy")
    });
    assert_eq!(left.count(), 0);
}

#[test]
fn an_interrupted_export_leaves_no_file() {
    let env = TestEnv::new();
    many_delivered(&env);
    let folder = env.work_dir().join("copies");
    fs::create_dir(&folder).unwrap();
    let files = || fs::read_dir(&folder).unwrap().count();
    let export = || {
        let mut export = env
            .hookfire(["journal", "export", "copies/backup.db"])
            .spawn();
        while files() == 0 {
            assert!(export.is_running());
        }
        export
    };
    for stop in [Running::interrupt, Running::terminate] {
        let mut export = export();
        stop(&mut export);
        let outcome = export.wait().assert_code(130);
        assert!(
            outcome
                .stderr()
                .contains("interrupted; no copy was written"),
            "{outcome}"
        );
        assert_eq!(files(), 0);
    }
    let mut killed = export();
    killed.kill9();
    drop(killed.wait());
    assert!(files() > 0);
    env.hookfire(["journal", "export", "copies/backup.db"])
        .run()
        .assert_code(0);
    assert_eq!(files(), 1, "only the copy");
    assert!(folder.join("backup.db").exists());
}
