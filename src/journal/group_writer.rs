//! Group commit: one thread commits the writes that many threads submit.
//!
//! Writes that are submitted during a commit share the next one; a lone write commits at once. After a commit has
//! failed, the writer refuses to add deliveries and to begin attempts: if a delivery was accepted, so were all that
//! were submitted before it. It still commits results of attempts and captures.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

use super::{Journal, JournalError, Write, WriteResult};

/// A commit takes further writes until they change this many rows, so that it holds the lock for a short time.
const MAX_GROUP: usize = 512;

/// Called on the writer's thread with the result of the write.
pub type Reply = Box<dyn FnOnce(Result<WriteResult, Arc<JournalError>>) + Send>;

/// Decides what happens when a commit fails because the journal is locked or the disk is full.
pub trait CommitRetry: Send {
    /// Waits before the next try. Returns false to give up.
    fn retry(&mut self, error: &JournalError) -> bool;
    /// Called after each successful commit.
    fn recovered(&mut self);
}

/// Commits on its own thread. Dropping it commits all submitted writes, then ends the thread.
pub struct GroupWriter {
    requests: Option<Sender<Vec<(Write, Reply)>>>,
    thread: Option<JoinHandle<()>>,
}

impl GroupWriter {
    /// Without `retry`, a failed commit is not repeated.
    pub fn start(
        mut journal: Box<dyn Journal>,
        retry: Option<Box<dyn CommitRetry>>,
    ) -> Result<GroupWriter, JournalError> {
        journal.tune_for_groups()?;
        let path = journal.path().to_owned();
        let (requests, submitted) = mpsc::channel();
        let committer = Committer {
            journal,
            retry,
            failed: None,
        };
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || committer.run(&submitted))
            .map_err(|source| JournalError::Io {
                doing: "start a thread that writes to",
                path,
                source,
            })?;
        Ok(GroupWriter {
            requests: Some(requests),
            thread: Some(thread),
        })
    }

    pub fn submit(&self, write: Write, reply: Reply) {
        self.submit_all(vec![(write, reply)]);
    }

    /// Submits writes that share a commit if they change few rows. To submit them one by one would wake the
    /// thread for the first alone.
    pub fn submit_all(&self, writes: Vec<(Write, Reply)>) {
        if let Some(requests) = &self.requests {
            // Cannot fail: the thread receives until this is dropped.
            let _ = requests.send(writes);
        }
    }
}

impl Drop for GroupWriter {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Committer {
    journal: Box<dyn Journal>,
    retry: Option<Box<dyn CommitRetry>>,
    /// The first error after which deliveries and attempts are refused.
    failed: Option<Arc<JournalError>>,
}

impl Committer {
    fn run(mut self, submitted: &Receiver<Vec<(Write, Reply)>>) {
        let mut queue = VecDeque::new();
        while let Some(group) = next_group(&mut queue, submitted) {
            self.commit_group(group);
        }
    }

    fn commit_group(&mut self, group: Vec<(Write, Reply)>) {
        let (writes, replies): (Vec<Write>, Vec<Reply>) = group.into_iter().unzip();
        // A panic must not leave the callers waiting; the panic hook has reported it.
        let results = catch_unwind(AssertUnwindSafe(|| self.commit_writes(writes)));
        match results {
            Ok(results) => {
                for (reply, result) in replies.into_iter().zip(results) {
                    reply(result);
                }
            }
            Err(_) => {
                let error = Arc::new(JournalError::Unusable {
                    path: self.journal.path().to_owned(),
                    problem: "was not written: internal error".to_owned(),
                });
                self.failed.get_or_insert_with(|| Arc::clone(&error));
                for reply in replies {
                    reply(Err(Arc::clone(&error)));
                }
            }
        }
    }

    /// Returns one result per write.
    fn commit_writes(
        &mut self,
        mut writes: Vec<Write>,
    ) -> Vec<Result<WriteResult, Arc<JournalError>>> {
        let refusable: Vec<bool> = writes.iter().map(is_refused_after_failure).collect();
        let mut committed = match &self.failed {
            None => self.commit(&writes).map_err(Arc::new),
            Some(failed) => Err(Arc::clone(failed)),
        };
        if let Err(error) = &committed
            && refusable.contains(&true)
        {
            self.failed.get_or_insert(Arc::clone(error));
        }
        if self.failed.is_some() {
            writes.retain(|write| !is_refused_after_failure(write));
            committed = match &writes[..] {
                [] => Ok(Vec::new()),
                others => self.commit(others).map_err(Arc::new),
            };
        }
        let mut committed = committed.map(Vec::into_iter);
        let mut result_for = |is_refusable: bool| match (&self.failed, &mut committed) {
            (Some(failed), _) if is_refusable => Err(Arc::clone(failed)),
            (_, Ok(results)) => Ok(results.next().unwrap_or(WriteResult::Done)),
            (_, Err(error)) => Err(Arc::clone(error)),
        };
        refusable.into_iter().map(&mut result_for).collect()
    }

    fn commit(&mut self, writes: &[Write]) -> Result<Vec<WriteResult>, JournalError> {
        let retry = &mut self.retry;
        let again = |error: &JournalError| retry.as_mut().is_some_and(|retry| retry.retry(error));
        let committed = self.journal.commit_while(writes, again);
        if let (Ok(_), Some(retry)) = (&committed, &mut self.retry) {
            retry.recovered();
        }
        committed
    }
}

/// The writes of the next commit, at least one: waits for the first. `None` once there are no more. `queue` has those
/// that were submitted together with writes of earlier commits.
fn next_group(
    queue: &mut VecDeque<(Write, Reply)>,
    submitted: &Receiver<Vec<(Write, Reply)>>,
) -> Option<Vec<(Write, Reply)>> {
    if queue.is_empty() {
        queue.extend(submitted.recv().ok()?);
    }
    let (mut group, mut rows) = (Vec::new(), 0);
    while rows < MAX_GROUP {
        if let Some(write) = queue.pop_front() {
            rows += count_rows(&write.0);
            group.push(write);
        } else if let Ok(more) = submitted.try_recv() {
            queue.extend(more);
        } else {
            break;
        }
    }
    Some(group)
}

/// How many rows a write changes, about.
fn count_rows(write: &Write) -> usize {
    match write {
        Write::Release(ids) | Write::Renew { ids, .. } => ids.len(),
        _ => 1,
    }
}

/// Whether the write adds a delivery or begins an attempt.
fn is_refused_after_failure(write: &Write) -> bool {
    matches!(
        write,
        Write::Accept(..) | Write::Ignore(..) | Write::Begin(_)
    )
}
