//! The events that 3scale documents, in the manual's order. Any other type or action can be fired with an object.

/// An object's root element has the name of its type.
pub const TYPES: &[&str] = &["account", "user", "application"];

/// Pairs of type and action. There is one webhook switch for each.
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
    // "Keys" on the admin page.
    ("application", "key_created"),
    ("application", "key_updated"),
    ("application", "key_deleted"),
];

/// Empty for an unknown type.
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
