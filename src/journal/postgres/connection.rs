//! The connection to the server. After it was lost, it is opened again, and the interrupted transaction is repeated.
//!
//! No session state is used, so that each transaction may run on another of a pooler's connections: statements are
//! unnamed, and nothing is set, prepared or locked beyond the end of a transaction.
//!
//! A transaction takes effect once, even if its connection is lost while it commits: its first statement stores the id
//! of the transaction in the row that this connection has in `writers`. Its repetition waits until the lost transaction has
//! ended, and stores nothing if that has committed.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::time::{Duration, Instant};

use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::connect::connect;
use super::error::{self, PostgresError};
use super::schema;
use super::session::Session;
use crate::journal::location::Server;
use crate::journal::values::SqlValue;
use crate::journal::{Host, JournalError};
use crate::time::{UnixMs, duration_ms};

/// How long the server may be silent while it runs a statement of a commit, which others wait for. Then the connection
/// counts as lost.
const COMMIT_SILENCE: Duration = Duration::from_secs(5);

/// As [`COMMIT_SILENCE`], for statements that may have much to read or delete.
const MAX_SILENCE: Duration = Duration::from_secs(60);

/// A statement waits for a lock at most this part of the time for which the server may be silent: the error then comes from
/// the server, which has ended the transaction.
const LOCK_WAIT: (u32, u32) = (9, 10);

/// The first and the longest pause between two tries to connect.
const CONNECT_PAUSE: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(500)];

/// A measurement of the clocks that takes less than this is exact enough, see [`Connection::measure`].
const QUICK_MEASUREMENT: Duration = Duration::from_millis(100);

/// How often the time is measured at first, until it is quick.
const MAX_MEASUREMENTS: usize = 3;

/// A lease counts as expired this long after its end.
const LEASE_GRACE: Duration = Duration::from_secs(60);

/// Begins a transaction. Its settings end with it.
///
/// Each statement has to see what was committed before it took its locks, whatever the default of the role is. If this
/// client can no longer be heard, the server ends the transaction and releases its locks after 30 seconds.
fn begin_sql(max_silence: Duration) -> String {
    let lock_timeout = (max_silence * LOCK_WAIT.0 / LOCK_WAIT.1).as_millis().max(1);
    format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = 30000;
         SET LOCAL lock_timeout = {lock_timeout}"
    )
}

/// The first statement after [`begin_sql`]. Its row is missing if the transaction has already committed.
const BEGIN_SQL: &str = "INSERT INTO hookfire.writers AS w (id, commit_id, at)
     VALUES ($1, $2, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)
     ON CONFLICT (id) DO UPDATE SET commit_id = excluded.commit_id, at = excluded.at
         WHERE w.commit_id <> excluded.commit_id
     RETURNING at, (SELECT version FROM hookfire.meta)";

/// Locks deliveries until the end of a transaction, in the order of their ids.
const LOCK_SQL: &str =
    "SELECT 1 FROM hookfire.deliveries WHERE id = ANY($1) ORDER BY id FOR UPDATE";

/// Also deletes rows of connections that were closed more than a minute ago.
const CLOSE_SQL: &str = "WITH old AS (
         DELETE FROM hookfire.writers WHERE id IN (
             SELECT id FROM hookfire.writers
             WHERE closed AND at < (extract(epoch FROM clock_timestamp()) * 1000)::bigint - 60000
             ORDER BY id LIMIT 100 FOR UPDATE SKIP LOCKED)
     )
     UPDATE hookfire.writers SET closed = TRUE, at = (extract(epoch FROM clock_timestamp()) * 1000)::bigint
     WHERE id = $1";

const NOW_SQL: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// Which clock decides leases and due times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeSource {
    Server,
    /// The clock of this host, set by tests.
    #[cfg_attr(not(test), expect(dead_code))]
    Host,
}

pub struct Connection {
    server: Server,
    client: RefCell<Option<Session>>,
    /// Names the row in `writers`.
    id: String,
    has_written: Cell<bool>,
    /// How long to repeat what failed because the server could not be reached.
    pub timeout: Cell<Duration>,
    /// Whether the server was reached once.
    is_open: Cell<bool>,
    host: Box<dyn Host>,
    time_source: TimeSource,
    /// Milliseconds from the host's lease clock to the server's clock; none before it was measured.
    offset: Cell<Option<i64>>,
    commits: Cell<i64>,
}

impl Connection {
    /// Connects. Does not wait for a server that does not respond, but for one that accepts no connection yet.
    pub fn open(
        server: &Server,
        host: Box<dyn Host>,
        timeout: Duration,
        time_source: TimeSource,
    ) -> Result<Connection, JournalError> {
        let mut connection = Connection::open_any(server, host, timeout);
        connection.time_source = time_source;
        let sql = format!("{NOW_SQL}, (SELECT version FROM hookfire.meta)");
        let measure = || {
            let measured = connection.repeat_faults(COMMIT_SILENCE, |session| {
                let began = connection.host.lease_clock();
                let row = session.row(&sql, &[])?;
                let row = row.ok_or_else(|| PostgresError::internal(connection.shown()))?;
                Ok((connection.measure(began, row.try_get(0)?), row.try_get(1)?))
            });
            measured.map_err(|fault| connection.error(fault))
        };
        let (mut is_quick, version) = measure()?;
        for _ in 1..MAX_MEASUREMENTS {
            if !is_quick {
                (is_quick, _) = measure()?;
            }
        }
        schema::check_version(connection.shown(), version)?;
        connection.is_open.set(true);
        Ok(connection)
    }

    /// Connects to a database that may have no tables yet.
    pub fn open_any(server: &Server, host: Box<dyn Host>, timeout: Duration) -> Connection {
        Connection {
            server: server.clone(),
            client: RefCell::new(None),
            id: Uuid::new_v4().to_string(),
            has_written: Cell::new(false),
            timeout: Cell::new(timeout),
            is_open: Cell::new(false),
            host,
            time_source: TimeSource::Server,
            offset: Cell::new(None),
            commits: Cell::new(0),
        }
    }

    /// The time of the server's clock, by which the hosts of a team agree.
    pub fn now(&self) -> UnixMs {
        match self.time_source {
            TimeSource::Server => {
                UnixMs(self.host.lease_clock().0 + self.offset.get().unwrap_or(0))
            }
            TimeSource::Host => self.host.lease_clock(),
        }
    }

    /// How far the system's clock is ahead of the server's, in milliseconds.
    pub fn clock_ahead_ms(&self) -> i64 {
        self.host.now().0 - self.now().0
    }

    /// A time that has certainly passed: leases of `owner` that end before it have expired.
    pub fn lease_time_passed(&self, owner: &str) -> UnixMs {
        match self.time_source {
            TimeSource::Server => UnixMs(self.now().0 - duration_ms(LEASE_GRACE)),
            TimeSource::Host => self.host.lease_time_passed(owner),
        }
    }

    pub fn host(&self) -> &dyn Host {
        &*self.host
    }

    /// How many transactions this connection has committed.
    pub fn commits(&self) -> i64 {
        self.commits.get()
    }

    pub fn shown(&self) -> &Path {
        self.server.shown()
    }

    /// Compares the clocks: `began` is the host's time before the statement that returned the server's.
    ///
    /// The longer that took, the less is known about the moment of the server's time: a later measurement counts only if it
    /// is quick. Returns whether it was.
    fn measure(&self, began: UnixMs, server_time: i64) -> bool {
        let ended = self.host.lease_clock();
        let is_first = self.offset.get().is_none();
        let is_quick = ended.since(began) < QUICK_MEASUREMENT;
        if is_first || is_quick {
            let offset = server_time - (began.0 + ended.0) / 2;
            self.offset.set(Some(offset));
        }
        is_quick
    }

    /// Runs statements that only read. Repeats them if the connection is lost.
    pub fn read<T>(
        &self,
        run: impl Fn(&mut Session) -> Result<T, PostgresError>,
    ) -> Result<T, JournalError> {
        self.repeat_faults(MAX_SILENCE, |session| run(session))
            .map_err(|fault| self.error(fault))
    }

    /// Runs a transaction. Repeats it if the connection is lost, unless it has committed.
    pub fn write<T>(
        &self,
        run: impl Fn(&mut Session) -> Result<T, PostgresError>,
    ) -> Result<T, JournalError> {
        self.transact(MAX_SILENCE, Uuid::new_v4(), &mut None, &[], run)
            .map_err(|fault| self.error(fault))
    }

    /// As [`Connection::write`], for small changes that others wait for. A transaction that was begun with the same `id`,
    /// but not confirmed, is not applied again if it has committed; `done` has its result, and keeps it until it is confirmed.
    /// First, the transaction locks the deliveries with the ids `locked`.
    pub fn write_as<T>(
        &self,
        id: Uuid,
        done: &mut Option<T>,
        locked: &[i64],
        run: impl Fn(&mut Session) -> Result<T, PostgresError>,
    ) -> Result<T, PostgresError> {
        let max_silence = COMMIT_SILENCE.min(self.timeout.get());
        self.transact(max_silence, id, done, locked, run)
    }

    fn transact<T>(
        &self,
        max_silence: Duration,
        id: Uuid,
        done: &mut Option<T>,
        locked: &[i64],
        run: impl Fn(&mut Session) -> Result<T, PostgresError>,
    ) -> Result<T, PostgresError> {
        let id = id.to_string();
        self.repeat_faults(max_silence, |session| {
            session.queue(&begin_sql(session.max_silence), Vec::new());
            if !locked.is_empty() {
                session.queue(LOCK_SQL, vec![SqlValue::ints(locked.iter().copied())]);
            }
            let applied = self.apply(session, &id, done, &run);
            if let Err(fault) = applied {
                if !fault.is_lost() {
                    session.roll_back("ROLLBACK")?;
                }
                return Err(fault);
            }
            if let Err(fault) = session.batch("COMMIT") {
                // The server has rolled back.
                if !fault.is_lost() {
                    *done = None;
                }
                return Err(fault);
            }
            self.commits.set(self.commits.get() + 1);
            self.has_written.set(true);
            done.take()
                .ok_or_else(|| PostgresError::internal(self.shown()))
        })
    }

    /// The statements between BEGIN and COMMIT. Afterwards `done` has the result, of this run or of an earlier one.
    fn apply<T>(
        &self,
        session: &mut Session,
        id: &str,
        done: &mut Option<T>,
        run: impl Fn(&mut Session) -> Result<T, PostgresError>,
    ) -> Result<(), PostgresError> {
        let began = self.host.lease_clock();
        let Some(row) = session.row(BEGIN_SQL, &[(&*self.id).into(), id.into()])? else {
            return Ok(());
        };
        *done = None;
        self.measure(began, row.try_get(0)?);
        schema::check_version(self.shown(), row.try_get(1)?)?;
        *done = Some(run(session)?);
        Ok(())
    }

    /// Runs `run` until it succeeds, fails for another reason than the connection, or the timeout has passed.
    fn repeat_faults<T>(
        &self,
        max_silence: Duration,
        mut run: impl FnMut(&mut Session) -> Result<T, PostgresError>,
    ) -> Result<T, PostgresError> {
        let (began, mut pause) = (Instant::now(), CONNECT_PAUSE[0]);
        let timeout = self.timeout.get();
        loop {
            let left = in_tenths(timeout.saturating_sub(began.elapsed()));
            // A longer silence is allowed to statements that may have much to do.
            let silence = match max_silence <= timeout {
                true => max_silence.min(left),
                false => max_silence,
            };
            let fault = match self.run_once(left, silence, &mut run) {
                Ok(value) => return Ok(value),
                Err(fault) => fault,
            };
            let may_be_repeated = match self.is_open.get() {
                true => fault.may_be_repeated(),
                false => fault.is_refused_for_now(),
            };
            let next_pause = match fault.is_conflict() {
                true => Duration::ZERO,
                false => pause,
            };
            if !may_be_repeated || began.elapsed() + next_pause >= timeout {
                return Err(fault);
            }
            if !next_pause.is_zero() {
                std::thread::sleep(next_pause);
                pause = CONNECT_PAUSE[1].min(pause * 2);
            }
        }
    }

    fn run_once<T>(
        &self,
        connect_limit: Duration,
        max_silence: Duration,
        run: &mut impl FnMut(&mut Session) -> Result<T, PostgresError>,
    ) -> Result<T, PostgresError> {
        // Not put back after a panic, when a transaction may be open.
        let open = self.client.take().filter(|open| !open.is_closed());
        let mut session = match open {
            Some(session) => session,
            None => connect(&self.server, connect_limit)?,
        };
        session.max_silence = max_silence;
        let result = run(&mut session);
        if !result.as_ref().is_err_and(PostgresError::is_lost) {
            self.client.replace(Some(session));
        }
        result
    }

    pub fn error(&self, fault: PostgresError) -> JournalError {
        error::journal_error(self.shown(), self.timeout.get(), fault)
    }
}

/// Rounds up, for messages.
fn in_tenths(duration: Duration) -> Duration {
    let tenths = duration.as_millis().div_ceil(100);
    Duration::from_millis(
        u64::try_from(tenths)
            .unwrap_or(u64::MAX)
            .saturating_mul(100),
    )
}

/// Marks the connection's row in `writers` as closed. Rows of processes that were killed are deleted by
/// [`Schedule::interrupt_abandoned`](crate::journal::Schedule::interrupt_abandoned).
///
/// Works on a thread of its own: the client blocks, and the listener drops its journal on a thread that must not block.
impl Drop for Connection {
    fn drop(&mut self) {
        let Some(mut session) = self.client.take() else {
            return;
        };
        let (id, has_written) = (self.id.clone(), self.has_written.get());
        let end = move || {
            if has_written && !session.is_closed() {
                session.max_silence = COMMIT_SILENCE;
                let _ = session.execute(CLOSE_SQL, &[(&*id).into()]);
            }
            session.close();
        };
        let _ = std::thread::spawn(end).join();
    }
}

/// Whether the cause is a value in the statement, rather than the database.
pub fn is_value_error(fault: &PostgresError) -> bool {
    let PostgresError::Sql(error) = fault else {
        return false;
    };
    error.code().is_some_and(|code| {
        let class = code.code().get(..2);
        matches!(class, Some("22" | "23" | "54")) && *code != SqlState::UNIQUE_VIOLATION
    })
}
