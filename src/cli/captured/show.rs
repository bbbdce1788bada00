//! `hookfire captured show`

use clap::{Args, ValueEnum, ValueHint};

use super::selection::with_runs;
use super::source::SourceArgs;
use crate::capture::{Mask, export};
use crate::cli::args::{Format, ReportOutput, parse_id};
use crate::cli::context::Context;
use crate::error::Failure;
use crate::exit::Exit;
use crate::journal::StoredCapture;
use crate::output::capture_json::whole_capture_view;
use crate::output::{capture, json};

const EXAMPLES: &str = "\
Examples:
  Show everything about a capture:
    $ hookfire captured show 17
  Write the exact bytes, head and body:
    $ hookfire captured show 17 --raw > request.bin
  Decompress a compressed body:
    $ hookfire captured show 17 --body | gunzip
  Print the request as a curl command, with secrets:
    $ hookfire captured show 17 --as curl --reveal
  Show a capture of a listener on another machine:
    $ hookfire captured show 17 --from https://hooks.example.com --token @env:READ_TOKEN";

/// Show a captured request: head, formatted body, and response
///
/// XML and JSON bodies are indented, compressed bodies (gzip, deflate, br, zstd) are decoded, and the parts of a multipart body are
/// listed; of a binary body, the size and first bytes are shown. --raw and --body write
/// the exact bytes without masking; only a terminal gets control characters escaped.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct CapturedShowArgs {
    /// The capture, such as 17 or '#17'
    #[arg(value_name = "ID", value_parser = parse_id, value_hint = ValueHint::Other)]
    id: i64,
    /// Write the exact bytes of head and body
    #[arg(long, help_heading = None)]
    raw: bool,
    /// Write the exact bytes of the body, without transfer coding
    #[arg(long, help_heading = None, conflicts_with = "raw")]
    body: bool,
    /// Print the request for another tool
    #[arg(long = "as", value_name = "FORM", value_enum, help_heading = None, conflicts_with_all = ["raw", "body"])]
    form: Option<Form>,
    #[command(flatten)]
    source: SourceArgs,
    /// Show secret values
    #[arg(long, help_heading = None)]
    reveal: bool,
    #[command(flatten)]
    output: ReportOutput,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    /// A curl command
    Curl,
    /// A request for a .http file, as REST clients of editors read it
    Http,
    /// A HAR 1.2 archive
    Har,
    /// The JSON object that `listen` prints
    Json,
}

pub(super) fn run(args: &CapturedShowArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let exact = args.raw || args.body;
    if (exact || args.form.is_some()) && ctx.is_flag("output") {
        return Err(Failure::usage(
            "`--raw`, `--body` and `--as` cannot be combined with `--output`",
        ));
    }
    let mask = if exact {
        Mask::default()
    } else {
        ctx.mask(args.reveal)?
    };
    let source = args.source.open(ctx)?;
    let (StoredCapture { record, body, .. }, runs) = with_runs(&*source, args.id)?;
    let program = ctx.program();
    let forwards = source.forwards(args.id)?;
    let view = || {
        let forwards = forwards.iter().map(json::delivery_view).collect();
        whole_capture_view(&record, &mask, &body, &runs, forwards)
    };
    let bytes = |bytes: &[u8]| {
        ctx.ui
            .data(|out| out.write_all(&ctx.ui.untrusted_bytes(bytes)))
    };
    let text = |text: &str| ctx.ui.line(&ctx.ui.untrusted(text));
    if args.raw {
        bytes(&record.capture.head)?;
        bytes(body.as_sent())?;
    } else if args.body {
        bytes(&body.bytes)?;
    } else {
        match (args.form, args.output.format()) {
            (Some(Form::Curl), _) => text(&export::curl(&record, &body, &mask, &program)?)?,
            (Some(Form::Http), _) => text(&export::http(&record, &body, &mask, &program)?)?,
            (Some(Form::Har), _) => ctx
                .ui
                .line(&json::pretty(&export::har(&record, &body, &mask)?))?,
            (Some(Form::Json), _) | (None, Format::Json) => ctx.ui.line(&json::pretty(&view()))?,
            (None, Format::Text) => ctx.ui.line(&capture::page(
                ctx.ui,
                &record,
                &body,
                (&runs, &forwards),
                &mask,
                ctx.now(),
            ))?,
            (None, _) => ctx.ui.line(&json::compact(&view()))?,
        }
    }
    ctx.ui.flush()?;
    if !exact && mask.hides(&record.capture) {
        ctx.ui
            .hint("secret values are shown as ***; `--reveal` shows them");
    }
    Ok(Exit::Done)
}
