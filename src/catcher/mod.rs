//! The catcher: a server on one thread that keeps every request it gets, byte for byte, and answers by a script.
//!
//! Deliberately does not store, show, route or forward anything, and speaks no TLS: it hands captures over and answers.
//! All of hyper and tokio stays in here; callers see the standard library only.
//!
//! Invariant: a request is answered only after its capture was handed over, and what cannot be read as HTTP is handed
//! over as well, marked malformed.

mod answer;
mod closing;
mod connection;
mod framing;
mod raw_head;
mod recording;
mod script;
mod server;
mod tape;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::LocalSet;

use crate::store::Keeper;

pub use script::Script;

/// How much a client may send and how long it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a head, its request line and blank line included. More is answered 431.
    pub head_bytes: usize,
    /// Bytes of a body, decoded. More is answered 413, and the capture keeps this many.
    pub body_bytes: usize,
    /// Connections at a time, at least 1. Further ones wait to be accepted.
    pub connections: u32,
    /// From the end of one answer, or from connecting, until the next head is whole. A half-sent head is answered 408,
    /// an idle connection is closed.
    pub head_deadline: Duration,
    /// From the end of a head until its body is whole. More is answered 408.
    pub body_deadline: Duration,
}

impl Default for Limits {
    /// 64 KiB of head, 1 MiB of body, 512 connections, 30 seconds for each head and each body.
    fn default() -> Self {
        Self {
            head_bytes: 64 * 1024,
            body_bytes: 1024 * 1024,
            connections: 512,
            head_deadline: Duration::from_secs(30),
            body_deadline: Duration::from_secs(30),
        }
    }
}

/// Why a catcher could not be started.
#[derive(Debug, thiserror::Error)]
pub enum CatcherError {
    /// The address cannot be listened on: taken, not this machine's, or not permitted.
    #[error("cannot listen on `{addr}`")]
    Bind {
        /// The address that was asked for.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The system gave no thread, or no means to wait for connections.
    #[error("cannot start the catcher's thread")]
    Start(#[source] io::Error),
}

/// A running catcher. It stops when dropped.
#[derive(Debug)]
pub struct Catcher {
    addr: SocketAddr,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Catcher {
    /// Listens on `addr` (port 0: any free port), has `keeper` keep what comes, and answers by `script` from now on, on a
    /// thread of its own.
    ///
    /// Requests that are refused (400, 408, 413, 431) do not use up a step of the script.
    ///
    /// # Errors
    ///
    /// [`CatcherError::Bind`] if the address cannot be listened on, [`CatcherError::Start`] if the system is out of
    /// threads or file descriptors.
    pub fn bind(
        addr: SocketAddr,
        script: Script,
        limits: Limits,
        keeper: Arc<dyn Keeper>,
    ) -> Result<Self, CatcherError> {
        // Bound here and not on the thread, so that the caller gets the error and the port.
        let (listener, addr) = listen(addr).map_err(|source| CatcherError::Bind { addr, source })?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(CatcherError::Start)?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener).map_err(CatcherError::Start)?
        };
        let (stop, stopped) = watch::channel(false);
        let thread = thread::Builder::new()
            .name("catcher".to_owned())
            .spawn(move || run(&runtime, listener, script, limits, keeper, stopped))
            .map_err(CatcherError::Start)?;
        Ok(Self { addr, stop, thread: Some(thread) })
    }

    /// The address listened on, with the port that was found if 0 was asked for.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The URL under which this machine reaches the catcher, without a final slash: `http://127.0.0.1:8080`. For the
    /// addresses that stand for all of this machine's, that is the loopback address.
    #[must_use]
    pub fn url(&self) -> String {
        let mut addr = self.addr();
        if addr.ip().is_unspecified() {
            addr.set_ip(match addr.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        format!("http://{addr}")
    }

    /// Stops: listens no more, lets what is being answered be answered, for at most a second, closes the idle
    /// connections and ends the thread. A request that is cut off by this is kept as malformed and unanswered.
    /// To stop twice does nothing.
    pub fn stop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // If it panicked, it has stopped as well; the panic was reported when it happened.
            let _ = thread.join();
        }
    }
}

impl Drop for Catcher {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A listener ready for tokio, with the address it got.
fn listen(addr: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(addr)?;
    listener.set_nonblocking(true)?;
    let addr = listener.local_addr()?;
    Ok((listener, addr))
}

/// The catcher's thread.
fn run(
    runtime: &Runtime,
    listener: tokio::net::TcpListener,
    script: Script,
    limits: Limits,
    keeper: Arc<dyn Keeper>,
    stopped: watch::Receiver<bool>,
) {
    let shared = Rc::new(connection::Shared { script, steps: Cell::new(0), limits, keeper });
    let serving = server::run(listener, shared, server::Stop::new(stopped));
    // One thread for all: the connections share their state without locks.
    LocalSet::new().block_on(runtime, serving);
}
