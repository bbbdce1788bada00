//! hookfire: fire webhooks, keep what came of each, and get the failed ones delivered.
//!
//! Seven floors; a file uses only its own floor and those below (`tests/architecture.rs` holds it to that):
//!
//! | floor | what lives there |
//! |---|---|
//! | 6 the door | [`main`], `cli` |
//! | 5 commands | `cmd`, `settings`, `failure` |
//! | 4 presentation | `output` |
//! | 3 use cases | `batch`, `deliver`, `expect`, `recover`, `replay` |
//! | 2 adapters | `env`, `config`, `journal`, `portal`, `sender`, `catcher` |
//! | 1 domain | `delivery`, `capture`, `desk`, `event`, `filter`, `meaning`, `rule`, `store`, `switchboard`, `target`, `tenant`, `transport`, `upstream` |
//! | 0 leaves | `exit`, `safe_url`, `sanitize`, `secret`, `text`, `time` |

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod batch;
mod capture;
mod catcher;
mod cli;
mod cmd;
mod config;
mod deliver;
mod delivery;
mod desk;
mod env;
mod event;
mod exit;
mod expect;
mod failure;
mod filter;
#[cfg(test)]
mod fuzz;
mod journal;
mod meaning;
mod output;
mod portal;
mod recover;
mod replay;
mod rule;
mod safe_url;
mod sanitize;
mod secret;
mod sender;
mod settings;
mod store;
mod switchboard;
mod target;
mod tenant;
mod text;
mod time;
mod transport;
mod upstream;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::ArgMatches;
use clap::FromArgMatches as _;

use cli::{Cli, usage};
use cmd::context::Context;
use env::Terminals;
use exit::Exit;
use failure::Failure;
use output::{Manner, Ui};

pub use cli::definition;
pub use exit::{EXIT_CODES, ExitCode as ExitCodeRow};

/// More than a run that sends one event needs.
const ROOM: usize = 2 * 1024 * 1024;

/// The program: parses the command line, runs the command, and says how it ended.
pub fn main() -> ExitCode {
    tell_panics(Manner::default());
    make_room();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    // A panic has been told by the hook, and is an error like any other to who called.
    let exit = std::panic::catch_unwind(|| run(&arguments)).unwrap_or(Exit::Error);
    ExitCode::from(exit.code())
}

/// Has the allocator ask the system for memory once. It would do so in small steps, and give back and fetch again what a step
/// of the work does not need; one large block that was given back makes it keep what it has, and another one is what it has.
fn make_room() {
    for block in [ROOM, ROOM / 2] {
        drop(std::hint::black_box(Vec::<u8>::with_capacity(block)));
    }
}

fn run(arguments: &[OsString]) -> Exit {
    let matches = match parse(arguments) {
        Ok(matches) => matches,
        Err(e) => return usage::tell(&e, arguments),
    };
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(e) => return usage::tell(&e, arguments),
    };
    let leaf = leaf(&matches);
    let manner = Manner {
        quiet: cli.globals.quiet,
        verbose: cli.globals.verbose,
        color: cli.globals.color,
        structured: output_option(leaf).is_some_and(|format| usage::is_structured(&format)),
    };
    tell_panics(manner);
    let ui = Ui::new(Terminals::current(), manner);
    let ctx = Context::new(&ui, cli.globals, leaf, definition);
    let ended = cli
        .command
        .run(&ctx)
        .and_then(|exit| Failure::after(ui.flush().map_err(Failure::from), exit));
    ended.unwrap_or_else(|failure| {
        if failure.kind != failure::Kind::ClosedPipe {
            failure.tell(&ui);
        }
        failure.exit()
    })
}

fn parse(arguments: &[OsString]) -> Result<ArgMatches, clap::Error> {
    let parse = |definition| without_empty_variables(definition).try_get_matches_from(arguments);
    let alone = cli::definition_for(arguments).and_then(|definition| parse(definition).ok());
    alone.map_or_else(|| parse(definition()), Ok)
}

/// A variable that is set to nothing is no wish: its option then knows of none.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|arg| {
        let empty = arg
            .get_env()
            .is_some_and(|name| std::env::var_os(name).is_some_and(|value| value.is_empty()));
        if empty { arg.env(None::<&str>) } else { arg }
    });
    command.mut_subcommands(without_empty_variables)
}

/// The matches of the command itself, below its groups.
fn leaf(matches: &ArgMatches) -> &ArgMatches {
    match matches.subcommand() {
        Some((_, sub)) => leaf(sub),
        None => matches,
    }
}

fn output_option(matches: &ArgMatches) -> Option<String> {
    let mut raw = matches.try_get_raw("output").ok()??;
    raw.next().map(|value| value.to_string_lossy().into_owned())
}

/// Has each panic told from now on, also where quiet was asked for. Its own message may hold anything, so that only its place
/// is told.
fn tell_panics(manner: Manner) {
    let (main, manner) = (
        std::thread::current().id(),
        Manner {
            quiet: false,
            ..manner
        },
    );
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic
            .location()
            .map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        let (words, ui) = (
            format!("hookfire has a bug: it panicked at {place}"),
            Ui::new(Terminals::current(), manner),
        );
        if manner.structured && std::thread::current().id() != main {
            // The command goes on, and the one error is what it ends with, if it does.
            return ui.warning(&words);
        }
        Failure::new(failure::Kind::Error, words)
            .hint("what was accepted is in the journal; `hookfire failed list` shows what was not delivered")
            .tell(&ui);
    }));
}
