//! The command line: root, global options, and the texts that every command's help ends with.

use std::ffi::OsString;
use std::fmt::Write as _;

use clap::{Args as _, CommandFactory as _, Parser};

use crate::cli::args::GlobalArgs;
use crate::cli::{self, Command};
use crate::exit::EXIT_CODES;

/// Fire webhooks, keep what came of each, and get the failed ones delivered
///
/// hookfire sends the events that 3scale sends (one XML document per event), writes each one down before it leaves, tries
/// again by 3scale's rule, and keeps what failed until you send it again or delete it.
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
  See the whole loop in seconds, on this machine alone:
    $ hookfire demo
  Fire a sample event at a URL:
    $ hookfire fire account created --url http://127.0.0.1:8080/hook
  What failed, and send it again:
    $ hookfire failed list
    $ hookfire retry --all";

/// The whole command line's definition.
pub fn definition() -> clap::Command {
    Cli::command()
        .after_help(EXAMPLES)
        .after_long_help(format!("{EXAMPLES}\n\n{}", exit_codes()))
}

/// The definition of the command that these arguments begin with, without any other: as much as it takes to read a command
/// line that is right. To define all of them takes longer than everything else before a request leaves; only help, and what
/// is said of a mistake, need to know of all.
pub fn definition_for(arguments: &[OsString]) -> Option<clap::Command> {
    let mut words = arguments
        .iter()
        .skip(1)
        .filter_map(|argument| argument.to_str());
    let command = cli::definition_of(words.find(|word| !word.starts_with('-'))?)?;
    Some(GlobalArgs::augment_args(clap::Command::new("hookfire")).subcommand(command))
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
    fn the_definition_is_consistent() {
        definition().debug_assert();
    }

    #[test]
    fn each_command_can_be_defined_without_the_others_and_is_the_same() {
        fn same(alone: &clap::Command, among_all: &clap::Command) {
            let arguments = |command: &clap::Command| {
                format!("{:#?}", command.get_arguments().collect::<Vec<_>>())
            };
            assert_eq!(
                arguments(alone),
                arguments(among_all),
                "{}",
                among_all.get_name()
            );
            assert_eq!(
                alone.get_subcommands().count(),
                among_all.get_subcommands().count()
            );
            for sub in among_all.get_subcommands() {
                same(alone.find_subcommand(sub.get_name()).unwrap(), sub);
            }
        }
        let all = definition();
        for command in all.get_subcommands() {
            let arguments = ["hookfire", "-q", command.get_name(), "demo"].map(OsString::from);
            let root = definition_for(&arguments)
                .unwrap_or_else(|| panic!("{} cannot", command.get_name()));
            let [alone] = root.get_subcommands().collect::<Vec<_>>()[..] else {
                panic!("one command, not all")
            };
            assert_eq!(alone.get_name(), command.get_name());
            same(alone, command);
            let globals = |root: &clap::Command| {
                root.get_arguments()
                    .map(|arg| format!("{arg:#?}"))
                    .collect::<Vec<_>>()
            };
            assert_eq!(globals(&root), globals(&all));
        }
        for none in [
            &["hookfire"][..],
            &["hookfire", "--help"],
            &["hookfire", "help", "fire"],
        ] {
            let arguments: Vec<OsString> = none.iter().map(OsString::from).collect();
            assert!(definition_for(&arguments).is_none(), "{none:?}");
        }
    }

    #[test]
    fn no_help_ever_shows_the_value_of_a_variable() {
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
    fn a_variable_is_named_after_its_option_and_what_selects_or_confirms_has_none() {
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
                    "{} has none",
                    command.get_name()
                );
            }
        });
    }
}
