//! Limits the bytes that all requests, or all responses, have in memory at a time.
//!
//! A semaphore counts them in KiB; a permit is held until its bytes are released. The first [`UNCOUNTED_BYTES`] of each
//! connection are not counted, so that small requests never wait. One holder at a time may exceed the limit: otherwise
//! requests that need more while they already hold some could wait for each other.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::connections::Connections;

/// Bytes of each connection that are not counted: as many as hyper reads at first.
pub(super) const UNCOUNTED_BYTES: usize = 8 * 1024;

/// How often clients are evicted while memory is short.
const EVICTION_INTERVAL: Duration = Duration::from_millis(5);

/// A limit on bytes in memory.
#[derive(Debug)]
pub(super) struct MemoryLimit {
    kib: Arc<Semaphore>,
    limit_kib: u32,
    /// For the one holder that may exceed the limit.
    excess: Arc<Semaphore>,
    /// Silence after which a client that holds memory is evicted if others wait.
    evict_after: Duration,
    wanted: Notify,
}

/// Bytes that count towards a limit until this is dropped.
#[derive(Debug, Default)]
pub(super) struct MemoryPermit {
    kib: Option<OwnedSemaphorePermit>,
    excess: Option<OwnedSemaphorePermit>,
}

impl MemoryLimit {
    pub(super) fn new(limit_bytes: usize, evict_after: Duration) -> Arc<MemoryLimit> {
        let limit_kib = in_kib(limit_bytes).max(1);
        Arc::new(MemoryLimit {
            kib: Arc::new(Semaphore::new(limit_kib as usize)),
            limit_kib,
            excess: Arc::new(Semaphore::new(1)),
            evict_after,
            wanted: Notify::new(),
        })
    }

    /// A permit for `bytes`, or for the whole limit if that is less. Waits while others hold them; empty after `close`.
    pub(super) async fn acquire(self: Arc<Self>, bytes: usize) -> MemoryPermit {
        let wanted = in_kib(bytes).min(self.limit_kib);
        if let Ok(permit) = Arc::clone(&self.kib).try_acquire_many_owned(wanted) {
            return MemoryPermit {
                kib: Some(permit),
                excess: None,
            };
        }
        let acquiring = async {
            tokio::select! {
                biased;
                kib = Arc::clone(&self.kib).acquire_many_owned(wanted) => MemoryPermit { kib: kib.ok(), excess: None },
                excess = Arc::clone(&self.excess).acquire_owned() => MemoryPermit { kib: None, excess: excess.ok() },
            }
        };
        let mut acquiring = pin!(acquiring);
        loop {
            self.wanted.notify_one();
            if let Ok(permit) = timeout(EVICTION_INTERVAL, &mut acquiring).await {
                return permit;
            }
        }
    }

    pub(super) fn close(&self) {
        self.kib.close();
        self.excess.close();
    }

    /// Evicts silent clients that hold memory whenever a request or response waits for it. Never ends.
    pub(super) async fn evict_while_short(&self, connections: &Connections) {
        loop {
            self.wanted.notified().await;
            connections.evict_for_memory(self.evict_after);
        }
    }
}

impl MemoryPermit {
    /// Whether a holder of this many bytes may get more without asking.
    pub(super) fn covers(&self, bytes: usize, memory: &MemoryLimit) -> bool {
        self.excess.is_some()
            || self.bytes() == memory.limit_kib as usize * 1024
            || bytes < UNCOUNTED_BYTES + self.bytes()
    }

    pub(super) fn bytes(&self) -> usize {
        self.kib.as_ref().map_or(0, |kib| kib.num_permits() * 1024)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes() == 0 && self.excess.is_none()
    }

    pub(super) fn merge(&mut self, other: MemoryPermit) {
        match (&mut self.kib, other.kib) {
            (Some(kib), Some(more)) => kib.merge(more),
            (kib @ None, more) => *kib = more,
            (Some(_), None) => {}
        }
        if other.excess.is_some() {
            self.excess = other.excess;
        }
    }

    /// Keeps what `bytes` need; returns the rest, which is released when it is dropped.
    pub(super) fn release_all_but(&mut self, bytes: usize) -> MemoryPermit {
        let needed = in_kib(bytes.saturating_sub(UNCOUNTED_BYTES)) as usize;
        let kib = self.kib.as_mut().and_then(|kib| {
            let surplus = kib.num_permits().saturating_sub(needed);
            kib.split(surplus)
        });
        MemoryPermit {
            kib,
            excess: self.excess.take(),
        }
    }
}

fn in_kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}
