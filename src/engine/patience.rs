//! A journal that is waited for: what another process holds, or what a full disk does not take, is tried again.
//!
//! For a process that is meant to run for ever. What will not pass (a newer or damaged file, one that was removed) is an
//! error at once; so is anything once the user wants the process to end. Two wait, each on its own thread: who reads the
//! schedule ([`Patient`]), and who writes down what is sent ([`Enduring`]). The user hears of it once, whoever waits.

use std::cell::Cell;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use crate::delivery::Delivery;
use crate::journal::store::{Deliveries, Due, Endurance, JournalError, Schedule, Seen};
use crate::time::{Clock, UnixMs, Woken};

/// The time from one try to the next; the journal itself waits for a lock before it gives up.
const PAUSE: Duration = Duration::from_secs(1);

/// What is told while a journal is waited for.
#[derive(Debug)]
pub enum Trouble<'a> {
    /// It cannot be used just now, and why.
    Begun(&'a str),
    /// It can be used again.
    Over,
}

/// Who waits, and what was said of it.
pub struct Troubles<'a> {
    tell: &'a dyn Fn(Trouble<'_>),
    reader_waits: Cell<bool>,
    writer_waits: Cell<bool>,
    /// From who writes: why it waits, or that it does not any more.
    notices: Receiver<Option<String>>,
    notify: Sender<Option<String>>,
}

impl<'a> Troubles<'a> {
    /// Nobody waits so far; `tell` hears of it when somebody does.
    pub fn new(tell: &'a dyn Fn(Trouble<'_>)) -> Troubles<'a> {
        let (notify, notices) = mpsc::channel();
        Troubles {
            tell,
            reader_waits: Cell::new(false),
            writer_waits: Cell::new(false),
            notices,
            notify,
        }
    }

    /// What who writes has to wait with, by this clock.
    pub fn enduring(&self, clock: Box<dyn Clock + Send>) -> Enduring {
        Enduring {
            clock,
            notify: self.notify.clone(),
            waits: false,
        }
    }

    /// Tells what who writes has noticed since.
    pub fn hear(&self) {
        for notice in self.notices.try_iter() {
            self.note(&self.writer_waits, notice.as_deref());
        }
    }

    fn note(&self, waits: &Cell<bool>, why: Option<&str>) {
        let anybody = || self.reader_waits.get() || self.writer_waits.get();
        let before = anybody();
        waits.set(why.is_some());
        match why {
            Some(why) if !before => (self.tell)(Trouble::Begun(why)),
            None if before && !anybody() => (self.tell)(Trouble::Over),
            _ => {}
        }
    }
}

/// A journal and the patience of who reads it.
pub struct Patient<'a, S: ?Sized> {
    journal: &'a S,
    clock: &'a dyn Clock,
    troubles: &'a Troubles<'a>,
}

impl<'a, S: ?Sized> Patient<'a, S> {
    /// Waits by `clock`.
    pub fn new(journal: &'a S, clock: &'a dyn Clock, troubles: &'a Troubles<'a>) -> Patient<'a, S> {
        Patient {
            journal,
            clock,
            troubles,
        }
    }

    fn patiently<T>(
        &self,
        try_it: impl Fn(&S) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        loop {
            self.troubles.hear();
            let error = match try_it(self.journal) {
                Ok(value) => {
                    self.troubles.note(&self.troubles.reader_waits, None);
                    return Ok(value);
                }
                Err(e) if e.may_pass() && !self.clock.interrupted() => e,
                Err(e) => return Err(e),
            };
            self.troubles
                .note(&self.troubles.reader_waits, Some(&error.to_string()));
            if self.clock.wait(PAUSE) == Woken::Interrupted {
                return Err(error);
            }
        }
    }
}

impl<S: Deliveries + ?Sized> Deliveries for Patient<'_, S> {
    fn delivery(&self, id: i64) -> Result<Option<Delivery>, JournalError> {
        self.patiently(|journal| journal.delivery(id))
    }

    fn event(&self, id: i64) -> Result<Vec<u8>, JournalError> {
        self.patiently(|journal| journal.event(id))
    }
}

impl<S: Schedule + ?Sized> Schedule for Patient<'_, S> {
    fn due(
        &self,
        now: UnixMs,
        last: Option<(UnixMs, i64)>,
        limit: u32,
        url: Option<&str>,
    ) -> Result<Vec<Due>, JournalError> {
        self.patiently(|journal| journal.due(now, last, limit, url))
    }

    fn next_due(&self, now: UnixMs) -> Result<Option<UnixMs>, JournalError> {
        self.patiently(|journal| journal.next_due(now))
    }

    fn release_dead(&self, now: UnixMs) -> Result<usize, JournalError> {
        self.patiently(|journal| journal.release_dead(now))
    }

    fn postpone(&self, seen: Seen, due: UnixMs) -> Result<bool, JournalError> {
        self.patiently(|journal| journal.postpone(seen, due))
    }

    fn unschedule(&self, seen: &[Seen]) -> Result<usize, JournalError> {
        self.patiently(|journal| journal.unschedule(seen))
    }
}

/// The patience of who writes.
pub struct Enduring {
    clock: Box<dyn Clock + Send>,
    notify: Sender<Option<String>>,
    waits: bool,
}

impl Enduring {
    fn notify(&self, notice: Option<String>) {
        // Nobody is there to tell any more.
        let _ = self.notify.send(notice);
    }
}

impl Endurance for Enduring {
    fn endures(&mut self, error: &JournalError) -> bool {
        if self.clock.interrupted() {
            return false;
        }
        if !std::mem::replace(&mut self.waits, true) {
            self.notify(Some(error.to_string()));
        }
        self.clock.wait(PAUSE) == Woken::Elapsed
    }

    fn over(&mut self) {
        if std::mem::take(&mut self.waits) {
            self.notify(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;
    use crate::engine::deliver::fakes::World;

    /// A clock for whoever waits on another thread.
    #[derive(Clone)]
    struct Still {
        interrupted: bool,
    }

    impl Clock for Still {
        fn now(&self) -> UnixMs {
            UnixMs(0)
        }

        fn elapsed(&self) -> Duration {
            Duration::ZERO
        }

        fn wait(&self, _: Duration) -> Woken {
            Woken::Elapsed
        }

        fn interrupted(&self) -> bool {
            self.interrupted
        }
    }

    fn locked() -> JournalError {
        JournalError::Locked {
            path: "journal.db".into(),
            waited: Duration::from_secs(10),
        }
    }

    #[test]
    fn it_is_told_once_whoever_waits_and_that_it_is_over_when_nobody_does_any_more() {
        let heard = RefCell::new(Vec::new());
        let tell = |trouble: Trouble<'_>| {
            heard
                .borrow_mut()
                .push(if matches!(trouble, Trouble::Over) {
                    "over"
                } else {
                    "begun"
                });
        };
        let troubles = Troubles::new(&tell);
        let mut writer = troubles.enduring(Box::new(Still { interrupted: false }));
        let (world, tries) = (World::new(), Cell::new(0));
        let reader = Patient::new(&(), &*world, &troubles);
        assert!(writer.endures(&locked()) && writer.endures(&locked()));
        let read = reader.patiently(|()| {
            tries.set(tries.get() + 1);
            if tries.get() == 3 {
                Ok(())
            } else {
                Err(locked())
            }
        });
        read.unwrap();
        assert_eq!(
            (heard.borrow().as_slice(), tries.get()),
            (&["begun"][..], 3),
            "who writes still waits"
        );
        writer.over();
        writer.over();
        troubles.hear();
        assert!(writer.endures(&locked()));
        troubles.hear();
        assert_eq!(*heard.borrow(), ["begun", "over", "begun"]);
    }

    #[test]
    fn nobody_waits_for_what_will_not_pass_or_once_it_is_to_end() {
        let troubles = Troubles::new(&|_| panic!("nobody waits"));
        assert!(
            !troubles
                .enduring(Box::new(Still { interrupted: true }))
                .endures(&locked())
        );
        let world: Rc<World> = World::new();
        let reader = Patient::new(&(), &*world, &troubles);
        let lost = || JournalError::Lost {
            path: "journal.db".into(),
            what: "it is gone".to_owned(),
        };
        assert!(reader.patiently(|()| Err::<(), _>(lost())).is_err());
        world.interrupt_at(0);
        assert!(reader.patiently(|()| Err::<(), _>(locked())).is_err());
        troubles.hear();
    }
}
