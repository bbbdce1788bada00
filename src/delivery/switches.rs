//! An endpoint's webhook switches: which events 3scale would send, and which it would ignore.
//!
//! `events` can only list documented events: an undocumented event can be sent only if `events` is not set.

use std::str::FromStr;

use crate::event::catalogue::{EVENTS, TYPES};
use crate::text::{self, named_enum};

named_enum! {
    /// Where the change that caused the event was made.
    #[derive(Default)]
    pub enum EventSource {
        #[default]
        DeveloperPortal = "developer-portal",
        AdminPortal = "admin-portal",
    }
}

named_enum! {
    /// The switches that can keep an event from being sent, in the order of the checks. The names are the keys of the
    /// configuration file.
    pub enum Switch {
        Active = "active",
        /// Events caused in the admin portal are not sent.
        ProviderActions = "provider_actions",
        /// `events` does not include the event.
        Events = "events",
    }
}

impl Switch {
    /// Why the event is not sent, for example `active is false`. `name` is the switch's name in the message.
    pub fn describe(self, name: &str, event_type: &str, action: &str) -> String {
        match self {
            Switch::Active => format!("{name} is false"),
            Switch::ProviderActions => {
                format!("{name} is false, and the change was made in the admin portal")
            }
            Switch::Events => format!("{name} does not include `{event_type}.{action}`"),
        }
    }
}

/// An event or all events of a type, as listed in an endpoint's `events`: `application.created`, `account.*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPattern(String);

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{name}` is not an event that 3scale documents; {hint}")]
pub struct UnknownEvent {
    name: String,
    hint: String,
}

impl FromStr for EventPattern {
    type Err = UnknownEvent;

    fn from_str(name: &str) -> Result<EventPattern, UnknownEvent> {
        let of_types = TYPES.iter().map(|event_type| (*event_type, "*"));
        let known: Vec<String> = of_types
            .chain(EVENTS.iter().copied())
            .map(|(event_type, action)| format!("{event_type}.{action}"))
            .collect();
        let known = || known.iter().map(String::as_str);
        if known().any(|known| known == name) {
            return Ok(EventPattern(name.to_owned()));
        }
        let hint = match text::nearest(&name.to_lowercase(), known()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "write `TYPE.ACTION` or `TYPE.*`; `hookfire events list` shows them".to_owned(),
        };
        Err(UnknownEvent {
            name: name.to_owned(),
            hint,
        })
    }
}

impl EventPattern {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn matches(&self, event_type: &str, action: &str) -> bool {
        self.0
            .split_once('.')
            .is_some_and(|(own_type, own_action)| {
                own_type == event_type && (own_action == "*" || own_action == action)
            })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSwitches {
    /// If false, no event is sent.
    pub active: bool,
    /// Whether events caused in the admin portal are sent, besides those of the developer portal.
    pub provider_actions: bool,
    /// The events that are sent; none for all.
    pub events: Option<Vec<EventPattern>>,
}

impl Default for WebhookSwitches {
    fn default() -> WebhookSwitches {
        WebhookSwitches {
            active: true,
            provider_actions: false,
            events: None,
        }
    }
}

/// Why an event is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fired<'a> {
    All,
    Picked(&'a EventPattern),
}

impl WebhookSwitches {
    /// Returns why an event is sent; as an error, the first switch that keeps it from being sent.
    pub fn decide(
        &self,
        event_type: &str,
        action: &str,
        source: EventSource,
    ) -> Result<Fired<'_>, Switch> {
        if !self.active {
            return Err(Switch::Active);
        }
        if source == EventSource::AdminPortal && !self.provider_actions {
            return Err(Switch::ProviderActions);
        }
        match &self.events {
            None => Ok(Fired::All),
            Some(patterns) => patterns
                .iter()
                .find(|pattern| pattern.matches(event_type, action))
                .map(Fired::Picked)
                .ok_or(Switch::Events),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn switches(active: bool, provider_actions: bool, events: Option<&[&str]>) -> WebhookSwitches {
        let events = events.map(|names| names.iter().map(|name| name.parse().unwrap()).collect());
        WebhookSwitches {
            active,
            provider_actions,
            events,
        }
    }

    #[test]
    fn first_switch_that_is_off_counts() {
        use EventSource::{AdminPortal, DeveloperPortal};
        let picked = ["application.created", "account.*"];
        let some = Some(&picked[..]);
        for (switches, event, source, expected) in [
            (
                WebhookSwitches::default(),
                ("user", "created"),
                DeveloperPortal,
                None,
            ),
            (
                WebhookSwitches::default(),
                ("order", "paid"),
                DeveloperPortal,
                None,
            ),
            (
                WebhookSwitches::default(),
                ("user", "created"),
                AdminPortal,
                Some(Switch::ProviderActions),
            ),
            (
                switches(true, true, None),
                ("user", "created"),
                AdminPortal,
                None,
            ),
            (
                switches(false, true, None),
                ("user", "created"),
                DeveloperPortal,
                Some(Switch::Active),
            ),
            (
                switches(false, false, some),
                ("user", "created"),
                AdminPortal,
                Some(Switch::Active),
            ),
            (
                switches(true, false, some),
                ("user", "created"),
                AdminPortal,
                Some(Switch::ProviderActions),
            ),
            (
                switches(true, true, some),
                ("user", "created"),
                AdminPortal,
                Some(Switch::Events),
            ),
            (
                switches(true, false, some),
                ("application", "created"),
                DeveloperPortal,
                None,
            ),
            (
                switches(true, false, some),
                ("application", "updated"),
                DeveloperPortal,
                Some(Switch::Events),
            ),
            (
                switches(true, false, some),
                ("account", "deleted"),
                DeveloperPortal,
                None,
            ),
            (
                switches(true, false, some),
                ("account", "merged"),
                DeveloperPortal,
                None,
            ),
            (
                switches(true, false, some),
                ("accounts", "created"),
                DeveloperPortal,
                Some(Switch::Events),
            ),
            (
                switches(true, false, Some(&[])),
                ("account", "created"),
                DeveloperPortal,
                Some(Switch::Events),
            ),
        ] {
            assert_eq!(
                switches.decide(event.0, event.1, source).err(),
                expected,
                "{switches:?} {event:?} {source:?}"
            );
        }
    }

    #[test]
    fn reason_for_sending_is_a_pattern_or_all() {
        let switches = switches(true, false, Some(&["application.created", "account.*"]));
        let fired = switches.decide("account", "updated", EventSource::default());
        assert!(matches!(fired, Ok(Fired::Picked(pick)) if pick.as_str() == "account.*"));
        assert_eq!(
            WebhookSwitches::default().decide("a", "b", EventSource::default()),
            Ok(Fired::All)
        );
    }

    #[test]
    fn unknown_events_get_a_suggestion() {
        for (name, hint) in [
            ("aplication.created", "did you mean `application.created`?"),
            ("account.creatd", "did you mean `account.created`?"),
            ("accounts.*", "did you mean `account.*`?"),
            ("Account.Created", "did you mean `account.created`?"),
            (
                "order.paid",
                "write `TYPE.ACTION` or `TYPE.*`; `hookfire events list` shows them",
            ),
            (
                "*",
                "write `TYPE.ACTION` or `TYPE.*`; `hookfire events list` shows them",
            ),
        ] {
            let error = name.parse::<EventPattern>().unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("`{name}` is not an event that 3scale documents; {hint}")
            );
        }
    }
}
