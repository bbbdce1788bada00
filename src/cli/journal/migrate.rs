//! `hookfire journal migrate`

use clap::Args;

use crate::cli::args::ReportOutput;
use crate::cli::context::Context;
use crate::error::Failure;
use crate::exit::Exit;
use crate::journal::{self, Location};

const EXAMPLES: &str = "\
Examples:
  Create the tables, as a user who may create a schema in the database:
    $ hookfire journal migrate --journal postgresql://owner@db.example.com/hooks
  Let another user read and write them:
    $ psql -c 'GRANT USAGE ON SCHEMA hookfire TO ci' hooks
    $ psql -c 'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA hookfire TO ci' hooks";

/// Create or upgrade the tables of a journal in a PostgreSQL database
///
/// The tables are in the schema `hookfire`. All other commands need only the rights to read and write them. A journal in
/// a file needs no such step: every command creates and upgrades it.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct JournalMigrateArgs {
    #[command(flatten)]
    output: ReportOutput,
}

pub(super) fn run(args: &JournalMigrateArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let (location, _) = ctx.journal_location()?;
    let Location::Server(server) = &location else {
        return Err(Failure::usage(format!(
            "the journal `{location}` is a file, which needs no migration"
        ))
        .hint("name a database with `--journal postgresql://USER@HOST/DATABASE`"));
    };
    let migrated = journal::migrate(server)?;
    let done = match migrated.from {
        0 => "created the tables".to_owned(),
        from if from == migrated.to => "nothing to do: the tables are up to date".to_owned(),
        from => format!("upgraded the tables from version {from}"),
    };
    let text = format!("{location}: {done} (version {})", migrated.to);
    let view = serde_json::json!({
        "journal": location.to_string(), "from": migrated.from, "to": migrated.to,
    });
    ctx.ui.report(args.output.format(), &text, &view)?;
    if migrated.from != migrated.to {
        ctx.ui.hint(
            "to let another role use them: `GRANT USAGE ON SCHEMA hookfire TO ROLE; \
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA hookfire TO ROLE`",
        );
    }
    Ok(Exit::Done)
}
