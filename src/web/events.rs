//! Server-sent events: tell the page that something was captured, or that the journal changed otherwise.
//!
//! Events carry ids only; the page fetches the rest. A client that reads too slowly misses events and is told how many.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, StreamExt as _};
use serde_json::json;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{sleep, timeout};

use super::{Web, WebState, version_of};
use crate::listener;

pub(super) const MAX_STREAMS: usize = 64;

/// How often a comment is sent while nothing happens, so that no proxy closes the connection.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// How often the journal is checked for changes by other processes while a page is open.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

pub(super) async fn stream(State(state): Web) -> Response {
    let Ok(permit) = Arc::clone(&state.streams).try_acquire_owned() else {
        let refused = "too many pages are open already\n";
        return (StatusCode::SERVICE_UNAVAILABLE, refused).into_response();
    };
    let changes = state.options.notifier.subscribe();
    if !state.is_watching.swap(true, Ordering::Relaxed) {
        tokio::spawn(watch_journal(state));
    }
    let hello = Event::default()
        .event("hello")
        .retry(Duration::from_secs(1))
        .data("{}");
    let hello = stream::once(async { Ok::<_, Infallible>(hello) });
    let changes = stream::unfold((changes, permit), |(mut changes, permit)| async move {
        let event = next_event(&mut changes).await?;
        Some((Ok(event), (changes, permit)))
    });
    Sse::new(hello.chain(changes)).into_response()
}

/// `None` when the listener stops.
async fn next_event(changes: &mut Receiver<listener::Notification>) -> Option<Event> {
    let change = match timeout(KEEP_ALIVE_INTERVAL, changes.recv()).await {
        Ok(change) => change,
        Err(_) => return Some(Event::default().comment("keep-alive")),
    };
    let (name, data) = match change {
        Ok(listener::Notification::Captured { id, bin }) => {
            ("capture", json!({ "id": id, "bin": &*bin }))
        }
        Ok(listener::Notification::Changed) => ("changed", json!({})),
        Err(RecvError::Lagged(missed)) => ("lagged", json!({ "missed": missed })),
        Err(RecvError::Closed) => return None,
    };
    Some(Event::default().event(name).data(data.to_string()))
}

/// Publishes changes of the journal that are not captures of this listener, as long as a stream is open.
async fn watch_journal(state: Arc<WebState>) {
    let mut known = None;
    while state.streams.available_permits() < MAX_STREAMS {
        let version = Arc::clone(&state)
            .with_journal(|_, journal| version_of(journal))
            .await;
        // While the journal cannot be read there is nothing new to show.
        if let Ok(version) = version {
            if known.as_ref().is_some_and(|known| *known != version) {
                state.options.notifier.changed();
            }
            known = Some(version);
        }
        sleep(POLL_INTERVAL).await;
    }
    state.is_watching.store(false, Ordering::Relaxed);
}
