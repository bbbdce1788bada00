//! The exit codes: what a script may rely on after each run.
//!
//! [`EXIT_CODES`] is the only table of them. The long help, the man page and a test over the README all read it; nothing
//! here knows why a run ended, only what that end is called.

use std::num::NonZeroU8;

/// How a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exit {
    /// All that was asked happened.
    #[default]
    Done,
    /// Anything that has no code of its own.
    Error,
    /// The command line, or a document given as input, is wrong.
    Usage,
    /// An endpoint answered, but not with a success.
    Refused,
    /// No answer came.
    Unreachable,
    /// An id that the user named does not exist.
    NotFound,
    /// The journal cannot be used.
    Journal,
    /// What was expected did not come.
    Unmet,
    /// Stopped by Ctrl-C or SIGTERM.
    Interrupted,
    /// The code with which a command that hookfire ran has ended.
    Command(NonZeroU8),
}

/// One row of the published table.
#[derive(Debug)]
pub struct ExitCode {
    /// The code itself.
    pub code: u8,
    /// The one-word name, as in JSON errors.
    pub name: &'static str,
    /// When a run ends so.
    pub when: &'static str,
}

/// The published table, in order of code.
pub const EXIT_CODES: &[ExitCode] = &[
    ExitCode {
        code: Exit::Done.code(),
        name: "done",
        when: "everything succeeded; also for an empty list, an ignored event, a closed pipe",
    },
    ExitCode {
        code: Exit::Error.code(),
        name: "error",
        when: "any other error: I/O, configuration, an unresolved secret; `captured diff`: the bodies differ",
    },
    ExitCode {
        code: Exit::Usage.code(),
        name: "usage",
        when: "invalid command line or input: unknown option, unreadable time, malformed XML, a bulk command without a selection",
    },
    ExitCode {
        code: Exit::Refused.code(),
        name: "refused",
        when: "the endpoint responded, but not with a success status, after all attempts",
    },
    ExitCode {
        code: Exit::Unreachable.code(),
        name: "unreachable",
        when: "no response: DNS, connection, TLS, timeout, reset",
    },
    ExitCode {
        code: Exit::NotFound.code(),
        name: "not found",
        when: "an ID on the command line does not exist",
    },
    ExitCode {
        code: Exit::Journal.code(),
        name: "journal",
        when: "the journal is locked, damaged, not writable, or written by a newer version of hookfire",
    },
    ExitCode {
        code: Exit::Unmet.code(),
        name: "unmet",
        when: "`expect`: the time ran out, or a request did not match; `listen --for D --exit-after N`: fewer than N requests",
    },
    ExitCode {
        code: Exit::Interrupted.code(),
        name: "interrupted",
        when: "Ctrl-C or SIGTERM; requests in progress are in the failed list",
    },
];

impl Exit {
    /// The process's exit code.
    pub const fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Error => 1,
            Exit::Usage => 2,
            Exit::Refused => 3,
            Exit::Unreachable => 4,
            Exit::NotFound => 5,
            Exit::Journal => 6,
            Exit::Unmet => 7,
            Exit::Interrupted => 130,
            Exit::Command(code) => code.get(),
        }
    }

    /// The worse of two ends, for a command that goes on after a failure: 130, 6, 4, 3, 5, 2, 1, 0. The end of a command
    /// that hookfire ran, and what was expected of it, come before all but Ctrl-C.
    #[must_use]
    pub fn worst(self, other: Exit) -> Exit {
        if other.severity() > self.severity() {
            other
        } else {
            self
        }
    }

    fn severity(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Error => 1,
            Exit::Usage => 2,
            Exit::NotFound => 3,
            Exit::Refused => 4,
            Exit::Unreachable => 5,
            Exit::Journal => 6,
            Exit::Unmet => 7,
            Exit::Command(_) => 8,
            Exit::Interrupted => 9,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_names_each_code_once() {
        let codes: Vec<u8> = EXIT_CODES.iter().map(|row| row.code).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 130]);
    }

    #[test]
    fn the_worst_of_a_bulk_wins_whatever_the_order() {
        assert_eq!(Exit::Refused.worst(Exit::Unreachable), Exit::Unreachable);
        assert_eq!(Exit::Unreachable.worst(Exit::Refused), Exit::Unreachable);
        assert_eq!(Exit::Done.worst(Exit::Error), Exit::Error);
        assert_eq!(Exit::Journal.worst(Exit::Unreachable), Exit::Journal);
    }
}
