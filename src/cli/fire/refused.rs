//! `fire` at a port of this machine where nothing listens: instead of retrying, tells a person at a terminal what to do.

use crate::cli::context::Context;
use crate::cli::report;
use crate::cli::settings::FireSettings;
use crate::delivery::{Delivery, Status};
use crate::secret::safe_url::BaseUrl;

/// Whether a refused connection ends the delivery: the user did not ask for retries, and can start what is missing.
pub fn ends(settings: &FireSettings<'_>) -> bool {
    !settings.sets_retries && settings.target.base.is_loopback()
}

/// Whether a delivery without retries of its own ended because nothing listens.
pub fn ended(delivery: &Delivery) -> bool {
    delivery.status == Status::Failed && delivery.attempt_count == 1
}

/// The reason that no retries follow.
pub fn reason(delivery: &Delivery) -> String {
    let base = &delivery.target.base;
    let (host, port) = (base.host(), base.port().unwrap_or_default());
    format!("nothing listens at {host}:{port}: not retried, kept in the failed list")
}

/// The commands that a user may want to type next, for the hints under the result.
pub fn next_steps(ctx: &Context<'_>, delivery: &Delivery) -> Vec<String> {
    let listener = listener(&delivery.target.base);
    let retry = report::retry_command(ctx, delivery);
    vec![
        format!("`hookfire listen {listener}` captures requests there (in another terminal)"),
        format!("`{retry}` sends it again"),
        format!("`{retry} --retries 5` retries until something listens there, up to five times"),
    ]
}

/// The address and options of a listener that receives requests to this URL.
fn listener(base: &BaseUrl) -> String {
    let port = base.port().unwrap_or_default();
    let host = base.host();
    let mut words = if host.starts_with('[') {
        format!("[::1]:{port}")
    } else if host.starts_with("127.") && host != "127.0.0.1" {
        format!("{host}:{port}")
    } else {
        port.to_string()
    };
    if base.is_https() {
        words += " --tls-cert FILE --tls-key FILE";
    }
    words
}
