//! Files that are removed or replaced while a process has the journal open: it must not write to the new ones.

use super::*;
use crate::delivery::Status;

fn lost<T: std::fmt::Debug>(result: Result<T, JournalError>) {
    let error = result.unwrap_err();
    assert!(matches!(error, JournalError::Lost { .. }), "{error}");
}

/// A name, and a change to a journal's files.
type Change = (&'static str, fn(&Bench));

const CHANGES: [Change; 4] = [
    ("all removed", |bench| {
        for suffix in ["", "-wal", "-shm"] {
            std::fs::remove_file(with_suffix(&bench.path(), suffix)).unwrap();
        }
    }),
    ("file removed", |bench| {
        std::fs::remove_file(bench.path()).unwrap()
    }),
    ("moved", |bench| {
        for suffix in ["", "-wal", "-shm"] {
            let from = with_suffix(&bench.path(), suffix);
            std::fs::rename(&from, bench.folder.path().join(format!("moved{suffix}"))).unwrap();
        }
    }),
    ("replaced", |bench| {
        let other = Bench::new();
        accept(&other.open(9), T0);
        for suffix in ["-wal", "-shm"] {
            std::fs::remove_file(with_suffix(&bench.path(), suffix)).unwrap();
        }
        for suffix in ["", "-wal"] {
            let from = with_suffix(&other.path(), suffix);
            std::fs::rename(from, with_suffix(&bench.path(), suffix)).unwrap();
        }
    }),
];

#[test]
fn process_without_its_journal_changes_nothing_in_a_new_one() {
    for (what, change) in CHANGES {
        for used_before in [false, true] {
            let bench = Bench::new();
            accept(&bench.open(1), T0);
            let mut old = bench.open(2);
            if used_before {
                accept(&old, T0);
            }
            change(&bench);
            let new = bench.open(3);
            let known = new.ids(&Query::all(None)).unwrap();
            let accepted = accept(&new, at(1)).id;
            let files = || {
                ["", "-wal"]
                    .map(|suffix| std::fs::read(with_suffix(&bench.path(), suffix)).unwrap())
            };
            let before = files();
            lost(old.accept(&new_delivery(b"<e/>"), &attempt(T0)));
            lost(old.delivery(1));
            lost(old.ids(&Query::all(None)));
            lost(old.interrupt_abandoned());
            lost(old.dynamic().delete(
                &[DeliveryVersion {
                    id: accepted,
                    attempts: 1,
                }],
                &Status::ALL,
            ));
            old.tune_for_groups().unwrap();
            drop(old);
            assert!(files() == before, "{what}: the new journal was changed");
            let mut expected = vec![accepted];
            expected.extend(known);
            assert_eq!(
                bench.open(4).ids(&Query::all(None)).unwrap(),
                expected,
                "{what}"
            );
            assert!(new.check().unwrap().problems.is_empty(), "{what}");
        }
    }
}

#[test]
fn a_process_whose_wal_was_removed_writes_no_more() {
    let bench = Bench::new();
    accept(&bench.open(1), T0);
    let old = bench.open(2);
    accept(&old, T0);
    old.conn
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
    std::fs::remove_file(with_suffix(&bench.path(), "-wal")).unwrap();
    lost(old.accept(&new_delivery(b"<e/>"), &attempt(T0)));
    lost(old.delivery(1));
    drop(old);
    let new = bench.open(3);
    assert_eq!(new.ids(&Query::all(None)).unwrap(), [2, 1]);
    assert_eq!(accept(&new, T0).id, 3);
}

#[test]
fn a_lost_journal_is_not_checkpointed_when_it_is_closed() {
    let bench = Bench::new();
    let mut old = bench.open(1);
    old.tune_for_groups().unwrap();
    for n in 0..60 {
        accept_event(&old, at(n), &[b'x'; 100_000]);
    }
    let wal = std::fs::metadata(with_suffix(&bench.path(), "-wal"))
        .unwrap()
        .len();
    assert!(wal > super::super::wal::MAX_IDLE_WAL_BYTES, "{wal}");
    for suffix in ["", "-wal", "-shm"] {
        std::fs::remove_file(with_suffix(&bench.path(), suffix)).unwrap();
    }
    let new = bench.open(2);
    let id = accept(&new, T0).id;
    drop(new);
    drop(old);
    assert_eq!(bench.open(3).ids(&Query::all(None)).unwrap(), [id]);
}

#[test]
fn a_commit_during_which_the_files_were_removed_has_failed() {
    for removed in [&["", "-wal", "-shm"][..], &["-wal"]] {
        let bench = Bench::new();
        let journal = bench.open(1);
        let remove = |suffix: &&str| std::fs::remove_file(with_suffix(&bench.path(), suffix));
        lost(journal.write(|_| {
            removed.iter().try_for_each(remove).unwrap();
            Ok(())
        }));
    }
}

#[test]
fn closing_moves_a_long_wal_into_the_file() {
    let bench = Bench::new();
    let mut journal = bench.open(1);
    journal.tune_for_groups().unwrap();
    for n in 0..60 {
        accept_event(&journal, at(n), &[b'x'; 100_000]);
    }
    drop(journal);
    let wal = std::fs::metadata(with_suffix(&bench.path(), "-wal"))
        .unwrap()
        .len();
    assert_eq!(wal, 0);
    assert_eq!(bench.open(2).ids(&Query::all(None)).unwrap().len(), 60);
}

#[test]
fn a_journal_with_two_names_is_rejected() {
    let bench = Bench::new();
    accept(&bench.open(1), T0);
    let second = bench.folder.path().join("second.db");
    std::fs::hard_link(bench.path(), &second).unwrap();
    for path in [bench.path(), second] {
        let error = open(&path).err().unwrap().to_string();
        assert!(error.contains("has 2 hard links"), "{error}");
    }
}

#[test]
fn a_process_notices_that_a_newer_one_upgraded_the_journal() {
    let bench = Bench::new();
    let old = bench.open(1);
    let id = accept(&old, T0).id;
    let upgraded = [schema::MIGRATIONS, &["CREATE TABLE later (a)"]].concat();
    SqliteJournal::open_with(
        &bench.path(),
        bench.host.process(2),
        Duration::from_secs(1),
        &upgraded,
    )
    .unwrap();
    let newer = |result: Result<(), JournalError>| {
        let error = result.unwrap_err();
        assert!(matches!(error, JournalError::Newer { .. }), "{error}");
    };
    newer(old.delivery(id).map(drop));
    newer(old.interrupt(id));
    newer(old.accept(&new_delivery(b"<e/>"), &attempt(T0)).map(drop));
}
