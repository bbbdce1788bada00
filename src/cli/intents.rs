//! Suggestions for command lines that clap rejects: what people type out of habit, and what does it here.
//!
//! The tables come first, then names that are similar or that another command has.

use std::ffi::OsString;

use clap::Command;

use crate::event::catalogue;
use crate::output::Format;
use crate::text::nearest;

/// A command group (empty for `hookfire` itself), words that people type as its command, and a hint.
type Intent = (&'static str, &'static [&'static str], &'static str);

const COMMANDS: &[Intent] = &[
    (
        "",
        &["send", "post", "trigger", "emit", "publish", "push", "test"],
        "`hookfire fire TYPE ACTION` sends an event",
    ),
    (
        "",
        &[
            "serve", "server", "start", "run", "catch", "capture", "receive", "open", "ui", "web",
        ],
        "`hookfire listen` captures requests and shows them in a web UI",
    ),
    (
        "",
        &["log", "logs", "history", "deliveries", "status"],
        "`hookfire journal list` lists deliveries, `hookfire captured list` captured requests",
    ),
    (
        "",
        &["show", "view", "get", "inspect", "info", "describe"],
        "`hookfire captured show ID` shows a captured request, `hookfire journal show ID` a delivery",
    ),
    (
        "",
        &["list", "ls"],
        "`hookfire journal list` lists deliveries, `hookfire failed list` failed ones, `hookfire captured list` captured requests",
    ),
    (
        "",
        &["resend", "replay", "redeliver", "repeat"],
        "`hookfire retry ID` sends a failed delivery again, `hookfire captured replay ID` a captured request",
    ),
    (
        "",
        &["delete", "remove", "rm", "clear", "clean", "purge"],
        "`hookfire failed delete` deletes failed deliveries, `hookfire captured delete` captured requests, `hookfire journal prune` old deliveries",
    ),
    (
        "",
        &["errors", "failures", "dlq", "queue"],
        "`hookfire failed list` lists failed deliveries",
    ),
    (
        "",
        &["due", "schedule", "scheduled", "watch", "daemon", "worker"],
        "`hookfire retry --due --watch` makes scheduled attempts when they are due",
    ),
    (
        "",
        &["requests", "captures", "tail"],
        "`hookfire captured list` lists captured requests, `hookfire listen` prints new ones",
    ),
    (
        "",
        &["wait", "assert", "verify"],
        "`hookfire expect` waits for a webhook and checks it",
    ),
    (
        "",
        &["forward", "tunnel", "proxy"],
        "`hookfire listen --forward-to URL` forwards requests to a server",
    ),
    (
        "",
        &["samples", "sample", "types", "topics"],
        "`hookfire events list` lists events, `hookfire events show TYPE ACTION` a sample",
    ),
    (
        "",
        &["setup", "configure", "settings"],
        "`hookfire config init` writes a configuration file, `hookfire config show` prints the settings",
    ),
    (
        "",
        &["backup", "dump"],
        "`hookfire journal export FILE` copies the journal",
    ),
    ("", &["version"], "`hookfire --version` prints the version"),
    (
        "failed",
        &["retry", "resend", "replay", "send", "redeliver"],
        "`hookfire retry ID` sends a failed delivery again",
    ),
    (
        "journal",
        &["retry", "resend", "replay", "send", "redeliver"],
        "`hookfire retry ID` sends a failed delivery again",
    ),
    (
        "journal",
        &["delete", "remove", "rm", "clear", "clean", "purge"],
        "`hookfire journal prune --older-than 30d` deletes old deliveries",
    ),
    (
        "journal",
        &["backup", "copy", "dump"],
        "`hookfire journal export FILE` copies the journal",
    ),
    (
        "captured",
        &["export", "curl", "har"],
        "`hookfire captured show ID --as curl` prints a command, `--as har` an archive",
    ),
    (
        "config",
        &["set", "edit", "open"],
        "edit the file that `hookfire config path` prints",
    ),
];

/// Words for commands that several groups have.
const SYNONYMS: &[(&[&str], &str)] = &[
    (&["ls", "all", "index"], "list"),
    (
        &["view", "get", "cat", "inspect", "info", "describe"],
        "show",
    ),
    (&["rm", "remove", "del", "clear", "purge"], "delete"),
    (&["resend", "retry", "send", "redeliver"], "replay"),
    (&["compare"], "diff"),
];

/// A command with its subcommands (empty for all), options that people type there, and a hint.
const OPTIONS: &[Intent] = &[
    (
        "fire",
        &[
            "--data",
            "-d",
            "--data-binary",
            "--json",
            "--payload",
            "--file",
            "-f",
        ],
        "`--body FILE` sends any file, `--object FILE` an event with this object, `--batch FILE` many events",
    ),
    (
        "fire",
        &["--connect-to", "--dns"],
        "`--resolve HOST:PORT:ADDRESS` connects to an address instead of looking up HOST",
    ),
    (
        "fire",
        &["-X", "--request"],
        "`--method METHOD` sets the method",
    ),
    (
        "fire",
        &["--type", "--mime", "--media-type"],
        "`--content-type TYPE` sets the content type; TYPE and ACTION need no option",
    ),
    (
        "fire",
        &["--async", "--detach", "--no-wait", "--queue"],
        "`--background` makes one attempt, and leaves the others to `hookfire retry --due`",
    ),
    (
        "retry",
        &["--no-retry", "--once"],
        "`retry` makes one attempt per delivery, unless `--retries` is given",
    ),
    (
        "fire",
        &["--backoff", "--retry-delay", "--retry-backoff"],
        "`--retry-schedule 5s,5m,30m,2h` sets the time before each retry, `--retry-interval 30s` one for all",
    ),
    (
        "captured replay",
        &["--url", "-u", "--target"],
        "`--to URL` says where to send it",
    ),
    (
        "listen",
        &["--status", "--response", "--reply", "--code", "-s"],
        "`--respond 503` sets the response, `--respond 503,200` one after the other",
    ),
    (
        "listen",
        &["--host", "--bind", "--address", "--addr"],
        "give the address without an option: `hookfire listen 127.0.0.1:8080`",
    ),
    (
        "listen",
        &[
            "--run",
            "--command",
            "--cmd",
            "--script",
            "--on-event",
            "--execute",
        ],
        "`--exec CMD` runs a program for each capture",
    ),
    (
        "listen",
        &[
            "--secret",
            "--verify-signature",
            "--hmac",
            "--scheme",
            "--sign",
        ],
        "`--verify SCHEME` verifies signatures; `--require-secret` requires a secret in the query",
    ),
    (
        "captured list",
        &[
            "--search", "--grep", "--text", "--body", "-q", "--query", "--filter",
        ],
        "`--contains TEXT` finds text in bodies, `--match PATH=VALUE` values",
    ),
    ("listen", &["-p"], "`--port N`, or `hookfire listen N`"),
    (
        "expect",
        &["--wait", "-t"],
        "`--within 30s` says how long to wait",
    ),
    (
        "failed",
        &["--status", "--code"],
        "`--http-status 503` filters by the last status",
    ),
    (
        "",
        &["--to", "--target", "--destination", "-u"],
        "`--url URL` says where to send it",
    ),
    (
        "captured",
        &["--from"],
        "only `captured list`, `captured show`, `captured bins`, `captured diff`, `captured follow` and `expect` read another machine",
    ),
    (
        "",
        &["--from", "--after", "--newer-than"],
        "`--since TIME` filters by time",
    ),
    (
        "",
        &["--until", "--older-than"],
        "`--before TIME` filters by time",
    ),
    (
        "",
        &["-n", "--lines", "--max-count"],
        "`--limit N` lists at most N",
    ),
    (
        "",
        &["-f", "--force", "--assume-yes"],
        "`--yes` skips the confirmation",
    ),
    ("", &["--debug", "--trace"], "`-v` and `-vv` print more"),
    (
        "",
        &["--db", "--database"],
        "`--journal FILE` names the journal",
    ),
    (
        "",
        &["--no-color", "--no-colour"],
        "`--color never` switches colours off",
    ),
];

/// Hints for a word that is not a command of `at`.
pub fn for_command(at: &Command, word: &str) -> Vec<String> {
    let (path, word) = (path(at), word.to_lowercase());
    let intended = COMMANDS
        .iter()
        .find(|(group, typed, _)| *group == path && typed.contains(&word.as_str()));
    if let Some((_, _, hint)) = intended {
        return vec![(*hint).to_owned()];
    }
    if path.is_empty() && (is_part_of_event(&word) || is_event(&word)) {
        return vec!["`hookfire fire TYPE ACTION` sends an event".to_owned()];
    }
    if path.is_empty() && is_url(&word) {
        return vec![
            "`hookfire fire account created --url URL` sends an event to a URL".to_owned(),
        ];
    }
    let names: Vec<&str> = visible(at).map(Command::get_name).collect();
    let synonym = SYNONYMS
        .iter()
        .find(|(typed, name)| typed.contains(&word.as_str()) && names.contains(name));
    let similar = synonym
        .map(|(_, name)| *name)
        .or_else(|| nearest(&word, names));
    let mut found: Vec<String> = similar
        .map(|name| command_line(at, name))
        .into_iter()
        .collect();
    if found.is_empty() {
        let groups = visible(at).filter(|group| visible(group).any(|sub| sub.get_name() == word));
        found = groups.map(|group| command_line(group, &word)).collect();
    }
    did_you_mean(&found)
}

/// Hints for a word of a command line that `at` does not take.
pub fn for_argument(at: &Command, word: &str, arguments: &[OsString]) -> Vec<String> {
    if word.starts_with('-') {
        let name = word.split_once('=').map_or(word, |(name, _)| name);
        return for_option(at, name);
    }
    let has = |name: &str| at.get_arguments().any(|arg| arg.get_long() == Some(name));
    let is_command = word.parse::<u16>().is_err() && !has_url(arguments);
    let hint = if path(at) == "expect" && is_command && !catalogue::TYPES.contains(&word) {
        "put `--` before the command: `hookfire expect -- COMMAND`"
    } else if has_url(arguments) && has("url") {
        "give the URL with `--url URL`"
    } else if has_url(arguments) && has("to") {
        "give the URL with `--to URL`"
    } else if catalogue::TYPES.contains(&word) && has("type") {
        "`--type TYPE` filters by type"
    } else if has("endpoint") {
        "name an endpoint with `--endpoint NAME`"
    } else {
        return Vec::new();
    };
    vec![hint.to_owned()]
}

fn for_option(at: &Command, name: &str) -> Vec<String> {
    let path = path(at);
    let is_at = |of: &str| {
        let rest = path.strip_prefix(of);
        of.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    };
    if let Some(hint) = for_format(at, name) {
        return vec![hint];
    }
    let longs: Vec<String> = at
        .get_arguments()
        .filter(|arg| !arg.is_hide_set())
        .filter_map(|arg| Some(format!("--{}", arg.get_long()?)))
        .collect();
    // The option in a hint must be one that the command has.
    let applies = |hint: &str| match hint.split(['`', ' ']).nth(1) {
        Some(option) if option.starts_with("--") => longs.iter().any(|long| long == option),
        _ => true,
    };
    let intended = OPTIONS
        .iter()
        .find(|(of, typed, hint)| is_at(of) && typed.contains(&name) && applies(hint));
    if let Some((_, _, hint)) = intended {
        return vec![(*hint).to_owned()];
    }
    if let Some(near) = nearest(name, longs.iter().map(String::as_str)) {
        return did_you_mean(&[format!("`{near}`")]);
    }
    let is_later = |sub: &Command| sub.get_arguments().any(|arg| is_option(arg, name));
    if visible(at).any(|sub| is_later(sub) || visible(sub).any(is_later)) {
        return vec!["write options of a command after the command".to_owned()];
    }
    Vec::new()
}

/// A hint for an output format as an option: `--json`.
fn for_format(at: &Command, name: &str) -> Option<String> {
    let typed = name.strip_prefix("--")?;
    Format::from_name(typed)?;
    let Some(output) = at.get_arguments().find(|arg| arg.get_id() == "output") else {
        return Some(format!("write `-o {typed}` after the command"));
    };
    let formats = output.get_possible_values();
    let has = |format: &str| formats.iter().any(|value| value.get_name() == format);
    let format = [typed, "ndjson"].into_iter().find(|format| has(format))?;
    Some(format!("write `-o {format}`"))
}

fn is_option(arg: &clap::Arg, name: &str) -> bool {
    let long = arg.get_long().map(|long| format!("--{long}"));
    let short = arg.get_short().map(|short| format!("-{short}"));
    [long, short].into_iter().flatten().any(|own| own == name)
}

/// `failed list` for `hookfire failed list`.
fn path(command: &Command) -> String {
    let name = command.get_bin_name().unwrap_or_default();
    name.split_once(' ').map_or("", |(_, path)| path).to_owned()
}

fn command_line(group: &Command, name: &str) -> String {
    let path = group.get_bin_name().unwrap_or("hookfire");
    format!("`{path} {name}`")
}

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|sub| !sub.is_hide_set())
}

fn did_you_mean(found: &[String]) -> Vec<String> {
    let words = match found.split_last() {
        None => return Vec::new(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    };
    vec![format!("did you mean {words}?")]
}

fn is_part_of_event(word: &str) -> bool {
    catalogue::EVENTS
        .iter()
        .any(|(event_type, action)| [*event_type, *action].contains(&word))
}

fn is_event(word: &str) -> bool {
    let name = word.split_once('.');
    name.is_some_and(|(event_type, _)| catalogue::TYPES.contains(&event_type))
}

pub fn is_url(word: &str) -> bool {
    word.contains("://")
}

/// Whether a URL is given without an option.
fn has_url(arguments: &[OsString]) -> bool {
    arguments.windows(2).any(|pair| {
        let [before, word] = [&pair[0], &pair[1]].map(|word| word.to_string_lossy());
        is_url(&word) && !before.starts_with('-') && !word.starts_with('-')
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command_line::definition;

    #[test]
    fn hints_name_existing_commands_and_options() {
        let mut root = definition();
        root.build();
        let at = |path: &str| {
            let names = path.split_whitespace();
            let mut found = &root;
            for name in names {
                match found.find_subcommand(name) {
                    Some(sub) => found = sub,
                    None => break,
                }
            }
            found
        };
        let has =
            |command: &Command, word: &str| command.get_arguments().any(|arg| is_option(arg, word));
        for (group, _, hint) in COMMANDS.iter().chain(OPTIONS) {
            for quoted in hint.split('`').skip(1).step_by(2) {
                let line = quoted.strip_prefix("hookfire ");
                let command = at(line.unwrap_or(group));
                assert!(
                    line.is_none_or(
                        |line| command.get_name() != "hookfire" || line.starts_with('-')
                    ),
                    "{quoted}"
                );
                let options = quoted.split(' ').filter(|word| word.starts_with('-'));
                for option in options.filter(|_| line.is_some() || !group.is_empty()) {
                    let known = has(command, option)
                        || command.get_subcommands().any(|sub| has(sub, option));
                    assert!(known || *option == *"--as", "{quoted}: {option}");
                }
            }
        }
    }
}
