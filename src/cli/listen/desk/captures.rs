//! The page's captures: lists, one with its body, as curl, deleted, and sent again.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{ListenDesk, body, json_reply, number, text_reply};
use crate::capture::diff;
use crate::capture::{Body, Caught, Mask, credentials};
use crate::error::{Failure, Kind};
use crate::journal::store::{CaptureQuery, Order};
use crate::listener::desk::{Call, Reply};
use crate::output::capture::head;
use crate::output::capture_json::CaptureView;
use crate::output::export;

/// Captures in one answer.
const MOST: u32 = 500;
/// What is to be saved, and not to be looked at.
const BYTES: &str = "application/octet-stream";
/// Bytes of a body that are shown, and laid out if it has no more. Laid out, a hostile one takes dozens of times as much.
const SHOWN_BYTES: usize = 256 * 1024;
/// Bytes of a form that was laid out.
const LAID_OUT_BYTES: usize = 1024 * 1024;
/// Captures that are looked at in one step where a filter has to be held against each.
const STEP: u32 = 500;

/// All bins, the default one among them before anything is in it.
pub(super) fn bins(desk: &ListenDesk) -> Result<Reply, Failure> {
    // The newest first: what comes in between is counted at most, and never deleted for it.
    let (newest, bins) = desk.read(|journal| Ok((journal.newest_capture()?, journal.bins()?)))?;
    let view = |name: &str, count: u64| json!({ "name": name, "request_count": count, "default": name == desk.default_bin });
    let mut views: Vec<Value> = bins
        .iter()
        .map(|bin| view(&bin.name, bin.request_count))
        .collect();
    if !bins.iter().any(|bin| bin.name == desk.default_bin) {
        views.insert(0, view(&desk.default_bin, 0));
    }
    Ok(json_reply(200, &json!({ "bins": views, "newest": newest })))
}

/// Deletes what a bin held when its captures were counted, which `until` says.
pub(super) fn clear(desk: &ListenDesk, call: &Call, bin: &str) -> Result<Reply, Failure> {
    let Some(until) = call.parameter("until").map(number).transpose()? else {
        return Err(Failure::usage(
            "`until` says the newest capture that is to go; without it nothing is deleted",
        ));
    };
    let deleted = desk.read(|journal| journal.clear_bin(bin, until))?;
    Ok(json_reply(200, &json!({ "deleted": deleted })))
}

/// Answers a call below `/_hookfire/api/captures`.
pub(super) fn answer(desk: &ListenDesk, call: &Call, path: &[&str]) -> Result<Reply, Failure> {
    let mask = Mask {
        reveal: call.parameter("reveal") == Some("1"),
        ..desk.mask.clone()
    };
    let _permit = (call.method == "GET").then(|| desk.looking.acquire());
    match (call.method.as_str(), path) {
        ("GET", []) => list(desk, call),
        ("GET", [id]) => one(desk, number(id)?, &mask),
        ("GET", [id, "curl"]) => {
            let (caught, body) = find(desk, number(id)?)?;
            Ok(text_reply(export::curl(&caught, &body, &mask)))
        }
        ("GET", [id, "body"]) => {
            let (_, body) = find(desk, number(id)?)?;
            Ok(Reply {
                status: 200,
                content_type: BYTES,
                body: body.bytes,
            })
        }
        ("DELETE", [id]) => {
            let id = number(id)?;
            let deleted = desk.read(|journal| journal.delete_captures(&[id]))?;
            Ok(json_reply(200, &json!({ "deleted": deleted })))
        }
        ("POST", [id, "replay"]) => replay(desk, call, number(id)?),
        _ => Err(super::no_such_call(call)),
    }
}

fn find(desk: &ListenDesk, id: i64) -> Result<(Caught, Body), Failure> {
    desk.read(|journal| journal.capture(id))?.ok_or_else(|| {
        Failure::new(
            Kind::NotFound,
            format!("there is no capture #{id} in the journal"),
        )
    })
}

/// The newest captures of a bin or of all, those that a filter lets through.
fn list(desk: &ListenDesk, call: &Call) -> Result<Reply, Failure> {
    let limit = call
        .parameter("limit")
        .map(number)
        .transpose()?
        .unwrap_or(50);
    let limit = u32::try_from(limit).unwrap_or(MOST).clamp(1, MOST) as usize;
    let words = call.parameter("q").unwrap_or_default().to_lowercase();
    let words: Vec<&str> = words.split_whitespace().collect();
    let mut query = CaptureQuery {
        bin: call
            .parameter("bin")
            .filter(|bin| !bin.is_empty())
            .map(str::to_owned),
        before: call.parameter("before").map(number).transpose()?,
        order: Order::NewestFirst,
        limit: Some(if words.is_empty() {
            limit as u32 + 1
        } else {
            STEP
        }),
        ..CaptureQuery::default()
    };
    let mut found = Vec::new();
    loop {
        let step = desk.read(|journal| journal.captures(&query))?;
        let last = step.last().map(|caught| caught.id);
        found.extend(
            step.into_iter()
                .filter(|caught| matches(caught, &words, &desk.mask)),
        );
        if found.len() > limit || words.is_empty() || last.is_none() {
            break;
        }
        query.before = last;
    }
    let more = found.len() > limit;
    found.truncate(limit);
    let views: Vec<CaptureView> = found
        .iter()
        .map(|caught| CaptureView::new(caught, &desk.mask))
        .collect();
    Ok(json_reply(200, &json!({ "captures": views, "more": more })))
}

/// Whether all words are somewhere in what the list shows of a capture. What is masked cannot be searched for.
fn matches(caught: &Caught, words: &[&str], mask: &Mask) -> bool {
    if words.is_empty() {
        return true;
    }
    let capture = &caught.capture;
    let mut shown = format!(
        "#{} {} {}",
        caught.id,
        capture.method(),
        mask.target(capture)
    );
    if let Some(event) = &caught.event {
        shown.push_str(&format!(
            " {}.{} {} {}",
            event.event_type, event.action, event.event_type, event.action
        ));
    }
    let status = capture
        .answer
        .status
        .map_or_else(|| "no answer".to_owned(), |status| status.to_string());
    let marks = [
        (capture.malformed, " malformed"),
        (capture.secret_ok == Some(false), " wrong secret"),
    ];
    shown.push_str(&format!(" {status} {}", caught.bin));
    if let Some(content_type) = capture.header("content-type") {
        shown.push_str(&format!(" {}", String::from_utf8_lossy(content_type)));
    }
    marks
        .iter()
        .filter(|(has, _)| *has)
        .for_each(|(_, mark)| shown.push_str(mark));
    let shown = shown.to_lowercase();
    words.iter().all(|word| shown.contains(word))
}

fn one(desk: &ListenDesk, id: i64, mask: &Mask) -> Result<Reply, Failure> {
    let (caught, body) = find(desk, id)?;
    let is_text = std::str::from_utf8(&body.bytes).is_ok();
    let (shown, sent) = (beginning(&body.bytes), beginning(body.as_sent()));
    let whole = shown.len() == body.bytes.len() && sent.len() == body.as_sent().len();
    let laid_out = if is_text && body.bytes.len() <= SHOWN_BYTES {
        diff::laid_out(&body.bytes)
    } else {
        None
    };
    let pretty = laid_out.filter(|pretty| pretty.len() <= LAID_OUT_BYTES);
    let language = match pretty.as_deref().map(str::trim_start) {
        Some(pretty) if pretty.starts_with('<') => "xml",
        Some(_) => "json",
        None if is_text => "text",
        None => "binary",
    };
    let shown_head = match String::from_utf8_lossy(&caught.capture.head) {
        came if mask.reveal => came.into_owned(),
        _ => format!("{}\n", head(&caught.capture, mask)),
    };
    let view = json!({
        "capture": CaptureView::new(&caught, mask).with_body(&Body { bytes: shown.to_vec(), wire: None }),
        "hidden": mask.hides(&caught.capture),
        "credentials": credentials(caught.capture.head.headers()),
        "pretty": pretty, "language": language,
        "raw": shown_head + &String::from_utf8_lossy(sent),
        "whole": whole,
    });
    Ok(json_reply(200, &view))
}

/// As much as is shown of it, without the half of a character at the end.
fn beginning(bytes: &[u8]) -> &[u8] {
    let Some(cut) = bytes
        .get(..SHOWN_BYTES)
        .filter(|cut| cut.len() < bytes.len())
    else {
        return bytes;
    };
    match std::str::from_utf8(cut) {
        Err(e) if e.error_len().is_none() => &cut[..e.valid_up_to()],
        _ => cut,
    }
}

#[derive(Deserialize)]
struct Replay {
    url: String,
    #[serde(default)]
    send_credentials: bool,
}

/// Sends a capture again, as `hookfire captured replay` does.
fn replay(desk: &ListenDesk, call: &Call, id: i64) -> Result<Reply, Failure> {
    let Replay {
        url,
        send_credentials,
    } = body(call)?;
    let mut args = vec!["captured".to_owned(), "replay".to_owned(), id.to_string()];
    if send_credentials {
        args.push("--send-credentials".to_owned());
    }
    // Not as an argument: others can read those, and a URL may carry a secret.
    let said = desk.itself.run(&args, &[("HOOKFIRE_TO", &url)])?;
    // One result for one capture, alone or in a list.
    let result = match said.result {
        Some(Value::Array(results)) => results.into_iter().next(),
        result => result,
    };
    Ok(json_reply(
        200,
        &json!({ "result": result, "error": said.error }),
    ))
}
