//! The server's errors as [`JournalError`]s.

use std::error::Error as _;
use std::path::Path;
use std::time::Duration;

use crate::journal::JournalError;

#[derive(Debug)]
pub enum PostgresError {
    Sql(postgres::Error),
    Other(JournalError),
    /// The column with this name contains what this version cannot read.
    Unreadable(String),
}

impl From<postgres::Error> for PostgresError {
    fn from(error: postgres::Error) -> PostgresError {
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

    fn sql(&self) -> Option<&postgres::Error> {
        match self {
            PostgresError::Sql(error) => Some(error),
            PostgresError::Other(_) | PostgresError::Unreadable(_) => None,
        }
    }

    fn has_code(&self, test: impl Fn(&str) -> bool) -> bool {
        let code = self.sql().and_then(postgres::Error::code);
        code.is_some_and(|code| test(code.code()))
    }

    /// Whether the connection cannot be used any more, or was not established.
    pub fn is_lost(&self) -> bool {
        let Some(error) = self.sql() else {
            return false;
        };
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
        // Class 08: connection exceptions. 57P01 to 57P05: the server ends the connection, or does not accept one.
        error.is_closed()
            || has_io_cause()
            || self.has_code(|code| code.starts_with("08") || code.starts_with("57P"))
    }

    /// Whether two transactions would have waited for each other.
    pub fn is_conflict(&self) -> bool {
        self.has_code(|code| code == "40001" || code == "40P01")
    }

    /// Whether a later try may succeed.
    pub fn may_be_repeated(&self) -> bool {
        // 53300: too many connections.
        self.is_lost() || self.is_conflict() || self.has_code(|code| code == "53300")
    }
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
        PostgresError::Sql(error) => error,
    };
    let problem = words(&error);
    let Some(code) = error.code() else {
        return match is_lost {
            true => JournalError::Unreachable { path, problem },
            false => JournalError::Denied { path, problem },
        };
    };
    match code.code() {
        "3F000" | "42P01" => JournalError::NoTables { path },
        "25006" => JournalError::Denied {
            path,
            problem: "it can only be read: the server is a standby, or the database is read-only"
                .to_owned(),
        },
        "53100" => JournalError::Full { path },
        "42501" | "3D000" => JournalError::Denied { path, problem },
        code if code.starts_with("28") => JournalError::Denied { path, problem },
        "53300" | "40001" | "40P01" => JournalError::Locked { path, waited },
        _ if is_lost => JournalError::Unreachable { path, problem },
        _ => JournalError::Unusable {
            path,
            problem: format!("reports an error: {problem}"),
        },
    }
}

/// The server's message, or the messages of all causes. Neither contains a password or a parameter.
fn words(error: &postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        return error.message().to_owned();
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
