//! `hookfire failed`: the deliveries that nobody got.

mod delete;
mod import;
mod list;
mod show;

use clap::Subcommand;

use super::context::Context;
use crate::error::Failure;
use crate::exit::Exit;

/// List, show, delete and import failed deliveries
///
/// The failed list holds every delivery that was not delivered after all its attempts, and every one whose process died
/// or was stopped (interrupted).
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  $ hookfire failed list\n  $ hookfire failed show 42\n  $ hookfire failed delete 42\n  $ hookfire failed import failures.xml"
)]
pub enum FailedCommand {
    List(list::FailedListArgs),
    Show(show::FailedShowArgs),
    Delete(delete::FailedDeleteArgs),
    Import(import::FailedImportArgs),
}

impl FailedCommand {
    /// Runs it.
    ///
    /// # Errors
    /// What went wrong, ready to be told.
    pub fn run(self, ctx: &Context<'_>) -> Result<Exit, Failure> {
        match self {
            FailedCommand::List(args) => list::run(&args, ctx),
            FailedCommand::Show(args) => show::run(&args, ctx),
            FailedCommand::Delete(args) => delete::run(&args, ctx),
            FailedCommand::Import(args) => import::run(&args, ctx),
        }
    }
}
