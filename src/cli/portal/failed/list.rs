//! `hookfire portal failed list`

use clap::Args;

use crate::cli::args::{Format, PageOutput, TransportArgs};
use crate::cli::context::Context;
use crate::cli::portal::access::{Access, PortalArgs};
use crate::cli::portal::listing;
use crate::error::Failure;
use crate::event::failures;
use crate::exit::Exit;
use crate::output::{OutputError, json, table};
use crate::portal::tenant::Failed;
use crate::time::{local, rfc3339};

const EXAMPLES: &str = "\
Examples:
  What the tenant could not deliver, oldest first:
    $ hookfire portal failed list
  Keep it as a file that `hookfire failed import` takes:
    $ hookfire portal failed list -o xml > failures.xml";

/// List the tenant's failed deliveries, oldest first
///
/// Nothing is imported or changed. `xml` is 3scale's own document, with the values in the URLs' queries masked.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct PortalFailedListArgs {
    #[command(flatten)]
    portal: PortalArgs,
    #[command(flatten)]
    transport: TransportArgs,
    #[command(flatten)]
    output: PageOutput,
}

pub(super) fn run(args: &PortalFailedListArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let access = Access::of(&args.portal, &args.transport, ctx)?;
    ctx.catch_interrupts()?;
    let mut found = Vec::new();
    listing::read(ctx, &access.portal(), true, |failed| {
        found.push(failed);
        Ok(())
    })?;
    match args.output.format() {
        Format::Json => {
            let mut array = json::Array::default();
            found
                .iter()
                .try_for_each(|failed| ctx.ui.line(&array.element(&view(failed))))?;
            ctx.ui.line(array.end())?;
        }
        Format::Ndjson => found
            .iter()
            .try_for_each(|failed| ctx.ui.line(&json::compact(&view(failed))))?,
        Format::Xml => {
            let document = document(&found).map_err(OutputError::from)?;
            ctx.ui
                .data(|out| out.write_all(&ctx.ui.outside_bytes(&document)))?;
        }
        _ if found.is_empty() => ctx.ui.status("the tenant has no failed deliveries"),
        _ => {
            let rows = found.iter().map(|failed| {
                let event = format!("{}.{}", failed.event.event_type(), failed.event.action());
                vec![
                    local(failed.at),
                    event,
                    failed.target.to_string(),
                    failed.error.message.clone(),
                ]
            });
            ctx.ui.line(&table::plain(
                ctx.ui,
                &["FAILED", "EVENT", "TO", "ERROR"],
                rows,
            ))?;
        }
    }
    ctx.ui.flush()?;
    Ok(Exit::Done)
}

fn view(failed: &Failed) -> serde_json::Value {
    let error = &failed.error;
    serde_json::json!({
        "uuid": failed.uuid, "time": rfc3339(failed.at), "type": failed.event.event_type(),
        "action": failed.event.action(), "url": failed.target.to_string(),
        "error": { "kind": error.kind.as_str(), "http_status": error.http_status, "message": error.message },
    })
}

fn document(found: &[Failed]) -> std::io::Result<Vec<u8>> {
    let mut writer = failures::FailuresWriter::new(Vec::new())?;
    for failed in found {
        writer.push(&failures::Failure {
            id: &failed.uuid,
            time: &failed.time,
            error: &failed.error.message,
            url: &failed.target.to_string(),
            event: failed.event.bytes(),
        })?;
    }
    writer.finish()
}
