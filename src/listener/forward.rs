//! Forwarding: a kept request goes on to the real receiver, and what that answers is recorded and given back.
//!
//! Deliberately sends nothing itself: see [`Upstream`].
//!
//! Invariant: nothing is sent on that is not committed, and what came of it is recorded before it is answered, also when
//! the client has gone away meanwhile.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use hyper::Response;
use hyper::body::Bytes;
use hyper::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::answer::{self, Answer, is_framing};
use super::exchange::Shared;
use super::room::Pool;
use super::setup::Limits;
use super::tape::{Arrival, Tape};
use crate::capture::{self, Body, Capture};
use crate::http::Memory;
use crate::journal::store::SharedCapture;
use crate::listener::upstream::{Relayed, Upstream};

/// Requests on their way to the receiver at a time. Each has a thread, and the page's calls need some, too.
const AT_ONCE: usize = 256;

/// Sends on what is caught.
pub(super) struct Forwarder {
    upstream: Arc<dyn Upstream>,
    places: Arc<Semaphore>,
    answers: Arc<Pool>,
}

impl Forwarder {
    pub(super) fn new(upstream: Arc<dyn Upstream>, limits: &Limits) -> Self {
        let answers = Pool::new(limits.buffered_bytes, limits.body_deadline);
        Self {
            upstream,
            places: Arc::new(Semaphore::new(AT_ONCE)),
            answers,
        }
    }
}

/// Keeps the request, and sends it on as soon as there is a place; what is sent on goes on when its answer is no longer waited
/// for. `None` if it could not be kept.
pub(super) async fn forward(
    shared: &Rc<Shared>,
    tape: &Rc<RefCell<Tape>>,
    capture: Capture,
    body: Body,
    arrival: Arrival,
) -> Option<oneshot::Receiver<Answer>> {
    let forwarder = shared.forwarder.as_ref()?;
    // The receiver may take its time; the others of its batch do not wait with it.
    let kept = shared.keep_and_hold(capture, body).await?.into_own();
    // Those who wait for a place have a seat, so that there are no more of them than seats.
    let place = Arc::clone(&forwarder.places).acquire_owned().await.ok()?;
    let (tell, told) = oneshot::channel();
    let (shared, tape) = (Rc::clone(shared), Rc::clone(tape));
    tokio::task::spawn_local(async move {
        if let Some(answer) = relay(&shared, kept, place, arrival).await {
            // Nobody waits any more when the client went away.
            let _ = tell.send(answer);
        }
        // As long as the request is in memory, it is on account of its connection, ended or not.
        drop(tape);
    });
    Some(told)
}

/// `None` where what came of it cannot be known.
async fn relay(
    shared: &Shared,
    kept: SharedCapture,
    place: OwnedSemaphorePermit,
    arrival: Arrival,
) -> Option<Answer> {
    let forwarder = shared.forwarder.as_ref()?;
    let (upstream, keeper, bell) = (
        Arc::clone(&forwarder.upstream),
        Arc::clone(&shared.keeper),
        Arc::clone(&shared.bell),
    );
    let room: Arc<dyn Memory> = Arc::new(forwarder.answers.reserve());
    let (note, noted) = oneshot::channel();
    // Recorded from that thread, which finishes what it has begun even if the catcher stops meanwhile.
    let answered = tokio::task::spawn_blocking(move || {
        let result = catch_unwind(AssertUnwindSafe(|| {
            upstream.relay(&kept.caught.capture, &kept.body, &room)
        }))
        .unwrap_or_else(|_| Err("hookfire itself failed".to_owned()))
        .and_then(with_a_final_status);
        drop(place);
        let (answer, words) = match result {
            Ok(relayed) => (
                relayed_answer(relayed, room, kept.caught.capture.method()),
                format!("forwarded to {}", upstream.name()),
            ),
            Err(why) => {
                let words = format!("not forwarded to {}: {why}", upstream.name());
                (answer::refusing(502, &words, false), words)
            }
        };
        let record = capture::CapturedResponse {
            status: Some(answer.status().as_u16()),
            duration_ms: arrival.took(),
            note: Some(words),
        };
        let done = move |result: Result<(), _>| {
            bell.amended(&result);
            let _ = note.send(());
        };
        keeper.amend(kept.caught.id, record, Box::new(done));
        answer
    });
    let answer = answered.await.ok()?;
    // The capture itself is committed. Whether its answer could be recorded changes nothing about what the receiver did.
    let _ = noted.await;
    Some(answer)
}

fn with_a_final_status(relayed: Relayed) -> Result<Relayed, String> {
    match relayed.status {
        200..=599 => Ok(relayed),
        other => Err(format!(
            "it answered with the status {other}, which cannot be passed on"
        )),
    }
}

/// A body, and the room it takes until the last of it was handed on.
struct Held {
    body: Vec<u8>,
    _room: Arc<dyn Memory>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

/// The receiver's answer to this method, without the headers that concerned the connection to it.
fn relayed_answer(relayed: Relayed, room: Arc<dyn Memory>, method: &str) -> Answer {
    let mut response = Response::new(Bytes::from_owner(Held {
        body: relayed.body,
        _room: room,
    }));
    *response.status_mut() = answer::status_code(relayed.status);
    let named_by_connection: Vec<String> = relayed
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("connection"))
        .flat_map(|(_, value)| {
            String::from_utf8_lossy(value)
                .split(',')
                .map(|n| n.trim().to_owned())
                .collect::<Vec<_>>()
        })
        .collect();
    for (name, value) in &relayed.headers {
        let named = named_by_connection
            .iter()
            .any(|named| named.eq_ignore_ascii_case(name));
        // What the client's side of HTTP took for a header, the server's side takes as well.
        let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_bytes(value),
        ) else {
            continue;
        };
        if method == "HEAD"
            && name == CONTENT_LENGTH
            && value.as_bytes().iter().all(u8::is_ascii_digit)
        {
            // It tells the length of a body that does not come, and so frames nothing.
            response.headers_mut().insert(name, value);
        } else if !named && !is_framing(name.as_str()) {
            response.headers_mut().append(name, value);
        }
    }
    response
}
