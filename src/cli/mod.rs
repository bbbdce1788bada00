//! The commands, one file or folder each: options with their help, and a `run` function.
//!
//! A command resolves its settings, calls the module that does the work, and prints through `output`. `command_line` is the
//! root; `args` has option groups that several commands share; `context` is what every command gets.

pub mod args;
pub mod capture_feed;
mod capture_printer;
pub mod captured;
pub mod command_line;
pub mod complete;
pub mod config;
mod content;
pub mod context;
pub mod demo;
pub mod events;
mod exec;
mod expect;
pub mod failed;
pub mod fire;
mod follow_feed;
mod follow_start;
mod forward_later;
mod forward_targets;
pub mod generate;
mod intake;
mod intents;
pub mod journal;
mod list;
pub mod listen;
mod listen_addr;
pub mod ping;
pub mod portal;
mod remote;
mod report;
mod reports;
pub mod retry;
mod sample;
mod selection;
pub mod settings;
mod signature_feed;
mod signing;
pub mod usage;

use clap::Subcommand;

use crate::error::Failure;
use crate::exit::Exit;
use context::Context;

#[derive(Debug, Subcommand)]
pub enum Command {
    Fire(fire::FireArgs),
    #[command(subcommand)]
    Failed(failed::FailedCommand),
    Retry(retry::RetryArgs),
    #[command(subcommand)]
    Captured(captured::CapturedCommand),
    #[command(subcommand)]
    Journal(journal::JournalCommand),
    Listen(Box<listen::ListenArgs>),
    Ping(ping::PingArgs),
    #[command(subcommand)]
    Portal(portal::PortalCommand),
    #[command(subcommand)]
    Events(events::EventsCommand),
    #[command(subcommand)]
    Config(config::ConfigCommand),
    Expect(expect::ExpectArgs),
    Demo(demo::DemoArgs),
    #[command(subcommand)]
    Generate(generate::GenerateCommand),
}

impl Command {
    pub fn run(self, ctx: &Context<'_>) -> Result<Exit, Failure> {
        match self {
            Command::Fire(args) => fire::run(&args, ctx),
            Command::Failed(command) => command.run(ctx),
            Command::Retry(args) => retry::run(&args, ctx),
            Command::Captured(command) => command.run(ctx),
            Command::Journal(command) => command.run(ctx),
            Command::Listen(args) => listen::run(&args, ctx),
            Command::Ping(args) => ping::run(&args, ctx),
            Command::Portal(command) => command.run(ctx),
            Command::Events(command) => command.run(ctx),
            Command::Config(command) => command.run(ctx),
            Command::Expect(args) => expect::run(&args, ctx),
            Command::Demo(args) => demo::run(&args, ctx),
            Command::Generate(command) => command.run(ctx),
        }
    }
}
