//! SQLite's errors in the journal's words.

use std::path::Path;
use std::time::Duration;

use rusqlite::ErrorCode;

use crate::journal::store::JournalError;

/// Whether another connection's lock is the reason.
pub fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

/// Whether a row is the reason, and not the file or the disk: the next one may be taken.
pub fn is_of_the_row(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::TooBig | ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch)
    )
}

/// The error as users read it, with the file it is about.
pub fn store_error(path: &Path, timeout: Duration, error: rusqlite::Error) -> JournalError {
    let path = path.to_owned();
    if is_busy(&error) {
        return JournalError::Locked {
            path,
            waited: timeout,
        };
    }
    let problem = match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => {
            return JournalError::Foreign {
                path,
                reason: "it is some other kind of file, or damaged".to_owned(),
            };
        }
        Some(ErrorCode::DatabaseCorrupt) => format!("is damaged: {error}"),
        Some(ErrorCode::ReadOnly) => format!("cannot be written: {error}"),
        Some(ErrorCode::DiskFull) => return JournalError::Full { path },
        Some(ErrorCode::CannotOpen) => format!("or a file beside it cannot be opened: {error}"),
        _ => format!("cannot be used: {error}"),
    };
    JournalError::Unusable { path, problem }
}
