//! One thread that writes for many: what is waiting when it comes around shares one transaction.
//!
//! Deliberately knows nothing of what is written: see [`Scribe`]. A group stands and falls together: what fails one write, a
//! full disk or a lock, would fail the others as well.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Transaction;

use super::Journal;
use super::flusher::Flusher;
use crate::store::StoreError;

/// The most writes that share a commit.
const GROUP: usize = 256;

/// Pages that are added to the WAL from one attempt to move it into the main file to the next. Other than between short
/// runs of the program, nobody reads it from its beginning here; and the fewer attempts, the more often a page was changed
/// that is moved once.
const CHECKPOINT_PAGES: i32 = 16_000;

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
    fn settle(&mut self, group: Vec<Self::Job>, outcome: Result<(), Arc<StoreError>>);

    /// Whether something was put off until nothing comes.
    fn has_more(&self) -> bool;
}

/// Writes to a journal on a thread of its own. When dropped, it first finishes what it was given.
pub struct Writer<J> {
    jobs: Option<Sender<J>>,
    thread: Option<JoinHandle<()>>,
}

impl<J: Send + 'static> Writer<J> {
    /// Starts the thread, which owns `journal` from now on.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(journal: Journal, scribe: impl Scribe<Job = J>) -> std::io::Result<Writer<J>> {
        let (jobs, waiting) = mpsc::channel();
        let flusher = Flusher::start(journal.log_path().to_owned())?;
        let run = move || Writing { journal, scribe, flusher, moved_at: 0, flushed_at: 0 }.run(&waiting);
        let thread = std::thread::Builder::new().name("journal".to_owned()).spawn(run)?;
        Ok(Writer { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Has `job` written in the next transaction.
    pub fn write(&self, job: J) {
        // The thread ends only after this is dropped, or by a panic, which was told; whoever waits is then dropped uncalled.
        let _ = self.jobs.as_ref().map(|jobs| jobs.send(job));
    }
}

impl<J> Drop for Writer<J> {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // If it panicked, it has ended as well; the panic was told when it happened.
            let _ = thread.join();
        }
    }
}

/// The writer's thread.
struct Writing<S> {
    journal: Journal,
    scribe: S,
    flusher: Flusher,
    /// How long the WAL was when it was last moved, as far as it could be.
    moved_at: i32,
    /// How long the WAL was when it was last to be synced.
    flushed_at: i32,
}

impl<S: Scribe> Writing<S> {
    fn run(mut self, waiting: &Receiver<S::Job>) {
        let mut idle = false;
        loop {
            let patience = if self.scribe.has_more() { PAUSE } else { IDLE };
            match waiting.recv_timeout(patience) {
                Ok(first) => {
                    idle = false;
                    let group: Vec<S::Job> = std::iter::once(first).chain(waiting.try_iter().take(GROUP - 1)).collect();
                    self.commit(group);
                    self.move_some();
                }
                // What cannot be done now is tried again with the next group.
                Err(RecvTimeoutError::Timeout) if self.scribe.has_more() => self.commit(Vec::new()),
                Err(RecvTimeoutError::Timeout) if idle => {}
                Err(RecvTimeoutError::Timeout) => {
                    idle = true;
                    self.move_all();
                }
                Err(RecvTimeoutError::Disconnected) => {
                    if self.scribe.has_more() {
                        self.commit(Vec::new());
                    }
                    return self.move_all();
                }
            }
        }
    }

    fn commit(&mut self, mut group: Vec<S::Job>) {
        let written = self
            .journal
            .write(|tx| self.scribe.write(tx, &mut group))
            .and_then(|()| self.journal.refuse_lost_file())
            .map_err(Arc::new);
        self.scribe.settle(group, written);
    }

    /// Moves a long WAL, so that it can begin anew. Nothing depends on it: what cannot be moved now stays in the WAL, where
    /// it is safe, and is moved another time.
    fn move_some(&mut self) {
        let pages = self.journal.wal_pages();
        if pages < self.flushed_at {
            // It has begun anew.
            (self.moved_at, self.flushed_at) = (0, 0);
        }
        if pages - self.moved_at >= CHECKPOINT_PAGES {
            (self.moved_at, self.flushed_at) = (pages, pages);
            let _ = self.journal.checkpoint_passively();
        } else if pages - self.flushed_at >= FLUSH_PAGES {
            self.flushed_at = pages;
            self.flusher.ask();
        }
    }

    fn move_all(&mut self) {
        (self.moved_at, self.flushed_at) = (0, 0);
        let _ = self.journal.checkpoint();
    }
}
