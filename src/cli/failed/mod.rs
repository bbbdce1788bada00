//! `hookfire failed`: deliveries that were not delivered after all their attempts.

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
/// The failed list contains deliveries whose attempts all failed, and deliveries whose process
/// was stopped or died (interrupted).
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
    pub fn run(self, ctx: &Context<'_>) -> Result<Exit, Failure> {
        match self {
            FailedCommand::List(args) => list::run(&args, ctx),
            FailedCommand::Show(args) => show::run(&args, ctx),
            FailedCommand::Delete(args) => delete::run(&args, ctx),
            FailedCommand::Import(args) => import::run(&args, ctx),
        }
    }
}
