//! One thread that writes for many: what is waiting when it comes around shares one transaction, and so one sync.
//!
//! Deliberately knows nothing of what is written. A group stands and falls together: what fails one write, a full disk or a
//! lock, would fail the others as well.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Transaction;

use super::Journal;
use crate::store::StoreError;

/// The most writes that share a commit.
const GROUP: usize = 256;

/// Pages of the WAL after which it is moved into the main file. Other than between short runs of the program, nobody reads
/// it from its beginning here.
const CHECKPOINT_PAGES: i32 = 1_000;

/// How long nothing must come until the WAL is moved although it is short.
const IDLE: Duration = Duration::from_secs(1);

/// Writes to a journal on a thread of its own. When dropped, it first finishes what it was given.
pub struct Writer {
    jobs: Option<Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
}

/// Something to be written, and whom to tell.
trait Job: Send {
    fn apply(&mut self, tx: &Transaction<'_>) -> rusqlite::Result<()>;
    fn settle(self: Box<Self>, outcome: Result<(), Arc<StoreError>>);
}

struct Write<T, W, D> {
    work: Option<W>,
    value: Option<T>,
    done: D,
}

impl<T, W, D> Job for Write<T, W, D>
where
    T: Send,
    W: FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send,
    D: FnOnce(Result<T, Arc<StoreError>>) + Send,
{
    fn apply(&mut self, tx: &Transaction<'_>) -> rusqlite::Result<()> {
        if let Some(work) = self.work.take() {
            self.value = Some(work(tx)?);
        }
        Ok(())
    }

    fn settle(self: Box<Self>, outcome: Result<(), Arc<StoreError>>) {
        match (outcome, self.value) {
            (Ok(()), Some(value)) => (self.done)(Ok(value)),
            (Err(error), _) => (self.done)(Err(error)),
            // A group is settled after all of it was applied.
            (Ok(()), None) => {}
        }
    }
}

impl Writer {
    /// Starts the thread, which owns `journal` from now on.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(journal: Journal) -> std::io::Result<Writer> {
        let (jobs, waiting) = mpsc::channel();
        let thread = std::thread::Builder::new().name("journal".to_owned()).spawn(move || run(&journal, &waiting))?;
        Ok(Writer { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Has `work` done in the next transaction; `done` is called on the writer's thread once that is committed, or failed.
    pub fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
        done: impl FnOnce(Result<T, Arc<StoreError>>) + Send + 'static,
    ) {
        let job = Box::new(Write { work: Some(work), value: None, done });
        // The thread ends only after this is dropped, or by a panic, which was told; `done` is then dropped uncalled.
        let _ = self.jobs.as_ref().map(|jobs| jobs.send(job));
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // If it panicked, it has ended as well; the panic was told when it happened.
            let _ = thread.join();
        }
    }
}

fn run(journal: &Journal, waiting: &Receiver<Box<dyn Job>>) {
    let mut idle = false;
    loop {
        match waiting.recv_timeout(IDLE) {
            Ok(first) => {
                idle = false;
                let group = std::iter::once(first).chain(waiting.try_iter().take(GROUP - 1)).collect();
                commit(journal, group);
                if journal.wal_pages() >= CHECKPOINT_PAGES {
                    move_wal(journal);
                }
            }
            Err(RecvTimeoutError::Timeout) if idle => {}
            Err(RecvTimeoutError::Timeout) => {
                idle = true;
                move_wal(journal);
            }
            Err(RecvTimeoutError::Disconnected) => return move_wal(journal),
        }
    }
}

/// Nothing depends on it: what cannot be moved now stays in the WAL, where it is safe, and is moved another time.
fn move_wal(journal: &Journal) {
    let _ = journal.checkpoint();
}

fn commit(journal: &Journal, mut group: Vec<Box<dyn Job>>) {
    let written = journal
        .write(|tx| group.iter_mut().try_for_each(|job| job.apply(tx)))
        .and_then(|()| journal.refuse_lost_file())
        .map_err(Arc::new);
    for job in group {
        job.settle(written.clone());
    }
}
