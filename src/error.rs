//! What went wrong, as the user is told: a kind for scripts, words, causes, and the command that mends it.
//!
//! The only place that chooses hints for errors from below. Rendering is `output`'s business.

use crate::config::ConfigError;
use crate::delivery::ErrorKind;
use crate::delivery::target::MissingSecret;
use crate::engine::batch::Halted;
use crate::engine::deliver::DeliverError;
use crate::event::EventError;
use crate::exit::Exit;
use crate::expect::WatchError;
use crate::http::ClientError;
use crate::journal::store::JournalError;
use crate::output::{OutputError, Report, Ui};
use crate::portal::{PortalError, PortalErrorKind};
use crate::secret::SecretError;

/// The kind of a failure, as JSON errors carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Input, output, or anything without a kind of its own.
    Error,
    /// The configuration file.
    Config,
    /// A secret that cannot be had.
    Secret,
    /// The command line or a document given as input.
    Usage,
    /// An endpoint answered, but not with a success.
    Refused,
    /// No answer.
    Unreachable,
    /// An id that does not exist.
    NotFound,
    /// The journal.
    Journal,
    /// What was expected did not come.
    Unmet,
    /// A command that hookfire ran ended badly, or could not be run. [`Failure::exit`] has its code.
    Command,
    /// Ctrl-C.
    Interrupted,
    /// The reader of our output went away, which is no error.
    ClosedPipe,
}

impl Kind {
    /// The word in JSON errors.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Error | Kind::ClosedPipe => "error",
            Kind::Config => "config",
            Kind::Secret => "secret",
            Kind::Usage => "usage",
            Kind::Refused => "refused",
            Kind::Unreachable => "unreachable",
            Kind::NotFound => "not_found",
            Kind::Journal => "journal",
            Kind::Unmet => "unmet",
            Kind::Command => "command",
            Kind::Interrupted => "interrupted",
        }
    }

    /// The exit code that goes with it.
    pub fn exit(self) -> Exit {
        match self {
            Kind::ClosedPipe => Exit::Done,
            Kind::Error | Kind::Config | Kind::Secret | Kind::Command => Exit::Error,
            Kind::Usage => Exit::Usage,
            Kind::Refused => Exit::Refused,
            Kind::Unreachable => Exit::Unreachable,
            Kind::NotFound => Exit::NotFound,
            Kind::Journal => Exit::Journal,
            Kind::Unmet => Exit::Unmet,
            Kind::Interrupted => Exit::Interrupted,
        }
    }
}

/// A failed command.
#[derive(Debug)]
pub struct Failure {
    /// What kind it is.
    pub kind: Kind,
    /// What went wrong; its sources are the causes.
    pub error: anyhow::Error,
    /// What to do about it, each with the command to type in backticks.
    pub hints: Vec<String>,
    /// The exit code, where it is another than the kind's: a bulk ends with the worst of many.
    pub exit: Option<Exit>,
}

impl Failure {
    /// A failure of this kind with a message of its own.
    pub fn new(kind: Kind, message: impl Into<String>) -> Failure {
        Failure {
            kind,
            error: anyhow::Error::msg(message.into()),
            hints: Vec::new(),
            exit: None,
        }
    }

    /// The command line is wrong.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure::new(Kind::Usage, message)
    }

    /// A failure of this kind from an error below.
    pub fn from_error(kind: Kind, error: impl Into<anyhow::Error>) -> Failure {
        Failure {
            kind,
            error: error.into(),
            hints: Vec::new(),
            exit: None,
        }
    }

    /// The exit code of a command that ends with it.
    pub fn exit(&self) -> Exit {
        self.exit.unwrap_or(self.kind.exit())
    }

    /// How a command ends whose deed is done and whose report could not be written: a reader that went away changes
    /// nothing, a full disk is told, and neither hides a worse end.
    ///
    /// # Errors
    /// The failure, with the worse of both codes.
    pub fn after(reported: Result<(), Failure>, exit: Exit) -> Result<Exit, Failure> {
        match reported {
            Err(failure) if failure.kind != Kind::ClosedPipe => Err(Failure {
                exit: Some(failure.exit().worst(exit)),
                ..failure
            }),
            _ => Ok(exit),
        }
    }

    /// The same failure with a sentence about it in front; what it said becomes the cause.
    #[must_use]
    pub fn about(self, context: String) -> Failure {
        Failure {
            error: self.error.context(context),
            ..self
        }
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hints.push(hint.into());
        self
    }

    /// The id does not exist.
    pub fn no_delivery(id: i64) -> Failure {
        Failure::new(
            Kind::NotFound,
            format!("there is no delivery #{id} in the journal"),
        )
        .hint("`hookfire journal list` shows what there is")
    }

    /// The id does not exist.
    pub fn no_capture(id: i64) -> Failure {
        Failure::new(
            Kind::NotFound,
            format!("there is no capture #{id} in the journal"),
        )
        .hint("`hookfire captured list` shows what there is")
    }

    /// The causes, outermost first, less those that the message above them says already.
    pub fn causes(&self) -> Vec<String> {
        let mut said = self.error.to_string();
        let mut causes = Vec::new();
        for cause in self.error.chain().skip(1) {
            let cause = cause.to_string();
            if !said.contains(&cause) {
                said.clone_from(&cause);
                causes.push(cause);
            }
        }
        causes
    }
}

impl Failure {
    /// Tells the user.
    pub fn tell(&self, ui: &Ui) {
        ui.failure(&Report {
            kind: self.kind.as_str(),
            message: &self.error.to_string(),
            causes: &self.causes(),
            hints: &self.hints,
        });
    }
}

impl From<OutputError> for Failure {
    fn from(error: OutputError) -> Failure {
        let kind = if error.is_closed_pipe() {
            Kind::ClosedPipe
        } else {
            Kind::Error
        };
        Failure::from_error(kind, error)
    }
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Failure {
        let hint = way_out(&error);
        Failure::from_error(Kind::Journal, error).hint(hint)
    }
}

impl From<Halted> for Failure {
    fn from(halted: Halted) -> Failure {
        let hint = way_out(&halted.source);
        let failure = Failure::from_error(Kind::Journal, halted.source);
        let words = match halted.unrecorded.as_slice() {
            [] => return failure.hint(hint),
            [(id, came_of_it)] => {
                format!("#{id} was sent ({came_of_it}), but the journal could not record it")
            }
            many => {
                let ids: Vec<String> = many.iter().map(|(id, _)| format!("#{id}")).collect();
                let (number, ids) = (many.len(), ids.join(", "));
                format!(
                    "{number} deliveries were sent, but the journal could not record what came of them: {ids}"
                )
            }
        };
        failure.about(words).hint(hint).hint(
            "`hookfire failed list` shows them as interrupted once the journal can be used again: each may have been received",
        )
    }
}

/// What to do about a journal that cannot be used.
fn way_out(error: &JournalError) -> &'static str {
    match error {
        JournalError::Locked { .. } => {
            "try again when the other process is done, or use another file with `--journal FILE`"
        }
        JournalError::Foreign { .. } => {
            "name another file with `--journal FILE`; hookfire makes it if it does not exist"
        }
        JournalError::Newer { .. } => {
            "install the newer hookfire, or name another file with `--journal FILE`"
        }
        JournalError::Io { .. } => {
            "name a file in a folder that you may write with `--journal FILE`"
        }
        JournalError::Lost { .. } => "`hookfire journal list` shows what is in the file now",
        JournalError::Full { .. } => {
            "make room on the disk, or use a file on another one with `--journal FILE`"
        }
        JournalError::Unusable { .. } => {
            "see that there is room on the disk; copy a damaged file before anything else, `sqlite3 FILE .recover` can save most of it"
        }
    }
}

impl From<DeliverError> for Failure {
    fn from(error: DeliverError) -> Failure {
        match error {
            DeliverError::NotSent(source) => source.into(),
            DeliverError::NotRecorded { id, .. } | DeliverError::Stuck { id, .. } => {
                Failure::from_error(Kind::Journal, error).hint(format!(
                    "`hookfire failed show {id}` shows it as interrupted once the journal can be used again"
                ))
            }
            DeliverError::TakenOver(id) => Failure::from_error(Kind::Error, error)
                .hint(format!("`hookfire journal show {id}` shows what came of it")),
        }
    }
}

impl From<WatchError> for Failure {
    fn from(error: WatchError) -> Failure {
        match error {
            WatchError::Store(source) => source.into(),
            WatchError::Command(_) => Failure::from_error(Kind::Error, error),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        let failure = Failure::from_error(Kind::Config, error);
        failure
            .hint("`hookfire config path` names the file; `hookfire config init` writes one with every key explained")
    }
}

impl From<EventError> for Failure {
    fn from(error: EventError) -> Failure {
        Failure::from_error(Kind::Usage, error)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Failure {
        Failure::from_error(Kind::Usage, error)
    }
}

impl From<MissingSecret> for Failure {
    fn from(error: MissingSecret) -> Failure {
        let hint = match &error.source {
            SecretError::Env(name) => format!(
                "set the variable `{name}`, or give the secret with `{}`",
                error.flag()
            ),
            SecretError::File(path, _) | SecretError::Content(path, _) => {
                format!(
                    "put it into `{}`, readable by you, or give it with `{}`",
                    path.display(),
                    error.flag()
                )
            }
            _ => format!("give it with `{}`", error.flag()),
        };
        Failure::from_error(Kind::Secret, error).hint(hint)
    }
}

impl From<PortalError> for Failure {
    fn from(error: PortalError) -> Failure {
        let address = "see that the portal's URL is the admin portal's, such as https://acme-admin.3scale.net";
        let (kind, hints) = match &error.kind {
            PortalErrorKind::NoResponse { error, .. } if error.kind == ErrorKind::Interrupted => {
                (Kind::Interrupted, vec![])
            }
            PortalErrorKind::NoResponse { error, .. } if error.kind == ErrorKind::Timeout => (
                Kind::Unreachable,
                vec!["wait longer with `--timeout 5m`: a long list takes its time"],
            ),
            PortalErrorKind::NoResponse { error, .. } if error.kind == ErrorKind::Tls => (
                Kind::Unreachable,
                vec!["trust the portal's own certificate with `--cacert FILE` or `portal.cacert`"],
            ),
            PortalErrorKind::NoResponse { .. } => (Kind::Unreachable, vec![address]),
            PortalErrorKind::Token { .. } => (
                Kind::Error,
                vec![
                    "make one for the Account Management API, with read and write access, in the portal's account settings",
                    "an older tenant takes a provider key: set `parameter = \"provider_key\"` in `[portal]`",
                ],
            ),
            PortalErrorKind::NotFound => (
                Kind::Error,
                vec!["there is no such API at this address", address],
            ),
            kind if kind.is_temporary() => (
                Kind::Error,
                vec!["the portal is overloaded or down: try again later"],
            ),
            PortalErrorKind::Html { .. } | PortalErrorKind::Redirect { .. } => {
                (Kind::Error, vec![address])
            }
            PortalErrorKind::Status { code: 422, .. } => (
                Kind::Error,
                vec![
                    "the portal refuses a value: its message names the field; nothing was changed there",
                ],
            ),
            PortalErrorKind::Status { .. } => (Kind::Error, vec![]),
        };
        hints
            .into_iter()
            .fold(Failure::from_error(kind, error), Failure::hint)
    }
}
