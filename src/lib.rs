//! hookfire: fire webhooks, keep what came of each, and get the failed ones delivered.
//!
//! Seven floors; a file uses only its own floor and those below (`tests/architecture.rs` holds it to that):
//!
//! | floor | what lives there |
//! |---|---|
//! | 6 the door | [`main`], `cli` |
//! | 5 commands | `cmd`, `settings`, `failure` |
//! | 4 presentation | `output` |
//! | 3 use cases | `deliver`, `recover` |
//! | 2 adapters | `env`, `config`, `journal`, `sender`, `catcher` |
//! | 1 domain | `delivery`, `capture`, `event`, `filter`, `rule`, `store`, `target`, `transport` |
//! | 0 leaves | `exit`, `safe_url`, `sanitize`, `secret`, `text`, `time` |

mod capture;
mod catcher;
mod cli;
mod cmd;
mod config;
mod deliver;
mod delivery;
mod env;
mod event;
mod exit;
mod failure;
mod filter;
mod journal;
mod output;
mod recover;
mod rule;
mod safe_url;
mod sanitize;
mod secret;
mod sender;
mod settings;
mod store;
mod target;
mod text;
mod time;
mod transport;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::ArgMatches;
use clap::FromArgMatches as _;

use cli::Cli;
use cmd::context::Context;
use env::Terminals;
use exit::Exit;
use failure::Failure;
use output::{Manner, Ui};
use secret::{Redactor, Secret};

pub use cli::definition;
pub use exit::{EXIT_CODES, ExitCode as ExitCodeRow};

/// The program: parses the command line, runs the command, and says how it ended.
pub fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| tell_panic(panic.location())));
    let arguments: Vec<OsString> = std::env::args_os().collect();
    // A panic has been told by the hook, and is an error like any other to who called.
    let exit = std::panic::catch_unwind(|| run(&arguments)).unwrap_or(Exit::Error);
    ExitCode::from(exit.code())
}

fn run(arguments: &[OsString]) -> Exit {
    let matches = match without_empty_variables(definition()).try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(e) => return usage(&e, arguments),
    };
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(e) => return usage(&e, arguments),
    };
    let leaf = leaf(&matches);
    let manner = Manner {
        quiet: cli.globals.quiet,
        verbose: cli.globals.verbose,
        color: cli.globals.color,
        structured: output_option(leaf).is_some_and(|format| is_structured(&format)),
    };
    let ui = Ui::new(Terminals::current(), manner);
    let ctx = Context::new(&ui, cli.globals, leaf, definition);
    let ended = cli.command.run(&ctx).and_then(|exit| Failure::after(ui.flush().map_err(Failure::from), exit));
    ended.unwrap_or_else(|failure| {
        if failure.kind != failure::Kind::ClosedPipe {
            failure.tell(&ui);
        }
        failure.exit()
    })
}

/// A variable that is set to nothing is no wish: its option then knows of none.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|arg| {
        let empty = arg.get_env().is_some_and(|name| std::env::var_os(name).is_some_and(|value| value.is_empty()));
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

fn is_structured(format: &str) -> bool {
    matches!(format, "json" | "ndjson")
}

/// Help and version on stdout; what is wrong with the command line on stderr, without the secrets on it.
fn usage(error: &clap::Error, arguments: &[OsString]) -> Exit {
    let wants_json = arguments.windows(2).any(|pair| {
        let format = pair[1].to_string_lossy();
        let format = match pair[0].to_str() {
            Some("-o" | "--output") => format.as_ref(),
            _ => format.strip_prefix("--output=").or_else(|| format.strip_prefix("-o")).unwrap_or_default(),
        };
        is_structured(format)
    }) || std::env::var("HOOKFIRE_OUTPUT").is_ok_and(|format| is_structured(&format));
    let ui = Ui::new(Terminals::current(), Manner { structured: wants_json, ..Manner::default() });
    if !error.use_stderr() {
        let text = if ui.has_colors() { error.render().ansi().to_string() } else { error.render().to_string() };
        let printed = ui.data(|out| out.write_all(text.as_bytes())).and_then(|()| ui.flush());
        return printed.map_or_else(|e| Failure::from(e).exit(), |()| Exit::Done);
    }
    let redactor = Redactor::new(&secrets_on_command_line(arguments));
    let mut text = redactor.redact(&error.render().to_string());
    if let Some(variable) = culprit(error, arguments) {
        text.push_str(&format!("\nThe value comes from the environment variable `{variable}`.\n"));
    }
    if wants_json {
        let message = text.trim().strip_prefix("error: ").unwrap_or(text.trim());
        let (message, _) = message.split_once("\n\n").unwrap_or((message, ""));
        Failure::usage(message.replace('\n', " ")).hint("`--help` after the command explains its options").tell(&ui);
    } else {
        ui.usage(&text);
    }
    Exit::Usage
}

/// The environment variable whose value could not be read, if it was not the command line's.
fn culprit(error: &clap::Error, arguments: &[OsString]) -> Option<String> {
    use clap::error::{ContextKind, ContextValue};
    let ContextValue::String(option) = error.get(ContextKind::InvalidArg)? else { return None };
    let option = option.split([' ', '=', '[']).next()?.strip_prefix("--")?;
    let variable = format!("HOOKFIRE_{}", option.to_ascii_uppercase().replace('-', "_"));
    let typed = arguments.iter().any(|argument| {
        let argument = argument.to_string_lossy();
        // `-o`, `-e` and `-H` are the options with a variable that have a short form.
        argument.starts_with(&format!("--{option}")) || argument.starts_with(&format!("-{}", &option[..1]))
    });
    (!typed && std::env::var_os(&variable).is_some()).then_some(variable)
}

/// Whether an option takes secrets, or is a mistyped one that does.
fn takes_secrets(option: &str) -> bool {
    fn longs(command: &clap::Command) -> Vec<&str> {
        let own = command.get_arguments().filter_map(clap::Arg::get_long);
        own.chain(command.get_subcommands().flat_map(longs)).collect()
    }
    let definition = definition();
    let meant = option.strip_prefix("--").and_then(|name| text::nearest(name, longs(&definition)));
    option.starts_with("-H") || matches!(meant, Some("secret" | "header" | "proxy" | "url"))
}

/// Whatever on a command line that could not be parsed may be secret: values of `--secret`, `--header` and `--proxy`, and
/// queries and passwords of URLs.
fn secrets_on_command_line(arguments: &[OsString]) -> Vec<Secret> {
    let mut secrets = Vec::new();
    let mut previous = "";
    let arguments: Vec<_> = arguments.iter().map(|argument| argument.to_string_lossy()).collect();
    for argument in &arguments {
        let (option, value) = match argument.split_once('=') {
            Some((option, value)) if option.starts_with("--") => (option, value),
            _ => (previous, argument.as_ref()),
        };
        if takes_secrets(option) {
            secrets.extend(value.split_once(['=', ':']).map(|(_, value)| Secret::new(value.trim())));
            secrets.push(Secret::new(value));
        }
        secrets.extend(safe_url::credentials(value));
        if let Some((_, query)) = value.split_once('?') {
            secrets.extend(query.split('&').map(|pair| Secret::new(pair.split_once('=').map_or(pair, |(_, v)| v))));
        }
        previous = argument;
    }
    secrets
}

/// A panic's own message may hold anything, so that only its place is told.
fn tell_panic(location: Option<&std::panic::Location<'_>>) {
    let place = location.map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let ui = Ui::new(Terminals::current(), Manner::default());
    Failure::new(failure::Kind::Error, format!("hookfire has a bug: it panicked at {place}"))
        .hint("what was accepted is in the journal; `hookfire failed list` shows what was not delivered")
        .tell(&ui);
}
