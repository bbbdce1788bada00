//! Generates the completions and man pages in the repository, and checks that shells and man accept them.
//!
//! `UPDATE=1 cargo test --test generated` writes them; without it a test fails if they are out of date. Tests of a program that is not installed are skipped, with a
//! line on stderr.

mod man;
mod markdown;

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "completions/hookfire.bash"),
    ("zsh", "completions/_hookfire"),
    ("fish", "completions/hookfire.fish"),
];

#[test]
fn checked_in_files_are_up_to_date() {
    let generated = generated();
    let on_disk: Vec<PathBuf> = ["completions", "man"]
        .into_iter()
        .flat_map(|folder| files(&root().join(folder)))
        .filter(|path| path.extension() != Some("md".as_ref()))
        .collect();
    if is_update() {
        for path in on_disk.iter().filter(|path| !generated.contains_key(*path)) {
            fs::remove_file(path).expect("a stale file can be removed");
        }
        for (path, content) in &generated {
            fs::create_dir_all(path.parent().expect("a file is in a folder"))
                .expect("a folder of the tree");
            fs::write(path, content).expect("a generated file can be written");
        }
        return;
    }
    let mut wrong: Vec<String> = Vec::new();
    for (path, content) in &generated {
        match fs::read(path) {
            Ok(now) if now == *content => {}
            Ok(_) => wrong.push(format!("{} is out of date", path.display())),
            Err(e) => wrong.push(format!("{}: {e}", path.display())),
        }
    }
    let stale = on_disk.iter().filter(|path| !generated.contains_key(*path));
    wrong.extend(stale.map(|path| format!("{} is not generated anymore", path.display())));
    assert!(
        wrong.is_empty(),
        "{}\nrun: UPDATE=1 cargo test --test generated",
        wrong.join("\n")
    );
}

#[test]
fn shells_load_completions_without_warnings() {
    for (shell, file) in COMPLETIONS {
        let (options, script): (&[&str], &str) = match shell {
            "bash" => (
                &["--noprofile", "--norc"],
                "source \"$1\" && complete -p hookfire > /dev/null",
            ),
            "zsh" => (
                &["-f"],
                "autoload -U compinit && compinit -u -D && source \"$1\" && (( $+_comps[hookfire] ))",
            ),
            _ => (
                &["--no-config"],
                "source $argv[1]; and complete -C 'hookfire fi' | string match -q 'fire*'",
            ),
        };
        let mut command = alone(shell);
        command.args(options).args(["-c", script]);
        // fish has no argument for the name of the script.
        let command = if shell == "fish" {
            &mut command
        } else {
            command.arg(shell)
        };
        if let Some(output) = run(command.arg(root().join(file)), shell) {
            assert_silent(&output, &format!("{shell} reading {file}"));
        }
    }
}

#[test]
fn bash_completes_commands_options_and_values() {
    let script = "source \"$1\"; shift; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
                  _clap_complete_hookfire hookfire \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD-1]}\"; \
                  printf '%s\\n' \"${COMPREPLY[@]}\"";
    for (words, expected) in [
        (&["hookfire", "fi"][..], "fire"),
        (&["hookfire", "failed", "de"], "delete"),
        (&["hookfire", "fire", "--retry-i"], "--retry-interval"),
        (&["hookfire", "failed", "list", "--output", "nd"], "ndjson"),
        (&["hookfire", "fire", "application", "sus"], "suspended"),
    ] {
        let mut command = alone("bash");
        command
            .args(["--noprofile", "--norc", "-c", script, "bash"])
            .arg(root().join(COMPLETIONS[0].1))
            .args(words);
        if let Some(output) = run(&mut command, "bash") {
            assert_eq!(
                String::from_utf8_lossy(&output.stdout).trim(),
                expected,
                "{words:?}"
            );
        }
    }
}

#[test]
fn pages_have_the_usual_sections() {
    let pages = pages();
    assert!(pages.len() > 10, "{} pages", pages.len());
    let version = env!("CARGO_PKG_VERSION");
    for page in &pages {
        let text = fs::read_to_string(page).expect("a page");
        let name = page.file_stem().unwrap_or_default().to_string_lossy();
        let section = page.extension().unwrap_or_default().to_string_lossy();
        let title = format!(
            ".TH \"{}\" \"{section}\" \"\" \"hookfire {version}\"",
            name.to_uppercase()
        );
        assert!(text.contains(&title), "{name}: no `{title}`");
        let is_chapter = section != "1";
        let is_group = text.contains("\n.SH COMMANDS\n");
        for heading in [
            "NAME",
            "DESCRIPTION",
            "\"SEE ALSO\"",
            "SYNOPSIS",
            "\"EXIT STATUS\"",
            "ENVIRONMENT",
            "EXAMPLES",
        ] {
            let count = text.matches(&format!("\n.SH {heading}\n")).count();
            let optional = match heading {
                "NAME" | "DESCRIPTION" | "\"SEE ALSO\"" => false,
                "EXAMPLES" => is_chapter || is_group,
                _ => is_chapter,
            };
            assert!(
                count == 1 || optional && count == 0,
                "{name} has {count} sections {heading}"
            );
        }
        assert_eq!(text.contains("\n.SH FILES\n"), name == "hookfire");
        if !is_chapter {
            let (options, _) = text
                .split_once("\n.SH \"EXIT STATUS\"\n")
                .expect("a section");
            let (options, _) = options
                .split_once("\n.SH EXAMPLES\n")
                .unwrap_or((options, ""));
            assert!(!options.contains("\\(ga"), "{name} prints backticks");
        }
    }
}

#[test]
fn the_program_writes_the_pages_in_the_repository() {
    if is_update() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    run_hookfire(&["generate", "man", &folder.path().to_string_lossy()]);
    let written: Vec<PathBuf> = files(folder.path());
    let names = |paths: &[PathBuf]| -> Vec<String> {
        let names = paths.iter().filter_map(|path| path.file_name());
        names
            .map(|name| name.to_string_lossy().into_owned())
            .collect()
    };
    assert_eq!(names(&written), names(&pages()));
    for (written, page) in written.iter().zip(pages()) {
        let same = fs::read(written).expect("a page") == fs::read(&page).expect("a page");
        assert!(same, "{} is another version", page.display());
    }
}

#[test]
fn examples_on_a_page_can_be_copied() {
    let page = root().join("man/hookfire-failed-list.1");
    if let Some(output) = run(
        alone("groff").args(["-man", "-Tutf8", "-P-cbou"]).arg(page),
        "groff",
    ) {
        let page = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = "$ hookfire failed list --http-status 5xx --since '2026-11-20 18:00:00'";
        assert!(page.contains(line), "no `{line}` in\n{page}");
    }
}

#[test]
fn man_readers_report_no_warnings() {
    for (reader, options) in [
        ("groff", &["-man", "-ww", "-z", "-Tutf8"][..]),
        ("man", &["--warnings", "--local-file"]),
        ("mandoc", &["-Tlint", "-Wwarning"]),
    ] {
        let Some(mut output) = run(alone(reader).args(options).args(pages()), reader) else {
            continue;
        };
        match reader {
            "man" => output.stdout.clear(),
            // The pages have no date, so that builds are reproducible.
            "mandoc" => {
                let said = String::from_utf8_lossy(&output.stdout).into_owned();
                let said: Vec<&str> = said
                    .lines()
                    .filter(|line| !line.contains("missing date"))
                    .collect();
                assert!(said.is_empty(), "mandoc: {}", said.join("\n"));
                continue;
            }
            _ => {}
        }
        assert_silent(&output, reader);
    }
}

fn is_update() -> bool {
    std::env::var("UPDATE").is_ok_and(|update| update == "1")
}

/// Path and content of every generated file.
fn generated() -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for (shell, file) in COMPLETIONS {
        files.insert(
            root().join(file),
            run_hookfire(&["generate", "completions", shell]).stdout,
        );
    }
    let folder = root().join("man");
    for (name, page) in man::pages(hookfire::definition(), &folder) {
        files.insert(folder.join(name), page);
    }
    files
}

fn run_hookfire(args: &[&str]) -> Output {
    let output = alone(env!("CARGO_BIN_EXE_hookfire"))
        .args(args)
        .output()
        .expect("hookfire runs");
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{args:?}: {output:?}"
    );
    output
}

/// A command without the user's environment and settings, that finds `hookfire`.
fn alone(program: &str) -> Command {
    let mut command = Command::new(program);
    let own = Path::new(env!("CARGO_BIN_EXE_hookfire")).parent();
    let others = std::env::var_os("PATH").unwrap_or_default();
    let folders = own.map(Path::to_owned).into_iter();
    let path = std::env::join_paths(folders.chain(std::env::split_paths(&others)));
    command.env_clear().env("PATH", path.expect("folders"));
    command
        .env("HOME", env!("CARGO_TARGET_TMPDIR"))
        .env("LANG", "C.UTF-8")
        .env("MANPAGER", "cat")
        .env("PAGER", "cat");
    command
}

/// The output, or `None` and a line on stderr if the program is not installed.
fn run(command: &mut Command, program: &str) -> Option<Output> {
    match command.output() {
        Ok(output) => Some(output),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let _ = writeln!(std::io::stderr(), "SKIPPED: {program} is not installed");
            None
        }
        Err(e) => panic!("{program}: {e}"),
    }
}

#[track_caller]
fn assert_silent(output: &Output, what: &str) {
    let said = [output.stdout.as_slice(), &output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(
        output.status.success() && said.is_empty(),
        "{what}: {}\n{said}",
        output.status
    );
}

fn pages() -> Vec<PathBuf> {
    let mut pages = files(&root().join("man"));
    pages.retain(|path| path.extension() != Some("md".as_ref()));
    pages
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry of the tree").path())
        .collect();
    files.sort();
    files
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
