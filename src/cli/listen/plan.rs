//! The options of `listen`, decided: everything that can be wrong with them is found before anything is bound or made.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use super::args::ListenArgs;
use super::forward::Forwarder;
use crate::capture::{INBOX, Mask};
use crate::cli::address::DEFAULT_PORT;
use crate::cli::context::Context;
use crate::cli::settings;
use crate::error::{Failure, Kind};
use crate::listener::Upstream as _;
use crate::listener::{Limits, Script, Tls};
use crate::secret::{Secret, SecretSource};
use crate::text;
use crate::web::random_token;

/// The first segment of the paths that a stand-in for a tenant keeps to itself.
const TENANT_ONLY: &str = "admin";

/// What the listener is to be.
pub struct Plan {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Its bins; what names none goes to the first.
    pub bins: Vec<String>,
    /// What it answers.
    pub script: Script,
    /// Headers of its answers.
    pub response_headers: Vec<(String, String)>,
    /// Query parameters that must have these values.
    pub require_secret: Vec<(String, Secret)>,
    /// What is hidden in what is printed: all that is printed was caught by this listener.
    pub mask: Mask,
    /// What is hidden on the page until asked for, `--reveal` or not. It shows what others have caught as well, who asked for
    /// other secrets: which, nobody has written down.
    pub page_mask: Mask,
    /// Where requests go on to.
    pub forwarder: Option<Arc<Forwarder>>,
    /// Whose scripts may use RequestBin's API: an origin in lower case, or `*`.
    pub allow_origin: Option<String>,
    /// How much is taken.
    pub limits: Limits,
    /// Its certificate.
    pub tls: Option<Tls>,
    /// What page and API ask for.
    pub token: Option<Secret>,
    /// What the stand-in for a tenant asks for.
    pub portal_token: Option<Secret>,
}

impl Plan {
    /// Decides.
    ///
    /// # Errors
    /// When an option cannot be, or a secret cannot be had.
    pub fn of(args: &ListenArgs, ctx: &Context<'_>) -> Result<Plan, Failure> {
        let addr = addr(args)?;
        let forwarder = Forwarder::of(args, ctx)?.map(Arc::new);
        if args.portal.emulate_portal && args.bin.iter().any(|bin| bin == TENANT_ONLY) {
            return Err(Failure::usage(format!(
                "nothing can come to a bin `{TENANT_ONLY}` with `--emulate-portal`"
            ))
            .hint("everything below /admin is the tenant's then; give the bin another name"));
        }
        if let Some(forwarder) = &forwarder {
            only_the_receiver_answers(ctx)?;
            leads_elsewhere(addr, forwarder)?;
        }
        let token = (!addr.ip().is_loopback()).then(random_token);
        let script = args.answers.respond.parse::<Script>();
        let require_secret = required(&args.answers.require_secret, ctx)?;
        let values = require_secret
            .iter()
            .map(|(_, value)| value.clone())
            .collect();
        let page_mask = Mask {
            values,
            ..ctx.mask(false)?
        };
        let required = require_secret
            .iter()
            .map(|(name, _)| name.clone())
            .collect();
        let mask = Mask {
            required: Some(required),
            reveal: args.reveal,
            ..page_mask.clone()
        };
        let tls = match (&args.tls.tls_cert, &args.tls.tls_key) {
            (Some(cert), Some(key)) => {
                Some(Tls::load(cert, key).map_err(|e| Failure::from_error(Kind::Error, e))?)
            }
            _ => None,
        };
        Ok(Plan {
            addr,
            bins: if args.bin.is_empty() {
                vec![INBOX.to_owned()]
            } else {
                args.bin.clone()
            },
            script: script.map_err(|e| {
                Failure::from_error(Kind::Usage, anyhow::Error::from(e).context("`--respond`"))
            })?,
            response_headers: args
                .answers
                .response_header
                .iter()
                .map(|text| header(text))
                .collect::<Result<_, _>>()?,
            require_secret,
            mask,
            page_mask,
            forwarder,
            allow_origin: args
                .answers
                .allow_origin
                .as_deref()
                .map(origin)
                .transpose()?
                .flatten(),
            limits: limits(args),
            tls,
            token,
            portal_token: portal_token(args, addr, ctx)?,
        })
    }
}

fn addr(args: &ListenArgs) -> Result<SocketAddr, Failure> {
    let typed = args
        .addr
        .unwrap_or_default()
        .with_port(args.port)
        .ok_or_else(|| {
            Failure::usage("ADDR and `--port` name two ports; one is enough").hint(format!(
                "`hookfire listen` alone listens on 127.0.0.1:{DEFAULT_PORT}"
            ))
        })?;
    let typed = if args.expose {
        typed.or_all_hosts()
    } else {
        typed
    };
    let addr = typed.or_port(DEFAULT_PORT);
    if !addr.ip().is_loopback() && !args.expose {
        return Err(Failure::usage(format!("`{addr}` lets other machines in, which `--expose` must allow")).hint(
            "anyone who reaches it can then send requests; page and API ask for a token that is shown at the start",
        ));
    }
    Ok(addr)
}

fn portal_token(
    args: &ListenArgs,
    addr: SocketAddr,
    ctx: &Context<'_>,
) -> Result<Option<Secret>, Failure> {
    let text = args
        .portal
        .require_portal_token
        .as_deref()
        .filter(|text| !text.is_empty());
    let Some(text) = text else {
        return match args.portal.emulate_portal && !addr.ip().is_loopback() {
            false => Ok(None),
            true => Err(
                Failure::usage("a tenant that other machines reach asks for a token")
                    .hint("give one with `--require-portal-token @env:VARIABLE`"),
            ),
        };
    };
    let source = SecretSource::parse(text).map_err(|e| Failure::from_error(Kind::Usage, e))?;
    let token = source.anchored(&ctx.env.folder()).resolve(&ctx.env);
    token.map(Some).map_err(|e| {
        Failure::from_error(
            Kind::Error,
            anyhow::Error::from(e).context("no usable value for the portal's token"),
        )
    })
}

/// What says what to answer has no say where the receiver answers. Of the environment it may be there for another run.
fn only_the_receiver_answers(ctx: &Context<'_>) -> Result<(), Failure> {
    const ANSWERS: [(&str, &str); 4] = [
        ("respond", "--respond"),
        ("response_body", "--response-body"),
        ("response_header", "--response-header"),
        ("status_in_path", "--status-in-path"),
    ];
    match ANSWERS.iter().find(|(id, _)| ctx.is_flag(id)) {
        Some((_, flag)) => Err(Failure::usage(format!(
            "`{flag}` and `--forward-to` both say what to answer"
        ))
        .hint("with `--forward-to` it is what the receiver answers")),
        None => Ok(()),
    }
}

/// Refuses what would come back here for ever, as far as the address tells.
fn leads_elsewhere(addr: SocketAddr, forwarder: &Forwarder) -> Result<(), Failure> {
    let base = forwarder.base();
    let here = match base.host().trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(ip) => {
            ip == addr.ip()
                || ip.is_unspecified() && addr.ip().is_loopback()
                || ip.is_loopback() && addr.ip().is_unspecified()
        }
        Err(_) => base.is_loopback() && (addr.ip().is_loopback() || addr.ip().is_unspecified()),
    };
    if here && base.port() == Some(addr.port()) {
        let words = format!(
            "`--forward-to {}` leads back to this listener",
            forwarder.name()
        );
        return Err(Failure::usage(words)
            .hint("name the receiver's own port, or listen on another with `--port N`"));
    }
    Ok(())
}

/// An origin in the form in which browsers say theirs; none where nothing is written.
fn origin(text: &str) -> Result<Option<String>, Failure> {
    if text.is_empty() || text == "*" {
        return Ok((!text.is_empty()).then(|| text.to_owned()));
    }
    let refused = || {
        Failure::usage(format!(
            "`--allow-origin {text}`: an origin is like http://localhost:3000, without a path"
        ))
        .hint("`*` lets pages of every origin in")
    };
    let (scheme, host) = text.split_once("://").ok_or_else(refused)?;
    let named = host
        .rsplit_once(':')
        .filter(|(_, port)| !port.ends_with(']'));
    let (name, port) = named.map_or((host, None), |(name, port)| (name, Some(port)));
    let good_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let good_name = match name.strip_prefix('[') {
        Some(rest) => rest
            .strip_suffix(']')
            .is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok()),
        None => {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        }
    };
    let good_port = port.is_none_or(|port| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
    });
    if good_scheme && good_name && good_port {
        Ok(Some(text.to_ascii_lowercase()))
    } else {
        Err(refused())
    }
}

fn required(texts: &[String], ctx: &Context<'_>) -> Result<Vec<(String, Secret)>, Failure> {
    let sources = settings::secrets("--require-secret", texts, &ctx.env)?;
    sources
        .into_iter()
        .map(|(name, source)| match source.resolve(&ctx.env) {
            Ok(secret) => Ok((name, secret)),
            Err(e) => {
                let words = format!("no usable value for the required secret `{name}`");
                Err(Failure::from_error(
                    Kind::Error,
                    anyhow::Error::from(e).context(words),
                ))
            }
        })
        .collect()
}

fn header(text: &str) -> Result<(String, String), Failure> {
    match text.split_once(':') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err(Failure::usage(format!(
            "`--response-header` takes 'NAME: VALUE'; `{text}` is none"
        ))),
    }
}

fn limits(args: &ListenArgs) -> Limits {
    let given = &args.limits;
    let bytes = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
    let default = Limits::default();
    Limits {
        head_bytes: bytes(given.max_head),
        headers: given.max_headers as usize,
        body_bytes: bytes(given.max_body),
        buffered_bytes: bytes(given.max_buffered),
        connections: given.max_connections.unwrap_or(default.connections),
        head_deadline: given.read_timeout,
        body_deadline: given.read_timeout,
    }
}

/// The limits in words, as the banner states them.
pub fn limits_in_words(limits: &Limits, keep: u32) -> String {
    format!(
        "head {}, {}, body {}, {} for each, {}, {} buffered; the newest {keep} of a bin are kept",
        text::size(limits.head_bytes as u64),
        text::count(limits.headers, "header", "headers"),
        text::size(limits.body_bytes as u64),
        crate::time::compact(limits.head_deadline),
        text::count(limits.connections as usize, "connection", "connections"),
        text::size(limits.buffered_bytes as u64),
    )
}
