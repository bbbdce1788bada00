//! Sample objects for the documented events, so that a first event needs no file.
//!
//! Deliberately no randomness and no clock: the same context gives the same bytes.
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

/// A sample object for a documented event, indented as it will stand in the event; none for any other pair.
///
/// A deleted object has lost what belongs to it. Applications are in API key mode, but for the events about the keys of
/// App ID mode.
pub fn sample(event_type: &str, action: &str, cx: &SampleContext) -> Option<Object> {
    let ids = Ids::of(cx);
    let mut xml = Xml::default();
    match (event_type, action) {
        ("account", "created") => xml.account(cx, &ids, "created", "pending"),
        ("account", "updated" | "plan_changed") => xml.account(cx, &ids, "approved", "active"),
        ("account", "deleted") => xml.deleted_account(cx, &ids),
        ("user", "created") => xml.user(cx, &ids, "pending", Extent::Whole),
        ("user", "updated") => xml.user(cx, &ids, "active", Extent::Whole),
        ("user", "deleted") => xml.user(cx, &ids, "active", Extent::Deleted),
        ("application", "suspended") => xml.application(cx, &ids, "suspended", Mode::ApiKey, Extent::Whole),
        ("application", "created" | "updated" | "plan_changed" | "user_key_updated") => {
            xml.application(cx, &ids, "live", Mode::ApiKey, Extent::Whole);
        }
        ("application", "deleted") => xml.application(cx, &ids, "live", Mode::ApiKey, Extent::Deleted),
        ("application", "key_created") => xml.application(cx, &ids, "live", Mode::AppId { keys: 2 }, Extent::Whole),
        ("application", "key_updated" | "key_deleted") => {
            xml.application(cx, &ids, "live", Mode::AppId { keys: 1 }, Extent::Whole);
        }
        _ => return None,
    }
    Some(Object::from_text(&xml.text).expect("fixed tags, closed in order, around escaped text"))
}

/// How much of an object is left.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    Whole,
    Deleted,
}

/// How an application authenticates.
#[derive(Clone, Copy)]
enum Mode {
    ApiKey,
    AppId { keys: u64 },
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
        self.user(cx, ids, user_state, Extent::Whole);
        self.close("users");
        self.close("account");
    }

    fn deleted_account(&mut self, cx: &SampleContext, ids: &Ids) {
        self.open("account", "");
        self.times(cx, ids.account);
        self.field("state", "approved");
        self.close("account");
    }

    fn user(&mut self, cx: &SampleContext, ids: &Ids, state: &str, extent: Extent) {
        self.open("user", "");
        self.times(cx, ids.user);
        self.field("account_id", &ids.account.to_string());
        self.field("state", state);
        self.field("role", "admin");
        if extent == Extent::Whole {
            self.field("username", "jane.doe");
            self.field("email", "jane.doe@acme.example");
            self.field("first_name", "Jane");
            self.field("last_name", "Doe");
            self.empty("extra_fields");
        }
        self.close("user");
    }

    fn application(&mut self, cx: &SampleContext, ids: &Ids, state: &str, mode: Mode, extent: Extent) {
        self.open("application", "");
        self.times(cx, ids.application);
        self.field("state", state);
        self.field("user_account_id", &ids.account.to_string());
        self.empty("first_traffic_at");
        self.empty("first_daily_traffic_at");
        self.field("service_id", &ids.service.to_string());
        match mode {
            Mode::ApiKey => {
                self.field("user_key", &key_from(ids.application));
                self.field("provider_verification_key", &key_from(ids.service));
            }
            Mode::AppId { keys } => {
                self.field("application_id", &key_from(ids.application)[..8]);
                self.open("keys", "");
                (0..keys).for_each(|nth| self.field("key", &key_from(ids.account_plan.wrapping_add(nth))));
                self.close("keys");
            }
        }
        self.plan(ids.application_plan, "Basic", "application_plan", Some(ids.service));
        if extent == Extent::Whole {
            self.field("name", "Parcel tracker");
            self.field("description", "Shows customers where their parcels are");
            self.empty("extra_fields");
        }
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

    fn fields(event_type: &str, action: &str) -> Vec<String> {
        let object = sample(event_type, action, &context()).unwrap();
        let document = roxmltree::Document::parse(object.as_str()).unwrap();
        let children = document.root_element().children().filter(roxmltree::Node::is_element);
        children.map(|child| child.tag_name().name().to_owned()).collect()
    }

    #[test]
    fn a_deleted_object_has_lost_what_belongs_to_it() {
        assert_eq!(fields("account", "deleted"), ["id", "created_at", "updated_at", "state"]);
        assert_eq!(fields("user", "deleted"), ["id", "created_at", "updated_at", "account_id", "state", "role"]);
        let application = fields("application", "deleted");
        assert_eq!(application.last().map(String::as_str), Some("plan"));
        assert!(application.contains(&"user_key".to_owned()));
    }

    #[test]
    fn key_events_are_about_applications_with_keys() {
        for (action, keys) in [("key_created", 2), ("key_updated", 1), ("key_deleted", 1)] {
            let names = fields("application", action);
            let mode: Vec<&str> = names.iter().map(String::as_str).skip(8).take(3).collect();
            assert_eq!(mode, ["application_id", "keys", "plan"], "{action}");
            let object = sample("application", action, &context()).unwrap();
            assert_eq!(object.as_str().matches("<key>").count(), keys, "{action}");
        }
    }

    #[test]
    fn every_documented_event_has_a_sample_of_its_type_and_no_other_has() {
        let sampled = catalogue::EVENTS.iter().map(|(event_type, action)| {
            (event_type, action, sample(event_type, action, &context()).expect("a sample"))
        });
        for (event_type, action, object) in sampled {
            assert_eq!(object.root_name(), *event_type);
            assert!(Event::build(event_type, action, &object).is_ok());
        }
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
