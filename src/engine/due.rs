//! The due queue: which delivery of the schedule to send next.
//!
//! Deliveries come in the order of their due times, except that a URL which does not respond may use at most half of the
//! free workers, and the next such URL half of the rest. Every URL may use one.
//! Of a sequence, which is what one bin sends to one URL with `in_order`, one delivery is sent at a time.
//!
//! Deliveries that forward captures may wait in large numbers for one URL, and trying does not help while it is down:
//! [`DueQueue::forwarding`] tries with one of them now and then, and the others keep their attempts. Once the URL
//! responds, all of them are due.
//!
//! A process may lack the secret of a target, which another process has: [`DueQueue::cannot_send`] leaves its deliveries as
//! they are, and tries with one of them now and then.
//!
//! Memory holds a page of the schedule and the deliveries under way. Deliveries that were passed over are remembered per
//! URL, as the position of the first one.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::Contact;
use crate::journal::{DeliveryVersion, Due, DueFilter, Journal, JournalError};
use crate::time::UnixMs;

/// How often to look for changes by other processes, which schedule deliveries, claim them, and die.
pub const POLL_INTERVAL: Duration = Duration::from_secs(1);

const PAGE_SIZE: u32 = 128;

/// Deliveries to pass over before the engine handles its events again.
const MAX_PASSED_OVER: usize = 1024;

/// The pause per delivery seen until the schedule is read from its beginning again, for deliveries that
/// other processes have put back, and its longest.
const RESCAN_PAUSE: Duration = Duration::from_micros(200);
const MAX_RESCAN_PAUSE: Duration = Duration::from_secs(30);

/// The pauses between two tries of a URL that does not respond, for deliveries that forward captures: the first, and
/// the longest after it has doubled with each.
const FIRST_PROBE_PAUSE: Duration = Duration::from_secs(1);
const MAX_PROBE_PAUSE: Duration = Duration::from_secs(30);

/// So many tries in a row without a response are an outage. Fewer may be the fault of single requests, which keep the time of
/// their next attempt.
const OUTAGE_TRIES: u32 = 3;

/// The shortest pause between two tries with a target that this process cannot send to: a file with its secret may be there
/// again.
const UNSENDABLE_PAUSE: Duration = Duration::from_secs(2);

/// A place in the schedule: due time, then id.
type Position = (UnixMs, i64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upcoming {
    Due(DeliveryVersion),
    /// Nothing may be sent before this time, unless a delivery under way ends.
    Later(UnixMs),
    End,
}

#[derive(Debug)]
struct UrlState {
    under_way: usize,
    /// When it responded, if it responded to its last request.
    responded_at: Option<UnixMs>,
    /// How many requests in a row it has not responded to, and when to try the next one.
    unanswered: u32,
    probe_at: UnixMs,
    /// The first delivery that was passed over; all others are behind it.
    passed_over: Option<Position>,
}

impl Default for UrlState {
    fn default() -> UrlState {
        UrlState {
            under_way: 0,
            responded_at: None,
            unanswered: 0,
            probe_at: UnixMs(i64::MIN),
            passed_over: None,
        }
    }
}

impl UrlState {
    fn is_responsive(&self, now: UnixMs) -> bool {
        self.responded_at
            .is_some_and(|at| now.since(at) < POLL_INTERVAL)
    }

    fn may_have_worker(&self, free: usize, now: UnixMs, probes: bool) -> bool {
        if probes && self.responded_at.is_none() {
            return self.under_way == 0 && self.probe_at <= now;
        }
        self.under_way == 0 || self.under_way < free || self.is_responsive(now)
    }

    /// A request has ended, which is no longer under way.
    fn contacted(&mut self, contact: Contact, now: UnixMs) {
        match contact {
            Contact::Responded => (self.responded_at, self.unanswered) = (Some(now), 0),
            // Those that were sent together count as one try.
            Contact::NoResponse if self.under_way > 0 => self.responded_at = None,
            Contact::NoResponse => {
                let doubled = FIRST_PROBE_PAUSE.saturating_mul(1 << self.unanswered.min(10));
                self.responded_at = None;
                self.unanswered = self.unanswered.saturating_add(1);
                self.probe_at = now.plus(doubled.min(MAX_PROBE_PAUSE));
            }
            Contact::NotSent => {}
        }
    }
}

/// Where a delivery under way goes: see [`Due`].
struct Destination {
    url: String,
    target: String,
}

pub struct DueQueue<'a> {
    journal: &'a dyn Journal,
    jobs: usize,
    /// Only deliveries that forward captures; a URL that does not respond is tried with one now and then.
    forwards: bool,
    /// Deliveries that become due later are not for this run; `None` watches for ever.
    until: Option<UnixMs>,
    urls: HashMap<String, UrlState>,
    under_way: HashMap<i64, Destination>,
    /// Targets that this process cannot send to, and when to try again.
    unsendable: HashMap<String, UnixMs>,
    page: VecDeque<Due>,
    /// The last position read, and whether more may be due behind it.
    after: Option<Position>,
    has_more: bool,
    /// Deliveries read since the beginning of the schedule.
    seen: u32,
    looked_at: UnixMs,
    look_at: UnixMs,
    rescan_at: UnixMs,
    next_due: Option<Position>,
    /// Whether a delivery was released since the last look.
    has_changed: bool,
    abandoned: usize,
    /// Whether the journal has sequences.
    has_sequences: bool,
    /// Whether a delivery was released since the sequences were read, so that another one may be sent.
    sequence_may_go_on: bool,
    /// URLs that respond again. What waits for a later attempt there can be sent now.
    recovered: Vec<String>,
}

impl<'a> DueQueue<'a> {
    /// The deliveries that are due at `now`, each once, for `jobs` workers.
    pub fn once(journal: &'a dyn Journal, jobs: usize, now: UnixMs) -> DueQueue<'a> {
        DueQueue {
            until: Some(now),
            has_more: true,
            ..DueQueue::watching(journal, jobs)
        }
    }

    /// Deliveries as they become due; never ends.
    pub fn watching(journal: &'a dyn Journal, jobs: usize) -> DueQueue<'a> {
        let never = UnixMs(i64::MIN);
        DueQueue {
            journal,
            jobs,
            forwards: false,
            until: None,
            urls: HashMap::new(),
            under_way: HashMap::new(),
            unsendable: HashMap::new(),
            page: VecDeque::new(),
            after: None,
            has_more: false,
            seen: 0,
            looked_at: never,
            look_at: never,
            rescan_at: never,
            next_due: None,
            has_changed: false,
            abandoned: 0,
            has_sequences: false,
            sequence_may_go_on: false,
            recovered: Vec::new(),
        }
    }

    /// As [`DueQueue::watching`], only for deliveries that forward captures.
    pub fn forwarding(journal: &'a dyn Journal, jobs: usize) -> DueQueue<'a> {
        DueQueue {
            forwards: true,
            ..DueQueue::watching(journal, jobs)
        }
    }

    /// Reads deliveries that were just added, due at `from` or later, without waiting for the next look. Deliveries that are
    /// due a little later may have been read before the commit of these ended.
    pub fn look_from(&mut self, from: UnixMs) {
        self.after = self.after.map(|after| after.min((from, 0)));
        self.has_more = true;
    }

    /// The next delivery; it is under way until [`DueQueue::release`]. After an error it can be called again.
    pub fn next(&mut self, now: UnixMs) -> Result<Upcoming, JournalError> {
        self.send_after_outages()?;
        let mut passed_over = 0;
        loop {
            while let Some(due) = self.page.pop_front() {
                if self.under_way.contains_key(&due.version.id) {
                    continue;
                }
                if self.take(&due, now) {
                    return Ok(Upcoming::Due(due.version));
                }
                passed_over += 1;
            }
            if passed_over >= MAX_PASSED_OVER {
                return Ok(Upcoming::Later(now));
            }
            if let Some((url, from)) = self.next_passed_over(now) {
                self.read_passed_over(&url, from)?;
            } else if self.has_more {
                self.read_page(now)?;
            } else if let Some(upcoming) = self.look_again(now)? {
                return Ok(upcoming);
            }
        }
    }

    /// A delivery that was handed out is no longer under way.
    pub fn release(&mut self, id: i64, contact: Contact, now: UnixMs) {
        let Some(Destination { url, .. }) = self.under_way.remove(&id) else {
            return;
        };
        self.has_changed = true;
        self.sequence_may_go_on = self.has_sequences;
        if let Some(state) = self.urls.get_mut(&url) {
            state.under_way -= 1;
            let is_outage_over = contact == Contact::Responded && state.unanswered >= OUTAGE_TRIES;
            if self.forwards && is_outage_over {
                self.recovered.push(url);
            }
            state.contacted(contact, now);
        }
    }

    /// Deliveries that were tried during an outage do not wait for the time of their next attempt, which may be an hour
    /// away.
    fn send_after_outages(&mut self) -> Result<(), JournalError> {
        while let Some(url) = self.recovered.last() {
            let now = self.journal.now();
            if self.journal.bring_forward(url)? {
                self.look_from(now);
            }
            self.recovered.pop();
        }
        Ok(())
    }

    /// This process cannot send a delivery that was handed out, nor others to its target. If that is news, returns how many
    /// are scheduled.
    pub fn cannot_send(&mut self, id: i64, now: UnixMs) -> Result<Option<usize>, JournalError> {
        let Some(Destination { target, .. }) = self.under_way.get(&id) else {
            return Ok(None);
        };
        let try_at = now.plus(UNSENDABLE_PAUSE);
        match self.unsendable.insert(target.clone(), try_at) {
            Some(_) => Ok(None),
            None => self.scheduled_to(target).map(Some),
        }
    }

    /// This process can send a delivery that was handed out, and so others to its target.
    pub fn can_send(&mut self, id: i64) {
        if let Some(Destination { target, .. }) = self.under_way.get(&id)
            && self.unsendable.remove(target).is_some()
        {
            self.rescan_at = UnixMs(i64::MIN);
        }
    }

    /// How many scheduled deliveries this process cannot send.
    pub fn unsendable(&self) -> Result<usize, JournalError> {
        let targets = self.unsendable.keys();
        targets.map(|target| self.scheduled_to(target)).sum()
    }

    pub fn has_unsendable(&self) -> bool {
        !self.unsendable.is_empty()
    }

    fn scheduled_to(&self, target: &str) -> Result<usize, JournalError> {
        self.journal.scheduled_to(target, self.forwards)
    }

    /// Whether no delivery is under way, nor was since the last look.
    pub fn is_idle(&self) -> bool {
        self.under_way.is_empty() && !self.has_changed
    }

    /// When the next delivery is due and which one it is, as of the last look.
    pub fn next_due(&self) -> Option<Position> {
        self.next_due
    }

    /// Deliveries that dead processes left, found since the last call.
    pub fn take_abandoned(&mut self) -> usize {
        std::mem::take(&mut self.abandoned)
    }

    fn free_workers(&self) -> usize {
        self.jobs.saturating_sub(self.under_way.len())
    }

    /// Gives a delivery a worker, or passes it over; returns whether it has one.
    fn take(&mut self, due: &Due, now: UnixMs) -> bool {
        let unsendable = self.unsendable.get_mut(&due.target);
        if unsendable.as_ref().is_some_and(|try_at| now < **try_at) {
            return false;
        }
        let free = self.jobs.saturating_sub(self.under_way.len());
        let state = self.urls.entry(due.url.clone()).or_default();
        // A sequence has one at a time, and is not read again by a run that ends.
        let is_next = due.in_sequence && !self.forwards;
        if is_next || state.may_have_worker(free, now, self.forwards) {
            state.under_way += 1;
            if let Some(try_at) = unsendable {
                *try_at = now.plus(UNSENDABLE_PAUSE);
            }
            let (url, target) = (due.url.clone(), due.target.clone());
            self.under_way
                .insert(due.version.id, Destination { url, target });
            return true;
        }
        if due.in_sequence {
            return false;
        }
        let position = (due.at, due.version.id);
        let first = state.passed_over.unwrap_or(position);
        state.passed_over = Some(first.min(position));
        false
    }

    /// Of the URLs that were passed over and may have another worker, the one whose first delivery is due first.
    fn next_passed_over(&mut self, now: UnixMs) -> Option<(String, Position)> {
        let (free, probes) = (self.free_workers(), self.forwards);
        let (url, state) = self
            .urls
            .iter_mut()
            .filter(|(_, state)| {
                state.passed_over.is_some() && state.may_have_worker(free, now, probes)
            })
            .min_by_key(|(_, state)| state.passed_over)?;
        Some((url.clone(), state.passed_over.take()?))
    }

    fn read_passed_over(&mut self, url: &str, from: Position) -> Result<(), JournalError> {
        let (at, id) = from;
        let page = self.due_page(Some((at, id - 1)), Some(url));
        let rest = match &page {
            Ok(page) if page.len() < PAGE_SIZE as usize => None,
            Ok(page) => page.last().map(|last| (last.at, last.version.id + 1)),
            Err(_) => Some(from),
        };
        self.urls.entry(url.to_owned()).or_default().passed_over = rest;
        self.page.extend(page?);
        Ok(())
    }

    fn read_page(&mut self, now: UnixMs) -> Result<(), JournalError> {
        let page = self.due_page(self.after, None)?;
        if let Some(last) = page.last() {
            self.after = Some((last.at, last.version.id));
            self.seen = self.seen.saturating_add(page.len() as u32);
            self.page.extend(page);
            return Ok(());
        }
        self.read_sequences()?;
        self.next_due = self.journal.next_due()?;
        self.has_changed = false;
        self.has_more = false;
        self.looked_at = now;
        let poll_at = now.plus(POLL_INTERVAL);
        self.look_at = self.next_due.map_or(poll_at, |(due, _)| due.min(poll_at));
        Ok(())
    }

    /// Adds the deliveries that their sequences have come to. Those that are passed over are read again at the next look.
    fn read_sequences(&mut self) -> Result<(), JournalError> {
        self.sequence_may_go_on = false;
        let mut first = self.journal.due_in_sequence()?;
        self.has_sequences |= !first.is_empty();
        first.retain(|due| self.until.is_none_or(|until| due.at <= until));
        self.page.extend(first);
        Ok(())
    }

    fn due_page(
        &self,
        after: Option<Position>,
        url: Option<&str>,
    ) -> Result<Vec<Due>, JournalError> {
        let forwards = self.forwards;
        let filter = DueFilter { url, forwards };
        let mut page = self.journal.due_page(after, PAGE_SIZE, filter)?;
        page.retain(|due| self.until.is_none_or(|until| due.at <= until));
        Ok(page)
    }

    /// Prepares another look if it is time; else returns when it will be.
    fn look_again(&mut self, now: UnixMs) -> Result<Option<Upcoming>, JournalError> {
        if self.sequence_may_go_on {
            self.read_sequences()?;
            if !self.page.is_empty() {
                return Ok(None);
            }
        }
        if self.until.is_some() {
            let mut urls = self.urls.values();
            let some_left = urls.any(|state| state.passed_over.is_some())
                || self.has_sequences && !self.under_way.is_empty();
            return Ok(Some(if some_left {
                Upcoming::Later(now.plus(POLL_INTERVAL))
            } else {
                Upcoming::End
            }));
        }
        let clock_set_back = now < self.looked_at;
        if !clock_set_back && now < self.look_at {
            return Ok(Some(Upcoming::Later(self.look_at)));
        }
        let abandoned = self.journal.interrupt_abandoned()?;
        self.abandoned += abandoned;
        if clock_set_back {
            for state in self.urls.values_mut() {
                state.probe_at = state.probe_at.min(now);
            }
            for try_at in self.unsendable.values_mut() {
                *try_at = (*try_at).min(now);
            }
        }
        self.urls.retain(|_, state| {
            state.under_way > 0
                || state.passed_over.is_some()
                || state.unanswered > 0
                || state.is_responsive(now)
        });
        if clock_set_back || abandoned > 0 || self.rescan_at <= now {
            let pause = RESCAN_PAUSE.saturating_mul(self.seen);
            self.rescan_at = now.plus(pause.clamp(POLL_INTERVAL, MAX_RESCAN_PAUSE));
            (self.after, self.seen) = (None, 0);
        }
        self.has_more = true;
        Ok(None)
    }
}
