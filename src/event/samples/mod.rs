//! Sample objects for the documented events, so that a first event needs no file.
//!
//! The same context gives the same bytes. Fields are in 3scale's order, and a document is consistent: the user's account is
//! the account around it, nothing was updated before it was created, and no two objects have the same id.

#[cfg(test)]
mod tests;

use std::time::Duration;

use super::catalogue;
use super::chars::escape_text_lossy;
use super::object::Object;
use crate::time::{UnixMs, duration_ms, rfc3339_seconds};

/// `<event>` and `<object>`, in which the sample will stand.
const LEVELS_ABOVE: usize = 2;

const TYPICAL_BYTES: usize = 2 * 1024;

const DAY_S: u64 = 86_400;

#[derive(Debug, Clone, Copy)]
pub struct SampleContext {
    /// The time of the event.
    pub now: UnixMs,
    /// Determines ids, keys and earlier times.
    pub seed: u64,
    /// None for the mode that the action implies.
    pub mode: Option<AuthMode>,
}

/// How an application authenticates; this decides its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMode {
    /// One `user_key`.
    UserKey,
    /// An `application_id` and keys.
    AppId,
    /// As [`AuthMode::AppId`], with a `redirect_url`.
    Oauth,
}

impl AuthMode {
    pub const ALL: [AuthMode; 3] = [AuthMode::UserKey, AuthMode::AppId, AuthMode::Oauth];

    pub fn as_str(self) -> &'static str {
        match self {
            AuthMode::UserKey => "user-key",
            AuthMode::AppId => "app-id",
            AuthMode::Oauth => "oauth",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSample {
    /// An undocumented event.
    Unknown,
    /// Only applications authenticate.
    NoModes,
    /// The event does not occur in the requested mode, but in this one.
    OtherMode(AuthMode),
}

impl SampleContext {
    /// A context that depends on the seed alone, its time included.
    pub fn seeded(seed: u64, mode: Option<AuthMode>) -> SampleContext {
        // 2026-01-01T00:00:00Z, and some second of the year after it.
        let into_year = Duration::from_secs(Draw(seed).nth(0) % (365 * DAY_S));
        SampleContext {
            now: UnixMs(1_767_225_600_000).plus(into_year),
            seed,
            mode,
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
    let facts = Facts::of(cx, action);
    let whole = action != "deleted";
    let mut xml = Xml {
        text: String::with_capacity(TYPICAL_BYTES),
        depth: 0,
    };
    match (event_type, action) {
        ("account", "created") => xml.account(&facts, "created", "pending", whole),
        ("account", _) => xml.account(&facts, "approved", "active", whole),
        ("user", "created") => xml.user(&facts, "pending", whole),
        ("user", _) => xml.user(&facts, "active", whole),
        (_, "suspended") => xml.application(&facts, "suspended", mode(action, cx.mode)?, action),
        _ => xml.application(&facts, "live", mode(action, cx.mode)?, action),
    }
    // Fixed tags, closed in order, around escaped text.
    Ok(Object::written(xml.text))
}

/// Keys exist in App ID mode only, a user key in its own mode.
fn mode(action: &str, requested: Option<AuthMode>) -> Result<AuthMode, NoSample> {
    let implied = match action {
        "user_key_updated" => Some(AuthMode::UserKey),
        "key_created" | "key_updated" | "key_deleted" => Some(AuthMode::AppId),
        _ => None,
    };
    match (implied, requested) {
        (Some(AuthMode::UserKey), Some(AuthMode::AppId | AuthMode::Oauth))
        | (Some(AuthMode::AppId), Some(AuthMode::UserKey)) => {
            Err(NoSample::OtherMode(implied.unwrap_or(AuthMode::UserKey)))
        }
        _ => Ok(requested.or(implied).unwrap_or(AuthMode::UserKey)),
    }
}

/// SplitMix64
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

    /// 32 hexadecimal digits.
    fn key(&self, n: u64) -> String {
        format!("{:016x}{:016x}", self.nth(2 * n), self.nth(2 * n + 1))
    }
}

/// The values that all objects of a document share.
struct Facts {
    account: u64,
    user: u64,
    application: u64,
    service: u64,
    account_plan: u64,
    application_plan: u64,
    created_at: String,
    updated_at: String,
    /// Empty if there was no traffic.
    first_traffic_at: String,
    user_key: String,
    provider_key: String,
    application_id: String,
    keys: Draw,
}

impl Facts {
    fn of(cx: &SampleContext, action: &str) -> Facts {
        let draw = Draw(cx.seed);
        // A new object has never been updated or used.
        let fresh = action == "created";
        let age = if fresh {
            0
        } else {
            DAY_S + draw.nth(20) % (300 * DAY_S)
        };
        let earlier =
            |by_s| rfc3339_seconds(UnixMs(cx.now.0 - duration_ms(Duration::from_secs(by_s))));
        Facts {
            account: draw.id(1),
            user: draw.id(2),
            application: draw.id(3),
            service: draw.id(4),
            account_plan: draw.id(5),
            application_plan: draw.id(6),
            created_at: earlier(age),
            updated_at: rfc3339_seconds(cx.now),
            first_traffic_at: if fresh {
                String::new()
            } else {
                earlier(age / 2)
            },
            user_key: draw.key(30),
            provider_key: draw.key(31),
            application_id: draw.key(32)[..8].to_owned(),
            keys: draw,
        }
    }
}

/// Writes one element a line.
struct Xml {
    text: String,
    depth: usize,
}

impl Xml {
    fn account(&mut self, facts: &Facts, state: &str, user_state: &str, whole: bool) {
        self.open("account", "");
        self.times(facts, facts.account);
        self.field("state", state);
        if whole {
            self.field("org_name", "Acme Logistics");
            self.empty("extra_fields");
            self.field("monthly_billing_enabled", "true");
            self.field("monthly_charging_enabled", "true");
            self.field("credit_card_stored", "false");
            self.open("plans", "");
            self.plan(facts.account_plan, "Default", "account_plan", None);
            self.close("plans");
            self.open("users", "");
            self.user(facts, user_state, true);
            self.close("users");
        }
        self.close("account");
    }

    fn user(&mut self, facts: &Facts, state: &str, whole: bool) {
        self.open("user", "");
        self.times(facts, facts.user);
        self.field("account_id", &facts.account.to_string());
        self.field("state", state);
        self.field("role", "admin");
        if whole {
            self.field("username", "jane.doe");
            self.field("email", "jane.doe@acme.example");
            self.field("first_name", "Jane");
            self.field("last_name", "Doe");
            self.empty("extra_fields");
        }
        self.close("user");
    }

    fn application(&mut self, facts: &Facts, state: &str, mode: AuthMode, action: &str) {
        let whole = action != "deleted";
        self.open("application", "");
        self.times(facts, facts.application);
        self.field("state", state);
        self.field("user_account_id", &facts.account.to_string());
        self.field("first_traffic_at", &facts.first_traffic_at);
        self.field("first_daily_traffic_at", &facts.first_traffic_at);
        self.field("service_id", &facts.service.to_string());
        if mode == AuthMode::UserKey {
            self.field("user_key", &facts.user_key);
            self.field("provider_verification_key", &facts.provider_key);
        } else {
            self.field("application_id", &facts.application_id);
            if mode == AuthMode::Oauth {
                self.field("redirect_url", "https://app.acme.example/callback");
            }
            if whole {
                self.open("keys", "");
                for nth in 0..if action == "key_created" { 2 } else { 1 } {
                    self.field("key", &facts.keys.key(40 + nth));
                }
                self.close("keys");
            }
        }
        self.plan(
            facts.application_plan,
            "Basic",
            "application_plan",
            Some(facts.service),
        );
        if whole {
            self.field("name", "Parcel tracker");
            self.field("description", "Shows customers where their parcels are");
            self.empty("extra_fields");
        }
        self.close("application");
    }

    /// Application plans have a service and the attribute `custom`.
    fn plan(&mut self, id: u64, name: &str, kind: &str, service: Option<u64>) {
        let custom = if service.is_some() {
            " custom=\"false\""
        } else {
            ""
        };
        self.open("plan", &format!("{custom} default=\"true\""));
        self.field("id", &id.to_string());
        self.field("name", name);
        self.field("type", kind);
        self.field("state", "published");
        self.field("approval_required", "false");
        self.field("setup_fee", "0.0");
        self.field("cost_per_month", "0.0");
        self.empty("trial_period_days");
        self.field("cancellation_period", "0");
        if let Some(service) = service {
            self.field("service_id", &service.to_string());
        }
        self.close("plan");
    }

    fn times(&mut self, facts: &Facts, id: u64) {
        self.field("id", &id.to_string());
        self.field("created_at", &facts.created_at);
        self.field("updated_at", &facts.updated_at);
    }

    /// An empty value is an empty element.
    fn field(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            return self.empty(name);
        }
        self.line(&["<", name, ">", &escape_text_lossy(value), "</", name, ">"]);
    }

    fn empty(&mut self, name: &str) {
        self.line(&["<", name, "/>"]);
    }

    fn open(&mut self, name: &str, attributes: &str) {
        self.line(&["<", name, attributes, ">"]);
        self.depth += 1;
    }

    fn close(&mut self, name: &str) {
        self.depth -= 1;
        self.line(&["</", name, ">"]);
    }

    /// The event indents the object's first line.
    fn line(&mut self, markup: &[&str]) {
        if !self.text.is_empty() {
            self.text.push('\n');
            (0..LEVELS_ABOVE + self.depth).for_each(|_| self.text.push_str("  "));
        }
        markup.iter().for_each(|piece| self.text.push_str(piece));
    }
}
