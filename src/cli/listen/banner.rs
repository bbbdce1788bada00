//! The banner printed at start: URLs, bins and the journal; with `-v`, also responses and limits.

use std::net::SocketAddr;

use super::args::{ListenArgs, ListenFormat};
use super::options::{ListenOptions, describe_limits};
use crate::cli::context::Context;
use crate::env::{host_name, outward_address};
use crate::error::Failure;
use crate::listener::{Listener, Upstream as _};
use crate::output::json;
use crate::secret::Secret;

/// Where a listener can be reached.
pub struct ListenUrls {
    /// The address of the listener, without a final slash.
    pub url: String,
    pub port: u16,
    /// The web UI, with the token if one is required.
    pub page: String,
}

impl ListenUrls {
    pub fn new(listener: &Listener, token: Option<&Secret>) -> ListenUrls {
        let url = listener.url();
        let query = token.map(|token| format!("?token={}", token.expose()));
        ListenUrls {
            page: format!("{url}/_hookfire/{}", query.unwrap_or_default()),
            url,
            port: listener.addr().port(),
        }
    }
}

/// Prints the banner: text on stderr, or the first JSON line of stdout.
pub fn print(
    args: &ListenArgs,
    ctx: &Context<'_>,
    options: &ListenOptions,
    urls: &ListenUrls,
    journal: &str,
) -> Result<(), Failure> {
    let ListenUrls { url, port, page } = urls;
    let has_token = options.token.is_some();
    if args.output == ListenFormat::Ndjson {
        let mut ready = serde_json::json!({ "event": "ready", "url": url, "port": port });
        if has_token {
            ready["page"] = page.clone().into();
        }
        ctx.ui.line(&json::compact(&ready))?;
        return Ok(ctx.ui.flush()?);
    }
    if has_token && ctx.ui.is_quiet() {
        // The token is printed nowhere else.
        ctx.ui.status_always(&format!("web UI:  {page}"));
    }
    let exposed = match !options.addr.ip().is_loopback() {
        true => format!(" for all machines that reach {}", options.addr.ip()),
        false => String::new(),
    };
    let bins = options.bins.iter().enumerate().map(|(index, name)| {
        let path = if index == 0 { "" } else { name };
        format!("{name} ({url}/{path})")
    });
    let bins: Vec<_> = bins.collect();
    let responses = match &options.forwarder {
        Some(forwarder) => format!("those of {}", forwarder.name()),
        None => args.responses.respond.clone(),
    };
    ctx.ui
        .status(&format!("listening on {url}{exposed} (Ctrl-C stops)"));
    ctx.ui.status(&format!("  web UI:  {page}"));
    let others = other_urls(options, urls);
    if !others.is_empty() {
        ctx.ui
            .status(&format!("  others:  {}", others.join(" or ")));
    }
    ctx.ui.status(&format!("  bins:    {}", bins.join(", ")));
    if args.portal.emulate_portal {
        ctx.ui.status(&format!("  portal:  {url} (admin API)"));
    }
    if let Some(targets) = &options.forward_targets {
        let described = targets.described();
        ctx.ui.status(&format!("  forward: {described} (later)"));
    }
    ctx.ui.status(&format!("  journal: {journal}"));
    ctx.ui.detail(1, || format!("responses: {responses}"));
    ctx.ui.detail(1, || {
        let limits = describe_limits(&options.limits, args.limits.keep);
        format!("limits: {limits}")
    });
    Ok(())
}

/// The URLs for other machines of an exposed listener: by address, and by host name.
fn other_urls(options: &ListenOptions, urls: &ListenUrls) -> Vec<String> {
    let bound = options.addr.ip();
    if bound.is_loopback() {
        return Vec::new();
    }
    let scheme = if options.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let address = match bound.is_unspecified() {
        true => outward_address(bound),
        false => None,
    };
    let by_address = address.map(|ip| SocketAddr::new(ip, urls.port).to_string());
    let by_name = host_name().map(|name| format!("{name}:{}", urls.port));
    by_address
        .into_iter()
        .chain(by_name)
        .map(|host| format!("{scheme}://{host}"))
        .collect()
}
