//! `hookfire demo`: sends an event to a failing endpoint on this machine, and redelivers it.
//!
//! Runs this program with a journal in a temporary folder against a listener on loopback, so that users see real output.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, mpsc};

use clap::Args;

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

/// Watch a webhook fail, be kept and be delivered, in seconds and all on this machine
///
/// Starts a listener on loopback that responds 503 twice, sends an event to it, lists the failed delivery, sends it again,
/// and shows what the endpoint received. Each step shows its command. Uses a temporary journal and configuration.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  $ hookfire demo")]
pub struct DemoArgs {}

pub fn run(_: &DemoArgs, ctx: &Context<'_>) -> Result<Exit, Failure> {
    let folder = tempfile::Builder::new()
        .prefix("hookfire-demo-")
        .tempdir()
        .map_err(|e| failed("a temporary folder", e))?;
    let script: Script = "503x2,200"
        .parse()
        .map_err(|e| failed("the response script", e))?;
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
    let config_path = folder.path().join("config.toml");
    std::fs::write(&config_path, &config).map_err(|e| failed("the configuration", e))?;

    title(
        ctx,
        &format!(
            "An endpoint in config.toml, at {}. It will respond 503 twice.",
            listener.url()
        ),
    )?;
    for line in config.lines() {
        ctx.ui.line(&format!("    {line}"))?;
    }
    let step = |words: &str, command: &str, expected: Exit| -> Result<(), Failure> {
        title(ctx, words)?;
        hookfire(ctx, folder.path(), command, expected)
    };
    step(
        "Send an event. It is recorded, sent, refused, and sent once more, as the endpoint's `retry` says.",
        "fire application created -e demo --set name=Demo",
        Exit::Refused,
    )?;
    step(
        "The delivery is in the failed list.",
        "failed list",
        Exit::Done,
    )?;
    step(
        "The endpoint works again. Send all failed deliveries again.",
        "retry --all",
        Exit::Done,
    )?;
    step("The failed list is empty now.", "failed list", Exit::Done)?;

    drop(listener);
    let received: Vec<(Capture, Body)> = captures.iter().collect();
    title(
        ctx,
        "The endpoint received three requests with the same webhook-id.",
    )?;
    for (capture, _) in &received {
        ctx.ui.line(&format!("    {}", summary(capture)))?;
    }
    if let Some((_, body)) = received.last() {
        let document = pretty(&body.bytes).map_err(|e| failed("the received event", e))?;
        ctx.ui.line("")?;
        for line in document.lines() {
            ctx.ui.line(&format!("    {line}"))?;
        }
    }
    ctx.ui.flush()?;
    check(&received)
}

fn title(ctx: &Context<'_>, words: &str) -> Result<(), Failure> {
    Ok(ctx.ui.line(&format!(
        "\n{}",
        ctx.ui.toned(Tone::Strong, &format!("# {words}"))
    ))?)
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
    let program = std::env::current_exe().map_err(|e| failed("this program's own file", e))?;
    let mut run = Command::new(program);
    // The user's own settings must not change what the demo shows.
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HOOKFIRE_"))
    {
        run.env_remove(name);
    }
    run.args(command.split(' '))
        .env("HOOKFIRE_JOURNAL", folder.join("journal.db"))
        .env("HOOKFIRE_CONFIG", folder.join("config.toml"))
        .env("DEMO_TOKEN", SECRET)
        .stdin(Stdio::null());
    let status = run.status().map_err(|e| failed("the step", e))?;
    if status.code() == Some(i32::from(expected.code())) {
        return Ok(());
    }
    Err(Failure::new(
        Kind::Error,
        format!("`hookfire {command}` ended unexpectedly with {status}"),
    ))
}

fn summary(capture: &Capture) -> String {
    let id = String::from_utf8_lossy(capture.header("webhook-id").unwrap_or_default());
    let response = capture
        .response
        .status
        .map_or_else(|| "none".to_owned(), |status| status.to_string());
    format!(
        "{} {}  webhook-id: {id}  response {response}",
        capture.method(),
        masked(capture.head.target())
    )
}

fn check(received: &[(Capture, Body)]) -> Result<Exit, Failure> {
    let responses: Vec<Option<u16>> = received
        .iter()
        .map(|(capture, _)| capture.response.status)
        .collect();
    if responses == [Some(503), Some(503), Some(200)] {
        return Ok(Exit::Done);
    }
    Err(Failure::new(
        Kind::Error,
        format!("unexpected responses {responses:?}; expected [503, 503, 200]"),
    ))
}

fn failed(what: &str, error: impl Into<anyhow::Error>) -> Failure {
    Failure::from_error(
        Kind::Error,
        error
            .into()
            .context(format!("the demo cannot continue: {what} failed")),
    )
}
