//! The journal in a PostgreSQL database, which many hosts share.
//!
//! `connect` opens connections, whose bytes `stream` moves; `connection` runs transactions, `session` statements; `values`
//! has their parameters, `schema` the tables. `commit` applies a group of writes with the statements of `attempts` and
//! `new_captures`. `deliveries`, `captures` and `schedule` implement the traits of these names; `rows` reads rows.
//! `transfer` copies rows to a file, `copy` rows of a file to the server.
//!
//! The server's clock decides leases and due times.

mod attempts;
mod captures;
mod commit;
mod connect;
mod connection;
mod copy;
mod deliveries;
mod error;
mod new_captures;
mod rows;
mod runs;
mod schedule;
mod schema;
mod session;
mod stream;
#[cfg(test)]
mod tests;
mod transfer;
mod values;

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use uuid::Uuid;

use self::connection::{Connection, TimeSource};
use self::error::PostgresError;
use self::new_captures::CaptureState;

use super::location::{Location, Server};
use crate::delivery::Status;
use crate::journal::rows::{FromValue, Row as _};
use crate::journal::sqlite::SqliteJournal;
use crate::journal::values::BoundSql;
use crate::journal::{
    CaptureRules, Copied, Health, Host, Journal, JournalError, Migrated, Schedule as _,
    ServerHealth, Write, WriteResult, stored,
};
use crate::time::UnixMs;

/// How long to wait for a server that cannot be reached.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long a captured request waits before the listener responds with 503.
const CAPTURE_TIMEOUT: Duration = Duration::from_secs(2);

/// How many rows one transaction of a bulk change changes.
const SLICE: usize = 500;

pub struct PostgresJournal {
    connection: Connection,
    location: Location,
    owner: String,
    label: String,
    captures: RefCell<CaptureState>,
    /// The id and the results of a commit that may have taken effect although its connection was lost.
    unconfirmed: RefCell<Option<(Uuid, Vec<WriteResult>)>>,
}

impl PostgresJournal {
    pub fn open(server: &Server, host: Box<dyn Host>) -> Result<PostgresJournal, JournalError> {
        PostgresJournal::open_with(server, host, TimeSource::Server)
    }

    /// As [`PostgresJournal::open`]; the host's clock decides leases and due times.
    #[cfg(test)]
    pub fn open_with_host_time(
        server: &Server,
        host: Box<dyn Host>,
    ) -> Result<PostgresJournal, JournalError> {
        PostgresJournal::open_with(server, host, TimeSource::Host)
    }

    fn open_with(
        server: &Server,
        host: Box<dyn Host>,
        time_source: TimeSource,
    ) -> Result<PostgresJournal, JournalError> {
        let (owner, label) = (host.current(), host.label());
        let connection = Connection::open(server, host, TIMEOUT, time_source)?;
        Ok(PostgresJournal {
            connection,
            location: Location::Server(Box::new(server.clone())),
            owner,
            label,
            captures: RefCell::default(),
            unconfirmed: RefCell::default(),
        })
    }

    /// The rows of a statement.
    fn all<T>(
        &self,
        statement: &BoundSql<'_>,
        read: impl Fn(&tokio_postgres::Row) -> Result<T, PostgresError>,
    ) -> Result<Vec<T>, JournalError> {
        self.connection
            .read(|session| session.select(statement)?.iter().map(&read).collect())
    }

    /// The first row of a statement.
    fn first<T>(
        &self,
        statement: &BoundSql<'_>,
        read: impl Fn(&tokio_postgres::Row) -> Result<T, PostgresError>,
    ) -> Result<Option<T>, JournalError> {
        Ok(self.all(statement, read)?.into_iter().next())
    }

    /// The first column of the only row of a statement.
    fn value<T: for<'r> FromValue<'r>>(&self, statement: &BoundSql<'_>) -> Result<T, JournalError> {
        let value = self.first(statement, |row| row.read(0))?;
        value.ok_or_else(|| {
            self.connection
                .error(PostgresError::internal(self.connection.shown()))
        })
    }

    /// A transaction of one statement. Returns whether it changed a row.
    fn changes(&self, statement: &BoundSql<'_>) -> Result<bool, JournalError> {
        self.connection
            .write(|session| Ok(session.run(statement)? > 0))
    }
}

/// Adds the rows of a file to a database.
pub fn copy(file: &Path, server: &Server) -> Result<Copied, JournalError> {
    let host = || Box::new(super::host::ThisHost);
    let file = SqliteJournal::open(file, host())?;
    file.interrupt_abandoned()?;
    let in_progress = file.count_in_progress()?;
    if in_progress > 0 {
        return Err(JournalError::Unusable {
            path: file.path().to_owned(),
            problem: "is in use: a process is sending some of its deliveries".to_owned(),
        });
    }
    PostgresJournal::open(server, host())?.copy_from(&file)
}

/// Creates or upgrades the tables.
pub fn migrate(server: &Server, host: Box<dyn Host>) -> Result<Migrated, JournalError> {
    let connection = Connection::open_any(server, host, TIMEOUT);
    let from = connection.read(|session| schema::migrate(session, connection.shown()))?;
    Ok(Migrated {
        from,
        to: schema::VERSION,
    })
}

impl Journal for PostgresJournal {
    fn commit_as(&self, id: Uuid, writes: &[Write]) -> Result<Vec<WriteResult>, JournalError> {
        self.commit_group(id, writes)
    }

    fn now(&self) -> UnixMs {
        self.connection.now()
    }

    fn tune_for_groups(&mut self) -> Result<(), JournalError> {
        Ok(())
    }

    fn tune_for_captures(&mut self, rules: CaptureRules) -> Result<(), JournalError> {
        self.captures.get_mut().rules = rules;
        self.connection.timeout.set(CAPTURE_TIMEOUT);
        Ok(())
    }

    fn location(&self) -> &Location {
        &self.location
    }

    fn path(&self) -> &Path {
        self.location.shown()
    }

    /// Whoever may write to the database is trusted as much as the owner of a file.
    fn foreign_owner(&self) -> Option<u32> {
        None
    }

    fn clock_ahead_ms(&self) -> Option<i64> {
        Some(self.connection.clock_ahead_ms())
    }

    fn change_counters(&self) -> Result<(i64, i64), JournalError> {
        let changes = self.value(&BoundSql::new(schema::CHANGES_SQL))?;
        Ok((changes, self.connection.commits()))
    }

    /// The server reclaims space by itself.
    fn reclaim_slice(&self) -> bool {
        false
    }

    fn check(&self) -> Result<Health, JournalError> {
        let sql = "SELECT status, count(*) FROM hookfire.deliveries GROUP BY status";
        let by_status = self.all(&BoundSql::new(sql), |row| Ok((row.read(0)?, row.read(1)?)))?;
        let by_status: HashMap<String, usize> = by_status.into_iter().collect();
        let number = |status: Status| by_status.get(status.as_str()).copied().unwrap_or(0);
        let counts = Status::ALL.into_iter();
        let counts = counts.map(|status| (status, number(status))).collect();
        let count = |rows: &str| {
            self.value(&BoundSql::new(&format!(
                "SELECT count(*) FROM hookfire.{rows}"
            )))
        };
        let lost = count(
            "deliveries WHERE capture_id IS NOT NULL AND status <> 'delivered'
                 AND NOT EXISTS (SELECT * FROM hookfire.captures c WHERE c.id = capture_id)",
        )?;
        let mut problems: Vec<String> = stored::lost_captures_problem(lost).into_iter().collect();
        let orphans = count(
            "attempts a
             WHERE NOT EXISTS (SELECT 1 FROM hookfire.deliveries d WHERE d.id = a.delivery_id)",
        )?;
        if orphans > 0 {
            problems.push(format!(
                "{orphans} attempts refer to deliveries that do not exist"
            ));
        }
        let version = BoundSql::new("SELECT current_setting('server_version')");
        Ok(Health {
            counts,
            attempts: count("attempts")?,
            captures: count("captures")?,
            problems,
            server: Some(ServerHealth {
                version: self.value(&version)?,
                tables: schema::VERSION,
                clock_ahead_ms: self.connection.clock_ahead_ms(),
            }),
        })
    }

    fn export(&mut self, path: &Path, interrupted: Arc<AtomicBool>) -> Result<(), JournalError> {
        self.export_to(path, interrupted)
    }
}
