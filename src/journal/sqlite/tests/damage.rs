//! Truncated and corrupted WALs, and killed first openings: a journal always opens to a prefix of its commits.

use std::collections::BTreeSet;

use super::*;
use crate::journal::sqlite::schema::{APPLICATION_ID, VERSION};

const ROWS: i64 = 8;

/// Offsets of the WAL header's fields: magic, version, page size, checkpoint, two salts, two checksums.
const LOG_FIELDS: [usize; 8] = [0, 4, 8, 12, 16, 20, 24, 28];
/// Offsets in a frame: page number, size after a commit, two salts, two checksums; and two bytes of its page.
const FRAME_FIELDS: [usize; 8] = [0, 4, 8, 12, 16, 20, 24, 2024];

/// The offset of each frame, and the end of the last one.
fn frame_starts(wal: &[u8]) -> impl Iterator<Item = usize> {
    std::iter::once(32).chain(wal_frames(wal).into_iter().map(|(end, _)| end))
}

/// A journal's file and WAL as a crash leaves them, without a checkpoint.
struct Remains {
    file: Vec<u8>,
    wal: Vec<u8>,
}

impl Remains {
    fn new() -> Remains {
        let bench = Bench::new();
        // If the file exists, the tables are created in the WAL.
        std::fs::write(bench.path(), "").unwrap();
        let journal = bench.open_fast(1);
        journal
            .conn
            .pragma_update(None, "wal_autocheckpoint", 0)
            .unwrap();
        for n in 1..=ROWS {
            assert_eq!(accept_event(&journal, at(n), event(n).as_bytes()).id, n);
        }
        let read = |suffix| std::fs::read(with_suffix(&bench.path(), suffix)).unwrap();
        Remains {
            file: read(""),
            wal: read("-wal"),
        }
    }

    /// Number of commits that are complete in the first `end` bytes of the WAL.
    fn commits_before(&self, end: usize) -> i64 {
        let whole = wal_frames(&self.wal)
            .into_iter()
            .filter(|(frame_end, commit)| *commit && *frame_end <= end);
        i64::try_from(whole.count()).unwrap()
    }
}

/// Some events are longer than a page, so that their rows take several frames.
fn event(n: i64) -> String {
    format!(
        "<e>{}</e>",
        n.to_string().repeat(usize::try_from(n).unwrap() * 3000)
    )
}

/// Opens the journal with this WAL, and asserts that it has exactly the first `commits` commits.
fn opens_to(file: &[u8], wal: &[u8], commits: i64, what: &str) {
    let bench = Bench::new();
    std::fs::write(bench.path(), file).unwrap();
    std::fs::write(with_suffix(&bench.path(), "-wal"), wal).unwrap();
    let journal = bench.open_fast(2);
    // The first commit creates the tables.
    let rows = (commits - 1).max(0);
    let mut ids = journal.ids(&Query::all(None)).unwrap();
    ids.reverse();
    assert_eq!(ids, (1..=rows).collect::<Vec<_>>(), "{what}");
    for id in ids {
        assert_eq!(journal.payload(id).unwrap(), event(id).as_bytes(), "{what}");
        assert_eq!(journal.attempts(id).unwrap().len(), 1, "{what}");
    }
    assert!(journal.check().unwrap().problems.is_empty(), "{what}");
    assert_eq!(accept(&journal, at(99)).id, rows + 1, "{what}");
}

#[test]
fn a_torn_log_opens_to_the_commits_before_the_tear() {
    let remains = Remains::new();
    assert_eq!(remains.commits_before(usize::MAX), ROWS + 1);
    let mut cuts: BTreeSet<usize> = LOG_FIELDS.into_iter().chain([1, 31, 33]).collect();
    for start in frame_starts(&remains.wal) {
        cuts.extend([start - 1, start, start + 1, start + 23, start + 25]);
        // Cuts in the middle of each field of the frame's header, and of its page.
        cuts.extend(FRAME_FIELDS.map(|field| start + field + 2));
    }
    cuts.extend((0..remains.wal.len()).step_by(4093));
    for cut in cuts.into_iter().filter(|cut| *cut <= remains.wal.len()) {
        opens_to(
            &remains.file,
            &remains.wal[..cut],
            remains.commits_before(cut),
            &format!("cut at {cut}"),
        );
    }
}

#[test]
fn a_garbled_log_opens_to_the_commits_before_the_garbage() {
    let remains = Remains::new();
    let mut places: BTreeSet<usize> = LOG_FIELDS.into_iter().collect();
    places.extend(
        frame_starts(&remains.wal).flat_map(|start| FRAME_FIELDS.map(|field| start + field)),
    );
    for place in places
        .into_iter()
        .filter(|place| *place < remains.wal.len())
    {
        let mut wal = remains.wal.clone();
        wal[place] ^= 0x10;
        opens_to(
            &remains.file,
            &wal,
            remains.commits_before(place),
            &format!("byte {place} flipped"),
        );
    }
    // A block that the disk returns as zeros.
    for block in (0..remains.wal.len()).step_by(4096).step_by(3) {
        let mut wal = remains.wal.clone();
        let end = wal.len().min(block + 4096);
        wal[block..end].fill(0);
        // A block that had only zeros loses nothing.
        let first_changed = (block..end)
            .find(|at| remains.wal[*at] != 0)
            .unwrap_or(usize::MAX);
        opens_to(
            &remains.file,
            &wal,
            remains.commits_before(first_changed),
            &format!("zeros from {block}"),
        );
    }
}

#[test]
fn garbage_after_the_last_commit_of_a_log_changes_nothing() {
    let remains = Remains::new();
    let wal = [&remains.wal[..], &remains.wal[32..5000], b"garbage"].concat();
    opens_to(
        &remains.file,
        &wal,
        ROWS + 1,
        "frames repeated out of order",
    );
}

#[test]
fn an_upgrade_killed_anywhere_leaves_the_old_or_the_new_tables() {
    let later = [
        schema::MIGRATIONS,
        &["ALTER TABLE deliveries ADD COLUMN later TEXT; CREATE TABLE later (a)"],
    ]
    .concat();
    let upgrade = |bench: &Bench| {
        let timeout = Duration::from_secs(1);
        SqliteJournal::open_with(&bench.path(), bench.host.process(1), timeout, &later).unwrap()
    };
    let bench = Bench::new();
    let id = accept(&bench.open(1), T0).id;
    bench
        .raw()
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
    let file = std::fs::read(bench.path()).unwrap();
    drop(upgrade(&bench));
    let wal = std::fs::read(with_suffix(&bench.path(), "-wal")).unwrap();
    assert!(
        std::fs::read(bench.path()).unwrap() == file && !wal.is_empty(),
        "the upgrade is in the WAL"
    );
    let mut found = BTreeSet::new();
    for cut in frame_starts(&wal).flat_map(|start| [start - 1, start, start + 12, start + 100]) {
        let killed = Bench::new();
        std::fs::write(killed.path(), &file).unwrap();
        std::fs::write(
            with_suffix(&killed.path(), "-wal"),
            &wal[..cut.min(wal.len())],
        )
        .unwrap();
        let version = |bench: &Bench| -> i64 {
            bench
                .raw()
                .query_row("PRAGMA user_version", [], |row| row.get(0))
                .unwrap()
        };
        found.insert(version(&killed));
        let journal = upgrade(&killed);
        assert_eq!(version(&killed), VERSION + 1, "{cut}");
        let rows: i64 = journal
            .conn
            .query_row(
                "SELECT count(*) FROM deliveries JOIN attempts ON delivery_id = id WHERE later IS NULL AND id = ?1",
                [id],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(rows, 1, "{cut}");
        let problems: String = journal
            .conn
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(problems, "ok", "{cut}");
    }
    assert_eq!(found, BTreeSet::from([VERSION, VERSION + 1]));
}

#[test]
fn a_first_opening_killed_anywhere_is_taken_up_by_the_next() {
    let states: [(&str, &str); 6] = [
        ("only made", ""),
        (
            "vacuum chosen, file written",
            "PRAGMA auto_vacuum = INCREMENTAL; VACUUM",
        ),
        (
            "before the log",
            "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA user_version = 0",
        ),
        (
            "in WAL mode",
            "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL",
        ),
        (
            "while creating the tables",
            "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; BEGIN; CREATE TABLE deliveries (a)",
        ),
        (
            "rolled back",
            "PRAGMA journal_mode = WAL; BEGIN IMMEDIATE; CREATE TABLE attempts (a); ROLLBACK",
        ),
    ];
    for (state, sql) in states {
        let bench = Bench::new();
        std::fs::write(bench.path(), "").unwrap();
        let raw = bench.raw();
        raw.execute_batch(sql).unwrap();
        drop(raw);
        let journal = bench.open(1);
        let version: i64 = journal
            .conn
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .unwrap();
        let application: i64 = journal
            .conn
            .query_row("PRAGMA application_id", [], |row| row.get(0))
            .unwrap();
        assert_eq!((version, application), (VERSION, APPLICATION_ID), "{state}");
        assert_eq!(accept(&journal, T0).id, 1, "{state}");
        assert!(
            bench.open(2).check().unwrap().problems.is_empty(),
            "{state}"
        );
    }
}

#[test]
fn concurrent_first_opening_sees_no_tables_or_all() {
    let bench = Bench::new();
    let reference = Bench::new();
    let tables = |raw: &rusqlite::Connection| -> Vec<String> {
        let mut statement = raw
            .prepare("SELECT name FROM sqlite_schema ORDER BY name")
            .unwrap();
        let names = statement.query_map([], |row| row.get(0)).unwrap();
        names.map(Result::unwrap).collect()
    };
    drop(reference.open(1));
    // The other process dies after creating the tables, before the commit.
    let other = bench.raw();
    other
        .query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))
        .unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    other
        .execute_batch(crate::journal::sqlite::schema::MIGRATIONS[0])
        .unwrap();
    assert!(tables(&bench.raw()).is_empty());
    drop(other);
    drop(bench.open(1));
    assert_eq!(tables(&bench.raw()), tables(&reference.raw()));
}
