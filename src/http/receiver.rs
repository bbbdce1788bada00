//! A response while it arrives, so that what is there survives a deadline or an interrupt.

use std::cell::Cell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;

use super::{Completed, Cut, Memory, Request, Response};
use crate::time::compact;

/// Called once with the result of a request, on another thread.
pub type Done = Box<dyn FnOnce(Completed) + Send>;

/// What is known of a request, shared by the thread that runs it and the one that may abandon it.
pub struct InFlight {
    pub request: Option<Request>,
    pub begun: Option<Instant>,
    pub received: Option<Response>,
    /// Taken by the thread that reports.
    pub done: Option<Done>,
}

/// Stores a response while it arrives.
pub struct Receiver<'a> {
    pub progress: &'a Mutex<InFlight>,
    pub timeout: Duration,
    pub limit: usize,
    pub memory: Option<Arc<dyn Memory>>,
    /// Of the body so far.
    pub length: Cell<usize>,
}

impl Receiver<'_> {
    /// Stores the head. Returns whether the body is wanted.
    pub fn head(&self, status: u16, headers: &HeaderMap, body_length: Option<u64>) -> bool {
        let headers = headers.iter();
        let headers = headers.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
        let response = Response {
            status,
            headers: headers.collect(),
            body: Vec::new(),
            cut: None,
        };
        let mut progress = lock(self.progress);
        progress.received = progress.done.is_some().then_some(response);
        drop(progress);
        // A body that is too long is not read at all.
        let length = body_length.map_or(0, |length| usize::try_from(length).unwrap_or(usize::MAX));
        self.grow(length) && self.update(|r| r.body.reserve_exact(length.min(self.limit)))
    }

    /// Stores more of the body. Returns whether even more is wanted.
    pub fn chunk(&self, bytes: &[u8]) -> bool {
        let kept = &bytes[..bytes.len().min(self.limit - self.length.get())];
        let length = self.length.get() + kept.len();
        if !self.grow(length) || !self.update(|response| response.body.extend_from_slice(kept)) {
            return false;
        }
        self.length.set(length);
        if kept.len() < bytes.len() {
            self.update(|response| response.cut = Some(Cut::Limit(self.limit)));
        }
        kept.len() == bytes.len()
    }

    /// Notes why the body is incomplete. Returns false: no more of it is wanted.
    pub fn cut_by_error(&self, is_timeout: bool) -> bool {
        let reason = if is_timeout {
            format!("was still arriving after {}", compact(self.timeout))
        } else {
            "was cut short: the connection broke before its end".to_owned()
        };
        self.update(|response| response.cut = Some(Cut::Broken(reason)));
        false
    }

    fn grow(&self, length: usize) -> bool {
        let granted = self
            .memory
            .as_ref()
            .map_or(Ok(()), |memory| memory.grow(length));
        match granted {
            Ok(()) => true,
            Err(reason) => {
                self.update(|response| response.cut = Some(Cut::Broken(reason)));
                false
            }
        }
    }

    /// Returns false if the request was abandoned.
    fn update(&self, change: impl FnOnce(&mut Response)) -> bool {
        let mut progress = lock(self.progress);
        progress.received.as_mut().map(change).is_some()
    }
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
