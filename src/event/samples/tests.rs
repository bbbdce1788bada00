//! The samples, read by a parser that is not ours: the fields of each kind of object, in 3scale's order.

use std::collections::HashSet;

use super::super::{ElementOrder, Event};
use super::*;

fn context(mode: Option<AuthMode>) -> SampleContext {
    SampleContext {
        now: UnixMs(1_795_255_200_123),
        seed: 6,
        mode,
        order: ElementOrder::Documented,
    }
}

const PLAN: &str = "id name type state approval_required setup_fee cost_per_month trial_period_days cancellation_period";
const ACCOUNT: &str = "id created_at updated_at state org_name extra_fields monthly_billing_enabled \
                       monthly_charging_enabled credit_card_stored plans users";
const USER: &str = "id created_at updated_at account_id state role username email first_name last_name extra_fields";
const APPLICATION: &str = "id created_at updated_at state user_account_id first_traffic_at first_daily_traffic_at service_id";

/// The fields of the object of an event, and what its state is.
fn expected(event_type: &str, action: &str, mode: Option<AuthMode>) -> (String, &'static str) {
    let deleted = action == "deleted";
    let keyed = action.starts_with("key_");
    let mode = mode.unwrap_or(if keyed {
        AuthMode::AppId
    } else {
        AuthMode::UserKey
    });
    match (event_type, deleted) {
        ("account", true) => ("id created_at updated_at state".to_owned(), "approved"),
        ("account", false) => (
            ACCOUNT.to_owned(),
            if action == "created" {
                "created"
            } else {
                "approved"
            },
        ),
        ("user", true) => (
            "id created_at updated_at account_id state role".to_owned(),
            "active",
        ),
        ("user", false) => (
            USER.to_owned(),
            if action == "created" {
                "pending"
            } else {
                "active"
            },
        ),
        _ => {
            let keys = if deleted { "" } else { " keys" };
            let by_mode = match mode {
                AuthMode::UserKey => "user_key provider_verification_key".to_owned(),
                AuthMode::AppId => format!("application_id{keys}"),
                AuthMode::Oauth => format!("application_id redirect_url{keys}"),
                AuthMode::Oidc => format!("application_id redirect_url{keys} oidc_configuration"),
            };
            let rest = if deleted {
                "plan"
            } else {
                "plan name description extra_fields"
            };
            let state = if action == "suspended" {
                "suspended"
            } else {
                "live"
            };
            (format!("{APPLICATION} {by_mode} {rest}"), state)
        }
    }
}

fn names(node: roxmltree::Node<'_, '_>) -> String {
    let children = node.children().filter(roxmltree::Node::is_element);
    children
        .map(|child| child.tag_name().name().to_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

fn child<'a, 'b>(node: roxmltree::Node<'a, 'b>, path: &str) -> roxmltree::Node<'a, 'b> {
    path.split('/').fold(node, |node, step| {
        let found = node.children().find(|child| child.has_tag_name(step));
        found.unwrap_or_else(|| panic!("no {step} of {path} in {}", node.tag_name().name()))
    })
}

fn text<'a>(node: roxmltree::Node<'a, '_>, path: &str) -> &'a str {
    child(node, path).text().unwrap_or_default()
}

fn built(event_type: &str, action: &str, cx: &SampleContext) -> String {
    let object = sample(event_type, action, cx).unwrap();
    let event = Event::build(event_type, action, &object, ElementOrder::Documented).unwrap();
    String::from_utf8(event.bytes().to_vec()).unwrap()
}

/// Every documented event, with every mode that goes with it.
fn each(mut visit: impl FnMut(&str, &str, Option<AuthMode>)) {
    for (event_type, action) in catalogue::EVENTS {
        for mode in [None].into_iter().chain(AuthMode::ALL.map(Some)) {
            if sample(event_type, action, &context(mode)).is_ok() {
                visit(event_type, action, mode);
            }
        }
    }
}

#[test]
fn every_documented_event_has_its_fields_in_their_order() {
    let mut seen = 0;
    each(|event_type, action, mode| {
        let document = built(event_type, action, &context(mode));
        let tree = roxmltree::Document::parse(&document).unwrap();
        let event = tree.root_element();
        assert_eq!(
            (event.tag_name().name(), names(event).as_str()),
            ("event", "type action object")
        );
        assert_eq!(
            (text(event, "type"), text(event, "action")),
            (event_type, action)
        );
        assert_eq!(names(child(event, "object")), event_type);
        let object = child(event, &format!("object/{event_type}"));
        let (fields, state) = expected(event_type, action, mode);
        assert_eq!(
            (names(object), text(object, "state")),
            (fields, state),
            "{event_type} {action} {mode:?}"
        );
        seen += 1;
    });
    assert_eq!(
        seen,
        16 + 5 * 4 + 1 + 3 * 3 + 1,
        "each event, and of those of applications each mode that goes with it"
    );
}

#[test]
fn plans_and_users_within_an_object_are_whole_and_of_it() {
    let document = built("account", "updated", &context(None));
    let tree = roxmltree::Document::parse(&document).unwrap();
    let account = child(tree.root_element(), "object/account");
    assert_eq!(
        (
            names(child(account, "plans/plan")),
            names(child(account, "users/user"))
        ),
        (PLAN.into(), USER.into())
    );
    assert_eq!(text(account, "users/user/account_id"), text(account, "id"));
    let plan = child(account, "plans/plan");
    assert_eq!(
        (plan.attribute("default"), plan.attribute("custom")),
        (Some("true"), None)
    );
    assert_eq!(text(plan, "type"), "account_plan");

    let document = built("application", "plan_changed", &context(None));
    let tree = roxmltree::Document::parse(&document).unwrap();
    let application = child(tree.root_element(), "object/application");
    let plan = child(application, "plan");
    assert_eq!(
        (plan.attribute("default"), plan.attribute("custom")),
        (Some("true"), Some("false"))
    );
    assert_eq!(
        (names(plan), text(plan, "type")),
        (format!("{PLAN} service_id"), "application_plan")
    );
    assert_eq!(text(plan, "service_id"), text(application, "service_id"));
    assert_eq!(
        (text(plan, "setup_fee"), text(plan, "trial_period_days")),
        ("0.0", "")
    );
}

#[test]
fn times_are_3scales_and_follow_each_other() {
    each(|event_type, action, mode| {
        let document = built(event_type, action, &context(mode));
        let tree = roxmltree::Document::parse(&document).unwrap();
        let object = child(tree.root_element(), &format!("object/{event_type}"));
        let (created, updated) = (text(object, "created_at"), text(object, "updated_at"));
        assert_eq!(updated, "2026-11-21T10:00:00Z");
        assert_eq!(
            created == updated,
            action == "created",
            "{event_type} {action}"
        );
        if event_type == "application" {
            let traffic = text(object, "first_traffic_at");
            assert_eq!(traffic.is_empty(), action == "created");
            assert!(
                traffic.is_empty() || created < traffic && traffic < updated,
                "{created} {traffic} {updated}"
            );
        }
    });
}

#[test]
fn a_seed_gives_the_same_bytes_and_another_gives_another_object() {
    each(|event_type, action, mode| {
        let of = |seed| {
            built(
                event_type,
                action,
                &SampleContext::seeded(seed, mode, ElementOrder::Documented),
            )
        };
        assert_eq!(of(7), of(7));
        let field = |document: &str, name| {
            let tree = roxmltree::Document::parse(document).unwrap();
            text(
                child(tree.root_element(), &format!("object/{event_type}")),
                name,
            )
            .to_owned()
        };
        for name in ["id", "created_at", "updated_at"] {
            assert_ne!(
                field(&of(7), name),
                field(&of(8), name),
                "{event_type} {action}: {name}"
            );
        }
    });
    for seed in [0, 1, u64::MAX] {
        let document = built(
            "account",
            "created",
            &SampleContext::seeded(seed, None, ElementOrder::Documented),
        );
        assert!(document.contains("<created_at>2026-"), "{document}");
    }
}

#[test]
fn no_two_things_of_a_document_have_one_id() {
    for seed in 0..200 {
        for (event_type, things) in [("account", 3), ("application", 4)] {
            let document = built(
                event_type,
                "updated",
                &SampleContext::seeded(seed, None, ElementOrder::Documented),
            );
            let tree = roxmltree::Document::parse(&document).unwrap();
            let ids: HashSet<&str> = tree
                .descendants()
                .filter(|node| {
                    ["id", "user_account_id", "service_id"].contains(&node.tag_name().name())
                })
                .filter_map(|node| node.text())
                .collect();
            assert_eq!(ids.len(), things, "{document}");
        }
    }
}

#[test]
fn keys_come_and_go_with_their_events_and_all_differ() {
    for (action, number) in [("key_created", 2), ("key_updated", 1), ("key_deleted", 1)] {
        let document = built("application", action, &context(None));
        let tree = roxmltree::Document::parse(&document).unwrap();
        let keys: HashSet<&str> = tree
            .descendants()
            .filter(|node| node.has_tag_name("key"))
            .filter_map(|node| node.text())
            .collect();
        assert_eq!(keys.len(), number, "{action}");
        assert!(keys.iter().all(|key| key.len() == 32), "{keys:?}");
    }
}

#[test]
fn what_does_not_go_together_has_no_sample() {
    let refused =
        |event_type, action, mode| sample(event_type, action, &context(mode)).unwrap_err();
    assert_eq!(refused("service", "created", None), NoSample::Unknown);
    assert_eq!(
        refused("user", "suspended", Some(AuthMode::AppId)),
        NoSample::Unknown
    );
    assert_eq!(
        refused("account", "created", Some(AuthMode::AppId)),
        NoSample::NoModes
    );
    let keys = refused("application", "key_deleted", Some(AuthMode::UserKey));
    assert_eq!(keys, NoSample::OtherMode(AuthMode::AppId));
    let user_key = refused("application", "user_key_updated", Some(AuthMode::Oauth));
    assert_eq!(user_key, NoSample::OtherMode(AuthMode::UserKey));
}

#[test]
fn every_sample_is_already_pretty() {
    each(|event_type, action, mode| {
        let document = built(event_type, action, &context(mode));
        assert_eq!(
            super::super::pretty(document.as_bytes()).unwrap() + "\n",
            document
        );
    });
}

#[test]
fn running_systems_samples_are_on_one_line() {
    each(|event_type, action, mode| {
        let cx = SampleContext {
            order: ElementOrder::Porta,
            ..context(mode)
        };
        let object = sample(event_type, action, &cx).unwrap();
        let event = Event::build(event_type, action, &object, cx.order).unwrap();
        let document = str::from_utf8(event.bytes()).unwrap();
        let tree = roxmltree::Document::parse(document).unwrap();
        let text = tree.descendants().filter(|node| node.is_text());
        assert!(
            text.clone()
                .all(|node| !node.text().unwrap().trim().is_empty()),
            "{document}"
        );
        assert!(!document.contains('\n'), "{document}");
        assert_eq!(
            document.contains("<annotations/>"),
            event_type == "account",
            "{document}"
        );
    });
}

#[test]
fn key_updated_occurs_in_every_mode() {
    let is_sampled = |action, mode| sample("application", action, &context(Some(mode))).is_ok();
    for mode in AuthMode::ALL {
        assert!(is_sampled("key_updated", mode), "{mode:?}");
        let has_keys = mode != AuthMode::UserKey;
        assert_eq!(is_sampled("key_created", mode), has_keys, "{mode:?}");
        assert_eq!(is_sampled("user_key_updated", mode), !has_keys, "{mode:?}");
    }
}
