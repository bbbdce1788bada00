//! Generates the man pages: one per command, and the chapters of the manual.
//!
//! `clap_mangen` writes the sections that clap knows. The others are Markdown, like the chapters. Variables are in
//! ENVIRONMENT only, not repeated with each option.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use clap::{Arg, Command};
use clap_mangen::Man;
use roff::Roff;

use hookfire::EXIT_CODES;

use crate::markdown::add_markdown;

/// Name and section of each chapter in `man/`.
const CHAPTERS: [(&str, char); 15] = [
    ("hookfire-install", '7'),
    ("hookfire-events", '7'),
    ("hookfire-secrets", '7'),
    ("hookfire-signatures", '7'),
    ("hookfire-retry", '7'),
    ("hookfire-listen", '7'),
    ("hookfire-expect", '7'),
    ("hookfire-recovery", '7'),
    ("hookfire-output", '7'),
    ("hookfire-journal", '7'),
    ("hookfire-follow", '7'),
    ("hookfire-team", '7'),
    ("hookfire-forward", '7'),
    ("hookfire-guarantees", '7'),
    ("hookfire.toml", '5'),
];

const ENVIRONMENT: &str = "A variable sets the option of the same name, for the commands whose help lists the variable. \
    Options override variables; empty variables are ignored. A variable holds one value, even if its option is repeatable.";

/// File names and pages; `folder` has the chapters. Hidden commands have no page.
pub fn pages(mut root: Command, folder: &Path) -> Vec<(String, Vec<u8>)> {
    root.build();
    let mut pages = Vec::new();
    add_commands(&mut pages, &root, "hookfire");
    for (name, section) in CHAPTERS {
        let file = format!("{name}.{section}");
        let markdown = std::fs::read_to_string(folder.join(format!("{file}.md")));
        let body = roff(&markdown.expect("a chapter"));
        pages.push((file, page(name, section, &body)));
    }
    pages
}

fn roff(markdown: &str) -> String {
    let mut roff = Roff::new();
    add_markdown(&mut roff, markdown);
    roff.to_roff()
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
    let mut body = Vec::new();
    write_sections(command, &mut body).expect("memory can be written");
    let mut body = with_bold_code(&String::from_utf8_lossy(&body)).replace("\n\n", "\n.IP\n");
    body += &roff(&other_sections(command, name));
    pages.push((format!("{name}.1"), page(name, '1', &body)));
    for sub in visible_subcommands(command) {
        add_commands(pages, sub, &format!("{name}-{}", sub.get_name()));
    }
}

/// Prints what help has between backticks in bold, as the chapters do.
fn with_bold_code(text: &str) -> String {
    let is_code = |part: usize| part % 2 == 1;
    let lines = text.lines().map(|line| {
        let parts: Vec<String> = line
            .split('`')
            .enumerate()
            .map(|(i, part)| match is_code(i) {
                true => format!("\\fB{part}\\fR"),
                false => part.to_owned(),
            })
            .collect();
        assert!(is_code(parts.len()), "a backtick without its pair: {line}");
        parts.concat() + "\n"
    });
    lines.collect()
}

fn visible_subcommands(command: &Command) -> impl Iterator<Item = &Command> {
    command
        .get_subcommands()
        .filter(|sub| !sub.is_hide_set() && sub.get_name() != "help")
}

/// The sections that clap knows, from NAME to COMMANDS.
fn write_sections(command: &Command, out: &mut Vec<u8>) -> io::Result<()> {
    let usage = command.clone().render_usage().to_string();
    let has_commands = visible_subcommands(command).next().is_some();
    // The first paragraph is the sentence of NAME.
    let long = command.get_long_about().map(ToString::to_string);
    let rest = long.as_deref().and_then(|long| long.split_once("\n\n"));
    let rest = rest.map(|(_, rest)| rest.to_owned());
    let command = command
        .clone()
        .override_usage(usage.trim_start_matches("Usage: ").to_owned())
        .subcommand_help_heading("COMMANDS")
        .mut_subcommands(|sub| match sub.get_name() {
            "help" => sub.hide(true),
            _ => sub,
        })
        .mut_args(|arg| {
            let help = description(&arg);
            let arg = match arg.is_positional() {
                true => arg.help_heading("Arguments"),
                false => arg.hide_env(true),
            };
            arg.hide_possible_values(true)
                .hide_default_value(true)
                .help(help)
                .long_help(None)
        });
    let man = Man::new(command).section("1");
    man.render_name_section(out)?;
    man.render_synopsis_section(out)?;
    match rest {
        Some(text) => {
            Man::new(Command::new("hookfire").long_about(text)).render_description_section(out)?
        }
        None => man.render_description_section(out)?,
    }
    man.render_options_section(out)?;
    if has_commands {
        man.render_subcommands_section(out)?;
    }
    Ok(())
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

/// The sections from EXAMPLES to SEE ALSO, as Markdown.
fn other_sections(command: &Command, name: &str) -> String {
    let mut text = String::new();
    if let Some(examples) = command.get_after_help() {
        text.push_str("## Examples\n\n");
        let examples = examples.to_string();
        for line in examples
            .trim_start_matches("Examples:\n")
            .lines()
            .map(str::trim_start)
        {
            // Commands are code blocks, so that they can be copied.
            let is_command = line.starts_with("$ ");
            text.push_str(&if is_command {
                format!("```\n{line}\n```\n\n")
            } else {
                format!("{line}\n\n")
            });
        }
    }
    text.push_str("## Exit status\n\n| code | when |\n|---|---|\n");
    for row in EXIT_CODES {
        text.push_str(&format!("| {} | {}: {} |\n", row.code, row.name, row.when));
    }
    text.push_str(&format!(
        "\n## Environment\n\n{ENVIRONMENT}\n\n| variable | purpose |\n|---|---|\n"
    ));
    let is_root = name == "hookfire";
    let mut variables = BTreeMap::new();
    add_variables(command, is_root, &mut variables);
    for (variable, option) in variables {
        text.push_str(&format!("| {variable} | Sets `{option}`. |\n"));
    }
    text.push_str(match is_root {
        true => concat!("\n", include_str!("environment.md")),
        false => "\n`hookfire`(1) describes other variables and files.\n",
    });
    let group = name
        .rsplit_once('-')
        .map(|(group, _)| format!("`{group}`(1)"));
    let chapters = CHAPTERS
        .iter()
        .map(|(chapter, section)| format!("`{chapter}`({section})"));
    let pages: Vec<String> = group.into_iter().chain(chapters).collect();
    text.push_str(&format!("\n## See also\n\n{}\n", pages.join(",\n")));
    text
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

#[test]
fn text_keeps_its_characters() {
    let mut roff = Roff::new();
    roff.text([roff::roman(".a 'b' `c` \\d ~/e-f^2 \u{2192}")]);
    let page = String::from_utf8(page("x", '7', &roff.to_roff())).expect("UTF-8");
    let (_, text) = page.split_once('\n').expect("a title");
    assert_eq!(
        text,
        "\\&.a \\(aqb\\(aq \\(gac\\(ga \\ed \\(ti/e\\-f\\(ha2 \\[u2192]\n"
    );
}
