//! `--sign`, `--verify` and `--signing-secret`: how requests are signed and verified, over what the configuration says.

use std::time::Duration;

use crate::cli::args::{SigningArgs, VerifyArgs};
use crate::cli::context::Context;
use crate::config::Config;
use crate::delivery::signing::{Signing, SigningOptions};
use crate::delivery::target::{MissingSecret, Target};
use crate::env::Environment;
use crate::error::{Failure, Kind};
use crate::secret::{Secret, SecretSource};
use crate::signature::{Scheme, Verifier};

/// How far the timestamp of a signature may be from the time at which the request arrives.
const DEFAULT_TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// A scheme by its name, or that of an endpoint with its secrets.
pub fn named(name: &str, config: &Config) -> Result<Signing, Failure> {
    let unknown = match name.parse::<&'static Scheme>() {
        Ok(scheme) => {
            return Ok(Signing {
                scheme: scheme.clone(),
                secrets: Vec::new(),
            });
        }
        Err(unknown) => unknown,
    };
    let Some(endpoint) = config.endpoints.get(name) else {
        return Err(Failure::from_error(Kind::Usage, unknown));
    };
    endpoint.target.signing.clone().ok_or_else(|| {
        Failure::usage(format!(
            "the endpoint `{name}` has no `sign` in the configuration"
        ))
    })
}

/// The options of a command.
pub fn options(args: &SigningArgs, ctx: &Context<'_>) -> Result<SigningOptions, Failure> {
    let mut options = SigningOptions {
        scheme: None,
        secrets: sources(&args.signing_secret, &ctx.env)?,
    };
    if let Some(name) = args.sign.as_deref().filter(|name| !name.is_empty()) {
        let named = named(name, ctx.config()?)?;
        options.scheme = Some(named.scheme);
        if options.secrets.is_empty() {
            options.secrets = named.secrets;
        }
    }
    Ok(options)
}

/// Puts the options over what the configuration says of a target.
pub fn apply(target: &mut Target, args: &SigningArgs, ctx: &Context<'_>) -> Result<(), Failure> {
    target.signing = options(args, ctx)?.over(target.signing.take());
    if target.signing.is_none() && is_only_secret(args, ctx) {
        return Err(
            Failure::usage("`--signing-secret` signs nothing without a scheme")
                .hint("name it with `--sign SCHEME`: standard, github, stripe, slack or shopify"),
        );
    }
    Ok(())
}

/// Whether the command line gives a secret, but no scheme.
pub fn is_only_secret(args: &SigningArgs, ctx: &Context<'_>) -> bool {
    let has_scheme = args.sign.as_deref().is_some_and(|name| !name.is_empty());
    ctx.is_flag("signing_secret") && !has_scheme
}

/// What `--verify` verifies with; none without it.
pub fn verifier(args: &VerifyArgs, ctx: &Context<'_>) -> Result<Option<Verifier>, Failure> {
    let Some(name) = args.verify.as_deref().filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    let named = named(name, ctx.config()?)?;
    let secrets = secrets(&args.signing_secret, Some(&named), ctx)?;
    let tolerance = args.tolerance.unwrap_or(DEFAULT_TOLERANCE);
    let verifier = Verifier::new(named.scheme, &secrets, tolerance);
    verifier
        .map(Some)
        .map_err(|e| Failure::from_error(Kind::Usage, e))
}

/// The secrets to verify with: those of the options, else those of the endpoint that names the scheme.
pub fn secrets(
    texts: &[String],
    named: Option<&Signing>,
    ctx: &Context<'_>,
) -> Result<Vec<Secret>, Failure> {
    let mut sources = sources(texts, &ctx.env)?;
    if let Some(named) = named.filter(|_| sources.is_empty()) {
        sources.clone_from(&named.secrets);
    }
    if sources.is_empty() {
        return Err(Failure::usage("there is no signing secret").hint(
            "give it with `--signing-secret @env:VARIABLE` or `--signing-secret @file:PATH`",
        ));
    }
    let secrets = sources.iter().map(|source| source.resolve(&ctx.env));
    let secrets: Result<_, _> = secrets.collect();
    secrets.map_err(|e| MissingSecret::signing(e).into())
}

/// Parses the values of `--signing-secret`. Errors do not quote them.
fn sources(texts: &[String], env: &Environment) -> Result<Vec<SecretSource>, Failure> {
    let given = texts.iter().filter(|text| !text.is_empty());
    let sources = given.map(|text| {
        let source = SecretSource::parse(text)
            .map_err(|e| Failure::usage(format!("`--signing-secret`: {e}")))?;
        Ok(source.anchored(&env.folder()))
    });
    sources.collect()
}
