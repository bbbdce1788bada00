//! Forwarding: a kept request goes on to the real receiver, and what that answers is recorded and given back.
//!
//! Deliberately sends nothing itself: see [`Upstream`].
//!
//! Invariant: nothing is sent on that is not committed, and what came of it is recorded before it is answered, also when
//! the client has gone away meanwhile.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use hyper::Response;
use hyper::body::Bytes;
use hyper::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use tokio::sync::{Semaphore, oneshot};

use super::answer::{self, Answer, is_framing};
use super::exchange::Shared;
use super::tape::Arrival;
use crate::capture::{self, Body, Capture};
use crate::upstream::{Relayed, Upstream};

/// Requests on their way to the receiver at a time. Each has a thread, and the page's calls need some, too.
const AT_ONCE: usize = 256;

/// Sends on what is caught.
pub(super) struct Forwarder {
    upstream: Arc<dyn Upstream>,
    places: Arc<Semaphore>,
}

impl Forwarder {
    pub(super) fn new(upstream: Arc<dyn Upstream>) -> Self {
        Self { upstream, places: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

/// What came of forwarding.
pub(super) enum Forwarded {
    /// The request could not be kept, and was not sent on.
    NotKept,
    /// This is to be answered.
    Answered(Answer),
}

/// Keeps the request, sends it on, and records what came of it. Goes on when it is no longer waited for.
pub(super) async fn forward(shared: &Rc<Shared>, capture: Capture, body: Body, arrival: Arrival) -> Forwarded {
    let (tell, told) = oneshot::channel();
    let shared = Rc::clone(shared);
    tokio::task::spawn_local(async move {
        let forwarded = relay(&shared, capture, body, arrival).await.unwrap_or(Forwarded::NotKept);
        // Nobody waits any more when the client went away.
        let _ = tell.send(forwarded);
    });
    told.await.unwrap_or(Forwarded::NotKept)
}

/// `None` if the request could not be kept.
async fn relay(shared: &Shared, capture: Capture, body: Body, arrival: Arrival) -> Option<Forwarded> {
    let forwarder = shared.forwarder.as_ref()?;
    // The receiver may take its time; the others of its batch do not wait with it.
    let kept = shared.keep_and_hold(capture, body).await?.into_own();
    let place = Arc::clone(&forwarder.places).acquire_owned().await.ok()?;
    let (upstream, keeper, bell) =
        (Arc::clone(&forwarder.upstream), Arc::clone(&shared.keeper), Arc::clone(&shared.bell));
    let (note, noted) = oneshot::channel();
    // Recorded from that thread, which finishes what it has begun even if the catcher stops meanwhile.
    let answered = tokio::task::spawn_blocking(move || {
        let result = catch_unwind(AssertUnwindSafe(|| upstream.relay(&kept.caught.capture, &kept.body)))
            .unwrap_or_else(|_| Err("hookfire itself failed".to_owned()))
            .and_then(with_a_final_status);
        drop(place);
        let (answer, words) = match result {
            Ok(relayed) => {
                (relayed_answer(relayed, kept.caught.capture.method()), format!("forwarded to {}", upstream.name()))
            }
            Err(why) => {
                let words = format!("not forwarded to {}: {why}", upstream.name());
                (answer::refusing(502, &words, false), words)
            }
        };
        let record =
            capture::Answer { status: Some(answer.status().as_u16()), duration_ms: arrival.took(), note: Some(words) };
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
    Some(Forwarded::Answered(answer))
}

fn with_a_final_status(relayed: Relayed) -> Result<Relayed, String> {
    match relayed.status {
        200..=599 => Ok(relayed),
        other => Err(format!("it answered with the status {other}, which cannot be passed on")),
    }
}

/// The receiver's answer to this method, without the headers that concerned the connection to it.
fn relayed_answer(relayed: Relayed, method: &str) -> Answer {
    let mut response = Response::new(Bytes::from(relayed.body));
    *response.status_mut() = answer::status_code(relayed.status);
    let named_by_connection: Vec<String> = relayed
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("connection"))
        .flat_map(|(_, value)| {
            String::from_utf8_lossy(value).split(',').map(|n| n.trim().to_owned()).collect::<Vec<_>>()
        })
        .collect();
    for (name, value) in &relayed.headers {
        let named = named_by_connection.iter().any(|named| named.eq_ignore_ascii_case(name));
        // What the client's side of HTTP took for a header, the server's side takes as well.
        let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value)) else {
            continue;
        };
        if method == "HEAD" && name == CONTENT_LENGTH && value.as_bytes().iter().all(u8::is_ascii_digit) {
            // It tells the length of a body that does not come, and so frames nothing.
            response.headers_mut().insert(name, value);
        } else if !named && !is_framing(name.as_str()) {
            response.headers_mut().append(name, value);
        }
    }
    response
}
