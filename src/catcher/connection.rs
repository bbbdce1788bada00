//! One connection: hyper speaks the protocol, each request becomes a capture, and then it is answered.
//!
//! Deliberately does not know what becomes of a capture: it hands it over and goes on. It does not route either: every
//! method and every path is caught.
//!
//! Invariant: whatever is answered was handed over before. What is read and never answered is handed over too, as one
//! malformed capture.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::EXPECT;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::recording::Recording;
use super::script::{Script, Step};
use super::server::Stop;
use super::tape::{Arrival, Tape};
use super::{Limits, answer, closing};
use crate::capture::{Body, Capture};
use crate::store::Keeper;

/// How long a request that is being served when the catcher stops may take. Less than the catcher's own bound, so that
/// what is cut off is still handed over.
const DRAIN: Duration = Duration::from_millis(900);

/// hyper panics on a smaller buffer.
const HYPER_MIN_BUFFER: usize = 8192;

/// What all connections of a catcher have in common.
pub(super) struct Shared {
    pub script: Script,
    /// How many steps of the script were used.
    pub steps: Cell<u64>,
    pub limits: Limits,
    pub keeper: Arc<dyn Keeper>,
}

/// Serves one connection until it ends, or until the catcher stops and what is being answered is answered.
pub(super) async fn serve(stream: TcpStream, remote_addr: SocketAddr, shared: Rc<Shared>, mut stop: Stop) {
    // Answers are small and written whole: waiting for more to send would only delay them.
    let _ = stream.set_nodelay(true);
    let limits = shared.limits;
    let tape = Rc::new(RefCell::new(Tape::new(limits.head_bytes, limits.body_bytes)));
    let exchange = Rc::new(Exchange { shared, tape: Rc::clone(&tape), remote_addr, ending: Cell::new(Ending::Close) });
    let service = service_fn({
        let exchange = Rc::clone(&exchange);
        move |request| {
            let exchange = Rc::clone(&exchange);
            async move { exchange.answer(request).await }
        }
    });
    let mut connection = http1::Builder::new()
        // Without a timer hyper has no head deadline at all.
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_deadline)
        .max_header_size(limits.head_bytes)
        .max_buf_size(limits.head_bytes.max(HYPER_MIN_BUFFER))
        // A client may close its sending side and still wait for the answer, as `nc -N` does.
        .half_close(true)
        .serve_connection(TokioIo::new(Recording::new(stream, tape)), service);

    let ended = match stop.race(&mut connection).await {
        Some(ended) => Some(ended),
        None if exchange.tape.borrow().is_reading() => None,
        None => {
            Pin::new(&mut connection).graceful_shutdown();
            timeout(DRAIN, &mut connection).await.ok()
        }
    };
    let stream = connection.into_parts().io.into_inner().into_stream();
    exchange.close(stream, ended, &mut stop).await;
}

/// What is to be done with a connection that hyper is done with.
#[derive(Debug, Clone, Copy)]
enum Ending {
    Close,
    /// An answer was sent while the client may still be sending.
    Linger,
    Hold,
    Reset,
}

/// Why a request whose head was fine is not taken.
#[derive(Debug, Clone, Copy)]
enum Fault {
    TooLarge,
    TooSlow,
    /// The body broke off, its chunks are no chunks, or its length is told in two ways.
    Broken,
}

impl Fault {
    fn status(self) -> u16 {
        match self {
            Self::TooLarge => 413,
            Self::TooSlow => 408,
            Self::Broken => 400,
        }
    }
}

/// Ends the connection without an answer by hyper.
#[derive(Debug, thiserror::Error)]
#[error("deliberately not answered")]
struct NotAnswered;

/// One connection's requests, one after the other.
struct Exchange {
    shared: Rc<Shared>,
    tape: Rc<RefCell<Tape>>,
    remote_addr: SocketAddr,
    ending: Cell<Ending>,
}

impl Exchange {
    /// Captures one request, hands the capture over, and only then answers.
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, NotAnswered> {
        let Some((mut capture, arrival, conflicting)) = self.begin(&request) else {
            // To file bytes under the wrong request would be worse than to refuse this one.
            self.tape.borrow_mut().refuse(400);
            return Err(NotAnswered);
        };
        let (body, fault) = self.read_body(request).await;
        let fault = fault.or(conflicting.then_some(Fault::Broken));
        capture.malformed = fault.is_some();
        let step = fault.map_or_else(|| self.next_step(), |fault| Step::Status(fault.status()));
        if let Step::Status(status) = step {
            capture.answer.status = Some(status);
        }
        let handed_over = self.hand_over(capture, body, arrival).await;
        self.tape.borrow_mut().handed_over();
        match step {
            Step::Timeout => self.ending.set(Ending::Hold),
            Step::Reset => self.ending.set(Ending::Reset),
            // Nobody takes captures any more: this one cannot be acknowledged.
            Step::Status(_) if !handed_over => return Ok(answer::response(503, true)),
            Step::Status(status) => {
                if fault.is_some() {
                    self.ending.set(Ending::Linger);
                }
                return Ok(answer::response(status, fault.is_some()));
            }
        }
        Err(NotAnswered)
    }

    /// The capture of a request whose head has come, its arrival, and whether its head gives two lengths; `None` if the
    /// recording does not agree with hyper on which request this is.
    fn begin(&self, request: &Request<Incoming>) -> Option<(Capture, Arrival, bool)> {
        let mut tape = self.tape.borrow_mut();
        let message = tape.serve()?;
        let mut capture = self.capture(message.head.clone(), message.arrival);
        (capture.method() == request.method().as_str()).then(|| {
            capture.malformed = false;
            (capture, message.arrival, message.conflicting)
        })
    }

    fn capture(&self, head: Vec<u8>, arrival: Arrival) -> Capture {
        Capture::new(arrival.received_at, self.remote_addr, head)
    }

    /// The body as far as it came and is allowed, and what was wrong with it.
    async fn read_body(&self, request: Request<Incoming>) -> (Body, Option<Fault>) {
        let limit = self.shared.limits.body_bytes;
        let expects_continue = request.headers().contains_key(EXPECT);
        let mut body = request.into_body();
        if body.is_end_stream() {
            return (Body::default(), None);
        }
        if expects_continue && body.size_hint().lower() > limit as u64 {
            // Reading on would tell the client to go ahead.
            return (Body::default(), Some(Fault::TooLarge));
        }
        let mut kept = Vec::new();
        let reading = async {
            while let Some(frame) = body.frame().await {
                let Ok(frame) = frame else {
                    return Some(Fault::Broken);
                };
                let data = frame.into_data().unwrap_or_default();
                let room = limit - kept.len();
                kept.extend_from_slice(&data[..room.min(data.len())]);
                if data.len() > room {
                    return Some(Fault::TooLarge);
                }
            }
            None
        };
        let fault = timeout(self.shared.limits.body_deadline, reading).await.unwrap_or(Some(Fault::TooSlow));
        if let (Some(Fault::Broken), Some(message)) = (fault, self.tape.borrow().served()) {
            kept.clone_from(&message.wire_body);
        }
        (Body { bytes: kept, wire: None }, fault)
    }

    fn next_step(&self) -> Step {
        let index = self.shared.steps.get();
        self.shared.steps.set(index.saturating_add(1));
        self.shared.script.step(index)
    }

    /// Whether the capture was kept.
    async fn hand_over(&self, mut capture: Capture, body: Body, arrival: Arrival) -> bool {
        capture.answer.duration_ms = u64::try_from(arrival.at.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (report, kept) = oneshot::channel();
        let done = move |result: Result<_, _>| {
            // Nobody waits any more when the client went away.
            let _ = report.send(result.is_ok());
        };
        self.shared.keeper.keep(capture, body, Box::new(done));
        kept.await.unwrap_or(false)
    }

    /// Hands over what was read and not served, and ends the connection; `ended` is `None` when the catcher's stop cut it.
    async fn close(&self, stream: TcpStream, ended: Option<Result<(), hyper::Error>>, stop: &mut Stop) {
        let rest = self.tape.borrow_mut().take_rest();
        let mut refused = None;
        if let Some((bytes, arrival)) = rest {
            let mut capture = self.capture(bytes, arrival);
            let status = self.refusal(ended);
            capture.answer.status = status;
            let handed_over = self.hand_over(capture, Body::default(), arrival).await;
            refused = status.map(|status| if handed_over { status } else { 503 });
        }
        match (self.ending.get(), refused) {
            (Ending::Hold, _) => closing::hold(stream, stop).await,
            (Ending::Reset, _) => closing::reset(stream),
            (_, Some(status)) => closing::linger(stream, &answer::refusal(status), stop).await,
            (Ending::Linger, None) => closing::linger(stream, &[], stop).await,
            (Ending::Close, None) => {}
        }
    }

    /// The status for bytes that were not served: what hyper refused them with, and where it says nothing and the
    /// client may still be listening, what it could have said.
    fn refusal(&self, ended: Option<Result<(), hyper::Error>>) -> Option<u16> {
        match ended {
            // Stopped, or bytes after a last request.
            None | Some(Ok(())) => None,
            Some(Err(error)) => self.tape.borrow().refusal().or({
                if error.is_timeout() {
                    Some(408)
                } else if error.is_parse() || error.is_incomplete_message() {
                    Some(400)
                } else {
                    None
                }
            }),
        }
    }
}
