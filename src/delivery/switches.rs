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
    /// The switches that can keep an event from being sent, in the order of the checks. The names are the
    /// keys of the configuration file.
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

impl WebhookSwitches {
    /// Returns the pattern that includes the event, or none if `events` is not set; as an error, the first switch that keeps
    /// the event from being sent.
    pub fn decide(
        &self,
        event_type: &str,
        action: &str,
        source: EventSource,
    ) -> Result<Option<&EventPattern>, Switch> {
        if !self.active {
            return Err(Switch::Active);
        }
        if source == EventSource::AdminPortal && !self.provider_actions {
            return Err(Switch::ProviderActions);
        }
        let Some(patterns) = &self.events else {
            return Ok(None);
        };
        let pattern = patterns
            .iter()
            .find(|pattern| pattern.matches(event_type, action));
        pattern.map(Some).ok_or(Switch::Events)
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
        let default = WebhookSwitches::default();
        let all = switches(true, true, None);
        let inactive = switches(false, false, Some(&["account.*"]));
        let own = switches(true, false, Some(&["application.created", "account.*"]));
        let events = switches(true, true, Some(&["application.created"]));
        let none = switches(true, false, Some(&[]));
        let (developer, admin) = (EventSource::DeveloperPortal, EventSource::AdminPortal);
        for (switches, event, source, expected) in [
            (&default, "user.created", developer, Ok(None)),
            (&default, "order.paid", developer, Ok(None)),
            (
                &default,
                "user.created",
                admin,
                Err(Switch::ProviderActions),
            ),
            (&all, "user.created", admin, Ok(None)),
            (&inactive, "user.created", developer, Err(Switch::Active)),
            (&inactive, "user.created", admin, Err(Switch::Active)),
            (&own, "user.created", admin, Err(Switch::ProviderActions)),
            (&events, "user.created", admin, Err(Switch::Events)),
            (
                &own,
                "application.created",
                developer,
                Ok(Some("application.created")),
            ),
            (&own, "application.updated", developer, Err(Switch::Events)),
            (&own, "account.deleted", developer, Ok(Some("account.*"))),
            (&own, "account.merged", developer, Ok(Some("account.*"))),
            (&own, "accounts.created", developer, Err(Switch::Events)),
            (&none, "account.created", developer, Err(Switch::Events)),
        ] {
            let (event_type, action) = event.split_once('.').unwrap();
            let decision = switches.decide(event_type, action, source);
            let decision = decision.map(|pattern| pattern.map(EventPattern::as_str));
            assert_eq!(decision, expected, "{switches:?} {event} {source:?}");
        }
    }

    #[test]
    fn unknown_events_get_a_suggestion() {
        const HINT: &str = "write `TYPE.ACTION` or `TYPE.*`; `hookfire events list` shows them";
        for (name, hint) in [
            ("aplication.created", "did you mean `application.created`?"),
            ("account.creatd", "did you mean `account.created`?"),
            ("accounts.*", "did you mean `account.*`?"),
            ("Account.Created", "did you mean `account.created`?"),
            ("order.paid", HINT),
            ("*", HINT),
        ] {
            let error = name.parse::<EventPattern>().unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("`{name}` is not an event that 3scale documents; {hint}")
            );
        }
    }
}
