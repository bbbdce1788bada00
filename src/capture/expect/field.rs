//! A condition on a value in a body: `PATH=VALUE`, `PATH~=REGEX`, or `PATH` alone.

use std::fmt;

use regex_lite::Regex;

use super::quoted;
use crate::document::{BodyNode, Document, FieldPath, is_same_literal};

#[derive(Clone, Debug)]
pub struct FieldCondition {
    path: FieldPath,
    test: FieldTest,
}

#[derive(Clone, Debug)]
enum FieldTest {
    Exists,
    /// White space around a text does not count; numbers are compared by value.
    Equals(String),
    Matches(Regex),
}

impl FieldCondition {
    /// The error is a message.
    pub fn parse(text: &str) -> Result<FieldCondition, String> {
        let (path, test) = match FieldPath::split(text) {
            None => (text, FieldTest::Exists),
            Some((path, value)) => match path.strip_suffix('~') {
                None => (path, FieldTest::Equals(value.to_owned())),
                Some(path) => {
                    let regex = Regex::new(value)
                        .map_err(|e| format!("`{value}` is not a regular expression: {e}"))?;
                    (path, FieldTest::Matches(regex))
                }
            },
        };
        let path = FieldPath::parse(path).map_err(|problem| format!("path `{path}`: {problem}"))?;
        Ok(FieldCondition { path, test })
    }

    /// How the document differs from it.
    pub(super) fn wrong_in(&self, document: &Result<Document<'_>, String>) -> Option<String> {
        let path = quoted(self.path.as_str());
        let document = match document {
            Ok(document) => document,
            Err(reason) => return Some(format!("{path} cannot be found: {reason}")),
        };
        let found = self.path.find(document);
        if found.iter().any(|node| self.test.is_met(node)) {
            return None;
        }
        let what = match document.root_name {
            None => "value",
            Some(_) if self.path.is_attribute() => "attribute",
            Some(_) => "element",
        };
        let expected = match &self.test {
            _ if found.is_empty() => return Some(format!("no {what} {path}")),
            FieldTest::Exists => return None,
            FieldTest::Equals(expected) => format!("not {}", quoted(expected)),
            FieldTest::Matches(regex) => format!("which does not match {}", quoted(regex.as_str())),
        };
        Some(format!("{path} is {}, {expected}", listed(&found)))
    }
}

impl FieldTest {
    fn is_met(&self, node: &BodyNode<'_>) -> bool {
        match (self, node) {
            (FieldTest::Exists, _) => true,
            (FieldTest::Equals(expected), BodyNode::Literal(written)) => {
                is_same_literal(written, expected.trim())
            }
            (FieldTest::Equals(expected), _) => {
                !node.is_group() && node.text().trim() == expected.trim()
            }
            (FieldTest::Matches(regex), _) => {
                !node.is_group() && regex.is_match(node.text().trim())
            }
        }
    }
}

/// `` `//org_name` = `Acme` ``
impl fmt::Display for FieldCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = quoted(self.path.as_str());
        match &self.test {
            FieldTest::Exists => f.write_str(&path),
            FieldTest::Equals(value) => write!(f, "{path} = {}", quoted(value)),
            FieldTest::Matches(regex) => write!(f, "{path} ~= {}", quoted(regex.as_str())),
        }
    }
}

/// The values as a sentence lists them, each once, and of many the first few.
fn listed(found: &[&BodyNode<'_>]) -> String {
    const MAX_VALUES: usize = 3;
    let mut words: Vec<String> = Vec::new();
    for node in found {
        let word = match node.is_group() {
            true => "a group of elements".to_owned(),
            false => quoted(node.text().trim()),
        };
        if words.contains(&word) {
            continue;
        }
        if words.len() == MAX_VALUES {
            words.push("others".to_owned());
            break;
        }
        words.push(word);
    }
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => words.concat(),
    }
}
