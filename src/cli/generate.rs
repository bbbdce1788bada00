//! `hookfire generate`: shell completions and man pages, for packagers.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};

use super::complete;
use super::context::Context;
use crate::error::{Failure, Kind};
use crate::exit::Exit;

macro_rules! man_pages {
    ($($name:literal),* $(,)?) => {
        /// Name and content of each man page. A test generates them from the options and from the chapters in Markdown.
        const MAN_PAGES: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../man/", $name)))),*];
    };
}

man_pages![
    "hookfire-captured-bins.1",
    "hookfire-captured-delete.1",
    "hookfire-captured-diff.1",
    "hookfire-captured-follow.1",
    "hookfire-captured-list.1",
    "hookfire-captured-replay.1",
    "hookfire-captured-show.1",
    "hookfire-captured-verify.1",
    "hookfire-captured.1",
    "hookfire-config-init.1",
    "hookfire-config-path.1",
    "hookfire-config-show.1",
    "hookfire-config.1",
    "hookfire-demo.1",
    "hookfire-events-list.1",
    "hookfire-events-show.1",
    "hookfire-events.1",
    "hookfire-events.7",
    "hookfire-expect.1",
    "hookfire-expect.7",
    "hookfire-failed-delete.1",
    "hookfire-failed-import.1",
    "hookfire-failed-list.1",
    "hookfire-failed-show.1",
    "hookfire-failed.1",
    "hookfire-fire.1",
    "hookfire-follow.7",
    "hookfire-forward.7",
    "hookfire-guarantees.7",
    "hookfire-install.7",
    "hookfire-journal-cancel.1",
    "hookfire-journal-check.1",
    "hookfire-journal-copy.1",
    "hookfire-journal-export.1",
    "hookfire-journal-list.1",
    "hookfire-journal-migrate.1",
    "hookfire-journal-path.1",
    "hookfire-journal-prune.1",
    "hookfire-journal-show.1",
    "hookfire-journal.1",
    "hookfire-journal.7",
    "hookfire-listen.1",
    "hookfire-listen.7",
    "hookfire-output.7",
    "hookfire-ping.1",
    "hookfire-portal-failed-delete.1",
    "hookfire-portal-failed-list.1",
    "hookfire-portal-failed.1",
    "hookfire-portal-object.1",
    "hookfire-portal-recover.1",
    "hookfire-portal-webhooks-set.1",
    "hookfire-portal-webhooks.1",
    "hookfire-portal.1",
    "hookfire-recovery.7",
    "hookfire-retry.1",
    "hookfire-retry.7",
    "hookfire-secrets.7",
    "hookfire-signatures.7",
    "hookfire-team.7",
    "hookfire.1",
    "hookfire.toml.5",
];

/// Write shell completions and man pages
#[derive(Debug, Subcommand)]
#[command(hide = true)]
pub enum GenerateCommand {
    Completions(CompletionsArgs),
    Man(ManArgs),
}

/// Print shell completions
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  For the current shell session:\n    $ source <(hookfire generate completions bash)"
)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL", value_parser = PossibleValuesParser::new(complete::shells()))]
    shell: String,
}

/// Write the man pages of all commands and the manual's chapters
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  Into the folder `man`:\n    $ hookfire generate man man")]
pub struct ManArgs {
    /// An existing folder
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

impl GenerateCommand {
    pub fn run(self, ctx: &Context<'_>) -> Result<Exit, Failure> {
        match self {
            GenerateCommand::Completions(args) => {
                let script = complete::script(&args.shell)?;
                ctx.ui.data(|out| out.write_all(script.as_bytes()))?;
            }
            GenerateCommand::Man(args) => {
                for (name, page) in MAN_PAGES {
                    let path = args.folder.join(name);
                    std::fs::write(&path, page).map_err(|e| {
                        let doing = format!("cannot write `{}`", path.display());
                        Failure::from_error(Kind::Error, anyhow::Error::new(e).context(doing))
                    })?;
                }
            }
        }
        Ok(Exit::Done)
    }
}
