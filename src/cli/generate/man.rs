//! Man pages: a page a command, each with its exit codes, files and environment.
//!
//! `clap_mangen` sets the options; title, synopsis, arguments and all that clap knows nothing of are set here, so that a
//! page reads like one that was written. Each thing is said once: a variable in ENVIRONMENT, not with its option as well.

use std::fmt::Write as _;

use clap::{Arg, Command};
use clap_mangen::Man;

use crate::exit::EXIT_CODES;

/// File names and pages, the root's first; hidden commands have none.
pub fn pages(mut root: Command) -> Vec<(String, Vec<u8>)> {
    root.build();
    let mut pages = Vec::new();
    collect(&root, "hookfire", &mut pages);
    pages
}

fn collect(command: &Command, name: &str, pages: &mut Vec<(String, Vec<u8>)>) {
    pages.push((format!("{name}.1"), page(command, name)));
    for sub in shown_subcommands(command) {
        collect(sub, &format!("{name}-{}", sub.get_name()), pages);
    }
}

fn shown_subcommands(command: &Command) -> impl Iterator<Item = &Command> {
    command
        .get_subcommands()
        .filter(|sub| !sub.is_hide_set() && sub.get_name() != "help")
}

fn page(command: &Command, name: &str) -> Vec<u8> {
    let mut page = Vec::new();
    page.extend(head(command, name).into_bytes());
    let man = Man::new(tidied(command));
    // Writing to memory does not fail.
    let _ = man.render_options_section(&mut page);
    page.extend(tail(command, name).into_bytes());
    page
}

fn head(command: &Command, name: &str) -> String {
    let version = command.get_version().unwrap_or(env!("CARGO_PKG_VERSION"));
    // What `clap_mangen` sets refers to `\*(Aq`, the apostrophe that stays straight.
    let mut roff = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n".to_owned();
    let title = name.to_ascii_uppercase();
    let _ = writeln!(
        roff,
        ".TH \"{title}\" \"1\" \"\" \"hookfire {version}\" \"hookfire manual\""
    );
    let about = command
        .get_about()
        .map(ToString::to_string)
        .unwrap_or_default();
    let _ = writeln!(roff, ".SH NAME\n{} \\- {}", escaped(name), escaped(&about));
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    let own = command.get_bin_name().unwrap_or(name);
    let rest = usage.strip_prefix(own).unwrap_or_default();
    let _ = writeln!(
        roff,
        ".SH SYNOPSIS\n\\fB{}\\fR{}",
        escaped(own),
        escaped(rest)
    );
    let long = command
        .get_long_about()
        .map(ToString::to_string)
        .unwrap_or_default();
    // The first paragraph is in NAME.
    let paragraphs: Vec<String> = long.split("\n\n").skip(1).map(escaped).collect();
    let description = if paragraphs.is_empty() {
        format!("{}.", escaped(&about))
    } else {
        paragraphs.join("\n.PP\n")
    };
    let _ = writeln!(roff, ".SH DESCRIPTION\n{description}");
    let mut positionals = command
        .get_positionals()
        .filter(|arg| !arg.is_hide_set())
        .peekable();
    if positionals.peek().is_some() {
        roff.push_str(".SH ARGUMENTS\n");
    }
    for arg in positionals {
        let _ = writeln!(
            roff,
            ".TP\n\\fI{}\\fR\n{}",
            escaped(&arg.to_string()),
            escaped(&in_words(arg)).replace("\n\n", "\n.IP\n")
        );
    }
    roff
}

/// The command as its options are to be set.
fn tidied(command: &Command) -> Command {
    command.clone().mut_args(|arg| {
        let (words, positional) = (in_words(&arg), arg.is_positional());
        let arg = arg
            .hide_env(true)
            .hide_possible_values(true)
            .hide_default_value(true);
        arg.hide(positional).help(words).long_help(None)
    })
}

/// What an argument is for, what it takes, and what it is unless given.
fn in_words(arg: &Arg) -> String {
    let help = arg
        .get_long_help()
        .or_else(|| arg.get_help())
        .map(ToString::to_string)
        .unwrap_or_default();
    let takes_value = arg.get_action().takes_values();
    let values: Vec<String> = if takes_value {
        arg.get_possible_values()
            .iter()
            .map(|value| value.get_name().to_owned())
            .collect()
    } else {
        Vec::new()
    };
    let mut words = match values.split_last() {
        Some((last, others)) if !others.is_empty() => {
            format!("{help}: {} or {last}", others.join(", "))
        }
        _ => help,
    };
    let defaults: Vec<_> = arg
        .get_default_values()
        .iter()
        .map(|value| value.to_string_lossy())
        .collect();
    if takes_value && !defaults.is_empty() {
        let _ = write!(words, " [default: {}]", defaults.join(" "));
    }
    words
}

fn tail(command: &Command, name: &str) -> String {
    let mut roff = String::new();
    if shown_subcommands(command).next().is_some() {
        roff.push_str(".SH COMMANDS\n");
        for sub in shown_subcommands(command) {
            let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
            let page = format!("{name}-{}", sub.get_name());
            let _ = writeln!(
                roff,
                ".TP\n\\fB{}\\fR(1)\n{}",
                escaped(&page),
                escaped(&about)
            );
        }
    }
    if let Some(examples) = command.get_after_help() {
        let examples = examples.to_string();
        let examples = examples.strip_prefix("Examples:\n").unwrap_or(&examples);
        roff.push_str(".SH EXAMPLES\n");
        for (number, line) in examples.lines().enumerate() {
            // What is to be typed stands by itself, unfilled, so that it can be copied.
            if line.trim_start().starts_with("$ ") {
                let _ = writeln!(roff, ".EX\n    {}\n.EE", escaped(line.trim_start()));
            } else {
                let apart = if number > 0 { ".PP\n" } else { "" };
                let _ = writeln!(roff, "{apart}{}", escaped(line.trim_start()));
            }
        }
    }
    roff.push_str(".SH \"EXIT STATUS\"\n");
    for row in EXIT_CODES {
        let _ = writeln!(
            roff,
            ".TP\n\\fB{}\\fR\n{}: {}",
            row.code,
            row.name,
            escaped(row.when)
        );
    }
    roff.push_str(".SH ENVIRONMENT\n");
    for (variable, option) in variables(command) {
        let _ = writeln!(
            roff,
            ".TP\n\\fB{variable}\\fR\nas \\fB{}\\fR, which wins over it",
            escaped(&option)
        );
    }
    roff.push_str(".TP\n\\fBNO_COLOR\\fR\nno colour, unless \\fB\\-\\-color\\fR says otherwise\n");
    roff.push_str(concat!(
        ".SH FILES\n",
        ".TP\n\\fI$XDG_STATE_HOME/hookfire/journal.db\\fR\nthe journal, else in ~/.local/state/hookfire\n",
        ".TP\n\\fI$XDG_CONFIG_HOME/hookfire/config.toml\\fR\nthe configuration, else in ~/.config/hookfire\n",
    ));
    if let Some((group, _)) = name.rsplit_once('-') {
        let _ = writeln!(roff, ".SH \"SEE ALSO\"\n\\fB{}\\fR(1)", escaped(group));
    }
    roff
}

/// The environment variables of a command's options, each with the option it stands for.
fn variables(command: &Command) -> Vec<(String, String)> {
    let mut variables: Vec<(String, String)> = command
        .get_arguments()
        .filter_map(|arg| {
            let variable = arg.get_env()?.to_string_lossy().into_owned();
            Some((variable, format!("--{}", arg.get_long()?)))
        })
        .collect();
    variables.sort();
    variables
}

/// Text that roff takes as it is: no escapes, no typographic quotes or dashes, and no line that it would read as a request.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    let text = text
        .replace('\'', "\\(aq")
        .replace('`', "\\(ga")
        .replace('~', "\\(ti")
        .replace('^', "\\(ha");
    let lines = text.lines().map(|line| {
        if line.starts_with('.') {
            format!("\\&{line}")
        } else {
            line.to_owned()
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}
