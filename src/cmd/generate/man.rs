//! Man pages: a page a command, each with its exit codes, files and environment.

use std::fmt::Write as _;

use clap::Command;
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
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
        collect(sub, &format!("{name}-{}", sub.get_name()), pages);
    }
}

fn page(command: &Command, name: &str) -> Vec<u8> {
    let man = Man::new(command.clone()).title(name.to_ascii_uppercase()).manual("hookfire manual").date("");
    let mut page = Vec::new();
    // Writing to memory does not fail.
    let _ = man.render_title(&mut page);
    let _ = man.render_name_section(&mut page);
    let _ = man.render_synopsis_section(&mut page);
    let _ = man.render_description_section(&mut page);
    if command.get_arguments().any(|arg| !arg.is_hide_set()) {
        let _ = man.render_options_section(&mut page);
    }
    if command.get_subcommands().any(|sub| !sub.is_hide_set()) {
        let _ = man.render_subcommands_section(&mut page);
    }
    page.extend(own_sections(command).into_bytes());
    page
}

fn own_sections(command: &Command) -> String {
    let mut roff = String::new();
    if let Some(examples) = command.get_after_help() {
        let examples = examples.to_string();
        let examples = examples.strip_prefix("Examples:\n").unwrap_or(&examples);
        let _ = writeln!(roff, ".SH EXAMPLES\n.nf\n{}\n.fi", escaped(examples));
    }
    roff.push_str(".SH \"EXIT STATUS\"\n");
    for row in EXIT_CODES {
        let _ = writeln!(roff, ".TP\n\\fB{}\\fR\n{}: {}", row.code, row.name, escaped(row.when));
    }
    roff.push_str(".SH ENVIRONMENT\n");
    for (variable, option) in variables(command) {
        let _ = writeln!(roff, ".TP\n\\fB{variable}\\fR\nas {}", escaped(&option));
    }
    roff.push_str(".TP\n\\fBNO_COLOR\\fR\nno colour, unless \\-\\-color says otherwise\n");
    roff.push_str(concat!(
        ".SH FILES\n",
        ".TP\n\\fI$XDG_STATE_HOME/hookfire/journal.db\\fR\nthe journal, else in ~/.local/state\n",
        ".TP\n\\fI$XDG_CONFIG_HOME/hookfire/config.toml\\fR\nthe configuration, else in ~/.config\n",
    ));
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

/// Text that roff takes as it is: no escapes, and no line that it would read as a request.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    let lines =
        text.lines().map(|line| if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() });
    lines.collect::<Vec<_>>().join("\n")
}
