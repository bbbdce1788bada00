//! Man pages: one per command, and the chapters of the manual.
//!
//! `clap_mangen` writes the options. The other sections are written here, because clap knows nothing about exit codes,
//! files and related pages. Variables are in ENVIRONMENT only, not repeated with each option.

use std::collections::BTreeMap;

use clap::{Arg, Command};
use clap_mangen::Man;
use roff::{Roff, bold, italic, roman};

use super::chapter::{CHAPTERS, add_markdown};
use crate::exit::EXIT_CODES;

const ENVIRONMENT: &str = "Each variable sets the option of the same name. \
    Options override variables; empty variables are ignored. A variable holds one value, even if its option is repeatable.";

/// File names and pages. Hidden commands have no page.
pub fn pages(mut root: Command) -> Vec<(String, Vec<u8>)> {
    root.build();
    let mut pages = Vec::new();
    add_commands(&mut pages, &root, "hookfire");
    for (name, section, markdown) in CHAPTERS {
        let mut body = Roff::new();
        add_markdown(&mut body, markdown);
        pages.push((
            format!("{name}.{section}"),
            page(name, *section, &body.to_roff()),
        ));
    }
    pages
}

/// Adds the title, which has no date so that builds are reproducible, and escapes the text so that examples can be copied
/// from any reader.
///
/// The `roff` crate escapes backslashes, dashes and control lines. Groff also prints `'`, `` ` ``, `~` and `^` as
/// typographic characters and reads only ASCII without a preprocessor, and mandoc warns about `\\`.
fn page(name: &str, section: char, body: &str) -> Vec<u8> {
    let mut page = format!(
        ".TH \"{}\" \"{section}\" \"\" \"hookfire {}\" \"hookfire manual\"\n",
        name.to_ascii_uppercase(),
        env!("CARGO_PKG_VERSION")
    );
    for c in body.replace("\\\\", "\\e").chars() {
        match c {
            '\'' => page.push_str("\\(aq"),
            '`' => page.push_str("\\(ga"),
            '~' => page.push_str("\\(ti"),
            '^' => page.push_str("\\(ha"),
            c if c.is_ascii() => page.push(c),
            c => page.push_str(&format!("\\[u{:04X}]", u32::from(c))),
        }
    }
    page.into_bytes()
}

fn add_commands(pages: &mut Vec<(String, Vec<u8>)>, command: &Command, name: &str) {
    let body = head(command, name).to_roff() + &options(command) + &tail(command, name).to_roff();
    pages.push((format!("{name}.1"), page(name, '1', &body)));
    for sub in visible_subcommands(command) {
        add_commands(pages, sub, &format!("{name}-{}", sub.get_name()));
    }
}

fn visible_subcommands(command: &Command) -> impl Iterator<Item = &Command> {
    command
        .get_subcommands()
        .filter(|sub| !sub.is_hide_set() && sub.get_name() != "help")
}

fn about(command: &Command) -> String {
    command
        .get_about()
        .map(ToString::to_string)
        .unwrap_or_default()
}

fn head(command: &Command, name: &str) -> Roff {
    let mut roff = Roff::new();
    let about = about(command);
    roff.control("SH", ["NAME"]);
    roff.text([roman(format!("{name} - {about}"))]);

    let usage = command.clone().render_usage().to_string();
    let own = command.get_bin_name().unwrap_or(name);
    let arguments = usage.trim_start_matches("Usage: ").trim_start_matches(own);
    roff.control("SH", ["SYNOPSIS"]);
    roff.text([bold(own), roman(arguments)]);

    roff.control("SH", ["DESCRIPTION"]);
    let long = command.get_long_about().map(ToString::to_string);
    // The first paragraph is in NAME.
    match long.unwrap_or_default().split_once("\n\n") {
        Some((_, paragraphs)) => add_paragraphs(&mut roff, "PP", paragraphs),
        None => _ = roff.text([roman(format!("{about}."))]),
    }

    for (number, arg) in command
        .get_positionals()
        .filter(|arg| !arg.is_hide_set())
        .enumerate()
    {
        if number == 0 {
            roff.control("SH", ["ARGUMENTS"]);
        }
        roff.control("TP", []).text([italic(arg.to_string())]);
        add_paragraphs(&mut roff, "IP", &description(arg));
    }
    roff
}

fn add_paragraphs(roff: &mut Roff, separator: &str, text: &str) {
    for (number, paragraph) in text.split("\n\n").enumerate() {
        if number > 0 {
            roff.control(separator, []);
        }
        roff.text([roman(paragraph)]);
    }
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
    let help = arg.get_long_help().or_else(|| arg.get_help());
    let mut text = help.map(ToString::to_string).unwrap_or_default();
    if !arg.get_action().takes_values() {
        return text;
    }
    let values = arg.get_possible_values();
    let values: Vec<&str> = values.iter().map(|value| value.get_name()).collect();
    if let Some((last, others @ [_, ..])) = values.split_last() {
        text.push_str(&format!(": {} or {last}", others.join(", ")));
    }
    if let Some(default) = arg.get_default_values().first() {
        text.push_str(&format!(" [default: {}]", default.to_string_lossy()));
    }
    text
}

fn tail(command: &Command, name: &str) -> Roff {
    let mut roff = Roff::new();
    for (number, sub) in visible_subcommands(command).enumerate() {
        if number == 0 {
            roff.control("SH", ["COMMANDS"]);
        }
        let page = format!("{name}-{}", sub.get_name());
        roff.control("TP", []).text([bold(page), roman("(1)")]);
        roff.text([roman(about(sub))]);
    }
    if let Some(examples) = command.get_after_help() {
        add_examples(&mut roff, &examples.to_string());
    }
    roff.control("SH", ["EXIT STATUS"]);
    for row in EXIT_CODES {
        roff.control("TP", []).text([bold(row.code.to_string())]);
        roff.text([roman(format!("{}: {}", row.name, row.when))]);
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
    if is_root {
        add_markdown(&mut roff, include_str!("environment.md"));
    } else {
        add_markdown(
            &mut roff,
            "`hookfire`(1) describes other variables and files.",
        );
    }
    roff.control("SH", ["SEE ALSO"]);
    if let Some((group, _)) = name.rsplit_once('-') {
        roff.text([bold(group), roman("(1),")]);
    }
    for (number, (chapter, section, _)) in CHAPTERS.iter().enumerate() {
        let comma = if number + 1 < CHAPTERS.len() { "," } else { "" };
        roff.text([bold(*chapter), roman(format!("({section}){comma}"))]);
    }
    roff
}

/// Commands to type stand by themselves, unfilled, so that they can be copied.
fn add_examples(roff: &mut Roff, examples: &str) {
    roff.control("SH", ["EXAMPLES"]);
    let lines = examples.trim_start_matches("Examples:\n").lines();
    for (number, line) in lines.map(str::trim_start).enumerate() {
        if line.starts_with("$ ") {
            roff.control("EX", []).text([roman(format!("    {line}"))]);
            roff.control("EE", []);
        } else {
            if number > 0 {
                roff.control("PP", []);
            }
            roff.text([roman(line)]);
        }
    }
}

/// Adds the variables of a command's options, and those of its subcommands if asked to.
fn add_variables(command: &Command, deep: bool, variables: &mut BTreeMap<String, String>) {
    for arg in command.get_arguments() {
        if let (Some(variable), Some(long)) = (arg.get_env(), arg.get_long()) {
            variables.insert(variable.to_string_lossy().into_owned(), format!("--{long}"));
        }
    }
    for sub in command.get_subcommands().filter(|_| deep) {
        add_variables(sub, deep, variables);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_keeps_its_characters() {
        let mut roff = Roff::new();
        roff.text([roman(".a 'b' `c` \\d ~/e-f^2 \u{2192}")]);
        let page = String::from_utf8(page("x", '7', &roff.to_roff())).expect("UTF-8");
        let (_, text) = page.split_once('\n').expect("a title");
        assert_eq!(
            text,
            "\\&.a \\(aqb\\(aq \\(gac\\(ga \\ed \\(ti/e\\-f\\(ha2 \\[u2192]\n"
        );
    }
}
