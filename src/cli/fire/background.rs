//! `fire --background`: what `retry --due` must know to send a delivery later.
//!
//! The later process has only the journal and the configuration. A secret that it could not look up is refused before
//! anything is sent; connection options that it will not know are mentioned.

use crate::cli::args::TRANSPORT_OPTIONS;
use crate::cli::context::Context;
use crate::cli::settings::FireSettings;
use crate::delivery::target::{MissingSecret, RequestPart};
use crate::error::Failure;

/// Refuses a secret whose value is neither stored as a reference nor configured.
pub fn refuse_literal_secrets(settings: &FireSettings<'_>) -> Result<(), Failure> {
    let configured = settings.endpoint.map(|(_, endpoint)| &endpoint.target);
    let not_stored = settings.target.secrets_not_stored(configured);
    let Some(&(part, param)) = not_stored.first() else {
        return match settings.target.signing_secret_not_stored(configured) {
            true => Err(literal_signing_secret()),
            false => Ok(()),
        };
    };
    let missing = MissingSecret::not_stored(part, param);
    let failure = Failure::usage(format!(
        "`--background` cannot send the secret {} again later: a value that is given literally is not kept",
        missing.described()
    ));
    let in_url = part == RequestPart::Query && param.spelling.is_some();
    Err(if in_url && param.name.is_empty() {
        failure.hint("leave it out of the URL, or name a configured endpoint with that URL")
    } else if in_url {
        failure
            .hint(format!(
                "leave it out of the URL and give it as `{}`",
                missing.flag()
            ))
            .hint(format!(
                "if it is not a secret, give it as `--param {}=VALUE`",
                param.name
            ))
    } else {
        failure.hint(format!(
            "give it as `{}` or from a file with `@file:PATH`",
            missing.flag()
        ))
    })
}

fn literal_signing_secret() -> Failure {
    Failure::usage(
        "`--background` cannot sign later attempts: a signing secret that is given literally is not kept",
    )
    .hint("give it as `--signing-secret @env:VARIABLE` or from a file with `@file:PATH`")
}

/// Mentions connection options that `retry --due` will not know.
pub fn hint_at_connection_options(ctx: &Context<'_>) {
    let given: Vec<String> = ctx.flags(&TRANSPORT_OPTIONS).collect();
    if !given.is_empty() {
        ctx.ui.hint(&format!(
            "not kept with a delivery: `{}`; give it to `hookfire retry --due` as well, or configure it with an endpoint",
            given.join("`, `")
        ));
    }
}
