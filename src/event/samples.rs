//! Sample objects for the documented events, so that a first event needs no file.
//!
//! Deliberately no randomness and no clock: the same context gives the same bytes. Samples exist
//! where the object is sent in full; the shorter forms of `deleted` and of the key events are not
//! here yet.
//!
//! Invariant: fields stand in the order in which 3scale sends them, and ids agree with each other
//! over all samples of one context: the user's and the application's account is the account of the
//! account's sample.

use super::chars::escape_text_lossy;
use super::object::Object;

/// `<event>` and `<object>`, in which the sample will stand.
const LEVELS_ABOVE: usize = 2;

/// What samples are made from.
#[derive(Debug, Clone)]
pub struct SampleContext {
    /// The objects' times, as they shall be written: `2026-11-20T10:00:00Z`.
    pub now: String,
    /// The account's id; the other ids follow from it.
    pub id: u64,
}

/// A sample object for a documented event whose object is sent in full, indented as it will stand
/// in the event.
///
/// Applications are in API key mode. `None` for any other pair.
pub fn sample(event_type: &str, action: &str, cx: &SampleContext) -> Option<Object> {
    let ids = Ids::of(cx);
    let mut xml = Xml::default();
    match (event_type, action) {
        ("account", "created") => xml.account(cx, &ids, "created", "pending"),
        ("account", "updated" | "plan_changed") => xml.account(cx, &ids, "approved", "active"),
        ("user", "created") => xml.user(cx, &ids, "pending"),
        ("user", "updated") => xml.user(cx, &ids, "active"),
        ("application", "suspended") => xml.application(cx, &ids, "suspended"),
        ("application", "created" | "updated" | "plan_changed" | "user_key_updated") => {
            xml.application(cx, &ids, "live");
        }
        _ => return None,
    }
    Some(Object::from_text(&xml.text).expect("fixed tags, closed in order, around escaped text"))
}

/// The ids of one context, all different, so that a receiver that mixes them up is found out.
struct Ids {
    account: u64,
    user: u64,
    application: u64,
    service: u64,
    account_plan: u64,
    application_plan: u64,
}

impl Ids {
    fn of(cx: &SampleContext) -> Ids {
        // Wrapping: a sample is wanted for the last id too.
        let nth = |n| cx.id.wrapping_add(n);
        Ids {
            account: cx.id,
            user: nth(1),
            application: nth(2),
            service: nth(3),
            account_plan: nth(4),
            application_plan: nth(5),
        }
    }
}

/// 32 hexadecimal digits that look like a key, and are the same every time.
fn key_from(id: u64) -> String {
    // The golden ratio in 128 bits spreads small numbers over all digits.
    const GOLDEN: u128 = 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835;
    format!("{:032x}", u128::from(id).wrapping_add(1).wrapping_mul(GOLDEN))
}

/// Writes elements, one to a line.
#[derive(Default)]
struct Xml {
    text: String,
    depth: usize,
}

impl Xml {
    fn account(&mut self, cx: &SampleContext, ids: &Ids, state: &str, user_state: &str) {
        self.open("account", "");
        self.times(cx, ids.account);
        self.field("state", state);
        self.field("org_name", "Acme Logistics");
        self.empty("extra_fields");
        self.field("monthly_billing_enabled", "true");
        self.field("monthly_charging_enabled", "true");
        self.field("credit_card_stored", "false");
        self.open("plans", "");
        self.plan(ids.account_plan, "Default", "account_plan", None);
        self.close("plans");
        self.open("users", "");
        self.user(cx, ids, user_state);
        self.close("users");
        self.close("account");
    }

    fn user(&mut self, cx: &SampleContext, ids: &Ids, state: &str) {
        self.open("user", "");
        self.times(cx, ids.user);
        self.field("account_id", &ids.account.to_string());
        self.field("state", state);
        self.field("role", "admin");
        self.field("username", "jane.doe");
        self.field("email", "jane.doe@acme.example");
        self.field("first_name", "Jane");
        self.field("last_name", "Doe");
        self.empty("extra_fields");
        self.close("user");
    }

    fn application(&mut self, cx: &SampleContext, ids: &Ids, state: &str) {
        self.open("application", "");
        self.times(cx, ids.application);
        self.field("state", state);
        self.field("user_account_id", &ids.account.to_string());
        self.empty("first_traffic_at");
        self.empty("first_daily_traffic_at");
        self.field("service_id", &ids.service.to_string());
        self.field("user_key", &key_from(ids.application));
        self.field("provider_verification_key", &key_from(ids.service));
        self.plan(ids.application_plan, "Basic", "application_plan", Some(ids.service));
        self.field("name", "Parcel tracker");
        self.field("description", "Shows customers where their parcels are");
        self.empty("extra_fields");
        self.close("application");
    }

    /// `service` is for application plans, which also say whether they are custom.
    fn plan(&mut self, id: u64, name: &str, kind: &str, service: Option<u64>) {
        let custom = if service.is_some() { " custom=\"false\"" } else { "" };
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

    /// The three fields that every object begins with.
    fn times(&mut self, cx: &SampleContext, id: u64) {
        self.field("id", &id.to_string());
        self.field("created_at", &cx.now);
        self.field("updated_at", &cx.now);
    }

    fn field(&mut self, name: &str, value: &str) {
        let value = escape_text_lossy(value);
        self.line(&format!("<{name}>{value}</{name}>"));
    }

    fn empty(&mut self, name: &str) {
        self.line(&format!("<{name}/>"));
    }

    fn open(&mut self, name: &str, attributes: &str) {
        self.line(&format!("<{name}{attributes}>"));
        self.depth += 1;
    }

    fn close(&mut self, name: &str) {
        self.depth -= 1;
        self.line(&format!("</{name}>"));
    }

    /// The event indents the first line of an object; the others must do so themselves.
    fn line(&mut self, markup: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
            self.text.push_str(&"  ".repeat(LEVELS_ABOVE + self.depth));
        }
        self.text.push_str(markup);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Event, catalogue};
    use super::*;

    fn context() -> SampleContext {
        SampleContext { now: "2026-11-20T10:00:00Z".to_owned(), id: 6 }
    }

    #[test]
    fn samples_are_documented_events_of_their_type() {
        let sampled: Vec<_> = catalogue::EVENTS
            .iter()
            .filter_map(|(event_type, action)| {
                sample(event_type, action, &context()).map(|object| (event_type, action, object))
            })
            .collect();
        assert_eq!(sampled.len(), 10);
        for (event_type, action, object) in sampled {
            assert_eq!(object.root_name(), *event_type);
            assert!(Event::build(event_type, action, &object).is_ok());
        }
        assert_eq!(sample("account", "deleted", &context()), None);
        assert_eq!(sample("service", "created", &context()), None);
    }

    #[test]
    fn the_event_reads_well() {
        let object = sample("user", "created", &context()).unwrap();
        let event = Event::build("user", "created", &object).unwrap();
        let expected = r#"<?xml version="1.0" encoding="UTF-8"?>
<event>
  <type>user</type>
  <action>created</action>
  <object>
    <user>
      <id>7</id>
      <created_at>2026-11-20T10:00:00Z</created_at>
      <updated_at>2026-11-20T10:00:00Z</updated_at>
      <account_id>6</account_id>
      <state>pending</state>
      <role>admin</role>
      <username>jane.doe</username>
      <email>jane.doe@acme.example</email>
      <first_name>Jane</first_name>
      <last_name>Doe</last_name>
      <extra_fields/>
    </user>
  </object>
</event>
"#;
        assert_eq!(str::from_utf8(event.bytes()).unwrap(), expected);
    }

    #[test]
    fn every_sample_is_already_pretty() {
        for (event_type, action) in catalogue::EVENTS {
            if let Some(object) = sample(event_type, action, &context()) {
                let event = Event::build(event_type, action, &object).unwrap().bytes().to_vec();
                assert_eq!(super::super::pretty(&event).unwrap() + "\n", String::from_utf8(event).unwrap());
            }
        }
    }

    #[test]
    fn ids_agree_over_samples() {
        let text = |event_type, path: &str| {
            let object = sample(event_type, "updated", &context()).unwrap();
            let tree = roxmltree::Document::parse(object.as_str()).unwrap();
            let mut node = tree.root_element();
            for step in path.split('/') {
                node = node.children().find(|child| child.has_tag_name(step)).unwrap();
            }
            node.text().unwrap().to_owned()
        };
        let account = text("account", "id");
        assert_eq!(account, "6");
        assert_eq!(text("account", "users/user/account_id"), account);
        assert_eq!(text("user", "account_id"), account);
        assert_eq!(text("application", "user_account_id"), account);
        assert_eq!(text("account", "users/user/id"), text("user", "id"));
        assert_eq!(text("application", "plan/service_id"), text("application", "service_id"));
        assert_eq!(text("application", "user_key").len(), 32);
    }

    #[test]
    fn any_context_gives_a_well_formed_sample() {
        let odd = SampleContext { now: "<now>\0&".to_owned(), id: u64::MAX };
        assert!(sample("application", "created", &odd).is_some());
    }
}
