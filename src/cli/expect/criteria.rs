//! The options with the conditions on a request.
//!
//! None has a variable: a `HOOKFIRE_SECRET` is for the `hookfire fire` that runs inside. Messages quote no value that may be
//! secret.

use clap::{Args, ValueHint};

use crate::capture::expect::Expectation;
use crate::cli::content::ContentArgs;
use crate::cli::context::Context;
use crate::cli::settings;
use crate::delivery::target::{MissingSecret, RequestPart};
use crate::error::Failure;
use crate::secret::{Secret, SecretSource};

/// The options that say which captures match.
#[derive(Args, Debug)]
#[command(next_help_heading = "Conditions (combined with AND)")]
pub struct Criteria {
    /// The body is an XML event of this type; for JSON, use --match, such as --match type=order.paid
    #[arg(long = "type", value_name = "TYPE", value_hint = ValueHint::Other)]
    event_type: Option<String>,
    /// The body is an XML event with this action
    #[arg(long, value_name = "ACTION", value_hint = ValueHint::Other)]
    action: Option<String>,
    /// The request has this method
    #[arg(long, value_name = "METHOD", value_hint = ValueHint::Other)]
    method: Option<String>,
    #[command(flatten)]
    content: ContentArgs,
    /// The query has this secret; VALUE is @env:VAR, @file:PATH or a literal, and is never shown (repeatable)
    #[arg(long, value_name = "NAME=VALUE", value_hint = ValueHint::Other)]
    secret: Vec<String>,
}

impl Criteria {
    pub fn expectation(&self, ctx: &Context<'_>) -> Result<Expectation, Failure> {
        let secrets = settings::secrets("--secret", &self.secret, &ctx.env)?.into_iter();
        let secrets = secrets.map(|(name, source)| {
            let value = resolved(&name, RequestPart::Query, &source, ctx)?;
            Ok((name, value))
        });
        Ok(Expectation {
            event_type: self.event_type.clone(),
            action: self.action.clone(),
            method: self.method.clone(),
            secrets: secrets.collect::<Result<_, Failure>>()?,
            ..self.content.expectation(ctx)?
        })
    }
}

fn resolved(
    name: &str,
    part: RequestPart,
    source: &SecretSource,
    ctx: &Context<'_>,
) -> Result<Secret, MissingSecret> {
    source.resolve(&ctx.env).map_err(|source| MissingSecret {
        name: name.to_owned(),
        part,
        source,
    })
}
