//! Why the journal cannot be used.

use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process held the lock for longer than the timeout.
    #[error("the journal `{path}` is locked: another process has held it for {}", crate::time::compact(*waited))]
    Locked { path: PathBuf, waited: Duration },
    #[error("`{path}` is not a hookfire journal: {reason}")]
    NotAJournal { path: PathBuf, reason: String },
    #[error(
        "the journal `{path}` was written by a newer hookfire (its schema version is {found}; this hookfire supports up \
         to {known})"
    )]
    Newer {
        path: PathBuf,
        found: i64,
        known: i64,
    },
    /// A file or directory cannot be opened or created; `doing` is a verb.
    #[error("cannot {doing} `{path}`: {source}")]
    Io {
        doing: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    /// The files at this path are not the ones that were opened; `what` says why.
    #[error("the journal `{path}` changed while it was in use: {what}")]
    Lost { path: PathBuf, what: String },
    /// `move_command` moves the journal's files away.
    #[error(
        "the journal `{path}` was written by a development build of hookfire and cannot be read; move it aside: {move_command}"
    )]
    Development { path: PathBuf, move_command: String },
    /// SQLite would use a separate write-ahead log for each name of the file.
    #[error("the journal `{path}` has {links} hard links; a journal must have one name")]
    Linked { path: PathBuf, links: u64 },
    /// SQLite would put the write-ahead log beside the mount point, where users of the original do not read it.
    #[error(
        "the journal `{path}` is mounted as a single file, without its write-ahead log; mount its directory instead"
    )]
    Mounted { path: PathBuf },
    #[error("the journal `{path}` cannot be written: the disk is full")]
    Full { path: PathBuf },
    #[error("the journal `{path}` cannot be opened: too many open files")]
    TooManyFiles { path: PathBuf },
    /// A database server does not respond, or ended the connection.
    #[error("the journal `{path}` cannot be reached: {problem}")]
    Unreachable { path: PathBuf, problem: String },
    /// As [`JournalError::Unreachable`], while it committed: the changes may have been stored.
    #[error(
        "the journal `{path}` cannot be reached: {problem}; what it was storing may have been stored"
    )]
    Unconfirmed { path: PathBuf, problem: String },
    /// A database server has too many connections, or lacks memory.
    #[error("the journal `{path}` cannot be used at the moment: {problem}")]
    Busy { path: PathBuf, problem: String },
    /// A database server does not accept this user.
    #[error("the journal `{path}` cannot be used: {problem}")]
    Denied { path: PathBuf, problem: String },
    /// A database server does not let this user do what a command needs.
    #[error("the user of the journal `{path}` lacks a right: {problem}")]
    NoRight { path: PathBuf, problem: String },
    /// There is no TLS connection to a database server, or its certificate is not valid.
    #[error("the journal `{path}` cannot be used: {problem}")]
    Untrusted { path: PathBuf, problem: String },
    #[error(
        "the journal `{path}` can only be read: its server is a standby, or the database is read-only"
    )]
    ReadOnly { path: PathBuf },
    #[error("the journal `{path}` has no tables of hookfire yet")]
    NoTables { path: PathBuf },
    #[error(
        "the tables of the journal `{path}` were created by an older hookfire (their version is {found}; this hookfire \
         needs {known})"
    )]
    Older {
        path: PathBuf,
        found: i64,
        known: i64,
    },
    /// Another process has moved a cursor since it was read.
    #[error("another process reads under the same name")]
    CursorMoved,
    #[error("{max} deliveries that forward captures wait already (`--max-pending`)")]
    Backlog { max: usize },
    /// Any other problem; `problem` completes the sentence that begins with the path.
    #[error("the journal `{path}` {problem}")]
    Unusable { path: PathBuf, problem: String },
}

impl JournalError {
    /// Whether a later try may succeed: a lock is released, disk space becomes free, a server is back.
    pub fn is_temporary(&self) -> bool {
        matches!(
            self,
            JournalError::Locked { .. }
                | JournalError::Full { .. }
                | JournalError::Unreachable { .. }
                | JournalError::Unconfirmed { .. }
                | JournalError::Busy { .. }
        )
    }
}
