//! An endpoint for thousands of deliveries over persistent connections. Unlike [`Server`](super::Server), it stores
//! only `webhook-id`s and times, before it responds, and accepts requests in any order.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt;

const TEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Response to a delivery.
#[derive(Clone, Copy, Debug)]
pub enum Reply {
    /// This status; the connection stays open.
    Status(u16),
    /// This status; then the connection is closed without `Connection: close`.
    ThenClose(u16),
    /// Like [`Reply::ThenClose`], with response and FIN in one packet.
    WithItsEnd(u16),
    /// This status, followed by an unrequested success on the same connection.
    Twice(u16),
    /// No response; the connection is closed.
    Hangup,
    /// No response; the connection is reset.
    Reset,
    /// This status after a delay.
    After(Duration, u16),
}

/// A running receiver. Its threads end with the connections.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    reply: Box<dyn Fn(usize, usize) -> Reply + Send + Sync>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Arrival times by `webhook-id`.
    times: HashMap<String, Vec<Instant>>,
    requests: usize,
    connections: usize,
    now: usize,
    most: usize,
}

impl Receiver {
    /// `reply` gets the number of the request, from 1, and how often its delivery has arrived so far.
    pub fn start(reply: impl Fn(usize, usize) -> Reply + Send + Sync + 'static) -> Receiver {
        Receiver::start_at(0, reply)
    }

    /// Like [`Receiver::start`], on this port.
    pub fn start_at(
        port: u16,
        reply: impl Fn(usize, usize) -> Reply + Send + Sync + 'static,
    ) -> Receiver {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a free port on loopback");
        let address = listener.local_addr().expect("the port just bound");
        let (state, changed) = (Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared {
            reply: Box::new(reply),
            state,
            changed,
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&serving);
                shared.lock().connections += 1;
                thread::spawn(move || serve(&stream, &shared));
            }
        });
        Receiver { address, shared }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Arrival times by `webhook-id`.
    pub fn times(&self) -> HashMap<String, Vec<Instant>> {
        self.shared.lock().times.clone()
    }

    pub fn requests(&self) -> usize {
        self.shared.lock().requests
    }

    pub fn connections(&self) -> usize {
        self.shared.lock().connections
    }

    /// Maximum number of concurrent requests.
    pub fn most_at_once(&self) -> usize {
        self.shared.lock().most
    }

    /// Waits for this number of requests.
    #[track_caller]
    pub fn wait_for(&self, requests: usize) {
        let state = self.shared.lock();
        let waited = self
            .shared
            .changed
            .wait_timeout_while(state, TEST_TIMEOUT, |state| state.requests < requests);
        let came = waited.unwrap_or_else(PoisonError::into_inner).0.requests;
        assert!(
            came >= requests,
            "waited {TEST_TIMEOUT:?} for {requests} requests, but {came} came"
        );
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn serve(stream: &TcpStream, shared: &Shared) {
    stream.set_nodelay(true).ok();
    let mut reader = BufReader::new(stream);
    while let Some(id) = read_request(&mut reader) {
        let (number, times) = {
            let mut state = shared.lock();
            state.requests += 1;
            state.now += 1;
            state.most = state.most.max(state.now);
            let number = state.requests;
            let times = state.times.entry(id).or_default();
            times.push(Instant::now());
            (number, times.len())
        };
        shared.changed.notify_all();
        let reply = (shared.reply)(number, times);
        if let Reply::After(pause, _) = reply {
            thread::sleep(pause);
        }
        shared.lock().now -= 1;
        let response =
            |status: u16| format!("HTTP/1.1 {status} Said\r\ncontent-length: 2\r\n\r\nok");
        let bytes = match reply {
            Reply::Status(status)
            | Reply::ThenClose(status)
            | Reply::WithItsEnd(status)
            | Reply::After(_, status) => response(status),
            Reply::Twice(status) => response(status) + &response(200),
            Reply::Hangup => return,
            Reply::Reset => {
                // Closing with a linger time of zero sends RST.
                sockopt::set_socket_linger(stream, Some(Duration::ZERO))
                    .expect("SO_LINGER on an open socket");
                return;
            }
        };
        #[cfg(target_os = "linux")]
        if matches!(reply, Reply::WithItsEnd(_)) {
            sockopt::set_tcp_cork(stream, true).ok();
        }
        let ends = matches!(reply, Reply::ThenClose(_) | Reply::WithItsEnd(_));
        if (&*stream).write_all(bytes.as_bytes()).is_err() || ends {
            return;
        }
    }
}

/// Reads a request and returns its `webhook-id`, or `None` at the end of the connection.
fn read_request(reader: &mut BufReader<&TcpStream>) -> Option<String> {
    let (mut id, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            if line.trim_end().is_empty() {
                break;
            }
            continue;
        };
        match name {
            "webhook-id" => id = Some(value.to_owned()),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    reader.read_exact(&mut vec![0; length]).ok()?;
    id
}
