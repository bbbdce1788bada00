//! The documented events: three types, sixteen pairs of type and action.
//!
//! Deliberately a table and not an enum: any other type or action may be fired as well, with an
//! object of one's own.
//!
//! Invariant: the order is the manual's, type by type; lists and help pages show it as it stands
//! here.

/// The documented types, in the manual's order. An object's root element has the name of its type.
pub const TYPES: &[&str] = &["account", "user", "application"];

/// The documented pairs of type and action, in the manual's order. The switchboard has one switch
/// for each.
pub const EVENTS: &[(&str, &str)] = &[
    ("account", "created"),
    ("account", "updated"),
    ("account", "plan_changed"),
    ("account", "deleted"),
    ("user", "created"),
    ("user", "updated"),
    ("user", "deleted"),
    ("application", "created"),
    ("application", "updated"),
    ("application", "suspended"),
    ("application", "plan_changed"),
    ("application", "user_key_updated"),
    ("application", "deleted"),
    // "Keys" on the admin page, but the type is `application` all the same.
    ("application", "key_created"),
    ("application", "key_updated"),
    ("application", "key_deleted"),
];

/// The documented actions of a type, in the manual's order; none for an unknown type.
pub fn actions_of(event_type: &str) -> impl Iterator<Item = &'static str> {
    EVENTS
        .iter()
        .filter(move |(of, _)| *of == event_type)
        .map(|(_, action)| *action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_has_a_known_type_and_stands_once() {
        assert_eq!(EVENTS.len(), 16);
        for (n, pair) in EVENTS.iter().enumerate() {
            assert!(TYPES.contains(&pair.0), "{pair:?}");
            assert!(!EVENTS[..n].contains(pair), "{pair:?}");
        }
    }
}
