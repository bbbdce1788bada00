//! How much a client may send, and how long it may take.

use std::time::Duration;

use crate::capture::DEFAULT_MAX_HEADERS;

/// What the listener accepts from its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenerLimits {
    /// Bytes of a head, with the request line and the empty line. A longer one gets the response 431.
    pub head_bytes: usize,
    /// Headers of a head, at most [`crate::capture::MAX_HEADERS`]. More get the response 431.
    pub headers: usize,
    /// Bytes of a decoded body. A longer one gets the response 413: at once if its length is given, else when the limit is
    /// reached. The capture keeps the bytes received so far.
    pub body_bytes: usize,
    /// Bytes of requests in memory that are not committed yet, not counting the first 8 KiB of each connection. Requests
    /// beyond the limit wait: silent clients are evicted meanwhile, and a request that waited for `body_deadline` gets the
    /// response 503. Responses have a limit of the same size.
    pub buffered_bytes: usize,
    /// Connections at a time, at least 1. For another one, the connection whose client was silent for the longest time is
    /// closed; if none is silent, the new one waits.
    pub connections: u32,
    /// From connecting, or from the end of a response, to the end of the next head: a partial head gets the response 408,
    /// an idle connection is closed. A client that reads nothing of its response for this long is disconnected.
    pub head_deadline: Duration,
    /// From the end of a head to the end of its body. A later body gets the response 408.
    pub body_deadline: Duration,
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            head_bytes: 64 * 1024,
            headers: DEFAULT_MAX_HEADERS,
            body_bytes: 1024 * 1024,
            buffered_bytes: 4 * 1024 * 1024,
            connections: 512,
            head_deadline: Duration::from_secs(30),
            body_deadline: Duration::from_secs(30),
        }
    }
}
