//! What comes, as it comes: lines on stdout until the listener is to end.
//!
//! Deliberately reads from the journal what it shows: what was printed can be looked at again, and a reader that lags
//! behind costs no memory.

use std::collections::HashSet;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::args::{EndingArgs, ListenFormat};
use crate::capture::Mask;
use crate::catcher::Catcher;
use crate::cmd::context::Context;
use crate::failure::Failure;
use crate::journal::Journal;
use crate::output::capture_json::CaptureView;
use crate::output::{capture, json};
use crate::store::CaptureQuery;
use crate::text;
use crate::time::Clock as _;

/// How soon an end that was asked for is noticed when nothing comes.
const GRAIN: Duration = Duration::from_millis(50);
/// The most captures that are read at once.
const BATCH: usize = 256;
/// The shortest time from one complaint about the journal to the next.
const COMPLAINT: Duration = Duration::from_secs(1);

/// The lines, and what was said so far.
pub struct Live<'a> {
    ctx: &'a Context<'a>,
    journal: Journal,
    mask: Mask,
    format: ListenFormat,
    shown: u64,
    /// Captures that were pruned before they could be shown.
    missed: usize,
    refused: u64,
    complained: Option<Instant>,
}

impl<'a> Live<'a> {
    /// Nothing shown yet.
    pub fn new(ctx: &'a Context<'a>, journal: Journal, mask: Mask, format: ListenFormat) -> Live<'a> {
        Live { ctx, journal, mask, format, shown: 0, missed: 0, refused: 0, complained: None }
    }

    /// Shows what comes until Ctrl-C, or what the options ask for.
    ///
    /// # Errors
    /// When stdout cannot be written, or the journal cannot be read.
    pub fn until_end(&mut self, ending: &EndingArgs, catcher: &Catcher, ids: &Receiver<i64>) -> Result<(), Failure> {
        let deadline = ending.for_.map(|duration| Instant::now() + duration);
        loop {
            let left = deadline.map_or(GRAIN, |deadline| deadline.saturating_duration_since(Instant::now()).min(GRAIN));
            match ids.recv_timeout(left) {
                Ok(first) => {
                    let batch: Vec<i64> = std::iter::once(first).chain(ids.try_iter().take(BATCH - 1)).collect();
                    self.show(&batch)?;
                    self.ctx.ui.flush()?;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            self.complain(catcher);
            let enough = ending.exit_after.is_some_and(|enough| self.shown >= enough);
            let over = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if enough || over || self.ctx.clock.interrupted() {
                return Ok(());
            }
        }
    }

    /// Shows what else came until the catcher was stopped, and says what cannot be shown.
    ///
    /// # Errors
    /// When stdout cannot be written, or the journal cannot be read.
    pub fn finish(&mut self, ids: &Receiver<i64>) -> Result<(), Failure> {
        let rest: Vec<i64> = ids.try_iter().collect();
        rest.chunks(BATCH).try_for_each(|batch| self.show(batch))?;
        self.ctx.ui.flush()?;
        if self.missed > 0 {
            let captures = text::count(self.missed, "capture", "captures");
            self.ctx.ui.warning(&format!(
                "{captures} made room for newer ones before they could be shown; `--keep` keeps more"
            ));
        }
        Ok(())
    }

    /// How many were caught, whether they could be shown or not.
    pub fn caught(&self) -> u64 {
        self.shown
    }

    fn show(&mut self, batch: &[i64]) -> Result<(), Failure> {
        let found = match self.format {
            ListenFormat::Text => self.show_lines(batch)?,
            ListenFormat::Ndjson => self.show_objects(batch)?,
        };
        self.shown += batch.len() as u64;
        self.missed += batch.len() - found;
        Ok(())
    }

    fn show_lines(&self, batch: &[i64]) -> Result<usize, Failure> {
        let (Some(first), Some(last)) = (batch.iter().min(), batch.iter().max()) else { return Ok(0) };
        let query = CaptureQuery { after: Some(first - 1), before: Some(last + 1), ..CaptureQuery::default() };
        // Another listener may use the same journal.
        let own: HashSet<i64> = batch.iter().copied().collect();
        let mut found = 0;
        for caught in self.journal.captures(&query)?.iter().filter(|caught| own.contains(&caught.id)) {
            found += 1;
            self.ctx.ui.line(&capture::line(self.ctx.ui, caught, &self.mask))?;
        }
        Ok(found)
    }

    fn show_objects(&self, batch: &[i64]) -> Result<usize, Failure> {
        let mut found = 0;
        for id in batch {
            if let Some((caught, body)) = self.journal.capture(*id)? {
                found += 1;
                let view = CaptureView::new(&caught, &self.mask).with_body(&body);
                self.ctx.ui.line(&json::compact(&view))?;
            }
        }
        Ok(found)
    }

    /// Says, now and then, that requests are turned away because they cannot be kept.
    fn complain(&mut self, catcher: &Catcher) {
        let failed = catcher.failed_keeps();
        let Some(error) = failed.last.filter(|_| failed.count > self.refused) else { return };
        if self.complained.is_some_and(|at| at.elapsed() < COMPLAINT) {
            return;
        }
        self.complained = Some(Instant::now());
        let requests = text::count((failed.count - self.refused) as usize, "request", "requests");
        self.refused = failed.count;
        self.ctx.ui.warning(&format!("{requests} not kept, and answered 503: {error}"));
    }
}
