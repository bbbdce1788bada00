//! The options of `listen`, decided: everything that can be wrong with them is found before anything is bound or made.

use std::net::SocketAddr;
use std::sync::Arc;

use super::args::ListenArgs;
use super::forward::Forwarder;
use crate::capture::{INBOX, Mask};
use crate::catcher::{Limits, Script, Tls, random_token};
use crate::cmd::address::DEFAULT_PORT;
use crate::cmd::context::Context;
use crate::failure::{Failure, Kind};
use crate::secret::{Secret, SecretSource};
use crate::settings;
use crate::text;

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
    /// What is hidden where captures are shown.
    pub mask: Mask,
    /// Where requests go on to.
    pub forwarder: Option<Arc<Forwarder>>,
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
        let token = (!addr.ip().is_loopback())
            .then(random_token)
            .transpose()
            .map_err(|e| Failure::from_error(Kind::Error, e))?;
        let script = args.answers.respond.parse::<Script>();
        let require_secret = required(&args.answers.require_secret, ctx)?;
        let mut mask = ctx.mask(args.reveal)?;
        mask.values = require_secret.iter().map(|(_, value)| value.clone()).collect();
        mask.required = Some(require_secret.iter().map(|(name, _)| name.clone()).collect());
        let tls = match (&args.tls.tls_cert, &args.tls.tls_key) {
            (Some(cert), Some(key)) => Some(Tls::load(cert, key).map_err(|e| Failure::from_error(Kind::Error, e))?),
            _ => None,
        };
        Ok(Plan {
            addr,
            bins: if args.bin.is_empty() { vec![INBOX.to_owned()] } else { args.bin.clone() },
            script: script
                .map_err(|e| Failure::from_error(Kind::Usage, anyhow::Error::from(e).context("`--respond`")))?,
            response_headers: args.answers.response_header.iter().map(|text| header(text)).collect::<Result<_, _>>()?,
            require_secret,
            mask,
            forwarder: Forwarder::of(args, ctx)?.map(Arc::new),
            limits: limits(args),
            tls,
            token,
            portal_token: portal_token(args, addr, ctx)?,
        })
    }
}

fn addr(args: &ListenArgs) -> Result<SocketAddr, Failure> {
    let typed = args.addr.unwrap_or_default().with_port(args.port).ok_or_else(|| {
        Failure::usage("ADDR and `--port` name two ports; one is enough")
            .hint(format!("`hookfire listen` alone listens on 127.0.0.1:{DEFAULT_PORT}"))
    })?;
    let addr = typed.or_port(DEFAULT_PORT);
    if !addr.ip().is_loopback() && !args.expose {
        return Err(Failure::usage(format!("`{addr}` lets other machines in, which `--expose` must allow")).hint(
            "anyone who reaches it can then send requests; page and API ask for a token that is shown at the start",
        ));
    }
    Ok(addr)
}

fn portal_token(args: &ListenArgs, addr: SocketAddr, ctx: &Context<'_>) -> Result<Option<Secret>, Failure> {
    let text = args.portal.require_portal_token.as_deref().filter(|text| !text.is_empty());
    let Some(text) = text else {
        return match args.portal.emulate_portal && !addr.ip().is_loopback() {
            false => Ok(None),
            true => Err(Failure::usage("a tenant that other machines reach asks for a token")
                .hint("give one with `--require-portal-token @env:VARIABLE`")),
        };
    };
    let token = SecretSource::parse(text).anchored(&ctx.env.folder()).resolve(&ctx.env);
    token.map(Some).map_err(|e| {
        Failure::from_error(Kind::Error, anyhow::Error::from(e).context("no usable value for the portal's token"))
    })
}

fn required(texts: &[String], ctx: &Context<'_>) -> Result<Vec<(String, Secret)>, Failure> {
    let sources = settings::secrets("--require-secret", texts, &ctx.env)?;
    sources
        .into_iter()
        .map(|(name, source)| match source.resolve(&ctx.env) {
            Ok(secret) => Ok((name, secret)),
            Err(e) => {
                let words = format!("no usable value for the required secret `{name}`");
                Err(Failure::from_error(Kind::Error, anyhow::Error::from(e).context(words)))
            }
        })
        .collect()
}

fn header(text: &str) -> Result<(String, String), Failure> {
    match text.split_once(':') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.trim().to_owned())),
        _ => Err(Failure::usage(format!("`--response-header` takes 'NAME: VALUE'; `{text}` is none"))),
    }
}

fn limits(args: &ListenArgs) -> Limits {
    let given = &args.limits;
    let bytes = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
    let default = Limits::default();
    Limits {
        head_bytes: bytes(given.max_head),
        body_bytes: bytes(given.max_body),
        connections: given.max_connections.unwrap_or(default.connections),
        head_deadline: given.read_timeout,
        body_deadline: given.read_timeout,
    }
}

/// The limits in words, as the banner states them.
pub fn limits_in_words(limits: &Limits, keep: u32) -> String {
    format!(
        "head {}, body {}, {} for each, {} connections; the newest {keep} of a bin are kept",
        text::size(limits.head_bytes as u64),
        text::size(limits.body_bytes as u64),
        crate::time::compact(limits.head_deadline),
        limits.connections,
    )
}
