//! What every command gets: output, options, clock, configuration, journal and HTTP clients.
//!
//! The configuration is read at its first use. [`Context::journal`] opens a connection per call, because a thread that writes
//! to the journal needs one of its own.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ArgMatches;
use clap::parser::ValueSource;

use crate::capture::Mask;
use crate::cli::args::GlobalArgs;
use crate::config::{Config, JournalConfig, SettingSource};
use crate::delivery::target::{Target, Value};
use crate::engine::plan::Clients;
use crate::env::{Environment, SystemClock};
use crate::error::{Failure, Kind};
use crate::http::{TransportOptions, trusts_built_in_roots};
use crate::journal::{self, Journal, JournalError, Location, Server};
use crate::output::Ui;
use crate::secret::MASK;
use crate::text;
use crate::time::{Clock as _, UnixMs, compact};

/// A greater difference from the clock of a database server is reported, in milliseconds.
const MAX_CLOCK_DIFFERENCE_MS: i64 = 2_000;

pub struct Context<'a> {
    pub ui: &'a Ui,
    pub env: Environment,
    pub clock: SystemClock,
    pub globals: GlobalArgs,
    /// The matches of the innermost subcommand.
    pub matches: &'a ArgMatches,
    config: OnceCell<Config>,
    warned_of_owner: OnceCell<()>,
    warned_of_clock: OnceCell<()>,
    pub clients: Clients,
}

impl<'a> Context<'a> {
    pub fn new(ui: &'a Ui, globals: GlobalArgs, matches: &'a ArgMatches) -> Self {
        let clock = SystemClock::default();
        let context = Context {
            ui,
            env: Environment,
            clients: Clients::new(clock.interrupt_flag()),
            clock,
            globals,
            matches,
            config: OnceCell::new(),
            warned_of_owner: OnceCell::new(),
            warned_of_clock: OnceCell::new(),
        };
        ui.set_program(context.program());
        context
    }

    /// `hookfire` with the global options of this command line, for commands that users paste into a shell.
    pub fn program(&self) -> String {
        let mut program = "hookfire".to_owned();
        for (option, path) in [
            ("journal", &self.globals.journal),
            ("config", &self.globals.config),
        ] {
            if let Some(path) = path.as_ref().filter(|_| self.is_flag(option)) {
                program += &format!(" --{option} {}", text::shell_word(&path.to_string_lossy()));
            }
        }
        program
    }

    pub fn now(&self) -> UnixMs {
        self.clock.now()
    }

    /// Where the value of this command's option comes from.
    pub fn source(&self, option: &str) -> SettingSource {
        match self.matches.value_source(option) {
            Some(ValueSource::CommandLine) => SettingSource::Flag,
            Some(ValueSource::EnvVariable) => SettingSource::Environment,
            _ => SettingSource::Default,
        }
    }

    /// Whether the option is on the command line.
    pub fn is_flag(&self, option: &str) -> bool {
        self.source(option) == SettingSource::Flag
    }

    /// Fails if one of these options is on the command line; `error` gets its flag. Variables may be set for other commands, so
    /// they are not refused.
    pub fn refuse(
        &self,
        options: &[&str],
        error: impl FnOnce(String) -> Failure,
    ) -> Result<(), Failure> {
        match self.flags(options).next() {
            Some(flag) => Err(error(flag)),
            None => Ok(()),
        }
    }

    /// Those of the options that are on the command line, such as `--read-timeout`.
    pub fn flags(&self, options: &[&str]) -> impl Iterator<Item = String> {
        let given = options.iter().filter(|option| self.is_flag(option));
        given.map(|option| format!("--{}", option.replace('_', "-")))
    }

    /// Where the journal is, whether or not it exists.
    pub fn journal_location(&self) -> Result<(Location, SettingSource), Failure> {
        let given = self.globals.journal.as_ref();
        let given = given.filter(|path| !path.as_os_str().is_empty());
        if let Some(path) = given {
            let (source, text) = (self.source("journal"), path.to_string_lossy());
            if !Location::is_url(&text) {
                return Ok((path.into(), source));
            }
            if source == SettingSource::Flag {
                Server::refuse_password(&text)?;
            }
            return Ok((self.server(&text)?, source));
        }
        if let Some(url) = &self.config()?.journal.url {
            return Ok((self.server(url)?, SettingSource::File));
        }
        let folder = self.env.state_folder();
        let default = folder.map(|folder| folder.join("journal.db"));
        let (path, source) = self.path("journal", None, default)?;
        Ok(((&path).into(), source))
    }

    /// The database with this URL. The configuration's password is sent only to the configuration's database.
    fn server(&self, url: &str) -> Result<Location, Failure> {
        let journal = match url.starts_with("postgres") {
            true => &self.config()?.journal,
            false => &JournalConfig::default(),
        };
        let is_meant = journal.url.as_deref().is_none_or(|meant| meant == url);
        let password = journal.password.as_ref().filter(|_| is_meant);
        let password = password
            .map(|source| source.resolve(&self.env))
            .transpose()
            .map_err(|e| {
                Failure::from_error(Kind::Error, e).context("the journal's password".to_owned())
            })?;
        let server = Server::parse(url, password, &self.env)?;
        Ok(Location::Server(Box::new(server)))
    }

    /// The configuration's path, whether or not the file exists.
    pub fn config_path(&self) -> Result<(PathBuf, SettingSource), Failure> {
        let folder = self.env.config_folder();
        let default = folder.map(|folder| folder.join("config.toml"));
        self.path("config", self.globals.config.as_ref(), default)
    }

    fn path(
        &self,
        option: &str,
        given: Option<&PathBuf>,
        default: Option<PathBuf>,
    ) -> Result<(PathBuf, SettingSource), Failure> {
        match (given, default) {
            (Some(path), _) if !path.as_os_str().is_empty() => {
                Ok((path.clone(), self.source(option)))
            }
            (_, Some(path)) => Ok((path, SettingSource::Default)),
            (_, None) => {
                let message = format!(
                    "the home directory is not known, which by default contains the {option}"
                );
                let variable = format!("HOOKFIRE_{}", option.to_ascii_uppercase());
                Err(Failure::new(Kind::Error, message).hint(format!(
                    "name the file with `--{option} FILE` or `{variable}`"
                )))
            }
        }
    }

    /// The configuration, read at its first use.
    pub fn config(&self) -> Result<&Config, Failure> {
        if let Some(config) = self.config.get() {
            return Ok(config);
        }
        let Ok((path, source)) = self.config_path() else {
            // Without a home folder there is no file at the default path.
            return Ok(self.config.get_or_init(Config::default));
        };
        self.ui.detail(1, || {
            format!("configuration: {} ({})", path.display(), source.as_str())
        });
        let config = Config::load(&path, source != SettingSource::Default)?;
        for warning in &config.warnings {
            self.ui.warning(warning);
        }
        Ok(self.config.get_or_init(|| config))
    }

    /// Opens the journal, and creates it if it does not exist.
    pub fn journal(&self) -> Result<Box<dyn Journal>, Failure> {
        let (location, source) = self.journal_location()?;
        self.ui
            .detail(1, || format!("journal: {location} ({})", source.as_str()));
        let journal = journal::open(&location)?;
        self.follow_clock(&*journal);
        if let Some(owner) = journal.foreign_owner()
            && self.warned_of_owner.set(()).is_ok()
        {
            self.ui.warning(&format!(
                "the journal `{location}` belongs to another user (id {owner}), who decides what is sent where; its references to \
                 secrets are used only if the configuration names them"
            ));
        }
        Ok(journal)
    }

    /// Uses the time of a database server from now on. Warns once if the system's clock differs from it.
    fn follow_clock(&self, journal: &dyn Journal) {
        let Some(ahead) = journal.clock_ahead_ms() else {
            return;
        };
        self.clock.set_ahead(ahead);
        if ahead.abs() > MAX_CLOCK_DIFFERENCE_MS && self.warned_of_clock.set(()).is_ok() {
            let by = compact(Duration::from_secs((ahead.unsigned_abs() + 500) / 1000));
            let direction = if ahead > 0 { "ahead of" } else { "behind" };
            self.ui.warning(&format!(
                "this system's clock is {by} {direction} the clock of the journal's server, which decides when deliveries are \
                 due"
            ));
        }
    }

    /// The journal, if it exists. Deliveries of dead processes are moved to its failed list first.
    pub fn existing_journal(&self) -> Result<Option<Box<dyn Journal>>, Failure> {
        let (location, source) = self.journal_location()?;
        // Opening reports every other error, such as an unreadable folder or a dangling link.
        let is_missing = |path: &Path| {
            path.symlink_metadata()
                .is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound)
        };
        if location.file().is_some_and(is_missing) {
            if source != SettingSource::Default {
                self.ui
                    .status(&format!("there is no journal at `{location}` yet"));
            }
            return Ok(None);
        }
        let journal = self.journal()?;
        let released = match journal.interrupt_abandoned() {
            // A standby, or a role that may only read, shows what there is. A command that writes fails when it does.
            Err(JournalError::ReadOnly { .. } | JournalError::NoRight { .. }) => 0,
            released => released?,
        };
        if released > 0 {
            let deliveries = text::count(released, "delivery", "deliveries");
            self.ui.warning(&format!(
                "{deliveries} left behind by a process that ended; moved to the failed list as interrupted"
            ));
        }
        Ok(Some(journal))
    }

    /// The journal; an empty one in memory if it does not exist yet.
    pub fn readable_journal(&self) -> Result<Box<dyn Journal>, Failure> {
        match self.existing_journal()? {
            Some(journal) => Ok(journal),
            None => Ok(journal::empty()?),
        }
    }

    /// What to mask in captures: the secret parameters of all endpoints.
    pub fn mask(&self, reveal: bool) -> Result<Mask, Failure> {
        let mut mask = Mask {
            reveal,
            ..Mask::default()
        };
        if !reveal {
            let endpoints = self.config()?.endpoints.values();
            for param in endpoints.flat_map(|endpoint| &endpoint.target.params) {
                if matches!(param.value, Value::Secret(_)) && !param.name.is_empty() {
                    mask.names.insert(param.name.clone());
                }
            }
        }
        Ok(mask)
    }

    /// Warns of secrets in plain HTTP, of TLS certificates that are not verified, and of a system without certificates.
    pub fn warn_of_exposure(&self, target: &Target, options: &TransportOptions) {
        if target.secrets().next().is_some()
            && !target.base.is_https()
            && !options.is_local(&target.base)
        {
            let host = target.base.host();
            self.ui.warning(&format!(
                "secrets are sent to `{host}` over plain http, where others can read them; use https"
            ));
        }
        if options.insecure && target.base.is_https() {
            self.ui.warning(
                "TLS certificates are not verified (--insecure): anyone on the network path can read the traffic",
            );
        }
        if target.base.is_https() && trusts_built_in_roots(options) {
            self.ui.status(
                "this system has no certificates of authorities; the built-in ones are used",
            );
        }
    }

    /// Records Ctrl-C from now on instead of ending the process.
    pub fn catch_interrupts(&self) -> Result<(), Failure> {
        Ok(self.clock.catch_interrupts()?)
    }

    /// As [`Context::catch_interrupts`], and lets requests in progress finish.
    pub fn catch_interrupts_and_drain(&self) -> Result<(), Failure> {
        Ok(self.clock.catch_interrupts_and_drain()?)
    }
}

/// The head of a request, with secrets masked. The target's headers replace `headers` of the same name.
pub fn request_head(method: &str, target: &Target, headers: &[(&str, String)]) -> String {
    let mut head = format!("{method} {target}\n");
    for (name, value) in headers {
        let mut own = target.headers.iter();
        if !own.any(|header| header.name.eq_ignore_ascii_case(name)) {
            head += &format!("{name}: {value}\n");
        }
    }
    for header in &target.headers {
        let value = match &header.value {
            Value::Public(value) => value,
            Value::Secret(_) => MASK,
        };
        head += &format!("{}: {value}\n", header.name);
    }
    for (name, value) in target.masked_signature() {
        head += &format!("{name}: {value}\n");
    }
    head
}
