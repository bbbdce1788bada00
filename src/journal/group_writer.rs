//! Group commit: one thread commits the writes of many.
//!
//! Writes that are submitted during a commit share the next one; a lone write commits at once. After a commit has failed,
//! no further delivery or attempt begins, so that what was accepted is a prefix of what was submitted. Results of attempts,
//! and captures, are still tried.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

use super::JournalError;
use super::{Journal, Write, WriteResult};

/// The largest number of writes in one commit.
const MAX_GROUP: usize = 512;

/// Called on the writer's thread when the commit has succeeded or failed.
pub type Reply = Box<dyn FnOnce(Result<WriteResult, Arc<JournalError>>) + Send>;

/// Decides what happens when a commit fails because the journal is locked or the disk is full.
pub trait CommitRetry: Send {
    /// Waits for a while; whether to try the commit again.
    fn retry(&mut self, error: &JournalError) -> bool;
    fn recovered(&mut self);
}

/// Commits on its own thread. Dropping it commits what was submitted, then ends the thread.
pub struct GroupWriter {
    requests: Option<Sender<(Write, Reply)>>,
    thread: Option<JoinHandle<()>>,
}

impl GroupWriter {
    /// Without `retry`, a commit that fails is not tried again.
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
        if let Some(requests) = &self.requests {
            // The thread ends only after this is dropped.
            let _ = requests.send((write, reply));
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
    /// Why a commit failed, if one has.
    failed: Option<Arc<JournalError>>,
}

impl Committer {
    fn run(mut self, submitted: &Receiver<(Write, Reply)>) {
        while let Ok(first) = submitted.recv() {
            let group = std::iter::once(first).chain(submitted.try_iter().take(MAX_GROUP - 1));
            self.commit_group(group.collect());
        }
    }

    fn commit_group(&mut self, group: Vec<(Write, Reply)>) {
        let (writes, replies): (Vec<Write>, Vec<Reply>) = group.into_iter().unzip();
        // A panic must not leave the callers waiting; the panic hook has reported it.
        let results = catch_unwind(AssertUnwindSafe(|| self.results(writes)));
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

    fn results(&mut self, mut writes: Vec<Write>) -> Vec<Result<WriteResult, Arc<JournalError>>> {
        let begins: Vec<bool> = writes.iter().map(begins_attempt).collect();
        let mut committed = match &self.failed {
            None => self.commit(&writes).map_err(Arc::new),
            Some(failed) => Err(Arc::clone(failed)),
        };
        if let Err(error) = &committed
            && begins.contains(&true)
        {
            self.failed.get_or_insert(Arc::clone(error));
        }
        if self.failed.is_some() {
            writes.retain(|write| !begins_attempt(write));
            committed = match &writes[..] {
                [] => Ok(Vec::new()),
                others => self.commit(others).map_err(Arc::new),
            };
        }
        let mut committed = committed.map(Vec::into_iter);
        let mut next = |begins: bool| match (&self.failed, &mut committed) {
            (Some(failed), _) if begins => Err(Arc::clone(failed)),
            (_, Ok(results)) => Ok(results.next().unwrap_or(WriteResult::Done)),
            (_, Err(error)) => Err(Arc::clone(error)),
        };
        begins.into_iter().map(&mut next).collect()
    }

    fn commit(&mut self, writes: &[Write]) -> Result<Vec<WriteResult>, JournalError> {
        loop {
            let error = match self.journal.commit(writes) {
                Ok(results) => {
                    if let Some(retry) = &mut self.retry {
                        retry.recovered();
                    }
                    return Ok(results);
                }
                Err(e) => e,
            };
            let again = match &mut self.retry {
                Some(retry) => error.may_pass() && retry.retry(&error),
                None => false,
            };
            if !again {
                return Err(error);
            }
        }
    }
}

/// Whether a request follows once the write is committed.
fn begins_attempt(write: &Write) -> bool {
    matches!(
        write,
        Write::Accept(..) | Write::Ignore(..) | Write::Begin(_)
    )
}
