//! Follows a bin: reads its captures as they arrive, in order and each once.
//!
//! A thread listens to the server-sent events of the listener, which only say that there is something new. It then reads
//! the captures after its cursor. So nothing is skipped or repeated when the connection is lost: the thread connects again,
//! after pauses that grow, and goes on after the last capture that it has read.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::client::{CapturePage, Remote, RemoteCapture};
use super::error::{RemoteError, RemoteErrorKind};
use crate::http::Client;
use crate::journal::{CaptureQuery, CursorChange, FollowCursor, StoredCapture};

/// Captures that are read at a time.
const PAGE_SIZE: u32 = 100;

/// Captures that wait to be received.
const MAX_WAITING: usize = 8;

/// Events that arrive within this time cause one request.
const EVENT_INTERVAL: Duration = Duration::from_millis(10);

/// The pauses before each new connection. The first is opened at once, as most lost connections can be; the last pause is
/// repeated.
const PAUSES_MS: [u64; 7] = [0, 250, 500, 1_000, 2_000, 5_000, 10_000];

/// A connection that lasts this long was not a failed attempt.
const STABLE_AFTER: Duration = Duration::from_secs(5);

/// A capture of the bin that is followed.
#[derive(Debug)]
pub struct FollowedCapture {
    pub stored: Arc<StoredCapture>,
    /// Whether its body was too large to be transferred, and is missing.
    pub lacks_body: bool,
    /// Where to go on after this capture.
    pub cursor: FollowCursor,
}

/// What [`follow`] sends to its receiver, in order.
#[derive(Debug)]
pub enum Followed {
    Capture(FollowedCapture),
    /// This many captures were deleted before they could be read.
    Missed {
        count: u64,
        cursor: FollowCursor,
    },
    /// The bin was deleted and created again, or is in another journal: its captures follow from the first.
    NewBin,
    /// The connection is lost, for this reason; it is being opened again.
    Lost(String),
    /// The connection is open again.
    Back,
    /// An error that trying again does not remove. It is the last item.
    Failed(RemoteError),
}

/// Reads the captures of `bin` that follow `cursor`, on a thread that ends once the receiver is dropped. `streams` is a
/// client for responses without an end.
pub fn follow(
    remote: Remote,
    streams: Client,
    bin: String,
    cursor: FollowCursor,
) -> Receiver<Followed> {
    let (sender, receiver) = sync_channel(MAX_WAITING);
    let follower = Follower {
        remote,
        streams,
        bin,
        cursor,
        sender,
        is_lost: false,
        attempts: 0,
        has_responded: false,
    };
    thread::spawn(move || follower.run());
    receiver
}

struct Follower {
    remote: Remote,
    streams: Client,
    bin: String,
    cursor: FollowCursor,
    sender: SyncSender<Followed>,
    /// Whether [`Followed::Lost`] was sent last.
    is_lost: bool,
    /// Failed attempts since the last stable connection.
    attempts: usize,
    /// Whether captures were read.
    has_responded: bool,
}

/// Why a connection has ended.
enum Ended {
    Error(RemoteError),
    /// The receiver was dropped, so that nobody reads the items.
    Unused,
}

impl From<RemoteError> for Ended {
    fn from(error: RemoteError) -> Ended {
        Ended::Error(error)
    }
}

impl Follower {
    fn run(mut self) {
        loop {
            let error = match self.connection() {
                Ended::Unused => return,
                // Ctrl-C: the receiver knows it, and is about to end.
                Ended::Error(error) if error.kind.is_interrupt() => return,
                Ended::Error(error) if !error.kind.is_temporary(self.has_responded) => {
                    let _ = self.send(Followed::Failed(error));
                    return;
                }
                Ended::Error(error) => error,
            };
            let pause = PAUSES_MS[self.attempts.min(PAUSES_MS.len() - 1)];
            self.attempts += 1;
            if pause > 0 && !self.is_lost {
                self.is_lost = true;
                if self.send(Followed::Lost(error.to_string())).is_err() {
                    return;
                }
            }
            thread::sleep(Duration::from_millis(pause));
        }
    }

    /// Opens a connection, and reads captures until it ends.
    fn connection(&mut self) -> Ended {
        let begun = Instant::now();
        let mut read = || -> Result<(), Ended> {
            // Opened first, so that a capture after the first reading causes an event.
            let mut events = self.remote.events(self.streams)?;
            self.catch_up()?;
            loop {
                if events.wait(&self.bin).map_err(|kind| self.fault(kind))? {
                    thread::sleep(EVENT_INTERVAL);
                    self.catch_up()?;
                }
            }
        };
        let Err(ended) = read() else {
            return Ended::Unused;
        };
        if begun.elapsed() >= STABLE_AFTER {
            self.attempts = 0;
        }
        ended
    }

    /// Reads all captures after the cursor.
    fn catch_up(&mut self) -> Result<(), Ended> {
        loop {
            let query = CaptureQuery {
                bin: Some(self.bin.clone()),
                after: Some(self.cursor.last_id),
                limit: Some(PAGE_SIZE),
                ..CaptureQuery::default()
            };
            let CapturePage {
                captures,
                more,
                position,
            } = self.remote.captures(&query, true)?;
            self.has_responded = true;
            if std::mem::take(&mut self.is_lost) {
                self.send(Followed::Back)?;
            }
            let Some(position) = position else {
                return Err(Ended::Error(
                    self.fault(RemoteErrorKind::NoBin(self.bin.clone())),
                ));
            };
            match self.cursor.change_to(&position) {
                CursorChange::None => {}
                CursorChange::Missed(count) => {
                    let cursor = position;
                    self.send(Followed::Missed { count, cursor })?;
                }
                CursorChange::NewBin => {
                    self.cursor = position.before_first();
                    self.send(Followed::NewBin)?;
                    continue;
                }
                CursorChange::Older => {
                    return Err(Ended::Error(self.fault(RemoteErrorKind::OlderJournal)));
                }
            }
            self.cursor = position;
            for RemoteCapture { stored, lacks_body } in captures {
                self.cursor = self.cursor.after(stored.record.id);
                // Captures are progress: a connection that is cut again and again is not one that fails.
                self.attempts = 0;
                let (stored, cursor) = (Arc::new(stored), self.cursor);
                self.send(Followed::Capture(FollowedCapture {
                    stored,
                    lacks_body,
                    cursor,
                }))?;
            }
            if !more {
                return Ok(());
            }
        }
    }

    fn fault(&self, kind: RemoteErrorKind) -> RemoteError {
        self.remote.error(kind)
    }

    fn send(&self, item: Followed) -> Result<(), Ended> {
        self.sender.send(item).map_err(|_| Ended::Unused)
    }
}
