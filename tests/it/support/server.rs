//! A loopback server that follows a script and fails the test on any deviation.
//!
//! Plain HTTP/1.1, one thread per connection. A request is in [`Server::requests`] before the first byte of its
//! response is sent. A step is used when the first byte of a request arrives. Dropping the server ends its threads and
//! compares the requests with the script.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{BufReader, ErrorKind, Read};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, sockopt};

use super::action::{Action, After, LONGEST, StopSignal};
use super::received::{Fault, Received, read_request};
use super::script::Step;

const TEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a request that are read at a time.
pub const PIECE: usize = 64 << 10;
const ANY_LOOPBACK_PORT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);

/// A running server. Checks the script when dropped, unless [`Server::lenient`].
#[must_use = "dropping the server stops it"]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
    lenient: bool,
}

impl Server {
    /// Starts a server on a free loopback port. Without steps, any request fails the test.
    #[track_caller]
    pub fn script(steps: Vec<Step>) -> Self {
        if let Some((last, rest)) = steps.split_last()
            && let Some(endless) = rest.iter().find(|step| step.wanted.is_none())
        {
            panic!(
                "{} never ends, so {} would never be used",
                endless.name, last.name
            );
        }
        let listener = TcpListener::bind(ANY_LOOPBACK_PORT).expect("a free port on loopback");
        let address = listener.local_addr().expect("the port just bound");
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                steps,
                ..State::default()
            }),
            ..Shared::default()
        });
        let acceptor = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept_all(&listener, &shared)
        });
        Self {
            address,
            shared,
            acceptor: Some(acceptor),
            lenient: false,
        }
    }

    /// Ignores unused steps and unexpected or malformed requests.
    pub fn lenient(mut self) -> Self {
        self.lenient = true;
        self
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Requests so far, in the order of arrival.
    pub fn requests(&self) -> Vec<Received> {
        self.shared.lock().requests.clone()
    }

    /// Number of accepted connections, with or without a request.
    pub fn connections(&self) -> usize {
        self.shared.lock().connections
    }

    /// Waits until at least `n` requests have been read, and returns all; fails after 10 s.
    #[track_caller]
    pub fn wait_for_requests(&self, n: usize) -> Vec<Received> {
        let state = self.shared.wait_until(|state| state.requests.len() >= n);
        let enough = state.requests.len() >= n;
        assert!(
            enough,
            "waited {TEST_TIMEOUT:?} for {n} requests at {}, but {}",
            self.url(),
            state.requests_in_words()
        );
        state.requests.clone()
    }

    /// Waits until at least `n` connections have been accepted; fails after 10 s.
    #[track_caller]
    pub fn wait_for_connections(&self, n: usize) {
        let came = self
            .shared
            .wait_until(|state| state.connections >= n)
            .connections;
        assert!(
            came >= n,
            "waited {TEST_TIMEOUT:?} for {n} connections at {}, but {came} arrived",
            self.url()
        );
    }

    /// Releases one [`Step::held`] response.
    pub fn release(&self) {
        self.shared.halt.release(1);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let wake = {
            // Under the lock, so that the acceptor knows the address before it sees the connection. Earlier connections
            // are accepted first, so that a request that has just arrived still counts.
            let mut state = self.shared.lock();
            state.stopping = true;
            state
                .open
                .values()
                .for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
            let wake = TcpStream::connect_timeout(&self.address, TEST_TIMEOUT);
            state.wake = wake.as_ref().ok().and_then(|wake| wake.local_addr().ok());
            wake
        };
        self.shared.halt.stop();
        let ended_well = match self.acceptor.take() {
            // Refused: the acceptor has panicked; joining it reports that.
            Some(acceptor) => acceptor.join().is_ok(),
            None => true,
        };
        drop(wake);
        if self.lenient || thread::panicking() {
            return;
        }
        let complaints = self.shared.lock().complaints(ended_well);
        assert!(
            complaints.is_empty(),
            "the requests to {} do not match its script:\n{complaints}",
            self.url()
        );
    }
}

/// State shared by the owner and the connections.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    halt: StopSignal,
}

#[derive(Default)]
struct State {
    steps: Vec<Step>,
    requests: Vec<Received>,
    connections: usize,
    /// Shut down when the server stops, so that no thread stays in a read or a write.
    open: HashMap<usize, Arc<TcpStream>>,
    faults: Vec<String>,
    stopping: bool,
    /// The connection that tells the acceptor to stop.
    wake: Option<SocketAddr>,
}

impl State {
    /// Uses the next step and returns its action.
    fn take_step(&mut self) -> Option<Arc<Action>> {
        let step = self
            .steps
            .iter_mut()
            .find(|step| step.wanted.is_none_or(|wanted| step.used < wanted))?;
        step.used += 1;
        Some(Arc::clone(&step.action))
    }

    fn complaints(&self, ended_well: bool) -> String {
        let mut complaints = String::new();
        let mut add =
            |line: &str| writeln!(complaints, "- {line}").expect("a string takes everything");
        for (index, step) in self.steps.iter().enumerate() {
            let wanted = step.wanted.unwrap_or(1);
            if step.used < wanted {
                let (number, used) = (index + 1, step.used);
                add(&format!(
                    "step {number}, {} at {}, was used {used} of {wanted} times",
                    step.name, step.place
                ));
            }
        }
        self.faults.iter().for_each(|fault| add(fault));
        if !ended_well {
            add("a thread of the server panicked, see above");
        }
        if !complaints.is_empty() {
            complaints.push_str(&self.requests_in_words());
        }
        complaints
    }

    fn requests_in_words(&self) -> String {
        let mut words = format!("{} requests arrived", self.requests.len());
        for (index, request) in self.requests.iter().enumerate() {
            let cut = if request.complete { "" } else { ", cut short" };
            let (method, target, body) = (&request.method, &request.target, request.body.len());
            write!(
                words,
                "\n  {}. {method} {target} (body: {body} bytes{cut})",
                index + 1
            )
            .expect("a string");
        }
        words
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_until(&self, reached: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), TEST_TIMEOUT, |state| !reached(state));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn update<T>(&self, update: impl FnOnce(&mut State) -> T) -> T {
        let updated = update(&mut self.lock());
        self.changed.notify_all();
        updated
    }
}

/// Serves every connection in its own thread; returns when all of them have ended.
fn accept_all(listener: &TcpListener, shared: &Shared) {
    thread::scope(|scope| {
        loop {
            let (stream, peer) = match listener.accept() {
                Ok(accepted) => accepted,
                // The peer has already gone.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => panic!("accepting on loopback: {error}"),
            };
            let stream = Arc::new(stream);
            let entered = shared.update(|state| {
                if state.wake == Some(peer) {
                    return None;
                }
                let connection = state.connections;
                state.connections += 1;
                state.open.insert(connection, Arc::clone(&stream));
                if state.stopping {
                    // Bytes that the peer has already sent can still be read.
                    stream.shutdown(Shutdown::Both).ok();
                }
                Some(connection)
            });
            match entered {
                Some(connection) => drop(scope.spawn(move || serve(stream, connection, shared))),
                None => break,
            }
        }
    });
}

fn serve(stream: Arc<TcpStream>, connection: usize, shared: &Shared) {
    // No Nagle delay, so that slow bytes are sent singly; timeouts, so that no thread stays forever. Both fail only if
    // the peer has left.
    stream.set_nodelay(true).ok();
    stream.set_read_timeout(Some(LONGEST)).ok();
    stream.set_write_timeout(Some(LONGEST)).ok();
    let after = serve_requests(&stream, connection, shared);
    shared.update(|state| state.open.remove(&connection));
    if after == After::Reset {
        // Closing the last handle with a linger time of zero sends RST.
        sockopt::set_socket_linger(&*stream, Some(Duration::ZERO))
            .expect("SO_LINGER on an open socket");
    }
}

fn serve_requests(stream: &TcpStream, connection: usize, shared: &Shared) -> After {
    let mut reader = BufReader::with_capacity(
        PIECE,
        SlowStream {
            stream,
            pace: Duration::ZERO,
        },
    );
    loop {
        let request_begins = matches!(stream.peek(&mut [0]), Ok(1));
        if !request_begins {
            return After::Close;
        }
        let action = shared.update(State::take_step);
        if let Some(action) = action
            .as_deref()
            .filter(|action| action.comes_before_reading())
        {
            let after = action
                .perform(&mut &*stream, None, &shared.halt)
                .unwrap_or(After::Close);
            return noted(after, &format!("connection {connection}"), shared);
        }
        reader.get_mut().pace = action.as_deref().map_or(Duration::ZERO, Action::pace);
        let request = match read_request(&mut reader, connection) {
            Ok(request) => request,
            Err(fault) => {
                shared.update(|state| match fault {
                    // The server itself ended this connection.
                    Fault::Left if state.stopping => {}
                    Fault::Left => state.faults.push(format!(
                        "connection {connection} ended inside a request's head"
                    )),
                    Fault::Malformed(what) => state
                        .faults
                        .push(format!("connection {connection} sent {what}")),
                });
                return After::Close;
            }
        };
        let beyond = reader.buffer().len();
        let in_words = format!(
            "{} {} on connection {connection}",
            request.method, request.target
        );
        shared.update(|state| {
            if action.is_none() {
                state
                    .faults
                    .push(format!("no step was left for {in_words}"));
            }
            if beyond > 0 {
                state
                    .faults
                    .push(format!("{beyond} bytes followed the end of {in_words}"));
            }
            state.requests.push(request.clone());
        });
        let (true, 0, Some(action)) = (request.complete, beyond, action) else {
            return After::Close;
        };
        match action.perform(&mut &*stream, Some(&request), &shared.halt) {
            Ok(After::KeepAlive) => {}
            Ok(after) => return noted(after, &in_words, shared),
            // The peer left, or the server stops; the test decides about both.
            Err(_) => return After::Close,
        }
    }
}

/// A connection with a delay before each read.
struct SlowStream<'a> {
    stream: &'a TcpStream,
    pace: Duration,
}

impl Read for SlowStream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        thread::sleep(self.pace);
        self.stream.read(buffer)
    }
}

/// Records a fault if the step reached its time limit.
fn noted(after: After, in_words: &str, shared: &Shared) -> After {
    if after == After::TimedOut {
        shared.update(|state| {
            state
                .faults
                .push(format!("{in_words} did not end within {LONGEST:?}"))
        });
    }
    after
}

/// A loopback port that refuses connections while the test binary runs: it is bound but not listening, so that no other
/// test gets it.
pub fn closed_port() -> u16 {
    static HELD: Mutex<Vec<OwnedFd>> = Mutex::new(Vec::new());
    let socket =
        rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)
        .expect("a socket of this process only");
    rustix::net::bind(&socket, &ANY_LOOPBACK_PORT).expect("a free port on loopback");
    let address = rustix::net::getsockname(&socket).expect("the port just bound");
    HELD.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(socket);
    SocketAddrV4::try_from(address)
        .expect("an IPv4 address")
        .port()
}

/// A listener that never accepts and whose queue is full, so that connections neither succeed nor fail.
pub struct NeverAccepting {
    listener: TcpListener,
    _queue: Vec<TcpStream>,
}

/// Starts a [`NeverAccepting`]. Only where the kernel drops what does not fit into the queue (Linux does).
pub fn never_accepting() -> NeverAccepting {
    let listener = TcpListener::bind(ANY_LOOPBACK_PORT).expect("a free port on loopback");
    let address = listener.local_addr().expect("the port just bound");
    // Listening again only makes the queue as short as can be.
    rustix::net::listen(&listener, 0).expect("a shorter queue");
    let mut queue = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
        queue.push(stream);
        assert!(
            queue.len() < 64,
            "the queue of a listener that never accepts does not fill up"
        );
    }
    NeverAccepting {
        listener,
        _queue: queue,
    }
}

impl NeverAccepting {
    pub fn port(&self) -> u16 {
        self.listener
            .local_addr()
            .expect("the port just bound")
            .port()
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }
}
