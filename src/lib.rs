//! hookfire fires webhooks, records every outcome in a journal, and redelivers the failed ones.
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
//! | `remote` | client that reads the captures of a listener on another machine |
//! | `env` | the process's environment: variables, terminals, signals, directories |
//! | `journal` | the SQLite file or PostgreSQL database that holds deliveries, attempts and captures |
//! | `http` | the HTTP client: TLS, proxies, deadlines, error classification |
//! | `config` | the configuration file |
//! | `capture` | captured requests: model, masking, diff |
//! | `delivery` | deliveries, payloads, attempts, targets, retry policy, webhook switches: records without I/O |
//! | `signature` | signs and verifies webhooks, and explains a signature that does not match |
//! | `document` | bodies that are XML or JSON, as a tree |
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
mod document;
mod engine;
mod env;
mod error;
mod event;
mod exit;
#[cfg(test)]
mod fuzz;
mod http;
mod journal;
mod listener;
mod output;
mod portal;
mod recovery;
mod remote;
mod sanitize;
mod secret;
mod signature;
mod text;
mod time;
mod web;

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::{ArgMatches, FromArgMatches as _};

use cli::command_line::{self, Cli};
use cli::complete;
use cli::context::Context;
use cli::usage;
use env::Terminals;
use error::Failure;
use exit::Exit;
use output::{OutputOptions, Ui};

pub use cli::command_line::definition;
pub use exit::{EXIT_CODES, ExitCode as ExitCodeRow};

/// Parses the command line, runs the command, and returns its exit code.
pub fn main() -> ExitCode {
    report_panics(OutputOptions::default());
    let arguments: Vec<OsString> = std::env::args_os().collect();
    ExitCode::from(run(&arguments).code())
}

fn run(arguments: &[OsString]) -> Exit {
    if complete::respond(arguments) {
        return Exit::Done;
    }
    let definition = command_line::map_args(definition(), without_empty_variable);
    let parsed = definition.try_get_matches_from(arguments);
    let (matches, cli) = match parsed.and_then(|m| Cli::from_arg_matches(&m).map(|cli| (m, cli))) {
        Ok(parsed) => parsed,
        Err(e) => return usage::report(&e, arguments),
    };
    let matches = command_matches(&matches);
    let options = OutputOptions {
        quiet: cli.globals.quiet,
        no_hints: cli.globals.no_hints,
        verbose: cli.globals.verbose,
        color: cli.globals.color,
        structured: output_option(matches).is_some_and(|format| usage::is_structured(&format)),
    };
    report_panics(options);
    let ui = Ui::new(Terminals::current(), options);
    let ctx = Context::new(&ui, cli.globals, matches);
    let result = catch_unwind(AssertUnwindSafe(|| {
        let exit = cli.command.run(&ctx)?;
        Failure::after_output(ui.flush().map_err(Failure::from), exit)
    }));
    let result = result.unwrap_or_else(|_| {
        Err(Failure::new(error::Kind::Error, "stopped because of a bug")
            .hint("accepted deliveries are in the journal; `hookfire failed list` shows those that were not delivered"))
    });
    match result {
        Ok(exit) => exit,
        Err(failure) => {
            if failure.kind != error::Kind::ClosedPipe {
                failure.print(&ui);
            }
            failure.exit()
        }
    }
}

/// Treats an empty environment variable as unset.
fn without_empty_variable(arg: clap::Arg) -> clap::Arg {
    let value = arg.get_env().and_then(std::env::var_os);
    if value.is_some_and(|value| value.is_empty()) {
        arg.env(None::<&str>)
    } else {
        arg
    }
}

/// The matches of the innermost subcommand.
fn command_matches(matches: &ArgMatches) -> &ArgMatches {
    match matches.subcommand() {
        Some((_, matches)) => command_matches(matches),
        None => matches,
    }
}

fn output_option(matches: &ArgMatches) -> Option<String> {
    let mut raw = matches.try_get_raw("output").ok()??;
    raw.next().map(|value| value.to_string_lossy().into_owned())
}

/// Reports panics from now on, even with `--quiet`. Only their place is printed: the message may contain secrets.
fn report_panics(options: OutputOptions) {
    let options = OutputOptions {
        quiet: false,
        ..options
    };
    std::panic::set_hook(Box::new(move |panic| {
        let place = match panic.location() {
            Some(location) => location.to_string(),
            None => "an unknown place".to_owned(),
        };
        let message = format!("hookfire has a bug: it panicked at {place}");
        Ui::new(Terminals::current(), options).warning(&message);
    }));
}
