//! Why a request to the portal failed.

use crate::delivery::AttemptError;

#[derive(Debug, thiserror::Error)]
#[error("{request}: {kind}")]
pub struct PortalError {
    /// Method and URL, without the token.
    pub request: String,
    pub kind: PortalErrorKind,
}

/// `status` is code and reason phrase; `message` is the portal's own, masked, and begins with `: ` unless it is empty.
#[derive(Debug, thiserror::Error)]
pub enum PortalErrorKind {
    #[error("{}{}", .error.message, if *.maybe_received { " (the change may have been made)" } else { "" })]
    NoResponse {
        error: AttemptError,
        /// Whether the portal may have made the change although it did not respond; always false for reading.
        maybe_received: bool,
    },
    /// 401 or 403.
    #[error("{status}: the portal refuses the token{message}")]
    Token { status: String, message: String },
    #[error("404 Not Found")]
    NotFound,
    #[error("{status}, and a page for a browser instead of data")]
    Html { code: u16, status: String },
    #[error("{status}: the portal redirects {}", redirect_target(.to.as_deref()))]
    Redirect {
        status: String,
        /// The header `Location` with its secrets masked.
        to: Option<String>,
    },
    #[error("{status}{message}")]
    Status {
        code: u16,
        status: String,
        message: String,
    },
}

impl PortalErrorKind {
    /// Whether the portal does not know the path, or not in this format.
    pub fn is_missing(&self) -> bool {
        match self {
            PortalErrorKind::NotFound => true,
            PortalErrorKind::Html { code, .. } | PortalErrorKind::Status { code, .. } => {
                matches!(code, 404 | 406)
            }
            _ => false,
        }
    }

    /// Whether the portal is overloaded or down: a later request may succeed.
    pub fn is_temporary(&self) -> bool {
        matches!(
            self,
            PortalErrorKind::Html { code, .. } | PortalErrorKind::Status { code, .. }
                if *code == 429 || *code >= 500
        )
    }
}

fn redirect_target(to: Option<&str>) -> String {
    match to {
        Some(to) => format!("to `{to}`"),
        None => "without saying where".to_owned(),
    }
}
