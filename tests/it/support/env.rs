//! A world of its own for each test: home, state, configuration, temporary and working folder, and no other
//! environment.
//!
//! Does not run anything itself (that is [`Invocation`]) and does not know what is in a journal. Invariant: a
//! program started here sees only the variables listed in [`TestEnv::new`] and those the test added, so that
//! neither the developer's configuration nor a proxy, a token or a locale of the machine can decide a test.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use tempfile::TempDir;

use super::canary::Canary;
use super::outcome::Outcome;
use super::process::Invocation;
use super::redact::redact;

/// The folders and the environment of one test; removed when dropped.
pub struct TestEnv {
    /// Without symbolic links, so that it is the path that the program itself would print.
    root: PathBuf,
    variables: BTreeMap<OsString, OsString>,
    _folder: TempDir,
}

impl TestEnv {
    /// A fresh world. `HOME`, `TMPDIR` and the working folder exist and are empty; the XDG folders are named
    /// but do not exist, as on a new machine, so that who creates them, and with which permissions, is the
    /// program's own doing.
    pub fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("hookfire-test-")
            .tempdir()
            .expect("a temporary folder");
        let root = folder
            .path()
            .canonicalize()
            .expect("the temporary folder's own path");
        for name in ["home", "tmp", "work"] {
            fs::create_dir(root.join(name)).expect("a folder of the test environment");
        }
        let mut env = Self {
            variables: BTreeMap::new(),
            _folder: folder,
            root,
        };
        env.set(
            "PATH",
            std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()),
        );
        env.set("HOME", env.root.join("home"));
        env.set("XDG_STATE_HOME", env.root.join("state"));
        env.set("XDG_CONFIG_HOME", env.root.join("config"));
        env.set("TMPDIR", env.root.join("tmp"));
        env.set("TZ", "UTC");
        env.set("LANG", "C.UTF-8");
        env.set("COLUMNS", "100");
        env
    }

    /// Sets a variable for every command from here on.
    pub fn set(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) {
        self.variables
            .insert(name.as_ref().to_owned(), value.as_ref().to_owned());
    }

    /// Takes a variable away from every command from here on.
    pub fn unset(&mut self, name: impl AsRef<OsStr>) {
        self.variables.remove(name.as_ref());
    }

    /// The program with these arguments, to be run in this world.
    pub fn hookfire<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Invocation {
        Invocation::new(
            env!("CARGO_BIN_EXE_hookfire").as_ref(),
            &self.work_dir(),
            &self.variables,
        )
        .args(args)
    }

    /// Another program in this world, by its name in `PATH`.
    pub fn program(&self, name: &str) -> Invocation {
        Invocation::new(name.as_ref(), &self.work_dir(), &self.variables)
    }

    /// A line of shell in this world.
    pub fn shell(&self, line: &str) -> Invocation {
        Invocation::new("sh".as_ref(), &self.work_dir(), &self.variables).args(["-c", line])
    }

    /// `script`, which gives the program with these arguments a terminal, and copies to stdout what the terminal gets.
    pub fn hookfire_on_terminal(&self, args: &[&str]) -> Invocation {
        let words = std::iter::once(&env!("CARGO_BIN_EXE_hookfire")).chain(args);
        let line: Vec<String> = words
            .map(|word| format!("'{}'", word.replace('\'', r"'\''")))
            .collect();
        self.on_terminal(&line.join(" "))
    }

    /// As [`TestEnv::hookfire_on_terminal`], for any line of shell.
    pub fn on_terminal(&self, line: &str) -> Invocation {
        let script = Invocation::new("script".as_ref(), &self.work_dir(), &self.variables);
        script
            .args(["-qec", line, "/dev/null"])
            .env("TERM", "xterm")
            .env("SHELL", "/bin/sh")
    }

    /// The folder that holds all the others.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where commands run: empty but for what [`TestEnv::write_file`] put there.
    pub fn work_dir(&self) -> PathBuf {
        self.root.join("work")
    }

    /// Where the journal is, or will be.
    pub fn journal_path(&self) -> PathBuf {
        self.root.join("state/hookfire/journal.db")
    }

    /// Where the configuration is looked for.
    pub fn config_path(&self) -> PathBuf {
        self.root.join("config/hookfire/config.toml")
    }

    /// Writes the configuration as its owner would keep it: folders 0700, file 0600.
    pub fn write_config(&self, text: &str) -> PathBuf {
        write_private(&self.config_path(), text.as_bytes())
    }

    /// Writes a file into the working folder and gives its absolute path; its relative name works as an
    /// argument too.
    pub fn write_file(&self, name: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> PathBuf {
        let name = name.as_ref();
        let inside = name
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        assert!(
            inside,
            "`{}` would be outside the working folder",
            name.display()
        );
        write_private(&self.work_dir().join(name), bytes.as_ref())
    }

    /// `journal.db`, `journal.db-wal` and `journal.db-shm`, one after the other; those that do not exist are
    /// left out.
    pub fn all_journal_bytes(&self) -> Vec<u8> {
        let journal = self.journal_path().into_os_string();
        let part = |suffix| {
            let mut path = journal.clone();
            path.push(suffix);
            match fs::read(&path) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
                Err(error) => panic!("{}: {error}", Path::new(&path).display()),
            }
        };
        ["", "-wal", "-shm"].into_iter().flat_map(part).collect()
    }

    /// Fails if `secret`, in any encoding, is in an outcome, or in the name or the content of any file that
    /// the program left in its state folder (the journal and all beside it), in its home or in `TMPDIR`. The
    /// configuration and the working folder are the test's own, and not searched.
    #[track_caller]
    pub fn assert_nowhere(&self, secret: &str, outcomes: &[&Outcome]) {
        let canary = Canary::new(secret);
        for (index, outcome) in outcomes.iter().enumerate() {
            let of = format!("of outcome {index}, {}", outcome.command());
            assert_absent(&canary, &outcome.stdout, &format!("the stdout {of}"));
            assert_absent(&canary, &outcome.stderr, &format!("the stderr {of}"));
        }
        for (path, bytes) in ["state", "home", "tmp"]
            .iter()
            .flat_map(|name| files_below(&self.root.join(name)))
        {
            assert_absent(
                &canary,
                path.as_os_str().as_encoded_bytes(),
                "the name of a file",
            );
            assert_absent(&canary, &bytes, &path.display().to_string());
        }
    }

    /// The text of an outcome (or anything else) with all that differs from run to run replaced by a name:
    /// `[ENV]`, `[PORT]`, `[UUID]`, `[TIME]`, `[DURATION]`, `[PID]`.
    pub fn redacted(&self, shown: &(impl Display + ?Sized)) -> String {
        redact(&shown.to_string(), &self.root.display().to_string())
    }
}

fn write_private(path: &Path, bytes: &[u8]) -> PathBuf {
    let folder = path.parent().expect("a file is in a folder");
    let written = DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .and_then(|()| {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(path)?;
            file.write_all(bytes)
        });
    written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    path.to_owned()
}

/// All files below `folder` with their contents; none if there is no such folder. Links to files are
/// followed, links to folders are not. A file that goes away meanwhile (a `-wal` at a checkpoint) is left
/// out.
fn files_below(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for path in fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
    {
        if path.is_dir() && !path.is_symlink() {
            files.extend(files_below(&path));
        } else if path.is_file()
            && let Ok(bytes) = fs::read(&path)
        {
            files.push((path, bytes));
        }
    }
    files
}

#[track_caller]
fn assert_absent(canary: &Canary, haystack: &[u8], place: &str) {
    if let Some(found) = canary.find(haystack) {
        panic!("the secret is in {place}, {found}");
    }
}
