//! Where two XML documents differ, by the paths of their elements.
//!
//! The n-th element of a name is compared with the n-th of that name under the same parent, so that one that is missing is
//! one difference and not many.

use std::collections::{BTreeSet, HashMap};

use super::Difference;
use crate::event::{Element, Node};

/// The differences, in the order of `a`; what only `b` has comes last of its parent.
pub fn differences(a: &Element, b: &Element) -> Vec<Difference> {
    let mut found = Vec::new();
    if a.name == b.name {
        compare(a, b, &a.name, &mut found);
    } else {
        found.push(Difference {
            path: "root element".to_owned(),
            a: Some(a.name.clone()),
            b: Some(b.name.clone()),
        });
    }
    found
}

fn compare(a: &Element, b: &Element, path: &str, found: &mut Vec<Difference>) {
    attributes(a, b, path, found);
    let (a_text, b_text) = (a.text(), b.text());
    if a_text != b_text {
        found.push(Difference {
            path: path.to_owned(),
            a: Some(a_text),
            b: Some(b_text),
        });
    }
    let before = found.len();
    let (ours, theirs) = (numbered(a), numbered(b));
    let repeated: BTreeSet<&str> = ours
        .iter()
        .chain(&theirs)
        .filter(|((_, number), _)| *number > 1)
        .map(|((name, _), _)| *name)
        .collect();
    let path_of = |name: &str, number: usize| {
        if repeated.contains(name) {
            format!("{path}/{name}[{number}]")
        } else {
            format!("{path}/{name}")
        }
    };
    let by_name: HashMap<(&str, usize), &Element> = theirs.iter().copied().collect();
    let known: BTreeSet<(&str, usize)> = ours.iter().map(|(key, _)| *key).collect();
    for &((name, number), element) in &ours {
        match by_name.get(&(name, number)) {
            Some(other) => compare(element, other, &path_of(name, number), found),
            None => found.push(Difference {
                path: path_of(name, number),
                a: Some(summary(element)),
                b: None,
            }),
        }
    }
    for ((name, number), element) in theirs.iter().filter(|(key, _)| !known.contains(key)) {
        found.push(Difference {
            path: path_of(name, *number),
            a: None,
            b: Some(summary(element)),
        });
    }
    if found.len() == before && sequence(a) != sequence(b) {
        let (a, b) = (sequence(a).join(", "), sequence(b).join(", "));
        found.push(Difference {
            path: format!("{path} (order)"),
            a: Some(a),
            b: Some(b),
        });
    }
}

fn attributes(a: &Element, b: &Element, path: &str, found: &mut Vec<Difference>) {
    let names: BTreeSet<&String> = a
        .attributes
        .iter()
        .chain(&b.attributes)
        .map(|(name, _)| name)
        .collect();
    for name in names {
        let value = |element: &Element| {
            element
                .attributes
                .iter()
                .find(|(given, _)| given == name)
                .map(|(_, value)| value.clone())
        };
        let (a, b) = (value(a), value(b));
        if a != b {
            found.push(Difference {
                path: format!("{path}/@{name}"),
                a,
                b,
            });
        }
    }
}

/// The elements directly in one, each with its name and its number among those of that name.
fn numbered(element: &Element) -> Vec<((&str, usize), &Element)> {
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    element
        .elements()
        .map(|child| {
            let number = numbers.entry(&child.name).or_insert(0);
            *number += 1;
            ((child.name.as_str(), *number), child)
        })
        .collect()
}

fn sequence(element: &Element) -> Vec<&str> {
    let nodes = element.content.iter();
    nodes
        .map(|node| match node {
            Node::Element(child) => child.name.as_str(),
            Node::Text(_) => "text",
        })
        .collect()
}

/// An element that the other document lacks, in short.
fn summary(element: &Element) -> String {
    if element.elements().next().is_some() {
        format!("<{}>…</{0}>", element.name)
    } else {
        element.text()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::tree;

    fn found(a: &str, b: &str) -> Vec<String> {
        let found = differences(&tree(a.as_bytes()).unwrap(), &tree(b.as_bytes()).unwrap());
        found
            .iter()
            .map(|d| format!("{}: {} / {}", d.path, told(&d.a), told(&d.b)))
            .collect()
    }

    fn told(value: &Option<String>) -> &str {
        value.as_deref().unwrap_or("-")
    }

    #[test]
    fn each_difference_has_its_path() {
        let a = "<event><plan id='1' x='y'><name>Basic</name></plan><user>u</user></event>";
        let b = "<event><plan id='2'><name>Gold</name></plan><user>u</user><state/></event>";
        assert_eq!(
            found(a, b),
            [
                "event/plan/@id: 1 / 2",
                "event/plan/@x: y / -",
                "event/plan/name: Basic / Gold",
                "event/state: - / "
            ]
        );
        assert_eq!(found("<a/>", "<b/>"), ["root element: a / b"]);
    }

    #[test]
    fn repeated_elements_are_told_by_number() {
        assert_eq!(
            found("<a><b>1</b><b>2</b></a>", "<a><b>1</b><b>3</b></a>"),
            ["a/b[2]: 2 / 3"]
        );
        assert_eq!(
            found("<a><b>1</b><b><c/></b></a>", "<a><b>1</b></a>"),
            ["a/b[2]: <b>…</b> / -"]
        );
    }

    #[test]
    fn another_order_is_a_difference_where_nothing_else_is() {
        assert_eq!(
            found("<a><b/><c/></a>", "<a><c/><b/></a>"),
            ["a (order): b, c / c, b"]
        );
        assert_eq!(
            found("<a>x<b/></a>", "<a><b/>x</a>"),
            ["a (order): text, b / b, text"]
        );
    }
}
