//! The README, the changelog and the examples in the help say what is so.
//!
//! Every command line that they show is parsed, every table that the program has in itself is compared, and every file
//! that they link to is looked for. Nothing is run.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use hookfire::{EXIT_CODES, definition};

#[test]
fn every_command_line_in_the_readme_parses() {
    let readme = read("README.md");
    let lines: Vec<Vec<String>> = code_blocks(&readme).flat_map(command_lines).collect();
    assert!(lines.len() > 30, "only {} command lines found", lines.len());
    assert_parse(&lines);
}

#[test]
fn every_example_in_the_help_parses() {
    let mut lines = Vec::new();
    let mut without = Vec::new();
    each_command(&definition(), &mut |command| {
        let help = command
            .get_after_long_help()
            .or(command.get_after_help())
            .map(ToString::to_string);
        let examples: Vec<_> = help
            .iter()
            .flat_map(|help| help.lines())
            .flat_map(command_lines)
            .collect();
        if examples.is_empty() && !command.has_subcommands() {
            without.push(command.get_name().to_owned());
        }
        lines.extend(examples);
    });
    assert!(without.is_empty(), "no example in the help of {without:?}");
    assert_parse(&lines);
}

#[test]
fn the_table_of_exit_codes_is_the_programs() {
    let expected: Vec<Vec<String>> = EXIT_CODES
        .iter()
        .map(|row| {
            vec![
                row.code.to_string(),
                row.name.to_owned(),
                row.when.to_owned(),
            ]
        })
        .collect();
    assert_eq!(table(&read("README.md"), "### Exit codes"), expected);
}

#[test]
fn the_table_of_variables_is_the_programs() {
    let mut expected = BTreeMap::new();
    each_command(&definition(), &mut |command| {
        for arg in command.get_arguments() {
            if let (Some(variable), Some(long)) = (arg.get_env(), arg.get_long()) {
                expected.insert(
                    format!("`{}`", variable.to_string_lossy()),
                    format!("`--{long}`"),
                );
            }
        }
    });
    let rows = table(&read("README.md"), "### Environment");
    let shown: BTreeMap<String, String> = rows
        .iter()
        .map(|row| (row[0].clone(), row[1].clone()))
        .collect();
    assert_eq!(shown, expected);
    assert_eq!(rows.len(), shown.len(), "a variable stands twice");
}

#[test]
fn every_format_is_in_the_table_of_outputs() {
    let rows = table(&read("README.md"), "## Output");
    let shown: BTreeSet<&str> = rows.iter().map(|row| row[0].trim_matches('`')).collect();
    let mut taken = BTreeSet::new();
    each_command(&definition(), &mut |command| {
        let output = command.get_arguments().find(|arg| arg.get_id() == "output");
        let values = output
            .map(|arg| arg.get_possible_values())
            .unwrap_or_default();
        taken.extend(values.iter().map(|value| value.get_name().to_owned()));
        for format in ["csv", "xml"] {
            let takes = values.iter().any(|value| value.get_name() == format);
            let name = command
                .get_display_name()
                .unwrap_or_default()
                .replace('-', " ")
                .replace("hookfire ", "");
            let said = rows.iter().any(|row| {
                row[0] == format!("`{format}`") && row[2].contains(&format!("`{name}`"))
            });
            assert_eq!(said, takes, "`{name}` and {format}");
        }
        // Of these the table names those that do not take them.
        let name = command
            .get_display_name()
            .unwrap_or_default()
            .replace('-', " ")
            .replace("hookfire ", "");
        let prints = command.get_subcommands().next().is_none() && !name.starts_with("generate");
        for format in if prints { &["json", "ndjson"][..] } else { &[] } {
            let takes = values.iter().any(|value| value.get_name() == *format);
            let excepted = rows.iter().any(|row| {
                row[0] == format!("`{format}`") && row[2].contains(&format!("`{name}`"))
            });
            assert_eq!(excepted, !takes, "`{name}` and {format}");
        }
    });
    assert_eq!(shown, taken.iter().map(String::as_str).collect());
}

#[test]
fn every_linked_file_is_there() {
    for document in ["README.md", "CHANGELOG.md"] {
        let text = read(document);
        let links: Vec<&str> = text
            .split("](")
            .skip(1)
            .filter_map(|rest| Some(rest.split_once(')')?.0))
            .collect();
        assert!(!links.is_empty(), "{document} links to nothing");
        let missing: Vec<&&str> = links
            .iter()
            .filter(|link| !leads_somewhere(&text, link))
            .collect();
        assert!(
            missing.is_empty(),
            "{document} links to what is not there: {missing:?}"
        );
    }
}

#[test]
fn the_changelog_has_this_version() {
    let heading = format!("\n## [{}] - 20", env!("CARGO_PKG_VERSION"));
    assert!(
        read("CHANGELOG.md").contains(&heading),
        "no line `{}`",
        heading.trim()
    );
}

#[test]
fn every_unit_of_systemd_is_one_that_systemd_takes() {
    let readme = read("README.md");
    let blocks = readme
        .split("```ini\n")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once("\n```")?.0));
    let units: Vec<&str> = blocks.filter(|block| block.starts_with("[Unit]")).collect();
    assert!(units.len() > 2, "{} units", units.len());
    let folder = tempfile::tempdir().unwrap();
    for unit in units {
        let kind = if unit.contains("[Timer]") {
            "timer"
        } else {
            "service"
        };
        let path = folder.path().join(format!("hookfire-due.{kind}"));
        // The program is where it was built, not where it is installed.
        fs::write(
            &path,
            unit.replace("%h/.cargo/bin/hookfire", env!("CARGO_BIN_EXE_hookfire")),
        )
        .unwrap();
        let mut verify = std::process::Command::new("systemd-analyze");
        let Ok(verified) = verify
            .args(["--user", "verify"])
            .arg(&path)
            .env("XDG_RUNTIME_DIR", folder.path())
            .output()
        else {
            // Past the test runner's capturing; `tests/run` counts these lines.
            use std::io::Write as _;
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED: `systemd-analyze` is not installed"
            );
            return;
        };
        let said = String::from_utf8_lossy(&verified.stderr);
        assert!(
            verified.status.success() && said.is_empty(),
            "{unit}\n{said}"
        );
    }
}

/// The checks above stand on this splitter.
#[test]
fn a_line_is_split_as_a_shell_would() {
    for (line, expected) in [
        (
            "$ hookfire fire a b -e x | jq .",
            &[&["hookfire", "fire", "a", "b", "-e", "x"][..]][..],
        ),
        (
            "$ hookfire a --set 'b c=d \"e\"' > f",
            &[&["hookfire", "a", "--set", "b c=d \"e\""]],
        ),
        (
            "$ sqlite3 \"$(hookfire journal path)\" '.backup x'",
            &[&["hookfire", "journal", "path"]],
        ),
        (
            "30 3 * * *  hookfire retry --all && hookfire demo",
            &[&["hookfire", "retry", "--all"], &["hookfire", "demo"]],
        ),
        (
            "  - run: sh -c 'until hookfire ping --quiet; do x; done'",
            &[&["hookfire", "ping", "--quiet"]],
        ),
        ("cargo run --release -- demo", &[&["hookfire", "demo"]]),
        (
            "ExecStart=%h/bin/hookfire retry --due",
            &[&["hookfire", "retry", "--due"]],
        ),
        (
            "* * * * *  set -a; . ~/env; ~/.bin/hookfire retry --due -q > /dev/null",
            &[&["hookfire", "retry", "--due", "-q"]],
        ),
        ("hint: `hookfire nothing` and no hookfire here", &[]),
    ] {
        assert_eq!(command_lines(line), expected, "{line}");
    }
}

/// The words of each hookfire that a line of shell, YAML or crontab would start.
fn command_lines(line: &str) -> Vec<Vec<String>> {
    let line = line.replace("cargo run --release --", "hookfire");
    let starts = line.match_indices("hookfire ").filter(|(at, _)| {
        // Where the program is, if it is said.
        let before =
            line[..*at].trim_end_matches(|c: char| c.is_alphanumeric() || "~%/._-".contains(c));
        let before = if line[..*at].ends_with('/') {
            before
        } else {
            &line[..*at]
        }
        .trim_end();
        before.is_empty()
            || [
                "$",
                "$(",
                "<(",
                "run:",
                "until",
                "if",
                "while",
                "!",
                "|",
                "&&",
                "||",
                ";",
                "*",
                "ExecStart=",
            ]
            .iter()
            .any(|start| before.ends_with(start))
    });
    starts.map(|(at, _)| words(&line[at..])).collect()
}

/// Splits at blanks outside of quotes, up to what ends a command in a shell.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut begun, mut quote) = (Vec::new(), String::new(), false, None);
    for c in text.chars() {
        match (quote, c) {
            (Some(end), c) if c == end => quote = None,
            (Some(_), c) => word.push(c),
            (None, '\'' | '"') => (quote, begun) = (Some(c), true),
            // The number of a stream belongs to its redirection.
            (None, '>') => {
                begun &= !word.bytes().all(|byte| byte.is_ascii_digit());
                break;
            }
            (None, '|' | '<' | '&' | ';' | ')' | '#') if !(c == '#' && begun) => break,
            (None, ' ') => {
                if std::mem::take(&mut begun) {
                    words.push(std::mem::take(&mut word));
                }
            }
            (None, c) => {
                word.push(c);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}

#[track_caller]
fn assert_parse(lines: &[Vec<String>]) {
    let wrong: Vec<String> = lines
        .iter()
        .filter_map(|words| {
            let error = definition()
                .try_get_matches_from(words)
                .err()
                .filter(clap::Error::use_stderr)?;
            Some(format!("{words:?}\n{error}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn each_command(command: &clap::Command, visit: &mut impl FnMut(&clap::Command)) {
    fn go(command: &clap::Command, visit: &mut impl FnMut(&clap::Command)) {
        visit(command);
        command
            .get_subcommands()
            .filter(|sub| sub.get_name() != "help")
            .for_each(|sub| go(sub, visit));
    }
    let mut command = command.clone();
    command.build();
    go(&command, visit);
}

/// The lines of code: fenced, or indented by four.
fn code_blocks(markdown: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    markdown.lines().filter(move |line| {
        let fence = line.starts_with("```");
        fenced ^= fence;
        !fence && (fenced || line.starts_with("    "))
    })
}

/// The cells of the first table below a heading, row by row, its head left out.
fn table(markdown: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, below) = markdown
        .split_once(&format!("\n{heading}\n"))
        .unwrap_or_else(|| panic!("no heading `{heading}`"));
    let rows = below
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'));
    rows.skip(2)
        .map(|row| {
            row.trim_matches('|')
                .split('|')
                .map(|cell| cell.trim().to_owned())
                .collect()
        })
        .collect()
}

fn leads_somewhere(document: &str, link: &str) -> bool {
    if link.starts_with("https://") {
        return true;
    }
    match link.split_once('#') {
        Some(("", anchor)) => {
            document
                .lines()
                .filter(|line| line.starts_with('#'))
                .any(|heading| {
                    let heading = heading
                        .trim_start_matches('#')
                        .trim()
                        .to_lowercase()
                        .replace(' ', "-");
                    heading == anchor
                })
        }
        // Which test of the file is meant is held by another test.
        _ => root().join(link.split('#').next().unwrap_or(link)).exists(),
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(Path::new(name))).unwrap_or_else(|e| panic!("{name}: {e}"))
}
