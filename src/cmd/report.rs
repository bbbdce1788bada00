//! What became of a delivery, as `fire` and `retry` end: exit code, words, and what to do next.

use super::args::Format;
use super::context::Context;
use crate::delivery::{Delivery, ErrorKind, Status};
use crate::exit::Exit;
use crate::failure::{Failure, Kind};
use crate::journal::Journal;
use crate::output::human::result_line;
use crate::output::json::{self, DeliveryView};

/// The exit code that a delivery's state stands for.
pub fn exit_of(delivery: &Delivery) -> Exit {
    kind_of(delivery).map_or(Exit::Done, Kind::exit)
}

fn kind_of(delivery: &Delivery) -> Option<Kind> {
    match (delivery.status, delivery.last_error.as_ref().map(|error| error.kind)) {
        (Status::Delivered, _) => None,
        (Status::Interrupted, _) => Some(Kind::Interrupted),
        (Status::Failed, Some(ErrorKind::Status)) => Some(Kind::Refused),
        (Status::Failed, _) => Some(Kind::Unreachable),
        (Status::Pending, _) => Some(Kind::Error),
    }
}

/// Prints what became of one delivery and says how it ended.
pub fn single(ctx: &Context<'_>, journal: &Journal, delivery: &Delivery, format: Format) -> Result<Exit, Failure> {
    match format {
        Format::Text => {
            ctx.ui.line(&result_line(ctx.ui, delivery))?;
            ctx.ui.flush()?;
            for hint in hints(delivery) {
                ctx.ui.hint(&hint);
            }
            Ok(exit_of(delivery))
        }
        _ => {
            let view = DeliveryView::new(delivery).with_attempts(&journal.attempts(delivery.id)?);
            ctx.ui.line(&if format == Format::Json { json::pretty(&view) } else { json::compact(&view) })?;
            ctx.ui.flush()?;
            let Some(kind) = kind_of(delivery) else {
                return Ok(Exit::Done);
            };
            let reason = delivery.last_error.as_ref().map_or(String::new(), |error| format!(": {}", error.message));
            let message = format!("#{} {}{reason}", delivery.id, delivery.status.as_str());
            Err(hints(delivery).into_iter().fold(Failure::new(kind, message), Failure::hint))
        }
    }
}

fn hints(delivery: &Delivery) -> Vec<String> {
    let id = delivery.id;
    let Some(error) = delivery.last_error.as_ref().filter(|_| delivery.status != Status::Delivered) else {
        return Vec::new();
    };
    let mut hints = Vec::new();
    match (error.kind, error.http_status) {
        (ErrorKind::Status, Some(200..300)) => {
            hints.push("if that is a success to you, say so with `--success 200-207`".to_owned());
        }
        (ErrorKind::Tls, _) => hints.push("trust the endpoint's own certificate with `--cacert FILE`".to_owned()),
        _ => {}
    }
    hints.push(format!("`hookfire failed show {id}` shows what happened, `hookfire retry {id}` sends it again"));
    hints
}
