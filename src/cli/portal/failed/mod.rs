//! `hookfire portal failed`

mod delete;
mod list;

use clap::Subcommand;

use crate::cli::context::Context;
use crate::error::Failure;
use crate::exit::Exit;

/// List and delete a tenant's failed deliveries
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  $ hookfire portal failed list\n  $ hookfire portal failed delete --before 2026-11-20T10:00:00Z --yes"
)]
pub enum PortalFailedCommand {
    List(list::PortalFailedListArgs),
    Delete(delete::PortalFailedDeleteArgs),
}

impl PortalFailedCommand {
    pub fn run(self, ctx: &Context<'_>) -> Result<Exit, Failure> {
        match self {
            PortalFailedCommand::List(args) => list::run(&args, ctx),
            PortalFailedCommand::Delete(args) => delete::run(&args, ctx),
        }
    }
}
