//! The options of a listener: its address, its responses, and the store of its captures.

use std::net::SocketAddr;
use std::sync::Arc;

use http::request::Parts;

use super::forward::Upstream;
use super::handshake::Handshakes;
use super::limits::ListenerLimits;
use super::notifier::Notifier;
use super::route::Route;
use super::script::Script;
use super::tls::Tls;
use crate::journal::CaptureStore;
use crate::secret::Secret;
use crate::signature::Verifier;

/// The options of a listener.
pub struct Setup {
    /// Port 0: any free port.
    pub addr: SocketAddr,
    pub captures: Arc<dyn CaptureStore>,
    pub script: Script,
    /// The first that matches a request replaces the script.
    pub routes: Vec<Route>,
    /// Whether the script replaces the responses that bins have of their own, as routes do.
    pub overrides_bins: bool,
    pub limits: ListenerLimits,
    /// The body of the script's responses, instead of `ok` or the reason phrase.
    pub response_body: Option<Vec<u8>>,
    /// Headers of the script's responses. A `Content-Type` replaces `text/plain`.
    pub response_headers: Vec<(String, String)>,
    /// Whether a path that ends with a status gets that status instead of the script's next step.
    pub status_in_path: bool,
    /// Query parameters and the values they must have. Other requests are captured, marked, and get the response 403.
    pub require_secret: Vec<(String, Secret)>,
    /// Verifies signatures. Requests with an invalid one are captured, marked, and get the response 401.
    pub verifier: Option<Verifier>,
    pub handshakes: Handshakes,
    /// The tokens of the web UI, which clients also send with requests that are captured: they are removed from them.
    pub web_tokens: Vec<Secret>,
    /// Where to forward to. Its responses replace the script's.
    pub upstream: Option<Arc<dyn Upstream>>,
    /// Whether stored requests are forwarded later, so that requests in a loop are refused.
    pub forwards_later: bool,
    /// The requests that are not captured. Without it every request is captured.
    pub web: Option<WebUi>,
    pub notifier: Notifier,
    /// With a certificate the port accepts only TLS.
    pub tls: Option<Tls>,
}

impl Setup {
    /// Captures everything within the default limits, and does nothing else.
    pub fn new(addr: SocketAddr, script: Script, captures: Arc<dyn CaptureStore>) -> Setup {
        Setup {
            addr,
            captures,
            script,
            routes: Vec::new(),
            overrides_bins: false,
            limits: ListenerLimits::default(),
            response_body: None,
            response_headers: Vec::new(),
            status_in_path: false,
            require_secret: Vec::new(),
            verifier: None,
            handshakes: Handshakes::default(),
            web_tokens: Vec::new(),
            upstream: None,
            forwards_later: false,
            web: None,
            notifier: Notifier::new(),
            tls: None,
        }
    }
}

/// Decides whether a request is for the web UI. Has to decode the path first.
pub type Reserves = Box<dyn Fn(&Parts) -> bool + Send + Sync>;

/// Serves the requests that are not captured.
pub struct WebUi {
    pub reserves: Reserves,
    /// Its requests have a complete body and the extension [`Bound`]. Handlers run on the listener's thread: they must not block.
    pub router: axum::Router,
}

/// Where the listener listens: an extension of requests to the web UI.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    pub addr: SocketAddr,
    pub tls: bool,
}
