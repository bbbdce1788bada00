//! `hookfire portal failed list`

use clap::Args;

use crate::cli::args::{Format, PageOutput, TransportArgs};
use crate::cli::context::Context;
use crate::cli::portal::access::{self, PortalArgs};
use crate::cli::portal::listing;
use crate::error::Failure;
use crate::exit::Exit;
use crate::output::{self, Column, OutputError};
use crate::portal::failures::{self, PortalFailure};
use crate::time::{local, rfc3339};

const EXAMPLES: &str = "\
Examples:
  List the tenant's failed deliveries:
    $ hookfire portal failed list
  Write a file for `hookfire failed import`:
    $ hookfire portal failed list -o xml > failures.xml";

/// List the tenant's failed deliveries, oldest first
///
/// Imports and changes nothing. `xml` is the document of 3scale's API, with query values of URLs masked.
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
    let portal = access::client(&args.portal, &args.transport, ctx)?;
    ctx.catch_interrupts()?;
    let mut found = Vec::new();
    listing::read(ctx, &portal, true, |failed| {
        found.push(failed);
        Ok(())
    })?;
    let format = args.output.format();
    if format == Format::Xml {
        let document = document(&found).map_err(OutputError::from)?;
        ctx.ui
            .data(|out| out.write_all(&ctx.ui.untrusted_bytes(&document)))?;
        return Ok(Exit::Done);
    }
    let columns = vec![
        Column::<PortalFailure>::text("FAILED", |failed| local(failed.at)),
        Column::<PortalFailure>::text("EVENT", |failed| failed.payload.name()),
        Column::<PortalFailure>::text("TO", |failed| failed.target.to_string()),
        Column::<PortalFailure>::text("ERROR", |failed| failed.error.message.clone()),
    ];
    let count = output::rows(ctx.ui, format, columns, view, found)?;
    if count == 0 && format == Format::Text {
        ctx.ui.status("the portal has no failed deliveries");
    }
    Ok(Exit::Done)
}

fn view(failed: &PortalFailure) -> serde_json::Value {
    let error = &failed.error;
    serde_json::json!({
        "uuid": failed.uuid, "time": rfc3339(failed.at), "type": failed.payload.event_type,
        "action": failed.payload.action, "url": failed.target.to_string(),
        "error": { "kind": error.kind.as_str(), "http_status": error.http_status, "message": error.message },
    })
}

fn document(found: &[PortalFailure]) -> std::io::Result<Vec<u8>> {
    let mut writer = failures::FailuresWriter::new(Vec::new(), failures::ListFormat::Xml)?;
    for failed in found {
        writer.push(&failures::FailureEntry {
            id: &failed.uuid,
            time: &failed.time,
            error: &failed.error.message,
            url: failed.target.to_string(),
            kind: &failed.payload.kind,
            method: &failed.payload.method,
            event_type: failed.payload.event_type.as_deref(),
            action: failed.payload.action.as_deref(),
            payload: &failed.payload.bytes,
        })?;
    }
    writer.finish()
}
