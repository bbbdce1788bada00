//! The same paths in a JSON body: names are keys, an index counts an array's values from 1, and without one any will do.
//!
//! Deliberately no attributes: JSON has none, and nothing is found.

use serde_json::Value;

use crate::event::{Found, Selector, Step};

/// Whether a body is rather JSON than XML.
pub fn looks_like(body: &[u8]) -> bool {
    matches!(body.trim_ascii_start().first(), Some(b'{' | b'['))
}

/// Everything in the body that each selector means.
///
/// # Errors
/// When it is not JSON, in words.
pub fn find(selectors: &[&Selector], body: &[u8]) -> Result<Vec<Vec<Found>>, String> {
    let root: Value = serde_json::from_slice(body).map_err(|e| format!("not JSON: {e}"))?;
    Ok(selectors
        .iter()
        .map(|selector| find_in(&root, selector))
        .collect())
}

fn find_in(root: &Value, selector: &Selector) -> Vec<Found> {
    let mut found = Vec::new();
    match (selector.is_attribute(), selector.is_anywhere()) {
        (true, _) => {}
        (false, true) => anywhere(root, selector.steps(), &mut found),
        (false, false) => follow(root, selector.steps(), &mut found),
    }
    found
}

/// From this value down; serde_json has limited how deep that can be.
fn follow(value: &Value, steps: &[Step], found: &mut Vec<Found>) {
    if let Value::Array(values) = value {
        return values.iter().for_each(|value| follow(value, steps, found));
    }
    let Some((step, rest)) = steps.split_first() else {
        return found.push(match value {
            Value::String(text) => Found::Text(text.clone()),
            Value::Object(_) => Found::Elements,
            other => Found::Text(other.to_string()),
        });
    };
    match (value.get(&step.name), step.index) {
        (Some(Value::Array(values)), Some(index)) => {
            if let Some(value) = values.get(index - 1) {
                follow(value, rest, found);
            }
        }
        (Some(value), None | Some(1)) => follow(value, rest, found),
        _ => {}
    }
}

fn anywhere(value: &Value, steps: &[Step], found: &mut Vec<Found>) {
    match value {
        Value::Object(members) => {
            follow(value, steps, found);
            members
                .values()
                .for_each(|member| anywhere(member, steps, found));
        }
        Value::Array(values) => values
            .iter()
            .for_each(|value| anywhere(value, steps, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, body: &str) -> Vec<String> {
        let found = find(&[&Selector::parse(path).unwrap()], body.as_bytes())
            .unwrap()
            .remove(0);
        let text = |found| match found {
            Found::Text(text) => text,
            Found::Elements => "(object)".to_owned(),
        };
        found.into_iter().map(text).collect()
    }

    #[test]
    fn keys_lead_down_and_arrays_are_counted_from_one() {
        let body = r#"{"data":{"id":5,"ok":true,"none":null,"users":[{"email":"a"},{"email":"b"}],"tags":["x","y"]}}"#;
        assert_eq!(found("data/id", body), ["5"]);
        assert_eq!(found("data/ok", body), ["true"]);
        assert_eq!(found("data/none", body), ["null"]);
        assert_eq!(found("data/users/email", body), ["a", "b"]);
        assert_eq!(found("data/users[2]/email", body), ["b"]);
        assert_eq!(found("data/tags", body), ["x", "y"]);
        assert_eq!(found("data/tags[2]", body), ["y"]);
        assert_eq!(found("data/id[1]", body), ["5"]);
        assert_eq!(found("data", body), ["(object)"]);
        assert_eq!(found("//email", body), ["a", "b"]);
        for nothing in [
            "id",
            "data/users[3]/email",
            "data/id[2]",
            "data/id/x",
            "data/@id",
            "email",
        ] {
            assert_eq!(found(nothing, body), [] as [&str; 0], "{nothing}");
        }
        assert_eq!(found("id", r#"[{"id":1},{"id":2}]"#), ["1", "2"]);
    }

    #[test]
    fn what_is_not_json_is_said() {
        assert!(looks_like(b" \n[1]") && !looks_like(b"<a/>") && !looks_like(b""));
        assert!(
            find(&[&Selector::parse("a").unwrap()], b"{\"a\":")
                .unwrap_err()
                .starts_with("not JSON: ")
        );
        let deep = "[".repeat(100_000);
        assert!(find(&[&Selector::parse("a").unwrap()], deep.as_bytes()).is_err());
    }
}
