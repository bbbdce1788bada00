//! The live stream: server-sent events that tell a page what was caught, and that something else has changed.
//!
//! Deliberately carries no data but ids: the page asks for the rest. It is written past hyper, on a connection that ends
//! with it, so that the stream ends at once when its client or the catcher does.
//!
//! Invariant: a client that does not read holds up nobody, and is told how far it fell behind.

use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::broadcast::{self, error::RecvError};
use tokio::time::{sleep, timeout};

use super::bell::Bell;
use super::closing::{discard_some, write_all};
use super::server::Stop;
use super::stream::HttpStream;
use crate::journal::store::Kept;
use crate::listener::desk::{Call, Desk};

/// Streams at a time.
const SUBSCRIBERS: usize = 64;

/// How many events a slow reader may fall behind before it is told that it missed some.
const BACKLOG: usize = 256;

/// How often a comment is sent when there is nothing to say, so that nothing on the way takes the stream for dead.
const SILENCE: Duration = Duration::from_secs(15);

/// How long one write may take.
const WRITE: Duration = Duration::from_secs(30);

/// How often the desk is asked whether something changed, as long as somebody wants to know.
const POLL: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
enum Event {
    Captured { id: i64, bin: Arc<str> },
    Changed,
}

/// All live streams of a catcher.
#[derive(Debug)]
pub(super) struct Live {
    events: broadcast::Sender<Event>,
    /// Beside the channel's own count, which is behind a lock.
    subscribers: AtomicUsize,
    /// Whether [`watch`] is at work.
    watched: AtomicBool,
}

impl Live {
    pub(super) fn new() -> Self {
        Self {
            events: broadcast::Sender::new(BACKLOG),
            subscribers: AtomicUsize::new(0),
            watched: AtomicBool::new(false),
        }
    }

    pub(super) fn captured(&self, batch: &[Kept]) {
        if self.has_subscribers() {
            for Kept { caught, .. } in batch.iter().filter(|kept| kept.refused.is_none()) {
                // Without a receiver after all, nobody misses it.
                let _ = self.events.send(Event::Captured {
                    id: caught.id,
                    bin: caught.bin.as_str().into(),
                });
            }
        }
    }

    pub(super) fn changed(&self) {
        if self.has_subscribers() {
            let _ = self.events.send(Event::Changed);
        }
    }

    fn has_subscribers(&self) -> bool {
        self.subscribers.load(Ordering::Relaxed) > 0
    }
}

/// One stream's place among the [`SUBSCRIBERS`].
pub(super) struct Subscription {
    events: broadcast::Receiver<Event>,
    bell: Arc<Bell>,
}

impl Subscription {
    /// A place that hears everything from now on; `None` if all are taken.
    pub(super) fn new(bell: &Arc<Bell>) -> Option<Subscription> {
        // Only the catcher's thread takes places, so that nothing comes between the look and the taking.
        let before = bell.live.subscribers.load(Ordering::Relaxed);
        if before >= SUBSCRIBERS {
            return None;
        }
        bell.live.subscribers.fetch_add(1, Ordering::Relaxed);
        Some(Subscription {
            events: bell.live.events.subscribe(),
            bell: Arc::clone(bell),
        })
    }

    /// Tells `stream` what happens until its client closes it or stops reading, or the catcher stops. `head` is what is
    /// answered first.
    pub(super) async fn tell(mut self, mut stream: HttpStream, head: &[u8], stop: &mut Stop) {
        let telling = async {
            say(&mut stream, head).await?;
            say(&mut stream, b"retry: 1000\nevent: hello\ndata: {}\n\n").await?;
            loop {
                let words = match next(&mut self.events, &mut stream).await {
                    Next::Said(words) => words,
                    Next::Over => return Ok(()),
                };
                say(&mut stream, words.as_bytes()).await?;
            }
        };
        // However it ended, there is nobody left to be told.
        let _: Option<io::Result<()>> = stop.race(telling).await;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.bell.live.subscribers.fetch_sub(1, Ordering::Relaxed);
    }
}

enum Next {
    Said(String),
    Over,
}

/// The next thing to say, which is a comment where nothing happens.
async fn next(events: &mut broadcast::Receiver<Event>, stream: &mut HttpStream) -> Next {
    // Ends when the client closes its side: a page that is left or reloaded.
    let mut gone = pin!(async { while discard_some(stream).await {} });
    let mut received = pin!(timeout(SILENCE, events.recv()));
    let received = poll_fn(|cx| {
        if gone.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        received.as_mut().poll(cx).map(Some)
    });
    match received.await {
        // A bin's name has no character that JSON would escape.
        Some(Ok(Ok(Event::Captured { id, bin }))) => Next::Said(format!(
            "event: capture\ndata: {{\"id\":{id},\"bin\":\"{bin}\"}}\n\n"
        )),
        Some(Ok(Ok(Event::Changed))) => Next::Said("event: changed\ndata: {}\n\n".to_owned()),
        Some(Ok(Err(RecvError::Lagged(missed)))) => {
            Next::Said(format!("event: lagged\ndata: {{\"missed\":{missed}}}\n\n"))
        }
        Some(Err(_)) => Next::Said(": still here\n\n".to_owned()),
        None | Some(Ok(Err(RecvError::Closed))) => Next::Over,
    }
}

async fn say(stream: &mut HttpStream, words: &[u8]) -> io::Result<()> {
    timeout(WRITE, write_all(stream, words))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Asks the desk now and then whether something has changed that is no capture, and tells it, as long as anybody listens.
/// To start it twice does nothing.
pub(super) async fn watch(desk: Arc<dyn Desk>, bell: Arc<Bell>, mut stop: Stop) {
    if bell.live.watched.swap(true, Ordering::Relaxed) {
        return;
    }
    let path = ["_hookfire", "api", "version"].map(str::to_owned).to_vec();
    let call = Arc::new(Call {
        method: "GET".into(),
        path,
        query: vec![],
        content_type: String::new(),
        body: vec![],
    });
    let mut known = None;
    while bell.live.has_subscribers() {
        let (desk, call) = (Arc::clone(&desk), Arc::clone(&call));
        // A desk that panicked was reported when it happened.
        if let Ok(reply) = tokio::task::spawn_blocking(move || desk.answer(&call)).await
            && reply.status == 200
        {
            if known.as_ref().is_some_and(|known| *known != reply.body) {
                bell.live.changed();
            }
            known = Some(reply.body);
        }
        if stop.race(sleep(POLL)).await.is_none() {
            break;
        }
    }
    bell.live.watched.store(false, Ordering::Relaxed);
}
