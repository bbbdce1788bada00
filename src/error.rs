//! The error of a command: its kind and exit code, a message with causes, and hints that say what to do.
//!
//! The only place that chooses hints for errors of other modules. `output` prints them.

use std::path::Path;

use crate::capture::export::ExportError;
use crate::config::ConfigError;
use crate::delivery::ErrorKind;
use crate::delivery::target::MissingSecret;
use crate::engine::Halted;
use crate::engine::plan::PlanError;
use crate::event::EventError;
use crate::exit::Exit;
use crate::http::{ClientError, tls_hint};
use crate::journal::{JournalError, Location, LocationError};
use crate::output::{ErrorReport, OutputError, Ui};
use crate::portal::{PortalError, PortalErrorKind};
use crate::remote::{AddressError, RemoteError, RemoteErrorKind};
use crate::secret::SecretError;

/// The kind of a failure. It decides the exit code, and JSON errors contain it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Anything without a kind of its own.
    Error,
    Config,
    /// A secret that cannot be resolved.
    Secret,
    /// The command line, or a document given as input.
    Usage,
    /// The response of an endpoint was not a success.
    Refused,
    Unreachable,
    NotFound,
    Journal,
    /// `expect` or `listen --exit-after` did not get the requests they waited for.
    Unmet,
    /// A command that hookfire ran failed or could not be run; [`Failure::exit`] has its exit code.
    Command,
    Interrupted,
    /// The reader of stdout closed it, which is not an error.
    ClosedPipe,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        self.name_and_exit().0
    }

    pub fn exit(self) -> Exit {
        self.name_and_exit().1
    }

    fn name_and_exit(self) -> (&'static str, Exit) {
        match self {
            Kind::Error => ("error", Exit::Error),
            Kind::Config => ("config", Exit::Error),
            Kind::Secret => ("secret", Exit::Error),
            Kind::Usage => ("usage", Exit::Usage),
            Kind::Refused => ("refused", Exit::Refused),
            Kind::Unreachable => ("unreachable", Exit::Unreachable),
            Kind::NotFound => ("not_found", Exit::NotFound),
            Kind::Journal => ("journal", Exit::Journal),
            Kind::Unmet => ("unmet", Exit::Unmet),
            Kind::Command => ("command", Exit::Error),
            Kind::Interrupted => ("interrupted", Exit::Interrupted),
            Kind::ClosedPipe => ("error", Exit::Done),
        }
    }
}

#[derive(Debug)]
pub struct Failure {
    pub kind: Kind,
    /// The message; its sources are the causes.
    pub error: anyhow::Error,
    /// What to do about it, with the command to type in backticks.
    pub hints: Vec<String>,
    /// An exit code other than the kind's: a command for many ends with the most severe one.
    pub exit: Option<Exit>,
}

impl Failure {
    pub fn new(kind: Kind, message: impl Into<String>) -> Failure {
        Failure::from_error(kind, anyhow::Error::msg(message.into()))
    }

    pub fn usage(message: impl Into<String>) -> Failure {
        Failure::new(Kind::Usage, message)
    }

    pub fn from_error(kind: Kind, error: impl Into<anyhow::Error>) -> Failure {
        Failure {
            kind,
            error: error.into(),
            hints: Vec::new(),
            exit: None,
        }
    }

    /// An I/O error of an action such as ``cannot write `report.xml` ``.
    pub fn io(action: impl Into<String>, error: std::io::Error) -> Failure {
        Failure::from(error).context(action.into())
    }

    pub fn no_delivery(id: i64) -> Failure {
        let message = format!("there is no delivery #{id} in the journal");
        Failure::new(Kind::NotFound, message).hint("`hookfire journal list` lists all deliveries")
    }

    pub fn no_capture(id: i64) -> Failure {
        let message = format!("there is no capture #{id} in the journal");
        Failure::new(Kind::NotFound, message).hint("`hookfire captured list` lists all captures")
    }

    pub fn exit(&self) -> Exit {
        self.exit.unwrap_or(self.kind.exit())
    }

    /// The result of a command whose work ended with `exit` and whose output was `written` or not. A closed pipe changes
    /// nothing; any other failure to write is reported, with the more severe of both exit codes.
    pub fn after_output(written: Result<(), Failure>, exit: Exit) -> Result<Exit, Failure> {
        match written {
            Err(failure) if failure.kind != Kind::ClosedPipe => Err(Failure {
                exit: Some(failure.exit().max(exit)),
                ..failure
            }),
            _ => Ok(exit),
        }
    }

    /// Puts a message in front; the message so far becomes the cause.
    #[must_use]
    pub fn context(self, message: String) -> Failure {
        Failure {
            error: self.error.context(message),
            ..self
        }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hints.push(hint.into());
        self
    }

    /// The causes, outermost first, without those that the message before them already contains.
    pub fn causes(&self) -> Vec<String> {
        let mut previous = self.message();
        let mut causes = Vec::new();
        for cause in self.error.chain().skip(1) {
            let cause = without_error_numbers(&cause.to_string());
            if !previous.contains(&cause) {
                previous.clone_from(&cause);
                causes.push(cause);
            }
        }
        causes
    }

    pub fn message(&self) -> String {
        without_error_numbers(&self.error.to_string())
    }

    pub fn message_with_causes(&self) -> String {
        self.lines().join(": ")
    }

    /// The message and its causes, a line each.
    pub fn lines(&self) -> Vec<String> {
        std::iter::once(self.message())
            .chain(self.causes())
            .collect()
    }

    pub fn print(&self, ui: &Ui) {
        ui.failure(&ErrorReport {
            kind: self.kind.as_str(),
            message: &self.message(),
            causes: &self.causes(),
            hints: &self.hints,
        });
    }
}

/// Removes what Rust and the crate `tempfile` add to the description of a system error: its number, and the
/// path of a temporary file.
fn without_error_numbers(text: &str) -> String {
    let mut parts = text.split(" (os error ");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.split_once(')').map_or("", |(_, rest)| rest);
        let rest = match rest.strip_prefix(" at path \"") {
            Some(path) => path.split_once('"').map_or("", |(_, rest)| rest),
            None => rest,
        };
        plain.push_str(rest);
    }
    plain
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

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        Failure::from_error(Kind::Error, error)
    }
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Failure {
        let hint = journal_hint(&error);
        Failure::from_error(Kind::Journal, error).hint(hint)
    }
}

impl From<LocationError> for Failure {
    fn from(error: LocationError) -> Failure {
        let hint = match error {
            LocationError::PasswordOnCommandLine { .. } => {
                "set it in `PGPASSWORD`, in `~/.pgpass`, or as `[journal] password` in the configuration"
            }
            LocationError::Scheme(_) => "name a file with `--journal FILE` or `HOOKFIRE_JOURNAL`",
            _ => "a journal's URL looks like `postgresql://USER@HOST/DATABASE`",
        };
        Failure::from_error(Kind::Usage, error).hint(hint)
    }
}

impl From<Halted> for Failure {
    fn from(halted: Halted) -> Failure {
        let hint = journal_hint(&halted.source);
        let failure = Failure::from_error(Kind::Journal, halted.source);
        let message = match halted.unrecorded.as_slice() {
            [] => return failure.hint(hint),
            [(id, outcome)] => {
                format!("#{id} was sent ({outcome}), but the journal could not record it")
            }
            many => {
                let ids: Vec<String> = many.iter().map(|(id, _)| format!("#{id}")).collect();
                format!(
                    "{} deliveries were sent, but the journal could not record the outcomes: {}",
                    many.len(),
                    ids.join(", ")
                )
            }
        };
        failure.context(message).hint(hint).hint(
            "once the journal works again, `hookfire failed list` shows them as interrupted; the endpoint may have received each of them",
        )
    }
}

fn journal_hint(error: &JournalError) -> &'static str {
    let is_server = |path: &Path| path.to_str().is_some_and(Location::is_url);
    match error {
        JournalError::Locked { path, .. } if is_server(path) => {
            "try again later; `SELECT * FROM pg_stat_activity` on the server shows what is running"
        }
        JournalError::Full { path } if is_server(path) => "free some disk space on the server",
        JournalError::Newer { path, .. } if is_server(path) => "install the newer hookfire",
        JournalError::Unusable { path, .. } if is_server(path) => {
            "the server's log may say more; `hookfire journal check` reads all tables"
        }
        JournalError::Locked { .. } => {
            "try again when the other process has finished, or use another file with `--journal FILE`"
        }
        JournalError::NotAJournal { .. } => {
            "use another file with `--journal FILE`; hookfire creates it if it does not exist"
        }
        JournalError::Newer { .. } => {
            "install the newer hookfire, or use another file with `--journal FILE`"
        }
        JournalError::Io { .. } => "use a file in a writable folder with `--journal FILE`",
        JournalError::Lost { .. } => "`hookfire journal list` shows what is in the file now",
        JournalError::Development { .. } => "hookfire then creates a new journal at this path",
        JournalError::Linked { .. } => {
            "delete the other names of the file; `find DIR -samefile FILE` lists them"
        }
        JournalError::Mounted { .. } => {
            "for a container: `-v DIRECTORY:/data` and `--journal /data/journal.db`"
        }
        JournalError::Full { .. } => {
            "free some disk space, or use a file on another disk with `--journal FILE`"
        }
        JournalError::Unreachable { .. } => {
            "check that the server runs and can be reached from here; `hookfire journal check` tries it"
        }
        JournalError::Unconfirmed { .. } => {
            "`hookfire failed list` shows what was stored; look there before you send it again"
        }
        JournalError::Busy { .. } => {
            "try again later; the server's `max_connections` limits how many clients it accepts"
        }
        JournalError::Denied { .. } => {
            "check the user, the password (`PGPASSWORD`, `~/.pgpass`, or `[journal] password` in the configuration); see hookfire-team(7)"
        }
        JournalError::NoRight { .. } => {
            "a role that may only read can list and show; this command also writes; see hookfire-team(7)"
        }
        JournalError::Untrusted { .. } => {
            "name a file with the certificate of the server's authority with `?sslrootcert=FILE` in the URL, and the host as in the server's certificate; see hookfire-team(7)"
        }
        JournalError::ReadOnly { .. } => "use the URL of the primary server",
        JournalError::NoTables { .. } => {
            "create them with `hookfire journal migrate`, as the owner of the database"
        }
        JournalError::Older { .. } => {
            "upgrade them with `hookfire journal migrate`, as their owner"
        }
        JournalError::CursorMoved => "give each reader a name of its own with `--as NAME`",
        JournalError::Backlog { .. } => {
            "`hookfire journal list --status pending` shows them; see hookfire-forward(7)"
        }
        JournalError::TooManyFiles { .. } => "raise the limit, for example with `ulimit -n 1024`",
        JournalError::Unusable { .. } => {
            "check the free disk space; if the file is damaged, copy it first, then try `sqlite3 FILE .recover`"
        }
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Failure {
        match error {
            PlanError::Secret(error) => error.into(),
            PlanError::Client(error) => error.into(),
            PlanError::NotAUrl(_) => Failure::from_error(Kind::Usage, error)
                .hint("send it elsewhere with `--url URL` or `--endpoint NAME`"),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        let hint = match &error {
            ConfigError::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                "`hookfire config init` writes one with every key explained"
            }
            _ => "hookfire.toml(5) explains every key",
        };
        Failure::from_error(Kind::Config, error).hint(hint)
    }
}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Failure {
        let hint = match &error {
            ExportError::Malformed(id) => {
                format!("`hookfire captured show {id} --raw` writes the bytes as received")
            }
            ExportError::Variable { id, .. } => {
                format!("`hookfire captured show {id} --as curl` has no variables")
            }
        };
        Failure::from_error(Kind::Usage, error).hint(hint)
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
            SecretError::File(path, _) => format!(
                "write it to `{}`, or give it with `{}`",
                path.display(),
                error.flag()
            ),
            SecretError::Untrusted(_) => format!(
                "name it in the endpoint's configuration, or give it with `{}`",
                error.flag()
            ),
            SecretError::NotBase64 => {
                "copy it from the service's settings as a whole, or without `whsec_` to use it as it is"
                    .to_owned()
            }
            _ => format!("give it with `{}`", error.flag()),
        };
        let kind = match &error.source {
            SecretError::NotBase64 | SecretError::NotGiven => Kind::Usage,
            _ => Kind::Secret,
        };
        Failure::from_error(kind, error).hint(hint)
    }
}

impl From<PortalError> for Failure {
    fn from(error: PortalError) -> Failure {
        let kind = match &error.kind {
            PortalErrorKind::NoResponse { error, .. } => match error.kind {
                ErrorKind::Interrupted => Kind::Interrupted,
                _ => Kind::Unreachable,
            },
            _ => Kind::Error,
        };
        let hints = portal_hints(&error.kind);
        let failure = Failure::from_error(kind, error);
        hints
            .iter()
            .fold(failure, |failure, hint| failure.hint(*hint))
    }
}

impl From<AddressError> for Failure {
    fn from(error: AddressError) -> Failure {
        let hint = match &error {
            AddressError::Url(_) | AddressError::Query => REMOTE_ADDRESS_HINT,
            AddressError::Token => {
                "pass the token as `--token @env:VARIABLE` or `--token @file:PATH`, or in `HOOKFIRE_TOKEN`"
            }
        };
        Failure::from_error(Kind::Usage, error).hint(hint)
    }
}

impl From<RemoteError> for Failure {
    fn from(error: RemoteError) -> Failure {
        let kind = match &error.kind {
            RemoteErrorKind::NoResponse(none) => match none.kind {
                ErrorKind::Interrupted => Kind::Interrupted,
                _ => Kind::Unreachable,
            },
            RemoteErrorKind::NoBin(_) => Kind::Usage,
            _ => Kind::Error,
        };
        let hint = remote_hint(&error.kind);
        let failure = Failure::from_error(kind, error);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

const REMOTE_ADDRESS_HINT: &str = "the address of a listener looks like https://hooks.example.com";

fn remote_hint(kind: &RemoteErrorKind) -> Option<String> {
    let hint = match kind {
        RemoteErrorKind::NoResponse(none) => match none.kind {
            ErrorKind::Interrupted => return None,
            ErrorKind::Tls => return tls_hint(&none.message),
            ErrorKind::Timeout => "allow more time with `--timeout 5m`",
            _ => "check the address, and that `hookfire listen --expose` runs there",
        },
        RemoteErrorKind::Unauthorized { has_token: false } => {
            "pass it as `--token @env:VARIABLE`; one of `hookfire listen --read-token` is enough"
        }
        RemoteErrorKind::Unauthorized { has_token: true } => {
            "`hookfire listen` prints another token at each start; one that you choose with `--read-token` stays valid"
        }
        RemoteErrorKind::Forbidden(_) => {
            "a listener on a loopback address accepts other host names only with `--read-token`"
        }
        RemoteErrorKind::TooOld { .. } => "install this version of hookfire there",
        RemoteErrorKind::TooNew { .. } => "install the newer hookfire here",
        RemoteErrorKind::Redirect(_) => {
            "if you trust that address, pass it to `--from`; tokens are never sent to where a listener redirects"
        }
        RemoteErrorKind::NotHookfire(_) => REMOTE_ADDRESS_HINT,
        RemoteErrorKind::LargeBody { .. } => "run the command on the machine of the listener",
        RemoteErrorKind::OlderJournal => {
            "say where to go on, with `--since TIME` or `--from-start`"
        }
        RemoteErrorKind::NoBin(_)
        | RemoteErrorKind::Status { .. }
        | RemoteErrorKind::TooLong(_)
        | RemoteErrorKind::Invalid(_) => return None,
    };
    Some(hint.to_owned())
}

const PORTAL_URL_HINT: &str =
    "the portal's URL must be that of the admin portal, such as https://acme-admin.3scale.net";

fn portal_hints(kind: &PortalErrorKind) -> &'static [&'static str] {
    match kind {
        PortalErrorKind::NoResponse { error, .. } => match error.kind {
            ErrorKind::Interrupted => &[],
            ErrorKind::Timeout => &["allow more time for a long list with `--timeout 5m`"],
            ErrorKind::Tls => {
                &["trust the portal's own certificate with `--cacert FILE` or `portal.cacert`"]
            }
            _ => &[PORTAL_URL_HINT],
        },
        PortalErrorKind::Token { .. } => &[
            "the token may be wrong, expired, read-only or without the scope Account Management API; create one in the portal's account settings",
            "the token's user may be a member without permission for webhooks, or the tenant may be suspended",
            "for a provider key, set `parameter = \"provider_key\"` in `[portal]`",
        ],
        PortalErrorKind::NotFound => &["there is no such API at this address", PORTAL_URL_HINT],
        kind if kind.is_temporary() => &["the portal is overloaded or down: try again later"],
        PortalErrorKind::Html { .. } | PortalErrorKind::Redirect { .. } => &[PORTAL_URL_HINT],
        PortalErrorKind::Status { code: 422, .. } => {
            &["the portal refused a value and changed nothing; its message names the field"]
        }
        PortalErrorKind::Status { .. } => &[],
    }
}
