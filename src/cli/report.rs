//! What became of a delivery, as `fire` and `retry` end: exit code, words, and what to do next.

use super::args::Format;
use super::context::Context;
use crate::delivery::{Delivery, ErrorKind, Status};
use crate::error::{Failure, Kind};
use crate::exit::Exit;
use crate::http::tls_hint;
use crate::journal::Journal;
use crate::output::human::result_line;
use crate::output::json::DeliveryView;

/// The exit code that a delivery's state stands for.
pub fn exit_of(delivery: &Delivery) -> Exit {
    kind_of(delivery).map_or(Exit::Done, Kind::exit)
}

fn kind_of(delivery: &Delivery) -> Option<Kind> {
    match (
        delivery.status,
        delivery.last_error.as_ref().map(|error| error.kind),
    ) {
        (Status::Delivered | Status::Ignored | Status::Pending, _) => None,
        (Status::Interrupted, _) => Some(Kind::Interrupted),
        (Status::Failed, Some(ErrorKind::Status)) => Some(Kind::Refused),
        (Status::Failed, _) => Some(Kind::Unreachable),
    }
}

/// Prints what became of one delivery and says how it ended.
pub fn single(
    ctx: &Context<'_>,
    journal: &dyn Journal,
    delivery: &Delivery,
    format: Format,
) -> Result<Exit, Failure> {
    let exit = exit_of(delivery);
    let exit = Failure::after_output(print(ctx, journal, delivery, format), exit)?;
    match kind_of(delivery) {
        Some(kind) if format != Format::Text => {
            let reason = delivery
                .last_error
                .as_ref()
                .map_or(String::new(), |error| format!(": {}", error.message));
            let message = format!("#{} {}{reason}", delivery.id, delivery.status.as_str());
            Err(hints(delivery)
                .into_iter()
                .fold(Failure::new(kind, message), Failure::hint))
        }
        _ => {
            hints(delivery).iter().for_each(|hint| ctx.ui.hint(hint));
            Ok(exit)
        }
    }
}

fn print(
    ctx: &Context<'_>,
    journal: &dyn Journal,
    delivery: &Delivery,
    format: Format,
) -> Result<(), Failure> {
    let line = if format == Format::Text {
        result_line(ctx.ui, delivery)
    } else {
        let view = DeliveryView::new(delivery).with_attempts(&journal.attempts(delivery.id)?);
        format.document(&view)
    };
    ctx.ui.line(&line)?;
    Ok(ctx.ui.flush()?)
}

fn hints(delivery: &Delivery) -> Vec<String> {
    let id = delivery.id;
    let Some(error) = delivery
        .last_error
        .as_ref()
        .filter(|_| delivery.status.in_failed_list())
    else {
        return Vec::new();
    };
    let mut hints = Vec::new();
    match (error.kind, error.http_status) {
        (ErrorKind::Status, Some(200..300)) => {
            hints.push("if that is a success to you, say so with `--success 200-207`".to_owned());
        }
        (ErrorKind::Tls, _) => hints.extend(tls_hint(&error.message)),
        _ => {}
    }
    hints.push(format!(
        "`hookfire failed show {id}` shows what happened, `hookfire retry {id}` sends it again"
    ));
    hints
}
