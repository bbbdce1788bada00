//! A request and its answer: what comes becomes a capture, is kept, and is answered as planned.
//!
//! Deliberately does not know what becomes of a capture, nor what a reserved path shows: see `front`.
//!
//! Invariant: whatever is answered is committed before, but for what reserved paths show.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::Request;
use hyper::body::{Body as _, Incoming};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{sleep, timeout};
use tower::ServiceExt as _;

use super::answer::{self, Dress, Sent};
use super::bell::Bell;
use super::budget::Budget;
use super::courier::Courier;
use super::demanded::Demanded;
use super::forward::{self, Forwarder};
use super::script::{self, Action, Script, Step};
use super::seats::{Seat, Seats};
use super::server::Stop;
use super::setup::{Bound, Limits, WebUi};
use super::stream::HttpStream;
use super::tape::{Arrival, FRAMING, Tape};
use super::tls::Tls;
use crate::capture::{self, Body, Capture};
use crate::journal::store::{Keeper, SharedCapture};
use crate::text::size;
use crate::time::compact;

/// Bytes that the body of a request to the web UI may have.
const WEB_BODY: usize = 1024 * 1024;

/// What all connections of a catcher have in common.
pub(super) struct Shared {
    pub script: Script,
    /// How many steps of the script were used.
    pub steps: Cell<u64>,
    pub dress: Dress,
    pub status_in_path: bool,
    pub demanded: Demanded,
    pub limits: Limits,
    pub budget: Rc<Budget>,
    pub keeper: Arc<dyn Keeper>,
    /// How many captures are being kept.
    pub keeping: Cell<usize>,
    pub bell: Arc<Bell>,
    pub courier: Courier,
    pub forwarder: Option<Forwarder>,
    pub web: Option<WebUi>,
    pub web_calls: Semaphore,
    pub bound: Bound,
    pub tls: Option<Tls>,
    pub seats: Seats,
}

impl Shared {
    /// Has a capture kept; `None` if it could not be, and must not be acknowledged.
    /// If it was kept, only its id is given, so that nobody holds its batch while its answer is due.
    pub(super) async fn keep(&self, capture: Capture, body: Body) -> Option<i64> {
        self.keep_and_hold(capture, body)
            .await
            .map(|kept| kept.caught.id)
    }

    /// As [`Shared::keep`], for who has use for all of it.
    pub(super) async fn keep_and_hold(
        &self,
        capture: Capture,
        body: Body,
    ) -> Option<SharedCapture> {
        let _keeping = Keeping::new(&self.keeping);
        self.courier.keep(capture, body).await
    }

    /// Whether a capture is being kept, so that somebody is about to be answered.
    pub(super) fn is_keeping(&self) -> bool {
        self.keeping.get() > 0
    }

    /// Has it recorded that a request which was kept was not answered as planned.
    async fn record(&self, id: i64, answer: capture::CapturedResponse) {
        let (report, recorded) = oneshot::channel();
        let bell = Arc::clone(&self.bell);
        let done = move |result: Result<(), _>| {
            bell.amended(&result);
            // The connection may have been cut meanwhile.
            let _ = report.send(());
        };
        self.keeper.amend(id, answer, Box::new(done));
        // If it cannot be recorded, there is nobody who could be told but by the bell.
        let _ = recorded.await;
    }

    fn next_step(&self, path: &str) -> Step {
        if self.status_in_path
            && let Some(status) = script::status_in(path)
        {
            return Step {
                action: Action::Status(status),
                delay: Duration::ZERO,
            };
        }
        let index = self.steps.get();
        self.steps.set(index.saturating_add(1));
        self.script.step(index)
    }
}

/// Counts a capture as being kept for as long as this is waited for.
struct Keeping<'a>(&'a Cell<usize>);

impl<'a> Keeping<'a> {
    fn new(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Keeping<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// What is to be done with a connection that hyper is done with.
pub(super) enum Ending {
    Close,
    /// An answer was sent while the client may still be sending.
    Linger,
    /// The client was silent, and others want its seat.
    Part,
    Hold,
    Reset,
}

/// Why somebody who made room for others is refused.
pub(super) const SILENT: &str = "its client was silent while others wanted its place";

/// Why a request whose head was fine is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    TooLarge,
    /// Too many bytes of chunk sizes and trailers.
    TooMuchFraming,
    TooSlow,
    /// The client was silent, and others wanted its place.
    Silent,
    /// There was no memory for it in time.
    NoRoom,
    /// The connection ended within the body.
    BrokenOff,
    /// The chunks are no chunks.
    Broken,
    /// The head tells the body's length in two ways.
    Conflicting,
    /// HTTP where TLS is spoken.
    NotTls,
    /// Without a secret that is demanded, or with a wrong one.
    WrongSecret,
}

impl Fault {
    pub(super) fn status(self) -> u16 {
        match self {
            Self::TooLarge | Self::TooMuchFraming => 413,
            Self::TooSlow | Self::Silent => 408,
            Self::NoRoom => 503,
            Self::BrokenOff | Self::Broken | Self::Conflicting | Self::NotTls => 400,
            Self::WrongSecret => 403,
        }
    }

    /// Why, for whoever looks at the capture; none where the capture says so itself.
    fn why(self, limits: &Limits) -> Option<String> {
        Some(match self {
            Self::TooLarge => format!("its body is longer than {}", size(limits.body_bytes as u64)),
            Self::TooMuchFraming => format!(
                "its chunk sizes and trailers are longer than {}",
                size(FRAMING as u64)
            ),
            Self::TooSlow => format!(
                "its body was not whole within {}",
                compact(limits.body_deadline)
            ),
            Self::Silent => SILENT.to_owned(),
            Self::NoRoom => format!(
                "others took all {} that may be buffered",
                size(limits.buffered_bytes as u64)
            ),
            Self::BrokenOff => {
                "its client ended the connection before the body was whole".to_owned()
            }
            Self::Broken => "its chunks cannot be read as such".to_owned(),
            Self::Conflicting => "it has both a Content-Length and a Transfer-Encoding".to_owned(),
            Self::NotTls => "it is plain HTTP, and this port speaks TLS".to_owned(),
            Self::WrongSecret => return None,
        })
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::NotTls => "this port speaks TLS: use https",
            _ => answer::reason(self.status()),
        }
    }

    /// Whether the request was not taken in whole, so that nothing on its connection can be trusted any more.
    fn is_malformed(self) -> bool {
        self != Self::WrongSecret
    }
}

/// Ends the connection without an answer by hyper.
#[derive(Debug, thiserror::Error)]
#[error("deliberately not answered")]
pub(super) struct NotAnswered;

/// One connection's requests, one after the other.
pub(super) struct Exchange {
    pub shared: Rc<Shared>,
    pub tape: Rc<RefCell<Tape>>,
    pub seat: Rc<Seat>,
    /// Where it comes from; gone when hyper is done with it.
    pub wire: Weak<RefCell<HttpStream>>,
    pub remote_addr: SocketAddr,
    pub ending: RefCell<Ending>,
    /// The capture that is being answered by the script, with its status.
    pub answering: Cell<Option<(i64, u16)>>,
    /// Whether this is a plain connection where TLS is spoken.
    pub misplaced: bool,
    pub stop: Stop,
}

impl Exchange {
    /// Answers one request: shows what a reserved path asks for, and catches everything else.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Result<Sent, NotAnswered> {
        let Some((arrival, conflicting)) = self.begin(&request) else {
            // To file bytes under the wrong request would be worse than to refuse this one.
            self.tape.borrow_mut().refuse(400);
            return Err(NotAnswered);
        };
        if let Some(web) = &self.shared.web
            && !conflicting
            && !self.misplaced
            && (web.reserves)(request.method(), request.uri())
        {
            self.tape.borrow_mut().waive();
            return Ok(Box::pin(self.call_web(web, request)).await);
        }
        let (decoded, fault) = self.read_body(request).await;
        let Some((mut capture, body)) = self.take(decoded, fault, arrival) else {
            return Err(NotAnswered);
        };
        let fault = fault
            .or(conflicting.then_some(Fault::Conflicting))
            .or(self.misplaced.then_some(Fault::NotTls))
            .or((capture.secret_ok == Some(false)).then_some(Fault::WrongSecret));
        capture.malformed = fault.is_some_and(Fault::is_malformed);
        match fault {
            Some(fault) => self.refuse(fault, capture, body, arrival).await,
            None if self.shared.forwarder.is_some() => {
                Box::pin(self.forward(capture, body, arrival)).await
            }
            None => self.play(capture, body, arrival).await,
        }
    }

    /// Has the web UI respond, once the body is complete.
    async fn call_web(&self, web: &WebUi, request: Request<Incoming>) -> Sent {
        let (mut parts, mut body) = request.into_parts();
        let mut bytes = Vec::new();
        let fault = if body.is_end_stream() {
            self.seat.work();
            None
        } else if body.size_hint().lower() > WEB_BODY as u64 {
            self.seat.work();
            Some(Fault::TooLarge)
        } else {
            self.in_time(read(&mut body, WEB_BODY, Some(&mut bytes)))
                .await
        };
        if let Some(fault) = fault {
            self.linger();
            return self.send(answer::refusing(fault.status(), fault.words(), true));
        }
        parts.extensions.insert(self.shared.bound);
        let request = Request::from_parts(parts, axum::body::Body::from(bytes));
        let permit = self.shared.web_calls.acquire().await;
        let Ok(response) = web.router.clone().oneshot(request).await;
        drop(permit);
        let streams = response.body().size_hint().exact().is_none();
        let (stop, wire) = (self.stop.clone(), self.wire.clone());
        let ended = streams.then(|| Box::pin(stream_ended(stop, wire)) as Pin<Box<_>>);
        answer::send_body(response, &self.tape, ended.map(|ended| ended as _))
    }

    /// The arrival of a request whose head has come, and whether its head gives two lengths; `None` if the recording does
    /// not agree with hyper on which request this is.
    fn begin(&self, request: &Request<Incoming>) -> Option<(Arrival, bool)> {
        let mut tape = self.tape.borrow_mut();
        let message = tape.serve()?;
        let rest = message
            .head
            .strip_prefix(request.method().as_str().as_bytes())?;
        rest.starts_with(b" ")
            .then_some((message.arrival, message.conflicting))
    }

    /// The request's decoded body as far as it is not on the tape, and what was wrong with it.
    async fn read_body(&self, request: Request<Incoming>) -> (Vec<u8>, Option<Fault>) {
        let limits = self.shared.limits;
        let mut body = request.into_body();
        let mut decoded = Vec::new();
        if body.is_end_stream() {
            self.seat.work();
            return (decoded, None);
        }
        if body.size_hint().lower() > limits.body_bytes as u64 {
            // At once: reading on would tell a client that asks whether it may go ahead that it may.
            self.seat.work();
            return (decoded, Some(Fault::TooLarge));
        }
        let chunked = self
            .tape
            .borrow()
            .served()
            .is_some_and(|message| message.chunked);
        let reading = read(
            &mut body,
            limits.body_bytes,
            chunked.then_some(&mut decoded),
        );
        let fault = self.in_time(reading).await;
        let cut = self
            .tape
            .borrow()
            .served()
            .is_some_and(|message| message.cut);
        (decoded, fault.or(cut.then_some(Fault::TooMuchFraming)))
    }

    /// What `reading` a body gives, within the deadline and while nobody else wants the seat of a silent client.
    pub(super) async fn in_time(
        &self,
        reading: impl Future<Output = Option<Fault>>,
    ) -> Option<Fault> {
        let deadline = self.shared.limits.body_deadline;
        let Some(read) = self.seat.race(timeout(deadline, reading), || true).await else {
            *self.ending.borrow_mut() = Ending::Part;
            return Some(Fault::Silent);
        };
        self.seat.work();
        let late = || {
            if self.tape.borrow().waits_for_room() {
                Fault::NoRoom
            } else {
                Fault::TooSlow
            }
        };
        read.unwrap_or_else(|_| Some(late()))
    }

    /// The request being served, whose body was read, off the tape.
    fn take(
        &self,
        decoded: Vec<u8>,
        fault: Option<Fault>,
        arrival: Arrival,
    ) -> Option<(Capture, Body)> {
        let mut tape = self.tape.borrow_mut();
        let chunked = tape.served()?.chunked;
        let (head, wire) = tape.hand_over()?;
        let body = if chunked && !matches!(fault, Some(Fault::Broken | Fault::BrokenOff)) {
            Body {
                bytes: decoded,
                wire: Some(wire),
            }
        } else {
            Body {
                bytes: wire,
                wire: None,
            }
        };
        Some((self.capture(head, arrival), body))
    }

    pub(super) fn capture(&self, head: Vec<u8>, arrival: Arrival) -> Capture {
        let mut capture = Capture::new(arrival.received_at, self.remote_addr, head);
        capture.secret_ok = self.shared.demanded.are_in(capture.query());
        capture
    }

    /// Keeps what was not taken, and says why.
    async fn refuse(
        &self,
        fault: Fault,
        mut capture: Capture,
        body: Body,
        arrival: Arrival,
    ) -> Result<Sent, NotAnswered> {
        capture.response.status = Some(fault.status());
        capture.response.duration_ms = arrival.took();
        capture.response.note = fault.why(&self.shared.limits);
        let ends = fault.is_malformed();
        if ends {
            self.linger();
        }
        let kept = self.shared.keep(capture, body).await;
        self.tape.borrow_mut().release();
        if kept.is_none() {
            return Ok(self.unavailable());
        }
        Ok(self.send(answer::refusing(fault.status(), fault.words(), ends)))
    }

    /// Keeps the request, and does with it what the script says.
    async fn play(
        &self,
        mut capture: Capture,
        body: Body,
        arrival: Arrival,
    ) -> Result<Sent, NotAnswered> {
        let step = self.shared.next_step(capture.path());
        if let Action::Status(status) = step.action {
            capture.response.status = Some(status);
        }
        capture.response.duration_ms = arrival.took().saturating_add(millis(step.delay));
        let kept = self.shared.keep(capture, body).await;
        self.tape.borrow_mut().release();
        let Some(id) = kept else {
            return Ok(self.unavailable());
        };
        if let Some(why) = self.delay(step.delay).await {
            // To answer before it is due would be another receiver's behaviour than the one asked for.
            let note = Some(format!("{why} before its answer was due"));
            let answer = capture::CapturedResponse {
                status: None,
                duration_ms: arrival.took(),
                note,
            };
            self.shared.record(id, answer).await;
            return Err(NotAnswered);
        }
        let ending = match step.action {
            Action::Status(status) => {
                let sent = self.send(self.scripted(status));
                self.answering.set(Some((id, status)));
                return Ok(sent);
            }
            Action::Timeout => Ending::Hold,
            Action::Reset => Ending::Reset,
        };
        *self.ending.borrow_mut() = ending;
        Err(NotAnswered)
    }

    /// Waits until an answer is due; gives why it is not to be waited for, if so.
    async fn delay(&self, delay: Duration) -> Option<&'static str> {
        if delay.is_zero() {
            return None;
        }
        match self
            .stop
            .clone()
            .race_if_stopped(self.while_there(sleep(delay)))
            .await
        {
            Some(Some(())) => None,
            Some(None) => Some("its client hung up, and others wanted its place"),
            None => Some("stopped"),
        }
    }

    /// What `future` gives while the client waits; `None` if it has hung up, and others want its seat.
    async fn while_there<F: Future>(&self, future: F) -> Option<F::Output> {
        let is_gone = || {
            self.wire
                .upgrade()
                .is_none_or(|wire| wire.borrow().is_hung_up())
        };
        self.seat.race_deferred(future, is_gone).await
    }

    /// Keeps the request, sends it on, and gives the answer that came back.
    async fn forward(
        &self,
        capture: Capture,
        body: Body,
        arrival: Arrival,
    ) -> Result<Sent, NotAnswered> {
        let Some(told) = forward::forward(&self.shared, &self.tape, capture, body, arrival).await
        else {
            return Ok(self.unavailable());
        };
        match self.while_there(told).await {
            Some(Ok(answer)) => Ok(self.send(self.beside_the_page(answer))),
            Some(Err(_)) => Ok(self.unavailable()),
            None => Err(NotAnswered),
        }
    }

    fn scripted(&self, status: u16) -> answer::Answer {
        let dress = &self.shared.dress;
        let answer = answer::scripted(status, dress);
        if dress.is_plain() {
            answer
        } else {
            self.beside_the_page(answer)
        }
    }

    /// An answer that others have written, which must not get at the page, if there is one.
    fn beside_the_page(&self, answer: answer::Answer) -> answer::Answer {
        if self.shared.web.is_some() {
            answer::kept_apart(answer)
        } else {
            answer
        }
    }

    /// Records that the answer which was on its way has not left, if that is so, and why.
    pub(super) async fn record_unsent(&self, why: impl FnOnce(u16) -> String) {
        let unsent = self.tape.borrow().is_answering();
        if let Some((id, status)) = self.answering.take().filter(|_| unsent) {
            let duration_ms = self
                .tape
                .borrow()
                .served()
                .map_or(0, |message| message.arrival.took());
            self.shared
                .record(
                    id,
                    capture::CapturedResponse {
                        status: None,
                        duration_ms,
                        note: Some(why(status)),
                    },
                )
                .await;
        }
    }

    /// Sends an answer on its way.
    pub(super) fn send(&self, answer: answer::Answer) -> Sent {
        self.answering.set(None);
        answer::send(answer, &self.tape)
    }

    /// The answer to what could not be kept: it cannot be acknowledged.
    fn unavailable(&self) -> Sent {
        self.send(answer::refusing(503, answer::reason(503), true))
    }

    /// The client may still be sending when the answer leaves.
    pub(super) fn linger(&self) {
        let mut ending = self.ending.borrow_mut();
        if matches!(*ending, Ending::Close) {
            *ending = Ending::Linger;
        }
    }
}

/// Resolves when the listener stops or the client has hung up.
async fn stream_ended(mut stop: Stop, wire: Weak<RefCell<HttpStream>>) {
    let hung_up = poll_fn(|cx| match wire.upgrade() {
        Some(wire) => wire.borrow().poll_hung_up(cx),
        None => Poll::Ready(()),
    });
    let _ = stop.race(hung_up).await;
}

/// Reads a body to its end, or to its first byte beyond `limit`, and tells what was wrong with it. Its bytes up to there go
/// to `kept`, where they are wanted.
pub(super) async fn read(
    body: &mut Incoming,
    limit: usize,
    mut kept: Option<&mut Vec<u8>>,
) -> Option<Fault> {
    let mut room = limit;
    while let Some(frame) = body.frame().await {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => return Some(broken(&error)),
        };
        let data = frame.into_data().unwrap_or_default();
        if let Some(kept) = &mut kept {
            kept.extend_from_slice(&data[..room.min(data.len())]);
        }
        room = match room.checked_sub(data.len()) {
            Some(left) => left,
            None => return Some(Fault::TooLarge),
        };
    }
    None
}

/// Whether a body broke off or was none.
fn broken(error: &hyper::Error) -> Fault {
    let source =
        std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    let within_chunks = source.is_some_and(|io| {
        matches!(
            io.kind(),
            std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData
        )
    });
    if within_chunks {
        Fault::Broken
    } else {
        Fault::BrokenOff
    }
}

impl Arrival {
    /// Milliseconds since then.
    pub(super) fn took(&self) -> u64 {
        millis(self.at.elapsed())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
