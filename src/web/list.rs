//! Pages of lists, and the words that filter them.
//!
//! A filter may have to look at the whole journal. Each request looks at a bounded number of bytes and returns how far it
//! got; the page asks again from there. No transaction spans two items.

use serde::Serialize;
use serde_json::Value;

use crate::error::Failure;
use crate::journal::JournalError;
use crate::output::json;

const DEFAULT_PAGE_SIZE: u32 = 50;
const MAX_PAGE_SIZE: u32 = 500;
/// The size of a list's JSON, unless its first entry alone is longer.
pub(super) const MAX_LIST_BYTES: usize = 1024 * 1024;
/// How much one request reads at most while it filters. The last item may exceed it.
const MAX_FILTERED_BYTES: usize = 32 * 1024 * 1024;
/// What an item costs to read, in addition to its body.
const ITEM_BYTES: usize = 4 * 1024;

pub(super) fn page_size(limit: Option<u32>) -> usize {
    limit.unwrap_or(DEFAULT_PAGE_SIZE).clamp(1, MAX_PAGE_SIZE) as usize
}

/// One page of a list.
pub(super) struct Page<P> {
    pub entries: Vec<Value>,
    /// The position of the last item that was looked at, if there are more.
    pub more: Option<P>,
}

impl<P> Page<P> {
    /// Shows items with `view`, until there are `limit` entries, or they have more than `max_bytes` together, or too much
    /// was read. `view` returns nothing for an item that does not match, and the bytes that it read of the item's body.
    pub(super) fn fill<T, V: Serialize>(
        items: impl Iterator<Item = Result<T, JournalError>>,
        (limit, max_bytes): (usize, usize),
        position: impl Fn(&T) -> P,
        mut view: impl FnMut(&T) -> Result<(Option<V>, usize), Failure>,
    ) -> Result<Page<P>, Failure> {
        let (mut entries, mut bytes, mut read, mut more) = (Vec::new(), 0, 0, None);
        for item in items {
            let item = item?;
            if entries.len() == limit || read >= MAX_FILTERED_BYTES {
                return Ok(Page { entries, more });
            }
            let (entry, body_bytes) = view(&item)?;
            read += ITEM_BYTES + body_bytes;
            if let Some(entry) = entry {
                let entry = serde_json::json!(entry);
                bytes += json::compact(&entry).len();
                if !entries.is_empty() && bytes > max_bytes {
                    return Ok(Page { entries, more });
                }
                entries.push(entry);
            }
            more = Some(position(&item));
        }
        let more = None;
        Ok(Page { entries, more })
    }
}

/// Words that an item must contain, all of them, in any case.
pub(super) struct Words(Vec<String>);

impl Words {
    pub(super) fn new(text: &str) -> Words {
        let lower = text.to_lowercase();
        Words(lower.split_whitespace().map(str::to_owned).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn are_in(&self, text: &str) -> bool {
        self.missing_in(text).is_empty()
    }

    /// The words that `text` does not contain.
    pub(super) fn missing_in(&self, text: &str) -> Words {
        let text = text.to_lowercase();
        let missing = self.0.iter().filter(|word| !text.contains(*word));
        Words(missing.cloned().collect())
    }

    /// As [`Words::are_in`], for bytes; ignores the case of ASCII letters only.
    pub(super) fn are_in_bytes(&self, bytes: &[u8]) -> bool {
        self.0.iter().all(|word| contains(bytes, word.as_bytes()))
    }
}

/// `word` is not empty and has no upper-case letters.
fn contains(bytes: &[u8], word: &[u8]) -> bool {
    let first = word[0];
    let ends = bytes.len().saturating_sub(word.len() - 1);
    bytes[..ends].iter().enumerate().any(|(at, byte)| {
        byte.to_ascii_lowercase() == first && bytes[at..at + word.len()].eq_ignore_ascii_case(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(items: usize, limit: usize, body: usize, matching: usize) -> (usize, Option<usize>) {
        let page = Page::fill(
            (0..items).map(Ok),
            (limit, MAX_LIST_BYTES),
            |item| *item,
            |item| Ok(((item % matching == 0).then_some(*item), body)),
        );
        let page = page.unwrap();
        (page.entries.len(), page.more)
    }

    #[test]
    fn a_page_ends_at_its_limit_or_after_enough_bytes() {
        assert_eq!(fill(3, 3, 0, 1), (3, None));
        assert_eq!(fill(4, 3, 0, 1), (3, Some(2)));
        assert_eq!(fill(100, 3, MAX_FILTERED_BYTES / 2, 1), (2, Some(1)));
        assert_eq!(fill(100_000, 1, 0, usize::MAX - 1).0, 1);
        let (found, more) = fill(100_000, 2, 0, 99_999);
        assert_eq!(
            (found, more),
            (1, Some(MAX_FILTERED_BYTES / ITEM_BYTES - 1))
        );
    }

    #[test]
    fn words_are_found_in_any_case() {
        let words = Words::new("  Straße x=Y ");
        assert!(words.are_in("X=y straße") && !words.are_in("x=y"));
        assert!(words.are_in_bytes("x=Y\u{0}Straße".as_bytes()));
        assert!(!words.are_in_bytes(b"x=") && !words.are_in_bytes(b""));
        assert!(Words::new(" ").is_empty());
    }
}
