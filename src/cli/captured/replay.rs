//! `hookfire captured replay`

use std::sync::Arc;

use clap::{Args, ValueHint};
use serde_json::Value;

use super::selection::whole;
use crate::capture::{Body, Caught, header_text, is_hidden};
use crate::cli::args::{Format, ReportOutput, TransportArgs, parse_id};
use crate::cli::context::Context;
use crate::cli::settings;
use crate::delivery::{ErrorKind, target};
use crate::engine::plan::proxy_credentials;
use crate::error::{Failure, Kind};
use crate::exit::Exit;
use crate::http::replay::{Prepared, ReplayError, ReplayTarget, prepare};
use crate::http::tls_hint;
use crate::http::{Client, Completed, Response, status_text};
use crate::output::capture_json::BodyView;
use crate::output::{RowWriter, Tone, capture, replay_json};
use crate::secret::MASK;
use crate::text::count;
use crate::time::measured;

const EXAMPLES: &str = "\
Examples:
  Send a capture to the receiver you are working on:
    $ hookfire captured replay 17 --to http://127.0.0.1:3000
  Send several in this order, to another path:
    $ hookfire captured replay 17 18 19 --to https://staging.example.com/webhooks
  Show what would be sent, and send nothing:
    $ hookfire captured replay 17 --to http://127.0.0.1:3000 --dry-run
  Print the statuses of the responses, for a script:
    $ hookfire captured replay 17 --to http://127.0.0.1:3000 -o json | jq '.[].http_status'";

/// Send captured requests again
///
/// Sends the captured method, path, query, headers and body. A path or query of the URL replaces the captured one. Headers about
/// the connection (Connection, Host, Content-Length and similar) are new, and `hookfire-replay-of: ID` is added. Header names are
/// sent in lower case, and a request without Accept gets `Accept: */*`. Nothing is recorded in the journal.
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
    #[arg(long, value_name = "URL", env = "HOOKFIRE_TO", value_hint = ValueHint::Url, help_heading = "Target")]
    to: Option<String>,
    /// Send to this configured endpoint, with its secrets and headers
    #[arg(short, long, value_name = "NAME", value_hint = ValueHint::Other, help_heading = "Target")]
    endpoint: Option<String>,
    /// Send captured credentials to another host too
    #[arg(long, help_heading = "Target")]
    send_credentials: bool,
    #[command(flatten)]
    transport: TransportArgs,
    /// Show what would be sent, and send nothing
    #[arg(long, help_heading = None)]
    dry_run: bool,
    #[command(flatten)]
    output: ReportOutput,
}

pub(super) fn run(args: &CapturedReplayArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let chosen = match (&args.to, &args.endpoint) {
        (Some(_), Some(_)) if ctx.is_flag("to") => {
            return Err(Failure::usage("`--to` and `--endpoint` cannot be combined"));
        }
        // The option wins over the variable of the other.
        (_, Some(name)) => settings::from_endpoint(name, ctx.config()?)?,
        (Some(url), None) => settings::from_url(url)?,
        (None, None) => {
            return Err(Failure::usage("no destination given")
                .hint("pass `--to URL` or a configured endpoint with `-e NAME`"));
        }
    };
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
    let journal = ctx.existing_journal()?;
    // All are prepared before the first is sent, so that a refusal sends nothing.
    let mut prepared = Vec::new();
    for id in &args.ids {
        let (caught, body) = whole(journal.as_deref(), *id)?;
        destination.replay_of = Some(*id);
        let mut one =
            prepare(&caught.capture, &body, &destination, &ctx.env).map_err(|e| refused(e, *id))?;
        Arc::make_mut(&mut one.request.redactor).add(&proxy_credentials(&ctx.env, &options));
        ctx.ui
            .detail(1, || capture::line(ctx.ui, &caught, &destination.mask));
        prepared.push((caught, body, one));
    }
    let relay = ctx.clients.client(&destination.target, &options, 0)?;
    let replay = Replayer {
        ctx,
        destination: &destination,
        format: args.output.format(),
        relay,
    };
    if args.dry_run {
        return replay.dry_run(&prepared);
    }
    ctx.warn_of_exposure(&destination.target, &options);
    ctx.catch_interrupts()?;
    replay.send(&prepared)
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

struct Replayer<'a> {
    ctx: &'a Context<'a>,
    destination: &'a ReplayTarget,
    format: Format,
    relay: Client,
}

impl Replayer<'_> {
    fn send(&self, prepared: &[(Caught, Body, Prepared)]) -> Result<Exit, Failure> {
        let mut rows = self.rows()?;
        let (mut worst, mut refused, mut hint) = (Exit::Done, 0, None);
        // An output error does not stop the sending.
        let mut printed = Ok(());
        for (caught, _, one) in prepared {
            let exchange = self.relay.send(one.request.clone());
            let exit = exit_of(&exchange);
            worst = worst.max(exit);
            refused += usize::from(exit != Exit::Done);
            if let Err(none) = &exchange.result {
                hint = hint.or_else(|| tls_hint(&none.message));
            }
            if printed.is_ok() {
                printed = self.print(caught, one, &exchange, &mut rows);
            }
            if exit == Exit::Interrupted {
                break;
            }
        }
        if printed.is_ok() {
            printed = rows.finish().map(|_| ()).map_err(Failure::from);
        }
        let exit = Failure::after_output(printed, worst)?;
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
        if self.format == Format::Text {
            hint.iter().for_each(|hint| self.ctx.ui.hint(hint));
            return Ok(exit);
        }
        let what = count(prepared.len(), "capture was", "captures were");
        let failure = Failure::new(kind, format!("{what} sent, {refused} without success"));
        Err(hint.into_iter().fold(failure, Failure::hint))
    }

    fn dry_run(&self, prepared: &[(Caught, Body, Prepared)]) -> Result<Exit, Failure> {
        let mut rows = self.rows()?;
        for (caught, body, one) in prepared {
            let head = self.head(one);
            if self.format == Format::Text {
                self.line(&format!("{} {}", one.request.method, one.shown_url))?;
                for (name, value) in &head {
                    self.line(&format!("{name}: {value}"))?;
                }
                self.line("")?;
                self.ctx
                    .ui
                    .data(|out| out.write_all(&self.ctx.ui.untrusted_bytes(&body.bytes)))?;
                if !body.bytes.is_empty() && !body.bytes.ends_with(b"\n") {
                    self.line("")?;
                }
                continue;
            }
            let view = BodyView::new(&body.bytes);
            let view = serde_json::json!({
                "dry_run": true, "id": caught.id,
                "request": {
                    "method": one.request.method, "url": one.shown_url, "headers": head,
                    "body": view.text(), "body_encoding": view.encoding(),
                },
            });
            rows.push(&view)?;
        }
        rows.finish()?;
        self.ctx.ui.status("nothing is sent (--dry-run)");
        Ok(Exit::Done)
    }

    /// The headers, with credentials and the destination's secrets masked.
    fn head(&self, one: &Prepared) -> Vec<(String, String)> {
        let own_secret = |name: &str| {
            let mut own = self.destination.target.headers.iter();
            let own = own.find(|own| own.name.eq_ignore_ascii_case(name));
            own.is_some_and(|own| matches!(own.value, target::Value::Secret(_)))
        };
        let mut shown = Vec::new();
        for (name, value) in &one.request.headers {
            let hide = is_hidden(name, value) || own_secret(name);
            let value = if hide {
                MASK.to_owned()
            } else {
                header_text(value)
            };
            shown.push((name.clone(), value));
        }
        shown
    }

    fn print(
        &self,
        caught: &Caught,
        one: &Prepared,
        exchange: &Completed,
        rows: &mut RowWriter<'_, Value>,
    ) -> Result<(), Failure> {
        if self.format == Format::Text {
            let what = format!("#{} {} → {}", caught.id, one.request.method, one.shown_url);
            let (tone, words) = match &exchange.result {
                Ok(response) if is_success(response) => (Tone::Good, status_text(response.status)),
                Ok(response) => (Tone::Bad, status_text(response.status)),
                Err(none) => (Tone::Bad, none.message.clone()),
            };
            let ui = self.ctx.ui;
            let took = measured(exchange.duration);
            return self.line(&format!(
                "{}: {} ({took})",
                ui.untrusted(&what),
                ui.toned(tone, &ui.untrusted(&words))
            ));
        }
        rows.push(&replay_json::view(caught.id, one, exchange))?;
        Ok(self.ctx.ui.flush()?)
    }

    /// For every format but text.
    fn rows(&self) -> Result<RowWriter<'_, Value>, Failure> {
        let rows = RowWriter::new(self.ctx.ui, self.format, Vec::new(), Value::clone);
        Ok(rows?)
    }

    fn line(&self, text: &str) -> Result<(), Failure> {
        self.ctx.ui.line(text)?;
        Ok(self.ctx.ui.flush()?)
    }
}

fn is_success(response: &Response) -> bool {
    (200..300).contains(&response.status)
}

fn exit_of(exchange: &Completed) -> Exit {
    match &exchange.result {
        Ok(response) if is_success(response) => Exit::Done,
        Ok(_) => Exit::Refused,
        Err(none) if none.kind == ErrorKind::Interrupted => Exit::Interrupted,
        Err(_) => Exit::Unreachable,
    }
}
