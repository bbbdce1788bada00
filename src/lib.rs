//! hookfire fires webhooks, records every outcome in a local journal, and redelivers the failed ones.
//!
//! Modules from top to bottom. A module uses only the modules below it; `tests/architecture.rs` enforces the order.
//!
//! | module | purpose |
//! |---|---|
//! | [`main`] | parses the command line, runs the command, returns the exit code |
//! | `cli` | one file per command: options, help and `run` |
//! | `web` | what `listen` serves besides capturing: the page, its API, RequestBin's API, the portal emulator |
//! | `error` | the error type of commands: kind, message, hints, exit code |
//! | `output` | the only writer of stdout and stderr: text, tables, JSON, CSV, JUnit |
//! | `recovery` | a 3scale tenant's failed deliveries: list, import, resend, delete |
//! | `engine` | runs deliveries: accept, commit, send, evaluate, commit, retry |
//! | `listener` | the HTTP server that captures requests |
//! | `portal` | client for 3scale's Account Management API |
//! | `env` | the process's environment: variables, terminals, signals, directories |
//! | `expect` | what `expect` waits for, and how captured requests match it |
//! | `journal` | the SQLite file that holds deliveries, attempts and captures |
//! | `http` | the HTTP client: TLS, proxies, deadlines, error classification |
//! | `config` | the configuration file |
//! | `capture` | captured requests: model, masking, diff |
//! | `delivery` | deliveries, attempts, targets, retry policy, webhook switches: records without I/O |
//! | `event` | event documents: build, read, edit, samples |
//! | `secret` | values that are never printed, and URLs that contain them |
//! | `exit` | exit codes |
//! | `sanitize` | makes text from outside safe for a terminal |
//! | `text` | small text helpers |
//! | `time` | timestamps and durations |

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod capture;
mod cli;
mod config;
mod delivery;
mod engine;
mod env;
mod error;
mod event;
mod exit;
mod expect;
#[cfg(test)]
mod fuzz;
mod http;
mod journal;
mod listener;
mod output;
mod portal;
mod recovery;
mod sanitize;
mod secret;
mod text;
mod time;
mod web;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::ArgMatches;
use clap::FromArgMatches as _;

use cli::command_line::{self, Cli};
use cli::context::Context;
use cli::usage;
use env::Terminals;
use error::Failure;
use exit::Exit;
use output::{OutputOptions, Ui};

pub use cli::command_line::definition;
pub use exit::{EXIT_CODES, ExitCode as ExitCodeRow};

/// More than a run that sends one event needs.
const ROOM: usize = 2 * 1024 * 1024;

/// The program: parses the command line, runs the command, and says how it ended.
pub fn main() -> ExitCode {
    tell_panics(OutputOptions::default());
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
    let manner = OutputOptions {
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
        if failure.kind != error::Kind::ClosedPipe {
            failure.tell(&ui);
        }
        failure.exit()
    })
}

fn parse(arguments: &[OsString]) -> Result<ArgMatches, clap::Error> {
    let parse = |definition| without_empty_variables(definition).try_get_matches_from(arguments);
    let alone =
        command_line::definition_for(arguments).and_then(|definition| parse(definition).ok());
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
fn tell_panics(manner: OutputOptions) {
    let (main, manner) = (
        std::thread::current().id(),
        OutputOptions {
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
        Failure::new(error::Kind::Error, words)
            .hint("what was accepted is in the journal; `hookfire failed list` shows what was not delivered")
            .tell(&ui);
    }));
}
