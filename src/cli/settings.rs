//! What the options mean: flag, environment, configuration file and default brought together, once.
//!
//! Everything after this works with decided values. Messages never quote a value that may be a secret.

use std::collections::HashSet;
use std::path::PathBuf;

use clap::ArgMatches;
use clap::parser::ValueSource;

use crate::cli::args::{
    ExtraArgs, GlobalArgs, RetryPolicyArgs, TargetArgs, TransportArgs, WireArgs,
};
use crate::config::{self, Config, Endpoint};
use crate::delivery::retry_policy::RetryPolicy;
use crate::delivery::switches::WebhookSwitches;
use crate::delivery::target::{Param, Target};
use crate::env::Environment;
use crate::error::{Failure, Kind};
use crate::event::{BodyFormat, ElementOrder};
use crate::http::TransportOptions;
use crate::secret::safe_url::{self, UrlError};
use crate::secret::{Secret, SecretSource};
use crate::text;

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Flag,
    /// An environment variable.
    Environment,
    /// The configuration file.
    File,
    /// Built in.
    Default,
}

impl Origin {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Origin::Flag => "flag",
            Origin::Environment => "environment",
            Origin::File => "file",
            Origin::Default => "default",
        }
    }

    /// Where clap found an option's value.
    pub fn of(matches: &ArgMatches, option: &str) -> Origin {
        match matches.value_source(option) {
            Some(ValueSource::CommandLine) => Origin::Flag,
            Some(ValueSource::EnvVariable) => Origin::Environment,
            _ => Origin::Default,
        }
    }
}

/// The journal's file and where its name comes from.
///
/// # Errors
/// When none is named and no home folder is known.
pub fn journal_path(
    globals: &GlobalArgs,
    matches: &ArgMatches,
    env: &Environment,
) -> Result<(PathBuf, Origin), Failure> {
    let default = env.state_folder().map(|folder| folder.join("journal.db"));
    located(globals.journal.as_ref(), "journal", matches, default)
}

/// The configuration's file and where its name comes from.
///
/// # Errors
/// When none is named and no home folder is known.
pub fn config_path(
    globals: &GlobalArgs,
    matches: &ArgMatches,
    env: &Environment,
) -> Result<(PathBuf, Origin), Failure> {
    let default = env.config_folder().map(|folder| folder.join("config.toml"));
    located(globals.config.as_ref(), "config", matches, default)
}

fn located(
    named: Option<&PathBuf>,
    option: &str,
    matches: &ArgMatches,
    default: Option<PathBuf>,
) -> Result<(PathBuf, Origin), Failure> {
    // An empty variable is no wish.
    if let Some(path) = named.filter(|path| !path.as_os_str().is_empty()) {
        return Ok((path.clone(), Origin::of(matches, option)));
    }
    default.map(|path| (path, Origin::Default)).ok_or_else(|| {
        Failure::new(
            Kind::Error,
            format!("no home folder is known to look for the {option} in"),
        )
        .hint(format!(
            "name the file with `--{option} FILE` or `HOOKFIRE_{}`",
            option.to_ascii_uppercase()
        ))
    })
}

/// A target that was chosen, and the endpoint behind it.
#[derive(Debug)]
pub struct Chosen<'a> {
    /// The configured endpoint; none for a bare URL.
    pub endpoint: Option<(&'a str, &'a Endpoint)>,
    /// URL, parameters and headers, those of the flags included.
    pub target: Target,
}

/// Where to send: `--endpoint`, `--url`, or the configuration's default.
///
/// # Errors
/// When there is none or two of a kind, the endpoint is unknown, or a parameter or header cannot be read.
pub fn chosen<'a>(
    args: &TargetArgs,
    matches: &ArgMatches,
    config: &'a Config,
    env: &Environment,
) -> Result<Chosen<'a>, Failure> {
    let endpoint = args.endpoint.as_deref().filter(|name| !name.is_empty());
    let url = args.url.as_deref().filter(|url| !url.is_empty());
    let mut chosen = match (endpoint, url) {
        (Some(name), Some(url)) => {
            match (Origin::of(matches, "endpoint"), Origin::of(matches, "url")) {
                (Origin::Flag, Origin::Environment) => from_endpoint(name, config)?,
                (Origin::Environment, Origin::Flag) => from_url(url)?,
                (Origin::Environment, Origin::Environment) => {
                    return Err(Failure::usage(
                    "both an endpoint and a URL are given, by `HOOKFIRE_ENDPOINT` and `HOOKFIRE_URL`",
                )
                .hint("unset one of the two, or say which with `--endpoint` or `--url`"));
                }
                _ => {
                    return Err(Failure::usage("both an endpoint and a URL are given")
                        .hint("leave out `--endpoint` or `--url`"));
                }
            }
        }
        (Some(name), None) => from_endpoint(name, config)?,
        (None, Some(url)) => from_url(url)?,
        (None, None) => match &config.default_endpoint {
            Some(name) => from_endpoint(name, config)?,
            None => {
                return Err(Failure::usage("no target: neither an endpoint nor a URL is given")
                    .hint("name one with `--endpoint NAME` or `--url URL`")
                    .hint("`hookfire config init` writes a file where endpoints and a default one can be named"));
            }
        },
    };
    add_extras(&mut chosen.target, &args.extras, env)?;
    Ok(chosen)
}

/// The endpoint of this name as a target.
///
/// # Errors
/// When the configuration has none.
pub fn from_endpoint<'a>(name: &str, config: &'a Config) -> Result<Chosen<'a>, Failure> {
    let (name, endpoint) = endpoint(name, config)?;
    Ok(Chosen {
        endpoint: Some((name, endpoint)),
        target: endpoint.target.clone(),
    })
}

/// A bare URL as a target.
///
/// # Errors
/// When it cannot be an endpoint's.
pub fn from_url(url: &str) -> Result<Chosen<'static>, Failure> {
    let target = Target::from_url(url).map_err(|e| {
        let hint = match &e {
            UrlError::NoScheme(shown) => {
                Some(format!("write `http://{shown}` or `https://{shown}`"))
            }
            _ => None,
        };
        hint.into_iter()
            .fold(Failure::from_error(Kind::Usage, e), Failure::hint)
    })?;
    Ok(Chosen {
        endpoint: None,
        target,
    })
}

/// The endpoint of this name.
///
/// # Errors
/// When the configuration has none; the nearest one is hinted at.
pub fn endpoint<'a>(name: &str, config: &'a Config) -> Result<(&'a str, &'a Endpoint), Failure> {
    if let Some((name, endpoint)) = config.endpoints.get_key_value(name) {
        return Ok((name, endpoint));
    }
    if name.contains("://") {
        return Err(Failure::usage(format!(
            "`{}` is a URL, not an endpoint's name",
            safe_url::shown(name)
        ))
        .hint("give a URL with `--url`"));
    }
    let known: Vec<&str> = config.endpoints.keys().map(String::as_str).collect();
    let failure = Failure::usage(format!("the configuration has no endpoint `{name}`"));
    Err(match text::nearest(name, known.iter().copied()) {
        Some(near) => failure.hint(format!("did you mean `--endpoint {near}`?")),
        None if known.is_empty() => failure
            .hint(format!("add `[endpoints.{name}]` with its `url` to the file that `hookfire config path` names"))
            .hint("`hookfire config init` writes that file with every key explained"),
        None => failure.hint(format!("there are {}", text::listed(known))),
    })
}

/// Puts `--secret`, `--param` and `--header` onto a target.
///
/// # Errors
/// When one cannot be read; its value is not quoted.
pub fn add_extras(
    target: &mut Target,
    extras: &ExtraArgs,
    env: &Environment,
) -> Result<(), Failure> {
    for (name, source) in secrets("--secret", &extras.secret, env)? {
        target.set_param(Param::secret(name, source));
    }
    add_public(target, extras, env)
}

/// Puts `--param` and `--header` onto a target.
///
/// # Errors
/// When one cannot be read; its value is not quoted.
pub fn add_public(
    target: &mut Target,
    extras: &ExtraArgs,
    env: &Environment,
) -> Result<(), Failure> {
    for text in extras.param.iter().filter(|text| !text.is_empty()) {
        let (name, value) = named_value(text, "--param", '=', "NAME=VALUE")?;
        if is_reference(value) {
            return Err(Failure::usage(format!("`--param` takes no reference; `{name}` is given one")).hint(format!(
                "a value that comes from a variable or file is a secret: `--secret {name}=@env:VARIABLE`"
            )));
        }
        target.set_param(Param::public(name, value));
    }
    for header in headers(extras, env)? {
        target.set_header(header);
    }
    Ok(())
}

/// The values of `option`, `--secret` or one of its kind, read.
///
/// # Errors
/// When one has no name or value; the text is not quoted.
pub fn secrets(
    option: &str,
    texts: &[String],
    env: &Environment,
) -> Result<Vec<(String, SecretSource)>, Failure> {
    let mut names = HashSet::new();
    let given = texts.iter().filter(|text| !text.is_empty());
    given
        .map(|text| {
            let (name, value) = named_value(text, option, '=', "NAME=@env:VARIABLE, NAME=@file:PATH or NAME=VALUE")?;
            if !names.insert(name) {
                return Err(Failure::usage(format!("the secret `{name}` is given twice")));
            }
            if value.is_empty() {
                return Err(Failure::usage(format!("the secret `{name}` is empty")).hint(format!(
                    "a variable that is not set may be the reason; `{option} {name}=@env:VARIABLE` would say so"
                )));
            }
            Ok((name.to_owned(), SecretSource::parse(value).anchored(&env.folder())))
        })
        .collect()
}

/// `--header` options, read.
///
/// # Errors
/// When one cannot be a header; its value is not quoted.
pub fn headers(extras: &ExtraArgs, env: &Environment) -> Result<Vec<Param>, Failure> {
    let given = extras.header.iter().filter(|text| !text.is_empty());
    given
        .map(|text| {
            let (name, value) = named_value(text, "--header", ':', "'NAME: VALUE'")?;
            let source = SecretSource::parse(value.trim()).anchored(&env.folder());
            if source.reference().is_none() && is_reference(value) {
                let name = name.trim();
                return Err(Failure::usage(format!("the header `{name}` has a reference inside its value")).hint(
                    format!(
                        "a reference is the whole value: `-H '{name}: @env:VARIABLE'`, with all of it in the variable"
                    ),
                ));
            }
            config::header(name.trim(), source).map_err(Failure::usage)
        })
        .collect()
}

/// Whether `@env:` or `@file:` is anywhere in it: sent as it is, it would be a mistake.
fn is_reference(value: &str) -> bool {
    value.contains("@env:") || value.contains("@file:")
}

fn named_value<'a>(
    text: &'a str,
    option: &str,
    between: char,
    form: &str,
) -> Result<(&'a str, &'a str), Failure> {
    match text.split_once(between) {
        Some((name, value)) if !name.trim().is_empty() => Ok((name, value)),
        _ => Err(Failure::usage(format!(
            "`{option}` takes {form}; what was given has no name or no `{between}`"
        ))),
    }
}

/// The rule in force.
pub fn rule(args: &RetryPolicyArgs, endpoint: Option<&Endpoint>) -> RetryPolicy {
    let default = RetryPolicy::default();
    RetryPolicy {
        retries: args
            .retries
            .or(endpoint.and_then(|e| e.retries))
            .unwrap_or(default.retries),
        interval: args
            .retry_interval
            .or(endpoint.and_then(|e| e.retry_interval))
            .unwrap_or(default.interval),
        success: args
            .success
            .clone()
            .or(endpoint.and_then(|e| e.success.clone()))
            .unwrap_or(default.success),
    }
}

/// How a request carries the event, and in which order the event has its fields.
pub fn form(args: &WireArgs, endpoint: Option<&Endpoint>) -> (BodyFormat, ElementOrder) {
    let wire = args
        .wire
        .map(|wire| wire.0)
        .or(endpoint.and_then(|e| e.wire));
    let compat = args
        .compat
        .map(|compat| compat.0)
        .or(endpoint.and_then(|e| e.compat));
    (wire.unwrap_or_default(), compat.unwrap_or_default())
}

/// The switchboard in force.
pub fn switchboard(endpoint: Option<&Endpoint>) -> WebhookSwitches {
    let default = WebhookSwitches::default();
    let Some(endpoint) = endpoint else {
        return default;
    };
    WebhookSwitches {
        active: endpoint.active.unwrap_or(default.active),
        provider_actions: endpoint
            .provider_actions
            .unwrap_or(default.provider_actions),
        events: endpoint.events.clone(),
    }
}

/// The connection in force.
pub fn transport(
    args: &TransportArgs,
    matches: &ArgMatches,
    endpoint: Option<&Endpoint>,
) -> TransportOptions {
    let default = TransportOptions::default();
    let proxy = args
        .proxy
        .as_deref()
        .filter(|proxy| !proxy.is_empty())
        .map(Secret::new);
    TransportOptions {
        timeout: args
            .timeout
            .or(endpoint.and_then(|e| e.timeout))
            .unwrap_or(default.timeout),
        connect_timeout: args
            .connect_timeout
            .or(endpoint.and_then(|e| e.connect_timeout))
            .unwrap_or(default.connect_timeout),
        cacert: args
            .cacert
            .clone()
            .or(endpoint.and_then(|e| e.cacert.clone())),
        cert: args.cert.clone().or(endpoint.and_then(|e| e.cert.clone())),
        key: args.key.clone().or(endpoint.and_then(|e| e.key.clone())),
        insecure: match Origin::of(matches, "insecure") {
            Origin::Default => endpoint
                .and_then(|e| e.insecure)
                .unwrap_or(default.insecure),
            _ => args.insecure,
        },
        proxy: proxy.or(endpoint.and_then(|e| e.proxy.clone())),
    }
}
