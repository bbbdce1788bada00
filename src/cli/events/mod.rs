//! `hookfire events`: the events that 3scale documents.

mod list;
mod show;

use clap::Subcommand;

use super::context::Context;
use crate::error::Failure;
use crate::exit::Exit;

/// List the events that 3scale fires, and show their samples
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  $ hookfire events list\n  $ hookfire events list -e staging\n  $ hookfire events show application created"
)]
pub enum EventsCommand {
    List(list::EventsListArgs),
    Show(show::EventsShowArgs),
}

impl EventsCommand {
    pub fn run(self, ctx: &Context<'_>) -> Result<Exit, Failure> {
        match self {
            EventsCommand::List(args) => list::run(&args, ctx),
            EventsCommand::Show(args) => show::run(&args, ctx),
        }
    }
}
