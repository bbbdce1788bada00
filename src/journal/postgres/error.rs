//! The server's errors as [`JournalError`]s.

use std::error::Error;
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::http::tls_error;
use crate::journal::JournalError;
use crate::time::compact;

#[derive(Debug)]
pub enum PostgresError {
    Sql(tokio_postgres::Error),
    /// The server cannot be reached.
    Connect(io::Error),
    /// The server has been silent for this long during a statement.
    Silent(Duration),
    Other(JournalError),
    /// The column with this name contains what this version cannot read.
    Unreadable(String),
}

impl From<tokio_postgres::Error> for PostgresError {
    fn from(error: tokio_postgres::Error) -> PostgresError {
        PostgresError::Sql(error)
    }
}

impl From<JournalError> for PostgresError {
    fn from(error: JournalError) -> PostgresError {
        PostgresError::Other(error)
    }
}

impl PostgresError {
    /// A row that must exist is missing.
    pub fn internal(path: &Path) -> PostgresError {
        PostgresError::Other(JournalError::Unusable {
            path: path.to_owned(),
            problem: "did not return what was asked for".to_owned(),
        })
    }

    /// A column contains what this version cannot read.
    pub fn unreadable(column: &str) -> PostgresError {
        PostgresError::Unreadable(column.to_owned())
    }

    fn sql(&self) -> Option<&tokio_postgres::Error> {
        match self {
            PostgresError::Sql(error) => Some(error),
            _ => None,
        }
    }

    fn has_code(&self, test: impl Fn(&str) -> bool) -> bool {
        let code = self.sql().and_then(tokio_postgres::Error::code);
        code.is_some_and(|code| test(code.code()))
    }

    /// Whether the connection cannot be used any more, or was not established.
    pub fn is_lost(&self) -> bool {
        let error = match self {
            PostgresError::Connect(_) | PostgresError::Silent(_) => return true,
            PostgresError::Sql(error) => error,
            PostgresError::Other(_) | PostgresError::Unreadable(_) => return false,
        };
        if tls_problem(error).is_some() {
            return false;
        }
        let has_io_cause = || {
            let mut cause = error.source();
            while let Some(error) = cause {
                if error.is::<std::io::Error>() {
                    return true;
                }
                cause = error.source();
            }
            false
        };
        // Class 08: connection exceptions. 57P01 to 57P05: the server ends the connection, or does not accept one. 25P03:
        // this client was silent in a transaction for too long.
        error.is_closed()
            || has_io_cause()
            || self.has_code(|code| {
                code == "25P03" || code.starts_with("08") || code.starts_with("57P")
            })
    }

    /// Whether two transactions would have waited for each other.
    pub fn is_conflict(&self) -> bool {
        self.has_code(|code| code == "40001" || code == "40P01")
    }

    /// Whether the server does not accept a connection at the moment, although it responds.
    pub fn is_refused_for_now(&self) -> bool {
        // Too many connections; the server is starting.
        self.has_code(|code| code == "53300" || code == "57P03")
    }

    /// Whether a later try may succeed.
    pub fn may_be_repeated(&self) -> bool {
        self.is_lost()
            || self.is_conflict()
            || self.has_code(|code| is_timeout(code) || is_busy(code))
    }
}

/// The role's limit for a lock or for a statement has passed.
fn is_timeout(code: &str) -> bool {
    code == "55P03" || code == "57014"
}

/// The server lacks connections or memory. A full disk, 53100, takes longer.
fn is_busy(code: &str) -> bool {
    code.starts_with("53") && code != "53100"
}

/// `waited` is how long the statement was repeated.
pub fn journal_error(path: &Path, waited: Duration, fault: PostgresError) -> JournalError {
    let (is_lost, path) = (fault.is_lost(), path.to_owned());
    let error = match fault {
        PostgresError::Other(error) => return error,
        PostgresError::Unreadable(column) => {
            let problem = format!("is damaged: its column `{column}` cannot be read");
            return JournalError::Unusable { path, problem };
        }
        PostgresError::Connect(error) => {
            let problem = match error.kind() {
                io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
                io::ErrorKind::TimedOut => "no connection in time".to_owned(),
                _ => error.to_string(),
            };
            return JournalError::Unreachable { path, problem };
        }
        PostgresError::Silent(limit) => {
            let problem = format!("the server has not responded for {}", compact(limit));
            return JournalError::Unreachable { path, problem };
        }
        PostgresError::Sql(error) => error,
    };
    if let Some(problem) = tls_problem(&error) {
        return JournalError::Untrusted { path, problem };
    }
    let problem = words(&error);
    let Some(code) = error.code() else {
        return match is_lost {
            true => JournalError::Unreachable { path, problem },
            false => JournalError::Denied { path, problem },
        };
    };
    match code.code() {
        "3F000" | "42P01" => JournalError::NoTables { path },
        "25006" => JournalError::ReadOnly { path },
        "53100" => JournalError::Full { path },
        "42501" => JournalError::NoRight { path, problem },
        "3D000" => JournalError::Denied { path, problem },
        code if code.starts_with("28") => JournalError::Denied { path, problem },
        "40001" | "40P01" => JournalError::Locked { path, waited },
        code if is_timeout(code) => JournalError::Locked { path, waited },
        code if is_busy(code) => JournalError::Busy { path, problem },
        _ if is_lost => JournalError::Unreachable { path, problem },
        code => JournalError::Unusable {
            path,
            problem: format!("reports an error: {problem} (SQLSTATE {code})"),
        },
    }
}

/// Why there is no TLS connection.
fn tls_problem(error: &tokio_postgres::Error) -> Option<String> {
    const NO_TLS: &str = "server does not support TLS";
    let is_without_tls = || {
        error
            .source()
            .is_some_and(|cause| cause.to_string() == NO_TLS)
    };
    tls_error(error).or_else(|| is_without_tls().then(|| format!("the {NO_TLS}")))
}

/// The server's message, or the messages of all causes. Neither contains a password or a parameter.
fn words(error: &tokio_postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        return error.message().to_owned();
    }
    let is_without_password = |cause: &dyn Error| cause.to_string() == "password missing";
    if error.source().is_some_and(is_without_password) {
        return "the server requires a password, and none is given".to_owned();
    }
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !words.contains(&text) {
            words = format!("{words}: {text}");
        }
        cause = error.source();
    }
    words
}
