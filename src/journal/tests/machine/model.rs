//! A model of the journal's deliveries, without SQL.

use super::*;

/// The retry policy of every delivery.
pub static RULE: std::sync::LazyLock<RetryPolicy> = std::sync::LazyLock::new(RetryPolicy::default);

#[derive(Clone, Debug, PartialEq)]
pub enum End {
    Open,
    Presumed,
    Known(u64, u16),
}

#[derive(Clone, Debug)]
pub struct Tried {
    pub by: usize,
    pub started: UnixMs,
    pub end: End,
}

impl Tried {
    pub fn last_sign(&self) -> UnixMs {
        match self.end {
            End::Known(took, _) => self.started.plus(Duration::from_millis(took)),
            _ => self.started,
        }
    }

    /// None without an error, else the HTTP status, if any: an interrupted attempt has an error and no status.
    pub fn error(&self) -> Option<Option<u16>> {
        match self.end {
            End::Open | End::Known(_, 200) => None,
            End::Presumed => Some(None),
            End::Known(_, status) => Some(Some(status)),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Kept {
    pub status: Status,
    pub created: UnixMs,
    /// The owner of the lease, and when it expires.
    pub lease: Option<(usize, UnixMs)>,
    pub finished: Option<UnixMs>,
    /// When its next attempt is due; without a lease, the delivery is on the schedule.
    pub due: Option<UnixMs>,
    pub tried: Vec<Tried>,
}

impl Kept {
    pub fn new(by: usize, now: UnixMs) -> Kept {
        let mut kept = Kept {
            status: Status::Pending,
            ..Kept::ignored(now)
        };
        kept.begin(by, now);
        kept
    }

    pub fn ignored(now: UnixMs) -> Kept {
        let (status, tried) = (Status::Ignored, Vec::new());
        Kept {
            status,
            created: now,
            lease: None,
            finished: None,
            due: None,
            tried,
        }
    }

    pub fn begin(&mut self, by: usize, now: UnixMs) {
        self.tried.push(Tried {
            by,
            started: now,
            end: End::Open,
        });
        self.stand(Status::Pending, None, Some((by, now.plus(LEASE))), None);
    }

    pub fn stand(
        &mut self,
        status: Status,
        finished: Option<UnixMs>,
        lease: Option<(usize, UnixMs)>,
        due: Option<UnixMs>,
    ) {
        (self.status, self.finished, self.lease, self.due) = (status, finished, lease, due);
    }

    /// The label of the process that began the last attempt.
    pub fn last_owner(&self) -> Option<String> {
        let last = self.tried.last()?;
        Some(TestHost::default().process(last.by as i64).label())
    }

    /// Its due time, if it is scheduled and has this number of attempts.
    pub fn scheduled(&self, attempts: u32) -> Option<UnixMs> {
        self.due
            .filter(|_| self.lease.is_none() && self.tried.len() == attempts as usize)
    }

    /// Its process died: it is interrupted, and scheduled if the policy has an attempt left.
    pub fn abandon(&mut self) {
        self.interrupt();
        let again = self.status == Status::Interrupted && self.tried.len() <= RULE.retries as usize;
        self.due = again.then(|| self.tried.last().unwrap().last_sign().plus(RULE.interval));
    }

    pub fn held_by(&self, who: usize) -> bool {
        self.lease.is_some_and(|(holder, _)| holder == who)
    }

    /// The attempt that this process has in flight, also if another process has marked it as interrupted.
    pub fn under_way(&self, who: usize) -> Option<usize> {
        self.tried
            .iter()
            .position(|tried| tried.by == who && !matches!(tried.end, End::Known(..)))
    }

    /// Deletes its last attempt, which was not sent.
    pub fn put_back(&mut self, due: UnixMs, abandoned: bool) {
        self.tried.pop();
        match self
            .tried
            .iter()
            .find(|tried| matches!(tried.end, End::Known(_, 200)))
        {
            Some(success) => self.stand(Status::Delivered, Some(success.last_sign()), None, None),
            None if abandoned => {
                let finished = self.tried.last().map(Tried::last_sign);
                self.stand(Status::Interrupted, finished, None, Some(due));
            }
            None => self.stand(Status::Pending, None, None, Some(due)),
        }
    }

    pub fn interrupt(&mut self) {
        let success = self
            .tried
            .iter()
            .find(|tried| matches!(tried.end, End::Known(_, 200)));
        let (status, decided) = match success {
            Some(success) => (Status::Delivered, success),
            None => (Status::Interrupted, self.tried.last().unwrap()),
        };
        let finished = Some(decided.last_sign());
        self.stand(status, finished, None, None);
    }

    pub fn finish(
        &mut self,
        who: usize,
        index: usize,
        took: u64,
        status: u16,
        next: NextStep,
        now: UnixMs,
    ) {
        self.tried[index].end = End::Known(took, status);
        let newest = index + 1 == self.tried.len();
        let success = self
            .tried
            .iter()
            .position(|tried| matches!(tried.end, End::Known(_, 200)));
        let (index, next) = match success {
            Some(earlier) if next != NextStep::Delivered => (earlier, NextStep::Delivered),
            _ => (index, next),
        };
        let without_owner = self.lease.is_none();
        let counts =
            self.held_by(who) || (without_owner && (newest || next == NextStep::Delivered));
        if self.status == Status::Delivered || !counts {
            return;
        }
        let finished = Some(self.tried[index].last_sign());
        match next {
            NextStep::Delivered => self.stand(Status::Delivered, finished, None, None),
            NextStep::Failed => self.stand(Status::Failed, finished, None, None),
            NextStep::Interrupted => self.stand(Status::Interrupted, finished, None, None),
            NextStep::Scheduled { delay } => {
                self.stand(Status::Pending, None, None, Some(now.plus(delay)));
            }
            NextStep::Retry { delay, lease } => {
                let (due, lease) = (now.plus(delay), now.plus(lease));
                self.stand(Status::Pending, None, Some((who, lease)), Some(due));
            }
        }
    }
}
