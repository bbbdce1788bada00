//! `hookfire demo`: sends an event to a failing endpoint on this machine, and redelivers it.
//!
//! Runs this program with a journal in a temporary folder against a listener on loopback, so that users see real output.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, mpsc};

use clap::Args;
use tempfile::TempDir;

use super::context::Context;
use crate::capture::{Body, Capture};
use crate::error::{Failure, Kind};
use crate::event::pretty;
use crate::exit::Exit;
use crate::listener::{Listener, Script, Setup};
use crate::output::Tone;
use crate::secret::safe_url::masked;

/// The value of the secret of the demo's endpoint.
const SECRET: &str = "a-secret-that-no-output-shows";

/// What each step shows, its command, and its exit code.
const STEPS: [(&str, &str, Exit); 4] = [
    (
        "Send an event. It is recorded, sent, refused, and sent once more, as the endpoint's `retry` says.",
        "fire application created -e demo --set name=Demo",
        Exit::Refused,
    ),
    (
        "The delivery is in the failed list.",
        "failed list",
        Exit::Done,
    ),
    (
        "The endpoint works again. Send all failed deliveries again.",
        "retry --all",
        Exit::Done,
    ),
    ("The failed list is empty now.", "failed list", Exit::Done),
];

/// Watch a webhook fail, be kept and be delivered, in seconds and all on this machine
///
/// Starts a listener on loopback that responds 503 twice, sends an event to it, lists the failed delivery, sends it again,
/// and shows what the endpoint received. Each step shows its command. Uses a temporary journal and configuration.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  $ hookfire demo")]
pub struct DemoArgs {}

pub fn run(_: &DemoArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let folder = temporary_folder().map_err(|e| failed("a temporary folder", e))?;
    let script = "503x2,200".parse::<Script>().map_err(Failure::usage)?;
    let (sender, captures) = mpsc::channel();
    let setup = Setup::new(
        SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        script,
        Arc::new(sender),
    );
    let listener = Listener::bind(setup).map_err(|e| failed("the listener", e))?;
    let config = format!(
        "[endpoints.demo]\nurl = \"{}/3scale\"\nsecrets = {{ token = {{ env = \"DEMO_TOKEN\" }} }}\n\
         retry = {{ retries = 1, interval = \"500ms\" }}\n",
        listener.url()
    );
    std::fs::write(folder.path().join("config.toml"), &config)
        .map_err(|e| failed("the configuration", e))?;

    let at = listener.url();
    title(
        ctx,
        &format!("An endpoint in config.toml, at {at}. It will respond 503 twice."),
    )?;
    indented(ctx, &config)?;
    for (words, command, expected) in STEPS {
        title(ctx, words)?;
        hookfire(ctx, folder.path(), command, expected)?;
    }

    drop(listener);
    let received: Vec<(Capture, Body)> = captures.iter().collect();
    title(
        ctx,
        "The endpoint received three requests with the same webhook-id.",
    )?;
    for (capture, _) in &received {
        indented(ctx, &summary(capture))?;
    }
    if let Some((_, body)) = received.last() {
        ctx.ui.line("")?;
        let document = pretty(&body.bytes).map_err(|e| failed("the received event", e))?;
        indented(ctx, &document)?;
    }
    ctx.ui.flush()?;
    let responses = received
        .iter()
        .map(|(capture, _)| capture.response.status.unwrap_or(0));
    match responses.collect::<Vec<_>>()[..] {
        [503, 503, 200] => Ok(Exit::Done),
        ref other => Err(Failure::new(
            Kind::Error,
            format!("unexpected responses {other:?}; expected [503, 503, 200]"),
        )),
    }
}

fn title(ctx: &Context<'_>, words: &str) -> Result<(), Failure> {
    let words = ctx.ui.toned(Tone::Strong, &format!("# {words}"));
    Ok(ctx.ui.line(&format!("\n{words}"))?)
}

fn indented(ctx: &Context<'_>, text: &str) -> Result<(), Failure> {
    for line in text.lines() {
        ctx.ui.line(&format!("    {line}"))?;
    }
    Ok(())
}

/// Prints a command and runs it.
fn hookfire(
    ctx: &Context<'_>,
    folder: &Path,
    command: &str,
    expected: Exit,
) -> Result<(), Failure> {
    ctx.ui
        .line(&ctx.ui.toned(Tone::Hint, &format!("$ hookfire {command}")))?;
    ctx.ui.flush()?;
    let mut run = Command::new(program());
    // The user's own settings must not change what the demo shows.
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HOOKFIRE_"))
    {
        run.env_remove(name);
    }
    // Hints would be about a journal that is deleted at the end.
    run.arg("--no-hints")
        .args(command.split(' '))
        .env("HOOKFIRE_JOURNAL", folder.join("journal.db"))
        .env("HOOKFIRE_CONFIG", folder.join("config.toml"))
        .env("DEMO_TOKEN", SECRET)
        .stdin(Stdio::piped());
    let status = run.status().map_err(|e| failed("the step", e))?;
    if status.code() == Some(i32::from(expected.code())) {
        return Ok(());
    }
    Err(Failure::new(
        Kind::Error,
        format!("`hookfire {command}` ended unexpectedly with {status}"),
    ))
}

/// In the current directory if there is no directory for temporary files, as in a container with only this program.
fn temporary_folder() -> io::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("hookfire-demo-");
    match builder.tempdir() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => builder.tempdir_in("."),
        made => made,
    }
}

/// This program's file. Without `/proc`, only the name by which it was started is known.
fn program() -> PathBuf {
    let started_as = || std::env::args_os().next().unwrap_or_default().into();
    std::env::current_exe().unwrap_or_else(|_| started_as())
}

fn summary(capture: &Capture) -> String {
    let id = String::from_utf8_lossy(capture.header("webhook-id").unwrap_or_default());
    let (method, target) = (capture.method(), masked(capture.head.target()));
    let response = capture.response.status.unwrap_or(0);
    format!("{method} {target}  webhook-id: {id}  response {response}")
}

fn failed(what: &str, error: impl Into<anyhow::Error>) -> Failure {
    let context = format!("the demo cannot continue: {what} failed");
    Failure::from_error(Kind::Error, error.into().context(context))
}
