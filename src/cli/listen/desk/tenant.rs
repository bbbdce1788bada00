//! A stand-in for a 3scale tenant: its calls about webhooks, answered from the journal's failed list.
//!
//! As the real one does it: times are inclusive and have a grain of one second, an unreadable one is answered 400, a wrong
//! token 403, and a deletion with nothing. The switchboard is remembered as long as the listener runs, and switches
//! nothing: there is nobody here who would send.

use std::sync::PoisonError;

use serde_json::{Map, Value, json};

use super::{JSON, ListenDesk, json_reply};
use crate::delivery::Status;
use crate::delivery::filter::Filter;
use crate::error::{Failure, Kind};
use crate::journal::Query;
use crate::listener::desk::{Call, Reply};
use crate::output::OutputError;
use crate::output::failures_xml::FailuresXml;
use crate::secret::Secret;
use crate::secret::safe_url::{BaseUrl, decoded_pairs};
use crate::time::{UnixMs, failures_list_time, parse_list_time};

const XML: &str = "application/xml; charset=utf-8";
/// The parameters that may carry the token.
const TOKEN: [&str; 2] = ["access_token", "provider_key"];
/// The most characters of a URL.
const LONGEST_URL: usize = 255;

/// Answers a call of the tenant's API; `path` is what follows `/admin/api/webhooks`, else all of it, which nothing answers.
pub(super) fn answer(desk: &ListenDesk, call: &Call, path: &[&str]) -> Reply {
    let fields = fields(call);
    let given = fields
        .iter()
        .find(|(name, _)| TOKEN.contains(&name.as_str()));
    let given = given.map(|(_, value)| value.as_str().unwrap_or_default());
    if !is_admitted(desk.portal_token.as_ref(), given) {
        return json_reply(
            403,
            &json!({ "error": "Your access token does not have the correct permissions" }),
        );
    }
    let answered = match (call.method.as_str(), path) {
        ("GET", ["failures.xml"]) => list_in_xml(desk),
        ("GET", ["failures.json"]) => list_in_json(desk),
        ("DELETE", ["failures.xml" | "failures.json"]) => delete(desk, call),
        ("PUT", []) => Ok(switch(desk, fields)),
        _ => Err(super::no_such_call(call)),
    };
    answered.unwrap_or_else(|failure| super::failed(&failure))
}

fn is_admitted(token: Option<&Secret>, given: Option<&str>) -> bool {
    token.is_none_or(|token| given.is_some_and(|given| token.is(given.as_bytes())))
}

/// What the call says, in its query and, if it has one, its body.
fn fields(call: &Call) -> Vec<(String, Value)> {
    let texts = |pairs: Vec<(String, String)>| {
        pairs
            .into_iter()
            .map(|(name, value)| (name, Value::from(value)))
    };
    let mut fields: Vec<(String, Value)> = texts(call.query.clone()).collect();
    if call.content_type.starts_with(JSON) {
        let body: Map<String, Value> = serde_json::from_slice(&call.body).unwrap_or_default();
        fields.extend(body);
    } else {
        fields.extend(texts(decoded_pairs(&String::from_utf8_lossy(&call.body))));
    }
    fields
}

fn all_failed(before: Option<UnixMs>) -> Query {
    Query::failed(Filter {
        before,
        ..Filter::default()
    })
}

fn list_in_xml(desk: &ListenDesk) -> Result<Reply, Failure> {
    let mut body = Vec::new();
    let mut list = FailuresXml::new(&mut body).map_err(OutputError::from)?;
    desk.read(|journal| {
        journal.release_dead(desk.now())?;
        journal.each(&all_failed(None), |delivery| {
            let event = journal.event(delivery.id)?;
            list.push(
                &delivery,
                &failures_list_time(delivery.decided_at()),
                &event,
            )
            .map_err(|e| Failure::from_error(Kind::Journal, e))
        })
    })??;
    list.finish().map_err(OutputError::from)?;
    Ok(Reply {
        status: 200,
        content_type: XML,
        body,
    })
}

fn list_in_json(desk: &ListenDesk) -> Result<Reply, Failure> {
    let mut failures = Vec::new();
    desk.read(|journal| {
        journal.release_dead(desk.now())?;
        journal.each(&all_failed(None), |delivery| {
            let event = journal.event(delivery.id)?;
            let error = delivery.last_error.as_ref().map_or("interrupted", |error| &error.message);
            failures.push(json!({ "webhooks-failure": {
                "id": delivery.uuid, "time": failures_list_time(delivery.decided_at()), "error": error,
                "url": delivery.target.to_string(), "event": String::from_utf8_lossy(&event),
            } }));
            Ok::<(), Failure>(())
        })
    })??;
    Ok(json_reply(200, &json!({ "webhooks-failures": failures })))
}

fn delete(desk: &ListenDesk, call: &Call) -> Result<Reply, Failure> {
    let before = match call.parameter("time") {
        None => None,
        Some(text) => {
            let time = parse_list_time(text)
                .ok_or_else(|| Failure::usage("the parameter `time` cannot be read"))?;
            // To the end of its second.
            Some(UnixMs(time.0.div_euclid(1000) * 1000 + 999))
        }
    };
    desk.read(|journal| {
        let seen = journal.seen(&all_failed(before))?;
        journal.delete(&seen, &[Status::Failed, Status::Interrupted])
    })?;
    Ok(Reply {
        status: 200,
        content_type: XML,
        body: Vec::new(),
    })
}

/// Changes what is given, and answers how everything stands.
fn switch(desk: &ListenDesk, fields: Vec<(String, Value)>) -> Reply {
    let mut board = desk
        .switchboard
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    for (name, value) in fields
        .into_iter()
        .filter(|(name, _)| !TOKEN.contains(&name.as_str()))
    {
        let value = match value.as_str() {
            Some(url) if name == "url" => {
                if BaseUrl::parse(url).is_err() || url.chars().count() > LONGEST_URL {
                    return json_reply(422, &json!({ "errors": { "url": ["is invalid"] } }));
                }
                Value::from(url)
            }
            Some(text) => Value::from(matches!(text, "true" | "1")),
            None => value,
        };
        if name == "url" || name == "active" || name == "provider_actions" || name.ends_with("_on")
        {
            board.insert(name, value);
        }
    }
    json_reply(200, &json!({ "webhook": *board }))
}
