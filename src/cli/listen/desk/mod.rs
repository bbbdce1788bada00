//! The desk of `listen`: what its page shows and does, and RequestBin's API, answered from the journal.
//!
//! Asked to, it stands in for a 3scale tenant as well.
//!
//! Deliberately no HTTP and no guard: who may call at all was the catcher's business. What sends something is left to
//! another run of this program (see `itself`), so that the page and the command line never differ.
//!
//! Invariant: captures are shown with secret values masked unless a call asks to see them; RequestBin's API, which is for
//! machines that read what was sent, masks nothing.

mod captures;
mod deliveries;
mod itself;
mod requestbin;
mod semaphore;
mod tenant;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::capture::Mask;
use crate::env::SystemClock;
use crate::error::{Failure, Kind};
use crate::journal::Journal;
use crate::journal::store::JournalError;
use crate::listener::desk::{Call, Desk, Reply};
use crate::output::{Report, json};
use crate::secret::Secret;
use crate::time::{Clock as _, UnixMs};
use itself::Itself;
use semaphore::Semaphore;

/// The page: markup, style and script in one, with the markers `{{nonce}}` and `{{token}}`.
pub const PAGE: &str = include_str!("page.html");

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// Calls that look into captures at a time: what an answer is made of takes many times the room of what was caught.
const LOOKS: usize = 2;

/// What a desk is made of.
pub struct Options<'a> {
    /// The journal, on a connection of the desk's own.
    pub journal: Box<dyn Journal>,
    /// The configuration's file, if one was named.
    pub config: Option<&'a Path>,
    /// The bin of requests that name no other.
    pub default_bin: String,
    /// What of captures is hidden until asked for.
    pub mask: Mask,
    /// What the stand-in for a tenant asks for.
    pub portal_token: Option<Secret>,
}

/// A desk that answers from the journal.
pub struct ListenDesk {
    journal: Mutex<Box<dyn Journal>>,
    itself: Itself,
    default_bin: String,
    mask: Mask,
    looking: Semaphore,
    portal_token: Option<Secret>,
    /// As the stand-in for a tenant was told.
    switchboard: Mutex<Map<String, Value>>,
    clock: SystemClock,
    /// What tells this desk from the one before it at the same address.
    instance: String,
}

impl ListenDesk {
    /// A desk of these.
    ///
    /// # Errors
    /// When the system does not say which file this program is.
    pub fn new(options: Options<'_>) -> Result<ListenDesk, Failure> {
        let Options {
            journal,
            config,
            default_bin,
            mask,
            portal_token,
        } = options;
        let itself = Itself::on(journal.path(), config).map_err(|e| {
            Failure::from_error(
                Kind::Error,
                anyhow::Error::from(e).context("cannot find this program's own file"),
            )
        })?;
        let (journal, switchboard, clock) = (
            Mutex::new(journal),
            Mutex::default(),
            SystemClock::default(),
        );
        let instance = format!("{:x}.{:x}", clock.now().0, std::process::id());
        let looking = Semaphore::new(LOOKS);
        Ok(ListenDesk {
            journal,
            itself,
            default_bin,
            mask,
            looking,
            portal_token,
            switchboard,
            clock,
            instance,
        })
    }

    /// Does something with the journal. Nobody else has it meanwhile, so that it is not to be held while waiting.
    fn read<T>(
        &self,
        run: impl FnOnce(&dyn Journal) -> Result<T, JournalError>,
    ) -> Result<T, Failure> {
        // Whoever panicked with it left no half-made change: SQLite rolls back what was not committed.
        let journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(run(&**journal)?)
    }

    fn now(&self) -> UnixMs {
        self.clock.now()
    }

    fn page_data(&self, call: &Call, path: &[&str]) -> Result<Reply, Failure> {
        match (call.method.as_str(), path) {
            ("GET", ["version"]) => self.version(),
            ("GET", ["instance"]) => Ok(text_reply(self.instance.clone())),
            ("GET", ["bins"]) => captures::bins(self),
            ("DELETE", ["bins", name, "captures"]) => captures::clear(self, call, name),
            ("GET", ["outcomes"]) => deliveries::outcomes(self, call),
            (_, ["captures", rest @ ..]) => captures::answer(self, call, rest),
            (_, ["deliveries", rest @ ..]) => deliveries::answer(self, call, rest),
            _ => Err(no_such_call(call)),
        }
    }

    fn version(&self) -> Result<Reply, Failure> {
        let (by_others, by_this) = self.read(|journal| journal.version())?;
        Ok(text_reply(format!("{by_others}.{by_this}")))
    }
}

impl Desk for ListenDesk {
    fn answer(&self, call: &Call) -> Reply {
        let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
        match path.as_slice() {
            ["api", "v1", rest @ ..] => requestbin::answer(self, call, rest)
                .unwrap_or_else(|failure| requestbin::failed(&failure)),
            ["_hookfire", "api", rest @ ..] => self
                .page_data(call, rest)
                .unwrap_or_else(|failure| failed(&failure)),
            ["admin", "api", "webhooks", rest @ ..] => tenant::answer(self, call, rest),
            ["admin", "api", "webhooks.json"] => tenant::answer(self, call, &[]),
            ["admin", ..] => tenant::answer(self, call, &path),
            _ => failed(&no_such_call(call)),
        }
    }
}

fn no_such_call(call: &Call) -> Failure {
    Failure::new(
        Kind::NotFound,
        format!(
            "there is nothing that answers {} /{}",
            call.method,
            call.path.join("/")
        ),
    )
}

fn json_reply(status: u16, value: &impl Serialize) -> Reply {
    Reply {
        status,
        content_type: JSON,
        body: json::compact(value).into_bytes(),
    }
}

fn text_reply(text: String) -> Reply {
    Reply {
        status: 200,
        content_type: TEXT,
        body: text.into_bytes(),
    }
}

fn failed(failure: &Failure) -> Reply {
    let report = Report {
        kind: failure.kind.as_str(),
        message: &failure.error.to_string(),
        causes: &failure.causes(),
        hints: &failure.hints,
    };
    Reply {
        status: status_of(failure.kind),
        content_type: JSON,
        body: json::error(&report).into_bytes(),
    }
}

fn status_of(kind: Kind) -> u16 {
    match kind {
        Kind::Usage => 400,
        Kind::NotFound => 404,
        Kind::Journal => 503,
        _ => 500,
    }
}

/// Reads the JSON that a call carries.
fn body<T: DeserializeOwned>(call: &Call) -> Result<T, Failure> {
    serde_json::from_slice(&call.body)
        .map_err(|e| Failure::usage(format!("the call's body is not what it should be: {e}")))
}

fn number(text: &str) -> Result<i64, Failure> {
    text.parse()
        .map_err(|_| Failure::usage(format!("`{text}` is no number")))
}
