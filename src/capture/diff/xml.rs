//! Where two XML documents differ, by the paths of their elements.
//!
//! The n-th element of a name is compared with the n-th of that name under the same parent, so that a missing element is
//! one difference.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Differences, MAX_CHARS, numbered};
use crate::event::{Element, Node};

/// Lists the differences in the order of `a`; what only `b` has comes last of its parent.
pub(super) fn compare_roots(a: &Element, b: &Element, differences: &mut Differences) {
    if a.name == b.name {
        compare(a, b, &mut vec![a.name.clone()], differences);
    } else {
        let path = "root element".to_owned();
        differences.push(path, Some(a.name.clone()), Some(b.name.clone()));
    }
}

/// `path` has the names from the root to here, and is put together only for a difference: it may be long.
fn compare(a: &Element, b: &Element, path: &mut Vec<String>, differences: &mut Differences) {
    if differences.truncated {
        return;
    }
    compare_attributes(a, b, path, differences);
    let (a_text, b_text) = (a.text(), b.text());
    if a_text != b_text {
        differences.push(path.join("/"), Some(a_text), Some(b_text));
    }
    let before = differences.found.len();
    let ours = numbered(a.elements().map(|child| (child.name.as_str(), child)));
    let theirs = numbered(b.elements().map(|child| (child.name.as_str(), child)));
    let repeated: BTreeSet<&str> = ours
        .iter()
        .chain(&theirs)
        .filter(|((_, number), _)| *number > 1)
        .map(|((name, _), _)| *name)
        .collect();
    let step = |name: &str, number: usize| {
        if repeated.contains(name) {
            format!("{name}[{number}]")
        } else {
            name.to_owned()
        }
    };
    let by_name: HashMap<(&str, usize), &Element> = theirs.iter().copied().collect();
    let known: BTreeSet<(&str, usize)> = ours.iter().map(|(key, _)| *key).collect();
    for &((name, number), element) in &ours {
        path.push(step(name, number));
        match by_name.get(&(name, number)) {
            Some(other) => compare(element, other, path, differences),
            None => differences.push(path.join("/"), Some(summary(element)), None),
        }
        path.pop();
        if differences.truncated {
            return;
        }
    }
    for ((name, number), element) in theirs.iter().filter(|(key, _)| !known.contains(key)) {
        path.push(step(name, *number));
        differences.push(path.join("/"), None, Some(summary(element)));
        path.pop();
        if differences.truncated {
            return;
        }
    }
    if differences.found.len() == before && !sequence(a).eq(sequence(b)) {
        let path = format!("{} (order)", path.join("/"));
        let listed = |element| {
            let names: Vec<&str> = sequence(element).take(MAX_CHARS).collect();
            Some(names.join(", "))
        };
        differences.push(path, listed(a), listed(b));
    }
}

fn compare_attributes(a: &Element, b: &Element, path: &[String], differences: &mut Differences) {
    let mut values: BTreeMap<&str, (Option<&String>, Option<&String>)> = BTreeMap::new();
    for (name, value) in &a.attributes {
        values.entry(name).or_default().0 = Some(value);
    }
    for (name, value) in &b.attributes {
        values.entry(name).or_default().1 = Some(value);
    }
    for (name, (a, b)) in values {
        if a != b {
            let path = format!("{}/@{name}", path.join("/"));
            differences.push(path, a.cloned(), b.cloned());
        }
    }
}

fn sequence(element: &Element) -> impl Iterator<Item = &str> {
    element.content.iter().map(|node| match node {
        Node::Element(child) => child.name.as_str(),
        Node::Text(_) => "text",
    })
}

/// An element that the other document lacks.
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
        let mut differences = Differences::default();
        let (a, b) = (tree(a.as_bytes()).unwrap(), tree(b.as_bytes()).unwrap());
        compare_roots(&a, &b, &mut differences);
        differences
            .found
            .iter()
            .map(|d| format!("{}: {} / {}", d.path, shown(&d.a), shown(&d.b)))
            .collect()
    }

    fn shown(value: &Option<String>) -> &str {
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
    fn repeated_elements_have_a_number() {
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
    fn order_counts_if_nothing_else_differs() {
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
