//! Reports a command line that cannot be parsed, without the secrets in it.
//!
//! clap quotes the value it cannot parse, and does not say that it comes from an environment variable.

use std::ffi::OsString;

use super::command_line::definition;
use crate::env::Terminals;
use crate::error::Failure;
use crate::exit::Exit;
use crate::output::{OutputOptions, Ui};
use crate::secret::{Redactor, Secret};

/// Whether errors are JSON in this output format.
pub fn is_structured(format: &str) -> bool {
    matches!(format, "json" | "ndjson")
}

/// Prints help and version to stdout, and errors to stderr.
pub fn report(error: &clap::Error, arguments: &[OsString]) -> Exit {
    let structured = wants_json(arguments);
    let ui = Ui::new(
        Terminals::current(),
        OutputOptions {
            structured,
            ..OutputOptions::default()
        },
    );
    if !error.use_stderr() {
        let text = if ui.has_colors() {
            error.render().ansi().to_string()
        } else {
            error.render().to_string()
        };
        let printed = ui
            .data(|out| out.write_all(text.as_bytes()))
            .and_then(|()| ui.flush());
        return printed.map_or_else(|e| Failure::from(e).exit(), |()| Exit::Done);
    }
    let redactor = Redactor::new(&secrets_on_command_line(arguments));
    let mut text = redactor.redact(&error.render().to_string());
    if let Some(variable) = variable_at_fault(error, arguments) {
        text.push_str(&format!(
            "\nThe value comes from the environment variable `{variable}`.\n"
        ));
    }
    if structured {
        let message = text.trim().strip_prefix("error: ").unwrap_or(text.trim());
        let (message, _) = message.split_once("\n\n").unwrap_or((message, ""));
        Failure::usage(message.replace('\n', " "))
            .hint("`--help` after the command explains its options")
            .print(&ui);
    } else {
        ui.usage(&text);
    }
    Exit::Usage
}

fn wants_json(arguments: &[OsString]) -> bool {
    let by_option = arguments.windows(2).any(|pair| {
        let value = pair[1].to_string_lossy();
        let format = match pair[0].to_str() {
            Some("-o" | "--output") => value.as_ref(),
            _ => value
                .strip_prefix("--output=")
                .or_else(|| value.strip_prefix("-o"))
                .unwrap_or_default(),
        };
        is_structured(format)
    });
    by_option || std::env::var("HOOKFIRE_OUTPUT").is_ok_and(|format| is_structured(&format))
}

/// The environment variable that the invalid value comes from, unless it is on the command line.
fn variable_at_fault(error: &clap::Error, arguments: &[OsString]) -> Option<String> {
    use clap::error::{ContextKind, ContextValue};
    let ContextValue::String(option) = error.get(ContextKind::InvalidArg)? else {
        return None;
    };
    let option = option.split([' ', '=', '[']).next()?.strip_prefix("--")?;
    let variable = format!("HOOKFIRE_{}", option.to_ascii_uppercase().replace('-', "_"));
    let is_typed = arguments.iter().any(|argument| {
        let argument = argument.to_string_lossy();
        // The options with a variable and a short form are `-e`, `-j`, `-o` (their first letters) and `-H`, of which clap
        // accepts every value.
        argument.starts_with(&format!("--{option}"))
            || argument.starts_with(&format!("-{}", &option[..1]))
    });
    (!is_typed && std::env::var_os(&variable).is_some()).then_some(variable)
}

/// Whether the option, or the one it may be a misspelling of, takes secrets.
fn takes_secrets(option: &str) -> bool {
    fn longs(command: &clap::Command) -> Vec<&str> {
        let own = command.get_arguments().filter_map(clap::Arg::get_long);
        own.chain(command.get_subcommands().flat_map(longs))
            .collect()
    }
    let definition = definition();
    let meant = option
        .strip_prefix("--")
        .and_then(|name| crate::text::nearest(name, longs(&definition)));
    option.starts_with("-H") || matches!(meant, Some("secret" | "header" | "proxy" | "url"))
}

/// Everything that may be secret: values of `--secret`, `--header` and `--proxy`, and queries and passwords of URLs.
fn secrets_on_command_line(arguments: &[OsString]) -> Vec<Secret> {
    let mut secrets = Vec::new();
    let mut previous = "";
    let arguments: Vec<_> = arguments
        .iter()
        .map(|argument| argument.to_string_lossy())
        .collect();
    for argument in &arguments {
        let (option, value) = match argument.split_once('=') {
            Some((option, value)) if option.starts_with("--") => (option, value),
            _ => (previous, argument.as_ref()),
        };
        if takes_secrets(option) {
            secrets.extend(
                value
                    .split_once(['=', ':'])
                    .map(|(_, value)| Secret::new(value.trim())),
            );
            secrets.push(Secret::new(value));
        }
        secrets.extend(crate::secret::safe_url::credentials(value));
        if let Some((_, query)) = value.split_once('?') {
            secrets.extend(
                query
                    .split('&')
                    .map(|pair| Secret::new(pair.split_once('=').map_or(pair, |(_, v)| v))),
            );
        }
        previous = argument;
    }
    secrets
}
