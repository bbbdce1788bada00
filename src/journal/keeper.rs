//! Keeping captures, thousands a second: those that come at once share a transaction, and each touches few pages.
//!
//! Which bin a capture goes to is decided in the transaction that keeps it, so that a bin made a moment ago by anybody
//! counts. What is known from the last transaction counts as long as nobody else has written since.
//!
//! Invariant: a capture is acknowledged only when its transaction is committed. The death of the process then takes
//! nothing of it; a power failure may take the last moments, since commits of captures are not waited for on the disk
//! (those of deliveries are): that wait alone would allow a few hundred groups a second.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{OptionalExtension, Statement, Transaction, params};

use super::Journal;
use super::captures::{insert_bin, newest_id};
use super::error::{is_of_the_row, store_error};
use super::writer::{Scribe, Writer};
use crate::capture::{Body, Capture, CapturedResponse, EventName, is_bin_name};
use crate::event::{self, Event};
use crate::journal::store::{Batch, Done, JournalError, Keeper, Kept};
use crate::time::UnixMs;

/// How long a request waits for a lock that another process holds before it is answered 503.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// The most captures over the number to be kept, while others keep coming: to delete many at once touches fewer pages.
const MOST_SURPLUS: i64 = 512;

/// This part of the number to be kept may be surplus, for as long. So of less than 64 there is never any.
const SURPLUS_PART: i64 = 64;

/// Keeps captures. When dropped, it first keeps what it was given.
pub struct CaptureKeeper(Writer<Filing>);

impl CaptureKeeper {
    /// A keeper that files what names no bin in `default_bin`, and keeps the newest `keep_per_bin` of each bin; while
    /// more keep coming, up to a sixty-fourth more.
    ///
    /// # Errors
    /// [`JournalError`] if the system gives no thread or the connection cannot be set up.
    pub fn start(
        mut journal: Journal,
        default_bin: &str,
        keep_per_bin: u32,
    ) -> Result<CaptureKeeper, JournalError> {
        journal.set_lock_timeout(LOCK_TIMEOUT)?;
        journal.read(|conn| {
            conn.pragma_update(None, "synchronous", "NORMAL")?;
            // What is put aside while the oldest are deleted is some hundred captures: too few to write them to a file, and
            // nothing to be seen in a folder for everybody.
            conn.pragma_update(None, "temp_store", "MEMORY")?;
            // A bin is looked for in the transaction that puts a capture into it.
            conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, false)?;
            // Else a statement with another limit than last time would be prepared anew.
            conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        })?;
        let path = journal.path().to_owned();
        let filing = Filing {
            default_bin: default_bin.to_owned(),
            keep_per_bin: i64::from(keep_per_bin.max(1)),
            known: Known::default(),
            remote_addr: String::new(),
            path: path.clone(),
        };
        Writer::start(journal, filing)
            .map(CaptureKeeper)
            .map_err(|source| JournalError::Io {
                doing: "start a thread that writes to",
                path,
                source,
            })
    }
}

impl Keeper for CaptureKeeper {
    fn keep(&self, captures: Vec<(Capture, Body)>, done: Done<Batch>) {
        // Here and not on the writer's thread, which others wait for.
        let named = captures.into_iter().map(|(capture, body)| {
            let event = event_name(&body.bytes);
            Kept::new(0, "", event, capture, body)
        });
        self.0.write(Job::Keep(named.collect(), done));
    }

    fn amend(&self, id: i64, answer: CapturedResponse, done: Done<()>) {
        self.0.write(Job::Amend(id, answer, done));
    }
}

/// The type and action of a body that begins as an event does. That it is none is no error: anything may be caught.
fn event_name(body: &[u8]) -> Option<EventName> {
    let (event_type, action) = Event::title(&event::carried(body))?;
    Some(EventName { event_type, action })
}

/// Something to be written, and whom to tell.
enum Job {
    /// What is to be kept; ids and bins are filled in when it is written.
    Keep(Vec<Kept>, Done<Batch>),
    Amend(i64, CapturedResponse, Done<()>),
}

/// A capture, whole.
const INSERT: &str = "
    INSERT INTO captures (id, bin_id, received_at, remote_addr, method, type, action, malformed, secret_ok,
        answer_status, answer_duration_ms, answer_note, body_size, head, body, wire_body)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";

/// Writes captures where they belong.
struct Filing {
    default_bin: String,
    keep_per_bin: i64,
    known: Known,
    /// Room to write an address in.
    remote_addr: String,
    /// The journal's, for what is said of it.
    path: PathBuf,
}

/// What was read of the journal, and what of it this writer has changed since.
#[derive(Default)]
struct Known {
    /// SQLite's number for what others have written: as long as it is the same, they have written nothing.
    version: Option<i64>,
    newest_id: i64,
    /// Bins by name; none where there is no bin of that name.
    bins: HashMap<String, Option<i64>>,
    /// How many captures a bin has, by its id.
    counts: HashMap<i64, i64>,
}

/// Names that are remembered; whoever makes up names must not fill the memory with them. Each is short: what cannot be a
/// bin's name is not looked for.
const NAMES: usize = 1_000;

impl Scribe for Filing {
    type Job = Job;

    fn write(&mut self, tx: &Transaction<'_>, group: &mut [Job]) -> rusqlite::Result<()> {
        self.look_around(tx)?;
        let mut insert = tx.prepare_cached(INSERT)?;
        for job in group.iter_mut() {
            match job {
                Job::Keep(batch, _) => batch
                    .iter_mut()
                    .try_for_each(|kept| self.keep(tx, &mut insert, kept))?,
                Job::Amend(id, answer, _) => amend(tx, *id, answer)?,
            }
        }
        let surplus = if group.is_empty() {
            0
        } else {
            MOST_SURPLUS.min(self.keep_per_bin / SURPLUS_PART)
        };
        self.prune(tx, surplus)
    }

    fn settle(&mut self, group: Vec<Job>, outcome: Result<(), Arc<JournalError>>) {
        if outcome.is_err() {
            self.known = Known::default();
        }
        for job in group {
            match job {
                Job::Keep(batch, done) => done(outcome.clone().map(|()| Arc::new(batch))),
                Job::Amend(_, _, done) => done(outcome.clone()),
            }
        }
    }

    fn has_more(&self) -> bool {
        self.known
            .counts
            .values()
            .any(|count| *count > self.keep_per_bin)
    }
}

impl Filing {
    /// Forgets what was known if somebody else has written since.
    fn look_around(&mut self, tx: &Transaction<'_>) -> rusqlite::Result<()> {
        let version = tx
            .prepare_cached("PRAGMA data_version")?
            .query_row([], |row| row.get(0))?;
        if self.known.version != Some(version) {
            self.known = Known {
                version: Some(version),
                newest_id: newest_id(tx)?,
                ..Known::default()
            };
        }
        Ok(())
    }

    /// Writes one down, unless it cannot be for a reason of its own: of that, the others are to learn nothing.
    fn keep(
        &mut self,
        tx: &Transaction<'_>,
        insert: &mut Statement<'_>,
        kept: &mut Kept,
    ) -> rusqlite::Result<()> {
        kept.refused = None;
        match self.insert(tx, insert, kept) {
            Err(error) if is_of_the_row(&error) => {
                kept.refused = Some(Arc::new(store_error(&self.path, LOCK_TIMEOUT, error)));
                Ok(())
            }
            written => written,
        }
    }

    /// Writes one down, by the statement [`INSERT`].
    fn insert(
        &mut self,
        tx: &Transaction<'_>,
        insert: &mut Statement<'_>,
        kept: &mut Kept,
    ) -> rusqlite::Result<()> {
        let caught = &mut kept.caught;
        let (bin_id, bin) = self.bin_for(tx, caught.capture.path(), caught.capture.received_at)?;
        caught.bin = bin;
        caught.id = self.known.newest_id + 1;
        let (capture, event) = (&caught.capture, caught.event.as_ref());
        self.remote_addr.clear();
        // Writing to a string cannot fail.
        let _ = write!(self.remote_addr, "{}", capture.remote_addr);
        insert.execute(params![
            caught.id,
            bin_id,
            capture.received_at.0,
            self.remote_addr,
            capture.method(),
            event.map(|event| &event.event_type),
            event.map(|event| &event.action),
            capture.malformed,
            capture.secret_ok,
            capture.answer.status,
            whole(capture.answer.duration_ms),
            capture.answer.note,
            kept.body.bytes.len() as i64,
            &*capture.head,
            kept.body.bytes,
            kept.body.wire,
        ])?;
        self.known.newest_id = caught.id;
        *self.known.counts.entry(bin_id).or_default() += 1;
        Ok(())
    }

    /// The bin that the path's first segment names, else the default one, made if need be.
    fn bin_for(
        &mut self,
        tx: &Transaction<'_>,
        path: &str,
        now: UnixMs,
    ) -> rusqlite::Result<(i64, String)> {
        let named = path
            .strip_prefix('/')
            .and_then(|path| path.split('/').next())
            .unwrap_or_default();
        if is_bin_name(named)
            && let Some(id) = self.known.bin(tx, named)?
        {
            return Ok((id, named.to_owned()));
        }
        if let Some(id) = self.known.bin(tx, &self.default_bin)? {
            return Ok((id, self.default_bin.clone()));
        }
        insert_bin(tx, &self.default_bin, false, now)?;
        self.known.bins.clear();
        let made = self
            .known
            .bin(tx, &self.default_bin)?
            .ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        Ok((made, self.default_bin.clone()))
    }

    /// Deletes the oldest of each bin that has more than `surplus` too many.
    fn prune(&mut self, tx: &Transaction<'_>, surplus: i64) -> rusqlite::Result<()> {
        for (bin_id, count) in &mut self.known.counts {
            let too_many = *count - self.keep_per_bin;
            if too_many > surplus {
                tx.prepare_cached(
                    "DELETE FROM captures WHERE id IN (SELECT id FROM captures WHERE bin_id = ?1 ORDER BY id LIMIT ?2)",
                )?
                .execute([*bin_id, too_many])?;
                *count = self.keep_per_bin;
            }
        }
        Ok(())
    }
}

impl Known {
    /// The id of the bin of that name, if there is one; its captures are counted from now on.
    fn bin(&mut self, tx: &Transaction<'_>, name: &str) -> rusqlite::Result<Option<i64>> {
        if let Some(known) = self.bins.get(name) {
            return Ok(*known);
        }
        let find = "SELECT id FROM bins WHERE name = ?1";
        let found: Option<i64> = tx
            .prepare_cached(find)?
            .query_row([name], |row| row.get(0))
            .optional()?;
        if let Some(id) = found {
            let count = "SELECT count(*) FROM captures WHERE bin_id = ?1";
            self.counts.insert(
                id,
                tx.prepare_cached(count)?
                    .query_row([id], |row| row.get(0))?,
            );
        }
        if self.bins.len() >= NAMES {
            self.bins.clear();
        }
        self.bins.insert(name.to_owned(), found);
        Ok(found)
    }
}

fn amend(tx: &Transaction<'_>, id: i64, answer: &CapturedResponse) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "UPDATE captures SET answer_status = ?2, answer_duration_ms = ?3, answer_note = ?4 WHERE id = ?1",
    )?
    .execute(params![id, answer.status, whole(answer.duration_ms), answer.note])?;
    Ok(())
}

/// As SQLite counts.
fn whole(milliseconds: u64) -> i64 {
    i64::try_from(milliseconds).unwrap_or(i64::MAX)
}
