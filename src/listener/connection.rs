//! One connection from its first byte to its end: hyper speaks the protocol, over a recording of what it reads.
//!
//! Deliberately does not answer requests: see `exchange`.
//!
//! Invariant: what is read and neither answered nor shown something is handed over, as one malformed capture.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::exchange::{Ending, Exchange, SILENT, Shared};
use super::head_timer::HeadTimer;
use super::recording::Recording;
use super::seats::Seat;
use super::server::Stop;
use super::setup::Limits;
use super::stream::{HttpStream, Tap};
use super::tape::{Arrival, Tape};
use super::{answer, closing, diagnosis};
use crate::capture::{Body, Capture, DEFAULT_MAX_HEADERS};
use crate::time::compact;

/// How long a request that is being served when the catcher stops may take, and one that is still being read when it
/// finishes. Less than the catcher's own bound, so that what is cut off is still handed over.
const DRAIN: Duration = Duration::from_millis(900);

/// How much longer where something is being kept, so that its client learns whether it was: as long as the journal's lock
/// is waited for. With [`DRAIN`] still less than the catcher's bound.
const KEEPING_DRAIN: Duration = Duration::from_millis(2_000);

/// hyper panics on a smaller buffer.
const HYPER_MIN_BUFFER: usize = 8192;

/// Why hyper is done with a connection.
enum Ended {
    ByItself(Result<(), hyper::Error>),
    ByTheStop,
    /// Others want the seat of a silent client.
    ForOthers,
    /// Within an answer, of which its client takes nothing; and what the last straw was.
    Unheard(Box<Ended>),
}

/// Serves one connection until it ends, or until the catcher ends and what is being answered is answered.
pub(super) async fn serve(
    stream: TcpStream,
    remote_addr: SocketAddr,
    shared: Rc<Shared>,
    seat: Rc<Seat>,
    mut stop: Stop,
) {
    // Answers are small and written whole: waiting for more to send would only delay them.
    let _ = stream.set_nodelay(true);
    let Some(stream) = open(stream, remote_addr, &shared, &seat, &mut stop).await else {
        return;
    };
    let limits = shared.limits;
    let misplaced = shared.tls.is_some() && matches!(stream, HttpStream::Plain(_));
    let wire = Rc::new(RefCell::new(stream));
    let tape = Rc::new(RefCell::new(Tape::new(limits, shared.budget.share(&seat))));
    let exchange = Rc::new(Exchange {
        misplaced,
        shared,
        tape: Rc::clone(&tape),
        seat: Rc::clone(&seat),
        wire: Rc::downgrade(&wire),
        remote_addr,
        ending: RefCell::new(Ending::Close),
        answering: Cell::new(None),
        stop: stop.clone(),
    });
    let service = service_fn({
        let exchange = Rc::clone(&exchange);
        move |request| {
            let exchange = Rc::clone(&exchange);
            async move { exchange.answer(request).await }
        }
    });
    let recording = Recording::new(
        wire,
        Rc::clone(&tape),
        Rc::clone(&seat),
        limits.head_deadline,
    );
    let mut http = http1::Builder::new();
    if limits.headers != DEFAULT_MAX_HEADERS {
        // Only then: it costs an allocation with each request.
        http.max_headers(limits.headers);
    }
    let mut connection = http
        // Without a timer hyper has no head deadline at all.
        .timer(HeadTimer::default())
        .header_read_timeout(limits.head_deadline)
        .max_header_size(limits.head_bytes)
        .max_buf_size(limits.head_bytes.max(HYPER_MIN_BUFFER))
        // A client may close its sending side and still wait for the answer, as `nc -N` does.
        .half_close(true)
        .serve_connection(TokioIo::new(recording), service);

    // While it is being answered, only a client that does not take its answer is asked.
    let served = seat.race(&mut connection, || !tape.borrow().is_serving());
    let ended = match stop.race(served).await {
        Some(Some(ended)) => Ended::ByItself(ended),
        Some(None) => Ended::ForOthers,
        None if tape.borrow().is_reading() => Ended::ByTheStop,
        None => {
            Pin::new(&mut connection).graceful_shutdown();
            drain(&mut connection, &exchange, &mut stop).await
        }
    };
    let mut recording = connection.into_parts().io.into_inner();
    let ended = if recording.is_stuck() {
        Ended::Unheard(Box::new(ended))
    } else {
        ended
    };
    exchange
        .record_unsent(|status| unsent(&ended, status, &limits))
        .await;
    if tape.borrow().is_within_refused_head() {
        complete_head(&exchange, &mut recording, &mut stop).await;
    }
    close(&exchange, recording.into_stream(), ended, &mut stop).await;
}

/// Why an answer with `status` that was on its way has not left.
fn unsent(ended: &Ended, status: u16, limits: &Limits) -> String {
    let when = match ended {
        Ended::Unheard(why) => match **why {
            Ended::ForOthers => "while others wanted its place".to_owned(),
            Ended::ByTheStop => "until the listener ended".to_owned(),
            _ => format!("for {}", compact(limits.head_deadline)),
        },
        _ => return format!("its client was gone before it could be answered {status}"),
    };
    format!("{when}, its client took nothing of its answer {status}")
}

/// Reads the rest of a head that was refused before it was whole, for the capture to have it: as far as it may be long, and as
/// long as its client goes on sending.
async fn complete_head(exchange: &Exchange, recording: &mut Recording, stop: &mut Stop) {
    let reading = async {
        while exchange.tape.borrow().is_within_refused_head()
            && timeout(closing::PAUSE, closing::discard_some(recording))
                .await
                .unwrap_or(false)
        {}
    };
    let bounded = timeout(exchange.shared.limits.head_deadline, reading);
    let _ = stop.race(exchange.seat.race(bounded, || true)).await;
}

/// Lets the request that is being served be answered: when its answer is due while the catcher finishes, and soon once it is
/// stopped. One that has not come whole is not waited for either way.
async fn drain(
    mut connection: impl Future<Output = Result<(), hyper::Error>> + Unpin,
    exchange: &Exchange,
    stop: &mut Stop,
) -> Ended {
    let finishing = async {
        match timeout(DRAIN, &mut connection).await {
            Ok(ended) => Some(ended),
            Err(_) if exchange.tape.borrow().is_given() => Some((&mut connection).await),
            Err(_) => None,
        }
    };
    if let Some(ended) = stop.race_if_stopped(finishing).await {
        return ended.map_or(Ended::ByTheStop, Ended::ByItself);
    }
    let mut drained = timeout(DRAIN, &mut connection).await;
    if drained.is_err() && exchange.shared.is_keeping() {
        drained = timeout(KEEPING_DRAIN, &mut connection).await;
    }
    drained.map_or(Ended::ByTheStop, Ended::ByItself)
}

/// The stream of HTTP, out of TLS where that is spoken. `None` if it could not be opened; what was read of it is kept.
async fn open(
    stream: TcpStream,
    remote_addr: SocketAddr,
    shared: &Shared,
    seat: &Seat,
    stop: &mut Stop,
) -> Option<HttpStream> {
    let Some(tls) = &shared.tls else {
        return Some(HttpStream::Plain(stream));
    };
    let tap = Rc::new(RefCell::new(Tap {
        bytes: Vec::new(),
        limit: shared.limits.head_bytes,
    }));
    let arrival = Arrival::now();
    let opening = timeout(shared.limits.head_deadline, tls.open(stream, &tap));
    let opened = stop.race(seat.race(opening, || true)).await;
    // Whatever ended the handshake: what came of it is kept.
    let why = match opened {
        Some(Some(Ok(Some(opened)))) => return Some(opened),
        Some(Some(_)) => "TLS could not be agreed on with its client",
        Some(None) => SILENT,
        None => "the listener ended before TLS was agreed on with its client",
    };
    let bytes = std::mem::take(&mut tap.borrow_mut().bytes);
    if !bytes.is_empty() {
        let mut capture = Capture::new(arrival.received_at, remote_addr, bytes);
        capture.response.duration_ms = arrival.took();
        capture.response.note = Some(why.to_owned());
        // There is nobody who could be told that it was not kept.
        let _ = shared.keep(capture, Body::default()).await;
    }
    None
}

/// Hands over what was read and not served, and ends the connection.
async fn close(exchange: &Exchange, stream: HttpStream, ended: Ended, stop: &mut Stop) {
    let rest = exchange.tape.borrow_mut().take_rest();
    let (for_others, unheard) = (
        matches!(ended, Ended::ForOthers),
        matches!(ended, Ended::Unheard(_)),
    );
    let mut refused = None;
    if let Some((bytes, arrival)) = rest {
        let mut capture = exchange.capture(bytes, arrival);
        let (status, why) = refusal(exchange, ended, &capture.head);
        capture.response.status = status;
        capture.response.note = Some(why);
        capture.response.duration_ms = arrival.took();
        let kept = exchange
            .shared
            .keep(capture, Body::default())
            .await
            .is_some();
        exchange.tape.borrow_mut().release_rest();
        refused = status.map(|status| if kept { status } else { 503 });
    }
    let last_words = refused.map(answer::refusal).unwrap_or_default();
    match exchange.ending.replace(Ending::Close) {
        // More words would not be read, either; and the system would go on offering those it has.
        _ if unheard => closing::reset(stream),
        Ending::Hold => closing::hold(stream, &exchange.seat, stop).await,
        Ending::Reset => closing::reset(stream),
        Ending::Part => closing::part(stream, &last_words).await,
        Ending::Close if for_others => closing::part(stream, &last_words).await,
        Ending::Close if last_words.is_empty() => closing::close(stream).await,
        Ending::Close | Ending::Linger => closing::linger(stream, &last_words, stop).await,
    }
}

/// The status for bytes that were not served, and why they were not: what hyper refused them with, and where it says nothing
/// and the client may still be listening, what it could have said.
fn refusal(exchange: &Exchange, ended: Ended, bytes: &[u8]) -> (Option<u16>, String) {
    let limits = &exchange.shared.limits;
    let error = match ended {
        Ended::ForOthers => return (Some(408), SILENT.to_owned()),
        Ended::ByTheStop => return (None, "the listener ended before it was whole".to_owned()),
        Ended::Unheard(_) => {
            return (
                None,
                "its client did not take the answer before it".to_owned(),
            );
        }
        Ended::ByItself(Ok(())) => {
            return (
                None,
                "it came after its connection's last request".to_owned(),
            );
        }
        Ended::ByItself(Err(error)) => error,
    };
    let status = exchange.tape.borrow().refusal().or({
        if error.is_timeout() {
            Some(408)
        } else if error.is_parse() || error.is_incomplete_message() {
            Some(400)
        } else {
            None
        }
    });
    let why = match status {
        Some(status) => diagnosis::of_head(bytes, status, limits),
        None => "its client ended the connection before it was whole".to_owned(),
    };
    (status, why)
}
