//! The tables, and the migrations that create and upgrade them.
//!
//! The number of entries in [`MIGRATIONS`] is the schema's version, stored in `user_version`. Until the first release,
//! version 1 is amended, with a new [`APPLICATION_ID`]; after it, each change is a new entry.

use rusqlite::Transaction;

/// `application_id` of a journal: "hkfx".
pub const APPLICATION_ID: i64 = 0x686b_6678;

/// `application_id` of journals of development builds, whose tables were others: "hook", and from "hkfj" to
/// "hkfw".
pub const DEVELOPMENT_APPLICATION_IDS: [i64; 15] = [
    0x686b_6672,
    0x686f_6f6b,
    0x686b_666a,
    0x686b_666b,
    0x686b_666c,
    0x686b_666d,
    0x686b_666e,
    0x686b_666f,
    0x686b_6670,
    0x686b_6671,
    0x686b_6673,
    0x686b_6674,
    0x686b_6675,
    0x686b_6676,
    0x686b_6677,
];

/// The schema version that this program reads and writes.
pub const VERSION: i64 = MIGRATIONS.len() as i64;

/// The first entry creates version 1; each later entry upgrades from the version before it.
pub const MIGRATIONS: &[&str] = &[V1];

/// `url` never contains a query, `params`, `headers` and `signing` never the value of a secret. The newest error is stored
/// with the delivery, so that lists and filters read one table. The payload comes last: SQLite reads the columns before it
/// without loading it.
///
/// `signing` is how the requests are signed, with references of secrets, as JSON; NULL if they are not signed.
///
/// An event has a `body_format`, any other payload a `content_type`. `type` and `action` are those of the event, or what
/// names another payload in lists and filters.
///
/// A delivery with a `capture_id` forwards that capture, and its own payload is empty. The deliveries of a `sequence` are sent
/// one after the other, in the order of their ids. A capture whose deliveries are all delivered may be deleted.
///
/// A delivery is leased to the process in `owner` while it is being sent. `last_owner` is the host's name and the id of the
/// process that last began an attempt. An attempt without `duration_ms` and
/// `error_kind` is in flight; one with only `error_kind` ended without a recorded result. A delivery with
/// `next_attempt_at` and without an owner is scheduled: `pending`, or `interrupted` if its process died with attempts
/// left.
///
/// `retry_schedule` is a JSON array of intervals in milliseconds that replace `retry_interval_ms`, or NULL.
///
/// The `response_headers` of an attempt are a JSON array of pairs, or NULL.
///
/// `listed_failure_time` is when an imported delivery failed, as the portal listed it.
///
/// The `response` of a bin is a `BinResponse` as JSON, or NULL if the listener's options choose it. `note` is what the user
/// wrote about a capture, and `signature` a `SignatureCheck` as JSON.
///
/// `deleted` counts the captures that were deleted from a bin, so that a reader finds out how many it has missed. A row of
/// `cursors` says how far a reader of a bin, here or on another machine, has read: see `FollowCursor`.
///
/// Ids are never reused: `deleted_ids` keeps the highest deleted ones.
const V1: &str = "
    CREATE TABLE deliveries (
        id                  INTEGER PRIMARY KEY,
        uuid                TEXT NOT NULL COLLATE NOCASE UNIQUE,
        type                TEXT,
        action              TEXT,
        endpoint            TEXT,
        url                 TEXT NOT NULL,
        params              TEXT NOT NULL,
        headers             TEXT NOT NULL,
        signing             TEXT,
        retries             INTEGER NOT NULL,
        retry_interval_ms   INTEGER NOT NULL,
        retry_schedule      TEXT,
        success_statuses    TEXT NOT NULL,
        status              TEXT NOT NULL CHECK (status = 'pending' OR status = 'delivered' OR status = 'failed'
                                OR status = 'interrupted' OR status = 'ignored'),
        created_at          INTEGER NOT NULL,
        finished_at         INTEGER,
        next_attempt_at     INTEGER,
        attempt_count       INTEGER NOT NULL DEFAULT 0,
        error_kind          TEXT,
        error_status        INTEGER,
        error_message       TEXT,
        owner               TEXT,
        lease_until         INTEGER,
        last_owner          TEXT,
        method              TEXT NOT NULL,
        body_format         TEXT CHECK (body_format = 'xml' OR body_format = 'form'),
        content_type        TEXT CHECK ((content_type IS NULL) = (body_format IS NOT NULL)),
        ignored_by          TEXT,
        listed_failure_time TEXT,
        capture_id          INTEGER,
        sequence            TEXT,
        payload             BLOB NOT NULL
    ) STRICT;

    -- The failed list, oldest first; filters compare the time of the failure.
    CREATE INDEX deliveries_failed ON deliveries (created_at, id, finished_at) WHERE status IN ('failed', 'interrupted');
    -- The schedule.
    CREATE INDEX deliveries_due ON deliveries (next_attempt_at, id)
        WHERE next_attempt_at IS NOT NULL AND owner IS NULL AND sequence IS NULL;
    -- As deliveries_due, for those who send only what forwards a capture.
    CREATE INDEX deliveries_due_forwards ON deliveries (next_attempt_at, id)
        WHERE capture_id IS NOT NULL AND next_attempt_at IS NOT NULL AND owner IS NULL AND sequence IS NULL;
    -- Also in the order of ids: the first of each sequence.
    CREATE INDEX deliveries_in_sequence ON deliveries (sequence, id)
        WHERE sequence IS NOT NULL AND status <> 'delivered';
    CREATE INDEX deliveries_capture ON deliveries (capture_id) WHERE capture_id IS NOT NULL;
    -- Captures that must not be deleted.
    CREATE INDEX deliveries_forwarding ON deliveries (capture_id, status)
        WHERE capture_id IS NOT NULL AND status <> 'delivered';
    -- Deliveries that a process works on; read by every command that must notice a dead process.
    CREATE INDEX deliveries_in_progress ON deliveries (id)
        WHERE status = 'pending' AND (owner IS NOT NULL OR next_attempt_at IS NULL);

    CREATE TABLE attempts (
        delivery_id      INTEGER NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
        number           INTEGER NOT NULL,
        started_at       INTEGER NOT NULL,
        duration_ms      INTEGER,
        insecure         INTEGER NOT NULL,
        sent_to          TEXT,
        http_status      INTEGER,
        error_kind       TEXT,
        error_message    TEXT,
        maybe_received   INTEGER NOT NULL DEFAULT 0,
        response_headers TEXT,
        response_body    BLOB,
        note             TEXT,
        PRIMARY KEY (delivery_id, number)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE bins (
        id         INTEGER PRIMARY KEY,
        name       TEXT NOT NULL UNIQUE,
        private    INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        response   TEXT,
        deleted    INTEGER NOT NULL DEFAULT 0
    ) STRICT;

    CREATE TABLE captures (
        id                   INTEGER PRIMARY KEY,
        bin_id               INTEGER NOT NULL REFERENCES bins (id),
        received_at          INTEGER NOT NULL,
        remote_addr          TEXT NOT NULL,
        method               TEXT NOT NULL,
        type                 TEXT,
        action               TEXT,
        malformed            INTEGER NOT NULL,
        secret_ok            INTEGER,
        signature            TEXT,
        handshake            TEXT,
        response_status      INTEGER,
        response_duration_ms INTEGER NOT NULL,
        response_note        TEXT,
        pinned               INTEGER NOT NULL DEFAULT 0,
        note                 TEXT,
        body_size            INTEGER NOT NULL,
        head                 BLOB NOT NULL,
        body                 BLOB NOT NULL,
        wire_body            BLOB
    ) STRICT;
    -- Also in the order of ids: a bin's list, count and oldest capture.
    CREATE INDEX captures_bin ON captures (bin_id);
    -- Those that `--keep` neither counts nor deletes.
    CREATE INDEX captures_pinned ON captures (bin_id) WHERE pinned;

    CREATE TABLE runs (
        capture_id  INTEGER NOT NULL REFERENCES captures (id) ON DELETE CASCADE,
        number      INTEGER NOT NULL,
        command     TEXT NOT NULL,
        started_at  INTEGER NOT NULL,
        duration_ms INTEGER,
        exit_code   INTEGER,
        error       TEXT,
        stderr      TEXT NOT NULL,
        PRIMARY KEY (capture_id, number)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE cursors (
        name           TEXT PRIMARY KEY,
        bin_created_at INTEGER NOT NULL,
        last_id        INTEGER NOT NULL,
        seen           INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TRIGGER capture_deleted AFTER DELETE ON captures BEGIN
        UPDATE bins SET deleted = deleted + 1 WHERE id = OLD.bin_id;
    END;

    CREATE TABLE deleted_ids (newest_delivery INTEGER NOT NULL, newest_capture INTEGER NOT NULL) STRICT;
    INSERT INTO deleted_ids VALUES (0, 0);
    CREATE TRIGGER delivery_deleted AFTER DELETE ON deliveries BEGIN
        UPDATE deleted_ids SET newest_delivery = OLD.id WHERE newest_delivery < OLD.id;
    END;
    ";

/// Brings the tables from version `found` up to the last of `migrations`.
pub fn migrate(tx: &Transaction<'_>, found: i64, migrations: &[&str]) -> rusqlite::Result<()> {
    let first = usize::try_from(found).unwrap_or(0);
    for migration in migrations.iter().skip(first) {
        tx.execute_batch(migration)?;
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", migrations.len() as i64)
}
