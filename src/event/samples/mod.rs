//! Sample objects for the documented events, so that a first event needs no file.
//!
//! Each kind of object has a template, an XML file beside this one. The same context gives the same bytes. Fields are in 3scale's order, and a document is consistent: the user's account is
//! the account around it, nothing was updated before it was created, and no two objects have the same id.

#[cfg(test)]
mod tests;

use std::time::Duration;

use super::object::Object;
use super::{ElementOrder, catalogue};
use crate::text::named_enum;
use crate::time::{UnixMs, duration_ms, rfc3339_seconds};

const DAY_S: u64 = 86_400;

#[derive(Debug, Clone, Copy)]
pub struct SampleContext {
    /// The time of the event.
    pub now: UnixMs,
    /// Determines ids, keys and earlier times.
    pub seed: u64,
    /// None for the mode that the action implies.
    pub mode: Option<AuthMode>,
    /// The running system writes an object on one line, and an account with its annotations.
    pub order: ElementOrder,
}

named_enum! {
    /// How an application authenticates; this decides its fields.
    pub enum AuthMode {
        /// Each application has one `user_key`.
        UserKey = "user-key",
        /// Authentication with an `application_id` and one or more keys.
        AppId = "app-id",
        /// As [`AuthMode::AppId`], with a `redirect_url`.
        Oauth = "oauth",
        /// As [`AuthMode::Oauth`], with an `oidc_configuration`.
        Oidc = "oidc",
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSample {
    /// The type and action are not documented, or not as a pair.
    Unknown,
    /// A mode was requested for an event of an account or user.
    NoModes,
    /// The event does not occur in the requested mode, but in this one.
    OtherMode(AuthMode),
}

impl SampleContext {
    /// A context that depends on the seed alone, its time included.
    pub fn seeded(seed: u64, mode: Option<AuthMode>, order: ElementOrder) -> SampleContext {
        // 2026-01-01T00:00:00Z, and some second of the year after it.
        let into_year = Duration::from_secs(Draw(seed).nth(0) % (365 * DAY_S));
        SampleContext {
            now: UnixMs(1_767_225_600_000).plus(into_year),
            seed,
            mode,
            order,
        }
    }
}

/// A sample object for a documented event, indented to fit into it. A deleted object has its own fields only.
pub fn sample(event_type: &str, action: &str, cx: &SampleContext) -> Result<Object, NoSample> {
    if !catalogue::EVENTS.contains(&(event_type, action)) {
        return Err(NoSample::Unknown);
    }
    if cx.mode.is_some() && event_type != "application" {
        return Err(NoSample::NoModes);
    }
    let mode = mode(action, cx.mode)?;
    let template = match (event_type, action) {
        ("account", "deleted") => include_str!("account_deleted.xml"),
        ("account", _) => include_str!("account.xml"),
        ("user", "deleted") => include_str!("user_deleted.xml"),
        ("user", _) => include_str!("user.xml"),
        (_, "deleted") => include_str!("application_deleted.xml"),
        _ => include_str!("application.xml"),
    };
    let draw = Draw(cx.seed);
    let earlier = |by_s| rfc3339_seconds(UnixMs(cx.now.0 - duration_ms(Duration::from_secs(by_s))));
    // A new object has never been updated or used.
    let is_new = action == "created";
    let age_s = if is_new {
        0
    } else {
        DAY_S + draw.nth(20) % (300 * DAY_S)
    };
    let first_traffic = |name| match is_new {
        true => format!("<{name}/>"),
        false => format!("<{name}>{}</{name}>", earlier(age_s / 2)),
    };
    let annotations = match cx.order {
        ElementOrder::Documented => "",
        ElementOrder::Porta => "\n  <annotations/>",
    };
    let application_state = match action {
        "suspended" => "suspended",
        _ => "live",
    };
    let by_age = |new, old| if is_new { new } else { old };
    let values = [
        ("{account}", draw.id(1).to_string()),
        ("{user}", draw.id(2).to_string()),
        ("{application}", draw.id(3).to_string()),
        ("{service}", draw.id(4).to_string()),
        ("{account_plan}", draw.id(5).to_string()),
        ("{application_plan}", draw.id(6).to_string()),
        ("{created_at}", earlier(age_s)),
        ("{updated_at}", rfc3339_seconds(cx.now)),
        ("{account_state}", by_age("created", "approved").to_owned()),
        ("{user_state}", by_age("pending", "active").to_owned()),
        ("{application_state}", application_state.to_owned()),
        ("{first_traffic}", first_traffic("first_traffic_at")),
        (
            "{first_daily_traffic}",
            first_traffic("first_daily_traffic_at"),
        ),
        ("{annotations}", annotations.to_owned()),
        ("{authentication}", authentication(mode, action, &draw)),
    ];
    let mut object = template.trim_end().to_owned();
    for (placeholder, value) in &values {
        object = object.replace(placeholder, value);
    }
    Ok(Object::written(match cx.order {
        // The event indents the object's first line.
        ElementOrder::Documented => object.replace('\n', "\n    "),
        ElementOrder::Porta => object.lines().map(str::trim_start).collect(),
    }))
}

fn authentication(mode: AuthMode, action: &str, draw: &Draw) -> String {
    if mode == AuthMode::UserKey {
        return format!(
            "<user_key>{}</user_key>\n  <provider_verification_key>{}</provider_verification_key>",
            draw.key(30),
            draw.key(31)
        );
    }
    let mut text = format!("<application_id>{}</application_id>", &draw.key(32)[..8]);
    if mode != AuthMode::AppId {
        text += "\n  <redirect_url>https://app.acme.example/callback</redirect_url>";
    }
    if action != "deleted" {
        text += "\n  <keys>";
        for n in 0..if action == "key_created" { 2 } else { 1 } {
            text += &format!("\n    <key>{}</key>", draw.key(40 + n));
        }
        text += "\n  </keys>";
    }
    if mode == AuthMode::Oidc {
        let configuration = include_str!("oidc_configuration.xml").trim_end();
        text += &configuration.replace("{id}", &draw.id(7).to_string());
    }
    text
}

/// The requested mode, or the usual one of the action.
fn mode(action: &str, requested: Option<AuthMode>) -> Result<AuthMode, NoSample> {
    use AuthMode::{AppId, Oauth, Oidc, UserKey};
    let modes: &[AuthMode] = match action {
        "user_key_updated" => &[UserKey],
        "key_created" | "key_deleted" => &[AppId, Oauth, Oidc],
        // Fired for a new user key as well, beside `user_key_updated`.
        "key_updated" => &[AppId, Oauth, Oidc, UserKey],
        _ => &AuthMode::ALL,
    };
    match requested {
        None => Ok(modes[0]),
        Some(mode) if modes.contains(&mode) => Ok(mode),
        Some(_) => Err(NoSample::OtherMode(modes[0])),
    }
}

/// A generator of pseudorandom numbers (SplitMix64), so that a seed always gives the same sample.
struct Draw(u64);

impl Draw {
    fn nth(&self, n: u64) -> u64 {
        let mut z = self
            .0
            .wrapping_add(n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// The id of the `n`th object of a document; ids never repeat, so that a receiver that confuses objects fails.
    fn id(&self, n: u64) -> u64 {
        self.nth(n) % 10_000_000 * 8 + n
    }

    /// A key of 32 hexadecimal digits, different for each `n`.
    fn key(&self, n: u64) -> String {
        format!("{:016x}{:016x}", self.nth(2 * n), self.nth(2 * n + 1))
    }
}
