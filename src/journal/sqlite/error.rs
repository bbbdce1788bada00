//! SQLite's errors as [`JournalError`]s.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use rusqlite::ErrorCode;
use rustix::io::Errno;

use crate::journal::JournalError;

/// Whether another connection holds the lock.
pub fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

/// Whether the cause is a value in the statement, rather than the file or the disk.
pub fn is_value_error(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::TooBig | ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch)
    )
}

/// Whether the process, or the system, has as many open files as it may have. SQLite does not report this cause.
fn no_file_can_be_opened() -> bool {
    let opened = File::open("/dev/null").map_err(|e| Errno::from_io_error(&e));
    matches!(opened, Err(Some(Errno::MFILE | Errno::NFILE)))
}

pub fn store_error(path: &Path, timeout: Duration, error: rusqlite::Error) -> JournalError {
    let path = path.to_owned();
    if let rusqlite::Error::StatementChangedRows(_) = error {
        return JournalError::CursorMoved;
    }
    let problem = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            return JournalError::Locked {
                path,
                waited: timeout,
            };
        }
        Some(ErrorCode::NotADatabase) => {
            let reason = "it is not an SQLite database, or it is damaged".to_owned();
            return JournalError::NotAJournal { path, reason };
        }
        Some(ErrorCode::DiskFull) => return JournalError::Full { path },
        Some(ErrorCode::CannotOpen) if no_file_can_be_opened() => {
            return JournalError::TooManyFiles { path };
        }
        Some(ErrorCode::DatabaseCorrupt) => format!("is damaged: {error}"),
        Some(ErrorCode::ReadOnly) => format!("cannot be written: {error}"),
        Some(ErrorCode::CannotOpen) => format!("or a file beside it cannot be opened: {error}"),
        _ => format!("cannot be used: {error}"),
    };
    JournalError::Unusable { path, problem }
}
