//! Writing for many: who brings something to be written writes it, as long as nobody has to be waited for.
//!
//! While another process has the journal locked, or the WAL is moved, it is left to a thread that waits: what waits when that
//! comes around shares one transaction. To have that thread write everything would cost a request more than its share of the
//! commit: two threads woken, on two processors that others want as well.
//!
//! Deliberately knows nothing of what is written: see [`Scribe`]. A group stands and falls together: what fails one write, a
//! full disk or a lock, would fail the others as well. What fails for a reason of its own, the scribe leaves out.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Transaction;

use super::Journal;
use super::flusher::Flusher;
use crate::journal::store::JournalError;

/// The most writes that share a commit.
const GROUP: usize = 256;

/// Pages that are added to the WAL from one attempt to move it into the main file to the next. Other than between short
/// runs of the program, nobody reads it from its beginning here; and the fewer attempts, the more often a page was changed
/// that is moved once. In a journal of 16 KiB pages the WAL takes 64 MB at the most; four times that would be five per cent
/// faster, and more than many a CI runner has to spare.
const CHECKPOINT_PAGES: i32 = 4_000;

/// Pages that are added to the WAL until it is synced on the side.
const FLUSH_PAGES: i32 = 1_000;

/// How long nothing must come until what was put off is done.
const PAUSE: Duration = Duration::from_millis(10);

/// How long nothing must come until the WAL is moved although it is short.
const IDLE: Duration = Duration::from_secs(1);

/// What a [`Writer`] has written, and how.
pub trait Scribe: Send + 'static {
    /// Something to be written, and whom to tell.
    type Job: Send + 'static;

    /// Writes a group, and what was put off; of an empty one only the latter.
    fn write(&mut self, tx: &Transaction<'_>, group: &mut [Self::Job]) -> rusqlite::Result<()>;

    /// Tells what became of a group: committed, or all of it rolled back.
    fn settle(&mut self, group: Vec<Self::Job>, outcome: Result<(), Arc<JournalError>>);

    /// Whether something was put off until nothing comes.
    fn has_more(&self) -> bool;
}

/// Writes to a journal. When dropped, it first finishes what it was given.
pub struct Writer<S: Scribe> {
    writing: Arc<Mutex<Writing<S>>>,
    tasks: Option<Sender<Task<S::Job>>>,
    thread: Option<JoinHandle<()>>,
}

/// What is left to the thread.
enum Task<J> {
    Write(J),
    /// The WAL has grown long.
    Move,
}

impl<S: Scribe> Writer<S> {
    /// A writer that owns `journal` from now on, and waits for a lock for as long as that one would.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(journal: Journal, scribe: S) -> std::io::Result<Writer<S>> {
        let (tasks, waiting) = mpsc::channel();
        let flusher = Flusher::start(journal.log_path().to_owned())?;
        let writing = Writing {
            journal,
            scribe,
            flusher,
            moved_at: 0,
            flushed_at: 0,
            unmoved: false,
            recent: false,
        };
        let writing = Arc::new(Mutex::new(writing));
        let shared = Arc::clone(&writing);
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || wait(&shared, &waiting))?;
        Ok(Writer {
            writing,
            tasks: Some(tasks),
            thread: Some(thread),
        })
    }

    /// Has `job` written: at once, or in the next transaction after what is waited for.
    pub fn write(&self, job: S::Job) {
        let mut writing = match self.writing.try_lock() {
            Ok(writing) => writing,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return self.leave(Task::Write(job)),
        };
        match writing.commit_unless_locked(vec![job]) {
            Ok(()) if writing.tend_wal() => self.leave(Task::Move),
            Ok(()) => {}
            Err(group) => group
                .into_iter()
                .for_each(|job| self.leave(Task::Write(job))),
        }
    }

    fn leave(&self, task: Task<S::Job>) {
        // The thread ends only after this is dropped, or by a panic, which was told; whoever waits is then dropped uncalled.
        let _ = self.tasks.as_ref().map(|tasks| tasks.send(task));
    }
}

impl<S: Scribe> Drop for Writer<S> {
    fn drop(&mut self) {
        self.tasks = None;
        if let Some(thread) = self.thread.take() {
            // If it panicked, it has ended as well; the panic was told when it happened.
            let _ = thread.join();
        }
    }
}

/// The thread: does what is left to it, and in pauses what was put off.
fn wait<S: Scribe>(writing: &Mutex<Writing<S>>, waiting: &Receiver<Task<S::Job>>) {
    let mut patience = IDLE;
    loop {
        let first = waiting.recv_timeout(patience);
        // Whoever panicked has left a transaction that was rolled back.
        let mut writing = writing.lock().unwrap_or_else(PoisonError::into_inner);
        match first {
            Ok(first) => {
                let tasks = std::iter::once(first).chain(waiting.try_iter().take(GROUP - 1));
                writing.commit(tasks.filter_map(Task::job).collect());
                writing.move_some();
            }
            Err(RecvTimeoutError::Timeout) => writing.pause(),
            Err(RecvTimeoutError::Disconnected) => return writing.end(),
        }
        patience = if writing.scribe.has_more() {
            PAUSE
        } else {
            IDLE
        };
    }
}

impl<J> Task<J> {
    fn job(self) -> Option<J> {
        match self {
            Task::Write(job) => Some(job),
            Task::Move => None,
        }
    }
}

/// What is written to, by whoever holds it.
struct Writing<S> {
    journal: Journal,
    scribe: S,
    flusher: Flusher,
    /// How long the WAL was when it was last moved, as far as it could be.
    moved_at: i32,
    /// How long the WAL was when it was last to be synced.
    flushed_at: i32,
    /// Whether something was written since the WAL was last moved whole.
    unmoved: bool,
    /// Whether something was written since the last pause.
    recent: bool,
}

impl<S: Scribe> Writing<S> {
    /// Gives the group back if another process has the lock.
    fn commit_unless_locked(&mut self, mut group: Vec<S::Job>) -> Result<(), Vec<S::Job>> {
        let begun = self.journal.begin_at_once();
        if matches!(begun, Err(JournalError::Locked { .. })) {
            return Err(group);
        }
        let written = begun.and_then(|tx| {
            self.journal
                .write_in(tx, |tx| self.scribe.write(tx, &mut group))
        });
        self.settle(group, written);
        Ok(())
    }

    fn commit(&mut self, mut group: Vec<S::Job>) {
        if !group.is_empty() || self.scribe.has_more() {
            let written = self.journal.write(|tx| self.scribe.write(tx, &mut group));
            self.settle(group, written);
        }
    }

    fn settle(&mut self, group: Vec<S::Job>, written: Result<(), JournalError>) {
        (self.unmoved, self.recent) = (true, true);
        let written = written
            .and_then(|()| self.journal.refuse_lost_file())
            .map_err(Arc::new);
        self.scribe.settle(group, written);
    }

    /// For a while, nothing was left to the thread.
    fn pause(&mut self) {
        if std::mem::take(&mut self.recent) {
            return;
        }
        if self.scribe.has_more() {
            // What cannot be done now is tried again with the next group.
            self.commit(Vec::new());
        } else if std::mem::take(&mut self.unmoved) {
            self.move_all();
        }
    }

    fn end(&mut self) {
        self.commit(Vec::new());
        self.move_all();
    }

    /// Has a growing WAL synced on the side; whether it is so long that it is to be moved.
    fn tend_wal(&mut self) -> bool {
        let pages = self.journal.wal_pages();
        if pages < self.flushed_at {
            // It has begun anew.
            (self.moved_at, self.flushed_at) = (0, 0);
        }
        if pages - self.flushed_at >= FLUSH_PAGES {
            self.flushed_at = pages;
            self.flusher.ask();
        }
        pages - self.moved_at >= CHECKPOINT_PAGES
    }

    /// Moves a long WAL, so that it can begin anew. Nothing depends on it: what cannot be moved now stays in the WAL, where
    /// it is safe, and is moved another time.
    fn move_some(&mut self) {
        if self.tend_wal() {
            self.moved_at = self.journal.wal_pages();
            let _ = self.journal.checkpoint_passively();
        }
    }

    fn move_all(&mut self) {
        (self.moved_at, self.flushed_at) = (0, 0);
        let _ = self.journal.checkpoint();
    }
}
