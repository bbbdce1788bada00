//! Exit codes, part of the public interface.
//!
//! The long help and the man pages print [`EXIT_CODES`], and a test compares the README with it.

use std::num::NonZeroU8;

/// Result of a run, as scripts see it, from the least to the most severe: a command that continues after a
/// failure ends with the maximum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    #[default]
    Done,
    /// Any error without a code of its own.
    Error,
    /// Invalid command line or input document.
    Usage,
    NotFound,
    /// The response was not a success.
    Refused,
    /// There was a request, but no response.
    Unreachable,
    Journal,
    /// The conditions of `expect` or `listen --exit-after` were not met.
    Unmet,
    /// Exit code of the command that `expect` ran.
    Command(NonZeroU8),
    Interrupted,
}

#[derive(Debug)]
pub struct ExitCode {
    pub code: u8,
    /// Name, also the `kind` of JSON errors.
    pub name: &'static str,
    pub when: &'static str,
}

/// All exit codes, in ascending order.
pub const EXIT_CODES: &[ExitCode] = &[
    ExitCode {
        code: Exit::Done.code(),
        name: "done",
        when: "everything succeeded; also for an empty list, an ignored event, a closed pipe, and Ctrl-C in `listen`, `captured follow` and `retry --watch`",
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
        when: "an ID on the command line does not exist, or is not in the list that the command works on",
    },
    ExitCode {
        code: Exit::Journal.code(),
        name: "journal",
        when: "the journal is locked, damaged, not writable, or written by a newer version of hookfire",
    },
    ExitCode {
        code: Exit::Unmet.code(),
        name: "unmet",
        when: "`expect`: the time ran out, or a request did not match (if its COMMAND fails, the exit code is that of COMMAND); `captured verify`: the signature is not valid; `--for D --exit-after N`: fewer than N requests arrived or, with `captured follow --to`, some are not delivered yet",
    },
    ExitCode {
        code: Exit::Interrupted.code(),
        name: "interrupted",
        when: "Ctrl-C or SIGTERM in any other command; requests in progress are in the failed list",
    },
];

impl Exit {
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_in_order() {
        let codes: Vec<u8> = EXIT_CODES.iter().map(|row| row.code).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 130]);
    }

    #[test]
    fn the_most_severe_exit_wins() {
        assert_eq!(Exit::Refused.max(Exit::Unreachable), Exit::Unreachable);
        assert_eq!(Exit::Unreachable.max(Exit::Refused), Exit::Unreachable);
        assert_eq!(Exit::Done.max(Exit::Error), Exit::Error);
        assert_eq!(Exit::Journal.max(Exit::Unreachable), Exit::Journal);
    }
}
