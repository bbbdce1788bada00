//! What every command gets: the decided world, and the doors to journal, configuration and the wire.

use std::cell::OnceCell;
use std::path::PathBuf;

use clap::ArgMatches;
use clap::parser::ValueSource;

use crate::capture::Mask;
use crate::cli::args::GlobalArgs;
use crate::config::{Config, SettingSource};
use crate::delivery::target::{Target, Value};
use crate::engine::plan::Clients;
use crate::env::{Environment, HostProcesses, SystemClock};
use crate::error::{Failure, Kind};
use crate::http::TransportOptions;
use crate::journal::{self, Journal};
use crate::output::Ui;
use crate::secret::MASK;
use crate::secret::safe_url;
use crate::text;
use crate::time::{Clock as _, UnixMs};

/// The decided world of one run.
pub struct Context<'a> {
    /// stdout and stderr.
    pub ui: &'a Ui,
    /// Variables and folders.
    pub env: Environment,
    /// The clock and Ctrl-C.
    pub clock: SystemClock,
    /// Options of every command.
    pub globals: GlobalArgs,
    /// The command's own matches, to tell a flag from a variable.
    pub matches: &'a ArgMatches,
    config: OnceCell<Config>,
    /// The HTTP clients.
    pub clients: Clients,
}

impl<'a> Context<'a> {
    /// The context of one run.
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

    /// The time now.
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

    /// The journal's path, whether or not the file exists.
    pub fn journal_path(&self) -> Result<(PathBuf, SettingSource), Failure> {
        let default = self
            .env
            .state_folder()
            .map(|folder| folder.join("journal.db"));
        let (path, source) = self.path("journal", self.globals.journal.as_ref(), default)?;
        let name = path.to_string_lossy();
        if name.contains("://") {
            let shown = safe_url::shown(&name);
            return Err(Failure::usage(format!(
                "the journal `{shown}` is a URL; it must be a file"
            ))
            .hint("name a file with `--journal FILE` or `HOOKFIRE_JOURNAL`"));
        }
        Ok((path, source))
    }

    /// The configuration's path, whether or not the file exists.
    pub fn config_path(&self) -> Result<(PathBuf, SettingSource), Failure> {
        let default = self
            .env
            .config_folder()
            .map(|folder| folder.join("config.toml"));
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
        let (path, source) = self.journal_path()?;
        self.ui.detail(1, || {
            format!("journal: {} ({})", path.display(), source.as_str())
        });
        Ok(journal::open(&path, Box::new(HostProcesses))?)
    }

    /// The journal for commands about what is in it: none if there is none yet, and what dead processes left behind is in
    /// its failed list.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn existing_journal(&self) -> Result<Option<Box<dyn Journal>>, Failure> {
        let (path, source) = self.journal_path()?;
        // Opening reports every other error, such as an unreadable folder or a dangling link.
        if path
            .symlink_metadata()
            .is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound)
        {
            if source != SettingSource::Default {
                self.ui
                    .status(&format!("there is no journal at `{}` yet", path.display()));
            }
            return Ok(None);
        }
        let journal = self.journal()?;
        let released = journal.interrupt_abandoned()?;
        if released > 0 {
            let deliveries = text::count(released, "delivery", "deliveries");
            self.ui.warning(&format!(
                "{deliveries} left behind by a process that ended; moved to the failed list as interrupted"
            ));
        }
        Ok(Some(journal))
    }

    /// What is hidden where captures are shown: the secret parameters of every endpoint, whatever their values.
    ///
    /// # Errors
    /// When the configuration, which has their names, cannot be used.
    pub fn mask(&self, reveal: bool) -> Result<Mask, Failure> {
        if reveal {
            return Ok(Mask {
                reveal,
                ..Mask::default()
            });
        }
        let params = self
            .config()?
            .endpoints
            .values()
            .flat_map(|endpoint| &endpoint.target.params);
        let secret = params
            .filter(|param| matches!(param.value, Value::Secret(_)) && !param.name.is_empty());
        Ok(Mask {
            names: secret.map(|param| param.name.clone()).collect(),
            ..Mask::default()
        })
    }

    /// Warns of a secret that would cross the network in the clear, and of certificates that go unchecked.
    pub fn warn_of_exposure(&self, target: &Target, options: &TransportOptions) {
        if target.has_secrets() && !target.base.is_https() && !target.base.is_loopback() {
            let host = target.base.host();
            self.ui.warning(&format!(
                "secrets go to `{host}` over plain http, where others can read them; use https"
            ));
        }
        if options.insecure && target.base.is_https() {
            self.ui.warning(
                "certificates are not checked (--insecure): anyone between here and the endpoint can read along",
            );
        }
    }

    /// From here on Ctrl-C is recorded instead of ending the process.
    ///
    /// # Errors
    /// When the system refuses the handlers.
    pub fn catch_interrupts(&self) -> Result<(), Failure> {
        self.clock
            .catch_interrupts()
            .map_err(|e| Failure::from_error(Kind::Error, e))
    }

    /// As [`Context::catch_interrupts`], but that requests under way come to their end.
    ///
    /// # Errors
    /// When the system refuses the handlers.
    pub fn catch_interrupts_and_drain(&self) -> Result<(), Failure> {
        self.clock
            .catch_interrupts_and_drain()
            .map_err(|e| Failure::from_error(crate::error::Kind::Error, e))
    }
}

/// A request's head as it would be sent, secrets masked.
pub fn request_head(method: &str, target: &Target, headers: &[(&str, String)]) -> String {
    let mut head = format!("{method} {target}\n");
    for (name, value) in headers {
        if !target
            .headers
            .iter()
            .any(|header| header.name.eq_ignore_ascii_case(name))
        {
            head.push_str(&format!("{name}: {value}\n"));
        }
    }
    for header in &target.headers {
        let value = match &header.value {
            Value::Public(value) => value,
            Value::Secret(_) => MASK,
        };
        head.push_str(&format!("{}: {value}\n", header.name));
    }
    head
}
