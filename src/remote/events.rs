//! The server-sent events of a listener, read as far as a follower needs them: whether there may be new captures.

use super::error::RemoteErrorKind;
use crate::delivery::{AttemptError, ErrorKind};
use crate::http::Stream;

/// A longer line is not one of a listener.
const MAX_LINE_BYTES: usize = 64 * 1024;

pub(super) struct Events {
    stream: Stream,
    parser: Parser,
}

impl Events {
    pub(super) fn new(stream: Stream) -> Events {
        Events {
            stream,
            parser: Parser::default(),
        }
    }

    /// Waits for something to arrive. Returns whether the bin may have new captures: after an event about it, about the
    /// whole journal, or without content.
    ///
    /// # Errors
    /// The stream has ended, or nothing arrived for long.
    pub(super) fn wait(&mut self, bin: &str) -> Result<bool, RemoteErrorKind> {
        let mut buffer = [0; 8 * 1024];
        let read = self.stream.read(&mut buffer).map_err(|reason| {
            RemoteErrorKind::NoResponse(AttemptError {
                kind: ErrorKind::Reset,
                message: format!("the live connection {reason}"),
            })
        })?;
        let is_news = self.parser.read(&buffer[..read], bin);
        is_news.ok_or_else(|| RemoteErrorKind::Invalid("an event is too long".to_owned()))
    }
}

#[derive(Default)]
struct Parser {
    /// The line that has not ended yet.
    line: Vec<u8>,
}

impl Parser {
    /// Whether one of the lines that end in `bytes` says that the bin may have new captures; none for a line that is too
    /// long.
    fn read(&mut self, bytes: &[u8], bin: &str) -> Option<bool> {
        let mut is_news = false;
        for &byte in bytes {
            if byte == b'\n' {
                is_news |= line_is_news(&self.line, bin);
                self.line.clear();
            } else if self.line.len() < MAX_LINE_BYTES {
                self.line.push(byte);
            } else {
                return None;
            }
        }
        Some(is_news)
    }
}

/// Only captures name their bin. Comments, which arrive while nothing happens, count too: captures are then read again from
/// time to time, even if an event was lost.
fn line_is_news(line: &[u8], bin: &str) -> bool {
    if line.starts_with(b":") {
        return true;
    }
    let Some(data) = line.strip_prefix(b"data:") else {
        return false;
    };
    let data: Option<serde_json::Value> = serde_json::from_slice(data).ok();
    let named = data.as_ref().and_then(|data| data.get("bin")?.as_str());
    named.is_none_or(|named| named == bin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_the_bin_and_of_the_journal_are_news() {
        for (text, is_news) in [
            (
                "event: capture\ndata: {\"id\":1,\"bin\":\"inbox\"}\n\n",
                true,
            ),
            (
                "event: capture\ndata: {\"id\":1,\"bin\":\"other\"}\n\n",
                false,
            ),
            ("event: changed\ndata: {}\n\n", true),
            ("event: lagged\ndata: {\"missed\":3}\n\n", true),
            (": keep-alive\n\n", true),
            ("retry: 1000\n", false),
            ("data: {\"bin\":\"inbox\"}", false),
        ] {
            assert_eq!(
                Parser::default().read(text.as_bytes(), "inbox"),
                Some(is_news),
                "{text}"
            );
        }
    }

    #[test]
    fn events_may_arrive_in_parts() {
        let mut parser = Parser::default();
        assert_eq!(parser.read(b"event: capture\nda", "inbox"), Some(false));
        assert_eq!(
            parser.read(b"ta: {\"bin\":\"inbox\"}", "inbox"),
            Some(false)
        );
        assert_eq!(parser.read(b"\n", "inbox"), Some(true));
    }

    #[test]
    fn endless_lines_are_refused() {
        let mut parser = Parser::default();
        let part = vec![b'x'; MAX_LINE_BYTES];
        assert_eq!(parser.read(&part, "inbox"), Some(false));
        assert_eq!(parser.read(b"x", "inbox"), None);
    }
}
