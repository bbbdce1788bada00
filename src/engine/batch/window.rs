//! How far intents are committed ahead of the senders.
//!
//! Far enough that a sender that gets free finds one that is committed, since a commit takes as long for many as for one;
//! no further, since each of them is taken for one that may have been received if the process dies. Found by trying: twice
//! as many when a sender had to wait for a commit, half as many when one waited long to be sent.

use std::time::Duration;

/// The most intents ahead of the senders, for each of them.
const MOST_PER_JOB: usize = 32;
/// As [`MOST_PER_JOB`], where few are to be begun that are not sent.
const FEW_PER_JOB: usize = 1;
/// The most in all.
pub const MOST: usize = 512;

/// An intent that waited longer than this was committed too early.
const TOO_EARLY: Duration = Duration::from_millis(250);

/// The number of intents that may be committed and not sent.
#[derive(Debug)]
pub struct Window {
    ahead: usize,
    most: usize,
    starved: bool,
}

impl Window {
    /// For so many senders, far ahead of them or not; one ahead at first.
    pub fn new(jobs: usize, far: bool) -> Window {
        let per_job = if far { MOST_PER_JOB } else { FEW_PER_JOB };
        Window {
            ahead: 1,
            most: jobs.saturating_mul(per_job).min(MOST),
            starved: false,
        }
    }

    /// The most intents now.
    pub fn ahead(&self) -> usize {
        self.ahead
    }

    /// A sender waits for a commit.
    pub fn starve(&mut self) {
        self.starved = true;
    }

    /// A commit came.
    pub fn committed(&mut self) {
        if std::mem::take(&mut self.starved) {
            self.ahead = (self.ahead * 2).min(self.most);
        }
    }

    /// One was sent that was committed so long ago.
    pub fn sent(&mut self, age: Duration) {
        if age > TOO_EARLY {
            self.ahead = (self.ahead / 2).max(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_widens_while_senders_wait_and_narrows_while_intents_do() {
        let mut window = Window::new(4, true);
        let mut seen = Vec::new();
        for _ in 0..9 {
            window.starve();
            window.starve();
            window.committed();
            window.committed();
            seen.push(window.ahead());
        }
        assert_eq!(seen, [2, 4, 8, 16, 32, 64, 128, 128, 128]);
        window.sent(TOO_EARLY);
        assert_eq!(window.ahead(), 128);
        for _ in 0..9 {
            window.sent(Duration::from_secs(1));
        }
        assert_eq!(window.ahead(), 1);
        assert_eq!(
            (Window::new(10_000, true).most, Window::new(4, false).most),
            (MOST, 4)
        );
    }
}
