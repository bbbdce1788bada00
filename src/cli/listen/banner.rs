//! What is said when it begins to listen: where, what it answers, and what its limits are.

use std::net::SocketAddr;

use super::args::{ListenArgs, ListenFormat};
use super::plan::{Plan, limits_in_words};
use crate::cli::context::Context;
use crate::env::{host_name, outward_address};
use crate::error::Failure;
use crate::output::json;
use crate::secret::Secret;

/// Where it can be reached.
pub struct Place {
    /// Without a final slash.
    pub url: String,
    /// The port, found if any was good.
    pub port: u16,
    /// The page, with the token if one is asked for.
    pub page: String,
}

impl Place {
    /// The place of a catcher that answers at `url`.
    pub fn new(url: String, port: u16, token: Option<&Secret>) -> Place {
        let token = token
            .map(|token| format!("?token={}", token.expose()))
            .unwrap_or_default();
        Place {
            page: format!("{url}/_hookfire/{token}"),
            url,
            port,
        }
    }
}

/// Says it: for people on stderr, for scripts as the first line of stdout.
///
/// # Errors
/// When stdout cannot be written.
pub fn show(
    args: &ListenArgs,
    ctx: &Context<'_>,
    plan: &Plan,
    place: &Place,
    journal: &str,
) -> Result<(), Failure> {
    if args.output == ListenFormat::Ndjson {
        let mut ready =
            serde_json::json!({ "event": "ready", "url": place.url, "port": place.port });
        if plan.token.is_some() {
            ready["page"] = place.page.clone().into();
        }
        ctx.ui.line(&json::compact(&ready))?;
        return Ok(ctx.ui.flush()?);
    }
    let Place { url, page, .. } = place;
    let whom = if plan.token.is_some() {
        format!(" for every machine that reaches {}", plan.addr.ip())
    } else {
        String::new()
    };
    let bins = plan
        .bins
        .iter()
        .enumerate()
        .map(|(index, name)| match index {
            0 => format!("{name} ({url}/)"),
            _ => format!("{name} ({url}/{name})"),
        });
    let answers = match &plan.forwarder {
        Some(forwarder) => format!(
            "what {} answers",
            crate::listener::Upstream::name(forwarder.as_ref())
        ),
        None => args.answers.respond.clone(),
    };
    let others = match elsewhere(plan, place).as_slice() {
        [] => None,
        urls => Some(format!("  others:  {}", urls.join(" or "))),
    };
    let page_line = format!("  page:    {page}");
    if plan.token.is_some() && ctx.ui.is_quiet() {
        // The token stands nowhere else.
        ctx.ui.status_always(page_line.trim_start());
    }
    let lines = [format!("listening on {url}{whom}"), page_line];
    let rest = [
        format!("  bins:    {}", bins.collect::<Vec<_>>().join(", ")),
        format!("  answers: {answers}"),
        format!(
            "  limits:  {}",
            limits_in_words(&plan.limits, args.limits.keep)
        ),
        format!("  journal: {journal}"),
        "Ctrl-C ends it".to_owned(),
    ];
    lines
        .iter()
        .chain(&others)
        .chain(&rest)
        .for_each(|line| ctx.ui.status(line));
    Ok(())
}

/// The URLs by which other machines may reach it, if any may: by its address, and by its name where they know that.
fn elsewhere(plan: &Plan, place: &Place) -> Vec<String> {
    let bound = plan.addr.ip();
    if bound.is_loopback() {
        return Vec::new();
    }
    let scheme = place
        .url
        .split_once("://")
        .map_or("http", |(scheme, _)| scheme);
    let address = if bound.is_unspecified() {
        outward_address(bound)
    } else {
        None
    };
    let by_address = address.map(|ip| format!("{scheme}://{}", SocketAddr::new(ip, place.port)));
    let by_name = host_name().map(|name| format!("{scheme}://{name}:{}", place.port));
    by_address.into_iter().chain(by_name).collect()
}
