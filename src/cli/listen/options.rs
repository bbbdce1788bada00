//! The options of `listen`, validated before anything is bound or written.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::args::ListenArgs;
use super::forward::Forwarder;
use super::forward_later;
use crate::capture::expect::Expectation;
use crate::capture::{INBOX, Mask};
use crate::cli::context::Context;
use crate::cli::forward_targets::ForwardTargets;
use crate::cli::listen_addr::DEFAULT_PORT;
use crate::cli::{settings, signing};
use crate::error::{Failure, Kind};
use crate::listener::{Handshakes, ListenerLimits, Route, Script, Tls};
use crate::secret::Secret;
use crate::secret::safe_url::BaseUrl;
use crate::signature::Verifier;
use crate::text;
use crate::web::{parse_origin, random_token};

/// The first segment of the paths that the portal emulator serves.
const PORTAL_BIN: &str = "admin";

/// Tokens are masked wherever they occur in a captured head, so that a short one would change other text.
const MIN_TOKEN_LENGTH: usize = 8;

/// What decides the responses without `--forward-to`.
const RESPONSE_OPTIONS: [&str; 5] = [
    "route",
    "respond",
    "response_body",
    "response_header",
    "status_in_path",
];

pub struct ListenOptions {
    pub addr: SocketAddr,
    /// Requests whose path names none of them go to the first.
    pub bins: Vec<String>,
    pub script: Script,
    pub routes: Vec<Route>,
    pub response_headers: Vec<(String, String)>,
    /// Query parameters with the values that requests must have.
    pub require_secret: Vec<(String, Secret)>,
    pub verifier: Option<Verifier>,
    /// Which captures `--exec` gets, or are forwarded later.
    pub exec_filter: Expectation,
    pub handshakes: Handshakes,
    /// Masks printed captures, all of this listener.
    pub mask: Mask,
    /// Masks the web UI, which also shows captures of other listeners with other required secrets.
    pub page_mask: Mask,
    pub forwarder: Option<Arc<Forwarder>>,
    /// Where captures are forwarded later; `None` without `--forward-later`.
    pub forward_targets: Option<ForwardTargets>,
    /// An origin in lower case, or `*`.
    pub allow_origin: Option<String>,
    pub limits: ListenerLimits,
    pub tls: Option<Tls>,
    /// The token of the web UI and APIs, if they require one: of an exposed listener, or of one with read tokens.
    pub token: Option<Secret>,
    pub read_tokens: Vec<Secret>,
    pub portal_token: Option<Secret>,
}

impl ListenOptions {
    pub fn resolve(args: &ListenArgs, ctx: &Context<'_>) -> Result<ListenOptions, Failure> {
        let addr = listen_addr(args)?;
        if args.portal.emulate_portal && args.bin.iter().any(|bin| bin == PORTAL_BIN) {
            let conflict = format!("`--bin {PORTAL_BIN}` cannot be used with `--emulate-portal`");
            return Err(Failure::usage(conflict)
                .hint("the emulated portal serves all paths below /admin; rename the bin"));
        }
        let forwarder = Forwarder::new(args, ctx)?.map(Arc::new);
        if let Some(forwarder) = &forwarder {
            ctx.refuse(&RESPONSE_OPTIONS, |flag| {
                Failure::usage(format!(
                    "`{flag}` and `--forward-to` cannot be used together"
                ))
                .hint("with `--forward-to` the responses are those of the target")
            })?;
            refuse_loop(addr, forwarder.base())?;
        }
        let forward_targets = forward_later::targets(args, ctx)?;
        for base in forward_targets.iter().flat_map(ForwardTargets::bases) {
            refuse_loop(addr, base)?;
        }
        let script = args.responses.respond.parse::<Script>().map_err(|e| {
            Failure::usage(format!("invalid value of `--respond`: {e}"))
                .hint("for example `--respond 503x3,200`: three times 503, then always 200")
        })?;
        let require_secret = required_secrets(&args.responses.require_secret, ctx)?;
        let (names, values): (Vec<_>, Vec<_>) = require_secret.iter().cloned().unzip();
        let page_mask = Mask {
            values,
            ..ctx.mask(false)?
        };
        let mask = Mask {
            required: Some(names.into_iter().collect()),
            reveal: args.reveal,
            ..page_mask.clone()
        };
        let tls = match (&args.tls.tls_cert, &args.tls.tls_key) {
            (Some(cert), Some(key)) => {
                Some(Tls::load(cert, key).map_err(|e| Failure::from_error(Kind::Error, e))?)
            }
            _ => None,
        };
        let response_headers = &args.responses.response_header;
        let read_tokens = read_tokens(&args.read_token, ctx)?;
        Ok(ListenOptions {
            addr,
            bins: match args.bin.is_empty() {
                true => vec![INBOX.to_owned()],
                false => args.bin.clone(),
            },
            script,
            routes: settings::routes(&args.responses.route)?,
            response_headers: response_headers
                .iter()
                .map(|text| parse_header(text))
                .collect::<Result<_, _>>()?,
            require_secret,
            verifier: signing::verifier(&args.signatures, ctx)?,
            exec_filter: exec_filter(args, ctx)?,
            handshakes: settings::handshakes(&args.handshakes, &args.signatures, ctx)?,
            mask,
            page_mask,
            forwarder,
            forward_targets,
            allow_origin: match args.responses.allow_origin.as_deref() {
                None | Some("") => None,
                Some(text) => Some(allowed_origin(text)?),
            },
            limits: limits(args),
            tls,
            token: (!addr.ip().is_loopback() || !read_tokens.is_empty()).then(random_token),
            read_tokens,
            portal_token: portal_token(args, addr, ctx)?,
        })
    }
}

fn listen_addr(args: &ListenArgs) -> Result<SocketAddr, Failure> {
    let typed = args.addr.unwrap_or_default();
    if typed.port.is_some() && args.port.is_some() {
        return Err(Failure::usage("ADDR and `--port` both give a port")
            .hint(format!("the default is 127.0.0.1:{DEFAULT_PORT}")));
    }
    let host = match args.expose {
        true => Ipv4Addr::UNSPECIFIED,
        false => Ipv4Addr::LOCALHOST,
    };
    let addr = typed.or((host, args.port.unwrap_or(DEFAULT_PORT)));
    if !addr.ip().is_loopback() && !args.expose {
        return Err(
            Failure::usage(format!("other machines can reach `{addr}`: pass `--expose` to allow it"))
                .hint("they can then send requests; the web UI and the APIs require a token that is printed at start"),
        );
    }
    Ok(addr)
}

fn portal_token(
    args: &ListenArgs,
    addr: SocketAddr,
    ctx: &Context<'_>,
) -> Result<Option<Secret>, Failure> {
    let text = args.portal.require_portal_token.as_deref();
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        if args.portal.emulate_portal && !addr.ip().is_loopback() {
            return Err(Failure::usage(
                "`--emulate-portal` on a non-loopback address requires `--require-portal-token`",
            )
            .hint("for example `--require-portal-token @env:VARIABLE`"));
        }
        return Ok(None);
    };
    settings::token("--require-portal-token", text, &ctx.env).map(Some)
}

fn read_tokens(texts: &[String], ctx: &Context<'_>) -> Result<Vec<Secret>, Failure> {
    let given = texts.iter().filter(|text| !text.is_empty());
    given
        .map(|text| {
            let token = settings::token("--read-token", text, &ctx.env)?;
            match is_read_token(token.expose()) {
                true => Ok(token),
                false => Err(Failure::usage(format!(
                    "the value of `--read-token` must have at least {MIN_TOKEN_LENGTH} characters, only letters, digits and `-._~+/=`"
                ))
                .hint("`openssl rand -hex 16` prints a new one")),
            }
        })
        .collect()
}

/// As after `Bearer` (RFC 6750, 2.1), which also is a valid value of a cookie.
fn is_read_token(token: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    token.len() >= MIN_TOKEN_LENGTH && token.bytes().all(is_allowed)
}

/// Refuses a forward target that is this listener, as far as the address tells.
fn refuse_loop(addr: SocketAddr, base: &BaseUrl) -> Result<(), Failure> {
    let is_here = match base.host().trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(ip) => {
            ip == addr.ip()
                || ip.is_unspecified() && addr.ip().is_loopback()
                || ip.is_loopback() && addr.ip().is_unspecified()
        }
        Err(_) => base.is_loopback() && (addr.ip().is_loopback() || addr.ip().is_unspecified()),
    };
    if is_here && base.port() == Some(addr.port()) {
        return Err(
            Failure::usage(format!("`--forward-to {base}` leads back to this listener"))
                .hint("use the port of the target, or listen on another port with `--port N`"),
        );
    }
    Ok(())
}

fn exec_filter(args: &ListenArgs, ctx: &Context<'_>) -> Result<Expectation, Failure> {
    let exec = &args.exec;
    let selects = !exec.content.is_empty() || exec.event_type.is_some() || exec.action.is_some();
    if args.command.exec.is_none() && !args.forward_later.forward_later && selects {
        return Err(Failure::usage(
            "`--type`, `--action`, `--match`, `--contains`, `--path` and `--header` require `--exec` or `--forward-later`",
        )
        .hint("they select the captures that the command gets, or that are forwarded"));
    }
    if exec.exec_response && args.forward_later.forward_later {
        let conflict = "`--exec-response` and `--forward-later` cannot be used together";
        return Err(Failure::usage(conflict));
    }
    if exec.exec_response && ctx.is_flag("forward_to") {
        let conflict = "`--exec-response` and `--forward-to` cannot be used together";
        return Err(Failure::usage(conflict));
    }
    Ok(Expectation {
        event_type: exec.event_type.clone(),
        action: exec.action.clone(),
        ..exec.content.expectation(ctx)?
    })
}

fn allowed_origin(text: &str) -> Result<String, Failure> {
    if text == "*" {
        return Ok(text.to_owned());
    }
    parse_origin(text).ok_or_else(|| {
        Failure::usage(format!(
            "invalid `--allow-origin {text}`: an origin is like http://localhost:3000, without a path"
        ))
        .hint("`*` allows all origins")
    })
}

fn required_secrets(texts: &[String], ctx: &Context<'_>) -> Result<Vec<(String, Secret)>, Failure> {
    let sources = settings::secrets("--require-secret", texts, &ctx.env)?;
    sources
        .into_iter()
        .map(|(name, source)| match source.resolve(&ctx.env) {
            Ok(secret) => Ok((name, secret)),
            Err(e) => Err(Failure::from_error(Kind::Error, e)
                .context(format!("cannot use the required secret `{name}`"))),
        })
        .collect()
}

fn parse_header(text: &str) -> Result<(String, String), Failure> {
    match text.split_once(':') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err(Failure::usage(format!(
            "invalid `--response-header`: expected 'NAME: VALUE', got `{text}`"
        ))),
    }
}

fn limits(args: &ListenArgs) -> ListenerLimits {
    let given = &args.limits;
    let bytes = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
    let default = ListenerLimits::default();
    ListenerLimits {
        head_bytes: bytes(given.max_head),
        headers: given.max_headers as usize,
        body_bytes: bytes(given.max_body),
        buffered_bytes: bytes(given.max_buffered),
        connections: given.max_connections.unwrap_or(default.connections),
        head_deadline: given.read_timeout,
        body_deadline: given.read_timeout,
    }
}

/// The limits as the banner shows them.
pub fn describe_limits(limits: &ListenerLimits, keep: u32) -> String {
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
