//! The options with the conditions on a request.
//!
//! None has a variable: a `HOOKFIRE_SECRET` is for the `hookfire fire` that runs inside. Messages quote no value that may be
//! secret.

use clap::{Args, ValueHint};

use crate::capture::expect::{Expectation, ExpectedHeader};
use crate::cli::context::Context;
use crate::cli::settings;
use crate::delivery::target::{MissingSecret, Part};
use crate::document::FieldPath;
use crate::error::Failure;
use crate::secret::{Secret, SecretSource, header_is_secret};

/// Conditions on a request.
#[derive(Args, Debug)]
#[command(next_help_heading = "Conditions (combined with AND)")]
pub struct Criteria {
    /// The event has this type
    #[arg(long = "type", value_name = "TYPE", value_hint = ValueHint::Other)]
    event_type: Option<String>,
    /// The event has this action
    #[arg(long, value_name = "ACTION", value_hint = ValueHint::Other)]
    action: Option<String>,
    /// The body has this value at this path: `object/application/plan/name=Gold`, `//org_name=Acme` (repeatable)
    ///
    /// A path starts at the root element, whose name may be omitted; `//` starts anywhere. `user[2]` is the second sibling of
    /// that name, `user` any of them; `@name` at the end is an attribute. In a JSON body, names are keys and `[2]` is the
    /// second array item. White space around a value does not count.
    #[arg(long = "match", value_name = "PATH=VALUE", value_hint = ValueHint::Other)]
    matches: Vec<String>,
    /// The request has this method
    #[arg(long, value_name = "METHOD", value_hint = ValueHint::Other)]
    method: Option<String>,
    /// The request has this header; also as 'NAME: VALUE'; VALUE may be @env:VAR or @file:PATH (repeatable)
    #[arg(short = 'H', long, value_name = "NAME=VALUE", value_hint = ValueHint::Other)]
    header: Vec<String>,
    /// The query has this secret; VALUE is @env:VAR, @file:PATH or a literal, and is never shown (repeatable)
    #[arg(long, value_name = "NAME=VALUE", value_hint = ValueHint::Other)]
    secret: Vec<String>,
}

impl Criteria {
    pub fn expectation(&self, ctx: &Context<'_>) -> Result<Expectation, Failure> {
        let secrets = settings::secrets("--secret", &self.secret, &ctx.env)?.into_iter();
        let secrets = secrets.map(|(name, source)| {
            let value = resolved(&name, Part::Query, &source, ctx)?;
            Ok((name, value))
        });
        let matches = self.matches.iter().map(|text| field(text));
        let headers = self.header.iter().map(|text| header(text, ctx));
        Ok(Expectation {
            event_type: self.event_type.clone(),
            action: self.action.clone(),
            matches: matches.collect::<Result<_, Failure>>()?,
            method: self.method.clone(),
            headers: headers.collect::<Result<_, Failure>>()?,
            secrets: secrets.collect::<Result<_, Failure>>()?,
            verifier: None,
        })
    }
}

fn resolved(
    name: &str,
    part: Part,
    source: &SecretSource,
    ctx: &Context<'_>,
) -> Result<Secret, MissingSecret> {
    source.resolve(&ctx.env).map_err(|source| MissingSecret {
        name: name.to_owned(),
        part,
        source,
    })
}

fn field(text: &str) -> Result<(FieldPath, String), Failure> {
    let (path, value) = FieldPath::split(text)
        .ok_or_else(|| Failure::usage(format!("`--match` takes PATH=VALUE, not `{text}`")))?;
    let path_read = FieldPath::parse(path).map_err(|problem| {
        Failure::usage(format!("`--match` cannot look at `{path}`: {problem}"))
    })?;
    Ok((path_read, value.to_owned()))
}

/// `NAME=VALUE` or `NAME: VALUE`: no name has either sign in it.
fn header(text: &str, ctx: &Context<'_>) -> Result<ExpectedHeader, Failure> {
    let Some((name, value)) = text
        .split_once(['=', ':'])
        .filter(|(name, _)| !name.trim().is_empty())
    else {
        return Err(Failure::usage(
            "`--header` takes NAME=VALUE; the name or the `=` is missing",
        ));
    };
    let (name, value) = (name.trim().to_owned(), value.trim());
    let source = SecretSource::parse(value)
        .map_err(|e| Failure::usage(format!("header `{name}`: {e}")))?
        .anchored(&ctx.env.folder());
    let public = source.reference().is_none() && !header_is_secret(&name, value);
    let value = resolved(&name, Part::Header, &source, ctx)?;
    Ok(ExpectedHeader {
        name,
        value,
        public,
    })
}
