//! `hookfire ping`: the portal's "Ping!" button.

use clap::Args;

use super::args::{Format, ReportOutput, TargetArgs, TransportArgs};
use super::context::{Context, request_head};
use crate::cli::settings::FireSettings;
use crate::config::Settings;
use crate::delivery::ErrorKind;
use crate::delivery::retry_policy::StatusRanges;
use crate::delivery::target::Param;
use crate::error::{Failure, Kind};
use crate::exit::Exit;
use crate::http::tls_hint;
use crate::http::{Request, outcome, status_text};
use crate::time::{duration_ms, measured};

const EXAMPLES: &str = "\
Examples:
  Is the endpoint there?
    $ hookfire ping -e staging
  Wait for it in a script:
    $ until hookfire ping --url http://127.0.0.1:8080/hook 2>/dev/null; do sleep 1; done";

/// Ask an endpoint whether it is there, as 3scale's "Ping!" does
///
/// Sends one GET with `ping=3scale` added to the query. Nothing is written to the journal. The exit code says what came:
/// 0 a success, 3 another status, 4 no answer.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct PingArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// What counts as a success: codes and ranges, such as 200,202 or 200-207 [default: 200]
    #[arg(
        long,
        value_name = "CODES",
        env = "HOOKFIRE_SUCCESS",
        hide_env_values = true
    )]
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
    let (url, options) = (&settings.target, &settings.transport);
    let plan = ctx
        .clients
        .plan(&ctx.env, url, settings.policy, options, 1)?;
    ctx.warn_of_exposure(url, options);
    ctx.catch_interrupts()?;
    ctx.ui.detail(1, || request_head("GET", url, &[]));

    let answer = plan
        .client
        .send(Request::for_delivery(&plan.target, &[], None));
    let words = answer
        .result
        .as_ref()
        .ok()
        .map(|response| status_text(response.status));
    let outcome = outcome(&plan.policy, &plan.target.redactor, answer.result);
    let took = measured(answer.duration);
    let kind = outcome.error.as_ref().map(|error| match error.kind {
        ErrorKind::Status => Kind::Refused,
        ErrorKind::Interrupted => Kind::Interrupted,
        _ => Kind::Unreachable,
    });
    let reported = || -> Result<(), Failure> {
        match args.output.format() {
            Format::Text => {
                if let Some(words) = words {
                    ctx.ui.line(&format!("{url} answered {words} ({took})"))?;
                }
            }
            format => {
                let error = outcome
                    .error
                    .as_ref()
                    .map(|error| serde_json::json!({ "kind": error.kind.as_str(), "message": error.message }));
                let view = serde_json::json!({
                    "url": url.to_string(), "http_status": outcome.http_status,
                    "duration_ms": duration_ms(answer.duration), "error": error,
                });
                ctx.ui.line(&format.document(&view))?;
            }
        }
        Ok(ctx.ui.flush()?)
    };
    let exit = Failure::after_output(reported(), kind.map_or(Exit::Done, Kind::exit))?;
    let (Some(error), Some(kind)) = (outcome.error, kind) else {
        return Ok(exit);
    };
    let failure = Failure::new(
        kind,
        format!("ping of {url} is no success: {}", error.message),
    );
    let hint = match (error.kind, outcome.http_status) {
        (ErrorKind::Tls, _) => tls_hint(&error.message),
        (ErrorKind::Status, Some(200..300)) => {
            Some("if that is a success to you, say so with `--success 200-207`".to_owned())
        }
        _ => None,
    };
    Err(hint.into_iter().fold(failure, Failure::hint))
}
