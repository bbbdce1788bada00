//! `hookfire captured`: stored requests.

mod bins;
mod delete;
mod deliver;
mod diff;
mod follow;
mod list;
mod replay;
mod selection;
mod show;
mod source;
mod verify;

use clap::Subcommand;

use super::context::Context;
use crate::error::Failure;
use crate::exit::Exit;

/// List, show, follow, replay, compare, verify and delete captured requests
///
/// A capture is a request that hookfire received, stored byte for byte. The values of secret parameters and of headers such
/// as Authorization and Cookie are shown as *** without --reveal. Bodies are shown unchanged.
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  $ hookfire captured list\n  $ hookfire captured show 17\n  $ hookfire captured follow --bin inbox\n  \
                  $ hookfire captured replay 17 --to http://127.0.0.1:3000\n  $ hookfire captured diff 17 18\n  \
                  $ hookfire captured verify 17 --signing-secret @env:GITHUB_SECRET"
)]
pub enum CapturedCommand {
    List(list::CapturedListArgs),
    Show(show::CapturedShowArgs),
    Follow(follow::CapturedFollowArgs),
    Bins(bins::CapturedBinsArgs),
    Delete(delete::CapturedDeleteArgs),
    Replay(replay::CapturedReplayArgs),
    Diff(diff::CapturedDiffArgs),
    Verify(verify::CapturedVerifyArgs),
}

impl CapturedCommand {
    pub fn run(self, ctx: &Context<'_>) -> Result<Exit, Failure> {
        match self {
            CapturedCommand::List(args) => list::run(&args, ctx),
            CapturedCommand::Show(args) => show::run(&args, ctx),
            CapturedCommand::Follow(args) => follow::run(&args, ctx),
            CapturedCommand::Bins(args) => bins::run(&args, ctx),
            CapturedCommand::Delete(args) => delete::run(&args, ctx),
            CapturedCommand::Replay(args) => replay::run(&args, ctx),
            CapturedCommand::Diff(args) => diff::run(&args, ctx),
            CapturedCommand::Verify(args) => verify::run(&args, ctx),
        }
    }
}
