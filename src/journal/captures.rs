//! How the listener stores captures, and how they are queried.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use super::JournalError;
use crate::capture::{
    BinResponse, Body, Capture, CaptureRecord, CapturedResponse, EventName, INBOX,
};
use crate::time::UnixMs;

/// A capture with its record and body. The commit assigns the id and the bin; before it they are 0 and empty, unless the
/// capture comes from another journal, where it was in a bin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCapture {
    pub record: CaptureRecord,
    pub body: Body,
    /// The response of its bin, as the commit found it.
    pub bin_response: Option<Arc<BinResponse>>,
}

impl StoredCapture {
    /// Approximate memory of a capture in bytes, not counting its head and body.
    pub const OWN_BYTES: usize = 1024;

    /// The memory that a queued capture takes, in bytes; approximate.
    pub fn memory_bytes(&self) -> usize {
        let Body { bytes, wire } = &self.body;
        StoredCapture::OWN_BYTES
            + self.record.capture.head.len()
            + bytes.len()
            + wire.as_ref().map_or(0, Vec::len)
    }

    pub fn new(
        id: i64,
        bin: &str,
        event: Option<EventName>,
        capture: Capture,
        body: Body,
    ) -> StoredCapture {
        let body_size = body.bytes.len() as u64;
        StoredCapture {
            record: CaptureRecord {
                id,
                bin: bin.to_owned(),
                event,
                body_size,
                pinned: false,
                note: None,
                capture,
            },
            body,
            bin_response: None,
        }
    }
}

/// Called with the result of a write, on any thread.
pub type StoreReply<T> = Box<dyn FnOnce(Result<T, Arc<JournalError>>) + Send>;

pub trait CaptureStore: Send + Sync {
    /// Stores a capture in the bin that its path names; returns at once.
    fn store(&self, capture: Capture, body: Body, done: StoreReply<Arc<StoredCapture>>);

    /// Replaces the response of a stored capture; returns at once.
    fn set_response(&self, id: i64, response: CapturedResponse, done: StoreReply<()>);
}

/// Sends captures to the receiver instead of storing them.
impl CaptureStore for Sender<(Capture, Body)> {
    fn store(&self, capture: Capture, body: Body, done: StoreReply<Arc<StoredCapture>>) {
        let sent = self.send((capture.clone(), body.clone()));
        done(match sent {
            Ok(()) => Ok(Arc::new(StoredCapture::new(0, INBOX, None, capture, body))),
            Err(_) => Err(Arc::new(JournalError::Unusable {
                path: "memory".into(),
                problem: "has no receiver".to_owned(),
            })),
        });
    }

    fn set_response(&self, _: i64, _: CapturedResponse, done: StoreReply<()>) {
        done(Ok(()));
    }
}

/// How far a reader of a bin has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowCursor {
    /// When the bin was created. Another time means another bin of the same name, or another journal.
    pub bin_created_at: UnixMs,
    /// All captures up to this id were read.
    pub last_id: i64,
    /// The captures of the bin up to that id, and all that were deleted from it. If it has grown when the bin is read
    /// again, that many captures were deleted before they were read.
    pub seen: i64,
}

/// What has happened to a bin since a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CursorChange {
    /// Nothing that concerns the reader.
    None,
    /// This many captures were deleted before they were read.
    Missed(u64),
    /// It is another bin of the same name.
    NewBin,
    /// It is in an earlier state, as after its journal was replaced by an older copy.
    Older,
}

impl FollowCursor {
    /// Compares it with the position of the same id, now.
    pub fn change_to(&self, now: &FollowCursor) -> CursorChange {
        if self.bin_created_at != now.bin_created_at {
            return CursorChange::NewBin;
        }
        match u64::try_from(now.seen.saturating_sub(self.seen)) {
            Ok(0) => CursorChange::None,
            Ok(missed) => CursorChange::Missed(missed),
            Err(_) => CursorChange::Older,
        }
    }

    /// Before the first capture of a bin in which nothing was deleted.
    pub fn before_first(&self) -> FollowCursor {
        FollowCursor {
            last_id: 0,
            seen: 0,
            ..*self
        }
    }

    /// After the next capture of the bin, which has this id.
    pub fn after(&self, id: i64) -> FollowCursor {
        FollowCursor {
            last_id: id,
            seen: self.seen.saturating_add(1),
            ..*self
        }
    }
}

/// Which captures, and in which order. Conditions that are `None` match all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaptureQuery {
    pub bin: Option<String>,
    /// The request method, ignoring case.
    pub method: Option<String>,
    /// The type of the event in the body.
    pub event_type: Option<String>,
    /// The action of the event in the body.
    pub action: Option<String>,
    /// Received at or after this time.
    pub since: Option<UnixMs>,
    /// Only captures with a greater id.
    pub after: Option<i64>,
    /// Only captures with a smaller id.
    pub before: Option<i64>,
    pub order: Order,
    pub limit: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    OldestFirst,
    NewestFirst,
}
