//! `hookfire ping`, like the "Ping!" button of 3scale's admin portal.

use std::time::Duration;

use clap::Args;

use super::args::{Format, ReportOutput, TargetArgs, TransportArgs};
use super::context::{Context, request_head};
use crate::cli::settings::FireSettings;
use crate::config::Settings;
use crate::delivery::retry_policy::StatusRanges;
use crate::delivery::target::{Param, Target};
use crate::delivery::{ErrorKind, Outcome};
use crate::error::{Failure, Kind};
use crate::exit::Exit;
use crate::http::{Request, SendRequest as _, outcome, status_text, tls_hint};
use crate::time::{duration_ms, measured};

const EXAMPLES: &str = "\
Examples:
  Check whether an endpoint responds:
    $ hookfire ping -e staging
  Wait for an endpoint in a script:
    $ until hookfire ping --url http://127.0.0.1:8080/hook 2>/dev/null; do sleep 1; done";

/// Check whether an endpoint responds, like 3scale's "Ping!" button
///
/// Sends one GET request with `ping=3scale` added to the query, and records nothing in the journal. Exits with 0 for a
/// success status, 3 for another status, and 4 without a response.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct PingArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Status codes that count as success, such as 200,202 or 200-207 [default: 200]
    #[arg(long, value_name = "CODES", env = "HOOKFIRE_SUCCESS")]
    success: Option<StatusRanges>,
    #[command(flatten)]
    transport: TransportArgs,
    #[command(flatten)]
    output: ReportOutput,
}

pub fn run(args: &PingArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let options = Settings {
        success: args.success.clone(),
        ..args.transport.settings()
    };
    let mut settings = FireSettings::resolve(ctx, &args.target, options)?;
    settings.target.set_param(Param::public("ping", "3scale"));
    // It has no body to sign.
    settings.target.signing = None;
    let (url, options) = (&settings.target, &settings.transport);
    let plan = ctx
        .clients
        .plan(&ctx.env, url, settings.policy, options, 1)?;
    ctx.warn_of_exposure(url, options);
    ctx.catch_interrupts()?;
    ctx.ui.detail(1, || request_head("GET", url, &[]));

    let request = Request::for_delivery(&plan.target, "GET", &[], None);
    let completed = plan.client.send(request);
    let (duration, result) = (completed.duration, completed.result);
    let status = match &result {
        Ok(response) => Some(status_text(response.status)),
        Err(_) => None,
    };
    let outcome = outcome(&plan.policy, &plan.target.redactor, result);
    let printed = print(ctx, args.output.format(), url, status, duration, &outcome);
    let Some(error) = &outcome.error else {
        return Failure::after_output(printed, Exit::Done);
    };
    let kind = match error.kind {
        ErrorKind::Status => Kind::Refused,
        ErrorKind::Interrupted => Kind::Interrupted,
        _ => Kind::Unreachable,
    };
    Failure::after_output(printed, kind.exit())?;
    let failure = Failure::new(kind, format!("ping of {url} failed: {}", error.message));
    Err(match (error.kind, outcome.http_status) {
        (ErrorKind::Tls, _) => match tls_hint(&error.message) {
            Some(hint) => failure.hint(hint),
            None => failure,
        },
        (ErrorKind::Status, Some(200..300)) => {
            failure.hint("if this status counts as success, pass `--success 200-207`")
        }
        _ => failure,
    })
}

fn print(
    ctx: &Context<'_>,
    format: Format,
    url: &Target,
    status: Option<String>,
    duration: Duration,
    outcome: &Outcome,
) -> Result<(), Failure> {
    if format == Format::Text {
        if let Some(status) = status {
            let took = measured(duration);
            ctx.ui.line(&format!("{url} responded {status} ({took})"))?;
        }
    } else {
        let error = outcome.error.as_ref().map(
            |error| serde_json::json!({ "kind": error.kind.as_str(), "message": error.message }),
        );
        let view = serde_json::json!({
            "url": url.to_string(), "http_status": outcome.http_status,
            "duration_ms": duration_ms(duration), "error": error,
        });
        ctx.ui.line(&format.document(&view))?;
    }
    Ok(ctx.ui.flush()?)
}
