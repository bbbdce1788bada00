//! What `fire` does instead of sending: `--dry-run`, and events that a webhook switch stops.

use super::FireArgs;
use super::destination::FireTarget;
use crate::cli::args::Format;
use crate::cli::context::{Context, request_head};
use crate::cli::report;
use crate::delivery::payload::{Payload, PayloadKind};
use crate::delivery::switches::Switch;
use crate::engine::plan::payload_headers;
use crate::error::{Failure, Kind};
use crate::event::pretty;
use crate::exit::Exit;
use crate::journal::{NewDelivery, Write, WriteResult};
use crate::output::capture_json::BodyView;
use crate::time::compact;

/// Records an event that a webhook switch stops, and says which.
pub fn ignore(
    args: &FireArgs,
    ctx: &Context<'_>,
    destination: &FireTarget<'_>,
    delivery: NewDelivery,
    switch: Switch,
) -> Result<Exit, Failure> {
    let format = args.output.format();
    let reason = ignore_reason(ctx, destination, &delivery, switch)?;
    if args.dry_run {
        if format == Format::Text {
            ctx.ui.status(&format!("nothing would be sent; {reason}"));
        } else {
            let view = serde_json::json!({ "dry_run": true, "ignored_by": switch.as_str(), "request": null });
            ctx.ui.line(&format.document(&view))?;
        }
        return Ok(Exit::Done);
    }
    let journal = ctx.journal()?;
    let results = journal.commit(&[Write::Ignore(delivery, switch)])?;
    let exit = match results.into_iter().next() {
        Some(WriteResult::Delivery(delivery)) => {
            report::single(ctx, &*journal, &delivery, format, Vec::new())?
        }
        Some(WriteResult::Rejected(error)) => {
            return Err(Failure::from_error(Kind::Journal, error));
        }
        _ => Exit::Done,
    };
    ctx.ui.status(&reason);
    Ok(exit)
}

fn ignore_reason(
    ctx: &Context<'_>,
    destination: &FireTarget<'_>,
    delivery: &NewDelivery,
    switch: Switch,
) -> Result<String, Failure> {
    let payload = &delivery.payload;
    let event_type = payload.event_type.as_deref().unwrap_or_default();
    let action = payload.action.as_deref().unwrap_or_default();
    let (of, change) = match destination.endpoint() {
        Some(name) => {
            let (path, _) = ctx.config_path()?;
            (
                format!("of endpoint `{name}`"),
                format!("change it in `{}`", path.display()),
            )
        }
        None => (
            "of a bare URL".to_owned(),
            "name an endpoint where it is on".to_owned(),
        ),
    };
    let state = switch.describe(&format!("`{}` {of}", switch.as_str()), event_type, action);
    Ok(format!(
        "{} is ignored: {state}; {change}, or send it with `--force`",
        payload.name()
    ))
}

pub fn dry_run(ctx: &Context<'_>, delivery: &NewDelivery, format: Format) -> Result<Exit, Failure> {
    let policy = &delivery.retry_policy;
    let Payload {
        kind,
        method,
        bytes,
        ..
    } = &delivery.payload;
    let headers = payload_headers("(made when it is sent)", kind);
    let head = request_head(method, &delivery.target, &headers);
    let body = kind.request_body(bytes);
    if format == Format::Text {
        ctx.ui
            .status(&format!("nothing is sent; {}", policy.describe()));
        ctx.ui.data(|out| writeln!(out, "{head}"))?;
        ctx.ui
            .data(|out| out.write_all(ctx.ui.untrusted_bytes(&body).as_ref()))?;
        if !body.ends_with(b"\n") {
            ctx.ui.line("")?;
        }
    } else {
        let headers: Vec<(&str, &str)> = head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .collect();
        let mut request = serde_json::json!({
            "method": method, "url": delivery.target.to_string(), "headers": headers,
        });
        match (kind, std::str::from_utf8(&body)) {
            (PayloadKind::Event(_), Err(_)) => request["body"] = pretty(bytes)?.into(),
            (PayloadKind::Event(_), Ok(body)) => request["body"] = body.into(),
            (PayloadKind::Body { .. }, _) => {
                let body = BodyView::new(&body);
                request["body"] = body.text().into();
                request["body_encoding"] = body.encoding().into();
            }
        }
        let view = serde_json::json!({
            "dry_run": true,
            "ignored_by": null,
            "request": request,
            "retry_policy": {
                "success": policy.success.to_string(), "retries": policy.retries,
                "retry_interval": compact(policy.interval),
                "retry_schedule": policy.schedule.as_ref().map(ToString::to_string),
            },
        });
        ctx.ui.line(&format.document(&view))?;
    }
    Ok(Exit::Done)
}
