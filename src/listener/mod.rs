//! The catcher: a server on one thread that keeps every request it gets, byte for byte, and answers by a script.
//!
//! Deliberately stores nothing and sends nothing on itself: it hands captures to a [`Keeper`] and an
//! [`crate::listener::upstream::Upstream`]. All of hyper and tokio stays in
//! here; callers see the standard library only.
//!
//! Invariant: a request is answered only after its capture is committed, and what cannot be read as HTTP is kept as well,
//! marked malformed.

mod answer;
mod bell;
mod budget;
mod closing;
mod connection;
mod courier;
mod demanded;
mod diagnosis;
mod exchange;
mod forward;
mod framing;
#[cfg(test)]
mod fuzz;
mod head_timer;
mod notifier;
mod raw_head;
mod recording;
mod room;
mod script;
mod seats;
mod server;
mod setup;
mod stream;
mod tape;
#[cfg(test)]
mod tests;
mod tls;
pub mod upstream;

use std::cell::Cell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::LocalSet;

use answer::Dress;
use bell::Bell;
use courier::Courier;
use exchange::Shared;
use forward::Forwarder;
use server::Phase;

#[cfg(doc)]
use crate::journal::store::Keeper;

pub use answer::HeaderError;
pub use bell::FailedKeeps;
pub use notifier::{Event, Notifier};
pub use script::Script;
pub use setup::{Bound, Limits, Setup, WebUi};
pub use tls::Tls;

/// Clients that may wait in the system's queue, as far as the system allows. Who finds it full tries again only after a
/// second.
const BACKLOG: u32 = 4096;

/// Bytes of answers that the system holds for a client, or twice as many. Left to itself it would hold megabytes for one that
/// does not read, and tell only when a third of them is gone that it does read after all.
const SEND_BUFFER: u32 = 128 * 1024;

/// How long the stop waits for the desk and the upstream to finish. What they are still at then, they finish while the
/// process lives.
const BLOCKING_DRAIN: Duration = Duration::from_millis(100);

/// How soon an interrupt is noticed while it is finished.
const INTERRUPT_GRAIN: Duration = Duration::from_millis(20);

/// Calls of the web UI at a time.
const WEB_CALLS: usize = 32;

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
    /// A header to answer with that cannot be one.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The system gave no thread, or no means to wait for connections.
    #[error("cannot start the catcher's thread")]
    Start(#[source] io::Error),
}

/// A running catcher. It stops when dropped.
#[derive(Debug)]
pub struct Catcher {
    addr: SocketAddr,
    scheme: &'static str,
    bell: Arc<Bell>,
    phase: watch::Sender<Phase>,
    /// Closed when the thread is about to end.
    ended: Mutex<Receiver<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Catcher {
    /// Listens, and answers from now on, on a thread of its own.
    ///
    /// Requests that are refused (400, 403, 408, 413, 431) do not use up a step of the script.
    ///
    /// # Errors
    ///
    /// [`CatcherError::Bind`] if the address cannot be listened on, [`CatcherError::Header`] if a response header cannot
    /// be one, [`CatcherError::Start`] if the system is out of threads or file descriptors.
    pub fn bind(setup: Setup) -> Result<Self, CatcherError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(CatcherError::Start)?;
        // Bound here and not on the thread, so that the caller gets the error and the port.
        let (listener, addr) = {
            let _inside = runtime.enter();
            listen(setup.addr).map_err(|source| CatcherError::Bind {
                addr: setup.addr,
                source,
            })?
        };
        let scheme = if setup.tls.is_some() { "https" } else { "http" };
        let bell = Arc::new(Bell::new(setup.notifier.clone()));
        let parts = Parts::new(setup, addr, Arc::clone(&bell))?;
        let (phase, phases) = watch::channel(Phase::Serving);
        let (ends, ended) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("catcher".to_owned())
            .spawn(move || {
                run(runtime, listener, parts, phases);
                drop(ends);
            })
            .map_err(CatcherError::Start)?;
        Ok(Self {
            addr,
            scheme,
            bell,
            phase,
            ended: Mutex::new(ended),
            thread: Some(thread),
        })
    }

    /// What could not be kept so far.
    #[must_use]
    pub fn failed_keeps(&self) -> FailedKeeps {
        self.bell.failed()
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
        format!("{}://{addr}", self.scheme)
    }

    /// Ends by itself: listens no more, closes the idle connections, and waits until every request that was taken has had
    /// what the script says: its answer after its delay, or silence until its client hangs up. As soon as `interrupted`
    /// says so, it is stopped instead.
    pub fn finish(&mut self, interrupted: impl Fn() -> bool) {
        self.phase.send_replace(Phase::Finishing);
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        while !interrupted()
            && ended.recv_timeout(INTERRUPT_GRAIN) == Err(RecvTimeoutError::Timeout)
        {}
        self.stop();
    }

    /// Stops: listens no more, lets what is being answered be answered, closes the idle connections and ends the thread.
    /// That takes a second, three where the journal is locked. A request that is cut off by this is kept as malformed and
    /// unanswered; one whose answer is not due yet gets none, and that is recorded. To stop twice does nothing.
    pub fn stop(&mut self) {
        self.phase.send_replace(Phase::Stopping);
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

/// A listener, with the address it got. Must run inside of a runtime.
fn listen(addr: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = if addr.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // As the standard library does it, so that a catcher can be started again at once on the same port.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    // Taken over by each connection that is accepted.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(addr)?;
    let listener = socket.listen(BACKLOG)?;
    let addr = listener.local_addr()?;
    Ok((listener, addr))
}

/// What goes to the catcher's thread.
struct Parts {
    setup: Setup,
    dress: Dress,
    bound: Bound,
    bell: Arc<Bell>,
}

impl Parts {
    fn new(mut setup: Setup, bound: SocketAddr, bell: Arc<Bell>) -> Result<Parts, CatcherError> {
        let dress = Dress::new(setup.response_body.take(), &setup.response_headers)?;
        Ok(Parts {
            bound: Bound {
                addr: bound,
                tls: setup.tls.is_some(),
            },
            setup,
            dress,
            bell,
        })
    }

    /// What the connections share; without locks, as they share one thread.
    fn into_shared(self) -> Shared {
        let setup = self.setup;
        Shared {
            script: setup.script,
            steps: Cell::new(0),
            dress: self.dress,
            status_in_path: setup.status_in_path,
            demanded: demanded::Demanded(setup.require_secret),
            limits: setup.limits,
            budget: budget::Budget::new(setup.limits.buffered_bytes),
            courier: Courier::new(Arc::clone(&setup.keeper), Arc::clone(&self.bell)),
            keeper: setup.keeper,
            keeping: Cell::new(0),
            bell: self.bell,
            forwarder: setup
                .upstream
                .map(|upstream| Forwarder::new(upstream, &setup.limits)),
            web: setup.web,
            web_calls: tokio::sync::Semaphore::new(WEB_CALLS),
            bound: self.bound,
            tls: setup.tls,
            seats: seats::Seats::default(),
        }
    }
}

/// The catcher's thread.
fn run(runtime: Runtime, listener: TcpListener, parts: Parts, phases: watch::Receiver<Phase>) {
    let shared = Rc::new(parts.into_shared());
    let serving = server::run(listener, shared, server::Stop::new(phases));
    LocalSet::new().block_on(&runtime, serving);
    runtime.shutdown_timeout(BLOCKING_DRAIN);
}
