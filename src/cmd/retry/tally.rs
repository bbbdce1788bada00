//! What came of a retry, as its summary and its exit code tell.

use crate::exit::Exit;
use crate::failure::Failure;

/// What came of a bulk so far.
#[derive(Default)]
pub struct Resent {
    /// Delivered.
    pub delivered: usize,
    /// Sent, and failed again.
    pub failed: usize,
    /// Sent, and scheduled again.
    pub scheduled: usize,
    /// Could not be sent.
    pub not_sent: usize,
    /// Another process has them.
    pub skipped: usize,
    /// Failures since the last success.
    pub in_a_row: usize,
    /// The worst so far.
    pub exit: Exit,
    /// The first failure that kept a delivery from being sent, to be told at the end where stderr takes one object only.
    pub first_failure: Option<Failure>,
    /// The first result that could not be written to stdout: sending goes on without it.
    pub unreported: Option<Failure>,
}

impl Resent {
    /// All that were seen to.
    pub fn total(&self) -> usize {
        self.delivered + self.failed + self.scheduled + self.not_sent + self.skipped
    }

    /// `2 delivered, 1 failed`; `asked` is how many there were, if that is known.
    pub fn in_words(&self, asked: Option<usize>) -> String {
        let parts = [
            (self.delivered, "delivered"),
            (self.failed, "failed"),
            (self.scheduled, "scheduled again"),
            (self.not_sent, "not sent"),
            (self.skipped, "skipped"),
            (asked.unwrap_or(0).saturating_sub(self.total()), "not tried"),
        ];
        let parts = parts.iter().filter(|(number, _)| *number > 0).map(|(number, word)| format!("{number} {word}"));
        parts.collect::<Vec<_>>().join(", ")
    }
}
