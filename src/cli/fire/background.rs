//! `fire --background`: what the journal must know before a delivery can be left to the schedule.
//!
//! Whoever makes the next attempt has only the journal and the configuration to go by. What that process could not know is
//! refused before anything is sent (a secret), or told (how to connect).

use crate::cli::context::Context;
use crate::cli::settings::FireSettings;
use crate::config::Endpoint;
use crate::delivery::target::{MissingSecret, Param, Part, Value};
use crate::error::Failure;

/// Options about the connection that are no part of a delivery.
const CONNECTION: [&str; 7] = [
    "timeout",
    "connect_timeout",
    "cacert",
    "cert",
    "key",
    "insecure",
    "proxy",
];

/// Refuses a secret whose value nobody could look up later.
///
/// # Errors
/// That secret, by name, and how to give it.
pub fn refuse_literal_secrets(settings: &FireSettings<'_>) -> Result<(), Failure> {
    let configured = settings.endpoint.map(|(_, endpoint)| endpoint);
    let parts = [
        (&settings.target.params, Part::Query),
        (&settings.target.headers, Part::Header),
    ];
    for (list, part) in parts {
        if let Some(literal) = list.iter().find(|named| is_lost(named, part, configured)) {
            return Err(refusal(literal, part));
        }
    }
    Ok(())
}

/// Whether it is neither kept with the delivery nor in the configuration, where it is looked up again.
fn is_lost(named: &Param, part: Part, configured: Option<&Endpoint>) -> bool {
    let Value::Secret(source) = &named.value else {
        return false;
    };
    let in_configuration = configured.is_some_and(|endpoint| match part {
        Part::Query => endpoint.target.params.contains(named),
        Part::Header => endpoint.target.headers.contains(named),
    });
    source.reference().is_none() && !in_configuration
}

fn refusal(literal: &Param, part: Part) -> Failure {
    let missing = MissingSecret {
        name: literal.name.clone(),
        part,
        source: crate::secret::SecretError::Forgotten,
    };
    let failure = Failure::usage(format!(
        "`--background` cannot send the secret {} again later: a value that is given literally is not kept",
        missing.described()
    ));
    match (part, literal.spelling.is_some()) {
        // Of a URL's own query; it may be none.
        (Part::Query, true) if !literal.name.is_empty() => failure
            .hint(format!(
                "leave it out of the URL and give it as `{}`",
                missing.flag()
            ))
            .hint(format!(
                "if it is no secret, give it as `--param {}=VALUE`",
                literal.name
            )),
        (Part::Query, true) => {
            failure.hint("leave it out of the URL, or name a configured endpoint with that URL")
        }
        _ => failure.hint(format!(
            "give it as `{}` or from a file with `@file:PATH`",
            missing.flag()
        )),
    }
}

/// Says what `retry --due` will not know of how this delivery was sent.
pub fn tell_what_is_not_kept(ctx: &Context<'_>) {
    let given = CONNECTION.iter().filter(|option| ctx.is_flag(option));
    let given: Vec<String> = given
        .map(|option| format!("`--{}`", option.replace('_', "-")))
        .collect();
    if !given.is_empty() {
        ctx.ui.hint(&format!(
            "not kept with a delivery: {}; give it to `hookfire retry --due` as well, or configure it with an endpoint",
            given.join(", ")
        ));
    }
}
