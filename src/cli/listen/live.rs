//! What comes, as it comes: lines on stdout until the listener is to end.
//!
//! Deliberately holds up nobody: of what comes faster than it can be shown, the journal is asked later.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use super::announce::{Announced, Announcements};
use super::args::{EndingArgs, ListenFormat};
use crate::capture::{Body, Caught, Mask};
use crate::cli::context::Context;
use crate::error::Failure;
use crate::journal::CaptureQuery;
use crate::journal::Journal;
use crate::listener::Listener;
use crate::output::capture_json::CaptureView;
use crate::output::{Tone, capture, json};
use crate::text;
use crate::time::{Clock as _, local_clock};

/// How soon an end that was asked for is noticed when nothing comes.
const GRAIN: Duration = Duration::from_millis(50);
/// The most captures that are read at once.
const BATCH: i64 = 256;
/// From so many captures at once on, they come faster than anybody reads.
const MANY: usize = 8;
/// How long the next are then collected, to be written together.
const COLLECTING: Duration = Duration::from_millis(5);
/// The shortest time from one complaint about the journal to the next.
const COMPLAINT: Duration = Duration::from_secs(1);

/// The lines, and what was said so far.
pub struct Live<'a> {
    ctx: &'a Context<'a>,
    journal: Box<dyn Journal>,
    mask: Mask,
    format: ListenFormat,
    /// The second that was told last, and how: many come within one.
    clock: (Option<i64>, String),
    /// As many as are to be shown.
    wanted: Option<u64>,
    shown: u64,
    /// What came beside those that were wanted.
    surplus: u64,
    /// Captures that were pruned before they could be shown.
    missed: u64,
    refused: u64,
    complained: Option<Instant>,
}

impl<'a> Live<'a> {
    /// Nothing shown yet, and `wanted` captures at most to be shown.
    pub fn new(
        ctx: &'a Context<'a>,
        journal: Box<dyn Journal>,
        mask: Mask,
        format: ListenFormat,
        wanted: Option<u64>,
    ) -> Live<'a> {
        let clock = (None, String::new());
        Live {
            ctx,
            journal,
            mask,
            format,
            clock,
            wanted,
            shown: 0,
            surplus: 0,
            missed: 0,
            refused: 0,
            complained: None,
        }
    }

    /// Shows what comes until Ctrl-C, or what the options ask for.
    ///
    /// # Errors
    /// When stdout cannot be written, or the journal cannot be read.
    pub fn until_end(
        &mut self,
        ending: &EndingArgs,
        catcher: &Listener,
        announcements: &Announcements,
    ) -> Result<(), Failure> {
        let deadline = ending.for_.map(|duration| Instant::now() + duration);
        loop {
            let left = deadline.map_or(GRAIN, |deadline| {
                deadline
                    .saturating_duration_since(Instant::now())
                    .min(GRAIN)
            });
            let announced = announcements.take(left);
            let many = announced.len() >= MANY;
            self.show(announced)?;
            self.complain(catcher);
            let over = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if self.room() == 0 || over || self.ctx.clock.interrupted() {
                return Ok(());
            }
            if many {
                std::thread::sleep(COLLECTING);
            }
        }
    }

    /// Shows what else came until the catcher was stopped, and says what cannot be shown.
    ///
    /// # Errors
    /// When stdout cannot be written, or the journal cannot be read.
    pub fn finish(
        &mut self,
        catcher: &Listener,
        announcements: &Announcements,
    ) -> Result<(), Failure> {
        self.show(announcements.take(Duration::ZERO))?;
        // Nobody is told later.
        self.complained = None;
        self.complain(catcher);
        if self.missed > 0 {
            let captures = text::count(self.missed as usize, "capture", "captures");
            self.ctx.ui.warning(&format!(
                "{captures} made room for newer ones before they could be shown; `--keep` keeps more"
            ));
        }
        if self.surplus > 0 {
            let requests = text::count(self.surplus as usize, "request", "requests");
            self.ctx.ui.status(&format!(
                "{requests} more came at the same time, answered and kept as well"
            ));
        }
        Ok(())
    }

    /// How many are still to be shown: a client may send another request before the listener has ended.
    fn room(&self) -> u64 {
        self.wanted
            .map_or(u64::MAX, |wanted| wanted.saturating_sub(self.shown))
    }

    /// How many were caught, whether they could be shown or not.
    pub fn caught(&self) -> u64 {
        self.shown
    }

    fn show(&mut self, announced: VecDeque<Announced>) -> Result<(), Failure> {
        if announced.is_empty() {
            return Ok(());
        }
        for announced in announced {
            match announced {
                Announced::Kept(_) if self.room() == 0 => self.surplus += 1,
                Announced::Kept(kept) => {
                    self.show_one(&kept.caught, &kept.body)?;
                    self.shown += 1;
                }
                Announced::Ids(ids) => self.show_ids(ids)?,
            }
        }
        Ok(self.ctx.ui.flush()?)
    }

    fn show_one(&mut self, caught: &Caught, body: &Body) -> Result<(), Failure> {
        let ui = self.ctx.ui;
        let line = match self.format {
            ListenFormat::Text => {
                let second = caught.capture.received_at.0.div_euclid(1000);
                if self.clock.0 != Some(second) {
                    self.clock = (
                        Some(second),
                        ui.toned(Tone::Faint, &local_clock(caught.capture.received_at))
                            .to_string(),
                    );
                }
                format!("{} {}", self.clock.1, capture::line(ui, caught, &self.mask))
            }
            ListenFormat::Ndjson => {
                json::compact(&CaptureView::new(caught, &self.mask).with_body(body))
            }
        };
        Ok(ui.line(&line)?)
    }

    /// Shows captures that are in the journal, as far as they still are.
    fn show_ids(&mut self, ids: RangeInclusive<i64>) -> Result<(), Failure> {
        let (first, end) = ids.into_inner();
        let mut after = first - 1;
        let last = end.min(after.saturating_add_unsigned(self.room()));
        self.surplus += (end - last).unsigned_abs();
        while after < last {
            let before = (after + BATCH).min(last) + 1;
            let query = CaptureQuery {
                after: Some(after),
                before: Some(before),
                ..CaptureQuery::default()
            };
            let wanted = (before - after - 1).unsigned_abs();
            let mut found = 0;
            for caught in self.journal.captures(&query)? {
                let body = match self.format {
                    ListenFormat::Text => Body::default(),
                    ListenFormat::Ndjson => match self.journal.capture(caught.id)? {
                        Some((_, body)) => body,
                        None => continue,
                    },
                };
                found += 1;
                self.show_one(&caught, &body)?;
            }
            self.shown += wanted;
            self.missed += wanted - found;
            after = before - 1;
        }
        Ok(())
    }

    /// Says, now and then, that requests are turned away because they cannot be kept.
    fn complain(&mut self, catcher: &Listener) {
        let failed = catcher.write_failures();
        let Some(error) = failed.last.filter(|_| failed.count > self.refused) else {
            return;
        };
        if self.complained.is_some_and(|at| at.elapsed() < COMPLAINT) {
            return;
        }
        self.complained = Some(Instant::now());
        let requests = text::count(
            (failed.count - self.refused) as usize,
            "request",
            "requests",
        );
        self.refused = failed.count;
        self.ctx
            .ui
            .warning(&format!("{requests} not kept, and answered 503: {error}"));
    }
}
