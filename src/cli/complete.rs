//! Completion in a shell: the scripts of `generate completions` run the program with the words of the command line.
//!
//! Events come from the catalogue, endpoints from the configuration, bins and ids from the journal. A value that cannot be read completes
//! nothing, and nothing is created.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Arg, Command};
use clap_complete::env::{CompleteEnv, Shells};
use clap_complete::{ArgValueCompleter, CompletionCandidate};

use super::command_line::definition;
use crate::config::Config;
use crate::delivery::filter::Filter;
use crate::env::Environment;
use crate::event::catalogue;
use crate::journal::{self, CaptureQuery, DeliveryList, Journal, Order, Query};
use crate::output::human::headline;
use crate::sanitize::visible_line;
use crate::signature::Scheme;

/// Set by the completion scripts.
const VARIABLE: &str = "HOOKFIRE_COMPLETE";

const PROGRAM: &str = "hookfire";

const SHELLS: Shells<'static> = Shells::builtins();

/// Ids that are suggested, newest first.
const MAX_IDS: u32 = 50;

pub fn shells() -> impl Iterator<Item = &'static str> {
    SHELLS.names()
}

/// The completion script for a shell.
pub fn script(shell: &str) -> std::io::Result<String> {
    let completer = SHELLS
        .completer(shell)
        .ok_or(std::io::ErrorKind::NotFound)?;
    let mut script = Vec::new();
    completer.write_registration(VARIABLE, PROGRAM, PROGRAM, PROGRAM, &mut script)?;
    let script = String::from_utf8_lossy(&script);
    // A file in `$fpath` is run as the function `_hookfire` at the first use, and must complete then, too.
    let register = "compdef _clap_dynamic_completer_hookfire hookfire";
    let both = format!(
        "if [[ $funcstack[1] == _hookfire ]]; then\n    _clap_dynamic_completer_hookfire \"$@\"\nelse\n    {register}\nfi"
    );
    let script = match shell {
        "zsh" => script.replace(register, &both),
        // The other scripts show what the program prints if it is an older one.
        "bash" => script.replace("\"${words[@]}\" \\\n", "\"${words[@]}\" 2> /dev/null \\\n"),
        _ => script.into_owned(),
    };
    Ok(format!("{}\n", script.trim()))
}

/// Prints the completions of a command line if a completion script runs the program.
pub fn respond(arguments: &[OsString]) -> bool {
    let is_asked = std::env::var_os(VARIABLE).is_some_and(|shell| !shell.is_empty());
    if !is_asked {
        return false;
    }
    let words = arguments
        .iter()
        .map(|word| word.to_string_lossy().into_owned());
    let words: Arc<[String]> = words.collect();
    CompleteEnv::with_factory(|| with_values(definition(), "", &words))
        .var(VARIABLE)
        .completer(PROGRAM)
        .try_complete(arguments, std::env::current_dir().ok().as_deref())
        .unwrap_or(true)
}

/// Adds completers to the arguments of a command, whose names are `path`, and of its subcommands.
fn with_values(command: Command, path: &str, words: &Arc<[String]>) -> Command {
    let command = command.mut_args(|arg| match Values::of(path, &arg) {
        None => arg,
        Some(values) => {
            let words = Arc::clone(words);
            let complete =
                move |current: &OsStr| values.starting_with(&current.to_string_lossy(), &words);
            arg.add(ArgValueCompleter::new(complete))
        }
    });
    command.mut_subcommands(|sub| {
        let path = format!("{path} {}", sub.get_name());
        with_values(sub, path.trim_start(), words)
    })
}

/// What the values of an argument are.
#[derive(Clone, Copy)]
enum Values {
    Types,
    Actions,
    Endpoints,
    /// Names of signature schemes, and of endpoints, whose `sign` setting names one.
    Schemes,
    Bins,
    Deliveries(DeliveryList),
    Captures,
}

impl Values {
    fn of(path: &str, arg: &Arg) -> Option<Values> {
        let name = arg.get_long().unwrap_or(arg.get_id().as_str());
        Some(match (name, path) {
            ("type" | "event_type", _) => Values::Types,
            ("action", _) => Values::Actions,
            ("endpoint", _) => Values::Endpoints,
            ("sign" | "scheme" | "verify", _) => Values::Schemes,
            ("bin", _) => Values::Bins,
            ("id" | "ids", "retry" | "failed show" | "failed delete") => {
                Values::Deliveries(DeliveryList::NewestFailed)
            }
            ("ids", "journal cancel") => Values::Deliveries(DeliveryList::Scheduled),
            ("id", "journal show") => Values::Deliveries(DeliveryList::All(None)),
            ("id" | "ids" | "a" | "b", _) if path.starts_with("captured ") => Values::Captures,
            _ => return None,
        })
    }

    fn starting_with(self, current: &str, words: &[String]) -> Vec<CompletionCandidate> {
        let values = self.all(words).unwrap_or_default().into_iter();
        let values = values.filter(|(value, _)| value.starts_with(current));
        let candidate = |(value, help): (String, String)| {
            let help = (!help.is_empty()).then(|| visible_line(&help).into_owned().into());
            CompletionCandidate::new(value).help(help)
        };
        values.map(candidate).collect()
    }

    /// Values with descriptions; none if they cannot be read.
    fn all(self, words: &[String]) -> Option<Vec<(String, String)>> {
        let plain = |value: &str| (value.to_owned(), String::new());
        Some(match self {
            Values::Types => catalogue::TYPES.iter().map(|name| plain(name)).collect(),
            Values::Actions => actions(words).into_iter().map(plain).collect(),
            Values::Endpoints => {
                let path = given("config", words)
                    .or_else(|| Some(Environment.config_folder()?.join("config.toml")));
                let endpoints = Config::load(&path?, true).ok()?.endpoints.into_iter();
                endpoints
                    .map(|(name, endpoint)| (name, endpoint.target.to_string()))
                    .collect()
            }
            Values::Schemes => {
                let known = Scheme::NAMES.iter().map(|name| plain(name));
                let endpoints = Values::Endpoints.all(words).unwrap_or_default();
                known.chain(endpoints).collect()
            }
            Values::Bins => {
                let bins = open_journal(words)?.bins().ok()?.into_iter();
                bins.map(|bin| (bin.name, String::new())).collect()
            }
            Values::Deliveries(list) => {
                let query = Query {
                    list,
                    filter: Filter::default(),
                    limit: None,
                };
                let newest = open_journal(words)?.page(&query, None, MAX_IDS as usize);
                let newest = newest.ok()?.into_iter();
                newest
                    .map(|delivery| (delivery.id.to_string(), headline(&delivery)))
                    .collect()
            }
            Values::Captures => {
                let query = CaptureQuery {
                    order: Order::NewestFirst,
                    limit: Some(MAX_IDS),
                    ..CaptureQuery::default()
                };
                let newest = open_journal(words)?.captures(&query).ok()?.into_iter();
                newest
                    .map(|record| {
                        let capture = &record.capture;
                        let title = format!("{} {}", capture.method(), capture.path());
                        (record.id.to_string(), title)
                    })
                    .collect()
            }
        })
    }
}

/// The actions of the type on the command line, or of all types.
fn actions(words: &[String]) -> Vec<&'static str> {
    let named = words
        .iter()
        .find_map(|word| catalogue::TYPES.iter().find(|name| *name == word));
    let events = catalogue::EVENTS.iter();
    let events = events.filter(|(of, _)| named.is_none_or(|named| named == of));
    let mut actions = Vec::new();
    for (_, action) in events {
        if !actions.contains(action) {
            actions.push(*action);
        }
    }
    actions
}

/// The journal, if it exists.
fn open_journal(words: &[String]) -> Option<Box<dyn Journal>> {
    let path =
        given("journal", words).or_else(|| Some(Environment.state_folder()?.join("journal.db")))?;
    // An empty file would become a journal.
    let exists = path
        .metadata()
        .is_ok_and(|file| file.is_file() && file.len() > 0);
    exists.then(|| journal::open(&path).ok())?
}

/// The value of a global option on the command line, or of its variable.
fn given(option: &str, words: &[String]) -> Option<PathBuf> {
    let long = format!("--{option}");
    let on_line = words.iter().enumerate().find_map(|(at, word)| {
        let value = word.strip_prefix(&long)?;
        match value.strip_prefix('=') {
            Some(value) => Some(value.to_owned()),
            None if value.is_empty() => words.get(at + 1).cloned(),
            None => None,
        }
    });
    let variable = || std::env::var(format!("HOOKFIRE_{}", option.to_uppercase())).ok();
    let value = on_line.or_else(variable).filter(|value| !value.is_empty());
    value.map(PathBuf::from)
}
