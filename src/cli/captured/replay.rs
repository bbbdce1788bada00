//! `hookfire captured replay`

use std::sync::Arc;

use clap::{Args, ValueHint};
use serde_json::Value;

use super::selection::whole;
use crate::capture::{header_text, is_hidden};
use crate::cli::args::{Format, ReportOutput, SigningArgs, TransportArgs, parse_id};
use crate::cli::context::Context;
use crate::cli::exec::{CommandArgs, Runner};
use crate::cli::settings;
use crate::cli::signing;
use crate::delivery::ErrorKind;
use crate::delivery::target::{self, Target};
use crate::engine::plan::proxy_credentials;
use crate::error::{Failure, Kind};
use crate::exit::Exit;
use crate::http::replay::{Prepared, ReplayError, ReplayTarget, prepare};
use crate::http::{Client, Completed, Request, SendRequest as _, status_text, tls_hint};
use crate::journal::{GroupWriter, StoredCapture};
use crate::output::capture_json::{BodyView, run_view};
use crate::output::{OutputError, RowWriter, Tone, capture, replay_json};
use crate::secret::{MASK, Redactor};
use crate::text::count;
use crate::time::measured;

const EXAMPLES: &str = "\
Examples:
  Send a capture to the program that you are working on:
    $ hookfire captured replay 17 --to http://127.0.0.1:3000
  Send several in this order, to another path:
    $ hookfire captured replay 17 18 19 --to https://staging.example.com/webhooks
  Sign it anew, with the secret that the target verifies with:
    $ hookfire captured replay 17 --to http://127.0.0.1:3000 --sign stripe --signing-secret @env:LOCAL_SECRET
  Show what would be sent, and send nothing:
    $ hookfire captured replay 17 --to http://127.0.0.1:3000 --dry-run
  Run the program of `listen --exec` again:
    $ hookfire captured replay 17 --exec ./on-event.sh
  Print the statuses of the responses, for a script:
    $ hookfire captured replay 17 --to http://127.0.0.1:3000 -o json | jq '.[].http_status'";

/// Send captured requests again
///
/// Sends the captured method, path, query, headers and body. A path or query of the URL replaces the captured one. Headers about
/// the connection (Connection, Host, Content-Length and similar) are new, and `hookfire-replay-of: ID` is added. Header names are
/// sent in lower case, and a request without Accept gets `Accept: */*`. Nothing is recorded in the journal.
///
/// With --exec, nothing is sent: the program runs as for `listen --exec`, and its run is stored with the capture. The
/// exit code is 1 if a run fails.
///
/// Targets reject a signature whose timestamp is old. With --sign, or an endpoint with `sign`, the captured signature headers are
/// replaced by a new signature. A captured `webhook-id` stays; a scheme that signs it gets `capture-ID` for a request without one.
///
/// Captured headers that contain credentials (Authorization, Cookie, X-Api-Key: those shown as ***) are sent only to the host
/// they were captured for, on any port; for another host, pass --send-credentials, otherwise nothing is sent (exit code 2). The
/// exit code is 0 if every response was a success (2xx), 3 for another status, and 4 without a response.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct CapturedReplayArgs {
    /// Captures, such as 17 or '#17', sent in this order
    #[arg(value_name = "ID", value_parser = parse_id, value_hint = ValueHint::Other, required = true)]
    ids: Vec<i64>,
    /// Where to send; all values in its query are treated as secrets
    ///
    /// A path of the URL replaces the captured path: with http://host/base, a request for /orders/7 goes to http://host/base.
    /// `captured follow --to` appends the captured path instead.
    #[arg(long, value_name = "URL", env = "HOOKFIRE_TO", value_hint = ValueHint::Url, help_heading = "Target")]
    to: Option<String>,
    /// Send to this configured endpoint, with its secrets and headers
    #[arg(short, long, value_name = "NAME", value_hint = ValueHint::Other, help_heading = "Target")]
    endpoint: Option<String>,
    /// Send captured credentials to another host too
    #[arg(long, help_heading = "Target")]
    send_credentials: bool,
    #[command(flatten)]
    signing: SigningArgs,
    #[command(flatten)]
    transport: TransportArgs,
    #[command(flatten)]
    command: CommandArgs,
    /// Show what would be sent, and send nothing
    #[arg(long, help_heading = None)]
    dry_run: bool,
    #[command(flatten)]
    output: ReportOutput,
}

pub(super) fn run(args: &CapturedReplayArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    if args.command.exec.is_some() {
        return run_command(args, ctx);
    }
    let mut chosen = match (&args.to, &args.endpoint) {
        (Some(_), Some(_)) if ctx.is_flag("to") => {
            return Err(Failure::usage("`--to` and `--endpoint` cannot be combined"));
        }
        // The option wins over the variable of the other.
        (_, Some(name)) => settings::from_endpoint(name, ctx.config()?)?,
        (Some(url), None) => settings::from_url(url)?,
        (None, None) => {
            return Err(Failure::usage("no destination given")
                .hint("pass `--to URL`, a configured endpoint with `-e NAME`, or a program with `--exec CMD`"));
        }
    };
    signing::apply(&mut chosen.target, &args.signing, ctx)?;
    let endpoint = chosen.endpoint.map(|(_, endpoint)| endpoint);
    let options = settings::transport(&settings::with_endpoint(
        args.transport.settings(),
        endpoint,
    ));
    let mut destination = ReplayTarget {
        target: chosen.target,
        appends_path: false,
        send_credentials: args.send_credentials,
        replay_of: None,
        mask: ctx.mask(false)?,
    };
    let journal = ctx.readable_journal()?;
    // All are prepared before the first is sent, so that a refusal sends nothing.
    let mut prepared = Vec::new();
    for id in &args.ids {
        let StoredCapture { record, body, .. } = whole(&journal, *id)?;
        destination.replay_of = Some(*id);
        let mut one =
            prepare(&record.capture, &body, &destination, &ctx.env).map_err(|e| refused(e, *id))?;
        Arc::make_mut(&mut one.request.redactor).add(&proxy_credentials(&ctx.env, &options));
        ctx.ui
            .detail(1, || capture::line(ctx.ui, &record, &destination.mask));
        prepared.push((*id, one));
    }
    let client = ctx.clients.client(&destination.target, &options, 0)?;
    let format = args.output.format();
    if args.dry_run {
        return dry_run(ctx, format, &prepared, &destination.target);
    }
    ctx.warn_of_exposure(&destination.target, &options);
    ctx.catch_interrupts()?;
    send(ctx, format, prepared, &client)
}

/// Runs a command for each capture, one after the other, and stores the runs.
fn run_command(args: &CapturedReplayArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    ctx.refuse(&["to", "endpoint", "dry_run"], |flag| {
        Failure::usage(format!("`{flag}` and `--exec` cannot be combined"))
    })?;
    let journal = ctx.journal()?;
    let writer = Arc::new(GroupWriter::start(ctx.journal()?, None)?);
    let redactor = Redactor::new(&ctx.mask(false)?.values);
    let Some(runner) = Runner::new(&args.command, writer, redactor, ctx)? else {
        return Ok(Exit::Done);
    };
    let captures = args.ids.iter().map(|id| whole(&journal, *id));
    let captures = captures.collect::<Result<Vec<_>, _>>()?;
    if let Some(partial) = captures.iter().find(|one| one.record.capture.malformed) {
        return Err(refused(ReplayError::Partial, partial.record.id));
    }
    ctx.catch_interrupts()?;
    let format = args.output.format();
    let mut rows = rows(ctx, format)?;
    let mut failed = 0;
    for capture in &captures {
        let id = capture.record.id;
        let run = runner.run(capture).map_err(|e| {
            Failure::new(Kind::Journal, e).context(format!("the command was not run for #{id}"))
        })?;
        failed += usize::from(!run.succeeded());
        match format {
            Format::Text => {
                let words = run.outcome();
                let line = format!("#{id} → {}: {words}\n{}", run.command, run.stderr);
                ctx.ui.line(&ctx.ui.untrusted(line.trim_end()))?;
            }
            _ => {
                let mut view = run_view(&run);
                view["id"] = id.into();
                rows.push(&view)?;
            }
        }
        ctx.ui.flush()?;
        if ctx.clock.is_interrupted() {
            return Err(Failure::new(Kind::Interrupted, "stopped"));
        }
    }
    rows.finish()?;
    match failed {
        0 => Ok(Exit::Done),
        _ => {
            let runs = count(captures.len(), "run", "runs");
            Err(Failure::new(
                Kind::Command,
                format!("{failed} of {runs} failed"),
            ))
        }
    }
}

fn refused(error: ReplayError, id: i64) -> Failure {
    let failure = match error {
        ReplayError::Secret(missing) => return missing.into(),
        ReplayError::Credentials { .. } => Failure::from_error(Kind::Usage, error)
            .hint("if that host may have them, pass `--send-credentials`"),
        ReplayError::NoPath(_) => Failure::from_error(Kind::Usage, error)
            .hint("give a URL with a path: `--to http://127.0.0.1:3000/hook`"),
        ReplayError::Unsendable => Failure::from_error(Kind::Usage, error)
            .hint("give a URL with a path and a query: `--to 'http://127.0.0.1:3000/hook?a=1'`"),
        ReplayError::Partial => Failure::from_error(Kind::Usage, error).hint(format!(
            "`hookfire captured show {id} --raw` writes the bytes as received"
        )),
    };
    failure.context(format!("nothing is sent, because of capture #{id}"))
}

fn send(
    ctx: &Context<'_>,
    format: Format,
    prepared: Vec<(i64, Prepared)>,
    client: &Client,
) -> Result<Exit, Failure> {
    let mut rows = rows(ctx, format)?;
    let (mut worst, mut refused, mut hint) = (Exit::Done, 0, None);
    // An output error does not stop the sending.
    let mut printed = Ok(());
    let total = prepared.len();
    for (id, mut one) in prepared {
        one.sign(ctx.now());
        let exchange = client.send(one.request.clone());
        let exit = exit_of(&exchange);
        worst = worst.max(exit);
        refused += usize::from(exit != Exit::Done);
        if let Err(none) = &exchange.result {
            hint = hint.or_else(|| tls_hint(&none.message));
        }
        printed = printed.and_then(|()| {
            match format {
                Format::Text => ctx.ui.line(&line(ctx, id, &one, &exchange))?,
                _ => rows.push(&replay_json::view(id, &one, &exchange))?,
            }
            ctx.ui.flush()
        });
        if exit == Exit::Interrupted {
            break;
        }
    }
    let printed = printed.and_then(|()| rows.finish());
    let exit = Failure::after_output(printed.map(|_| ()).map_err(Failure::from), worst)?;
    let kind = match exit {
        Exit::Refused => Kind::Refused,
        Exit::Unreachable => Kind::Unreachable,
        Exit::Interrupted => {
            return Err(Failure::new(
                Kind::Interrupted,
                "stopped before a response arrived",
            ));
        }
        _ => return Ok(exit),
    };
    if format == Format::Text {
        hint.iter().for_each(|hint| ctx.ui.hint(hint));
        return Ok(exit);
    }
    let what = count(total, "capture was", "captures were");
    let failure = Failure::new(kind, format!("{what} sent, {refused} without success"));
    Err(hint.into_iter().fold(failure, Failure::hint))
}

/// `#17 POST → http://127.0.0.1:3000/hook: 200 OK (2 ms)`
fn line(ctx: &Context<'_>, id: i64, one: &Prepared, exchange: &Completed) -> String {
    let what = format!("#{id} {} → {}", one.request.method, one.shown_url);
    let words = match &exchange.result {
        Ok(response) => status_text(response.status),
        Err(none) => none.message.clone(),
    };
    let tone = match exit_of(exchange) {
        Exit::Done => Tone::Good,
        _ => Tone::Bad,
    };
    format!(
        "{}: {} ({})",
        ctx.ui.untrusted(&what),
        ctx.ui.toned(tone, &ctx.ui.untrusted(&words)),
        measured(exchange.duration)
    )
}

fn dry_run(
    ctx: &Context<'_>,
    format: Format,
    prepared: &[(i64, Prepared)],
    target: &Target,
) -> Result<Exit, Failure> {
    let mut rows = rows(ctx, format)?;
    for (
        id,
        Prepared {
            request, shown_url, ..
        },
    ) in prepared
    {
        let headers = shown_headers(request, target);
        let body = request.body.as_deref().unwrap_or_default();
        if format != Format::Text {
            let view = BodyView::new(body);
            rows.push(&serde_json::json!({
                "dry_run": true, "id": id,
                "request": {
                    "method": request.method, "url": shown_url, "headers": headers,
                    "body": view.text(), "body_encoding": view.encoding(),
                },
            }))?;
            continue;
        }
        let mut head = format!("{} {shown_url}\n", request.method);
        for (name, value) in headers {
            head += &format!("{name}: {value}\n");
        }
        ctx.ui.line(&ctx.ui.untrusted(&head))?;
        ctx.ui
            .data(|out| out.write_all(&ctx.ui.untrusted_bytes(body)))?;
        if !body.is_empty() && !body.ends_with(b"\n") {
            ctx.ui.line("")?;
        }
    }
    rows.finish()?;
    ctx.ui.status("nothing is sent (--dry-run)");
    Ok(Exit::Done)
}

/// The headers, with credentials and the target's secrets masked.
fn shown_headers(request: &Request, target: &Target) -> Vec<(String, String)> {
    let is_secret = |name: &str| {
        let mut own = target.headers.iter();
        let own = own.find(|own| own.name.eq_ignore_ascii_case(name));
        own.is_some_and(|own| matches!(own.value, target::Value::Secret(_)))
    };
    let headers = request.headers.iter();
    let shown = headers.map(|(name, value)| {
        let shown = match is_hidden(name, value) || is_secret(name) {
            true => MASK.to_owned(),
            false => header_text(value),
        };
        (name.clone(), shown)
    });
    shown.chain(target.masked_signature()).collect()
}

/// For every format but text.
fn rows<'a>(ctx: &'a Context<'_>, format: Format) -> Result<RowWriter<'a, Value>, OutputError> {
    RowWriter::new(ctx.ui, format, Vec::new(), Value::clone)
}

fn exit_of(exchange: &Completed) -> Exit {
    match &exchange.result {
        Ok(response) if (200..300).contains(&response.status) => Exit::Done,
        Ok(_) => Exit::Refused,
        Err(none) if none.kind == ErrorKind::Interrupted => Exit::Interrupted,
        Err(_) => Exit::Unreachable,
    }
}
