//! Conditions on path, headers and body, which several commands share.

use clap::{Args, ValueHint};

use super::context::Context;
use crate::capture::expect::{Expectation, ExpectedHeader, FieldCondition, Glob};
use crate::delivery::target::{MissingSecret, RequestPart};
use crate::error::Failure;
use crate::secret::{SecretSource, header_is_secret};

#[derive(Args, Clone, Debug, Default)]
pub struct ContentArgs {
    /// The body has this value at this path: `object/application/plan/name=Gold`, `//org_name=Acme`; with ~= it matches a regular
    /// expression: `//email~=@acme\.com$`; a path alone exists (repeatable)
    ///
    /// A path starts at the root element, whose name may be omitted; `//` starts anywhere. `user[2]` is the second sibling of
    /// that name, `user` any of them; `@name` at the end is an attribute. In a JSON body, names are keys and `[2]` is the
    /// second array item; in a form, names are fields. A name that contains `/`, `=`, `~` or `[` is written in double quotes. White space
    /// around a value does not count.
    #[arg(long = "match", value_name = "PATH=VALUE", value_hint = ValueHint::Other)]
    matches: Vec<String>,
    /// The body contains this text, once it is decompressed (repeatable)
    #[arg(long, value_name = "TEXT", value_hint = ValueHint::Other)]
    contains: Vec<String>,
    /// The path, without the query, matches this pattern; * stands for any characters
    #[arg(long, value_name = "GLOB", value_hint = ValueHint::Other)]
    path: Option<String>,
    /// The request has this header; also as 'NAME: VALUE'; VALUE may be @env:VAR or @file:PATH (repeatable)
    #[arg(short = 'H', long, value_name = "NAME=VALUE", value_hint = ValueHint::Other)]
    header: Vec<String>,
}

impl ContentArgs {
    pub fn is_empty(&self) -> bool {
        self.matches.is_empty()
            && self.contains.is_empty()
            && self.path.is_none()
            && self.header.is_empty()
    }

    /// The conditions of these options; callers add others, such as those of the event type.
    pub fn expectation(&self, ctx: &Context<'_>) -> Result<Expectation, Failure> {
        let matches = self.matches.iter().map(|text| {
            FieldCondition::parse(text).map_err(|e| Failure::usage(format!("`--match`: {e}")))
        });
        let headers = self.header.iter().map(|text| header(text, ctx));
        Ok(Expectation {
            matches: matches.collect::<Result<_, _>>()?,
            contains: self.contains.clone(),
            path: self.path.as_deref().map(Glob::new),
            headers: headers.collect::<Result<_, _>>()?,
            ..Expectation::default()
        })
    }
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
    let value = source.resolve(&ctx.env).map_err(|source| MissingSecret {
        name: name.clone(),
        part: RequestPart::Header,
        source,
    })?;
    Ok(ExpectedHeader {
        name,
        value,
        public,
    })
}
