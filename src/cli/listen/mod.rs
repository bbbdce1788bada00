//! `hookfire listen`: captures webhooks into the journal, prints them, and serves the web UI.

mod args;
mod banner;
mod browser;
mod forward;
pub mod forward_later;
mod options;
mod printer;
mod ready_file;

use std::sync::{Arc, Mutex};

use tempfile::TempPath;

use super::capture_feed::{ListenerFeed, WhenFull};
use super::context::Context;
use super::exec::Runner;
use super::exec::queue::ExecQueue;
use super::exec::responder::Responder;
use super::forward_later::ForwardThread;
use super::forward_targets::report_waiting;
use super::listen_addr::bind_failure;
use super::settings;
use super::signature_feed::{Explainer, SignatureFeed};
use super::signing;
use crate::config::SettingSource;
use crate::engine::plan::Clients;
use crate::engine::resend::KnownTargets;
use crate::error::{Failure, Kind};
use crate::exit::Exit;
use crate::journal::{CaptureStore, Journal, JournalCaptureStore};
use crate::listener::{Listener, Notifier, Setup, Upstream};
use crate::secret::Redactor;
use crate::time::{Clock as _, compact};
use crate::web::{Access, Auth, Sending, WebOptions, web_ui};
pub use args::ListenArgs;
use banner::ListenUrls;
use options::ListenOptions;
use printer::Printer;
use ready_file::ReadyFile;

pub fn run(args: &ListenArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let mut options = ListenOptions::resolve(args, ctx)?;
    if let Some(path) = &args.ending.ready_file {
        ReadyFile::check(path)?;
    }
    let journal = ctx.journal()?;
    match options.forward_targets {
        Some(_) => ctx.catch_interrupts_and_drain()?,
        None => ctx.catch_interrupts()?,
    }
    let (mut listener, mut feed, exec, forward) = start(args, ctx, &options, &*journal)?;
    options.limits.connections = listener.max_connections();
    let urls = ListenUrls::new(&listener, options.token.as_ref());
    let _ready_file = args
        .ending
        .ready_file
        .as_deref()
        .map(|path| ReadyFile::write(path, &urls.url))
        .transpose()?;
    banner::print(
        args,
        ctx,
        &options,
        &urls,
        &journal.path().display().to_string(),
    )?;
    // The file is deleted when the listener ends.
    let _private_page = args.ending.open.then(|| open_page(ctx, &options, &urls));
    let wanted = args.ending.exit_after;
    let mut printer = Printer::new(
        ctx,
        options.mask.clone(),
        args.output.into(),
        wanted,
        exec,
        forward,
    );
    printer.run(&mut feed, &args.ending)?;
    if ctx.clock.interrupted() {
        listener.stop();
    } else {
        listener.drain(|| ctx.clock.interrupted());
    }
    printer.finish(&mut feed)?;
    if let Some(targets) = &options.forward_targets {
        report_waiting(ctx, &*journal, targets, "the listener")?;
    }
    match (wanted, args.ending.for_) {
        (Some(wanted), Some(duration))
            if printer.captured() < wanted && !ctx.clock.interrupted() =>
        {
            let (captured, duration) = (printer.captured(), compact(duration));
            Err(Failure::new(
                Kind::Unmet,
                format!("{captured} of {wanted} requests arrived within {duration}"),
            ))
        }
        _ => Ok(Exit::Done),
    }
}

/// Whether no option says how to respond, so that a browser need not get such a response.
fn has_plain_responses(args: &ListenArgs, ctx: &Context<'_>) -> bool {
    let responses = &args.responses;
    ctx.source("respond") == SettingSource::Default
        && responses.route.is_empty()
        && !args.exec.exec_response
        && responses.response_body.is_none()
        && responses.forward_to.is_empty()
}

/// Masks what a command writes: all secrets that this listener knows.
fn redactor(
    args: &ListenArgs,
    options: &ListenOptions,
    ctx: &Context<'_>,
) -> Result<Redactor, Failure> {
    let mut redactor = Redactor::new(&options.page_mask.values);
    redactor.add(&options.token);
    redactor.add(&options.read_tokens);
    redactor.add(&options.portal_token);
    redactor.add(&options.handshakes.secret);
    if let Some(name) = args
        .signatures
        .verify
        .as_deref()
        .filter(|_| options.verifier.is_some())
    {
        let named = signing::named(name, ctx.config()?)?;
        let texts = &args.signatures.signing_secret;
        redactor.add(&signing::secrets(texts, Some(&named), ctx)?);
    }
    Ok(redactor)
}

/// A running listener, the feed of its captures, and what is done with them in the background.
type Started<'a> = (
    Listener,
    SignatureFeed<ListenerFeed<'a>>,
    Option<ExecQueue>,
    Option<ForwardThread>,
);

/// Starts a listener with its bins.
fn start<'a>(
    args: &ListenArgs,
    ctx: &Context<'_>,
    options: &ListenOptions,
    feed_journal: &'a dyn Journal,
) -> Result<Started<'a>, Failure> {
    let journal = ctx.journal()?;
    for bin in &options.bins {
        journal.create_bin(bin, false, ctx.now())?;
    }
    let notifier = Notifier::new();
    let forward = match &options.forward_targets {
        Some(targets) => {
            let rules = (&options.exec_filter, &options.page_mask);
            Some(forward_later::start(
                ctx, args, targets, rules, &*journal, &notifier,
            )?)
        }
        None => None,
    };
    let (forward, forwarding) = forward.unzip();
    let (bin, keep) = (&options.bins[0], args.limits.keep);
    let writer = JournalCaptureStore::start(journal, bin, keep, forwarding)?;
    let explanations = writer.writer();
    let runner = Runner::new(
        &args.command,
        writer.writer(),
        redactor(args, options, ctx)?,
        ctx,
    )?;
    let responds = args.exec.exec_response;
    let forwards = options.forwarder.is_some() || responds;
    let (captures, feed) = ListenerFeed::new(writer, feed_journal, WhenFull::ReadLater, forwards);
    let explainer = options.verifier.clone().map(|verifier| Explainer {
        verifier,
        writer: explanations,
        notifier: notifier.clone(),
    });
    let feed = SignatureFeed::new(feed, explainer);
    // An unknown home directory means no default file.
    let config_path = ctx.config_path().ok();
    let transport = settings::transport(&settings::with_endpoint(args.transport.settings(), None));
    let access = match &options.token {
        Some(token) => Access::Tokens {
            token: token.clone(),
            read_tokens: options.read_tokens.clone(),
        },
        None => Access::Loopback,
    };
    let web = web_ui(WebOptions {
        journal: Mutex::new(ctx.journal()?),
        notifier: notifier.clone(),
        sending: Sending {
            journal: feed_journal.location().clone(),
            config_path: config_path.map(|(path, source)| (path, source != SettingSource::Default)),
            transport,
            mask: options.page_mask.clone(),
            known: match &options.forward_targets {
                Some(targets) => targets.known.clone(),
                None => KnownTargets::default(),
            },
            clients: Mutex::new(Clients::new(ctx.clock.interrupt_flag())),
            clock: ctx.clock.clone(),
        },
        auth: Auth::new(access, options.allow_origin.clone()),
        default_bin: options.bins[0].clone(),
        mask: options.page_mask.clone(),
        program: ctx.program(),
        emulate_portal: args.portal.emulate_portal,
        portal_token: options.portal_token.clone(),
        redirects_browsers: has_plain_responses(args, ctx),
    });
    let (filter, jobs) = (&options.exec_filter, args.exec.exec_jobs);
    let forwarder = options.forwarder.clone();
    let mut upstream = forwarder.map(|forwarder| forwarder as Arc<dyn Upstream>);
    let mut exec = None;
    let store: Arc<dyn CaptureStore> = match runner {
        None => Arc::new(captures),
        Some(runner) if responds => {
            let headers = &options.response_headers;
            let responder = Responder::new(runner, filter.clone(), jobs, headers);
            upstream = Some(Arc::new(responder));
            Arc::new(captures)
        }
        Some(runner) => {
            let journals = (0..jobs).map(|_| ctx.journal());
            let journals = journals.collect::<Result<_, _>>()?;
            let queue = ExecQueue::start(&runner, filter, journals, &notifier);
            let store = Arc::new(queue.feed(captures));
            exec = Some(queue);
            store
        }
    };
    let setup = Setup {
        limits: options.limits,
        response_body: args.responses.response_body.clone().map(String::into_bytes),
        response_headers: options.response_headers.clone(),
        status_in_path: args.responses.status_in_path,
        require_secret: options.require_secret.clone(),
        routes: options.routes.clone(),
        // Only what gets a 2xx is forwarded, and the response of a bin is known after the capture is stored.
        overrides_bins: forward.is_some() || ctx.source("respond") != SettingSource::Default,
        verifier: options.verifier.clone(),
        handshakes: options.handshakes.clone(),
        web_tokens: options
            .token
            .iter()
            .chain(&options.read_tokens)
            .cloned()
            .collect(),
        upstream,
        forwards_later: forward.is_some(),
        web: Some(web),
        notifier,
        tls: options.tls.clone(),
        ..Setup::new(options.addr, options.script.clone(), store)
    };
    let listener = Listener::bind(setup).map_err(|e| {
        bind_failure(e, |port| {
            format!("`hookfire listen {port}`, or any free one with `--port 0`")
        })
    })?;
    Ok((listener, feed, exec, forward))
}

/// Opens the web UI in a browser. An address with a token is opened through a temporary file, which must exist for a while.
fn open_page(ctx: &Context<'_>, options: &ListenOptions, urls: &ListenUrls) -> Option<TempPath> {
    let page = &urls.page;
    let opened = match &options.token {
        Some(_) => browser::open_privately(page).map(Some),
        None => browser::open(page).map(|()| None),
    };
    opened.unwrap_or_else(|e| {
        ctx.ui.warning(&format!(
            "cannot open a browser ({e}); the address of the web UI is {page}"
        ));
        None
    })
}
