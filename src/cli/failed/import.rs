//! `hookfire failed import`

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};

use crate::cli::args::ReportOutput;
use crate::cli::context::Context;
use crate::cli::intake::{FailureImport, unreadable};
use crate::error::{Failure, Kind};
use crate::exit::Exit;
use crate::output::Progress;
use crate::portal::failures;
use crate::text::count;
use crate::time::Clock as _;

/// Unreadable entries that JSON output describes; stderr describes all.
const MAX_REPORTED_PROBLEMS: usize = 100;

const EXAMPLES: &str = "\
Examples:
  Import a list of 3scale's API:
    $ hookfire failed import failures.json
  Import it from a pipe:
    $ curl -s https://acme-admin.3scale.net/admin/api/webhooks/failures.json -G --data-urlencode access_token@token | hookfire failed import -
  Then send the imported events to an endpoint:
    $ hookfire retry --all --endpoint staging";

/// Import 3scale's list of failed deliveries into the failed list
///
/// Reads a response of GET /admin/api/webhooks/failures.json or failures.xml of any length. JSON has the events as
/// they were sent; 3scale's XML indents them anew. Each entry becomes a failed delivery with its id as uuid, its
/// time, error and event. Entries that are already in the journal are skipped, so you can import a list twice.
/// Entries that cannot be read are reported with their place; the others are imported, and the exit code is 2.
///
/// Query values, users and passwords of the URLs are secrets and are not stored; the names of parameters are. Text that is not
/// a URL, which 3scale accepts, is imported too; such events can be sent only with --endpoint or --url. If a URL, without its query, is that of a
/// configured endpoint, `hookfire retry` sends the event with the endpoint's secrets. Send the others with
/// `retry --endpoint`, `--url` or `--secret`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct FailedImportArgs {
    /// The list, JSON or XML (- = stdin)
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    #[command(flatten)]
    output: ReportOutput,
}

pub(super) fn run(args: &FailedImportArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let (from, mut input) = open(&args.file, ctx)?;
    let journal = ctx.journal()?;
    if args.file != Path::new("-") {
        // From a pipe, Ctrl-C ends the process: the wait for input would not end.
        ctx.catch_interrupts()?;
    }
    let mut intake = FailureImport::new(&*journal, ctx.config()?);
    let (mut broken, mut named) = (0, Vec::new());
    let read = failures::each(&mut *input, |failure| match failure {
        Ok(failed) => {
            intake.push(failed)?;
            ctx.ui.progress(&Progress {
                done: (intake.imported + intake.known) as u64,
                of: None,
                words: "deliveries".to_owned(),
            });
            if ctx.clock.interrupted() {
                return Err(Failure::new(Kind::Interrupted, "interrupted")
                    .hint("importing the list again adds the rest"));
            }
            Ok(())
        }
        Err(problem) => {
            broken += 1;
            ctx.ui.warning(&ctx.ui.untrusted(&problem.to_string()));
            if named.len() < MAX_REPORTED_PROBLEMS {
                named.push(serde_json::json!({
                    "number": problem.number, "line": problem.line, "uuid": problem.uuid, "problem": problem.problem,
                }));
            }
            Ok(())
        }
    });
    // The entries before an error are imported.
    let taken = match &read {
        Ok(Err(_)) => Ok(()),
        _ => intake.finish(),
    };
    ctx.ui.end_progress();
    let (imported, known) = (intake.imported, intake.known);
    let deliveries = count(imported, "failed delivery", "failed deliveries");
    let mut text = format!("imported {deliveries}");
    if known > 0 {
        text += &format!(", {known} already known");
    }
    let view = serde_json::json!({ "imported": imported, "known": known, "broken": broken, "problems": named });
    ctx.ui.report(args.output.format(), &text, &view)?;
    taken?;
    read.map_err(|e| unreadable(e, &from))??;
    if broken > 0 {
        let words = count(
            broken,
            "entry of the list cannot be read",
            "entries of the list cannot be read",
        );
        return Err(
            Failure::usage(format!("{words}; the others were imported"))
                .hint("correct the list and import it again; entries that are already imported are skipped"),
        );
    }
    Ok(Exit::Done)
}

fn open(path: &Path, ctx: &Context<'_>) -> Result<(String, Box<dyn BufRead>), Failure> {
    if path == Path::new("-") {
        ctx.ui.reads_stdin("the list");
        return Ok(("stdin".to_owned(), Box::new(std::io::stdin().lock())));
    }
    let name = format!("`{}`", path.display());
    let file = File::open(path).map_err(|e| Failure::io(format!("cannot read {name}"), e))?;
    Ok((name, Box::new(BufReader::with_capacity(64 * 1024, file))))
}
