//! Writing down what is sent, thousands a second: what is submitted while a commit is under way shares the next one, and so
//! its sync.
//!
//! Other than captures, nothing here is put off: `synchronous=FULL`, so that what was told to be committed is on the disk.
//! What each entry does is `sending`'s business.
//!
//! Invariant: entries are committed in the order in which they came, and once a commit has failed, none that a request
//! would follow.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Transaction;

use super::sending::{self, End};
use super::{SqliteJournal, may_be_found};
use crate::delivery::Delivery;
use crate::delivery::switches::Switch;
use crate::journal::store::{
    Begun, Done, Ended, Endurance, Intent, JournalError, Ledger, ProcessId, Slot, Turn,
};
use crate::time::UnixMs;

/// The most entries that share a commit.
const GROUP: usize = 512;

/// Pages that are added to the WAL until it is moved into the main file. The fewer times, the more often a page was changed
/// that is moved once.
const CHECKPOINT_PAGES: i32 = 4_000;

/// How long nothing must come until the WAL is moved although it is short.
const IDLE: Duration = Duration::from_secs(1);

/// Writes deliveries on a thread of its own. When dropped, it first writes what it was given.
pub struct DeliveryLedger {
    entries: Option<Sender<Entry>>,
    thread: Option<JoinHandle<()>>,
}

impl DeliveryLedger {
    /// A ledger that owns `journal` from now on.
    ///
    /// # Errors
    /// [`JournalError`] if the system gives no thread.
    pub fn start(journal: SqliteJournal) -> Result<DeliveryLedger, JournalError> {
        DeliveryLedger::start_enduring(journal, None)
    }

    /// As [`DeliveryLedger::start`], and tries a commit again for as long as `endurance` says.
    ///
    /// # Errors
    /// As [`DeliveryLedger::start`].
    pub fn start_enduring(
        journal: SqliteJournal,
        endurance: Option<Box<dyn Endurance>>,
    ) -> Result<DeliveryLedger, JournalError> {
        let path = journal.path().to_owned();
        let (entries, waiting) = mpsc::channel();
        let (owner, named) = (journal.owner.clone(), path.clone());
        let pages = Pages {
            owner,
            path: named,
            journal,
            endurance,
            torn: None,
            moved_at: 0,
        };
        let thread = std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || pages.run(&waiting));
        match thread {
            Ok(thread) => Ok(DeliveryLedger {
                entries: Some(entries),
                thread: Some(thread),
            }),
            Err(source) => Err(JournalError::Io {
                doing: "start a thread that writes to",
                path,
                source,
            }),
        }
    }

    fn write(&self, entry: Entry) {
        // The thread ends only after this is dropped, or by a panic, which was told; whoever waits is then dropped uncalled.
        let _ = self.entries.as_ref().map(|entries| entries.send(entry));
    }
}

impl Drop for DeliveryLedger {
    fn drop(&mut self) {
        self.entries = None;
        // If it panicked, it has ended as well; the panic was told when it happened.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Ledger for DeliveryLedger {
    fn accept(
        &self,
        delivery: Box<Delivery>,
        event: Arc<[u8]>,
        attempt: Intent,
        done: Done<Box<Delivery>>,
    ) {
        self.write(Entry::Accept {
            delivery,
            event,
            attempt,
            done,
        });
    }

    fn ignore(
        &self,
        delivery: Box<Delivery>,
        event: Arc<[u8]>,
        by: Switch,
        done: Done<Box<Delivery>>,
    ) {
        self.write(Entry::Ignore {
            delivery,
            event,
            by,
            done,
        });
    }

    fn begin(&self, id: i64, turn: Turn, attempt: Intent, done: Done<Begun>) {
        self.write(Entry::Begin {
            id,
            turn,
            attempt,
            begun: Begun::Taken,
            done,
        });
    }

    fn finish(&self, ended: Ended, done: Done<()>) {
        self.write(Entry::Finish {
            ended,
            known: false,
            done,
        });
    }

    fn interrupt(&self, ids: Vec<i64>, done: Done<()>) {
        self.write(Entry::Interrupt { ids, done });
    }

    fn put_back(&self, id: i64, number: u32, slot: Slot, done: Done<()>) {
        self.write(Entry::PutBack {
            id,
            number,
            slot,
            done,
        });
    }

    fn renew(&self, ids: Vec<i64>, until: UnixMs, done: Done<Vec<i64>>) {
        self.write(Entry::Renew { ids, until, done });
    }
}

/// Something to be written, and whom to tell. What writing it gave is kept in it until the commit.
enum Entry {
    Accept {
        delivery: Box<Delivery>,
        event: Arc<[u8]>,
        attempt: Intent,
        done: Done<Box<Delivery>>,
    },
    Ignore {
        delivery: Box<Delivery>,
        event: Arc<[u8]>,
        by: Switch,
        done: Done<Box<Delivery>>,
    },
    Begin {
        id: i64,
        turn: Turn,
        attempt: Intent,
        begun: Begun,
        done: Done<Begun>,
    },
    Finish {
        ended: Ended,
        known: bool,
        done: Done<()>,
    },
    Interrupt {
        ids: Vec<i64>,
        done: Done<()>,
    },
    PutBack {
        id: i64,
        number: u32,
        slot: Slot,
        done: Done<()>,
    },
    Renew {
        ids: Vec<i64>,
        until: UnixMs,
        done: Done<Vec<i64>>,
    },
}

impl Entry {
    /// Whether it is about something to come, and not about what has happened.
    fn looks_ahead(&self) -> bool {
        matches!(
            self,
            Entry::Accept { .. } | Entry::Ignore { .. } | Entry::Begin { .. }
        )
    }

    fn write(&mut self, tx: &Transaction<'_>, owner: &ProcessId) -> rusqlite::Result<()> {
        match self {
            Entry::Accept {
                delivery,
                event,
                attempt,
                ..
            } => sending::accept(tx, owner, delivery, event, &attempt.as_attempt()),
            Entry::Ignore {
                delivery,
                event,
                by,
                ..
            } => sending::ignore(tx, delivery, event, *by),
            Entry::Begin {
                id,
                turn,
                attempt,
                begun,
                ..
            } => {
                *begun = sending::begin(tx, owner, *id, *turn, &attempt.as_attempt())?;
                Ok(())
            }
            Entry::Finish { ended, known, .. } => {
                let Ended {
                    id,
                    number,
                    left_at,
                    duration,
                    ref outcome,
                    next,
                } = *ended;
                *known = sending::finish(
                    tx,
                    owner,
                    &End {
                        id,
                        number,
                        left_at,
                        sent_after: Duration::ZERO,
                        duration,
                        outcome,
                        next,
                    },
                )?;
                Ok(())
            }
            Entry::Interrupt { ids, .. } => ids
                .iter()
                .try_for_each(|id| sending::interrupt(tx, owner, *id)),
            Entry::PutBack {
                id, number, slot, ..
            } => sending::put_back(tx, owner, *id, *number, *slot),
            Entry::Renew { ids, until, .. } => {
                let mut mine = Vec::with_capacity(ids.len());
                for &id in ids.iter() {
                    if sending::renew(tx, owner, id, *until)? {
                        mine.push(id);
                    }
                }
                *ids = mine;
                Ok(())
            }
        }
    }

    fn settle(self, outcome: Result<(), Arc<JournalError>>, path: &Path) {
        match self {
            Entry::Accept { delivery, done, .. } | Entry::Ignore { delivery, done, .. } => {
                done(outcome.map(|()| delivery));
            }
            Entry::Begin { begun, done, .. } => done(outcome.map(|()| begun)),
            Entry::Finish { ended, known, done } => {
                let lost = || Arc::new(sending::deleted(path, ended.id));
                done(outcome.and_then(|()| if known { Ok(()) } else { Err(lost()) }));
            }
            Entry::Interrupt { done, .. } | Entry::PutBack { done, .. } => done(outcome),
            Entry::Renew { ids, done, .. } => done(outcome.map(|()| ids)),
        }
    }
}

/// Writes entries down.
struct Pages {
    journal: SqliteJournal,
    owner: ProcessId,
    path: PathBuf,
    /// What is done about a commit that may work another time; none where that is not waited for.
    endurance: Option<Box<dyn Endurance>>,
    /// Why a commit failed, if one has.
    torn: Option<Arc<JournalError>>,
    /// How long the WAL was when it was last moved, as far as it could be.
    moved_at: i32,
}

impl Pages {
    fn run(mut self, waiting: &Receiver<Entry>) {
        let mut moved = true;
        loop {
            // Where nothing is left to be done there is nothing to wake up for.
            let ended = |_| RecvTimeoutError::Disconnected;
            match if moved {
                waiting.recv().map_err(ended)
            } else {
                waiting.recv_timeout(IDLE)
            } {
                Ok(first) => {
                    moved = false;
                    self.commit(
                        std::iter::once(first)
                            .chain(waiting.try_iter().take(GROUP - 1))
                            .collect(),
                    );
                    self.move_some();
                }
                Err(ended) => {
                    (moved, self.moved_at) = (true, 0);
                    let _ = self.journal.checkpoint();
                    if ended == RecvTimeoutError::Disconnected {
                        return;
                    }
                }
            }
        }
    }

    /// Moves a long WAL, so that it can begin anew. Nothing depends on it: what cannot be moved now stays in the WAL, where
    /// it is safe, and is moved another time.
    fn move_some(&mut self) {
        let pages = self.journal.wal_pages();
        if pages < self.moved_at {
            // It has begun anew.
            self.moved_at = 0;
        }
        if pages - self.moved_at >= CHECKPOINT_PAGES {
            self.moved_at = pages;
            let _ = self.journal.checkpoint_passively();
        }
    }

    fn commit(&mut self, mut group: Vec<Entry>) {
        // Even after a panic, which was told: whoever is told nothing waits for ever.
        let recorded =
            catch_unwind(AssertUnwindSafe(|| self.write(&mut group))).unwrap_or_else(|_| {
                let problem = "was not written to: hookfire failed within itself".to_owned();
                let error = Arc::new(JournalError::Unusable {
                    path: self.path.clone(),
                    problem,
                });
                self.torn.get_or_insert_with(|| Arc::clone(&error));
                Err(error)
            });
        for entry in group {
            match &self.torn {
                Some(error) if entry.looks_ahead() => {
                    entry.settle(Err(Arc::clone(error)), &self.path)
                }
                _ => entry.settle(recorded.clone(), &self.path),
            }
        }
    }

    /// Commits a group; gives what became of those in it that look back.
    fn write(&mut self, group: &mut [Entry]) -> Result<(), Arc<JournalError>> {
        let Pages {
            journal,
            owner,
            endurance,
            torn,
            ..
        } = self;
        let taken = |entry: &&mut Entry| torn.is_none() || !entry.looks_ahead();
        let mut write = || {
            journal
                .write(|tx| {
                    group
                        .iter_mut()
                        .filter(taken)
                        .try_for_each(|entry| entry.write(tx, owner))
                })
                .and_then(|()| journal.refuse_lost_file())
        };
        let mut written = write();
        if let Some(endurance) = endurance {
            while let Err(error) = &written
                && error.may_pass()
                && endurance.endures(error)
            {
                written = write();
            }
            if written.is_ok() {
                endurance.over();
            }
        }
        let written = written.map_err(Arc::new);
        let mut recorded = written.clone();
        if let Err(error) = written {
            if may_be_found(&error) {
                // What is to come is taken back, and what has happened is written once more.
                let mut happened = group.iter_mut().filter(|entry| !entry.looks_ahead());
                let again =
                    |tx: &Transaction<'_>| happened.try_for_each(|entry| entry.write(tx, owner));
                recorded = journal.write_instead(again).map_err(Arc::new);
            }
            torn.get_or_insert(error);
        }
        recorded
    }
}
