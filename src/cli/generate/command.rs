//! The man pages of the commands.
//!
//! `clap_mangen` writes the options. The other sections are written here, because clap knows nothing about exit codes,
//! files and related pages. Variables are in ENVIRONMENT only, not repeated with each option.

use std::collections::BTreeMap;

use clap::{Arg, Command};
use clap_mangen::Man;
use roff::{Roff, bold, italic, roman};

use super::chapter;
use super::page::{page, render};
use crate::exit::EXIT_CODES;

/// Variables that do not set an option, for `hookfire.1`.
const OTHER_VARIABLES: &[(&str, &str)] = &[
    (
        "HOOKFIRE_PORTAL_TOKEN",
        "Token for 3scale's Account Management API. No option takes the token itself.",
    ),
    (
        "HOOKFIRE_EXPECT_URL",
        "Set by hookfire expect for the command that it runs: the URL of its listener.",
    ),
    (
        "HTTP_PROXY, HTTPS_PROXY, NO_PROXY",
        "Proxies, unless --proxy is given. Requests to loopback addresses, localhost and names that end in .localhost never use a proxy.",
    ),
    ("NO_COLOR", "Turns colors off unless --color is given."),
    (
        "COLUMNS",
        "Width of tables, instead of the width of the terminal.",
    ),
    (
        "HOME, XDG_CONFIG_HOME, XDG_STATE_HOME",
        "Where the configuration and the journal are; see FILES. Without HOME, hookfire uses the home directory in the user database.",
    ),
];

const ENVIRONMENT: &str = "Each variable sets the option of the same name. \
    Options override variables; empty variables are ignored. A variable holds one value, even if its option is repeatable.";

const EXCEPTIONS: &str = "Options that select or confirm (IDs, filters, --all, --yes, --force, --dry-run) have no variable. \
    HOOKFIRE_URL and HOOKFIRE_ENDPOINT do not apply to retry, captured replay, portal recover and portal webhooks set; \
    HOOKFIRE_SECRET does not apply to portal webhooks set. expect ignores HOOKFIRE_SECRET, HOOKFIRE_HEADER and HOOKFIRE_RESPOND, \
    which are for the command that it runs; it sets HOOKFIRE_EXPECT_URL and HOOKFIRE_URL for that command and removes HOOKFIRE_ENDPOINT.";

const FILES: &[(&str, &str)] = &[
    (
        "$XDG_STATE_HOME/hookfire/journal.db",
        "The journal, an SQLite database, with journal.db-wal and journal.db-shm beside it. Without XDG_STATE_HOME: ~/.local/state/hookfire/journal.db.",
    ),
    (
        "$XDG_CONFIG_HOME/hookfire/config.toml",
        "The configuration, see hookfire.toml(5). Without XDG_CONFIG_HOME: ~/.config/hookfire/config.toml.",
    ),
];

const PRIVATE_FILES: &str = "hookfire creates the directories with mode 0700 and the files with mode 0600. \
    It reads no file in the working directory unless you name it.";

/// File names and pages; the page of `hookfire` itself is the first. Hidden commands have no page.
pub fn pages(mut root: Command) -> Vec<(String, Vec<u8>)> {
    root.build();
    let mut pages = Vec::new();
    collect(&root, "hookfire", &mut pages);
    pages
}

fn collect(command: &Command, name: &str, pages: &mut Vec<(String, Vec<u8>)>) {
    let mut body = render(&head(command, name));
    body.push_str(&options(command));
    body.push_str(&render(&tail(command, name)));
    pages.push((format!("{name}.1"), page(name, '1', &body)));
    for sub in visible_subcommands(command) {
        collect(sub, &format!("{name}-{}", sub.get_name()), pages);
    }
}

fn visible_subcommands(command: &Command) -> impl Iterator<Item = &Command> {
    command
        .get_subcommands()
        .filter(|sub| !sub.is_hide_set() && sub.get_name() != "help")
}

fn head(command: &Command, name: &str) -> Roff {
    let mut roff = Roff::new();
    let about = about(command);
    roff.control("SH", ["NAME"])
        .text([roman(format!("{name} - {about}"))]);

    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    let own = command.get_bin_name().unwrap_or(name);
    let arguments = usage.strip_prefix(own).unwrap_or_default();
    roff.control("SH", ["SYNOPSIS"])
        .text([bold(own), roman(arguments)]);

    let long = command
        .get_long_about()
        .map(ToString::to_string)
        .unwrap_or_default();
    // The first paragraph is in NAME.
    let paragraphs: Vec<&str> = long.split("\n\n").skip(1).collect();
    roff.control("SH", ["DESCRIPTION"]);
    if paragraphs.is_empty() {
        roff.text([roman(format!("{about}."))]);
    }
    for (number, paragraph) in paragraphs.into_iter().enumerate() {
        if number > 0 {
            roff.control("PP", []);
        }
        roff.text([roman(paragraph)]);
    }

    let positionals: Vec<&Arg> = command
        .get_positionals()
        .filter(|arg| !arg.is_hide_set())
        .collect();
    if !positionals.is_empty() {
        roff.control("SH", ["ARGUMENTS"]);
    }
    for arg in positionals {
        roff.control("TP", []).text([italic(arg.to_string())]);
        for (number, paragraph) in description(arg).split("\n\n").enumerate() {
            if number > 0 {
                roff.control("IP", []);
            }
            roff.text([roman(paragraph)]);
        }
    }
    roff
}

fn about(command: &Command) -> String {
    command
        .get_about()
        .map(ToString::to_string)
        .unwrap_or_default()
}

fn options(command: &Command) -> String {
    let command = command.clone().mut_args(|arg| {
        let (description, positional) = (description(&arg), arg.is_positional());
        arg.hide_env(true)
            .hide_possible_values(true)
            .hide_default_value(true)
            .hide(positional)
            .help(description)
            .long_help(None)
    });
    let mut roff = Vec::new();
    // Writing to memory does not fail.
    let _ = Man::new(command).render_options_section(&mut roff);
    String::from_utf8_lossy(&roff).into_owned()
}

/// The help of an argument with its possible values and its default.
fn description(arg: &Arg) -> String {
    let mut text = arg
        .get_long_help()
        .or_else(|| arg.get_help())
        .map(ToString::to_string)
        .unwrap_or_default();
    if !arg.get_action().takes_values() {
        return text;
    }
    let values = arg.get_possible_values();
    let values: Vec<&str> = values.iter().map(|value| value.get_name()).collect();
    if let Some((last, others @ [_, ..])) = values.split_last() {
        text.push_str(&format!(": {} or {last}", others.join(", ")));
    }
    let defaults: Vec<_> = arg
        .get_default_values()
        .iter()
        .map(|value| value.to_string_lossy())
        .collect();
    if !defaults.is_empty() {
        text.push_str(&format!(" [default: {}]", defaults.join(" ")));
    }
    text
}

fn tail(command: &Command, name: &str) -> Roff {
    let mut roff = Roff::new();
    if visible_subcommands(command).next().is_some() {
        roff.control("SH", ["COMMANDS"]);
        for sub in visible_subcommands(command) {
            let page = format!("{name}-{}", sub.get_name());
            roff.control("TP", []).text([bold(page), roman("(1)")]);
            roff.text([roman(about(sub))]);
        }
    }
    if let Some(examples) = command.get_after_help() {
        add_examples(&mut roff, &examples.to_string());
    }
    roff.control("SH", ["EXIT STATUS"]);
    for row in EXIT_CODES {
        add_term(
            &mut roff,
            &row.code.to_string(),
            &format!("{}: {}", row.name, row.when),
        );
    }
    let is_root = name == "hookfire";
    let mut variables = BTreeMap::new();
    add_variables(command, is_root, &mut variables);
    roff.control("SH", ["ENVIRONMENT"])
        .text([roman(ENVIRONMENT)]);
    for (variable, option) in variables {
        roff.control("TP", []).text([bold(variable)]);
        roff.text([roman("Sets "), bold(option), roman(".")]);
    }
    roff.control("PP", []);
    if is_root {
        roff.text([roman(EXCEPTIONS)]);
        for (variable, text) in OTHER_VARIABLES {
            add_term(&mut roff, variable, text);
        }
        roff.control("SH", ["FILES"]);
        for (file, text) in FILES {
            roff.control("TP", []).text([italic(*file)]);
            roff.text([roman(*text)]);
        }
        roff.control("PP", []).text([roman(PRIVATE_FILES)]);
    } else {
        roff.text([
            roman("Other variables and files are described in "),
            bold("hookfire"),
            roman("(1)."),
        ]);
    }
    add_see_also(&mut roff, name);
    roff
}

/// Commands to type stand by themselves, unfilled, so that they can be copied.
fn add_examples(roff: &mut Roff, examples: &str) {
    roff.control("SH", ["EXAMPLES"]);
    let lines = examples.strip_prefix("Examples:\n").unwrap_or(examples);
    for (number, line) in lines.lines().enumerate() {
        let line = line.trim_start();
        if line.starts_with("$ ") {
            roff.control("EX", []);
            roff.text([roman(format!("    {line}"))]);
            roff.control("EE", []);
        } else {
            if number > 0 {
                roff.control("PP", []);
            }
            roff.text([roman(line)]);
        }
    }
}

fn add_term(roff: &mut Roff, term: &str, text: &str) {
    roff.control("TP", []).text([bold(term)]);
    roff.text([roman(text)]);
}

/// Adds the variables of a command's options, and those of its subcommands if asked to.
fn add_variables(command: &Command, deep: bool, variables: &mut BTreeMap<String, String>) {
    for arg in command.get_arguments() {
        if let (Some(variable), Some(long)) = (arg.get_env(), arg.get_long()) {
            let variable = variable.to_string_lossy().into_owned();
            variables.insert(variable, format!("--{long}"));
        }
    }
    for sub in command.get_subcommands().filter(|_| deep) {
        add_variables(sub, deep, variables);
    }
}

fn add_see_also(roff: &mut Roff, name: &str) {
    roff.control("SH", ["SEE ALSO"]);
    let mut pages: Vec<(&str, char)> = Vec::new();
    if let Some((group, _)) = name.rsplit_once('-') {
        pages.push((group, '1'));
    }
    pages.extend(chapter::names().map(|(chapter, section)| (chapter as &str, section)));
    let last = pages.len() - 1;
    let mut line = Vec::new();
    for (number, (page, section)) in pages.into_iter().enumerate() {
        let separator = if number < last { ", " } else { "" };
        line.push(bold(page));
        line.push(roman(format!("({section}){separator}")));
    }
    roff.text(line);
}
