//! Deliveries as text: the lines that `fire` and `retry` print, the columns of lists, and the page of `show`.

use std::fmt::Write as _;
use std::time::Duration;

use super::rows::optional;
use super::{Column, Tone, Ui};
use crate::delivery::payload::{DEFAULT_METHOD, PayloadKind};
use crate::delivery::{Attempt, Delivery, ErrorKind, Status};
use crate::document::pretty_json;
use crate::engine::FinishedAttempt;
use crate::event::{self, BodyFormat};
use crate::http::status_text;
use crate::text::{count, size};
use crate::time::{UnixMs, ago, compact, local, measured, rfc3339, until};

/// One line that names the delivery: `#42 application.created → https://hooks.example.com/3scale?token=***`.
pub fn headline(delivery: &Delivery) -> String {
    format!("{} → {}", title(delivery), delivery.target)
}

/// Number and name of the delivery: `#42 application.created`.
fn title(delivery: &Delivery) -> String {
    match delivery.event_type {
        Some(_) => format!("#{} {}", delivery.id, delivery.name()),
        None => format!("#{}", delivery.id),
    }
}

/// `#42 delivered, 2 attempts` or `#42 failed, 6 attempts: 503 Service Unavailable`
pub fn result_line(ui: &Ui, delivery: &Delivery, now: UnixMs) -> String {
    let status = ui.toned(tone(delivery.status), delivery.status.as_str());
    if delivery.status == Status::Ignored {
        return format!("#{} {status}", delivery.id);
    }
    if delivery.status == Status::Pending {
        return scheduled_line(ui, delivery, now);
    }
    let attempts = count(delivery.attempt_count as usize, "attempt", "attempts");
    let reason = match &delivery.last_error {
        Some(error) if delivery.status != Status::Delivered => format!(": {}", error.message),
        _ => String::new(),
    };
    format!(
        "#{} {status}, {attempts}{}",
        delivery.id,
        ui.untrusted(&reason)
    )
}

/// `#42 scheduled: next attempt in 60s (hookfire retry --due)`; after a later attempt, with its error.
fn scheduled_line(ui: &Ui, delivery: &Delivery, now: UnixMs) -> String {
    let (id, status) = (delivery.id, ui.toned(Tone::Warning, "scheduled"));
    let due = delivery.next_attempt_at.unwrap_or(now);
    let wait = Duration::from_secs(due.since(now).as_secs_f64().round() as u64);
    let next = match (delivery.sequence.is_some(), wait.is_zero()) {
        (true, true) => WAITS_IN_ORDER.to_owned(),
        (false, true) => "next attempt is due".to_owned(),
        (_, false) => format!("next attempt in {}", compact(wait)),
    };
    match &delivery.last_error {
        Some(error) if delivery.attempt_count > 1 => {
            let attempts = count(delivery.attempt_count as usize, "attempt", "attempts");
            format!(
                "#{id} {status}, {attempts}: {}; {next}",
                ui.untrusted(&error.message)
            )
        }
        _ => {
            let retry = ui.with_program("`hookfire retry --due`");
            format!("#{id} {status}: {next} ({})", retry.trim_matches('`'))
        }
    }
}

fn tone(status: Status) -> Tone {
    match status {
        Status::Delivered => Tone::Good,
        Status::Ignored => Tone::Faint,
        Status::Pending => Tone::Warning,
        Status::Failed | Status::Interrupted => Tone::Bad,
    }
}

/// `attempt 2 of 6: 503 Service Unavailable (12 ms), next in 60s`
pub fn attempt_line(attempt: &FinishedAttempt<'_>) -> String {
    let outcome = attempt.outcome;
    let mut line = format!("attempt {} of {}: ", attempt.made, attempt.allowed);
    match (&outcome.error, outcome.http_status) {
        (Some(error), _) => line.push_str(&error.message),
        (None, Some(status)) => line.push_str(&status_text(status)),
        (None, None) => line.push_str("delivered"),
    }
    let _ = write!(line, " ({})", measured(attempt.duration));
    if outcome.maybe_received {
        line.push_str(", the endpoint may have received it");
    }
    if let Some(note) = &outcome.note {
        let _ = write!(line, "; {note}");
    }
    if let Some(next_in) = attempt.next_in {
        let _ = write!(line, ", next in {}", compact(next_in));
    }
    line
}

/// The columns of lists of deliveries; `with_status` unless all have the same status, `with_owner` if several hosts may
/// have sent them.
pub fn columns(with_status: bool, with_owner: bool, now: UnixMs) -> Vec<Column<'static, Delivery>> {
    type Col = Column<'static, Delivery>;
    let status = |d: &Delivery| d.status.as_str().to_owned();
    let owner = |d: &Delivery| optional(d.last_owner.as_ref());
    let mut columns = vec![
        Col::text("ID", |d| format!("#{}", d.id)),
        Col::text("EVENT", Delivery::label).whole(),
        Col::text("TO", |d| {
            d.endpoint.clone().unwrap_or_else(|| d.target.to_string())
        }),
        Col::csv("id", |d| d.id.to_string()),
        Col::csv("uuid", |d| d.uuid.clone()),
        Col::csv("type", |d| optional(d.event_type.as_ref())),
        Col::csv("action", |d| optional(d.action.as_ref())),
        Col::csv("endpoint", |d| optional(d.endpoint.as_ref())),
        Col::csv("url", |d| d.target.to_string()),
        if with_status {
            Col::new("STATUS", "status", status)
                .toned(|d| tone(d.status))
                .whole()
        } else {
            Col::csv("status", status)
        },
        Col::text("WHEN", |d| local(d.finished_or_created_at()))
            .min_width(140)
            .whole(),
        Col::text("AGE", move |d| ago(d.finished_or_created_at(), now)).min_width(70),
        Col::csv("created_at", |d| rfc3339(d.created_at)),
        Col::csv("finished_at", |d| optional(d.finished_at.map(rfc3339))),
        Col::new("TRIES", "attempt_count", |d| d.attempt_count.to_string()).min_width(100),
    ];
    if with_status {
        let next = move |d: &Delivery| optional(d.next_attempt_at.map(|due| until(due, now)));
        columns.push(Col::text("NEXT", next).min_width(70));
    }
    columns.extend([
        Col::text("LAST ERROR", move |d| last_error(d, now)).toned(|d| tone(d.status)),
        Col::csv("error_kind", |d| {
            optional(d.last_error.as_ref().map(|error| error.kind.as_str()))
        }),
        Col::csv("http_status", |d| {
            optional(d.last_error.as_ref().and_then(|error| error.http_status))
        }),
        Col::csv("error_message", |d| {
            optional(d.last_error.as_ref().map(|error| &error.message))
        }),
        if with_owner {
            Col::new("OWNER", "owner", owner).min_width(100)
        } else {
            Col::csv("owner", owner)
        },
    ]);
    columns
}

/// Why a delivery is not delivered; empty once it is.
fn last_error(delivery: &Delivery, now: UnixMs) -> String {
    if let Some(switch) = delivery.ignored_by {
        return format!("disabled by the `{}` switch", switch.as_str());
    }
    let error = match &delivery.last_error {
        Some(error) if delivery.status != Status::Delivered => error,
        _ if waits_in_order(delivery, now) => return WAITS_IN_ORDER.to_owned(),
        _ => return String::new(),
    };
    if waits_in_order(delivery, now) {
        return format!("{WAITS_IN_ORDER}; {}", error.message);
    }
    if delivery.status == Status::Interrupted && error.kind != ErrorKind::Interrupted {
        return format!("interrupted; previous attempt: {}", error.message);
    }
    if error.kind == ErrorKind::Portal {
        return format!("{} (cause not reported by the portal)", error.message);
    }
    error.message.clone()
}

const WAITS_IN_ORDER: &str = "waits for those before it in its bin";

fn waits_in_order(delivery: &Delivery, now: UnixMs) -> bool {
    let is_due = delivery.next_attempt_at.is_some_and(|due| due <= now);
    is_due && delivery.sequence.is_some()
}

/// All that is known of one delivery, as a page.
pub fn page(
    ui: &Ui,
    delivery: &Delivery,
    attempts: &[Attempt],
    payload: &[u8],
    now: UnixMs,
) -> String {
    let heading = |text: &str| ui.toned(Tone::Strong, &ui.untrusted(text));
    let mut page = format!("{}\n", heading(&title(delivery)));
    for (name, value) in fields(ui, delivery, now) {
        let name = ui.toned(Tone::Faint, &format!("{name:<9}"));
        let _ = writeln!(page, "{name} {value}");
    }
    if !attempts.is_empty() {
        let _ = writeln!(page, "\n{}", heading("attempts"));
    }
    for attempt in attempts {
        page.push_str(&timeline_line(ui, attempt));
    }
    if let Some((number, headers)) = last_headers(attempts) {
        let title = heading(&format!("response headers of attempt {number}"));
        let _ = writeln!(page, "\n{title}");
        for (name, value) in headers {
            let _ = writeln!(page, "{}", ui.untrusted(&format!("{name}: {value}")));
        }
    }
    if let Some((number, body)) = last_response(attempts) {
        let title = heading(&format!("response body of attempt {number}"));
        let text = String::from_utf8_lossy(body);
        let text = ui.untrusted_document(text.trim_end());
        let _ = writeln!(page, "\n{title}\n{text}");
    }
    let (name, shown) = match delivery.payload_kind {
        PayloadKind::Event(_) => ("event", event::pretty(payload).ok()),
        PayloadKind::Body { .. } => ("body", pretty_body(payload)),
    };
    // A damaged document is shown unchanged, so that users can find the damage.
    let shown = shown.unwrap_or_else(|| String::from_utf8_lossy(payload).into_owned());
    let shown = ui.untrusted_document(shown.trim_end());
    let _ = write!(page, "\n{}\n{shown}", heading(name));
    page
}

/// JSON over several lines, or how to get a body that is not text; none for other text.
fn pretty_body(body: &[u8]) -> Option<String> {
    if str::from_utf8(body).is_ok() {
        return pretty_json(body);
    }
    let size = size(body.len() as u64);
    Some(format!("{size}, not text; `--body` writes it"))
}

fn fields(ui: &Ui, delivery: &Delivery, now: UnixMs) -> Vec<(&'static str, String)> {
    let when = |point: UnixMs| format!("{} ({})", local(point), ago(point, now));
    let status = ui.toned(tone(delivery.status), delivery.status.as_str());
    let status = match delivery.ignored_by {
        Some(switch) => format!("{status}, as the switch `{}` said", switch.as_str()),
        None => {
            let attempts = count(delivery.attempt_count as usize, "attempt", "attempts");
            format!("{status}, {attempts}")
        }
    };
    let url = ui.untrusted(&delivery.target.to_string()).into_owned();
    let kind = &delivery.payload_kind;
    let wire = match kind {
        PayloadKind::Event(BodyFormat::Xml) => None,
        PayloadKind::Event(format) => Some(format.as_str().to_owned()),
        PayloadKind::Body { .. } => None,
    };
    let content_type = match kind {
        PayloadKind::Event(_) => None,
        PayloadKind::Body { content_type } => Some(ui.untrusted(content_type).into_owned()),
    };
    let in_order = match delivery.sequence {
        Some(_) => ", after those before it in its bin",
        None => "",
    };
    let capture = delivery.capture;
    let capture = capture.map(|id| format!("capture #{id}{in_order}"));
    let signing = delivery.target.signing.as_ref();
    let signed = signing.map(|signing| format!("by the scheme {}", signing.scheme.name()));
    let method = (delivery.method != DEFAULT_METHOD).then(|| delivery.method.clone());
    let ended = match delivery.status {
        Status::Delivered => "delivered",
        _ => "failed",
    };
    let owner = delivery.last_owner.as_deref();
    let owner = owner.map(|owner| ui.untrusted(owner).into_owned());
    let next = |next| format!("{} ({})", local(next), until(next, now));
    let fields = [
        ("status", Some(status)),
        ("endpoint", delivery.endpoint.clone()),
        ("url", Some(url)),
        ("uuid", Some(delivery.uuid.clone())),
        ("method", method),
        ("wire", wire),
        ("content", content_type),
        ("signed", signed),
        ("forwards", capture),
        ("owner", owner),
        ("success", Some(delivery.retry_policy.success.to_string())),
        ("retries", Some(delivery.retry_policy.describe_retries())),
        ("accepted", Some(when(delivery.created_at))),
        (ended, delivery.finished_at.map(when)),
        ("next", delivery.next_attempt_at.map(next)),
    ];
    let known = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    known.collect()
}

fn timeline_line(ui: &Ui, attempt: &Attempt) -> String {
    let Attempt {
        number,
        started_at,
        duration,
        outcome,
        ..
    } = attempt;
    let took = duration.map_or_else(|| "-".to_owned(), measured);
    let words = match outcome {
        None => "under way".to_owned(),
        Some(outcome) => match (&outcome.error, outcome.http_status) {
            (Some(error), _) => ui.toned(Tone::Bad, &ui.untrusted(&error.message)),
            (None, status) => ui.toned(Tone::Good, &status_text(status.unwrap_or_default())),
        },
    };
    let mut line = format!("{number:>3}  {}  {took:>8}  {words}\n", local(*started_at));
    let outcome = outcome.as_ref();
    let remarks = [
        outcome
            .filter(|outcome| outcome.maybe_received)
            .map(|_| "the endpoint may have received it".to_owned()),
        outcome.and_then(|outcome| outcome.note.clone()),
        attempt.sent_to.as_ref().map(|url| format!("sent to {url}")),
        attempt
            .insecure
            .then(|| "certificates were not checked".to_owned()),
    ];
    for remark in remarks.into_iter().flatten() {
        let _ = writeln!(line, "     {}", ui.untrusted(&remark));
    }
    line
}

fn last_headers(attempts: &[Attempt]) -> Option<(u32, &[(String, String)])> {
    attempts.iter().rev().find_map(|attempt| {
        let headers = attempt.outcome.as_ref()?.response_headers.as_slice();
        (!headers.is_empty()).then_some((attempt.number, headers))
    })
}

fn last_response(attempts: &[Attempt]) -> Option<(u32, &[u8])> {
    attempts.iter().rev().find_map(|attempt| {
        let body = attempt.outcome.as_ref()?.response_body.as_deref()?;
        (!body.is_empty()).then_some((attempt.number, body))
    })
}
