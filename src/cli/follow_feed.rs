//! The captures of a bin as they arrive, each once and in order: those of a listener on another machine, or those in the
//! journal.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::args::TransportArgs;
use super::context::Context;
use super::settings;
use crate::error::{Failure, Kind};
use crate::http::Client;
use crate::journal::{CaptureQuery, CursorChange, FollowCursor, Journal};
use crate::remote::{Followed, FollowedCapture, Remote, follow};

/// How often the journal is read while nothing arrives.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Captures that are read at a time, without their bodies.
const PAGE_SIZE: u32 = 100;

/// A listener sends something every 15 seconds. After this time without anything the connection is opened again.
const IDLE_TIMEOUT: Duration = Duration::from_secs(40);

/// A group that takes more memory than this, in bytes, is not made larger.
const MAX_GROUP_BYTES: usize = 4 << 20;

pub trait FollowFeed {
    /// The next item, in order of arrival; waits for at most `timeout`.
    fn next(&mut self, timeout: Duration) -> Result<Option<Followed>, Failure>;

    /// The items that are available together, at most `max`, so that they are committed together; waits for the first for
    /// at most `timeout`.
    fn next_group(&mut self, timeout: Duration, max: usize) -> Result<Vec<Followed>, Failure> {
        let (mut group, mut bytes, mut timeout) = (Vec::new(), 0, timeout);
        while group.len() < max && bytes < MAX_GROUP_BYTES {
            match self.next(timeout) {
                Ok(Some(item)) => {
                    if let Followed::Capture(capture) = &item {
                        bytes += capture.stored.memory_bytes();
                    }
                    group.push(item);
                }
                Ok(None) => break,
                Err(error) if group.is_empty() => return Err(error),
                // It is returned again for the next group.
                Err(_) => break,
            }
            timeout = Duration::ZERO;
        }
        Ok(group)
    }
}

/// Captures of a listener on another machine. A thread reads them.
pub struct RemoteFeed {
    items: Receiver<Followed>,
    interrupted: Arc<AtomicBool>,
}

impl RemoteFeed {
    pub fn start(
        ctx: &Context<'_>,
        transport: &TransportArgs,
        remote: Remote,
        bin: &str,
        cursor: FollowCursor,
    ) -> Result<RemoteFeed, Failure> {
        let mut options = settings::transport(&transport.settings());
        options.timeout = IDLE_TIMEOUT;
        let base = remote.address().base();
        let streams = Client::streaming(&options, base, ctx.clock.interrupt_flag())?;
        Ok(RemoteFeed {
            items: follow(remote, streams, bin.to_owned(), cursor),
            interrupted: ctx.clock.interrupt_flag(),
        })
    }
}

impl FollowFeed for RemoteFeed {
    fn next(&mut self, timeout: Duration) -> Result<Option<Followed>, Failure> {
        match self.items.recv_timeout(timeout) {
            Ok(item) => Ok(Some(item)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) if self.interrupted.load(Ordering::Relaxed) => {
                Ok(None)
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(Failure::new(Kind::Error, "reading the listener has ended"))
            }
        }
    }
}

/// Captures in the journal, polled.
pub struct JournalFeed<'a> {
    journal: &'a dyn Journal,
    bin: String,
    cursor: FollowCursor,
    /// Ids of captures that are read next.
    page: VecDeque<i64>,
}

impl<'a> JournalFeed<'a> {
    pub fn new(journal: &'a dyn Journal, bin: &str, cursor: FollowCursor) -> JournalFeed<'a> {
        JournalFeed {
            journal,
            bin: bin.to_owned(),
            cursor,
            page: VecDeque::new(),
        }
    }

    fn read_next(&mut self) -> Result<Option<Followed>, Failure> {
        loop {
            if self.page.is_empty()
                && let Some(change) = self.read_page()?
            {
                return Ok(Some(change));
            }
            let Some(id) = self.page.pop_front() else {
                return Ok(None);
            };
            // One that was deleted since the page was read counts as missed when the next page is read.
            if let Some(stored) = self.journal.capture(id)? {
                self.cursor = self.cursor.after(id);
                return Ok(Some(Followed::Capture(FollowedCapture {
                    stored: Arc::new(stored),
                    lacks_body: false,
                    cursor: self.cursor,
                })));
            }
        }
    }

    /// Reads the ids of the next captures, and returns what else has happened to the bin.
    fn read_page(&mut self) -> Result<Option<Followed>, Failure> {
        // Read before the captures, so that what is deleted in between counts as missed the next time.
        let position = self.journal.bin_position(&self.bin, self.cursor.last_id)?;
        let Some(position) = position else {
            let message = format!("the bin `{}` was deleted", self.bin);
            return Err(Failure::new(Kind::NotFound, message));
        };
        match self.cursor.change_to(&position) {
            CursorChange::None => {}
            CursorChange::Missed(count) => {
                self.cursor = position;
                return Ok(Some(Followed::Missed {
                    count,
                    cursor: position,
                }));
            }
            CursorChange::NewBin => {
                self.cursor = position.before_first();
                return Ok(Some(Followed::NewBin));
            }
            CursorChange::Older => {
                let message = "the journal was replaced by an older one: it has fewer captures than were read before";
                return Err(Failure::new(Kind::Journal, message)
                    .hint("say where to go on, with `--since TIME` or `--from-start`"));
            }
        }
        let query = CaptureQuery {
            bin: Some(self.bin.clone()),
            after: Some(self.cursor.last_id),
            limit: Some(PAGE_SIZE),
            ..CaptureQuery::default()
        };
        let records = self.journal.captures(&query)?;
        self.page = records.iter().map(|record| record.id).collect();
        Ok(None)
    }
}

impl FollowFeed for JournalFeed<'_> {
    fn next(&mut self, timeout: Duration) -> Result<Option<Followed>, Failure> {
        if let Some(item) = self.read_next()? {
            return Ok(Some(item));
        }
        if timeout.is_zero() {
            return Ok(None);
        }
        thread::sleep(timeout.min(POLL_INTERVAL));
        self.read_next()
    }
}
