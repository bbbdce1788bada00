//! A running `hookfire listen`, and raw requests to it. Requests are sent byte for byte as given, and every wait has a
//! limit.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::env::TestEnv;
use super::outcome::Outcome;
use super::process::Running;

const TEST_TIMEOUT: Duration = Duration::from_secs(20);

/// `hookfire listen` on a free port, accepting requests.
#[must_use = "dropping the listener kills it"]
pub struct Listener {
    running: Running,
    ready: Value,
}

/// A response, read to its announced length or to the end of the connection.
#[derive(Debug)]
pub struct RawResponse {
    pub status: u16,
    /// Status line and headers as received.
    pub head: String,
    pub body: Vec<u8>,
}

impl Listener {
    /// Starts `hookfire listen --port 0 -o ndjson` with additional arguments.
    #[track_caller]
    pub fn start(env: &TestEnv, args: &[&str]) -> Listener {
        Listener::start_at(env, "0", args)
    }

    /// Like [`Listener::start`], on a port outside the range of ephemeral ports, so that another listener can use it
    /// afterwards.
    #[track_caller]
    pub fn start_to_be_followed(env: &TestEnv, args: &[&str]) -> Listener {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        // Parallel test runs start elsewhere.
        let first = 20_000 + (std::process::id() % 500) as u16 * 20;
        let port = (0..20)
            .map(|_| first + NEXT.fetch_add(1, Ordering::Relaxed) % 20)
            .find(|port| TcpListener::bind(("0.0.0.0", *port)).is_ok())
            .expect("a free port");
        Listener::start_at(env, &port.to_string(), args)
    }

    /// Like [`Listener::start`], from a shell that runs `line` first.
    #[track_caller]
    pub fn start_after(env: &TestEnv, line: &str, args: &str) -> Listener {
        let listen = format!(
            "exec '{}' listen --port 0 -o ndjson {args}",
            env!("CARGO_BIN_EXE_hookfire")
        );
        Listener::ready_of(env.shell(&format!("{line}; {listen}")).spawn())
    }

    /// Like [`Listener::start`], on this port.
    #[track_caller]
    pub fn start_at(env: &TestEnv, port: &str, args: &[&str]) -> Listener {
        let all = [&["listen", "--port", port, "-o", "ndjson"], args].concat();
        Listener::ready_of(env.hookfire(all).spawn())
    }

    #[track_caller]
    fn ready_of(mut running: Running) -> Listener {
        let ready = running.wait_for_stdout_line("\"ready\"");
        Listener {
            running,
            ready: serde_json::from_str(&ready).expect("the ready line is JSON"),
        }
    }

    /// The first line of output.
    pub fn ready(&self) -> &Value {
        &self.ready
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> &str {
        self.ready["url"]
            .as_str()
            .expect("the ready line has a URL")
    }

    pub fn port(&self) -> u16 {
        self.ready["port"]
            .as_u64()
            .and_then(|port| port.try_into().ok())
            .expect("the ready line has a port")
    }

    pub fn process(&mut self) -> &mut Running {
        &mut self.running
    }

    #[track_caller]
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], self.port())))
            .expect("the listener listens");
        stream
            .set_read_timeout(Some(TEST_TIMEOUT))
            .expect("a timeout can be set");
        stream
            .set_nodelay(true)
            .expect("the delay can be turned off");
        stream
    }

    /// Sends these bytes on a new connection and reads one response.
    #[track_caller]
    pub fn send(&self, bytes: impl AsRef<[u8]>) -> RawResponse {
        let mut stream = self.connect();
        stream
            .write_all(bytes.as_ref())
            .expect("the request can be sent");
        read_response(&mut stream)
    }

    #[track_caller]
    pub fn get(&self, target: &str) -> RawResponse {
        self.send(format!(
            "GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n",
            self.port()
        ))
    }

    #[track_caller]
    pub fn post(&self, target: &str, body: &str) -> RawResponse {
        let length = body.len();
        self.send(format!(
            "POST {target} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Length: {length}\r\n\r\n{body}",
            self.port()
        ))
    }

    /// Sends requests on one connection and waits for `count` responses.
    #[track_caller]
    pub fn pipeline(&self, requests: Vec<u8>, count: usize) {
        let mut stream = self.connect();
        let mut writer = stream.try_clone().expect("a second handle");
        let writing = std::thread::spawn(move || writer.write_all(&requests));
        let (mut buffer, mut seen, mut kept) = ([0; 65_536], 0, Vec::new());
        while seen < count {
            let read = stream
                .read(&mut buffer)
                .expect("the responses come in time");
            assert!(read > 0, "closed after {seen} of {count} responses");
            kept.extend_from_slice(&buffer[..read]);
            seen += kept.windows(9).filter(|word| word == b"HTTP/1.1 ").count();
            // Keep a possible start of the next match.
            kept.drain(..kept.len().saturating_sub(8));
        }
        writing
            .join()
            .expect("the writer ends")
            .expect("the requests can be sent");
    }

    /// Requests in the inbox from the RequestBin API, newest first.
    #[track_caller]
    pub fn inbox(&self) -> Vec<Value> {
        let response = self.get("/api/v1/bins/inbox/requests");
        assert_eq!(response.status, 200, "{response:?}");
        response.json().as_array().expect("an array").clone()
    }

    /// Sends SIGTERM and expects exit code 0.
    #[track_caller]
    pub fn stop(mut self) -> Outcome {
        self.running.terminate();
        self.wait()
    }

    /// Waits for the process to exit with code 0.
    #[track_caller]
    pub fn wait(self) -> Outcome {
        self.running.wait().assert_code(0)
    }
}

impl RawResponse {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (given, value) = line.split_once(':')?;
            given.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the response's body is text")
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

/// Reads one response, to its `Content-Length` or to the end of the connection.
#[track_caller]
pub fn read_response(stream: &mut TcpStream) -> RawResponse {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        assert!(
            read_more(stream, &mut bytes),
            "the response breaks off: {:?}",
            String::from_utf8_lossy(&bytes)
        );
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .expect("a status line");
    let mut response = RawResponse {
        status,
        head,
        body: bytes[head_end..].to_vec(),
    };
    let length = response
        .header("content-length")
        .and_then(|length| length.parse::<usize>().ok());
    while length.is_none_or(|length| response.body.len() < length)
        && read_more(stream, &mut response.body)
    {}
    response
}

#[track_caller]
fn read_more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> bool {
    let mut piece = [0; 8192];
    let read = stream.read(&mut piece).expect("the response comes in time");
    bytes.extend_from_slice(&piece[..read]);
    read > 0
}
