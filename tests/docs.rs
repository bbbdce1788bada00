//! Checks the documentation against the program: command lines parse, tables are complete, links exist.
//!
//! The documents are the README, the changelog, the help texts and the Markdown chapters in `man/`. No command is run.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use hookfire::{EXIT_CODES, definition};

#[test]
fn command_lines_in_documents_parse() {
    for document in documents() {
        let text = read(&document);
        let lines: Vec<Vec<String>> = code_blocks(&text).flat_map(command_lines).collect();
        assert!(
            !lines.is_empty()
                || ["CHANGELOG.md", "man/hookfire-guarantees.7.md"].contains(&document.as_str()),
            "no command line in {document}"
        );
        assert_parse(&document, &lines);
    }
}

#[test]
fn examples_in_help_parse() {
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
    assert_parse("the help", &lines);
}

#[test]
fn readme_has_the_exit_codes() {
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
    assert_eq!(table(&read("README.md"), "## Exit codes"), expected);
}

#[test]
fn readme_has_every_command() {
    let mut expected = BTreeSet::new();
    for command in definition().get_subcommands().filter(|c| !c.is_hide_set()) {
        expected.insert(format!("`{}`", command.get_name()));
    }
    let rows = table(&read("README.md"), "## Commands");
    let shown: BTreeSet<String> = rows.into_iter().map(|row| row[0].clone()).collect();
    assert_eq!(shown, expected);
}

#[test]
fn hookfire_1_has_every_variable() {
    let mut expected = BTreeMap::new();
    each_command(&definition(), &mut |command| {
        for arg in command.get_arguments() {
            if let (Some(variable), Some(long)) = (arg.get_env(), arg.get_long()) {
                expected.insert(variable.to_string_lossy().into_owned(), long.to_owned());
            }
        }
    });
    assert!(expected.len() > 30, "only {} variables", expected.len());
    let page = read("man/hookfire.1");
    for (variable, option) in expected {
        let option = option.replace('-', "\\-");
        let entry = format!(".TP\n\\fB{variable}\\fR\nSets \\fB\\-\\-{option}\\fR.\n");
        assert!(page.contains(&entry), "no `{entry}` in man/hookfire.1");
    }
}

#[test]
fn hookfire_toml_5_has_every_key() {
    let chapter = read("man/hookfire.toml.5.md");
    for line in read("src/config/template.toml").lines() {
        let Some((key, _)) = line.trim_start_matches("# ").split_once(" = ") else {
            continue;
        };
        assert!(
            key.contains(' ') || chapter.contains(&format!("`{key}`")),
            "no `{key}` in man/hookfire.toml.5.md"
        );
    }
}

#[test]
fn hookfire_output_7_has_every_format() {
    let rows = table(&read("man/hookfire-output.7.md"), "## Formats");
    let names_command = |format: &str, command: &str| {
        rows.iter()
            .any(|row| row[0] == format!("`{format}`") && row[1].contains(&format!("`{command}`")))
    };
    let shown: BTreeSet<&str> = rows.iter().map(|row| row[0].trim_matches('`')).collect();
    let mut taken = BTreeSet::new();
    each_command(&definition(), &mut |command| {
        let output = command.get_arguments().find(|arg| arg.get_id() == "output");
        let values = output
            .map(|arg| arg.get_possible_values())
            .unwrap_or_default();
        taken.extend(values.iter().map(|value| value.get_name().to_owned()));
        let takes = |format| values.iter().any(|value| value.get_name() == format);
        let name = command
            .get_display_name()
            .unwrap_or_default()
            .replace('-', " ")
            .replace("hookfire ", "");
        for format in ["csv", "xml"] {
            assert_eq!(
                names_command(format, &name),
                takes(format),
                "`{name}` and {format}"
            );
        }
        // For these formats the table names the commands that do not have them.
        let prints = command.get_subcommands().next().is_none() && !name.starts_with("generate");
        for format in ["json", "ndjson"].into_iter().filter(|_| prints) {
            assert_eq!(
                names_command(format, &name),
                !takes(format),
                "`{name}` and {format}"
            );
        }
    });
    assert_eq!(shown, taken.iter().map(String::as_str).collect());
}

#[test]
fn links_lead_to_files_and_headings() {
    for document in documents() {
        let text = read(&document);
        let links: Vec<&str> = text
            .split("](")
            .skip(1)
            .filter_map(|rest| Some(rest.split_once(')')?.0))
            .collect();
        assert!(!links.is_empty(), "{document} has no links");
        let missing: Vec<&&str> = links
            .iter()
            .filter(|link| !link_exists(&document, &text, link))
            .collect();
        assert!(missing.is_empty(), "{document}: no target for {missing:?}");
    }
}

#[test]
fn readme_is_short() {
    let readme = read("README.md");
    assert!(readme.lines().count() < 270 && readme.len() <= 18 * 1024);
}

#[test]
fn changelog_has_this_version() {
    let version = env!("CARGO_PKG_VERSION");
    assert!(read("CHANGELOG.md").contains(&format!("\n## [{version}] - ")));
    assert!(read(".github/debian-changelog").starts_with(&format!("hookfire ({version}-1)")));
}

#[test]
fn systemd_units_in_hookfire_retry_7_are_valid() {
    let chapter = read("man/hookfire-retry.7.md");
    let units: Vec<&str> = chapter
        .split("```ini\n")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once("\n```")?.0))
        .collect();
    assert_eq!(units.len(), 3);
    let folder = tempfile::tempdir().unwrap();
    for unit in units {
        let kind = if unit.contains("[Timer]") {
            "timer"
        } else {
            "service"
        };
        let path = folder.path().join(format!("hookfire-due.{kind}"));
        // systemd checks that the program exists.
        let unit = unit.replace("%h/.cargo/bin/hookfire", env!("CARGO_BIN_EXE_hookfire"));
        fs::write(&path, &unit).unwrap();
        let mut verify = std::process::Command::new("systemd-analyze");
        let Ok(output) = verify
            .args(["--user", "verify"])
            .arg(&path)
            .env("XDG_RUNTIME_DIR", folder.path())
            .output()
        else {
            // Not captured by the test harness; `tests/run` counts these lines.
            use std::io::Write as _;
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED: `systemd-analyze` is not installed"
            );
            return;
        };
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && stderr.is_empty(),
            "{unit}\n{stderr}"
        );
    }
}

#[test]
fn command_lines_are_split_as_by_a_shell() {
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

/// The words of each `hookfire` command in a line of shell, YAML, crontab or a systemd unit.
fn command_lines(line: &str) -> Vec<Vec<String>> {
    let line = line.replace("cargo run --release --", "hookfire");
    let starts = line.match_indices("hookfire ").filter(|(at, _)| {
        // Without the directory of the program.
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

/// Splits at spaces outside quotes, up to the end of a shell command.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut begun, mut quote) = (Vec::new(), String::new(), false, None);
    for c in text.chars() {
        match (quote, c) {
            (Some(end), c) if c == end => quote = None,
            (Some(_), c) => word.push(c),
            (None, '\'' | '"') => (quote, begun) = (Some(c), true),
            // In `2>file`, the number belongs to the redirection.
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
fn assert_parse(document: &str, lines: &[Vec<String>]) {
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
    assert!(wrong.is_empty(), "{document}: {}", wrong.join("\n"));
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

/// Lines of fenced code blocks, and lines indented by four spaces.
fn code_blocks(markdown: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    markdown.lines().filter(move |line| {
        let fence = line.starts_with("```");
        fenced ^= fence;
        !fence && (fenced || line.starts_with("    "))
    })
}

/// The rows of the first table below a heading, without its header.
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

fn link_exists(document: &str, text: &str, link: &str) -> bool {
    if link.starts_with("https://") {
        return true;
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    if file.is_empty() {
        return text
            .lines()
            .filter(|line| line.starts_with('#'))
            .any(|heading| {
                let heading = heading.trim_start_matches('#').trim();
                heading.to_lowercase().replace(' ', "-") == anchor
            });
    }
    let folder = root().join(document);
    folder.parent().unwrap().join(file).exists()
}

/// The README, the changelog and the chapters in `man/`, relative to the root.
fn documents() -> Vec<String> {
    let mut documents = vec!["README.md".to_owned(), "CHANGELOG.md".to_owned()];
    for entry in fs::read_dir(root().join("man")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".md") {
            documents.push(format!("man/{name}"));
        }
    }
    assert!(documents.len() > 10, "{documents:?}");
    documents
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(Path::new(name))).unwrap_or_else(|e| panic!("{name}: {e}"))
}
