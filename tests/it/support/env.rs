//! An isolated environment for each test: home, state, configuration, temporary and working directory.
//!
//! Programs started here see only the variables set in [`TestEnv::new`] and by the test, so that the configuration,
//! proxies and locale of the machine have no influence.

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

/// The options of `unshare` for a process on another host. The process ends with `unshare`.
pub(super) const OTHER_HOST: [&str; 6] = [
    "--map-root-user",
    "--uts",
    "--mount",
    "--pid",
    "--mount-proc",
    "--kill-child",
];

/// Sets the name ($0) and the boot id (the content of $1), then runs the other arguments.
const ENTER_HOST: &str = "hostname \"$0\" && mount --bind \"$1\" /proc/sys/kernel/random/boot_id && shift && exec \"$@\"";

/// Directories and environment of one test; removed when dropped.
pub struct TestEnv {
    /// Without symbolic links, so that it equals the path that the program prints.
    root: PathBuf,
    variables: BTreeMap<OsString, OsString>,
    _folder: TempDir,
}

impl TestEnv {
    /// `HOME`, `TMPDIR` and the working directory exist and are empty. The XDG directories do not exist, so that tests
    /// see how the program creates them.
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

    /// Sets a variable for all later commands.
    pub fn set(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) {
        self.variables
            .insert(name.as_ref().to_owned(), value.as_ref().to_owned());
    }

    /// The value of a variable that was set.
    pub fn variable(&self, name: &str) -> &OsStr {
        &self.variables[OsStr::new(name)]
    }

    /// Removes a variable for all later commands.
    pub fn unset(&mut self, name: impl AsRef<OsStr>) {
        self.variables.remove(name.as_ref());
    }

    /// The program with these arguments, in this environment.
    pub fn hookfire<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Invocation {
        Invocation::new(
            env!("CARGO_BIN_EXE_hookfire").as_ref(),
            &self.work_dir(),
            &self.variables,
        )
        .args(args)
    }

    /// As [`TestEnv::hookfire`], on another host: with its own name, boot id and process ids. Needs [`can_fake_hosts`].
    ///
    /// [`can_fake_hosts`]: super::can_fake_hosts
    pub fn hookfire_on<A: AsRef<OsStr>>(
        &self,
        host: &str,
        args: impl IntoIterator<Item = A>,
    ) -> Invocation {
        let boot_id = self.write_file(format!("{host}.boot"), format!("{host}\n"));
        self.program("unshare")
            .args(OTHER_HOST)
            .args(["sh", "-c", ENTER_HOST, host])
            .arg(boot_id)
            .arg(env!("CARGO_BIN_EXE_hookfire"))
            .args(args)
    }

    /// What to set in `LD_PRELOAD`, so that `CLOCK_OFFSET` moves the clock by that many seconds. None without a C compiler.
    pub fn movable_clock(&self) -> Option<PathBuf> {
        let library = self.root.join("clock.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/clock.c");
        let mut compile = std::process::Command::new("cc");
        compile
            .args(["-shared", "-fPIC", "-o"])
            .arg(&library)
            .arg(source);
        let compiled = compile.status().is_ok_and(|status| status.success());
        if !compiled {
            super::skipped("there is no C compiler");
        }
        compiled.then_some(library)
    }

    /// Another program from `PATH`, in this environment.
    pub fn program(&self, name: &str) -> Invocation {
        Invocation::new(name.as_ref(), &self.work_dir(), &self.variables)
    }

    /// A shell command in this environment.
    pub fn shell(&self, line: &str) -> Invocation {
        Invocation::new("sh".as_ref(), &self.work_dir(), &self.variables).args(["-c", line])
    }

    /// Runs the program on a terminal, with `script`; stdout gets what the terminal received.
    pub fn hookfire_on_terminal(&self, args: &[&str]) -> Invocation {
        let words = std::iter::once(&env!("CARGO_BIN_EXE_hookfire")).chain(args);
        let line: Vec<String> = words
            .map(|word| format!("'{}'", word.replace('\'', r"'\''")))
            .collect();
        self.on_terminal(&line.join(" "))
    }

    /// Like [`TestEnv::hookfire_on_terminal`], for a shell command.
    pub fn on_terminal(&self, line: &str) -> Invocation {
        let script = Invocation::new("script".as_ref(), &self.work_dir(), &self.variables);
        script
            .args(["-qec", line, "/dev/null"])
            .env("TERM", "xterm")
            .env("SHELL", "/bin/sh")
    }

    /// The parent of all other directories.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Working directory of commands; contains only files from [`TestEnv::write_file`].
    pub fn work_dir(&self) -> PathBuf {
        self.root.join("work")
    }

    pub fn journal_path(&self) -> PathBuf {
        self.root.join("state/hookfire/journal.db")
    }

    pub fn config_path(&self) -> PathBuf {
        self.root.join("config/hookfire/config.toml")
    }

    /// Writes the configuration with directory mode 0700 and file mode 0600.
    pub fn write_config(&self, text: &str) -> PathBuf {
        write_private(&self.config_path(), text.as_bytes())
    }

    /// Writes a file into the working directory and returns its absolute path.
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

    /// Contents of `journal.db`, `journal.db-wal` and `journal.db-shm`, as far as they exist.
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

    /// Fails if `secret`, in any encoding, is in an outcome, or in the name or content of a file in the state
    /// directory, the home or `TMPDIR`. The configuration and the working directory belong to the test and are not
    /// searched.
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

    /// Replaces values that differ between runs by `[ENV]`, `[PORT]`, `[UUID]`, `[TIME]`, `[DURATION]` and `[PID]`.
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

/// All files below `folder` with their contents. Links to directories are not followed. A file that disappears
/// meanwhile (a `-wal` at a checkpoint) is omitted.
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
