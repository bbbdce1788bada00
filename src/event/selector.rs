//! Looking into a document that came: the values at `object/account/org_name`, or at `//email` anywhere.
//!
//! The paths are those of `--set` ([`Path`]), read more generously: an element without an index is any of that name, the
//! root's own name may stand in front, and `//` begins anywhere. One pass over the tokens follows every step of every
//! selector at once, so that no document, however wide, takes longer than it is long. JSON is not this file's business, but a [`Selector`]
//! shows its steps to whoever follows them there.
//!
//! Deliberately no XPath: no wildcards, axes or predicates.

use super::MAX_DOCUMENT_DEPTH;
use super::encoding::decode;
use super::error::EventError;
use super::path::Path;
use super::scan::{Kind, Scanner};
use super::tag::{Attribute, normalized};

/// Which places of a document are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    typed: String,
    steps: Vec<Step>,
    attribute: Option<String>,
    anywhere: bool,
}

/// One level down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The element's name as written, prefix included.
    pub name: String,
    /// Which of the siblings of that name, counted from 1; any if none is given.
    pub index: Option<usize>,
}

/// What is at a place that was selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The text of an attribute, or of an element without elements in it, references and CDATA resolved.
    Text(String),
    /// An element that holds elements.
    Elements,
}

impl Selector {
    /// Reads `object/account/org_name`, `users/user[2]/email`, `plan/@default`, `//org_name`.
    ///
    /// # Errors
    /// In words, what is wrong with it.
    pub fn parse(typed: &str) -> Result<Selector, String> {
        let (anywhere, path) = match typed.strip_prefix("//") {
            Some(rest) => (true, rest),
            None => (false, typed.strip_prefix('/').unwrap_or(typed)),
        };
        let Path { steps, attribute } = Path::parse(path)?;
        let step = |step: &super::path::Step<'_>| Step {
            name: step.name.to_owned(),
            index: step.typed.ends_with(']').then_some(step.index),
        };
        Ok(Selector {
            typed: typed.to_owned(),
            steps: steps.iter().map(step).collect(),
            attribute: attribute.map(str::to_owned),
            anywhere,
        })
    }

    /// As it was typed.
    pub fn as_str(&self) -> &str {
        &self.typed
    }

    /// The way down; empty if an attribute of the root (or, with [`Selector::is_anywhere`], of any element) is meant.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether an attribute is meant.
    pub fn is_attribute(&self) -> bool {
        self.attribute.is_some()
    }

    /// Whether the first step may be at any depth.
    pub fn is_anywhere(&self) -> bool {
        self.anywhere
    }

    /// For each of the selectors everything in the document that it selects, in the document's order.
    ///
    /// # Errors
    /// When the document is not well-formed XML, as [`EventError`] has it.
    pub fn find(selectors: &[&Selector], document: &[u8]) -> Result<Vec<Vec<Found>>, EventError> {
        let decoded = decode(document)?;
        let searches = selectors.iter().map(|selector| Search {
            selector,
            open: Vec::new(),
            found: Vec::new(),
        });
        let mut searches: Vec<Search<'_>> = searches.collect();
        for token in Scanner::new(&decoded.text, MAX_DOCUMENT_DEPTH)? {
            let kind = token?.kind;
            searches.iter_mut().for_each(|search| search.look_at(&kind));
        }
        Ok(searches.into_iter().map(|search| search.found).collect())
    }
}

/// The state of one pass.
struct Search<'a> {
    selector: &'a Selector,
    open: Vec<Level>,
    found: Vec<Found>,
}

/// An element that is open.
#[derive(Default)]
struct Level {
    /// How many steps have been taken by each way that leads here, and how many children fitted the next one.
    ways: Vec<(usize, usize)>,
    /// The place in [`Search::found`] that its text goes to, if it was selected.
    collects: Option<usize>,
}

impl Search<'_> {
    fn look_at(&mut self, token: &Kind<'_>) {
        match token {
            Kind::Open {
                name,
                attributes,
                empty,
            } => {
                self.enter(name, attributes);
                if *empty {
                    self.leave();
                }
            }
            Kind::Close => self.leave(),
            Kind::Text(text) if text.contains('\r') => {
                self.text(&text.replace("\r\n", "\n").replace('\r', "\n"))
            }
            Kind::Text(text) | Kind::CData(text) => self.text(text),
            Kind::Reference(c) => self.text(c.encode_utf8(&mut [0; 4])),
            Kind::Declaration | Kind::Aside => {}
        }
    }

    fn enter(&mut self, name: &str, attributes: &[Attribute<'_>]) {
        let steps = &self.selector.steps;
        let depth = self.open.len();
        let mut taken = Vec::new();
        if let Some(parent) = self.open.last_mut() {
            if let Some(outer) = parent.collects {
                self.found[outer] = Found::Elements;
            }
            for (way, fitting) in &mut parent.ways {
                let Some(step) = steps.get(*way).filter(|step| step.name == name) else {
                    continue;
                };
                *fitting += 1;
                if step.index.is_none_or(|index| index == *fitting) {
                    taken.push(*way + 1);
                }
            }
        } else if steps
            .first()
            .is_some_and(|step| step.name == name && step.index.is_none_or(|index| index == 1))
        {
            // The root's own name in front.
            taken.push(1);
        }
        // From the root the way begins below it; from anywhere, below every element.
        if depth == 0 || self.selector.anywhere {
            taken.push(0);
        }
        taken.dedup();
        let here = taken.contains(&steps.len());
        let mut level = Level {
            ways: taken.into_iter().map(|way| (way, 0)).collect(),
            collects: None,
        };
        if here {
            level.collects = self.select(attributes);
        }
        self.open.push(level);
    }

    /// Adds what is selected of an element; the place for its text if that is what is meant.
    fn select(&mut self, attributes: &[Attribute<'_>]) -> Option<usize> {
        let Some(wanted) = &self.selector.attribute else {
            self.found.push(Found::Text(String::new()));
            return Some(self.found.len() - 1);
        };
        let attribute = attributes
            .iter()
            .find(|attribute| attribute.name == wanted)?;
        // The scanner has resolved it once already, so that it cannot fail.
        let value = normalized(attribute.value)
            .map_or_else(|_| attribute.value.to_owned(), |value| value.into_owned());
        self.found.push(Found::Text(value));
        None
    }

    fn text(&mut self, text: &str) {
        if let Some(place) = self.open.last().and_then(|level| level.collects)
            && let Found::Text(collected) = &mut self.found[place]
        {
            collected.push_str(text);
        }
    }

    fn leave(&mut self) {
        self.open.pop();
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
    fn a_path_leads_down_from_the_root_with_or_without_its_name() {
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
    fn without_an_index_any_sibling_will_do_and_with_one_only_that() {
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
    fn ways_that_overlap_are_all_followed() {
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
    fn several_are_found_in_one_pass_each_its_own() {
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
    fn what_cannot_be_a_path_or_a_document_is_said() {
        for path in ["", "//", "a//b", "/", "//*", "a[0]"] {
            assert!(Selector::parse(path).is_err(), "{path}");
        }
        assert!(find("a", "{\"a\":1}").is_err());
        assert!(find("a", "<a><a>").is_err());
    }

    #[test]
    fn a_wide_document_takes_no_longer_than_it_is_long() {
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
