//! Resolves the settings of a command: flag over environment over configuration file over default.
//!
//! [`FireSettings::resolve`] brings everything about sending into one struct, once; the command then works with decided
//! values. `config::settings` lists the settings. Messages never quote a value that may be a secret.

use std::collections::HashSet;

use crate::cli::args::{ExtraArgs, HandshakeArgs, RetryPolicyArgs, TargetArgs, VerifyArgs};
use crate::cli::context::Context;
use crate::cli::signing;
use crate::config::{self, Config, Endpoint, SettingSource, Settings};
use crate::delivery::retry_policy::RetryPolicy;
use crate::delivery::switches::WebhookSwitches;
use crate::delivery::target::{MissingSecret, Param, Target};
use crate::env::Environment;
use crate::error::{Failure, Kind};
use crate::event::{BodyFormat, ElementOrder};
use crate::http::TransportOptions;
use crate::listener::{Handshake, Handshakes, Route};
use crate::secret::safe_url::{self, UrlError};
use crate::secret::{Secret, SecretError, SecretSource};
use crate::signature::Scheme;
use crate::text;

pub use crate::engine::plan::transport_options as transport;

/// Where and how to send, resolved.
#[derive(Debug)]
pub struct FireSettings<'a> {
    /// The configured endpoint; none for `--url`.
    pub endpoint: Option<(&'a str, &'a Endpoint)>,
    pub target: Target,
    pub policy: RetryPolicy,
    /// Whether an option, a variable or the configuration says how often or when to retry.
    pub sets_retries: bool,
    pub transport: TransportOptions,
    pub body_format: BodyFormat,
    pub element_order: ElementOrder,
    pub switches: WebhookSwitches,
}

impl<'a> FireSettings<'a> {
    /// Resolves the target of `args`, or the configuration's default endpoint, with these `options`.
    pub fn resolve(
        ctx: &'a Context<'_>,
        args: &TargetArgs,
        options: Settings,
    ) -> Result<Self, Failure> {
        Ok(Self::new(chosen(ctx, args)?, options))
    }

    pub fn new(chosen: Chosen<'a>, options: Settings) -> Self {
        let settings = with_endpoint(options, chosen.endpoint.map(|(_, endpoint)| endpoint));
        FireSettings {
            endpoint: chosen.endpoint,
            target: chosen.target,
            policy: settings.retry_policy(),
            sets_retries: settings.sets_retries(),
            transport: transport(&settings),
            body_format: settings.body_format(),
            element_order: settings.element_order(),
            switches: settings.switches(),
        }
    }
}

/// The options about retries. A schedule contradicts `--retries` and `--retry-interval`; an option overrides a variable.
pub fn retry_policy(ctx: &Context<'_>, args: &RetryPolicyArgs) -> Result<Settings, Failure> {
    let mut settings = args.settings();
    for option in ["retries", "retry_interval"] {
        let is_given = match option {
            "retries" => settings.retries.is_some(),
            _ => settings.retry_interval.is_some(),
        };
        if !is_given || settings.retry_schedule.is_none() {
            continue;
        }
        match (ctx.source("retry_schedule"), ctx.source(option)) {
            (SettingSource::Flag, SettingSource::Environment) if option == "retries" => {
                settings.retries = None;
            }
            (SettingSource::Flag, SettingSource::Environment) => settings.retry_interval = None,
            (SettingSource::Environment, SettingSource::Flag) => settings.retry_schedule = None,
            _ => {
                let option = option.replace('_', "-");
                return Err(Failure::usage(format!(
                    "`--retry-schedule` and `--{option}` cannot be used together"
                ))
                .hint("a schedule has one retry after each of its intervals"));
            }
        }
    }
    Ok(settings)
}

/// Options over the settings of an endpoint.
pub fn with_endpoint(options: Settings, endpoint: Option<&Endpoint>) -> Settings {
    match endpoint {
        Some(endpoint) => options.or(&endpoint.settings),
        None => options,
    }
}

/// A target, and the configured endpoint it belongs to.
#[derive(Debug)]
pub struct Chosen<'a> {
    /// The configured endpoint and its name; `None` if the target was given as a URL.
    pub endpoint: Option<(&'a str, &'a Endpoint)>,
    pub target: Target,
}

/// The target that `--endpoint`, `--url` or the configuration's default endpoint names, with `--secret`, `--param` and
/// `--header` added.
pub fn chosen<'a>(ctx: &'a Context<'_>, args: &TargetArgs) -> Result<Chosen<'a>, Failure> {
    let config = ctx.config()?;
    let endpoint = args.endpoint.as_deref().filter(|name| !name.is_empty());
    let url = args.url.as_deref().filter(|url| !url.is_empty());
    let mut chosen = match (endpoint, url) {
        (Some(name), None) => from_endpoint(name, config)?,
        (None, Some(url)) => from_url(url)?,
        (Some(name), Some(url)) => match (ctx.source("endpoint"), ctx.source("url")) {
            (SettingSource::Flag, SettingSource::Environment) => from_endpoint(name, config)?,
            (SettingSource::Environment, SettingSource::Flag) => from_url(url)?,
            (SettingSource::Environment, SettingSource::Environment) => {
                return Err(
                    Failure::usage("`HOOKFIRE_ENDPOINT` and `HOOKFIRE_URL` are both set")
                        .hint("unset one of them, or choose with `--endpoint` or `--url`"),
                );
            }
            _ => {
                return Err(Failure::usage(
                    "`--endpoint` and `--url` cannot be used together",
                ));
            }
        },
        (None, None) => match &config.default_endpoint {
            Some(name) => from_endpoint(name, config)?,
            None => {
                return Err(Failure::usage("no target: give an endpoint or a URL")
                    .hint("name one with `--endpoint NAME` or `--url URL`")
                    .hint("`hookfire config init` writes a configuration file for endpoints and a default endpoint"));
            }
        },
    };
    add_extras(&mut chosen.target, &args.extras, &ctx.env)?;
    Ok(chosen)
}

/// The target of a configured endpoint.
pub fn from_endpoint<'a>(name: &str, config: &'a Config) -> Result<Chosen<'a>, Failure> {
    let (name, endpoint) = endpoint(name, config)?;
    Ok(Chosen {
        endpoint: Some((name, endpoint)),
        target: endpoint.target.clone(),
    })
}

pub fn from_url(url: &str) -> Result<Chosen<'static>, Failure> {
    match Target::from_url(url) {
        Ok(target) => Ok(Chosen {
            endpoint: None,
            target,
        }),
        Err(UrlError::NoScheme(shown)) => {
            let hint = format!("write `http://{shown}` or `https://{shown}`");
            Err(Failure::from_error(Kind::Usage, UrlError::NoScheme(shown)).hint(hint))
        }
        Err(e) => Err(Failure::from_error(Kind::Usage, e)),
    }
}

/// The options with which `hookfire retry` can send to the target of an earlier `fire`, each after a space: secrets that were
/// given literally are not stored.
pub fn retry_options(target: &Target, endpoint: Option<&Endpoint>) -> String {
    let not_stored = target.secrets_not_stored(endpoint.map(|endpoint| &endpoint.target));
    let mut options: Vec<String> = not_stored
        .into_iter()
        .map(|(part, param)| format!(" {}", MissingSecret::not_stored(part, param).flag()))
        .collect();
    // A value without a name can only be given with the whole URL.
    if let Some(url) = options.iter().find(|option| option.starts_with(" --url")) {
        return url.clone();
    }
    if target.signing_secret_not_stored(endpoint.map(|endpoint| &endpoint.target)) {
        let missing = MissingSecret::signing(SecretError::NotStored);
        options.push(format!(" {}", missing.flag()));
    }
    options.dedup();
    options.concat()
}

/// The configured endpoint of this name, or an error with the nearest name.
pub fn endpoint<'a>(name: &str, config: &'a Config) -> Result<(&'a str, &'a Endpoint), Failure> {
    if let Some((name, endpoint)) = config.endpoints.get_key_value(name) {
        return Ok((name, endpoint));
    }
    if name.contains("://") {
        let shown = safe_url::shown(name);
        return Err(
            Failure::usage(format!("`{shown}` is a URL, not the name of an endpoint"))
                .hint("give a URL with `--url`"),
        );
    }
    let known: Vec<&str> = config.endpoints.keys().map(String::as_str).collect();
    let failure = Failure::usage(format!("the configuration has no endpoint `{name}`"));
    Err(match text::nearest(name, known.iter().copied()) {
        Some(near) => failure.hint(format!("did you mean `--endpoint {near}`?")),
        None if known.is_empty() => failure
            .hint(format!("add `[endpoints.{name}]` with its `url` to the file that `hookfire config path` prints"))
            .hint("`hookfire config init` writes that file with every key explained"),
        None => failure.hint(format!("configured are {}", text::listed(known))),
    })
}

/// Adds `--secret`, `--param` and `--header` to a target. Errors do not quote values.
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

/// Adds `--param` and `--header` to a target. Errors do not quote values.
pub fn add_public(
    target: &mut Target,
    extras: &ExtraArgs,
    env: &Environment,
) -> Result<(), Failure> {
    for text in extras.param.iter().filter(|text| !text.is_empty()) {
        let (name, value) = named_value(text, "--param", '=', "NAME=VALUE")?;
        let param = config::public_param(name, value).map_err(|e| {
            Failure::usage(e).hint(format!("use `--secret {name}=@env:VARIABLE` for a secret"))
        })?;
        target.set_param(param);
    }
    for header in headers(extras, env)? {
        target.set_header(header);
    }
    Ok(())
}

/// Parses the values of `option`: `--secret` or one like it. Errors do not quote them.
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
                    "an unset variable may be the reason; `{option} {name}=@env:VARIABLE` reports that"
                )));
            }
            let source = SecretSource::parse(value)
                .map_err(|e| Failure::usage(format!("secret `{name}`: {e}")))?;
            Ok((name.to_owned(), source.anchored(&env.folder())))
        })
        .collect()
}

/// The value of `option`: a token as @env:VAR, @file:PATH or a literal. Errors do not quote it.
pub fn token(option: &str, text: &str, env: &Environment) -> Result<Secret, Failure> {
    let source =
        SecretSource::parse(text).map_err(|e| Failure::usage(format!("`{option}`: {e}")))?;
    let token = source.anchored(&env.folder()).resolve(env);
    token.map_err(|e| {
        Failure::from_error(Kind::Error, e).context(format!("cannot use the value of `{option}`"))
    })
}

/// Parses the values of `--route`.
pub fn routes(texts: &[String]) -> Result<Vec<Route>, Failure> {
    let given = texts.iter().filter(|text| !text.is_empty());
    let routes = given.map(|text| {
        text.parse().map_err(|e| {
            Failure::usage(format!("invalid value of `--route`: {e}"))
                .hint("for example `--route 'POST /paid=503x2,200'`")
        })
    });
    routes.collect()
}

/// The handshakes that `--handshake` and `--cors` name. `--signing-secret` without a use is an error.
pub fn handshakes(
    args: &HandshakeArgs,
    signatures: &VerifyArgs,
    ctx: &Context<'_>,
) -> Result<Handshakes, Failure> {
    let names = args.handshake.iter().map(|name| name.trim());
    let (all, named): (Vec<&str>, Vec<&str>) = names
        .filter(|name| !name.is_empty())
        .partition(|name| *name == "all");
    let parsed = named.iter().map(|name| name.parse());
    let parsed: Result<Vec<Handshake>, String> = parsed.collect();
    let mut answered = parsed.map_err(|e| Failure::usage(format!("`--handshake`: {e}")))?;
    let needs_secret = answered.contains(&Handshake::Zoom);
    if !all.is_empty() {
        answered = Handshake::ALL.to_vec();
    }
    let may_use_secret = answered.contains(&Handshake::Zoom);
    if signatures.verify.is_none() && !may_use_secret && ctx.is_flag("signing_secret") {
        let message = "`--signing-secret` requires `--verify SCHEME` or `--handshake zoom`";
        return Err(Failure::usage(message)
            .hint(format!("the schemes are {}", text::listed(Scheme::NAMES))));
    }
    let texts = &signatures.signing_secret;
    let is_given = texts.iter().any(|text| !text.is_empty());
    let secret = match needs_secret || may_use_secret && is_given {
        true => signing::secrets(texts, None, ctx)?.into_iter().next(),
        false => None,
    };
    Ok(Handshakes {
        answered,
        secret,
        cors: args.cors,
    })
}

/// Parses the values of `--header`. Errors do not quote them.
pub fn headers(extras: &ExtraArgs, env: &Environment) -> Result<Vec<Param>, Failure> {
    let given = extras.header.iter().filter(|text| !text.is_empty());
    given
        .map(|text| {
            let (name, value) = named_value(text, "--header", ':', "'NAME: VALUE'")?;
            let source = SecretSource::parse(value.trim())
                .map_err(|e| Failure::usage(format!("header `{}`: {e}", name.trim())))?
                .anchored(&env.folder());
            config::header(name.trim(), source).map_err(Failure::usage)
        })
        .collect()
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
            "a value of `{option}` has no name or no `{between}`; write {form}"
        ))),
    }
}
