//! `hookfire portal`: the Account Management API of a 3scale tenant.

mod access;
mod failed;
mod listing;
mod object;
mod recover;
mod webhooks;

use clap::Subcommand;

use super::context::Context;
use crate::error::Failure;
use crate::exit::Exit;

pub use access::PortalArgs;
pub use object::fetch;

/// List, recover and delete failed deliveries of a 3scale tenant; read its objects; set its webhooks
///
/// The tenant comes from the configuration's `[portal]` or HOOKFIRE_PORTAL_URL (--portal-url). Its token must be valid for
/// the Account Management API. It comes from the variable HOOKFIRE_PORTAL_TOKEN, a file (--portal-token-file), or the
/// configuration's `portal.token`; it cannot be an option, which other users could read.
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  $ hookfire portal failed list\n  $ hookfire portal recover --dry-run\n  $ hookfire portal object account 42"
)]
pub enum PortalCommand {
    #[command(subcommand)]
    Failed(failed::PortalFailedCommand),
    Recover(Box<recover::PortalRecoverArgs>),
    Object(object::PortalObjectArgs),
    #[command(subcommand)]
    Webhooks(webhooks::PortalWebhooksCommand),
}

impl PortalCommand {
    pub fn run(self, ctx: &Context<'_>) -> Result<Exit, Failure> {
        match self {
            PortalCommand::Failed(command) => command.run(ctx),
            PortalCommand::Recover(args) => recover::run(&args, ctx),
            PortalCommand::Object(args) => object::run(&args, ctx),
            PortalCommand::Webhooks(command) => command.run(ctx),
        }
    }
}
