//! Prints captures as they arrive, until the listener is to end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::args::EndingArgs;
use crate::capture::{Capture, Mask};
use crate::cli::args::Format;
use crate::cli::capture_feed::{CaptureFeed, FeedItem};
use crate::cli::capture_printer::CapturePrinter;
use crate::cli::context::Context;
use crate::cli::exec::queue::ExecQueue;
use crate::cli::forward_later::ForwardThread;
use crate::error::Failure;
use crate::journal::JournalError;
use crate::text;
use crate::time::Clock as _;

/// How often the end of the run is checked for while nothing arrives.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// After a burst of this many captures, output is batched.
const BURST_SIZE: usize = 8;
const BATCH_INTERVAL: Duration = Duration::from_millis(5);
const WARNING_INTERVAL: Duration = Duration::from_secs(1);

/// Whether `--exit-after` counts a request.
fn counts(capture: &Capture) -> bool {
    capture.handshake.is_none() && capture.invalid_signature().is_none()
}

pub struct Printer<'a> {
    ctx: &'a Context<'a>,
    captures: CapturePrinter<'a>,
    /// The value of `--exit-after`.
    wanted: Option<u64>,
    /// How many captures were printed that count for `--exit-after`.
    printed: u64,
    /// Captures beyond `wanted`, which are not printed.
    surplus: u64,
    /// Captures that were pruned before they could be printed.
    missed: u64,
    /// Errors that are not yet reported: requests that were not stored, responses that were not recorded.
    not_stored: usize,
    not_recorded: usize,
    last_error: Option<Arc<JournalError>>,
    last_warning: Option<Instant>,
    /// Commands, whose results are printed.
    exec: Option<ExecQueue>,
    /// Deliveries of captures, whose results are printed.
    forward: Option<ForwardThread>,
}

impl<'a> Printer<'a> {
    pub fn new(
        ctx: &'a Context<'a>,
        mask: Mask,
        format: Format,
        wanted: Option<u64>,
        exec: Option<ExecQueue>,
        forward: Option<ForwardThread>,
    ) -> Printer<'a> {
        Printer {
            ctx,
            captures: CapturePrinter::new(ctx.ui, mask, format),
            wanted,
            printed: 0,
            surplus: 0,
            missed: 0,
            not_stored: 0,
            not_recorded: 0,
            last_error: None,
            last_warning: None,
            exec,
            forward,
        }
    }

    /// Prints until Ctrl-C, the wanted number of captures, or the time limit.
    pub fn run(&mut self, feed: &mut dyn CaptureFeed, ending: &EndingArgs) -> Result<(), Failure> {
        let deadline = ending.for_.map(|duration| Instant::now() + duration);
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let wait = left.unwrap_or(POLL_INTERVAL).min(POLL_INTERVAL);
            let count = self.print_available(feed, wait)?;
            self.print_reports();
            if self
                .last_warning
                .is_none_or(|at| at.elapsed() >= WARNING_INTERVAL)
            {
                self.warn_of_errors();
            }
            let is_over = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if self.is_complete() || is_over || self.ctx.clock.interrupted() {
                return Ok(());
            }
            if count >= BURST_SIZE {
                std::thread::sleep(BATCH_INTERVAL);
            }
        }
    }

    /// Prints the remaining captures, and reports those that were not printed.
    pub fn finish(&mut self, feed: &mut dyn CaptureFeed) -> Result<(), Failure> {
        while self.print_available(feed, Duration::ZERO)? > 0 {}
        self.finish_commands();
        self.warn_of_errors();
        if self.missed > 0 {
            let captures = text::count(self.missed as usize, "capture", "captures");
            self.ctx.ui.warning(&format!(
                "{captures} removed before they could be printed, to keep newer ones; `--keep` keeps more"
            ));
        }
        if self.surplus > 0 {
            let requests = text::count(self.surplus as usize, "more request", "more requests");
            self.ctx
                .ui
                .status(&format!("{requests} captured at the same time"));
        }
        Ok(())
    }

    fn print_reports(&self) {
        let forwarded = self.forward.iter().flat_map(ForwardThread::reports);
        let reports = self.exec.iter().flat_map(ExecQueue::reports);
        for report in reports.chain(forwarded) {
            report.print(self.ctx.ui);
        }
    }

    /// Waits until the requests under way have ended, and the commands have run for all captures so far; after an interrupt,
    /// until those that run have ended.
    fn finish_commands(&self) {
        while self
            .forward
            .as_ref()
            .is_some_and(|forward| !forward.close())
        {
            self.print_reports();
            std::thread::sleep(BATCH_INTERVAL);
        }
        while self.exec.as_ref().is_some_and(|exec| !exec.close()) {
            self.print_reports();
            std::thread::sleep(BATCH_INTERVAL);
        }
        self.print_reports();
        let left_out = self.exec.as_ref().and_then(ExecQueue::left_out);
        left_out.iter().for_each(|text| self.ctx.ui.warning(text));
    }

    /// The number of captures so far, without the surplus.
    pub fn captured(&self) -> u64 {
        self.printed + self.missed
    }

    fn is_complete(&self) -> bool {
        self.wanted.is_some_and(|wanted| self.captured() >= wanted)
    }

    /// Prints a batch of items; waits for the first one.
    fn print_available(
        &mut self,
        feed: &mut dyn CaptureFeed,
        wait: Duration,
    ) -> Result<usize, Failure> {
        const MAX_ITEMS: usize = 1024;
        let mut count = 0;
        while count < MAX_ITEMS
            && let Some(item) = feed.next(if count == 0 { wait } else { Duration::ZERO })?
        {
            count += 1;
            match item {
                FeedItem::NotStored(error) => {
                    self.not_stored += 1;
                    self.last_error = Some(error);
                }
                FeedItem::ResponseNotRecorded(error) => {
                    self.not_recorded += 1;
                    self.last_error = Some(error);
                }
                _ if self.is_complete() => self.surplus += 1,
                FeedItem::Captured(capture) => {
                    self.captures.print(&capture)?;
                    self.printed += u64::from(counts(&capture.record.capture));
                }
                FeedItem::Deleted => self.missed += 1,
            }
        }
        self.ctx.ui.flush()?;
        Ok(count)
    }

    fn warn_of_errors(&mut self) {
        let Some(error) = self.last_error.take() else {
            return;
        };
        if self.not_stored > 0 {
            let requests = text::count(self.not_stored, "request", "requests");
            self.ctx
                .ui
                .warning(&format!("{requests} not stored, response 503: {error}"));
        }
        if self.not_recorded > 0 {
            let responses = text::count(self.not_recorded, "response", "responses");
            self.ctx
                .ui
                .warning(&format!("{responses} not recorded: {error}"));
        }
        (self.not_stored, self.not_recorded) = (0, 0);
        self.last_warning = Some(Instant::now());
    }
}
