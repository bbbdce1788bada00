//! Reports a command line that cannot be parsed, without the secrets in it.
//!
//! clap quotes the value it cannot parse, and does not say that it comes from an environment variable.

use std::ffi::OsString;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::cli::command_line::definition;
use crate::cli::intents;
use crate::env::Terminals;
use crate::error::Failure;
use crate::exit::Exit;
use crate::output::{Color, OutputOptions, Ui};
use crate::secret::{MASK, safe_url};

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
            color: color(arguments),
            ..OutputOptions::default()
        },
    );
    if !error.use_stderr() {
        let text = if ui.has_colors() {
            with_headings(&error.render()).ansi().to_string()
        } else {
            error.render().to_string()
        };
        let printed = ui
            .data(|out| out.write_all(text.as_bytes()))
            .and_then(|()| ui.flush());
        return printed.map_or_else(|e| Failure::from(e).exit(), |()| Exit::Done);
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand && !structured {
        ui.usage(&with_headings(&error.render()));
        return Exit::Usage;
    }
    let text = without_secrets(error);
    let message = text.strip_prefix("error: ").unwrap_or(&text);
    let (message, _) = message.split_once("\n\n").unwrap_or((message, ""));
    let command = command_at_fault(error);
    let mut failure = Failure::usage(message.trim());
    if structured {
        let words: Vec<&str> = message.split_whitespace().collect();
        failure = Failure::usage(words.join(" "));
    }
    failure.hints = hints(error, command.as_ref(), arguments);
    if structured {
        failure = failure.hint("`--help` after the command explains its options");
    }
    failure.print(&ui);
    if !structured {
        // clap's own usage line lists the options that variables set.
        let usage = command.map(|mut command| format!("\n{}\n", command.render_usage().ansi()));
        let usage = usage.unwrap_or_default();
        let text = format!("{usage}\nFor more information, try '--help'.\n");
        ui.usage(&StyledStr::from(text));
    }
    Exit::Usage
}

/// Help whose own headings look like those of clap.
fn with_headings(help: &StyledStr) -> StyledStr {
    let style = definition().get_styles().get_header().to_owned();
    let mut text = help.ansi().to_string();
    for heading in ["Examples:", "Exit codes:"] {
        text = text.replace(
            &format!("\n{heading}\n"),
            &format!("\n{style}{heading}{style:#}\n"),
        );
    }
    StyledStr::from(text)
}

/// The command whose usage the error is about; none for an invalid value.
fn command_at_fault(error: &clap::Error) -> Option<clap::Command> {
    let Some(ContextValue::StyledStr(usage)) = error.get(ContextKind::Usage) else {
        return None;
    };
    let mut root = definition();
    root.build();
    let usage = usage.to_string();
    let words = usage
        .split_whitespace()
        .skip_while(|word| *word != "hookfire");
    let mut command = &root;
    for word in words.skip(1) {
        match command.find_subcommand(word) {
            Some(sub) => command = sub,
            None => break,
        }
    }
    Some(command.clone())
}

fn hints(
    error: &clap::Error,
    command: Option<&clap::Command>,
    arguments: &[OsString],
) -> Vec<String> {
    let word = |kind| context(error, kind).unwrap_or_default();
    let mut hints = match (error.kind(), command) {
        (ErrorKind::InvalidSubcommand, Some(command)) => {
            intents::for_command(command, word(ContextKind::InvalidSubcommand))
        }
        (ErrorKind::UnknownArgument, Some(command)) => {
            intents::for_argument(command, word(ContextKind::InvalidArg), arguments)
        }
        _ => match error.get(ContextKind::SuggestedValue) {
            Some(ContextValue::String(value)) => vec![format!("did you mean `{value}`?")],
            _ => Vec::new(),
        },
    };
    let variable = variable_at_fault(error, arguments);
    hints.extend(
        variable.map(|name| format!("the value comes from the environment variable `{name}`")),
    );
    hints
}

fn wants_json(arguments: &[OsString]) -> bool {
    let format = raw_value(arguments, &["--output=", "-o"], "HOOKFIRE_OUTPUT");
    format.is_some_and(|format| is_structured(&format))
}

fn color(arguments: &[OsString]) -> Color {
    let value = raw_value(arguments, &["--color="], "HOOKFIRE_COLOR");
    value
        .and_then(|value| Color::from_name(&value))
        .unwrap_or_default()
}

/// The value of an option in a command line that cannot be parsed, else that of its variable. `forms` are
/// what an attached value follows.
fn raw_value(arguments: &[OsString], forms: &[&str], variable: &str) -> Option<String> {
    let mut values = arguments.windows(2).filter_map(|pair| {
        let [before, word] = [&pair[0], &pair[1]].map(|word| word.to_string_lossy());
        let is_separate = forms
            .iter()
            .any(|form| form.trim_end_matches('=') == before);
        let attached = || {
            forms
                .iter()
                .find_map(|form| Some(word.strip_prefix(form)?.to_owned()))
        };
        if is_separate {
            Some(word.into_owned())
        } else {
            attached()
        }
    });
    let value = values.next_back();
    value.or_else(|| std::env::var(variable).ok())
}

/// The environment variable that the invalid value comes from, unless it is on the command line.
fn variable_at_fault(error: &clap::Error, arguments: &[OsString]) -> Option<String> {
    let (option, value) = (
        context(error, ContextKind::InvalidArg)?,
        context(error, ContextKind::InvalidValue)?,
    );
    let option = option.split([' ', '=', '[']).next()?.strip_prefix("--")?;
    let variable = format!("HOOKFIRE_{}", option.to_ascii_uppercase().replace('-', "_"));
    let is_typed = arguments
        .iter()
        .any(|argument| argument.to_string_lossy().ends_with(value));
    (!is_typed && std::env::var_os(&variable).is_some()).then_some(variable)
}

/// Masks what may be secret in the words of the command line that clap quotes.
fn without_secrets(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let (kind, is_word) = match error.kind() {
        ErrorKind::UnknownArgument => (ContextKind::InvalidArg, true),
        ErrorKind::InvalidSubcommand => (ContextKind::InvalidSubcommand, true),
        _ => (ContextKind::InvalidValue, false),
    };
    let Some(quoted) = context(error, kind) else {
        return text;
    };
    let shown = match quoted.find(['=', ':']) {
        // An option or its value, such as `NAME=VALUE` or `NAME: VALUE`, where clap expects no such thing.
        Some(at) if is_word && !quoted[at..].starts_with("://") => {
            format!("{}{MASK}", &quoted[..=at])
        }
        _ => safe_url::shown(quoted),
    };
    text.replace(quoted, &shown)
}

fn context(error: &clap::Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind)? {
        ContextValue::String(text) if !text.is_empty() => Some(text),
        _ => None,
    }
}
