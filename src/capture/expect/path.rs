//! Where a value is expected in a body: `object/account/org_name`, `//email`, `items[2]/"first name"`.
//!
//! In XML a path is a [`Selector`]. In JSON its steps are keys, and `[n]` is the n-th item of an array, counted from 1;
//! a step without an index goes through all items, and `[n]` alone is an item of the array itself. A key that contains `/`,
//! `=` or `[` is written in double quotes.

use crate::capture::json::{self, Json};
use crate::event::{Found, Selector};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPath {
    typed: String,
    /// Or why it cannot be a place in XML.
    selector: Result<Selector, String>,
    keys: Option<KeyPath>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct KeyPath {
    /// Whether the path begins with `//`, which means at any depth.
    anywhere: bool,
    steps: Vec<KeyStep>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct KeyStep {
    /// None for an index alone.
    key: Option<String>,
    index: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FoundValue {
    Text(String),
    /// As written.
    Number(String),
    /// An element with child elements, or an object.
    Group,
}

impl FieldPath {
    /// Reads `PATH=VALUE`; none without a `=` outside quotes.
    pub fn split(text: &str) -> Option<(&str, &str)> {
        let mut in_quotes = false;
        let equals = text.find(|c| {
            in_quotes ^= c == '"';
            c == '=' && !in_quotes
        })?;
        Some((&text[..equals], &text[equals + 1..]))
    }

    /// The error is a message.
    pub fn parse(typed: &str) -> Result<FieldPath, String> {
        let selector = Selector::parse(typed);
        let keys = KeyPath::parse(typed);
        match (&selector, &keys) {
            (Err(problem), None) => Err(problem.clone()),
            _ => Ok(FieldPath {
                typed: typed.to_owned(),
                selector,
                keys,
            }),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.typed
    }

    pub(super) fn selector(&self) -> Result<&Selector, &str> {
        self.selector.as_ref().map_err(String::as_str)
    }

    pub(super) fn find_in_json(&self, root: &Json<'_>) -> Vec<FoundValue> {
        let mut found = Vec::new();
        match &self.keys {
            Some(path) if path.anywhere => anywhere(root, &path.steps, &mut found),
            Some(path) => follow(root, &path.steps, &mut found),
            None => {}
        }
        found
    }
}

impl From<Found> for FoundValue {
    fn from(found: Found) -> FoundValue {
        match found {
            Found::Text(text) => FoundValue::Text(text),
            Found::Elements => FoundValue::Group,
        }
    }
}

impl KeyPath {
    fn parse(typed: &str) -> Option<KeyPath> {
        let (anywhere, mut rest) = match typed.strip_prefix("//") {
            Some(rest) => (true, rest),
            None => (false, typed.strip_prefix('/').unwrap_or(typed)),
        };
        let mut steps = Vec::new();
        loop {
            let (step, after) = KeyStep::parse(rest)?;
            steps.push(step);
            match after.strip_prefix('/') {
                Some(next) => rest = next,
                None if after.is_empty() => return Some(KeyPath { anywhere, steps }),
                None => return None,
            }
        }
    }
}

impl KeyStep {
    /// The step that `text` begins with, and what follows it.
    fn parse(text: &str) -> Option<(KeyStep, &str)> {
        let (key, after) = match text.strip_prefix('"') {
            Some(quoted) => {
                let (key, after) = quoted.split_once('"')?;
                (Some(key), after)
            }
            None => {
                let (key, after) = text.split_at(text.find(['/', '[']).unwrap_or(text.len()));
                (Some(key).filter(|key| !key.is_empty()), after)
            }
        };
        let (index, after) = match after.strip_prefix('[') {
            Some(rest) => {
                let (digits, after) = rest.split_once(']')?;
                let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
                let index = digits.parse().ok().filter(|&index| plain && index > 0)?;
                (Some(index), after)
            }
            None => (None, after),
        };
        if key == Some("*") || key.is_none() && index.is_none() {
            return None;
        }
        let step = KeyStep {
            key: key.map(str::to_owned),
            index,
        };
        Some((step, after))
    }
}

/// [`Json`] is nested a limited number of levels deep.
fn follow(value: &Json<'_>, steps: &[KeyStep], found: &mut Vec<FoundValue>) {
    match (value, steps) {
        (Json::Array(items), [KeyStep { key: None, index }, rest @ ..]) => {
            let item = index.and_then(|index| items.get(index - 1));
            item.into_iter().for_each(|item| follow(item, rest, found));
        }
        (Json::Array(items), _) => items.iter().for_each(|item| follow(item, steps, found)),
        (Json::Object(members), [step, rest @ ..]) => {
            let named = members
                .iter()
                .filter(|(key, _)| Some(key) == step.key.as_ref());
            for (_, value) in named {
                match (value, step.index) {
                    (Json::Array(items), Some(index)) => {
                        if let Some(item) = items.get(index - 1) {
                            follow(item, rest, found);
                        }
                    }
                    (_, None | Some(1)) => follow(value, rest, found),
                    _ => {}
                }
            }
        }
        (Json::Object(_), []) => found.push(FoundValue::Group),
        (Json::Scalar(written), []) => found.push(match json::string(written) {
            Some(text) => FoundValue::Text(text),
            None if json::canonical_number(written).is_some() => {
                FoundValue::Number((*written).to_owned())
            }
            None => FoundValue::Text((*written).to_owned()),
        }),
        (Json::Scalar(_), _) => {}
    }
}

fn anywhere(value: &Json<'_>, steps: &[KeyStep], found: &mut Vec<FoundValue>) {
    match value {
        Json::Object(members) => {
            follow(value, steps, found);
            for (_, member) in members {
                anywhere(member, steps, found);
            }
        }
        Json::Array(items) => items.iter().for_each(|item| anywhere(item, steps, found)),
        Json::Scalar(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, body: &str) -> Vec<String> {
        let root = Json::parse(body.as_bytes()).unwrap();
        let found = FieldPath::parse(path).unwrap().find_in_json(&root);
        let text = |value| match value {
            FoundValue::Text(text) | FoundValue::Number(text) => text,
            FoundValue::Group => "(object)".to_owned(),
        };
        found.into_iter().map(text).collect()
    }

    #[test]
    fn keys_lead_down_and_items_are_counted_from_one() {
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
    fn keys_need_not_be_xml_names() {
        let body = r#"{"@type":"t","$ref":"r","first name":"f","a/b=c":{"1":"n"}}"#;
        assert_eq!(found("@type", body), ["t"]);
        assert_eq!(found("$ref", body), ["r"]);
        assert_eq!(found("first name", body), ["f"]);
        assert_eq!(found("\"a/b=c\"/1", body), ["n"]);
        assert_eq!(FieldPath::split("\"a=b\"=c=d"), Some(("\"a=b\"", "c=d")));
        assert_eq!(FieldPath::split("a"), None);
    }

    #[test]
    fn an_index_alone_is_an_item_of_the_array() {
        let body = r#"[{"e":1},{"e":2},[3,4]]"#;
        assert_eq!(found("[2]/e", body), ["2"]);
        assert_eq!(found("[3]/[1]", body), ["3"]);
        assert_eq!(found("[4]/e", body), [] as [&str; 0]);
    }

    #[test]
    fn bad_paths_are_errors() {
        for path in ["", "//", "a//b", "/", "//*", "a[0]", "\"a", "a[x]", "a[1]b"] {
            assert!(FieldPath::parse(path).is_err(), "{path}");
        }
    }
}
