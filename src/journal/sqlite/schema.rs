//! The journal's tables, as a list of migrations that only ever grows.
//!
//! Rules: never change or remove an entry that was released; add one that says why it is there. The number of entries is
//! the schema's version, kept in `user_version`; a migration must leave nothing that an older program would misread, since
//! an older program refuses a newer version in words.

use rusqlite::Transaction;

/// `application_id` of every journal: "hkfr". A file with another one is somebody else's.
pub const APPLICATION_ID: i64 = 0x686b_6672;

/// The version that this program reads and writes.
pub const VERSION: i64 = MIGRATIONS.len() as i64;

/// From version N to N + 1, by position.
pub const MIGRATIONS: &[&str] = &[
    // 1: deliveries and their attempts.
    //
    // `url` never has a query, `params` and `headers` never the value of a secret. The newest error is kept with the
    // delivery, so that lists and filters read one table. `event` comes last: SQLite then need not walk a long document
    // to read what stands behind it.
    //
    // A delivery is leased to the process in `owner_*` while somebody is at it. An attempt without `duration_ms` and
    // `error_kind` is under way; with only `error_kind`, its end was never seen.
    "
    CREATE TABLE deliveries (
        id                INTEGER PRIMARY KEY AUTOINCREMENT,
        uuid              TEXT NOT NULL,
        type              TEXT NOT NULL,
        action            TEXT NOT NULL,
        endpoint          TEXT,
        url               TEXT NOT NULL,
        params            TEXT NOT NULL,
        headers           TEXT NOT NULL,
        retries           INTEGER NOT NULL,
        retry_interval_ms INTEGER NOT NULL,
        success           TEXT NOT NULL,
        status            TEXT NOT NULL CHECK (status IN ('pending', 'delivered', 'failed', 'interrupted', 'ignored')),
        created_at        INTEGER NOT NULL,
        finished_at       INTEGER,
        next_attempt_at   INTEGER,
        attempt_count     INTEGER NOT NULL DEFAULT 0,
        error_kind        TEXT,
        error_status      INTEGER,
        error_message     TEXT,
        owner_host        TEXT,
        owner_pid         INTEGER,
        owner_started     INTEGER,
        lease_until       INTEGER,
        event             BLOB NOT NULL
    ) STRICT;

    -- The failed list, oldest first, without reading what was delivered.
    CREATE INDEX deliveries_failed ON deliveries (finished_at, id) WHERE status IN ('failed', 'interrupted');
    -- Who is at work, read by every command that must notice a dead process.
    CREATE INDEX deliveries_pending ON deliveries (id) WHERE status = 'pending';

    CREATE TABLE attempts (
        delivery_id    INTEGER NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
        number         INTEGER NOT NULL,
        started_at     INTEGER NOT NULL,
        duration_ms    INTEGER,
        insecure       INTEGER NOT NULL,
        sent_to        TEXT,
        http_status    INTEGER,
        error_kind     TEXT,
        error_message  TEXT,
        maybe_received INTEGER NOT NULL DEFAULT 0,
        response_body  BLOB,
        note           TEXT,
        PRIMARY KEY (delivery_id, number)
    ) STRICT, WITHOUT ROWID;
    ",
    // 2: captures and their bins.
    //
    // The catcher writes thousands a second, so that each row is to touch few pages: nothing is counted that can be counted
    // when somebody asks, and ids are given out by the writer. No id is given out twice: `newest_deleted` remembers the
    // greatest of those that were deleted when there was no greater one left. `head` and `body` come last, as `event` does
    // above: a list reads no body.
    "
    CREATE TABLE bins (
        id         INTEGER PRIMARY KEY,
        name       TEXT NOT NULL UNIQUE,
        private    INTEGER NOT NULL,
        created_at INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE captures (
        id                 INTEGER PRIMARY KEY,
        bin_id             INTEGER NOT NULL REFERENCES bins (id),
        received_at        INTEGER NOT NULL,
        remote_addr        TEXT NOT NULL,
        method             TEXT NOT NULL,
        type               TEXT,
        action             TEXT,
        malformed          INTEGER NOT NULL,
        secret_ok          INTEGER,
        answer_status      INTEGER,
        answer_duration_ms INTEGER NOT NULL,
        answer_note        TEXT,
        body_size          INTEGER NOT NULL,
        head               BLOB NOT NULL,
        body               BLOB NOT NULL,
        wire_body          BLOB
    ) STRICT;

    -- A bin's captures in the order of their ids, which every index ends with: its list, its count, and its oldest.
    CREATE INDEX captures_bin ON captures (bin_id);

    CREATE TABLE capture_ids (newest_deleted INTEGER NOT NULL) STRICT;
    INSERT INTO capture_ids VALUES (0);
    ",
    // 3: a delivery without AUTOINCREMENT, which writes the highest id down with every one: a page more each time.
    //
    // An id is still never given again. Where the highest one stays, it is told by the table itself; so it is written down,
    // in the same place, only when a delivery is deleted. Nothing of a table's own differs with that word, so that it can be
    // taken out of its definition, as SQLite's manual has it for such changes.
    "
    INSERT INTO sqlite_sequence (name, seq)
        SELECT 'deliveries', 0 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'deliveries');
    PRAGMA writable_schema = ON;
    UPDATE sqlite_schema SET sql = replace(sql, ' PRIMARY KEY AUTOINCREMENT', ' PRIMARY KEY')
        WHERE type = 'table' AND name = 'deliveries';
    PRAGMA writable_schema = RESET;
    CREATE TRIGGER delivery_gone AFTER DELETE ON deliveries BEGIN
        UPDATE sqlite_sequence SET seq = OLD.id WHERE name = 'deliveries' AND seq < OLD.id;
    END;
    ",
    // 4: how a delivery's request carries the event, and which switch said no to one that was never sent.
    //
    // They stand behind `event`, where a value of its own would make SQLite walk the document to read it. NULL, 0 and 1 have
    // no bytes in a row, so that nothing is walked but for what was ignored.
    "
    ALTER TABLE deliveries ADD COLUMN form INTEGER NOT NULL DEFAULT 0 CHECK (form IN (0, 1));
    ALTER TABLE deliveries ADD COLUMN ignored_by TEXT;
    ",
    // 5: which deliveries were imported, by the uuid that they had elsewhere: no two can have the same. `told_time` is when
    // they failed, in the words of their list, which may say it to the second or with an offset.
    //
    // A table of its own, since an index over all deliveries would cost each accepted one a page. What this journal itself
    // accepted has uuids made anew, of which there are no two.
    "
    CREATE TABLE imported (
        uuid        TEXT PRIMARY KEY,
        delivery_id INTEGER NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
        told_time   TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    -- What a deletion takes with it.
    CREATE INDEX imported_delivery ON imported (delivery_id);
    ",
    // 6: the schedule: deliveries that nobody works on, with a time at which their next attempt is due.
    //
    // Those are scheduled ones (`pending`), and those that a process left behind when it died (`interrupted`) before the
    // rule's attempts were used up; `next_attempt_at` of any other delivery in the failed list is NULL. A delivery that is
    // worked on has an owner, and is not in this index. Who is at work is to be found without walking all that is scheduled.
    "
    CREATE INDEX deliveries_due ON deliveries (next_attempt_at, id)
        WHERE next_attempt_at IS NOT NULL AND owner_host IS NULL;
    DROP INDEX deliveries_pending;
    CREATE INDEX deliveries_leased ON deliveries (id)
        WHERE status = 'pending' AND (owner_host IS NOT NULL OR next_attempt_at IS NULL);
    ",
    // 7: what a status may be, in comparisons. For a list of that many words SQLite makes a table and fills it, each time that
    // a delivery is written down or changed: that took longer than the writing.
    //
    // It allows the same, so that the table's definition can be replaced as in 3.
    "
    PRAGMA writable_schema = ON;
    UPDATE sqlite_schema SET sql = replace(sql,
            '(status IN (''pending'', ''delivered'', ''failed'', ''interrupted'', ''ignored''))',
            '(status = ''pending'' OR status = ''delivered'' OR status = ''failed'' OR status = ''interrupted''
                OR status = ''ignored'')')
        WHERE type = 'table' AND name = 'deliveries';
    PRAGMA writable_schema = RESET;
    ",
];

/// Brings the tables from version `found` to [`VERSION`], within a transaction of the caller's.
pub fn migrate(tx: &Transaction<'_>, found: i64) -> rusqlite::Result<()> {
    let first = usize::try_from(found).unwrap_or(0);
    MIGRATIONS[first..]
        .iter()
        .try_for_each(|migration| tx.execute_batch(migration))?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", VERSION)
}
