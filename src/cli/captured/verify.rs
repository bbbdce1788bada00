//! `hookfire captured verify`

use std::time::Duration;

use clap::{Args, ValueHint};
use serde_json::json;

use super::selection::whole;
use crate::capture::SignatureCheck;
use crate::cli::args::{ReportOutput, parse_id};
use crate::cli::context::Context;
use crate::cli::signing;
use crate::error::{Failure, Kind};
use crate::exit::Exit;
use crate::journal::StoredCapture;
use crate::output::Tone;
use crate::signature::{InvalidKind, InvalidSignature, Scheme, Verifier};
use crate::time::parse_duration;

const EXAMPLES: &str = "\
Examples:
  Check the signature of a request from Stripe:
    $ hookfire captured verify 17 --signing-secret @env:STRIPE_SECRET
  Name the scheme, for a request that has no signature of a known scheme:
    $ hookfire captured verify 17 --scheme standard --signing-secret @file:secret.txt
  Verify it as the configuration signs for an endpoint, with the secrets of the endpoint:
    $ hookfire captured verify 17 --scheme staging
  Use the result in a script:
    $ hookfire captured verify 17 --signing-secret @env:SECRET -o json | jq -r .reason";

/// Check the signature of a captured request, and find out why it does not match
///
/// Verifies the exact bytes that were received. If the signature does not match, tries the usual causes and reports the first
/// that explains it: another reading of the secret, a signature in another encoding or without its timestamp, a body that was
/// changed on its way. The request's timestamp is compared with the time at which the request arrived.
///
/// The exit code is 0 if the signature is valid, 7 if not.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct CapturedVerifyArgs {
    /// The capture, such as 17 or '#17'
    #[arg(value_name = "ID", value_parser = parse_id, value_hint = ValueHint::Other)]
    id: i64,
    /// How the request is signed: standard, github, stripe, slack, shopify, or as this endpoint of the
    /// configuration [default: by its headers]
    #[arg(long, value_name = "SCHEME", help_heading = None, value_hint = ValueHint::Other)]
    scheme: Option<String>,
    /// The secret: @env:VARIABLE, @file:PATH or a literal (repeatable: one of them must match) [default: those of the endpoint]
    #[arg(
        long,
        value_name = "SECRET",
        env = "HOOKFIRE_SIGNING_SECRET",
        value_hint = ValueHint::Other,
        help_heading = None
    )]
    signing_secret: Vec<String>,
    /// How far the signature's timestamp may be from the time at which the request arrived
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = parse_duration, help_heading = None)]
    tolerance: Duration,
    #[command(flatten)]
    output: ReportOutput,
}

pub(super) fn run(args: &CapturedVerifyArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let named = match &args.scheme {
        Some(name) => Some(signing::named(name, ctx.config()?)?),
        None => None,
    };
    let secrets = signing::secrets(&args.signing_secret, named.as_ref(), ctx)?;
    let journal = ctx.readable_journal()?;
    let StoredCapture { record, body, .. } = whole(&journal, args.id)?;
    let capture = &record.capture;
    let headers = capture.head.headers();
    let named = named.map(|signing| signing.scheme);
    let scheme = named.or_else(|| Scheme::detect(&headers).cloned());
    let fault = match scheme.clone() {
        Some(scheme) => {
            let verifier = Verifier::new(scheme, &secrets, args.tolerance)
                .map_err(|e| Failure::from_error(Kind::Usage, e))?;
            SignatureCheck::explained(&verifier, capture, &body).invalid
        }
        None => Some(InvalidSignature::new(
            InvalidKind::MissingHeader,
            "the request has no signature header of a known scheme",
        )),
    };
    print(args, ctx, scheme.as_ref(), fault.as_ref())?;
    Ok(match fault {
        None => Exit::Done,
        Some(_) => Exit::Unmet,
    })
}

fn print(
    args: &CapturedVerifyArgs,
    ctx: &Context<'_>,
    scheme: Option<&Scheme>,
    fault: Option<&InvalidSignature>,
) -> Result<(), Failure> {
    let name = scheme.map(Scheme::name);
    let (tone, words) = match fault {
        None => (Tone::Good, "is valid"),
        Some(_) => (Tone::Bad, "is not valid"),
    };
    let (id, words) = (args.id, ctx.ui.toned(tone, words));
    let shown_scheme = name.map_or(String::new(), |name| format!("{name} "));
    let detail = fault.map_or(String::new(), |fault| format!(": {}", fault.detail));
    let detail = ctx.ui.untrusted(&detail);
    let text = format!("capture #{id}: the {shown_scheme}signature {words}{detail}");
    let view = json!({
        "id": args.id, "verified": fault.is_none(), "scheme": name,
        "reason": fault.map(|fault| fault.kind.as_str()),
        "detail": fault.map(|fault| &fault.detail),
        "hint": fault.map(|fault| fault.kind.hint()),
    });
    ctx.ui.report(args.output.format(), &text, &view)?;
    if let Some(fault) = fault {
        ctx.ui.hint(fault.kind.hint());
    }
    Ok(())
}
