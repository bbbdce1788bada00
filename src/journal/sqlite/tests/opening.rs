//! Opening a journal: which files it creates, which it refuses, and that refused files stay unchanged.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::journal::sqlite::schema::{MIGRATIONS, VERSION};

/// The variable with which [`fresh_journal_is_private_whatever_the_umask`] passes the path to its child process.
const PROBE: &str = "HOOKFIRE_TEST_FRESH_JOURNAL";

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Opens a file that must be refused, and asserts that no file of its folder has changed.
fn refused(path: &Path) -> String {
    let folder = path.parent().unwrap();
    let snapshot = || {
        let files = std::fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().path());
        let mut files: Vec<_> = files
            .filter(|file| std::fs::metadata(file).is_ok_and(|file| file.is_file()))
            .collect();
        // SQLite may create shared memory even to read; it has no content of its own.
        files.retain(|file| !file.to_string_lossy().ends_with("-shm"));
        files.sort();
        files
            .into_iter()
            .map(|file| (std::fs::read(&file).unwrap(), file))
            .collect::<Vec<_>>()
    };
    let before = snapshot();
    let Err(error) = open(path) else {
        panic!("{} was opened", path.display())
    };
    let after = snapshot();
    let grown: Vec<_> = after
        .iter()
        .filter(|(bytes, _)| !bytes.is_empty())
        .cloned()
        .collect();
    let before: Vec<_> = before
        .into_iter()
        .filter(|(bytes, _)| !bytes.is_empty())
        .collect();
    assert!(grown == before, "{} was changed", path.display());
    error.to_string()
}

#[test]
fn an_empty_file_that_was_there_becomes_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let bench = Bench::new();
    std::fs::write(bench.path(), "").unwrap();
    std::fs::set_permissions(bench.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
    let journal = bench.open(1);
    accept(&journal, T0);
    for suffix in ["", "-wal", "-shm"] {
        let mode = std::fs::metadata(with_suffix(&bench.path(), suffix))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{suffix}");
    }
}

#[test]
fn fresh_journal_is_private_whatever_the_umask() {
    if let Some(path) = std::env::var_os(PROBE) {
        let journal = open(Path::new(&path)).unwrap();
        accept(&journal, T0);
        return;
    }
    let name = std::thread::current().name().unwrap().to_owned();
    for mask in ["000", "022", "077"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/journal.db");
        let ran = std::process::Command::new("sh")
            .args([
                "-c",
                "umask $0 && exec \"$1\" --exact \"$2\" --test-threads=1",
                mask,
            ])
            .arg(std::env::current_exe().unwrap())
            .arg(&name)
            .env(PROBE, &path)
            .output()
            .unwrap();
        assert!(
            ran.status.success(),
            "{}",
            String::from_utf8_lossy(&ran.stdout)
        );
        for folder in ["a", "a/b"].map(|name| folder.path().join(name)) {
            assert_eq!(mode(&folder), 0o700, "umask {mask}: {}", folder.display());
        }
        for suffix in ["", "-wal", "-shm"] {
            assert_eq!(
                mode(&with_suffix(&path, suffix)),
                0o600,
                "umask {mask}: journal.db{suffix}"
            );
        }
    }
}

#[test]
fn open_sets_auto_vacuum_full_sync_and_foreign_keys() {
    let bench = Bench::new();
    for round in 1..=2 {
        let journal = bench.open(1);
        let pragma = |name: &str| -> i64 {
            journal
                .conn
                .query_row(&format!("SELECT * FROM pragma_{name}"), [], |row| {
                    row.get(0)
                })
                .unwrap()
        };
        assert_eq!(pragma("auto_vacuum"), 2, "round {round}");
        assert_eq!(pragma("page_size"), 16 * 1024, "round {round}");
        assert_eq!(pragma("synchronous"), 2, "round {round}");
        assert_eq!(pragma("foreign_keys"), 1, "round {round}");
        assert_eq!(pragma("user_version"), VERSION, "round {round}");
        assert_eq!(
            pragma("application_id"),
            i64::from(u32::from_be_bytes(*b"hkfx")),
            "round {round}"
        );
        let mode: String = journal
            .conn
            .query_row("PRAGMA journal_mode", [], |row| row.get(0))
            .unwrap();
        assert_eq!(mode, "wal", "round {round}");
        assert_eq!(journal.path(), bench.path());
    }
}

#[test]
fn next_process_reads_earlier_writes() {
    let bench = Bench::new();
    let written: Vec<Delivery> = (0..3).map(|s| accept(&bench.open(1), at(s))).collect();
    let journal = bench.open(2);
    for delivery in written {
        assert_eq!(
            journal.delivery(delivery.id).unwrap().unwrap().uuid,
            delivery.uuid
        );
    }
}

#[test]
fn other_databases_are_refused_and_unchanged() {
    for (mode, mark) in [
        ("DELETE", "CREATE TABLE notes (text)"),
        ("WAL", "CREATE TABLE notes (text)"),
        ("DELETE", "PRAGMA application_id = 1"),
        ("WAL", "PRAGMA user_version = 1"),
    ] {
        let bench = Bench::new();
        let raw = bench.raw();
        raw.set_db_config(
            rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE,
            true,
        )
        .unwrap();
        raw.query_row(&format!("PRAGMA journal_mode = {mode}"), [], |_| Ok(()))
            .unwrap();
        raw.execute_batch(mark).unwrap();
        drop(raw);
        let words = refused(&bench.path());
        let expected = format!(
            "`{}` is not a hookfire journal: it is another program's SQLite database",
            bench.path().display()
        );
        assert_eq!(words, expected, "{mode}, {mark}");
    }
}

#[test]
fn a_newer_journal_is_refused_in_words_and_left_as_it_is() {
    let bench = Bench::new();
    accept(&bench.open(1), T0);
    bench
        .raw()
        .pragma_update(None, "user_version", VERSION + 1)
        .unwrap();
    let words = refused(&bench.path());
    let path = bench.path();
    let newer = VERSION + 1;
    let expected = format!(
        "the journal `{}` was written by a newer hookfire (its schema version is {newer}; this hookfire supports up to {VERSION})",
        path.display()
    );
    assert_eq!(words, expected);
}

#[test]
fn newer_version_in_the_log_is_refused_first() {
    let bench = Bench::new();
    accept(&bench.open(1), T0);
    bench
        .raw()
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
    let newer = bench.raw();
    newer
        .pragma_update(None, "user_version", VERSION + 1)
        .unwrap();
    let log = std::fs::read(with_suffix(&bench.path(), "-wal")).unwrap();
    assert!(!log.is_empty(), "the newer version is only in the log");

    let error = open(&bench.path()).err().unwrap();
    assert!(matches!(error, JournalError::Newer { .. }), "{error}");
    assert!(
        log == std::fs::read(with_suffix(&bench.path(), "-wal")).unwrap(),
        "nothing was written"
    );
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_as_it_is() {
    let garbage = [&b"SQLite format 3\0"[..], &[0xa5; 4080]].concat();
    let contents = [
        &b"x"[..],
        b"dear diary,\n",
        b"SQLite format 3",
        b"SQLite format 3\n and more",
        &garbage,
    ];
    for content in contents {
        let bench = Bench::new();
        std::fs::write(bench.path(), content).unwrap();
        let words = refused(&bench.path());
        let what = words.strip_prefix(&format!(
            "`{}` is not a hookfire journal: it is ",
            bench.path().display()
        ));
        let what = what.unwrap_or_else(|| panic!("{words}"));
        assert!(
            what.starts_with("not an SQLite database")
                || what == "another program's SQLite database",
            "{words}"
        );
    }
}

#[test]
fn special_files_are_refused_without_waiting() {
    let bench = Bench::new();
    let place = |name: &str| bench.folder.path().join(name);
    std::fs::create_dir(place("folder")).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(place("pipe"))
        .status()
        .unwrap();
    assert!(made.success());
    let _listening = std::os::unix::net::UnixListener::bind(place("socket")).unwrap();
    std::os::unix::fs::symlink(place("nowhere"), place("dangling")).unwrap();
    std::os::unix::fs::symlink(place("circle"), place("circle")).unwrap();
    for (name, what) in [
        ("folder", "it is a directory"),
        ("pipe", "it is a named pipe"),
        ("socket", "it is not a regular file"),
        (
            "dangling",
            "it is a symbolic link to a file that does not exist",
        ),
    ] {
        let words = refused(&place(name));
        assert_eq!(
            words,
            format!(
                "`{}` is not a hookfire journal: {what}",
                place(name).display()
            )
        );
    }
    assert!(refused(&place("circle")).contains(&*place("circle").to_string_lossy()));
    assert!(!place("nowhere").exists());
}

#[test]
fn symbolic_link_keeps_the_log_beside_the_journal() {
    let bench = Bench::new();
    accept(&bench.open(1), T0);
    let elsewhere = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("link.db");
    std::os::unix::fs::symlink(bench.path(), &link).unwrap();
    let journal = open(&link).unwrap();
    assert_eq!(accept(&journal, T0).id, 2);
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 1);
    assert_eq!(bench.open(2).dynamic().count(&Query::all(None)).unwrap(), 2);
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let bench = Bench::new();
    let file = bench.folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let words = open(&file.join("below/journal.db"))
        .map(drop)
        .unwrap_err()
        .to_string();
    assert!(words.contains(&*file.to_string_lossy()), "{words}");
}

#[test]
fn long_lock_is_reported_with_file_and_time() {
    let brief = Duration::from_millis(30);
    let locked = |bench: &Bench, result: Result<(), JournalError>| {
        let error = result.unwrap_err();
        assert!(
            matches!(&error, JournalError::Locked { waited, .. } if *waited == brief),
            "{error:?}"
        );
        let path = bench.path();
        let expected = format!(
            "the journal `{}` is locked: another process has held it for 30ms",
            path.display()
        );
        assert_eq!(error.to_string(), expected);
    };
    let open = |bench: &Bench| {
        SqliteJournal::open_with(
            &bench.path(),
            bench.host.process(1),
            brief,
            schema::MIGRATIONS,
        )
    };

    let fresh = Bench::new();
    let holder = fresh.raw();
    holder.execute_batch("BEGIN EXCLUSIVE").unwrap();
    locked(&fresh, open(&fresh).map(drop));
    holder.execute_batch("ROLLBACK").unwrap();

    let unmigrated = Bench::new();
    let holder = unmigrated.raw();
    holder
        .query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))
        .unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    locked(&unmigrated, open(&unmigrated).map(drop));

    let used = Bench::new();
    let id = accept(&used.open(2), T0).id;
    let holder = used.raw();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let journal = open(&used).unwrap();
    assert!(
        journal.delivery(id).unwrap().is_some(),
        "reading needs no lock"
    );
    locked(&used, journal.interrupt(id));
    holder.execute_batch("ROLLBACK").unwrap();
    drop(open(&fresh).unwrap());
    journal.interrupt(id).unwrap();
}

#[test]
fn an_older_journal_is_upgraded_with_its_rows() {
    let bench = Bench::new();
    let before = accept(&bench.open(1), T0);
    let later = [schema::MIGRATIONS, &["CREATE TABLE later (a)"]].concat();
    let timeout = Duration::from_secs(1);
    let upgrade =
        || SqliteJournal::open_with(&bench.path(), bench.host.process(2), timeout, &later).unwrap();
    for round in 1..=2 {
        let journal = upgrade();
        let (version, rows, tables): (i64, i64, i64) = journal
            .conn
            .query_row(
                "SELECT (SELECT user_version FROM pragma_user_version),
                     (SELECT count(*) FROM deliveries WHERE uuid = ?1),
                     (SELECT count(*) FROM sqlite_schema WHERE name = 'later')",
                [&before.uuid],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .unwrap();
        assert_eq!(
            (version, rows, tables),
            (VERSION + 1, 1, 1),
            "round {round}"
        );
    }
}

/// Until the first release, version 1 may be amended: then set this to the new value, and choose a new
/// `APPLICATION_ID`. After it, add a migration instead.
const VERSION_1_HASH: u64 = 7_663_031_054_702_072_545;

#[test]
fn version_1_is_not_changed_by_accident() {
    let fnv = |text: &str| {
        text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    };
    assert_eq!(fnv(MIGRATIONS[0]), VERSION_1_HASH);
}

#[test]
fn a_journal_of_a_development_build_is_rejected_with_a_way_out() {
    let bench = Bench::new();
    let raw = bench.raw();
    raw.execute_batch("CREATE TABLE deliveries (a)").unwrap();
    for (application, version) in [(0x686b_6672, 7), (0x686f_6f6b, 1), (0x686b_666a, 1)] {
        raw.pragma_update(None, "application_id", application)
            .unwrap();
        raw.pragma_update(None, "user_version", version).unwrap();
        let error = refused(&bench.path());
        let path = bench.path().display().to_string();
        assert_eq!(
            error,
            format!(
                "the journal `{path}` was written by a development build of hookfire and cannot be read; move it aside: \
                 mkdir {path}.old && mv {path} {path}.old"
            )
        );
    }
}

#[test]
fn a_status_is_one_of_five_and_no_table_is_made_to_see_that() {
    let bench = Bench::new();
    let id = accept(&bench.open(1), T0).id;
    let update = format!("UPDATE deliveries SET status = 'lost' WHERE id = {id}");
    let raw = bench.raw();
    assert!(
        raw.execute(&update, [])
            .unwrap_err()
            .to_string()
            .contains("CHECK")
    );
    let mut explained = raw.prepare(&format!("EXPLAIN {update}")).unwrap();
    let steps: Vec<String> = explained
        .query_map([], |row| row.get("opcode"))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert!(
        !steps.is_empty() && !steps.iter().any(|step| step == "OpenEphemeral"),
        "{steps:?}"
    );
}
