//! A TCP proxy in front of a server, which can freeze: it keeps connections open and passes nothing on.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(30);

pub struct Proxy {
    pub port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    is_frozen: bool,
    /// Freezes when a client sends this, at its so many-th time.
    freeze_at: Option<(&'static [u8], usize)>,
    /// Whether the bytes that freeze it are passed on before.
    passes_trigger: bool,
    connections: usize,
    /// What clients have sent.
    sent: Vec<u8>,
}

impl Proxy {
    pub fn to(server: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::<Shared>::default();
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect(("127.0.0.1", server)).unwrap();
                accepting.change(|state| state.connections += 1);
                let (from, to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                for (from, to, is_client) in [(client, server, true), (from, to, false)] {
                    let shared = Arc::clone(&accepting);
                    std::thread::spawn(move || shared.pass_on(from, to, is_client));
                }
            }
        });
        Proxy { port, shared }
    }

    /// Freezes when a client has sent these bytes so many times, before or after they are passed on.
    pub fn freeze_at(&self, bytes: &'static [u8], times: usize, passes: bool) {
        self.shared.change(|state| {
            state.freeze_at = Some((bytes, times));
            state.passes_trigger = passes;
        });
    }

    pub fn thaw(&self) {
        self.shared.change(|state| state.is_frozen = false);
    }

    /// Waits for this number of connections.
    pub fn wait_for_connections(&self, count: usize) {
        let state = self.shared.state.lock().unwrap();
        let waited = self
            .shared
            .changed
            .wait_timeout_while(state, DEADLINE, |state| state.connections < count);
        assert!(!waited.unwrap().1.timed_out(), "no {count} connections");
    }

    /// How many connections it has accepted.
    pub fn connections(&self) -> usize {
        self.shared.state.lock().unwrap().connections
    }

    /// What clients have sent.
    pub fn sent(&self) -> Vec<u8> {
        self.shared.state.lock().unwrap().sent.clone()
    }
}

impl Shared {
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
        self.changed.notify_all();
    }

    fn pass_on(&self, mut from: TcpStream, mut to: TcpStream, is_client: bool) {
        let mut bytes = [0; 65536];
        while let Ok(length @ 1..) = from.read(&mut bytes) {
            let bytes = &bytes[..length];
            let passes_first = is_client && self.record(bytes);
            if !passes_first {
                self.wait_until_thawed();
            }
            if to.write_all(bytes).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    }

    /// Returns whether the bytes are passed on although they have frozen the proxy.
    fn record(&self, bytes: &[u8]) -> bool {
        let mut passes = false;
        self.change(|state| {
            state.sent.extend(bytes);
            if let Some((trigger, times)) = state.freeze_at
                && bytes.windows(trigger.len()).any(|part| part == trigger)
            {
                state.is_frozen |= times == 1;
                passes = state.is_frozen && state.passes_trigger;
                state.freeze_at = (times > 1).then_some((trigger, times - 1));
            }
        });
        passes
    }

    fn wait_until_thawed(&self) {
        let state = self.state.lock().unwrap();
        let thawed = self.changed.wait_while(state, |state| state.is_frozen);
        drop(thawed.unwrap());
    }
}
