//! Looks into a document from outside: the values at `object/account/org_name`, or at `//email` anywhere.
//!
//! Paths are those of `--set` ([`Path`]) with three additions: a step without an index matches every sibling of that name,
//! the root's own name may come first, and `//` begins at any depth. It has neither wildcards nor axes nor predicates. Bodies in
//! JSON are searched by `capture::expect`, which follows a selector's steps through keys and arrays.

use roxmltree::Node;

use super::encoding::decode;
use super::error::EventError;
use super::path::{Path, PathStep};
use super::{MAX_DOCUMENT_DEPTH, xml};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    path: Path,
    anywhere: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The value of an attribute, or the text of an element without child elements.
    Text(String),
    /// An element that contains elements.
    Elements,
}

impl Selector {
    /// Reads `object/account/org_name`, `users/user[2]/email`, `plan/@default`, `//org_name`. The error is a message.
    pub fn parse(typed: &str) -> Result<Selector, String> {
        let (anywhere, path) = match typed.strip_prefix("//") {
            Some(rest) => (true, rest),
            None => (false, typed.strip_prefix('/').unwrap_or(typed)),
        };
        let path = Path::parse(path)?;
        Ok(Selector { path, anywhere })
    }

    pub fn is_attribute(&self) -> bool {
        self.path.attribute.is_some()
    }

    /// For each selector everything in the document that it selects, in the document's order. Fails if the document is
    /// not well-formed XML.
    pub fn find(selectors: &[&Selector], document: &[u8]) -> Result<Vec<Vec<Found>>, EventError> {
        let decoded = decode(document)?;
        let document = xml::parse(&decoded.text, MAX_DOCUMENT_DEPTH)?;
        let find = |selector: &&Selector| selector.find_in(document.root());
        Ok(selectors.iter().map(find).collect())
    }

    /// `document` is the node around the root element.
    fn find_in(&self, document: Node<'_, '_>) -> Vec<Found> {
        let mut matches = Vec::new();
        // The first step may be the root element or one of its children, or of any element's.
        for base in document.descendants() {
            if base.is_root() || base.is_element() {
                follow(base, &self.path.steps, &mut matches);
            }
            if !self.anywhere && base.is_element() {
                break;
            }
        }
        matches.sort_by_key(|element| element.range().start);
        let mut found = Vec::new();
        for element in matches {
            match &self.path.attribute {
                Some(name) => found.extend(xml::attribute(element, name).map(Found::Text)),
                None if element.first_element_child().is_some() => found.push(Found::Elements),
                None => found.push(Found::Text(xml::text(element))),
            }
        }
        found
    }
}

fn follow<'d, 'a>(from: Node<'d, 'a>, steps: &[PathStep], matches: &mut Vec<Node<'d, 'a>>) {
    let Some((step, rest)) = steps.split_first() else {
        if from.is_element() {
            matches.push(from);
        }
        return;
    };
    let same = xml::elements(from).filter(|(name, _)| *name == step.name);
    for (n, (_, child)) in same.enumerate() {
        if step.index.is_none_or(|index| index == n + 1) {
            follow(child, rest, matches);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "<?xml version='1.0'?>\n<event><type>account</type><object><account id='7&amp;8'>\
        <org_name>A &amp; <![CDATA[<B>]]></org_name><users><user><email>a@x</email></user>\
        <user role=\"admin\"><email>b@x</email></user></users><empty/></account></object></event>";

    fn find(path: &str, document: &str) -> Result<Vec<Found>, EventError> {
        Selector::find(&[&Selector::parse(path).unwrap()], document.as_bytes())
            .map(|mut found| found.remove(0))
    }

    fn found(path: &str) -> Vec<String> {
        let found = find(path, DOCUMENT).unwrap();
        let shown = |found| match found {
            Found::Text(text) => text,
            Found::Elements => "(elements)".to_owned(),
        };
        found.into_iter().map(shown).collect()
    }

    #[test]
    fn paths_begin_at_the_root_or_below_it() {
        for path in [
            "type",
            "event/type",
            "/event/type",
            "event[1]/type[1]",
            "//type",
        ] {
            assert_eq!(found(path), ["account"], "{path}");
        }
        assert_eq!(found("object/account/org_name"), ["A & <B>"]);
        assert_eq!(found("object/account/empty"), [""]);
        assert_eq!(found("object/account"), ["(elements)"]);
        for path in [
            "account/org_name",
            "object",
            "event/event/type",
            "type[2]",
            "object/type",
            "event[2]/type",
        ] {
            assert!(!found(path).contains(&"account".to_owned()), "{path}");
        }
    }

    #[test]
    fn an_index_selects_one_sibling() {
        let users = "object/account/users/user";
        assert_eq!(found(&format!("{users}/email")), ["a@x", "b@x"]);
        assert_eq!(found(&format!("{users}[2]/email")), ["b@x"]);
        assert!(found(&format!("{users}[3]/email")).is_empty());
        assert_eq!(found("//email"), ["a@x", "b@x"]);
        assert_eq!(found("//user[2]/email"), ["b@x"]);
        assert_eq!(
            found("//email[2]"),
            [] as [&str; 0],
            "the second of its parent, and each is the first"
        );
    }

    #[test]
    fn attributes_are_found_too() {
        assert_eq!(found("object/account/@id"), ["7&8"]);
        assert_eq!(found("//user/@role"), ["admin"]);
        assert_eq!(found("//@role"), ["admin"]);
        assert!(found("@role").is_empty());
    }

    #[test]
    fn overlapping_matches_are_all_found() {
        let find = |path: &str, document: &str| find(path, document).unwrap().len();
        assert_eq!(find("//a/a/b", "<a><a><a><b/></a></a><b/></a>"), 1);
        assert_eq!(find("//a/b", "<a><a><b/><b/></a><b/></a>"), 3);
        assert_eq!(
            find("a/b", "<a><a><b/></a><b/></a>"),
            2,
            "from the root and below it"
        );
    }

    #[test]
    fn several_selectors_search_one_document() {
        let selectors = ["//email", "type", "//nothing"].map(|path| Selector::parse(path).unwrap());
        let found = Selector::find(&selectors.each_ref(), DOCUMENT.as_bytes()).unwrap();
        let text = |text: &str| Found::Text(text.to_owned());
        assert_eq!(
            found,
            [
                vec![text("a@x"), text("b@x")],
                vec![text("account")],
                vec![]
            ]
        );
    }

    #[test]
    fn bad_paths_and_documents_are_errors() {
        for path in ["", "//", "a//b", "/", "//*", "a[0]"] {
            assert!(Selector::parse(path).is_err(), "{path}");
        }
        assert!(find("a", "{\"a\":1}").is_err());
        assert!(find("a", "<a><a>").is_err());
    }

    #[test]
    fn a_wide_document_takes_linear_time() {
        let document = format!("<a>{}</a>", "<b><c/></b>".repeat(50_000));
        let begun = std::time::Instant::now();
        assert_eq!(find("//b/c", &document).unwrap().len(), 50_000);
        assert!(
            begun.elapsed() < std::time::Duration::from_secs(10),
            "{:?}",
            begun.elapsed()
        );
    }
}
