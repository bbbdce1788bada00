//! What is asked of a running catcher beside catching: its page's data and RequestBin's API, as calls and replies.
//!
//! The catcher speaks HTTP, checks who asks, and knows nothing of bins; who implements [`Desk`] knows bins and deliveries,
//! and nothing of HTTP.

/// A request to read or change what is kept. It has passed the catcher's checks of host and token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// `GET`, `POST`, `PUT` or `DELETE`.
    pub method: String,
    /// The path's segments, percent-decoded, such as `["api", "v1", "bins"]`.
    pub path: Vec<String>,
    /// The query's pairs, decoded, in order.
    pub query: Vec<(String, String)>,
    /// The `Content-Type`, empty if there is none.
    pub content_type: String,
    /// The body, whole.
    pub body: Vec<u8>,
}

impl Call {
    /// The value of the query's last pair of that name.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .rev()
            .find(|(given, _)| given == name)
            .map(|(_, value)| value.as_str())
    }
}

/// What to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The `Content-Type`.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

/// Answers calls. A call may read from the disk or wait for an endpoint: it is never made on the connections' thread, and
/// several may be under way at once.
pub trait Desk: Send + Sync {
    /// Does what the call asks, and says what came of it.
    fn answer(&self, call: &Call) -> Reply;
}
