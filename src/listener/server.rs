//! Accepts connections up to the limit, until the listener stops, and then waits for them to end.
//!
//! Nothing that a client does, and no failure to accept, ends the loop.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

use super::capture_writer::Stored;
use super::connection;
use super::connections::Connections;
use super::handler::Handler;
use super::shutdown::{CONNECTIONS_LIMIT, Shutdown};

/// Accepting fails mostly for lack of file descriptors.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);

/// How often clients are evicted while all connections are in use.
const EVICTION_INTERVAL: Duration = Duration::from_millis(5);

/// Serves connections until the shutdown, then lets them end. Must run in a `LocalSet`.
pub(super) async fn run(
    listener: TcpListener,
    handler: Handler,
    stored: UnboundedReceiver<Stored>,
    shutdown: Shutdown,
) {
    let handler = Rc::new(handler);
    spawn_local(handler.writer.clone().return_results(stored));
    let max_connections = handler.limits.connections.max(1);
    let permits = Arc::new(Semaphore::new(max_connections as usize));
    let connections = Rc::new(Connections::default());
    for memory in [&handler.request_memory, &handler.response_memory] {
        let (memory, connections) = (Arc::clone(memory), Rc::clone(&connections));
        spawn_local(async move { memory.evict_while_short(&connections).await });
    }
    // Checked in each turn: `unless_draining` prefers a client that is already there.
    while !shutdown.is_requested() {
        let Some(accepted) = shutdown.unless_draining(listener.accept()).await else {
            break;
        };
        let Ok((stream, remote_addr)) = accepted else {
            connections.evict(eviction_batch(max_connections));
            let _ = shutdown.unless_draining(sleep(ACCEPT_RETRY_DELAY)).await;
            continue;
        };
        let acquiring = acquire(&permits, &connections, max_connections);
        let Some(permit) = shutdown.unless_draining(acquiring).await else {
            break;
        };
        let (handler, shutdown) = (Rc::clone(&handler), shutdown.clone());
        let (connections, activity) = (Rc::clone(&connections), connections.open());
        spawn_local(async move {
            connection::serve(stream, remote_addr, handler, Rc::clone(&activity), shutdown).await;
            connections.close(&activity);
            drop(permit);
        });
    }
    // From now on the system refuses clients.
    drop(listener);
    let all_ended = || permits.acquire_many(max_connections);
    if shutdown.unless_aborting(all_ended()).await.is_none() {
        let _ = timeout(CONNECTIONS_LIMIT, all_ended()).await;
    }
    handler.request_memory.close();
    handler.response_memory.close();
}

/// Acquires a permit for one more connection. Evicts clients meanwhile.
async fn acquire(
    permits: &Arc<Semaphore>,
    connections: &Connections,
    max_connections: u32,
) -> OwnedSemaphorePermit {
    loop {
        if permits.available_permits() == 0 {
            connections.evict(eviction_batch(max_connections));
        }
        let acquiring = Arc::clone(permits).acquire_owned();
        if let Ok(Ok(permit)) = timeout(EVICTION_INTERVAL, acquiring).await {
            return permit;
        }
    }
}

/// Connections to close at a time: the captures of their partial requests share a commit.
fn eviction_batch(max_connections: u32) -> usize {
    (max_connections as usize / 4).max(1)
}
