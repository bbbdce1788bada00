//! What a scripted server does with a connection: complete, cut off, slow or endless responses, silence, and resets.
//!
//! Endless actions stop with the server, with the peer, after [`LONGEST`] or after [`MOST`] bytes.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::received::Received;

pub const LONGEST: Duration = Duration::from_secs(60);
/// Bytes that an endless step sends at most.
const MOST: u64 = 256 << 20;

#[derive(Debug, Clone)]
pub enum Action {
    Response(Response),
    Raw(Vec<u8>),
    DripHead(Duration),
    EndlessHeaders,
    Close,
    Reset,
    Hang,
    HangBeforeRead,
    /// Responds before the request is read, then closes or stays open.
    Early {
        response: Vec<u8>,
        close: bool,
    },
    /// Sends these bytes, waits until they have arrived, and resets the connection.
    RawThenReset(Vec<u8>),
}

#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub reason: Option<String>,
    pub headers: Vec<(String, String)>,
    pub body: Body,
    pub keep_alive: bool,
    pub held: bool,
    /// Delay before each [`PIECE`](super::server::PIECE) of the request is read.
    pub pace: Duration,
}

#[derive(Debug, Clone)]
pub enum Body {
    Bytes(Vec<u8>),
    Echo,
    Cut { declared: u64, sent: u64 },
    Drip { interval: Duration, byte: u8 },
    Huge(u64),
    Chunks,
}

/// What to do with the connection after a step.
#[derive(Debug, PartialEq, Eq)]
pub enum After {
    Close,
    Reset,
    KeepAlive,
    /// The step reached its time limit; the test should have ended it.
    TimedOut,
}

impl Action {
    /// Whether the action ignores the request, which is then not recorded.
    pub fn comes_before_reading(&self) -> bool {
        matches!(self, Self::HangBeforeRead | Self::Early { .. })
    }

    pub fn pace(&self) -> Duration {
        if let Self::Response(response) = self {
            response.pace
        } else {
            Duration::ZERO
        }
    }

    /// Performs the action on a connection. An error means that the peer or the server has gone.
    pub fn perform(
        &self,
        stream: &mut &TcpStream,
        request: Option<&Received>,
        halt: &StopSignal,
    ) -> io::Result<After> {
        match self {
            Self::Response(response) => response.send(stream, request.expect("it was read"), halt),
            Self::Raw(bytes) => stream.write_all(bytes).map(|()| After::Close),
            Self::DripHead(interval) => {
                let head = b"HTTP/1.1 200 OK\r\nX-Drip: ".iter().copied();
                drip(stream, head.chain(std::iter::repeat(b'a')), *interval, halt)
            }
            Self::EndlessHeaders => {
                stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
                let line = format!("X-More: {}\r\n", "a".repeat(1000));
                pour(stream, line.as_bytes(), MOST)
            }
            Self::Close => Ok(After::Close),
            Self::Reset => Ok(After::Reset),
            Self::Hang | Self::HangBeforeRead => Ok(halt.hang()),
            Self::Early { response, close } => {
                stream.write_all(response)?;
                if *close {
                    Ok(After::Close)
                } else {
                    Ok(halt.hang())
                }
            }
            Self::RawThenReset(bytes) => {
                stream.write_all(bytes)?;
                halt.pause(Duration::from_millis(50));
                Ok(After::Reset)
            }
        }
    }
}

impl Response {
    fn send(
        &self,
        stream: &mut &TcpStream,
        request: &Received,
        halt: &StopSignal,
    ) -> io::Result<After> {
        if self.held && !halt.wait_for_release() {
            return Ok(After::TimedOut);
        }
        let echoed = echoed(request);
        let body = match &self.body {
            Body::Bytes(bytes) => bytes.as_slice(),
            Body::Echo => echoed.as_bytes(),
            _ => &[],
        };
        let mut bytes = self.head(body.len(), &request.target).into_bytes();
        let bodiless = request.method == "HEAD" || matches!(self.status, 100..200 | 204 | 304);
        if !bodiless {
            // One write, so that a small response is one packet.
            bytes.extend_from_slice(body);
        }
        stream.write_all(&bytes)?;
        let end = if self.keep_alive {
            After::KeepAlive
        } else {
            After::Close
        };
        match self.body {
            _ if bodiless => Ok(end),
            Body::Bytes(_) | Body::Echo => Ok(end),
            Body::Cut { sent, .. } => pour(stream, &[b'a'; 4096], sent),
            Body::Drip { interval, byte } => drip(stream, std::iter::repeat(byte), interval, halt),
            Body::Huge(total) => pour(stream, &[0; 65536], total).map(|_| end),
            Body::Chunks => pour(
                stream,
                format!("1000\r\n{}\r\n", "a".repeat(0x1000)).as_bytes(),
                MOST,
            ),
        }
    }

    fn head(&self, body_length: usize, target: &str) -> String {
        let own = |name: &str| {
            self.headers
                .iter()
                .any(|(known, _)| known.eq_ignore_ascii_case(name))
        };
        let reason = self
            .reason
            .as_deref()
            .unwrap_or_else(|| usual_reason(self.status));
        let mut head = format!("HTTP/1.1 {} {reason}\r\n", self.status);
        let mut add = |name: &str, value: &str| {
            write!(head, "{name}: {value}\r\n").expect("a string takes everything")
        };
        let length = match self.body {
            Body::Bytes(_) | Body::Echo => Some(body_length as u64),
            Body::Cut { declared, .. } => Some(declared),
            Body::Drip { .. } => Some(1 << 30),
            Body::Huge(total) => Some(total),
            Body::Chunks => None,
        };
        if !own("content-length")
            && !own("transfer-encoding")
            && !matches!(self.status, 100..200 | 204 | 304)
        {
            match length {
                Some(length) => add("Content-Length", &length.to_string()),
                None => add("Transfer-Encoding", "chunked"),
            }
        }
        if !self.keep_alive && !own("connection") {
            add("Connection", "close");
        }
        if matches!(self.body, Body::Echo) {
            add("X-Echo", target);
        }
        self.headers
            .iter()
            .for_each(|(name, value)| add(name, value));
        head.push_str("\r\n");
        head
    }
}

fn echoed(request: &Received) -> String {
    let headers: String = request
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\n"))
        .collect();
    format!("{} {}\n{headers}", request.method, request.target)
}

/// Sends `piece` repeatedly, `total` bytes in all.
fn pour(stream: &mut &TcpStream, piece: &[u8], total: u64) -> io::Result<After> {
    let limit = Instant::now() + LONGEST;
    let mut left = total;
    while left > 0 && Instant::now() < limit {
        let next = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        stream.write_all(&piece[..next])?;
        left -= next as u64;
    }
    Ok(After::Close)
}

/// Sends one byte per `interval` until the server stops, the peer leaves or [`LONGEST`] is over.
fn drip(
    stream: &mut &TcpStream,
    bytes: impl Iterator<Item = u8>,
    interval: Duration,
    halt: &StopSignal,
) -> io::Result<After> {
    let limit = Instant::now() + LONGEST;
    for byte in bytes {
        stream.write_all(&[byte])?;
        if !halt.pause(interval) {
            return Ok(After::Close);
        }
        if Instant::now() >= limit {
            break;
        }
    }
    Ok(After::TimedOut)
}

fn usual_reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        408 => "Request Timeout",
        410 => "Gone",
        413 => "Content Too Large",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        // HTTP allows an empty reason phrase.
        _ => "",
    }
}

/// Stops waiting steps, or releases held responses.
#[derive(Default)]
pub struct StopSignal {
    state: Mutex<Signals>,
    changed: Condvar,
}

#[derive(Default)]
struct Signals {
    stopped: bool,
    released: usize,
}

impl StopSignal {
    pub fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    /// Releases `n` held responses, now or when they are reached.
    pub fn release(&self, n: usize) {
        self.lock().released += n;
        self.changed.notify_all();
    }

    /// Waits for the server to stop.
    pub fn hang(&self) -> After {
        if self.pause(LONGEST) {
            After::TimedOut
        } else {
            After::Close
        }
    }

    /// Returns `false` if the server stopped meanwhile.
    fn pause(&self, time: Duration) -> bool {
        !self.wait_while(time, |signals| !signals.stopped).stopped
    }

    /// Returns `false` on timeout.
    fn wait_for_release(&self) -> bool {
        let mut signals =
            self.wait_while(LONGEST, |signals| !signals.stopped && signals.released == 0);
        let released = signals.released > 0;
        signals.released = signals.released.saturating_sub(1);
        released || signals.stopped
    }

    fn wait_while(
        &self,
        time: Duration,
        still: impl Fn(&Signals) -> bool,
    ) -> MutexGuard<'_, Signals> {
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), time, |signals| still(signals));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn lock(&self) -> MutexGuard<'_, Signals> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
