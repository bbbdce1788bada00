//! The commands: a file each, with its options, its help, and a `run` that puts the floors below together.
//!
//! A command has no SQL, no HTTP and no drawing of its own.

pub mod address;
pub mod args;
mod bulk;
pub mod captured;
pub mod command_line;
pub mod config;
pub mod context;
pub mod demo;
pub mod events;
mod expect;
pub mod failed;
pub mod fire;
pub mod generate;
mod intake;
pub mod journal;
mod list;
pub mod listen;
pub mod ping;
pub mod portal;
mod report;
pub mod retry;
mod sample;
mod scope;
pub mod settings;
pub mod usage;

use clap::{Args, Subcommand};

use crate::error::Failure;
use crate::exit::Exit;
use context::Context;

/// What hookfire can do.
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
    Listen(listen::ListenArgs),
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

/// The definition of one command, without any other; none if there is no command of this name.
pub fn definition_of(name: &str) -> Option<clap::Command> {
    fn leaf<T: Args>(name: &'static str) -> clap::Command {
        T::augment_args(clap::Command::new(name))
    }
    fn group<T: Subcommand>(name: &'static str) -> clap::Command {
        T::augment_subcommands(clap::Command::new(name).subcommand_required(true))
    }
    Some(match name {
        "fire" => leaf::<fire::FireArgs>("fire"),
        "failed" => group::<failed::FailedCommand>("failed"),
        "retry" => leaf::<retry::RetryArgs>("retry"),
        "captured" => group::<captured::CapturedCommand>("captured"),
        "journal" => group::<journal::JournalCommand>("journal"),
        "listen" => leaf::<listen::ListenArgs>("listen"),
        "ping" => leaf::<ping::PingArgs>("ping"),
        "portal" => group::<portal::PortalCommand>("portal"),
        "events" => group::<events::EventsCommand>("events"),
        "config" => group::<config::ConfigCommand>("config"),
        "expect" => leaf::<expect::ExpectArgs>("expect"),
        "demo" => leaf::<demo::DemoArgs>("demo"),
        "generate" => group::<generate::GenerateCommand>("generate"),
        _ => return None,
    })
}

impl Command {
    /// Runs it.
    ///
    /// # Errors
    /// What went wrong, ready to be told.
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
