//! The exit codes: what a script may rely on after each run.
//!
//! [`EXIT_CODES`] is the only table of them. The long help, the man page and a test over the README all read it; nothing
//! here knows why a run ended, only what that end is called.

/// How a run ended. The discriminant is the process's exit code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All that was asked happened.
    #[default]
    Done = 0,
    /// Anything that has no code of its own.
    Error = 1,
    /// The command line, or a document given as input, is wrong.
    Usage = 2,
    /// An endpoint answered, but not with a success.
    Refused = 3,
    /// No answer came.
    Unreachable = 4,
    /// An id that the user named does not exist.
    NotFound = 5,
    /// The journal cannot be used.
    Journal = 6,
    /// Stopped by Ctrl-C or SIGTERM.
    Interrupted = 130,
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
        code: Exit::Done as u8,
        name: "done",
        when: "all that was asked happened; also an empty list, a closed pipe",
    },
    ExitCode {
        code: Exit::Error as u8,
        name: "error",
        when: "anything not below (I/O, broken configuration file, a secret that cannot be found); `captured diff`: the bodies differ",
    },
    ExitCode {
        code: Exit::Usage as u8,
        name: "usage",
        when: "the command line: unknown flag, unreadable time, bad XML given as input, missing scope for a bulk command",
    },
    ExitCode {
        code: Exit::Refused as u8,
        name: "refused",
        when: "an endpoint answered, but not with a success, after all attempts",
    },
    ExitCode {
        code: Exit::Unreachable as u8,
        name: "unreachable",
        when: "no answer: DNS, connect, TLS, timeout, reset",
    },
    ExitCode { code: Exit::NotFound as u8, name: "not found", when: "an id that the user named does not exist" },
    ExitCode {
        code: Exit::Journal as u8,
        name: "journal",
        when: "the journal is locked beyond the timeout, corrupt, not writable, or written by a newer hookfire",
    },
    ExitCode {
        code: Exit::Interrupted as u8,
        name: "interrupted",
        when: "Ctrl-C; what was in flight is in the failed list",
    },
];

impl Exit {
    /// The process's exit code.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The worse of two ends, for a command that goes on after a failure: 130, 6, 4, 3, 5, 2, 1, 0.
    #[must_use]
    pub fn worst(self, other: Exit) -> Exit {
        if other.severity() > self.severity() { other } else { self }
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
            Exit::Interrupted => 7,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_names_each_code_once() {
        let codes: Vec<u8> = EXIT_CODES.iter().map(|row| row.code).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 130]);
    }

    #[test]
    fn the_worst_of_a_bulk_wins_whatever_the_order() {
        assert_eq!(Exit::Refused.worst(Exit::Unreachable), Exit::Unreachable);
        assert_eq!(Exit::Unreachable.worst(Exit::Refused), Exit::Unreachable);
        assert_eq!(Exit::Done.worst(Exit::Error), Exit::Error);
        assert_eq!(Exit::Journal.worst(Exit::Unreachable), Exit::Journal);
    }
}
