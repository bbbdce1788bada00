//! The switchboard of an endpoint: which events 3scale would fire at it, and which it would ignore.
//!
//! Pure: what is decided here is carried out, or overruled, elsewhere. An event of another type or action than the
//! documented ones has no switch of its own, and is fired where every event is.

use std::str::FromStr;

use crate::event::catalogue::{EVENTS, TYPES};
use crate::text;

/// Where what happened was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EventSource {
    /// By a developer, in the developer portal.
    #[default]
    DeveloperPortal,
    /// By the provider, in the admin portal.
    AdminPortal,
}

impl EventSource {
    /// Both, the default first.
    pub const ALL: [EventSource; 2] = [EventSource::DeveloperPortal, EventSource::AdminPortal];

    /// The word for it on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            EventSource::DeveloperPortal => "developer-portal",
            EventSource::AdminPortal => "admin-portal",
        }
    }
}

/// A switch that said no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// Nothing is fired at all.
    Active,
    /// Nothing is fired of what is done in the admin portal.
    ProviderActions,
    /// This event is not among those that are fired.
    Events,
}

impl Switch {
    /// Every switch, in the order in which they are asked.
    pub const ALL: [Switch; 3] = [Switch::Active, Switch::ProviderActions, Switch::Events];

    /// Its key in the configuration, and the word for it in the journal and in every output.
    pub fn as_str(self) -> &'static str {
        match self {
            Switch::Active => "active",
            Switch::ProviderActions => "provider_actions",
            Switch::Events => "events",
        }
    }

    /// The switch of this name.
    pub fn from_name(name: &str) -> Option<Switch> {
        Switch::ALL
            .into_iter()
            .find(|switch| switch.as_str() == name)
    }

    /// How it stands, where it is called `name`: `` `active` is false ``.
    pub fn in_words(self, name: &str, event_type: &str, action: &str) -> String {
        match self {
            Switch::Active => format!("{name} is false"),
            Switch::ProviderActions => {
                format!("{name} is false, and this was done in the admin portal")
            }
            Switch::Events => format!("{name} does not have `{event_type}.{action}`"),
        }
    }
}

/// Events by name, as `events` of an endpoint lists them: `application.created`, `account.*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPattern(String);

/// A name of no documented event.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{name}` is no event that 3scale documents; {}", .near.as_ref().map_or_else(|| "write `TYPE.ACTION` or `TYPE.*`; `hookfire events list` shows them".to_owned(), |near| format!("did you mean `{near}`?")))]
pub struct UnknownEvent {
    name: String,
    near: Option<String>,
}

impl FromStr for EventPattern {
    type Err = UnknownEvent;

    fn from_str(name: &str) -> Result<EventPattern, UnknownEvent> {
        let single = EVENTS
            .iter()
            .map(|(event_type, action)| format!("{event_type}.{action}"));
        let known: Vec<String> = TYPES
            .iter()
            .map(|event_type| format!("{event_type}.*"))
            .chain(single)
            .collect();
        if known.iter().any(|known| known == name) {
            return Ok(EventPattern(name.to_owned()));
        }
        let near = text::nearest(&name.to_lowercase(), known.iter().map(String::as_str))
            .map(str::to_owned);
        Err(UnknownEvent {
            name: name.to_owned(),
            near,
        })
    }
}

impl EventPattern {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn takes(&self, event_type: &str, action: &str) -> bool {
        self.0
            .split_once('.')
            .is_some_and(|(of, which)| of == event_type && (which == "*" || which == action))
    }
}

/// An endpoint's switches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSwitches {
    /// Whether anything is fired.
    pub active: bool,
    /// Whether what is done in the admin portal is fired, too.
    pub provider_actions: bool,
    /// The events that are fired; none for all.
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

/// Why an event is fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fired<'a> {
    /// All are.
    All,
    /// It is one of those that were picked.
    Picked(&'a EventPattern),
}

impl WebhookSwitches {
    /// Whether an event is fired, and why.
    ///
    /// # Errors
    /// The first switch that says no.
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
            Some(picks) => picks
                .iter()
                .find(|pick| pick.takes(event_type, action))
                .map(Fired::Picked)
                .ok_or(Switch::Events),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board(active: bool, provider_actions: bool, events: Option<&[&str]>) -> WebhookSwitches {
        let events = events.map(|names| names.iter().map(|name| name.parse().unwrap()).collect());
        WebhookSwitches {
            active,
            provider_actions,
            events,
        }
    }

    #[test]
    fn the_switches_are_asked_in_order_and_the_first_no_counts() {
        use EventSource::{AdminPortal, DeveloperPortal};
        let picked = ["application.created", "account.*"];
        let some = Some(&picked[..]);
        for (board, event, source, expected) in [
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
                board(true, true, None),
                ("user", "created"),
                AdminPortal,
                None,
            ),
            (
                board(false, true, None),
                ("user", "created"),
                DeveloperPortal,
                Some(Switch::Active),
            ),
            (
                board(false, false, some),
                ("user", "created"),
                AdminPortal,
                Some(Switch::Active),
            ),
            (
                board(true, false, some),
                ("user", "created"),
                AdminPortal,
                Some(Switch::ProviderActions),
            ),
            (
                board(true, true, some),
                ("user", "created"),
                AdminPortal,
                Some(Switch::Events),
            ),
            (
                board(true, false, some),
                ("application", "created"),
                DeveloperPortal,
                None,
            ),
            (
                board(true, false, some),
                ("application", "updated"),
                DeveloperPortal,
                Some(Switch::Events),
            ),
            (
                board(true, false, some),
                ("account", "deleted"),
                DeveloperPortal,
                None,
            ),
            (
                board(true, false, some),
                ("account", "merged"),
                DeveloperPortal,
                None,
            ),
            (
                board(true, false, some),
                ("accounts", "created"),
                DeveloperPortal,
                Some(Switch::Events),
            ),
            (
                board(true, false, Some(&[])),
                ("account", "created"),
                DeveloperPortal,
                Some(Switch::Events),
            ),
        ] {
            assert_eq!(
                board.decide(event.0, event.1, source).err(),
                expected,
                "{board:?} {event:?} {source:?}"
            );
        }
    }

    #[test]
    fn what_is_fired_is_fired_by_a_name_or_because_all_are() {
        let board = board(true, false, Some(&["application.created", "account.*"]));
        let fired = board.decide("account", "updated", EventSource::default());
        assert!(matches!(fired, Ok(Fired::Picked(pick)) if pick.as_str() == "account.*"));
        assert_eq!(
            WebhookSwitches::default().decide("a", "b", EventSource::default()),
            Ok(Fired::All)
        );
    }

    #[test]
    fn a_name_of_no_event_is_refused_with_what_was_meant() {
        for (name, meant) in [
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
                format!("`{name}` is no event that 3scale documents; {meant}")
            );
        }
    }
}
