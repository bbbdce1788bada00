//! Paths of `--match`, and of `--set` with `--body`, into a body: `object/account/org_name`, `//email`,
//! `items[2]/"first name"`.
//!
//! A path starts at the root, or with `//` at any depth. In XML its steps are elements and, as `@name`, attributes; the name
//! of the root element may come first. In JSON they are keys. `[n]` is the n-th element of the name or item of the array,
//! counted from 1; a step without an index goes through all of them, and `[n]` alone is an item of the array itself. A name
//! that contains `/`, `=` or `[` is written in double quotes.

use super::{BodyNode, Document};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPath {
    typed: String,
    /// Whether the path begins with `//`.
    anywhere: bool,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    /// None for an index alone.
    name: Option<String>,
    index: Option<usize>,
}

/// One step down, to a single value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Selector<'p> {
    Key(&'p str),
    /// An item of an array, counted from 1.
    Item(usize),
}

impl std::fmt::Display for Selector<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Selector::Key(name) => f.write_str(name),
            Selector::Item(number) => write!(f, "[{number}]"),
        }
    }
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
        let (anywhere, mut rest) = match typed.strip_prefix("//") {
            Some(rest) => (true, rest),
            None => (false, typed.strip_prefix('/').unwrap_or(typed)),
        };
        let mut steps = Vec::new();
        loop {
            let (step, after) = Step::parse(rest)?;
            steps.push(step);
            match after.strip_prefix('/') {
                Some(next) => rest = next,
                None => break,
            }
        }
        Ok(FieldPath {
            typed: typed.to_owned(),
            anywhere,
            steps,
        })
    }

    pub fn as_str(&self) -> &str {
        &self.typed
    }

    /// The way down in JSON to a single value; an error is a message.
    pub(super) fn selectors(&self) -> Result<Vec<Selector<'_>>, String> {
        if self.anywhere {
            return Err("a path that begins with `//` can select several values".to_owned());
        }
        let steps = self.steps.iter().flat_map(|step| {
            let name = step.name.as_deref().map(Selector::Key);
            name.into_iter().chain(step.index.map(Selector::Item))
        });
        Ok(steps.collect())
    }

    pub fn is_attribute(&self) -> bool {
        let name = self.steps.last().and_then(|step| step.name.as_ref());
        name.is_some_and(|name| name.starts_with('@'))
    }

    /// Everything in the document that the path selects.
    pub fn find<'n, 'a>(&self, document: &'n Document<'a>) -> Vec<&'n BodyNode<'a>> {
        let mut found = Vec::new();
        if let (Some(root), [first, rest @ ..]) = (&document.root_name, &self.steps[..])
            && first.name.as_ref() == Some(root)
            && first.has_index(1)
        {
            follow(&document.root, rest, &mut found);
        }
        self.search(&document.root, &mut found);
        found
    }

    fn search<'n, 'a>(&self, node: &'n BodyNode<'a>, found: &mut Vec<&'n BodyNode<'a>>) {
        if !self.anywhere {
            return follow(node, &self.steps, found);
        }
        if matches!(node, BodyNode::Group(_)) {
            follow(node, &self.steps, found);
        }
        for (_, child) in node.children() {
            self.search(child, found);
        }
    }
}

impl Step {
    /// The step that `text` begins with, and what follows it: nothing, or text that begins with `/`.
    fn parse(text: &str) -> Result<(Step, &str), String> {
        let quoted = text.strip_prefix('"').and_then(|text| text.split_once('"'));
        let (name, after) = match quoted {
            Some((name, after)) => (Some(name), after),
            None => {
                let (name, after) = text.split_at(text.find(['/', '[']).unwrap_or(text.len()));
                (Some(name).filter(|name| !name.is_empty()), after)
            }
        };
        let (index, after) = after.split_at(after.find('/').unwrap_or(after.len()));
        let digits = index
            .strip_prefix('[')
            .and_then(|index| index.strip_suffix(']'));
        // `parse` alone would let a `+` through.
        let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        let number = digits.and_then(|digits| digits.parse().ok());
        let step = &text[..text.len() - after.len()];
        match name {
            None if index.is_empty() => Err("a step is empty".to_owned()),
            Some("*") => Err("`*` is not a name".to_owned()),
            Some(name) if quoted.is_none() && name.starts_with('"') => {
                Err(format!("the quotation mark in `{step}` is not closed"))
            }
            _ if !index.is_empty() && number.is_none_or(|number: usize| number == 0) => {
                Err(format!("the index in `{step}` is not a number from 1 up"))
            }
            _ => Ok((
                Step {
                    name: name.map(str::to_owned),
                    index: number,
                },
                after,
            )),
        }
    }

    fn has_index(&self, number: usize) -> bool {
        self.index.is_none_or(|index| index == number)
    }
}

fn follow<'n, 'a>(node: &'n BodyNode<'a>, steps: &[Step], found: &mut Vec<&'n BodyNode<'a>>) {
    match (node, steps) {
        (BodyNode::Array(items), [Step { name: None, index }, rest @ ..]) => {
            let item = index.and_then(|index| items.get(index - 1));
            item.into_iter().for_each(|item| follow(item, rest, found));
        }
        (BodyNode::Array(items), _) => items.iter().for_each(|item| follow(item, steps, found)),
        (_, []) => found.push(node),
        (BodyNode::Group(members), [step, rest @ ..]) => {
            let named = members
                .iter()
                .filter(|(name, _)| name.is_some() && name.as_deref() == step.name.as_deref());
            let each = named.flat_map(|(_, node)| match node {
                BodyNode::Array(items) => items.as_slice(),
                node => std::slice::from_ref(node),
            });
            for (n, node) in each.enumerate() {
                if step.has_index(n + 1) {
                    follow(node, rest, found);
                }
            }
        }
        (BodyNode::Text(_) | BodyNode::Literal(_), _) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "<?xml version='1.0'?>\n<event><type>account</type><object><account id='7&amp;8'>\
        <org_name>A &amp; <![CDATA[<B>]]></org_name><users><user><email>a@x</email></user>\
        <user role=\"admin\"><email>b@x</email></user></users><empty/></account></object></event>";

    fn found(path: &str, body: &str) -> Vec<String> {
        let document = Document::read(body.as_bytes()).unwrap();
        let found = FieldPath::parse(path).unwrap().find(&document);
        let text = |node: &BodyNode<'_>| match node.is_group() {
            true => "(group)".to_owned(),
            false => node.text().into_owned(),
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
        assert_eq!(found("data", body), ["(group)"]);
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

    #[test]
    fn paths_begin_at_the_root_or_below_it() {
        for path in [
            "type",
            "event/type",
            "/event/type",
            "event[1]/type[1]",
            "//type",
        ] {
            assert_eq!(found(path, DOCUMENT), ["account"], "{path}");
        }
        assert_eq!(found("object/account/org_name", DOCUMENT), ["A & <B>"]);
        assert_eq!(found("object/account/empty", DOCUMENT), [""]);
        assert_eq!(found("object/account", DOCUMENT), ["(group)"]);
        for path in [
            "account/org_name",
            "object",
            "event/event/type",
            "type[2]",
            "object/type",
            "event[2]/type",
        ] {
            assert!(
                !found(path, DOCUMENT).contains(&"account".to_owned()),
                "{path}"
            );
        }
    }

    #[test]
    fn an_index_selects_one_sibling() {
        let users = "object/account/users/user";
        assert_eq!(found(&format!("{users}/email"), DOCUMENT), ["a@x", "b@x"]);
        assert_eq!(found(&format!("{users}[2]/email"), DOCUMENT), ["b@x"]);
        assert!(found(&format!("{users}[3]/email"), DOCUMENT).is_empty());
        assert_eq!(found("//email", DOCUMENT), ["a@x", "b@x"]);
        assert_eq!(found("//user[2]/email", DOCUMENT), ["b@x"]);
        assert_eq!(
            found("//email[2]", DOCUMENT),
            [] as [&str; 0],
            "the second of its parent, and each is the first"
        );
    }

    #[test]
    fn attributes_are_found_too() {
        assert_eq!(found("object/account/@id", DOCUMENT), ["7&8"]);
        assert_eq!(found("//user/@role", DOCUMENT), ["admin"]);
        assert_eq!(found("//@role", DOCUMENT), ["admin"]);
        assert!(found("@role", DOCUMENT).is_empty());
    }

    #[test]
    fn overlapping_matches_are_all_found() {
        let find = |path: &str, document: &str| found(path, document).len();
        assert_eq!(find("//a/a/b", "<a><a><a><b/></a></a><b/></a>"), 1);
        assert_eq!(find("//a/b", "<a><a><b/><b/></a><b/></a>"), 3);
        assert_eq!(
            find("a/b", "<a><a><b/></a><b/></a>"),
            2,
            "from the root and below it"
        );
    }

    #[test]
    fn a_wide_document_takes_linear_time() {
        let document = format!("<a>{}</a>", "<b><c/></b>".repeat(50_000));
        let begun = std::time::Instant::now();
        assert_eq!(found("//b/c", &document).len(), 50_000);
        assert!(
            begun.elapsed() < std::time::Duration::from_secs(10),
            "{:?}",
            begun.elapsed()
        );
    }

    #[test]
    fn fuzzed_paths_do_not_panic() {
        let words = &[
            "/",
            "//",
            "[",
            "]",
            "@",
            "\"",
            "99999999999999999999",
            "é",
            "=",
            "[1]",
        ];
        let seeds: &[&[u8]] = &[b"a/b[2]/c", b"//c/@y", b"[1]/[2]", b"\"a b\"[1]"];
        let documents = [DOCUMENT, "[[1,[2]],{\"a\":[{\"b\":1}]}]"];
        crate::fuzz::fuzz(seeds, words, |input| {
            if let Ok(path) = FieldPath::parse(&String::from_utf8_lossy(input)) {
                for document in documents {
                    path.find(&Document::read(document.as_bytes()).unwrap());
                }
            }
        });
    }
}
