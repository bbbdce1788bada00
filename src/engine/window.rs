//! How many deliveries are claimed ahead of the senders.
//!
//! Enough that a free worker finds a committed claim, since a commit takes as long for many as for one; not more, since
//! each claim counts as possibly received if the process dies. The number doubles when a worker had to wait for a commit
//! and halves when a claim waited long for a worker.

use std::time::Duration;

use super::Claims;

const MAX_PER_JOB: usize = 32;

/// The most claims ahead of all workers.
pub const MAX_AHEAD: usize = 512;

/// A claim that waited longer was committed too early.
const MAX_CLAIM_AGE: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub struct ClaimWindow {
    ahead: usize,
    max: usize,
    in_groups: bool,
    starved: bool,
}

impl ClaimWindow {
    pub fn new(jobs: usize, claims: Claims) -> ClaimWindow {
        let (ahead, per_job) = match claims {
            Claims::OneByOne | Claims::Few => (jobs, 1),
            Claims::Many => (1, MAX_PER_JOB),
        };
        ClaimWindow {
            ahead,
            max: jobs.saturating_mul(per_job).min(MAX_AHEAD),
            in_groups: claims == Claims::Many,
            starved: false,
        }
    }

    pub fn ahead(&self) -> usize {
        self.ahead
    }

    /// The most claims ahead with which the engine takes more. It takes half a window at once, so that few statements
    /// read and claim many deliveries.
    pub fn refill_at(&self) -> usize {
        if self.in_groups {
            self.ahead / 2
        } else {
            self.ahead.saturating_sub(1)
        }
    }

    /// A worker waits for a commit.
    pub fn starve(&mut self) {
        self.starved = true;
    }

    pub fn committed(&mut self) {
        if std::mem::take(&mut self.starved) {
            self.ahead = (self.ahead * 2).min(self.max);
        }
    }

    /// A request was sent whose claim is `age` old.
    pub fn sent(&mut self, age: Duration) {
        if age > MAX_CLAIM_AGE {
            self.ahead = (self.ahead / 2).max(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn window_follows_the_senders() {
        let mut window = ClaimWindow::new(4, Claims::Many);
        let mut seen = Vec::new();
        for _ in 0..9 {
            window.starve();
            window.starve();
            window.committed();
            window.committed();
            seen.push(window.ahead());
        }
        assert_eq!(seen, [2, 4, 8, 16, 32, 64, 128, 128, 128]);
        window.sent(MAX_CLAIM_AGE);
        assert_eq!(window.ahead(), 128);
        for _ in 0..9 {
            window.sent(Duration::from_secs(1));
        }
        assert_eq!(window.ahead(), 1);
        assert_eq!(ClaimWindow::new(10_000, Claims::Many).max, MAX_AHEAD);
        assert_eq!(ClaimWindow::new(4, Claims::Few).max, 4);
    }
}
