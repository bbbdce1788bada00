//! Captures and bins: kept by the catcher's thousands a second, read by people one by one.
//!
//! Which bin a capture goes to is decided in the transaction that keeps it, so that a bin made a moment ago by anybody
//! counts.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::types::{Type, Value};
use rusqlite::{OptionalExtension, Row, Transaction, params, params_from_iter};

use super::Journal;
use super::upkeep::give_room_back;
use super::writer::Writer;
use crate::capture::{Answer, Bin, Body, Capture, Caught, EventName, Fields};
use crate::event::{self, Event};
use crate::store::{CaptureQuery, Done, Keeper, Kept, Order, StoreError};
use crate::time::UnixMs;

/// How long a request waits for a lock that another process holds before it is answered 503.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

const COLUMNS: &str = "captures.id, bins.name, captures.received_at, remote_addr, type, action, malformed, secret_ok, \
     answer_status, answer_duration_ms, answer_note, body_size, head";

/// Keeps captures on a thread of its own; captures that come at once share a commit. When dropped, it first keeps what it
/// was given.
pub struct CaptureKeeper {
    writer: Writer,
    policy: Arc<Policy>,
}

struct Policy {
    default_bin: String,
    keep_per_bin: u32,
}

impl CaptureKeeper {
    /// A keeper that files what names no bin in `default_bin`, and keeps the newest `keep_per_bin` of each bin.
    ///
    /// # Errors
    /// [`StoreError`] if the system gives no thread or the lock's timeout cannot be set.
    pub fn start(mut journal: Journal, default_bin: &str, keep_per_bin: u32) -> Result<CaptureKeeper, StoreError> {
        journal.set_lock_timeout(LOCK_TIMEOUT)?;
        let path = journal.path().to_owned();
        let writer = Writer::start(journal).map_err(|source| StoreError::Io {
            doing: "start a thread that writes to",
            path,
            source,
        })?;
        let policy = Policy { default_bin: default_bin.to_owned(), keep_per_bin: keep_per_bin.max(1) };
        Ok(CaptureKeeper { writer, policy: Arc::new(policy) })
    }
}

impl Keeper for CaptureKeeper {
    fn keep(&self, capture: Capture, body: Body, done: Done<Kept>) {
        // Here and not on the writer's thread, which others wait for.
        let event = event_name(&body.bytes);
        let policy = Arc::clone(&self.policy);
        self.writer.write(move |tx| insert(tx, &capture, &body, event, &policy), done);
    }

    fn amend(&self, id: i64, answer: Answer, done: Done<()>) {
        let work = move |tx: &Transaction<'_>| {
            tx.prepare_cached(
                "UPDATE captures SET answer_status = ?2, answer_duration_ms = ?3, answer_note = ?4 WHERE id = ?1",
            )?
            .execute(params![id, answer.status, whole(answer.duration_ms), answer.note])?;
            Ok(())
        };
        self.writer.write(work, done);
    }
}

/// The type and action of a body that carries an event. That it carries none is no error: anything may be caught.
fn event_name(body: &[u8]) -> Option<EventName> {
    let event = Event::from_document(event::carried(body).into_owned()).ok()?;
    Some(EventName { event_type: event.event_type().to_owned(), action: event.action().to_owned() })
}

fn insert(
    tx: &Transaction<'_>,
    capture: &Capture,
    body: &Body,
    event: Option<EventName>,
    policy: &Policy,
) -> rusqlite::Result<Kept> {
    let (bin_id, bin, count) = bin_for(tx, capture.path(), &policy.default_bin, capture.received_at)?;
    tx.prepare_cached(
        "INSERT INTO captures (bin_id, received_at, remote_addr, method, type, action, malformed, secret_ok, answer_status,
             answer_duration_ms, answer_note, body_size, head, body, wire_body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
    )?
    .execute(params![
        bin_id,
        capture.received_at.0,
        capture.remote_addr.to_string(),
        capture.method(),
        event.as_ref().map(|event| &event.event_type),
        event.as_ref().map(|event| &event.action),
        capture.malformed,
        capture.secret_ok,
        capture.answer.status,
        whole(capture.answer.duration_ms),
        capture.answer.note,
        body.bytes.len() as i64,
        capture.head,
        body.bytes,
        body.wire,
    ])?;
    let id = tx.last_insert_rowid();
    let surplus = (count + 1).saturating_sub(i64::from(policy.keep_per_bin));
    if surplus > 0 {
        tx.prepare_cached(
            "DELETE FROM captures WHERE id IN (SELECT id FROM captures WHERE bin_id = ?1 ORDER BY id LIMIT ?2)",
        )?
        .execute([bin_id, surplus])?;
    }
    Ok(Kept { id, bin, event })
}

/// The bin that the path's first segment names, else the default one, made if need be: its id, name, and how many captures
/// it has.
fn bin_for(tx: &Transaction<'_>, path: &str, default_bin: &str, now: UnixMs) -> rusqlite::Result<(i64, String, i64)> {
    let named = path.strip_prefix('/').and_then(|path| path.split('/').next()).unwrap_or_default();
    let find = || {
        tx.prepare_cached(
            "SELECT id, name, request_count FROM bins WHERE name IN (?1, ?2) ORDER BY name = ?1 DESC LIMIT 1",
        )?
        .query_row([named, default_bin], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()
    };
    if let Some(found) = find()? {
        return Ok(found);
    }
    insert_bin(tx, default_bin, false, now)?;
    find()?.ok_or(rusqlite::Error::QueryReturnedNoRows)
}

fn insert_bin(tx: &Transaction<'_>, name: &str, private: bool, now: UnixMs) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO bins (name, private, created_at) VALUES (?1, ?2, ?3) ON CONFLICT (name) DO NOTHING",
    )?
    .execute(params![name, private, now.0])?;
    Ok(())
}

impl Journal {
    /// The captures that a query asks for, without their bodies.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn captures(&self, query: &CaptureQuery) -> Result<Vec<Caught>, StoreError> {
        let (sql, values) = select(query);
        self.read(|conn| conn.prepare_cached(&sql)?.query_map(params_from_iter(values), caught)?.collect())
    }

    /// A capture with its body; none if there is no such id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn capture(&self, id: i64) -> Result<Option<(Caught, Body)>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS}, body, wire_body FROM captures JOIN bins ON bins.id = bin_id WHERE captures.id = ?1"
        );
        let read = |row: &Row<'_>| Ok((caught(row)?, Body { bytes: row.get(13)?, wire: row.get(14)? }));
        self.read(|conn| conn.prepare_cached(&sql)?.query_row([id], read).optional())
    }

    /// The greatest id of a capture, 0 if there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn newest_capture(&self) -> Result<i64, StoreError> {
        self.read(|conn| {
            conn.prepare_cached("SELECT coalesce(max(id), 0) FROM captures")?.query_row([], |row| row.get(0))
        })
    }

    /// Deletes these captures, in one commit; returns how many there were.
    ///
    /// # Errors
    /// [`StoreError`]; then none is deleted.
    pub fn delete_captures(&self, ids: &[i64]) -> Result<usize, StoreError> {
        self.write_and_checkpoint(|tx| {
            let mut statement = tx.prepare_cached("DELETE FROM captures WHERE id = ?1")?;
            let deleted =
                ids.iter().try_fold(0, |deleted, id| Ok::<_, rusqlite::Error>(deleted + statement.execute([id])?))?;
            give_room_back(tx)?;
            Ok(deleted)
        })
    }

    /// Deletes all captures of a bin, which stays; returns how many there were.
    ///
    /// # Errors
    /// [`StoreError`]; then none is deleted.
    pub fn clear_bin(&self, name: &str) -> Result<usize, StoreError> {
        self.write_and_checkpoint(|tx| {
            let deleted =
                tx.execute("DELETE FROM captures WHERE bin_id = (SELECT id FROM bins WHERE name = ?1)", [name])?;
            give_room_back(tx)?;
            Ok(deleted)
        })
    }

    /// All bins, by name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn bins(&self) -> Result<Vec<Bin>, StoreError> {
        let sql = "SELECT name, private, created_at, request_count FROM bins ORDER BY name";
        self.read(|conn| conn.prepare_cached(sql)?.query_map([], bin)?.collect())
    }

    /// The bin of that name, if there is one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn bin(&self, name: &str) -> Result<Option<Bin>, StoreError> {
        let sql = "SELECT name, private, created_at, request_count FROM bins WHERE name = ?1";
        self.read(|conn| conn.prepare_cached(sql)?.query_row([name], bin).optional())
    }

    /// Makes a bin; one that is there already is left as it is. Returns the one that is there now.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn create_bin(&self, name: &str, private: bool, now: UnixMs) -> Result<Bin, StoreError> {
        self.write(|tx| {
            insert_bin(tx, name, private, now)?;
            tx.query_row("SELECT name, private, created_at, request_count FROM bins WHERE name = ?1", [name], bin)
        })
    }
}

pub(super) fn select(query: &CaptureQuery) -> (String, Vec<Value>) {
    let CaptureQuery { bin, method, event_type, action, since, after, before, order, limit } = query;
    let conditions = [
        ("bin_id = (SELECT id FROM bins WHERE name = ?)", bin.clone().map(Value::from)),
        ("method = ? COLLATE NOCASE", method.clone().map(Value::from)),
        ("type = ?", event_type.clone().map(Value::from)),
        ("action = ?", action.clone().map(Value::from)),
        ("received_at >= ?", since.map(|since| Value::from(since.0))),
        ("captures.id > ?", after.map(Value::from)),
        ("captures.id < ?", before.map(Value::from)),
    ];
    let (mut sql, mut values) = (String::from("TRUE"), Vec::new());
    for (condition, value) in conditions {
        if let Some(value) = value {
            sql.push_str(" AND ");
            sql.push_str(condition);
            values.push(value);
        }
    }
    let direction = match order {
        Order::OldestFirst => "ASC",
        Order::NewestFirst => "DESC",
    };
    values.push(Value::from(limit.map_or(-1, i64::from)));
    let sql = format!(
        "SELECT {COLUMNS} FROM captures JOIN bins ON bins.id = bin_id WHERE {sql} ORDER BY captures.id {direction} LIMIT ?"
    );
    (sql, values)
}

/// Reads a row of [`COLUMNS`].
fn caught(row: &Row<'_>) -> rusqlite::Result<Caught> {
    let remote_addr: String = row.get(3)?;
    let remote_addr =
        remote_addr.parse().map_err(|e| rusqlite::Error::FromSqlConversionFailure(3, Type::Text, Box::new(e)))?;
    let head: Vec<u8> = row.get(12)?;
    let event = match (row.get(4)?, row.get(5)?) {
        (Some(event_type), Some(action)) => Some(EventName { event_type, action }),
        _ => None,
    };
    Ok(Caught {
        id: row.get(0)?,
        bin: row.get(1)?,
        event,
        body_size: row.get::<_, i64>(11)?.unsigned_abs(),
        capture: Capture {
            received_at: UnixMs(row.get(2)?),
            remote_addr,
            fields: Fields::read(&head),
            head,
            malformed: row.get(6)?,
            secret_ok: row.get(7)?,
            answer: Answer {
                status: row.get(8)?,
                duration_ms: row.get::<_, i64>(9)?.unsigned_abs(),
                note: row.get(10)?,
            },
        },
    })
}

fn bin(row: &Row<'_>) -> rusqlite::Result<Bin> {
    Ok(Bin {
        name: row.get(0)?,
        private: row.get(1)?,
        created_at: UnixMs(row.get(2)?),
        request_count: row.get::<_, i64>(3)?.unsigned_abs(),
    })
}

/// As SQLite counts.
fn whole(milliseconds: u64) -> i64 {
    i64::try_from(milliseconds).unwrap_or(i64::MAX)
}
