//! `hookfire demo`: the whole loop on this machine alone, in seconds.
//!
//! It runs the real program on a real journal, both in a temporary folder, against a catcher on loopback, so that what it
//! shows is what a user would see.

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

/// The endpoint that the demo configures; the secret's value is made up for it.
const SECRET: &str = "a-secret-that-no-output-shows";

/// See a webhook refused, kept, and delivered: the whole loop in seconds, on this machine alone
///
/// Starts a catcher on loopback that refuses twice, fires an event at it, lists what failed, sends it again, and shows what
/// the endpoint received. Each step shows the command for it. Uses a temporary journal and configuration, and no network.
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
        .map_err(|e| failed("the catcher's script", e))?;
    let (keeper, captures) = mpsc::channel();
    let setup = Setup::new(
        SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        script,
        Arc::new(keeper),
    );
    let catcher = Listener::bind(setup).map_err(|e| failed("the catcher", e))?;
    let config = format!(
        "[endpoints.demo]\nurl = \"{}/3scale\"\nsecrets = {{ token = {{ env = \"DEMO_TOKEN\" }} }}\n\
         retry = {{ retries = 1, interval = \"500ms\" }}\n",
        catcher.url()
    );
    let config_path = folder.path().join("config.toml");
    std::fs::write(&config_path, &config).map_err(|e| failed("the configuration", e))?;

    title(
        ctx,
        &format!(
            "An endpoint, in config.toml. It listens on {} and will refuse twice.",
            catcher.url()
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
        "Fire an event at it. It is written down, sent, refused, and sent again by the rule.",
        "fire application created -e demo --set name=Demo",
        Exit::Refused,
    )?;
    step(
        "Nothing is lost: it is in the failed list.",
        "failed list",
        Exit::Done,
    )?;
    step(
        "The endpoint has recovered. Send everything that failed again.",
        "retry --all",
        Exit::Done,
    )?;
    step("Now nothing is left.", "failed list", Exit::Done)?;

    drop(catcher);
    let received: Vec<(Capture, Body)> = captures.iter().collect();
    title(
        ctx,
        "What the endpoint received: three requests, one webhook-id.",
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

/// Shows a command and runs it.
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
    // Nothing of the user's own settings may change what the demo shows.
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
        format!("`hookfire {command}` ended with {status}, which it should not"),
    ))
}

fn summary(capture: &Capture) -> String {
    let id = String::from_utf8_lossy(capture.header("webhook-id").unwrap_or_default());
    let answer = capture
        .response
        .status
        .map_or_else(|| "no answer".to_owned(), |status| status.to_string());
    format!(
        "{} {}  webhook-id: {id}  answered {answer}",
        capture.method(),
        masked(capture.head.target())
    )
}

fn check(received: &[(Capture, Body)]) -> Result<Exit, Failure> {
    let answers: Vec<Option<u16>> = received
        .iter()
        .map(|(capture, _)| capture.response.status)
        .collect();
    if answers == [Some(503), Some(503), Some(200)] {
        return Ok(Exit::Done);
    }
    Err(Failure::new(
        Kind::Error,
        format!("the endpoint's answers were {answers:?}, which they should not be"),
    ))
}

fn failed(what: &str, error: impl Into<anyhow::Error>) -> Failure {
    Failure::from_error(
        Kind::Error,
        error
            .into()
            .context(format!("the demo cannot go on: {what} failed")),
    )
}
