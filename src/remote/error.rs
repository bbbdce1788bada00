//! Why a remote listener cannot be read.

use crate::delivery::{AttemptError, ErrorKind};
use crate::secret::safe_url::UrlError;
use crate::text::{listed, size};

/// Why text is not the address of a listener.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    #[error(transparent)]
    Url(#[from] UrlError),
    #[error("the address of a remote listener must not contain its token")]
    Token,
    #[error("the address of a remote listener must not have a query")]
    Query,
}

#[derive(Debug, thiserror::Error)]
#[error("{remote}: {kind}")]
pub struct RemoteError {
    /// Its address, without the token.
    pub remote: String,
    pub kind: RemoteErrorKind,
}

/// Texts from the remote are on one line, and without control characters and the token.
#[derive(Debug, thiserror::Error)]
pub enum RemoteErrorKind {
    #[error("{}", .0.message)]
    NoResponse(AttemptError),
    /// The listener responded with status 401.
    #[error("{}", match .has_token {
        true => "the listener does not accept this token",
        false => "the listener requires a token",
    })]
    Unauthorized { has_token: bool },
    /// The listener responded with status 403 and this reason.
    #[error("the listener refuses: {0}")]
    Forbidden(String),
    #[error("no `hookfire listen` responds at this address: {0}")]
    NotHookfire(String),
    #[error("hookfire {} there is too old to transfer captures", .version.as_deref().unwrap_or("of unknown version"))]
    TooOld { version: Option<String> },
    #[error(
        "hookfire {version} there transfers captures in version {} of the API, which this hookfire does not know",
        listed(.offered.iter().map(String::as_str))
    )]
    TooNew {
        version: String,
        offered: Vec<String>,
    },
    #[error("there is no bin `{0}`")]
    NoBin(String),
    #[error("it redirects {}", match .0 {
        Some(to) => format!("to `{to}`"),
        None => "without saying where".to_owned(),
    })]
    Redirect(Option<String>),
    /// Another status, with the reason that the remote gave.
    #[error("{status}{message}")]
    Status {
        code: u16,
        status: String,
        message: String,
    },
    #[error("its response is longer than {}", size(*.0 as u64))]
    TooLong(usize),
    #[error("its response is not as documented: {0}")]
    Invalid(String),
    #[error(
        "its journal was replaced by an older one: it has fewer captures than were read before"
    )]
    OlderJournal,
    #[error("capture #{id} has {}, which is too large to transfer", size(*.body_size))]
    LargeBody { id: i64, body_size: u64 },
}

impl RemoteErrorKind {
    /// Whether the user has stopped the request.
    pub fn is_interrupt(&self) -> bool {
        matches!(self, RemoteErrorKind::NoResponse(error) if error.kind == ErrorKind::Interrupted)
    }

    /// Whether the same request may succeed later: the remote is unreachable, overloaded, or restarting. If it responded
    /// before, another page in its place is that of a proxy.
    pub fn is_temporary(&self, responded_before: bool) -> bool {
        match self {
            RemoteErrorKind::NoResponse(_) => true,
            RemoteErrorKind::Status { code, .. } => *code == 429 || *code >= 500,
            RemoteErrorKind::NotHookfire(_) => responded_before,
            _ => false,
        }
    }
}
