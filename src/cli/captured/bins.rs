//! `hookfire captured bins`

use clap::Args;
use serde_json::json;

use super::source::SourceArgs;
use crate::capture::Bin;
use crate::cli::args::{Format, ListOutput};
use crate::cli::context::Context;
use crate::error::Failure;
use crate::exit::Exit;
use crate::output::{Column, optional, rows};
use crate::time::{ago, local, rfc3339};

const EXAMPLES: &str = "\
Examples:
  List the bins:
    $ hookfire captured bins
  Print the names of the empty ones, for a script:
    $ hookfire captured bins -o ndjson | jq -r 'select(.captures == 0).name'
  Delete a bin with its captures:
    $ hookfire captured delete --bin orders --with-bin
  List the bins of a listener on another machine:
    $ hookfire captured bins --from https://hooks.example.com --token @env:READ_TOKEN";

/// List the bins of captured requests
///
/// The first segment of a request's path selects its bin; without a bin of that name, it is captured in the listener's first
/// bin. `hookfire listen --bin` and the RequestBin API create bins, the API up to 1000.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct CapturedBinsArgs {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    output: ListOutput,
}

pub(super) fn run(args: &CapturedBinsArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let bins = args.source.open(ctx)?.bins()?;
    let now = ctx.now();
    type Col<'a> = Column<'a, Bin>;
    let columns = vec![
        Col::new("BIN", "name", |bin| bin.name.clone()),
        Col::new("CAPTURES", "captures", |bin| bin.request_count.to_string()),
        Col::text("LAST CAPTURE", |bin| {
            optional(bin.last_capture_at.map(local))
        }),
        Col::text("AGE", move |bin| {
            optional(bin.last_capture_at.map(|at| ago(at, now)))
        }),
        Col::csv("last_capture_at", |bin| {
            optional(bin.last_capture_at.map(rfc3339))
        }),
        Col::csv("created_at", |bin| rfc3339(bin.created_at)),
        Col::csv("private", |bin| bin.private.to_string()),
    ];
    let view = |bin: &Bin| {
        json!({
            "name": bin.name, "captures": bin.request_count,
            "last_capture_at": bin.last_capture_at.map(rfc3339),
            "created_at": rfc3339(bin.created_at), "private": bin.private,
        })
    };
    let format = args.output.format();
    let found = rows(ctx.ui, format, columns, view, bins)?;
    if found == 0 && format == Format::Text {
        ctx.ui.status("no bins yet");
    }
    Ok(Exit::Done)
}
