//! `hookfire failed import`

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};

use crate::cli::args::{Format, ReportOutput};
use crate::cli::context::Context;
use crate::cli::intake::{Intake, unreadable};
use crate::error::{Failure, Kind};
use crate::exit::Exit;
use crate::portal::failures;
use crate::text::count;

/// Broken failures that a JSON report names; stderr names them all.
const NAMED: usize = 100;

const EXAMPLES: &str = "\
Examples:
  Take in what 3scale's API listed:
    $ hookfire failed import failures.xml
  The same from a pipe, in JSON:
    $ curl -s https://acme-admin.3scale.net/admin/api/webhooks/failures.json -G --data-urlencode access_token@token | hookfire failed import -
  Then send it to where you say:
    $ hookfire retry --all --endpoint staging";

/// Take 3scale's list of failed deliveries into the failed list
///
/// Reads the document that 3scale answers to GET /admin/api/webhooks/failures.xml or failures.json, of any length. Each
/// failure becomes a failed delivery with its id as its uuid, its time, its error and its event; one that is in the journal
/// already, delivered or not, is left as it is, so that a list can be taken in twice. A failure that cannot be read is named
/// with its place, the others go in, and the exit code is 2.
///
/// The values in their URLs' queries are secrets, and not kept; their names are. A delivery to the URL of a configured
/// endpoint, the query left aside, is taken for that endpoint's, and `hookfire retry` sends it with the endpoint's secrets.
/// Everything else is sent with `retry --endpoint`, `--url` or `--secret`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct FailedImportArgs {
    /// The list, XML or JSON (- = stdin)
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    #[command(flatten)]
    output: ReportOutput,
}

pub(super) fn run(args: &FailedImportArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let (from, mut input) = open(&args.file)?;
    let journal = ctx.journal()?;
    let mut intake = Intake::new(&*journal, ctx.config()?);
    let (mut broken, mut named) = (0, Vec::new());
    let read = failures::each(&mut *input, |failure| match failure {
        Ok(failed) => intake.take(failed),
        Err(problem) => {
            broken += 1;
            ctx.ui.warning(&ctx.ui.untrusted(&problem.to_string()));
            if named.len() < NAMED {
                named.push(serde_json::json!({
                    "number": problem.number, "line": problem.line, "uuid": problem.uuid, "problem": problem.problem,
                }));
            }
            Ok(())
        }
    });
    // What was read is taken in, however the reading ended.
    let taken = match &read {
        Ok(Err(_)) => Ok(()),
        _ => intake.finish(),
    };
    let (imported, known) = (intake.imported, intake.known);
    if args.output.format() == Format::Text {
        let known = if known > 0 {
            format!(", {known} already known")
        } else {
            String::new()
        };
        ctx.ui.line(&format!(
            "imported {}{known}",
            count(imported, "failed delivery", "failed deliveries")
        ))?;
    } else {
        let view = serde_json::json!({ "imported": imported, "known": known, "broken": broken, "problems": named });
        ctx.ui.line(&args.output.format().document(&view))?;
    }
    ctx.ui.flush()?;
    taken?;
    read.map_err(|e| unreadable(e, &from))??;
    if broken > 0 {
        let words = count(
            broken,
            "failure of the list is broken",
            "failures of the list are broken",
        );
        return Err(
            Failure::usage(format!("{words}; the others are in the failed list"))
                .hint("mend the list and take it in again: what is known is left as it is"),
        );
    }
    Ok(Exit::Done)
}

fn open(path: &Path) -> Result<(String, Box<dyn BufRead>), Failure> {
    if path == Path::new("-") {
        return Ok(("stdin".to_owned(), Box::new(std::io::stdin().lock())));
    }
    let name = format!("`{}`", path.display());
    let file = File::open(path).map_err(|e| {
        Failure::from_error(
            Kind::Error,
            anyhow::Error::new(e).context(format!("cannot read {name}")),
        )
    })?;
    Ok((name, Box::new(BufReader::with_capacity(64 * 1024, file))))
}
