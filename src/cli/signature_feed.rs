//! Finds out why signatures do not match, for a listener that verifies them.
//!
//! The listener itself only learns that a signature does not match. The reason takes much longer to find, so it is searched
//! here, after the response, and stored with the capture.

use std::sync::Arc;
use std::time::Duration;

use super::capture_feed::{CaptureFeed, FeedItem};
use crate::capture::SignatureCheck;
use crate::error::Failure;
use crate::journal::{GroupWriter, StoredCapture, Write};
use crate::listener::Notifier;
use crate::signature::Verifier;

/// Longer bodies are left to `hookfire captured verify`.
const MAX_EXPLAINED_BYTES: usize = 1024 * 1024;

pub struct SignatureFeed<F> {
    feed: F,
    explainer: Option<Explainer>,
}

/// Explains signatures, and stores the explanations.
pub struct Explainer {
    pub verifier: Verifier,
    pub writer: Arc<GroupWriter>,
    /// For the pages that show the captures.
    pub notifier: Notifier,
}

impl<F: CaptureFeed> SignatureFeed<F> {
    /// Without an explainer, passes on the items of `feed` as they are.
    pub fn new(feed: F, explainer: Option<Explainer>) -> SignatureFeed<F> {
        SignatureFeed { feed, explainer }
    }
}

impl<F: CaptureFeed> CaptureFeed for SignatureFeed<F> {
    fn next(&mut self, timeout: Duration) -> Result<Option<FeedItem>, Failure> {
        let item = self.feed.next(timeout)?;
        Ok(match (item, &self.explainer) {
            (Some(FeedItem::Captured(capture)), Some(explainer)) if !self.feed.is_behind() => {
                Some(FeedItem::Captured(explainer.explained(capture)))
            }
            (item, _) => item,
        })
    }

    fn is_behind(&self) -> bool {
        self.feed.is_behind()
    }

    fn settle(&mut self) {
        self.feed.settle();
    }
}

impl Explainer {
    fn explained(&self, capture: Arc<StoredCapture>) -> Arc<StoredCapture> {
        let signature = capture.record.capture.signature.as_ref();
        let is_open = signature.is_some_and(SignatureCheck::is_mismatch);
        if !is_open || capture.body.bytes.len() > MAX_EXPLAINED_BYTES {
            return capture;
        }
        let check =
            SignatureCheck::explained(&self.verifier, &capture.record.capture, &capture.body);
        if check.is_mismatch() {
            return capture;
        }
        let (id, notifier) = (capture.record.id, self.notifier.clone());
        let write = Write::SetSignature {
            id,
            check: check.clone(),
        };
        // If it cannot be stored, the capture still says that its signature does not match.
        let stored = Box::new(move |_| notifier.changed());
        self.writer.submit(write, stored);
        let mut explained = Arc::unwrap_or_clone(capture);
        explained.record.capture.signature = Some(check);
        Arc::new(explained)
    }
}
