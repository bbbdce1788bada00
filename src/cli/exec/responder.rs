//! `--exec-response`: responds with the output of the command.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::Runner;
use super::process::Stdout;
use crate::capture::expect::Expectation;
use crate::capture::{Body, Capture};
use crate::http::Memory;
use crate::journal::StoredCapture;
use crate::listener::{Upstream, UpstreamResponse};

/// Runs at most so many commands at once; further requests wait.
pub struct Responder {
    runner: Runner,
    filter: Expectation,
    headers: Vec<(String, Vec<u8>)>,
    free: Mutex<u32>,
    freed: Condvar,
}

impl Responder {
    /// `headers` are sent with each response; a `Content-Type` replaces `text/plain`.
    pub fn new(
        runner: Runner,
        filter: Expectation,
        jobs: u32,
        headers: &[(String, String)],
    ) -> Responder {
        let given = headers.iter();
        let mut headers: Vec<(String, Vec<u8>)> = given
            .map(|(name, value)| (name.clone(), value.clone().into_bytes()))
            .collect();
        let is_type = |(name, _): &(String, Vec<u8>)| name.eq_ignore_ascii_case("content-type");
        if !headers.iter().any(is_type) {
            let text = b"text/plain; charset=utf-8".to_vec();
            headers.push(("content-type".to_owned(), text));
        }
        Responder {
            runner,
            filter,
            headers,
            free: Mutex::new(jobs),
            freed: Condvar::new(),
        }
    }

    fn acquire(&self) {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.freed.wait_while(free, |free| *free == 0);
        *waited.unwrap_or_else(PoisonError::into_inner) -= 1;
    }

    fn release(&self) {
        *self.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.freed.notify_one();
    }
}

impl Upstream for Responder {
    fn name(&self) -> &str {
        "the command"
    }

    fn accepts(&self, capture: &Capture, body: &Body) -> bool {
        self.filter.is_met(capture, body)
    }

    fn send(
        &self,
        capture: &StoredCapture,
        memory: &Arc<dyn Memory>,
    ) -> Result<UpstreamResponse, String> {
        self.acquire();
        let result = self.runner.run_with(capture, Stdout::Collect(memory));
        self.release();
        let name = self.runner.name();
        let (status, body, note) = match result {
            Ok((run, stdout)) if run.succeeded() => (200, stdout, run.outcome()),
            Ok((run, _)) => (500, b"Internal Server Error\n".to_vec(), run.outcome()),
            Err(error) => return Err(error),
        };
        Ok(UpstreamResponse {
            status,
            headers: self.headers.clone(),
            body,
            note: Some(format!("{name}: {note}")),
        })
    }
}
