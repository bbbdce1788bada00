//! The HTTP server that captures requests, byte for byte, and responds by a script or by forwarding.
//!
//! [`Listener::bind`] starts it on a thread of its own. A request passes these files, each of which uses only those after it:
//!
//! | file | purpose |
//! |---|---|
//! | `server` | accepts connections up to a limit |
//! | `connection`, `closing` | runs hyper on one connection, and ends it |
//! | `handler` | web UI or capture; then refusal, handshake, script, or forward |
//! | `web`, `forward` | the web UI's router; the upstream, to which requests are forwarded |
//! | `client` | one connection as the handler sees it: reads bodies within the limits |
//! | `recorder`, `framing` | the exact bytes of each request, recorded beside hyper |
//! | `capture_writer`, `notifier` | commits captures, and publishes them |
//! | `memory`, `connections` | limits memory and connections; evicts silent clients |
//! | `script`, `route`, `handshake`, `response`, `refusal`, `auth` | what a request gets, and why |
//!
//! hyper and tokio stay in here; callers use the standard library, and an [`axum::Router`] for the web UI.

mod auth;
mod capture_writer;
mod client;
mod closing;
mod connection;
mod connections;
mod forward;
mod framing;
#[cfg(test)]
mod fuzz;
mod handler;
mod handshake;
mod limits;
mod memory;
mod notifier;
mod recorder;
mod refusal;
mod response;
mod route;
mod script;
mod server;
mod setup;
mod shutdown;
mod stream;
#[cfg(test)]
mod tests;
mod tls;
mod web;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::LocalSet;

use handler::Handler;
use shutdown::{BLOCKING_CALLS_LIMIT, Shutdown, ShutdownPhase};

use crate::env;

pub use forward::{MAX_HOPS, Upstream, UpstreamResponse};
pub use handshake::{Handshake, Handshakes};
pub use limits::ListenerLimits;
pub use notifier::{Notification, Notifier};
pub use route::Route;
pub use script::{HeaderError, Script, response_headers};
pub use setup::{Bound, Setup, WebUi};
pub use tls::Tls;

/// Connections that may wait in the system's queue, if the system allows it. Clients that find it full retry after a second.
const MAX_BACKLOG: u32 = 4096;

/// Size of each socket's send buffer, which Linux doubles. With the default of some megabytes, a client that reads slowly would
/// look silent: the system reports progress only after a third of the buffer.
const SEND_BUFFER_BYTES: u32 = 128 * 1024;

/// Open files that are not connections: the journal, standard streams, calls of the web UI. At most half of all.
const RESERVED_FILES: u64 = 64;

/// How often to check for an interrupt, and for the end of the thread, while the listener drains.
const DRAIN_POLL_INTERVAL: Duration = Duration::from_millis(5);

#[derive(Debug, thiserror::Error)]
pub enum ListenerError {
    #[error("cannot listen on `{addr}`")]
    Bind { addr: SocketAddr, source: io::Error },
    #[error(transparent)]
    Header(#[from] HeaderError),
    #[error("cannot start the listener's thread")]
    Start(#[source] io::Error),
}

/// A running listener. It stops when dropped.
#[derive(Debug)]
pub struct Listener {
    addr: SocketAddr,
    scheme: &'static str,
    max_connections: u32,
    phase: watch::Sender<ShutdownPhase>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Binds the address, and starts the thread that serves it. Requests that are refused use no step of the script.
    pub fn bind(mut setup: Setup) -> Result<Self, ListenerError> {
        let max_connections = available_connections(&setup);
        setup.limits.connections = max_connections;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(ListenerError::Start)?;
        // Bound here and not on the thread, so that the caller gets the error and the port.
        let (socket, addr) = {
            let _inside = runtime.enter();
            listen(setup.addr).map_err(|source| ListenerError::Bind {
                addr: setup.addr,
                source,
            })?
        };
        let scheme = if setup.tls.is_some() { "https" } else { "http" };
        let (handler, stored) = Handler::new(setup, addr)?;
        let (phase, phases) = watch::channel(ShutdownPhase::Serving);
        let serve = move || {
            let serving = server::run(socket, handler, stored, Shutdown::new(phases));
            LocalSet::new().block_on(&runtime, serving);
            runtime.shutdown_timeout(BLOCKING_CALLS_LIMIT);
        };
        let thread = thread::Builder::new().name("listener".to_owned());
        let thread = thread.spawn(serve).map_err(ListenerError::Start)?;
        Ok(Self {
            addr,
            scheme,
            max_connections,
            phase,
            thread: Some(thread),
        })
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The connection limit, reduced to the number of files that may be open.
    pub fn max_connections(&self) -> u32 {
        self.max_connections
    }

    /// The URL for clients on this machine, without a final slash: `http://127.0.0.1:8080`. Contains the
    /// loopback address if the listener is bound to an unspecified one.
    pub fn url(&self) -> String {
        let mut addr = self.addr();
        if addr.ip().is_unspecified() {
            addr.set_ip(match addr.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        format!("{}://{addr}", self.scheme)
    }

    /// Accepts nothing new, closes idle connections, and waits until the captured requests got what the script says: a
    /// response after its delay, or silence until the client hangs up. Stops at once when `interrupted`.
    pub fn drain(&mut self, interrupted: impl Fn() -> bool) {
        self.phase.send_replace(ShutdownPhase::Draining);
        let is_running = |thread: &JoinHandle<()>| !thread.is_finished();
        while self.thread.as_ref().is_some_and(is_running) && !interrupted() {
            thread::sleep(DRAIN_POLL_INTERVAL);
        }
        self.stop();
    }

    /// Accepts nothing new, completes the responses in progress, closes the other connections, and ends the thread. That takes
    /// a second, three if the journal is locked. A partial request is captured as malformed; a response that is not due yet
    /// is not sent, which is recorded.
    pub fn stop(&mut self) {
        self.phase.send_replace(ShutdownPhase::Aborting);
        if let Some(thread) = self.thread.take() {
            // Fails only after a panic, which was reported.
            let _ = thread.join();
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop();
    }
}

fn available_connections(setup: &Setup) -> u32 {
    let Some(files) = env::raise_open_file_limit() else {
        return setup.limits.connections;
    };
    let per_connection = if setup.upstream.is_some() { 2 } else { 1 };
    let available = files.saturating_sub(RESERVED_FILES.min(files / 2)) / per_connection;
    let available = u32::try_from(available).unwrap_or(u32::MAX).max(1);
    setup.limits.connections.min(available)
}

/// Must run inside of a runtime.
fn listen(addr: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = if addr.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // As in the standard library, so that a listener can restart on the same port at once.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    // Inherited by each accepted connection.
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(addr)?;
    let listener = socket.listen(MAX_BACKLOG)?;
    let addr = listener.local_addr()?;
    Ok((listener, addr))
}
