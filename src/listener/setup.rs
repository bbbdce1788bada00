//! What a catcher is to be: where it listens, what it keeps and how it answers, and who may look.
//!
//! Deliberately reads no command line and no file: what is wrong with a value was said where it was read.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Uri};

use super::Script;
use super::notifier::Notifier;
use super::tls::Tls;
use crate::capture::DEFAULT_MAX_HEADERS;
use crate::journal::store::Keeper;
use crate::listener::upstream::Upstream;
use crate::secret::Secret;

/// All that can be chosen about a catcher.
pub struct Setup {
    /// Where to listen. Port 0: any free port.
    pub addr: SocketAddr,
    /// What keeps the captures.
    pub keeper: Arc<dyn Keeper>,
    /// What to answer.
    pub script: Script,
    /// How much is taken, and how slowly.
    pub limits: Limits,
    /// The body of the script's answers instead of `ok` or the status in words.
    pub response_body: Option<Vec<u8>>,
    /// Headers of the script's answers. A `Content-Type` replaces `text/plain`.
    pub response_headers: Vec<(String, String)>,
    /// Whether a status as the path's last segment is answered instead of the script's next step.
    pub status_in_path: bool,
    /// Query parameters and the values they must have. What comes without is kept, marked, and answered 403.
    pub require_secret: Vec<(String, Secret)>,
    /// Where to forward to. Its answers are given instead of the script's.
    pub upstream: Option<Arc<dyn Upstream>>,
    /// What is served instead of captured.
    pub web: Option<WebUi>,
    /// Publishes what changes.
    pub notifier: Notifier,
    /// The certificate, to speak TLS and nothing else.
    pub tls: Option<Tls>,
}

impl Setup {
    /// A catcher on `addr` that takes everything within the usual limits, has `keeper` keep it, answers by `script`, and
    /// does nothing else.
    pub fn new(addr: SocketAddr, script: Script, keeper: Arc<dyn Keeper>) -> Setup {
        Setup {
            addr,
            keeper,
            script,
            limits: Limits::default(),
            response_body: None,
            response_headers: Vec::new(),
            status_in_path: false,
            require_secret: Vec::new(),
            upstream: None,
            web: None,
            notifier: Notifier::new(),
            tls: None,
        }
    }
}

/// Decides whether a request is served by the web UI instead of captured.
pub type Reserves = Box<dyn Fn(&Method, &Uri) -> bool + Send + Sync>;

/// The requests that are served instead of captured.
pub struct WebUi {
    /// Whether a request is for `router`. Must decide on the decoded path.
    pub reserves: Reserves,
    /// Serves them. Requests have a complete body and the extension [`Bound`]; handlers run on the listener's thread and
    /// must not block it.
    pub router: axum::Router,
}

/// Where the listener listens: an extension of the requests to the web UI.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// The address with its port.
    pub addr: SocketAddr,
    /// Whether the connection uses TLS.
    pub tls: bool,
}

/// How much a client may send and how long it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a head, its request line and blank line included. More is answered 431.
    pub head_bytes: usize,
    /// Headers of a head, at most [`crate::capture::MAX_HEADERS`]. More is answered 431, and the capture keeps the head.
    pub headers: usize,
    /// Bytes of a body, decoded. More is answered 413: at once where a length says so, and the capture keeps what has come;
    /// else when so many have come, which are kept.
    pub body_bytes: usize,
    /// Bytes of heads and bodies that may be in memory at a time and are not kept yet, beyond the first 8 KiB of each
    /// connection and of the one that has been at it for the longest. Further ones are not read until there is room; a client
    /// that has fallen silent makes room, and one that has waited for as long as its body may take is answered 503.
    /// Answers of the receiver that is forwarded to have as much again, and each is at most so long.
    pub buffered_bytes: usize,
    /// Connections at a time, at least 1. For a further one the connection whose client has been silent for the longest
    /// makes room; where none is silent, it waits.
    pub connections: u32,
    /// From the end of one answer, or from connecting, until the next head is whole. A half-sent head is answered 408,
    /// an idle connection is closed. And for so long a client may take nothing of an answer until its connection is reset.
    pub head_deadline: Duration,
    /// From the end of a head until its body is whole. More is answered 408.
    pub body_deadline: Duration,
}

impl Default for Limits {
    /// 64 KiB of head with 100 headers, 1 MiB of body, 4 MiB of them in memory, 512 connections, 30 seconds for each head and
    /// each body.
    fn default() -> Self {
        Self {
            head_bytes: 64 * 1024,
            headers: DEFAULT_MAX_HEADERS,
            body_bytes: 1024 * 1024,
            buffered_bytes: 4 * 1024 * 1024,
            connections: 512,
            head_deadline: Duration::from_secs(30),
            body_deadline: Duration::from_secs(30),
        }
    }
}
