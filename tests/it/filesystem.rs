//! Places where a journal cannot be created or cannot grow: a full disk, a read-only directory, no home, another kind
//! of file. Nothing is sent, the exit code is 6, and existing files are unchanged. The kinds of files are tested in
//! `src/journal/`.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use serde_json::Value;

use crate::support::{Outcome, Server, TestEnv, closed_port, needs, repeat, respond};

fn fire(env: &TestEnv, journal: &Path, url: &str) -> Outcome {
    env.hookfire(["fire", "account", "created", "--no-retry", "--url", url])
        .env("HOOKFIRE_JOURNAL", journal)
        .run()
}

/// Names and contents of a directory.
fn contents(folder: &Path) -> Vec<(String, Option<Vec<u8>>)> {
    let entries = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry"));
    let named = entries.map(|entry| {
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        (
            entry.file_name().to_string_lossy().into_owned(),
            is_file.then(|| fs::read(entry.path()).expect("a file")),
        )
    });
    let mut contents: Vec<_> = named.collect();
    contents.sort();
    contents
}

#[test]
fn fire_refuses_files_that_are_not_journals() {
    let (env, server) = (TestEnv::new(), Server::script(vec![]));
    let place = |name: &str| env.work_dir().join(name);
    fs::create_dir(place("folder")).unwrap();
    assert!(
        std::process::Command::new("mkfifo")
            .arg(place("pipe"))
            .status()
            .unwrap()
            .success()
    );
    let _listening = std::os::unix::net::UnixListener::bind(place("socket")).unwrap();
    symlink(place("nowhere"), place("dangling")).unwrap();
    symlink(place("circle"), place("circle")).unwrap();
    env.write_file("text", "dear diary,\n");
    symlink(place("text"), place("link to text")).unwrap();
    let strange = rusqlite::Connection::open(place("database")).unwrap();
    strange.execute_batch("CREATE TABLE notes (text)").unwrap();
    drop(strange);
    let before = contents(&env.work_dir());
    for (name, word) in [
        ("folder", "a directory"),
        ("pipe", "a named pipe"),
        ("socket", "not a regular file"),
        ("dangling", "a symbolic link to a file that does not exist"),
        ("circle", "circle"),
        ("text", "not an SQLite database"),
        ("link to text", "not an SQLite database"),
        ("database", "another program's SQLite database"),
        ("text/journal.db", "text"),
    ] {
        let outcome = fire(&env, &place(name), &server.url()).assert_code(6);
        assert!(
            outcome.stderr().contains(word) && outcome.stderr().contains("hint: "),
            "{name}: {outcome}"
        );
    }
    assert_eq!(contents(&env.work_dir()), before);
    assert_eq!(server.connections(), 0);
}

#[test]
fn without_home_the_user_database_is_used() {
    let env = TestEnv::new();
    let without = |program: &str, args: &[&str]| {
        let run = env
            .program(program)
            .args(args)
            .env_remove("HOME")
            .env_remove("XDG_STATE_HOME");
        run.env_remove("XDG_CONFIG_HOME").run()
    };
    let hookfire = env!("CARGO_BIN_EXE_hookfire");
    let path = without(hookfire, &["journal", "path"]);
    let path = path.assert_code(0).stdout().trim_end().to_owned();
    assert!(
        path.starts_with('/') && path.ends_with("/.local/state/hookfire/journal.db"),
        "{path}"
    );

    // A user that is not in the user database.
    const NOBODY: &[&str] = &["--reuid=54321", "--regid=54321", "--clear-groups"];
    if !needs("setpriv", &[NOBODY, &[hookfire, "--version"]].concat()) {
        return;
    }
    let server = Server::script(vec![]);
    let fire = [
        hookfire,
        "fire",
        "account",
        "created",
        "--url",
        &server.url(),
    ];
    let outcome = without("setpriv", &[NOBODY, &fire].concat());
    assert!(outcome.code.is_some_and(|code| code != 0), "{outcome}");
    for words in [
        "the home directory is not known",
        "`--journal FILE` or `HOOKFIRE_JOURNAL`",
    ] {
        assert!(outcome.stderr().contains(words), "{outcome}");
    }
    assert_eq!(server.connections(), 0);
}

/// Options of `setpriv`.
const NOBODY: &[&str] = &["--reuid=65534", "--regid=65534", "--clear-groups"];

#[test]
fn fire_refuses_an_unwritable_journal() {
    let (env, server) = (TestEnv::new(), Server::script(vec![respond(200)]));
    let hookfire = env!("CARGO_BIN_EXE_hookfire");
    // root can write anyway.
    let root = rustix::process::getuid().is_root();
    if root && !needs("setpriv", &[NOBODY, &[hookfire, "--version"]].concat()) {
        return;
    }
    let run = |args: &[&str], journal: &Path| {
        let run = if root {
            env.program("setpriv").args(NOBODY).arg(hookfire)
        } else {
            env.program(hookfire)
        };
        run.args(args).env("HOOKFIRE_JOURNAL", journal).run()
    };
    let url = server.url();
    let fire_args = ["fire", "account", "created", "--no-retry", "--url", &url];
    let (empty, used) = (
        env.work_dir().join("empty"),
        env.work_dir().join("used/journal.db"),
    );
    fs::create_dir(&empty).unwrap();
    fire(&env, &used, &url).assert_code(0);
    let private =
        |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    private(env.root(), 0o755);
    private(&env.work_dir(), 0o755);
    private(&empty, 0o555);
    let folder = used.parent().unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        private(&entry.unwrap().path(), 0o444);
    }
    for mode in [0o555, 0o000] {
        private(folder, mode);
        for journal in [
            &empty.join("journal.db"),
            &empty.join("a/b/journal.db"),
            &used,
        ] {
            let outcome = run(&fire_args, journal).assert_code(6);
            let said = outcome.stderr();
            assert!(
                said.contains("ermission denied") && said.contains("`/"),
                "{outcome}"
            );
        }
    }
    private(folder, 0o755);
    assert_eq!((contents(&empty), server.connections()), (vec![], 1));
    fire(&env, &used, &format!("http://127.0.0.1:{}", closed_port())).assert_code(if root {
        4
    } else {
        6
    });
}

/// Fires on a disk with this number of free KiB, into a new or an existing journal; then frees space, reports the
/// state, and fires again.
const ON_A_SMALL_DISK: &str = r#"
mount -t tmpfs -o size=2048k none "$DISK"
export HOOKFIRE_JOURNAL="$DISK/state/journal.db"
for used in 0 1; do for room in $ROOMS; do
    rm -rf "$DISK"/*
    at="$used-$room"
    [ $used = 0 ] || "$HOOKFIRE" fire user created -q --url "$URL/before" > /dev/null
    dd if=/dev/zero of="$DISK/filler" bs=1k 2> /dev/null
    truncate -s "-${room}k" "$DISK/filler" 2> /dev/null
    "$HOOKFIRE" fire account created --no-retry --url "$URL/$at" > "$at.out" 2> "$at.err"; echo $? > "$at.code"
    rm "$DISK/filler"
    "$HOOKFIRE" journal check -o json > "$at.check" 2> /dev/null; echo $? > "$at.sound"
    "$HOOKFIRE" journal list -o json > "$at.list" 2> /dev/null
    "$HOOKFIRE" fire user created -q --url "$URL/after" > /dev/null; echo $? > "$at.after"
done; done
"#;

/// Options of `unshare` for private mounts; `None` if that is not possible here.
pub fn own_mounts() -> Option<&'static [&'static str]> {
    const OWN_MOUNTS: &[&str] = &["--user", "--map-root-user", "--mount"];
    let own_mounts = if rustix::process::getuid().is_root() {
        &OWN_MOUNTS[2..]
    } else {
        OWN_MOUNTS
    };
    needs(
        "unshare",
        &[own_mounts, &["mount", "-t", "tmpfs", "none", "/tmp"]].concat(),
    )
    .then_some(own_mounts)
}

#[test]
fn full_disk_loses_no_sent_delivery() {
    let rooms: Vec<usize> = (0..=20).map(|step| step * 16).collect();
    let mut env = TestEnv::new();
    let Some(own_mounts) = own_mounts() else {
        return;
    };
    let fires = rooms.len() * 2;
    let server = Server::script(vec![repeat(200, fires * 3)]).lenient();
    let disk = env.root().join("disk");
    fs::create_dir(&disk).unwrap();
    env.set("DISK", &disk);
    env.set("URL", server.url());
    env.set("HOOKFIRE", env!("CARGO_BIN_EXE_hookfire"));
    env.set(
        "ROOMS",
        rooms
            .iter()
            .map(usize::to_string)
            .collect::<Vec<_>>()
            .join(" "),
    );
    env.program("unshare")
        .args(own_mounts)
        .args(["sh", "-c", ON_A_SMALL_DISK])
        .run();
    let requests = server.requests();
    let (mut delivered, mut unsent, mut unrecorded) = (0, 0, 0);
    for (used, room) in [0, 1]
        .iter()
        .flat_map(|used| rooms.iter().map(move |room| (used, room)))
    {
        let at = format!("{used}-{room}");
        let read = |what: &str| {
            fs::read_to_string(env.work_dir().join(format!("{at}.{what}"))).expect("a result")
        };
        let code = |what: &str| read(what).trim().parse::<i32>().expect("a code");
        let (ended, said) = (code("code"), read("err"));
        let reported = format!("{at} KiB: code {ended}, {said}");
        assert_eq!(
            (code("sound"), code("after")),
            (0, 0),
            "{reported}\n{}",
            read("check")
        );
        let known: Value = serde_json::from_str(&read("list")).expect("a list");
        let mut received = requests
            .iter()
            .filter(|request| request.target == format!("/{at}"));
        let mine = received.next().map(|request| {
            let mut known = known.as_array().expect("a list").iter();
            let mine =
                known.find(|delivery| delivery["uuid"].as_str() == request.header("webhook-id"));
            mine.unwrap_or_else(|| {
                panic!("it was sent, and the journal does not know it; {reported}")
            })["status"]
                .clone()
        });
        match (mine.as_ref().and_then(Value::as_str), ended) {
            (Some("delivered"), 0) => delivered += 1,
            (Some("interrupted"), 6)
                if said.contains("was sent (delivered), but the journal could not record it") =>
            {
                unrecorded += 1;
            }
            (None, 6) if said.contains("disk space") => unsent += 1,
            (status, _) => panic!("it is {status:?}; {reported}"),
        }
    }
    assert!(
        delivered > 0 && unsent > 0,
        "{delivered} delivered, {unsent} unsent, {unrecorded} unrecorded"
    );
    assert!(
        unrecorded > 0,
        "none was full between the intent and the outcome"
    );
}

#[test]
fn a_journal_may_have_a_name_that_sqlite_interprets() {
    let env = TestEnv::new();
    for name in [":memory:", "file:x?mode=memory"] {
        let url = format!("http://127.0.0.1:{}", closed_port());
        let fire = ["fire", "account", "created", "--no-retry", "--url", &url];
        let run = |args: &[&str]| env.hookfire(["--journal", name]).args(args).run();
        run(&fire).assert_code(4);
        assert!(fs::metadata(env.work_dir().join(name)).unwrap().len() > 0);
        assert_eq!(run(&["journal", "list", "-o", "json"]).json()[0]["id"], 1);
    }
}

#[test]
fn a_journal_mounted_as_a_single_file_is_rejected() {
    const MOUNT: &str = r#"mount --bind "$1" "$2" && exec "$HOOKFIRE" --journal "$2" journal list"#;
    let mut env = TestEnv::new();
    let Some(own_mounts) = own_mounts() else {
        return;
    };
    let (journal, mounted) = (env.root().join("journal.db"), env.root().join("mounted.db"));
    fire(
        &env,
        &journal,
        &format!("http://127.0.0.1:{}", closed_port()),
    )
    .assert_code(4);
    fs::write(&mounted, "").unwrap();
    env.set("HOOKFIRE", env!("CARGO_BIN_EXE_hookfire"));
    let outcome = env
        .program("unshare")
        .args(own_mounts)
        .args(["sh", "-c", MOUNT, "sh"])
        .args([&journal, &mounted])
        .run()
        .assert_code(6);
    let said = outcome.stderr();
    assert!(
        said.contains("is mounted as a single file") && said.contains("mount its directory"),
        "{outcome}"
    );
}

/// Only root can become another user, who then sees no `/proc` entry of root's processes.
#[test]
fn a_sender_without_a_visible_proc_entry_is_alive() {
    let hide = "mount -t proc -o hidepid=2 proc /proc && exec setpriv \"$@\"";
    let hidden = ["--mount", "sh", "-c", hide, "sh"];
    let hookfire = env!("CARGO_BIN_EXE_hookfire");
    let list = [hookfire, "failed", "list", "-o", "json"];
    let is_root = rustix::process::getuid().is_root();
    if !is_root
        || !needs(
            "unshare",
            &[&hidden, NOBODY, &[hookfire, "--version"]].concat(),
        )
    {
        return;
    }
    let env = TestEnv::new();
    let server = Server::script(vec![respond(200).held()]);
    let journal = env.work_dir().join("shared/journal.db");
    let fire = ["fire", "account", "created", "--url", &server.url()];
    let sending = env.hookfire(fire).env("HOOKFIRE_JOURNAL", &journal).spawn();
    server.wait_for_requests(1);
    let allow = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode));
    for folder in [env.root(), &env.work_dir(), journal.parent().unwrap()] {
        allow(folder, 0o777).unwrap();
    }
    for entry in fs::read_dir(journal.parent().unwrap()).unwrap() {
        allow(&entry.unwrap().path(), 0o666).unwrap();
    }
    let failed = env
        .program("unshare")
        .args([&hidden, NOBODY, &list].concat())
        .env("HOOKFIRE_JOURNAL", &journal)
        .run()
        .assert_code(0);
    assert_eq!(failed.json(), serde_json::json!([]), "{failed}");
    server.release();
    sending.wait().assert_code(0);
}

#[test]
fn too_few_file_descriptors_are_reported_as_such() {
    let env = TestEnv::new();
    let server = Server::script(vec![repeat(200, 9)]).lenient();
    let fire = format!(
        "exec '{}' fire account created --no-retry --url {}",
        env!("CARGO_BIN_EXE_hookfire"),
        server.url()
    );
    env.shell(&fire).run().assert_code(0);
    let (mut codes, mut files) = (Vec::new(), 5);
    while codes.last() != Some(&Some(0)) {
        let outcome = env.shell(&format!("ulimit -n {files}; {fire}")).run();
        let is_named = outcome.stderr().contains("oo many open files");
        assert!(is_named || outcome.code == Some(0), "{files}: {outcome}");
        codes.push(outcome.code);
        files += 1;
    }
    assert!(codes.contains(&Some(6)), "{codes:?}");
}

/// Only root can give a file to another user; root then is the user who must not trust it.
#[test]
fn references_in_another_users_journal_are_not_resolved() {
    let mut env = TestEnv::new();
    env.set("TOKEN", "canary-of-the-victim");
    let server = Server::script(vec![respond(503), respond(503), respond(200), respond(200)]);
    let (journal, url) = (env.root().join("theirs.db"), server.url());
    fs::write(&journal, "").unwrap();
    if !needs("chown", &["65534", &journal.to_string_lossy()]) {
        return;
    }
    fs::remove_file(&journal).unwrap();
    env.write_config(&format!(
        "[endpoints.mine]\nurl = '{url}/mine'\nsecrets = {{ token = {{ env = 'TOKEN' }} }}\n"
    ));
    let run = |args: &[&str]| {
        let run = env.hookfire(args).env("HOOKFIRE_JOURNAL", &journal);
        run.run()
    };
    let fire = ["fire", "account", "created", "--no-retry"];
    let to_url = ["--url", &url, "--secret", "token=@env:TOKEN"];
    run(&[&fire[..], &to_url].concat()).assert_code(3);
    run(&[&fire[..], &["-e", "mine"]].concat()).assert_code(3);
    std::os::unix::fs::chown(&journal, Some(65_534), None).unwrap();

    let refused = run(&["retry", "1"]).assert_code(1);
    for words in [
        "belongs to another user (id 65534)",
        "the configuration does not name `@env:TOKEN` for this endpoint",
    ] {
        assert!(refused.stderr().contains(words), "{refused}");
    }
    assert_eq!(server.connections(), 2);
    run(&["retry", "1", "--secret", "token=@env:TOKEN"]).assert_code(0);
    run(&["retry", "2"]).assert_code(0);
    assert_eq!(server.connections(), 4);
}
