//! Totals of a run: how many deliveries ended in which way, response times, and the exit code.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::Halted;
use crate::delivery::{Delivery, ErrorKind, Status};
use crate::exit::Exit;
use crate::text::count;

/// Totals of one run, or of several added up.
#[derive(Debug, Default)]
pub struct Summary {
    pub delivered: usize,
    pub failed: usize,
    /// Sent for the first time, with the next attempt on the schedule.
    pub scheduled: usize,
    /// Sent again, with the next attempt on the schedule.
    pub rescheduled: usize,
    pub interrupted: usize,
    /// Stopped by a webhook switch.
    pub ignored: usize,
    /// Could not be sent, for example because a secret is missing.
    pub not_sent: usize,
    /// Sent, claimed or deleted by another process.
    pub skipped: usize,
    /// Lines of a batch that are not events.
    pub invalid: usize,
    /// Of those that were sent; the others neither count nor interrupt the row.
    pub failures_in_a_row: usize,
    /// The worst exit code so far.
    pub exit: Exit,
    pub halted: Option<Halted>,
    pub latencies: Latencies,
}

impl Summary {
    pub fn total(&self) -> usize {
        self.sent() + self.ignored + self.not_sent + self.skipped + self.invalid
    }

    pub fn sent(&self) -> usize {
        self.delivered + self.failed + self.scheduled + self.rescheduled + self.interrupted
    }

    /// Counts a delivery whose run has ended. Exit code 130 is only for what the user stopped: a delivery that was given up
    /// for another reason counts as an error.
    pub fn add(&mut self, delivery: &Delivery, stopped_by_user: bool) {
        let exit = match exit_of(delivery) {
            Exit::Interrupted if !stopped_by_user => Exit::Error,
            exit => exit,
        };
        self.exit = self.exit.max(exit);
        match delivery.status {
            Status::Delivered => self.delivered += 1,
            Status::Ignored => self.ignored += 1,
            Status::Interrupted => self.interrupted += 1,
            Status::Failed => self.failed += 1,
            Status::Pending if delivery.attempt_count > 1 => self.rescheduled += 1,
            Status::Pending => self.scheduled += 1,
        }
        if delivery.status == Status::Delivered {
            self.failures_in_a_row = 0;
        } else {
            self.failures_in_a_row += 1;
        }
    }

    /// Adds the totals of a later run, for example of the next page of a list.
    pub fn add_run(&mut self, run: Summary) {
        self.failures_in_a_row = if run.delivered > 0 {
            run.failures_in_a_row
        } else {
            self.failures_in_a_row + run.failures_in_a_row
        };
        self.delivered += run.delivered;
        self.failed += run.failed;
        self.scheduled += run.scheduled;
        self.rescheduled += run.rescheduled;
        self.interrupted += run.interrupted;
        self.ignored += run.ignored;
        self.not_sent += run.not_sent;
        self.skipped += run.skipped;
        self.invalid += run.invalid;
        self.exit = self.exit.max(run.exit);
        self.halted = self.halted.take().or(run.halted);
    }

    /// `2 delivered, 1 failed, 3 not tried`; `asked` is the number of deliveries to send, if known.
    pub fn in_words(&self, asked: Option<usize>) -> String {
        let not_tried = asked.unwrap_or(0).saturating_sub(self.total());
        let parts = [
            (self.delivered, "delivered"),
            (self.failed, "failed"),
            (self.scheduled, "scheduled"),
            (self.rescheduled, "scheduled again"),
            (self.interrupted, "interrupted"),
            (self.ignored, "ignored"),
            (self.not_sent, "not sent"),
            (self.skipped, "skipped"),
            (not_tried, "not tried"),
        ];
        let mut words: Vec<String> = parts
            .iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, word)| format!("{number} {word}"))
            .collect();
        if self.invalid > 0 {
            words.push(count(self.invalid, "invalid line", "invalid lines"));
        }
        if words.is_empty() {
            "nothing to send".to_owned()
        } else {
            words.join(", ")
        }
    }
}

/// The exit code that a delivery's state stands for.
pub fn exit_of(delivery: &Delivery) -> Exit {
    let refused = delivery
        .last_error
        .as_ref()
        .is_some_and(|error| error.kind == ErrorKind::Status);
    match delivery.status {
        Status::Delivered | Status::Ignored | Status::Pending => Exit::Done,
        Status::Interrupted => Exit::Interrupted,
        Status::Failed if refused => Exit::Refused,
        Status::Failed => Exit::Unreachable,
    }
}

/// Response times, to two digits.
#[derive(Debug)]
pub struct Latencies(Histogram<u64>);

const DAY_US: u64 = 86_400 * 1_000_000;

impl Default for Latencies {
    fn default() -> Latencies {
        Latencies(
            Histogram::new_with_bounds(1, DAY_US, 2)
                .expect("the bounds and digits are within the crate's own"),
        )
    }
}

impl Latencies {
    pub fn add(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(DAY_US);
        self.0.saturating_record(micros.clamp(1, DAY_US));
    }

    /// The median, the 99th percentile and the maximum; none without responses.
    pub fn percentiles(&self) -> Option<[Duration; 3]> {
        let at = |quantile| Duration::from_micros(self.0.value_at_quantile(quantile));
        (!self.0.is_empty()).then(|| [at(0.5), at(0.99), Duration::from_micros(self.0.max())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_have_two_digits() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentiles(), None);
        for ms in 1..=1000 {
            latencies.add(Duration::from_millis(ms));
        }
        latencies.add(Duration::from_secs(1_000_000));
        let [half, most, all] = latencies.percentiles().unwrap();
        let near = |found: Duration, ms: f64| (found.as_secs_f64() * 1e3 / ms - 1.0).abs() < 0.01;
        assert!(near(half, 501.0) && near(most, 991.0), "{half:?} {most:?}");
        assert!(near(all, 86_400_000.0), "{all:?}");
    }
}
