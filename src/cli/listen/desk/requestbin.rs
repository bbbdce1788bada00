//! RequestBin's API: bins made and looked at, and the requests in them.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};

use serde_json::Value;

use super::{JSON, ListenDesk, json_reply};
use crate::capture::Bin;
use crate::error::Failure;
use crate::journal::Journal;
use crate::journal::store::{CaptureQuery, JournalError, Order};
use crate::listener::desk::{Call, Reply};
use crate::output::json;
use crate::output::requestbin::{BinView, RequestView};
use crate::secret::safe_url::decoded_pairs;

/// Requests in one answer, the newest ones.
const MOST_REQUESTS: usize = 1000;
/// Bytes of one answer, unless its first request alone has more.
const MOST_BYTES: usize = 8 * 1024 * 1024;
/// Requests looked up at a time.
const STEP: u32 = 50;

const NAME_LENGTH: usize = 8;
const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// Answers a call below `/api/v1/`.
pub(super) fn answer(desk: &ListenDesk, call: &Call, path: &[&str]) -> Result<Reply, Failure> {
    let get = matches!(call.method.as_str(), "GET" | "HEAD");
    let _permit = get.then(|| desk.looking.acquire());
    match path {
        ["bins"] if call.method == "POST" => create(desk, call),
        ["bins", name] if get => {
            let bin = desk.read(|journal| journal.bin(name))?;
            Ok(bin.map_or_else(no_bin, |bin| json_reply(200, &BinView::new(&bin))))
        }
        ["bins", name, "requests"] if get => {
            let requests = desk.read(|journal| requests(journal, name))?;
            Ok(requests.map_or_else(no_bin, |body| Reply {
                status: 200,
                content_type: JSON,
                body,
            }))
        }
        ["bins", name, "requests", id] if get => one(desk, name, id),
        ["bins"] | ["bins", _] | ["bins", _, "requests"] | ["bins", _, "requests", _] => {
            Ok(error(405, "Method not allowed"))
        }
        _ => Ok(error(404, "Not found")),
    }
}

fn no_bin() -> Reply {
    error(404, "Bin not found")
}

fn error(status: u16, words: &str) -> Reply {
    json_reply(status, &serde_json::json!({ "error": words }))
}

fn create(desk: &ListenDesk, call: &Call) -> Result<Reply, Failure> {
    let private = asks_for_private(call);
    let bin = desk.read(|journal| {
        loop {
            let name = random_name();
            if journal.bin(&name)?.is_none() {
                return journal.create_bin(&name, private, desk.now());
            }
        }
    })?;
    Ok(json_reply(200, &BinView::new(&bin)))
}

/// `private` in a JSON object or in a form, with any of the words that clients have for true.
fn asks_for_private(call: &Call) -> bool {
    let means_true = |value: &str| {
        matches!(
            value.to_ascii_lowercase().as_str(),
            "true" | "1" | "on" | "yes"
        )
    };
    if let Ok(Value::Object(object)) = serde_json::from_slice(&call.body) {
        return match object.get("private") {
            Some(Value::Bool(private)) => *private,
            Some(Value::String(word)) => means_true(word),
            Some(Value::Number(number)) => number.as_i64() == Some(1),
            _ => false,
        };
    }
    let form = decoded_pairs(&String::from_utf8_lossy(&call.body));
    form.iter()
        .any(|(name, value)| name == "private" && means_true(value))
}

/// Eight letters and digits. They need not be secret, only new; the standard library's hasher is keyed with enough
/// randomness for that.
fn random_name() -> String {
    let mut random = RandomState::new().build_hasher().finish();
    let mut letter = || {
        let letter = LETTERS[(random % LETTERS.len() as u64) as usize];
        random /= LETTERS.len() as u64;
        char::from(letter)
    };
    (0..NAME_LENGTH).map(|_| letter()).collect()
}

/// The newest requests of a bin as JSON, the newest first; none if there is no such bin.
fn requests(journal: &dyn Journal, name: &str) -> Result<Option<Vec<u8>>, JournalError> {
    let Some(Bin { name, .. }) = journal.bin(name)? else {
        return Ok(None);
    };
    let mut list = Vec::new();
    let (mut count, mut before) = (0, None);
    'list: loop {
        let query = CaptureQuery {
            bin: Some(name.clone()),
            before,
            order: Order::NewestFirst,
            limit: Some(STEP),
            ..CaptureQuery::default()
        };
        let step = journal.captures(&query)?;
        let Some(last) = step.last() else { break };
        before = Some(last.id);
        for caught in &step {
            // Unless it was deleted meanwhile.
            let Some((caught, body)) = journal.capture(caught.id)? else {
                continue;
            };
            // Written out at once: what a hostile body takes in JSON, six times as much as it has, shows only then.
            let request = json::compact(&RequestView::new(&caught, &body));
            if count == MOST_REQUESTS || count > 0 && list.len() + request.len() > MOST_BYTES {
                break 'list;
            }
            list.push(if count == 0 { b'[' } else { b',' });
            list.extend_from_slice(request.as_bytes());
            count += 1;
        }
    }
    list.extend_from_slice(if count == 0 { b"[]" } else { b"]" });
    Ok(Some(list))
}

fn one(desk: &ListenDesk, bin: &str, id: &str) -> Result<Reply, Failure> {
    if desk.read(|journal| journal.bin(bin))?.is_none() {
        return Ok(no_bin());
    }
    let found = match id.parse() {
        Ok(id) => desk.read(|journal| journal.capture(id))?,
        Err(_) => None,
    };
    let found = found.filter(|(caught, _)| caught.bin == bin);
    Ok(found.map_or_else(
        || error(404, "Request not found"),
        |(caught, body)| json_reply(200, &RequestView::new(&caught, &body)),
    ))
}

/// What went wrong, in RequestBin's form.
pub(super) fn failed(failure: &Failure) -> Reply {
    let text = json::compact(&serde_json::json!({ "error": failure.error.to_string() }));
    Reply {
        status: super::status_of(failure.kind),
        content_type: JSON,
        body: text.into_bytes(),
    }
}
