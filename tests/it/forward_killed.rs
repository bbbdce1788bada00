//! `listen --forward-later` killed at random moments under load, with a receiver that is down half of the time: what was
//! answered with 200 arrives, as it was received, and again only if the journal says so.
//!
//! A failure prints its seed; `HOOKFIRE_KILL_SEED` repeats it with nearly the same moments.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::batch_killed::{Random, SEED_VARIABLE, seed, tell};
use crate::forward_later::{closed_port, wait_until};
use crate::support::postgres::postgres_server;
use crate::support::{Listener, TestEnv};

const CLIENTS: u32 = 4;

/// The number of a request, which every request carries.
const NUMBER: &str = "x-number";

/// How long the receiver stays up or down.
const PHASE: Duration = Duration::from_millis(700);

#[test]
fn listener_killed_while_forwarding_loses_nothing() {
    killed(&TestEnv::new(), 2);
}

#[test]
#[ignore = "long: runs in CI"]
fn listener_killed_twenty_times_while_forwarding_loses_nothing() {
    killed(&TestEnv::new(), 20);
}

#[test]
#[ignore = "long: runs in CI"]
fn listener_killed_while_forwarding_from_postgres_loses_nothing() {
    let Some(server) = postgres_server() else {
        return;
    };
    let mut env = TestEnv::new();
    env.set("HOOKFIRE_JOURNAL", server.url(&server.new_database()));
    env.hookfire(["journal", "migrate"]).run().assert_code(0);
    killed(&env, 6);
}

/// Kills the listener this many times, then compares the accepted requests with those that arrived.
fn killed(env: &TestEnv, times: u32) {
    let seed = seed();
    tell(&format!("{SEED_VARIABLE}={seed}"));
    let mut chance = Random::new(seed);
    let receiver = FlakyReceiver::start();
    let senders = Senders::start();
    let (to, port) = (receiver.url(), senders.port.to_string());
    let args = ["--forward-later", "--forward-to", &to, "--retry-interval"];
    let args = [&args[..], &["50ms", "--retries", "1000", "--keep", "1"]].concat();
    for _ in 0..times {
        let mut listener = Listener::start_at(env, &port, &args);
        thread::sleep(Duration::from_millis(200 + chance.below(1_300)));
        listener.process().kill9();
    }
    let answered = senders.stop();
    receiver.stay_up();
    let listener = Listener::start_at(env, &port, &args);
    let deadline = Instant::now() + Duration::from_secs(100);
    while !answered.is_subset(&receiver.numbers()) && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(50));
    }
    while undelivered(env) > 0 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(50));
    }
    listener.stop();
    assert!(answered.len() > 10 * times as usize, "{}", answered.len());
    assert_eq!(undelivered(env), 0);
    let arrived = receiver.arrived();
    let missing: Vec<&u32> = answered
        .iter()
        .filter(|number| !arrived.contains_key(number))
        .collect();
    assert!(missing.is_empty(), "{missing:?} of {}", answered.len());
    for (number, requests) in &arrived {
        for request in requests {
            assert_eq!(request.head_and_body(), expected(*number), "{request:?}");
        }
    }
    check_repeated(env, &arrived, times);
}

/// Each arrival is an attempt of one delivery, and those without a recorded response are marked.
fn check_repeated(env: &TestEnv, arrived: &BTreeMap<u32, Vec<Arrived>>, times: u32) {
    let attempts = attempts(env);
    let mut ids = HashSet::new();
    let mut repeated = 0;
    for (number, requests) in arrived {
        let id = requests[0].id();
        assert!(
            requests.iter().all(|request| request.id() == id),
            "{number}"
        );
        assert!(ids.insert(id.clone()), "two deliveries of {number}");
        repeated += requests.len() - 1;
        let Some((delivered, maybe)) = attempts.get(&id) else {
            // The journal has a sender's id until the capture is deleted.
            assert!(id.starts_with("msg_"), "the journal does not have {id}");
            continue;
        };
        assert_eq!(*delivered, 1, "{number}");
        assert!(
            requests.len() <= 1 + maybe,
            "{number} arrived {} times, with {maybe} marked attempts",
            requests.len()
        );
    }
    let all = arrived.len();
    tell(&format!(
        "{all} requests, {times} kills, {repeated} repeated"
    ));
}

/// Deliveries that are not delivered.
fn undelivered(env: &TestEnv) -> usize {
    let list = |status: &str| {
        let args = ["journal", "list", "--status", status, "-o", "ndjson"];
        env.hookfire(args).run().assert_code(0).ndjson().len()
    };
    ["pending", "failed", "interrupted"].map(list).iter().sum()
}

/// For each `webhook-id`: successful attempts, and those marked with `maybe_received`.
fn attempts(env: &TestEnv) -> HashMap<String, (usize, usize)> {
    let file = env.work_dir().join("export.db");
    env.hookfire(["journal", "export"])
        .arg(&file)
        .deadline(Duration::from_secs(60))
        .run()
        .assert_code(0);
    let journal = rusqlite::Connection::open(&file).unwrap();
    let mut statement = journal
        .prepare(
            "SELECT uuid, head, sum(http_status = 200 AND attempts.error_kind IS NULL), sum(maybe_received)
             FROM deliveries JOIN attempts ON delivery_id = deliveries.id
             LEFT JOIN captures ON captures.id = capture_id GROUP BY deliveries.id",
        )
        .unwrap();
    let rows = statement.query_map([], |row| {
        let uuid: String = row.get(0)?;
        let head: Option<Vec<u8>> = row.get(1)?;
        let head = String::from_utf8_lossy(&head.unwrap_or_default()).into_owned();
        let own = head
            .lines()
            .find_map(|line| line.strip_prefix("Webhook-Id: "));
        let id = own.map_or(uuid, str::to_owned);
        Ok((id, (row.get(2)?, row.get(3)?)))
    });
    rows.unwrap().map(Result::unwrap).collect()
}

/// The bytes of a request and its connection's framing, for each number another kind.
fn request(number: u32) -> Vec<u8> {
    let line = match number % 5 {
        3 => format!("PUT /a%2Fb/c%20d/{number}?q=%41&x='y'&q=2"),
        4 => format!("DELETE /{number}?"),
        _ => format!("POST /hook/{number}"),
    };
    let mut request = format!("{line} HTTP/1.1\r\nHost: hooks.example\r\nX-Number: {number}\r\n");
    if number.is_multiple_of(3) {
        request += &format!("Webhook-Id: msg_{number}\r\n");
    }
    let mut request = request.into_bytes();
    let body = body(number);
    match number % 5 {
        0 => {
            request.extend(b"X-A: 1\r\nX-B: b\r\nx-a: caf\xe9\r\nX-A: 1\r\n");
            request.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
            request.extend(body);
        }
        1 => {
            request.extend(b"Connection: X-Hop\r\nX-Hop: 1\r\nTransfer-Encoding: chunked\r\n\r\n");
            for part in body.chunks(7) {
                request.extend(format!("{:x}\r\n", part.len()).bytes());
                request.extend(part);
                request.extend(b"\r\n");
            }
            request.extend(b"0\r\n\r\n");
        }
        4 => request.extend(b"Accept:  a, b \r\n\r\n"),
        _ => {
            request.extend(b"Content-Encoding: gzip\r\n");
            request.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
            request.extend(body);
        }
    }
    request
}

fn body(number: u32) -> Vec<u8> {
    match number % 5 {
        4 => Vec::new(),
        // The bytes of a gzip header; the rest is not gzip, and nothing may decode it.
        2 | 3 => [
            &b"\x1f\x8b\x08\0"[..],
            &number.to_le_bytes(),
            b"\0\r\n\r\n\xff",
        ]
        .concat(),
        _ => format!("<event>{number}</event>").into_bytes(),
    }
}

/// The request line, the headers without those that forwarding sets, and the body.
fn expected(number: u32) -> (Vec<u8>, Vec<Vec<u8>>, Vec<u8>) {
    let line = match number % 5 {
        3 => format!("PUT /base/a%2Fb/c%20d/{number}?q=%41&x='y'&q=2 HTTP/1.1"),
        4 => format!("DELETE /base/{number}? HTTP/1.1"),
        _ => format!("POST /base/hook/{number} HTTP/1.1"),
    };
    let mut headers = vec![format!("{NUMBER}: {number}").into_bytes()];
    if number.is_multiple_of(3) {
        headers.push(format!("webhook-id: msg_{number}").into_bytes());
    }
    let others: &[&[u8]] = match number % 5 {
        0 => &[b"x-a: 1", b"x-b: b", b"x-a: caf\xe9", b"x-a: 1"],
        1 => &[],
        4 => &[b"accept: a, b"],
        _ => &[b"content-encoding: gzip"],
    };
    headers.extend(others.iter().map(|header| header.to_vec()));
    (line.into_bytes(), by_name(headers), body(number))
}

/// The order of headers matters for those with the same name.
fn by_name(mut headers: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    headers.sort_by_key(|header| name_of(&String::from_utf8_lossy(header)).to_owned());
    headers
}

fn name_of(header: &str) -> &str {
    header.split(':').next().unwrap_or_default()
}

/// Clients of a port at which the listener comes and goes.
struct Senders {
    port: u16,
    stopping: Arc<AtomicBool>,
    clients: Vec<thread::JoinHandle<HashSet<u32>>>,
}

impl Senders {
    fn start() -> Senders {
        let (port, stopping) = (closed_port(), Arc::new(AtomicBool::new(false)));
        let numbers = Arc::new(AtomicU32::new(1));
        let client = |_| {
            let (numbers, stopping) = (Arc::clone(&numbers), Arc::clone(&stopping));
            thread::spawn(move || {
                let mut answered = HashSet::new();
                while !stopping.load(Ordering::Relaxed) {
                    if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
                        while !stopping.load(Ordering::Relaxed) {
                            let number = numbers.fetch_add(1, Ordering::Relaxed);
                            if !is_accepted(&mut stream, number) {
                                break;
                            }
                            answered.insert(number);
                            thread::sleep(Duration::from_millis(3));
                        }
                    }
                    thread::sleep(Duration::from_millis(5));
                }
                answered
            })
        };
        let clients = (0..CLIENTS).map(client).collect();
        Senders {
            port,
            stopping,
            clients,
        }
    }

    /// The numbers of the requests that were answered with 200.
    fn stop(self) -> HashSet<u32> {
        self.stopping.store(true, Ordering::Relaxed);
        let clients = self.clients.into_iter();
        clients.flat_map(|client| client.join().unwrap()).collect()
    }
}

/// Sends a request; returns false if the connection ends before its response.
fn is_accepted(stream: &mut TcpStream, number: u32) -> bool {
    let limit = Some(Duration::from_secs(20));
    stream.set_read_timeout(limit).unwrap();
    if stream.write_all(&request(number)).is_err() {
        return false;
    }
    let (mut response, mut bytes) = (Vec::new(), [0; 4096]);
    while !response.ends_with(b"\r\n\r\nok") {
        match stream.read(&mut bytes) {
            Ok(read) if read > 0 => response.extend_from_slice(&bytes[..read]),
            _ => return false,
        }
    }
    assert!(response.starts_with(b"HTTP/1.1 200 "), "{response:?}");
    true
}

/// A request as it arrived.
#[derive(Debug)]
struct Arrived {
    line: Vec<u8>,
    headers: Vec<Vec<u8>>,
    body: Vec<u8>,
}

impl Arrived {
    fn header(&self, name: &str) -> Option<String> {
        let values = self.headers.iter().filter_map(|header| {
            let header = String::from_utf8_lossy(header);
            let (own, value) = header.split_once(": ")?;
            (own == name).then(|| value.to_owned())
        });
        let values: Vec<String> = values.collect();
        assert!(values.len() <= 1, "{name}: {values:?}");
        values.into_iter().next()
    }

    fn id(&self) -> String {
        self.header("webhook-id").expect("an id")
    }

    fn head_and_body(&self) -> (Vec<u8>, Vec<Vec<u8>>, Vec<u8>) {
        assert_eq!(self.header("hookfire-hops").as_deref(), Some("1"));
        let own_id = !self.id().starts_with("msg_");
        let is_forwardings = |header: &Vec<u8>| {
            let header = String::from_utf8_lossy(header);
            let name = name_of(&header);
            matches!(name, "host" | "content-length" | "hookfire-hops")
                || header == "accept: */*"
                || name == "webhook-id" && own_id
        };
        let headers = self.headers.iter();
        let headers = headers.filter(|header| !is_forwardings(header)).cloned();
        (
            self.line.clone(),
            by_name(headers.collect()),
            self.body.clone(),
        )
    }
}

/// A receiver that is down half of the time: nothing listens, or it ends connections without a response.
struct FlakyReceiver {
    port: u16,
    shared: Arc<ReceiverState>,
}

#[derive(Default)]
struct ReceiverState {
    arrived: Mutex<BTreeMap<u32, Vec<Arrived>>>,
    stays_up: AtomicBool,
    /// Reads requests and does not respond.
    is_silent: AtomicBool,
    /// Connections of earlier phases end.
    phase: AtomicU32,
}

impl FlakyReceiver {
    fn start() -> FlakyReceiver {
        let (port, shared) = (closed_port(), Arc::new(ReceiverState::default()));
        let serving = Arc::clone(&shared);
        thread::spawn(move || serving.run(port));
        FlakyReceiver { port, shared }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/base", self.port)
    }

    fn stay_up(&self) {
        self.shared.stays_up.store(true, Ordering::SeqCst);
    }

    fn numbers(&self) -> HashSet<u32> {
        self.shared
            .arrived
            .lock()
            .unwrap()
            .keys()
            .copied()
            .collect()
    }

    fn arrived(&self) -> BTreeMap<u32, Vec<Arrived>> {
        std::mem::take(&mut self.shared.arrived.lock().unwrap())
    }
}

impl ReceiverState {
    fn run(self: Arc<Self>, port: u16) {
        loop {
            self.phase.fetch_add(1, Ordering::SeqCst);
            let listener = bind(port);
            self.accept(&listener, false);
            self.accept(&listener, true);
            drop(listener);
            self.phase.fetch_add(1, Ordering::SeqCst);
            if !self.stays_up.load(Ordering::SeqCst) {
                thread::sleep(PHASE / 2);
            }
        }
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener, is_silent: bool) {
        self.is_silent.store(is_silent, Ordering::SeqCst);
        listener.set_nonblocking(true).unwrap();
        let end = Instant::now() + if is_silent { PHASE / 2 } else { PHASE };
        let stays_up = || self.stays_up.load(Ordering::SeqCst);
        while stays_up() && !is_silent || Instant::now() < end && !(stays_up() && is_silent) {
            let Ok((stream, _)) = listener.accept() else {
                thread::sleep(Duration::from_millis(1));
                continue;
            };
            stream.set_nonblocking(false).unwrap();
            let shared = Arc::clone(self);
            thread::spawn(move || shared.serve(&stream));
        }
    }

    fn serve(&self, stream: &TcpStream) {
        let phase = self.phase.load(Ordering::SeqCst);
        let mut reader = BufReader::new(stream);
        while let Some(request) = read_request(&mut reader) {
            if self.phase.load(Ordering::SeqCst) != phase {
                return;
            }
            let number = request.header(NUMBER).expect("a number");
            let number = number.parse().expect("a number");
            let mut arrived = self.arrived.lock().unwrap();
            arrived.entry(number).or_default().push(request);
            drop(arrived);
            if self.is_silent.load(Ordering::SeqCst) {
                return;
            }
            let response = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            if (&*stream).write_all(response).is_err() {
                return;
            }
        }
    }
}

/// Binds the receiver's own port. A process that is being started keeps the earlier listener open for a moment.
fn bind(port: u16) -> TcpListener {
    wait_until("its port is free", || {
        TcpListener::bind(("127.0.0.1", port)).ok()
    })
}

/// None at the end of the connection.
fn read_request(reader: &mut impl BufRead) -> Option<Arrived> {
    let mut line = || {
        let mut line = Vec::new();
        reader.read_until(b'\n', &mut line).ok()?;
        line.strip_suffix(b"\r\n").map(<[u8]>::to_vec)
    };
    let mut request = Arrived {
        line: line()?,
        headers: Vec::new(),
        body: Vec::new(),
    };
    loop {
        let header = line()?;
        if header.is_empty() {
            break;
        }
        request.headers.push(header);
    }
    let length = request.header("content-length");
    let length: usize = length.map_or(Some(0), |length| length.parse().ok())?;
    request.body = vec![0; length];
    reader.read_exact(&mut request.body).ok()?;
    Some(request)
}
