//! The root of the command line.

use std::fmt::Write as _;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{CommandFactory as _, Parser};

use crate::cli::Command;
use crate::cli::args::GlobalArgs;
use crate::exit::EXIT_CODES;

/// Send webhooks, record every outcome, and redeliver the failed ones
///
/// hookfire sends webhooks: events of 3scale, an API management platform, as XML, and any other payload. It records each one
/// in a journal before sending it, retries as 3scale does, and keeps failed deliveries until you send them again or delete
/// them. `hookfire listen` captures requests, to see what a sender sends.
#[derive(Debug, Parser)]
#[command(
    name = "hookfire",
    version,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    #[command(flatten)]
    pub globals: GlobalArgs,
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  See a webhook fail, be kept and be delivered, all on this machine:
    $ hookfire demo
  Send a sample event to a URL:
    $ hookfire fire account created --url http://127.0.0.1:8080/hook
  List the failed deliveries, and send them again:
    $ hookfire failed list
    $ hookfire retry --all";

/// The colours of cargo's help.
const STYLES: Styles = Styles::styled()
    .header(AnsiColor::BrightGreen.on_default().bold())
    .usage(AnsiColor::BrightGreen.on_default().bold())
    .literal(AnsiColor::BrightCyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// The clap definition of the whole command line.
pub fn definition() -> clap::Command {
    map_args(Cli::command(), common_settings)
        .styles(STYLES)
        .after_help(EXAMPLES)
        .after_long_help(format!("{EXAMPLES}\n\n{}", exit_codes()))
}

/// Values of variables are never shown. A negative number is a value, which the option then refuses in its own words.
fn common_settings(arg: clap::Arg) -> clap::Arg {
    let range = arg.get_num_args();
    let takes_value =
        arg.get_action().takes_values() && range.is_none_or(|range| range.takes_values());
    arg.hide_env_values(true)
        .allow_negative_numbers(takes_value)
}

/// Changes every argument of a command and its subcommands.
pub fn map_args(command: clap::Command, change: fn(clap::Arg) -> clap::Arg) -> clap::Command {
    let command = command.mut_args(change);
    command.mut_subcommands(|sub| map_args(sub, change))
}

fn exit_codes() -> String {
    let mut text = "Exit codes:\n".to_owned();
    for row in EXIT_CODES {
        let _ = writeln!(text, "  {:>3}  {}: {}", row.code, row.name, row.when);
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each(command: &clap::Command, visit: &mut impl FnMut(&clap::Command)) {
        visit(command);
        command.get_subcommands().for_each(|sub| each(sub, visit));
    }

    #[test]
    fn the_definition_is_valid() {
        definition().debug_assert();
    }

    #[test]
    fn help_never_shows_values_of_variables() {
        each(&definition(), &mut |command| {
            for arg in command
                .get_arguments()
                .filter(|arg| arg.get_env().is_some())
            {
                assert!(
                    arg.is_hide_env_values_set(),
                    "{} {}",
                    command.get_name(),
                    arg.get_id()
                );
            }
        });
    }

    #[test]
    fn variables_are_named_after_options_that_may_have_one() {
        each(&definition(), &mut |command| {
            for arg in command.get_arguments() {
                let Some(long) = arg.get_long() else { continue };
                if let Some(env) = arg.get_env() {
                    let expected =
                        format!("HOOKFIRE_{}", long.to_ascii_uppercase().replace('-', "_"));
                    assert_eq!(env.to_string_lossy(), expected, "{}", command.get_name());
                }
                if [
                    "all",
                    "yes",
                    "force",
                    "dry-run",
                    "type",
                    "action",
                    "since",
                    "before",
                    "http-status",
                    "error",
                ]
                .contains(&long)
                {
                    assert_eq!(arg.get_env(), None, "{} --{long}", command.get_name());
                }
            }
        });
    }

    #[test]
    fn every_command_has_examples() {
        each(&definition(), &mut |command| {
            let leaf = command.get_subcommands().next().is_none();
            let hidden = ["completions", "man"].contains(&command.get_name());
            if leaf && !hidden {
                let help = command
                    .get_after_help()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                assert!(
                    help.contains("$ hookfire") || help.contains("hookfire "),
                    "{} has no examples",
                    command.get_name()
                );
            }
        });
    }
}
