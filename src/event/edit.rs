//! Changes fields of an object.
//!
//! The paths are followed in the parsed object, ranges of its text are replaced, and the result is parsed again: no byte
//! outside the fields changes, and no edit makes an object that could not have been parsed.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use roxmltree::{Node, NodeId};

use super::chars::{escape_attribute, escape_text, is_blank, is_space, is_xml_char};
use super::error::{EventError, shown};
use super::path::{Path, PathStep};
use super::{MAX_DEPTH, xml};

/// A change within what an earlier one changed needs another pass, each of which parses the object.
const MAX_PASSES: usize = 32;

/// The text of an object with the fields at these paths set in turn; see [`Object::set_all`](super::Object::set_all).
pub(super) fn set_all(text: &str, changes: &[(&str, &str)]) -> Result<String, EventError> {
    let (mut text, mut rest) = (text.to_owned(), changes);
    for _ in 0..MAX_PASSES {
        let Some((path, _)) = rest.first() else {
            return Ok(text);
        };
        let document = xml::parse(&text, MAX_DEPTH)?;
        let mut pass = Pass::default();
        for (path, value) in rest {
            let planned = pass.plan(document.root_element(), path, value);
            if !planned.map_err(|problem| refusal(path, problem))? {
                break;
            }
        }
        let edits = pass.edits;
        let valid = |count: &usize| {
            xml::root_element(&applied(&text, &edits[..*count]), MAX_DEPTH).map(drop)
        };
        if valid(&edits.len()).is_err() {
            let counts: Vec<usize> = (1..=edits.len()).collect();
            let first_bad = counts.partition_point(|count| valid(count).is_ok());
            let path = rest.get(first_bad).map_or(*path, |(path, _)| *path);
            return Err(match valid(&(first_bad + 1)) {
                // Its position is in a text that the user never sees.
                Err(EventError::Malformed { problem, .. }) => refusal(path, problem),
                Err(other) => refusal(path, other.to_string()),
                Ok(()) => refusal(path, "it makes the object invalid".to_owned()),
            });
        }
        text = applied(&text, &edits);
        rest = &rest[edits.len()..];
    }
    match rest.first() {
        None => Ok(text),
        Some((path, _)) => Err(refusal(
            path,
            "too many changes of fields that other changes add; write them into the object"
                .to_owned(),
        )),
    }
}

fn refusal(path: &str, problem: String) -> EventError {
    EventError::Set {
        path: shown(path),
        problem,
    }
}

/// A range of the text, and what replaces it.
type Edit = (Range<usize>, String);

/// The text with edits that do not overlap; those at the same place in their order.
fn applied(text: &str, edits: &[Edit]) -> String {
    let mut sorted: Vec<&Edit> = edits.iter().collect();
    sorted.sort_by_key(|(range, _)| range.start);
    let (mut changed, mut done) = (String::with_capacity(text.len()), 0);
    for (range, with) in sorted {
        changed.push_str(&text[done..range.start]);
        changed.push_str(with);
        done = range.end;
    }
    changed + &text[done..]
}

/// Changes that have the same effect at once as in turn.
#[derive(Default)]
struct Pass<'d, 'a> {
    edits: Vec<Edit>,
    /// The child elements of elements, by name.
    children: HashMap<NodeId, HashMap<&'a str, Vec<Node<'d, 'a>>>>,
    /// Elements that are replaced in part; they are not looked into again.
    changed: HashSet<NodeId>,
    /// Elements with an edit in them, at any depth.
    edited: HashSet<NodeId>,
    /// How many elements of a name are added to a parent.
    added: HashMap<(NodeId, String), usize>,
}

impl<'d, 'a> Pass<'d, 'a> {
    /// Plans a change; returns false if it depends on an earlier one.
    fn plan(&mut self, root: Node<'d, 'a>, path: &str, value: &str) -> Result<bool, String> {
        let path = Path::parse(path)?;
        if let Some(c) = value.chars().find(|&c| !is_xml_char(c)) {
            let code = u32::from(c);
            return Err(format!(
                "the character U+{code:04X} is not allowed in XML 1.0"
            ));
        }
        let mut at = root;
        for (n, step) in path.steps.iter().enumerate() {
            if self.changed.contains(&at.id()) {
                return Ok(false);
            }
            let children = self.children.entry(at.id()).or_insert_with(|| by_name(at));
            let same = children
                .get(step.name.as_str())
                .map_or(&[][..], Vec::as_slice);
            let index = step.index.unwrap_or(1) - 1;
            if let Some(child) = same.get(index) {
                at = *child;
                continue;
            }
            let added = self.added.entry((at.id(), step.name.clone())).or_default();
            let count = same.len() + *added;
            if index < count {
                return Ok(false);
            }
            if index > count || n + 1 < path.steps.len() || path.attribute.is_some() {
                return match added {
                    0 => Err(missing(at, step, count)),
                    _ => Ok(false),
                };
            }
            let (range, with) = append(at, &step.name, value)?;
            *added += 1;
            // Behind white space, the next element would go elsewhere.
            let is_clean = range.is_empty()
                && xml::content(at).is_some_and(|content| {
                    let text = &at.document().input_text()[content.start..range.start];
                    !text.ends_with(is_space)
                });
            if !is_clean {
                self.changed.insert(at.id());
            }
            self.record(at, (range, with));
            return Ok(true);
        }
        if self.edited.contains(&at.id()) {
            return Ok(false);
        }
        let edit = match &path.attribute {
            Some(name) => set_attribute(at, name, value),
            None => set_content(at, &escape_text(value)),
        };
        self.changed.insert(at.id());
        self.record(at, edit);
        Ok(true)
    }

    fn record(&mut self, element: Node<'d, 'a>, edit: Edit) {
        self.edits.push(edit);
        for ancestor in element.ancestors() {
            if !self.edited.insert(ancestor.id()) {
                return;
            }
        }
    }
}

fn by_name<'d, 'a>(parent: Node<'d, 'a>) -> HashMap<&'a str, Vec<Node<'d, 'a>>> {
    let mut by_name: HashMap<&str, Vec<Node<'_, '_>>> = HashMap::new();
    for (name, child) in xml::elements(parent) {
        by_name.entry(name).or_default().push(child);
    }
    by_name
}

/// Replaces all that is in the element by `content`, which is escaped.
fn set_content(element: Node<'_, '_>, content: &str) -> Edit {
    let range = element.range();
    match xml::content(element) {
        // 3scale writes empty elements this way.
        Some(old) if content.is_empty() => (old.start - ">".len()..range.end, "/>".to_owned()),
        Some(old) => (old, content.to_owned()),
        None if content.is_empty() => (range.end..range.end, String::new()),
        None => {
            let tag = &element.document().input_text()[range.start..range.end - "/>".len()];
            let end = range.start + tag.trim_end_matches(is_space).len();
            (
                end..range.end,
                format!(">{content}</{}>", xml::name(element)),
            )
        }
    }
}

fn set_attribute(element: Node<'_, '_>, name: &str, value: &str) -> Edit {
    let value = escape_attribute(value);
    let attributes = xml::attributes(element);
    if let Some(attribute) = attributes.iter().find(|attribute| attribute.name == name) {
        return (attribute.value_range.clone(), value);
    }
    let at = match attributes.last() {
        Some(last) => last.value_range.end + 1,
        None => element.range().start + "<".len() + xml::name(element).len(),
    };
    (at..at, format!(" {name}=\"{value}\""))
}

/// Adds `<name>value</name>` as the last child of `parent`.
fn append(parent: Node<'_, '_>, name: &str, value: &str) -> Result<Edit, String> {
    let value = escape_text(value);
    let child = if value.is_empty() {
        format!("<{name}/>")
    } else {
        format!("<{name}>{value}</{name}>")
    };
    let Some(content) = xml::content(parent) else {
        return Ok(set_content(parent, &child));
    };
    let text = parent.document().input_text();
    let filled = content.start + text[content.clone()].trim_end_matches(is_space).len();
    let Some(last) = parent.last_element_child() else {
        if !is_blank(&xml::text(parent)) {
            // An element beside text is probably a mistake.
            let name = shown(xml::name(parent));
            return Err(format!("`{name}` contains text, not elements"));
        }
        return Ok((filled..content.end, child));
    };
    Ok(match line_start(last) {
        Some(indent) => (filled..filled, indent.to_owned() + &child),
        None => (content.end..content.end, child),
    })
}

/// The line break and indentation before an element that begins its line.
fn line_start<'a>(element: Node<'_, 'a>) -> Option<&'a str> {
    let before = &element.document().input_text()[..element.range().start];
    let space = &before[before.trim_end_matches(is_space).len()..];
    // From the last break on: blank lines above are not repeated. A CR belongs to its LF.
    let newline = space.rfind('\n')?;
    let has_cr = space[..newline].ends_with('\r');
    Some(&space[newline - usize::from(has_cr)..])
}

fn missing(parent: Node<'_, '_>, step: &PathStep, same: usize) -> String {
    const MAX_NAMES: usize = 12;
    let what = format!("no `{step}` in `{}`, which has", shown(xml::name(parent)));
    if same > 0 {
        return format!("{what} {same} `{}`", shown(&step.name));
    }
    let mut names: Vec<String> = Vec::new();
    for (name, _) in xml::elements(parent) {
        let name = format!("`{}`", shown(name));
        if names.contains(&name) {
            continue;
        }
        if names.len() == MAX_NAMES {
            names.push("…".to_owned());
            break;
        }
        names.push(name);
    }
    if names.is_empty() {
        return format!("{what} no elements in it");
    }
    format!("{what} {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn after(text: &str, path: &str, value: &str) -> String {
        set_all(text, &[(path, value)]).unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn many_fields_are_set_at_once_and_in_order() {
        let changes: Vec<(String, String)> = (0..8_000)
            .map(|n| (format!("f{n}"), n.to_string()))
            .collect();
        let changes: Vec<(&str, &str)> = changes.iter().map(|(p, v)| (&**p, &**v)).collect();
        let started = std::time::Instant::now();
        let added = set_all("<a>\n  <b/>\n</a>", &changes).unwrap();
        let set = set_all(&added, &changes).unwrap();
        assert!(started.elapsed() < std::time::Duration::from_secs(20));
        assert_eq!((added.len(), &set), (added.len(), &added));
        assert!(added.ends_with("  <f7998>7998</f7998>\n  <f7999>7999</f7999>\n</a>"));
        let dependent: Vec<(String, String)> = (1..100)
            .flat_map(|n| {
                [
                    (format!("b[{n}]"), "x".to_owned()),
                    (format!("b[{n}]/@y"), "z".to_owned()),
                ]
            })
            .collect();
        let dependent: Vec<(&str, &str)> = dependent.iter().map(|(p, v)| (&**p, &**v)).collect();
        let error = set_all("<a><b/></a>", &dependent).unwrap_err().to_string();
        assert!(error.contains("too many changes"), "{error}");
    }

    proptest! {
        #[test]
        fn changes_at_once_are_as_in_turn(
            text in prop::sample::select(vec![
                "<a/>", "<a></a>", "<a> </a>", "<a><b/>\n</a>", "<a>\n  <b>1</b>\n  <c><d/></c>\n</a>",
                "<a x='1'><b/><b y=''> <d/> </b>t</a>", "<a><c>t<d>1</d></c><b><d>2</d></b></a>",
            ]),
            changes in prop::collection::vec((
                prop::sample::select(vec![
                    "b", "b[2]", "b[3]", "c", "c/d", "b/d", "b/d[2]", "@x", "b/@y", "b[2]/@y", "c/d/@z", "e", "e/@z", "e/f", "x:y",
                ]),
                prop::sample::select(vec!["", "v", "<&"]),
            ), 1..12),
        ) {
            let in_turn = changes.iter().try_fold(text.to_owned(), |text, change| set_all(&text, &[*change]));
            let at_once = set_all(text, &changes);
            prop_assert_eq!(at_once.ok(), in_turn.ok());
        }
    }

    #[test]
    fn sets_text() {
        assert_eq!(after("<a><b>1</b></a>", "b", "2"), "<a><b>2</b></a>");
        assert_eq!(after("<a><b/></a>", "b", "2"), "<a><b>2</b></a>");
        assert_eq!(
            after("<a><b  x='/' /></a>", "b", "2"),
            "<a><b  x='/'>2</b></a>"
        );
        assert_eq!(
            after("<a><b><c/>x<!-- y --></b ></a>", "b", "<&>\r"),
            "<a><b>&lt;&amp;&gt;&#13;</b ></a>"
        );
        assert_eq!(after("<a><b>1</b></a>", "b", ""), "<a><b/></a>");
        assert_eq!(after("<a><b></b></a>", "b", ""), "<a><b/></a>");
        assert_eq!(after("<a><b /></a>", "b", ""), "<a><b /></a>");
    }

    #[test]
    fn finds_the_way() {
        let text = "<a><u><e>1</e></u><n><u><e>0</e></u></n><u><e>2</e></u></a>";
        assert_eq!(after(text, "u/e", "x"), text.replace('1', "x"));
        assert_eq!(after(text, "u[2]/e", "x"), text.replace('2', "x"));
        assert_eq!(after(text, "n/u/e", "x"), text.replace('0', "x"));
    }

    #[test]
    fn appends_the_last_step_only() {
        assert_eq!(after("<a/>", "b", "1"), "<a><b>1</b></a>");
        assert_eq!(after("<a></a>", "b", "1"), "<a><b>1</b></a>");
        assert_eq!(after("<a> </a>", "b", ""), "<a><b/></a>");
        assert_eq!(
            after("<a><!-- x --> </a>", "b", "1"),
            "<a><!-- x --><b>1</b></a>"
        );
        assert_eq!(after("<a><b/></a>", "b[2]", "1"), "<a><b/><b>1</b></a>");
        assert_eq!(
            after("<a>\n  <b/>\n</a>", "c", "1"),
            "<a>\n  <b/>\n  <c>1</c>\n</a>"
        );
        assert_eq!(
            after("<a>\r\n\r\n\t<b/><!-- x -->\r\n</a>", "c", "1"),
            "<a>\r\n\r\n\t<b/><!-- x -->\r\n\t<c>1</c>\r\n</a>"
        );
        assert_eq!(
            after("<a>\n  <b/>\n  <p><q/></p>\n</a>", "p/c", "1"),
            "<a>\n  <b/>\n  <p><q/><c>1</c></p>\n</a>"
        );
    }

    #[test]
    fn sets_attributes() {
        assert_eq!(
            after("<a><b x='1'/></a>", "b/@x", "\"'\n"),
            "<a><b x='&quot;&apos;&#10;'/></a>"
        );
        assert_eq!(
            after("<a><b x='1' /></a>", "b/@y", "2"),
            "<a><b x='1' y=\"2\" /></a>"
        );
        assert_eq!(after("<a >t</a>", "@y", ""), "<a y=\"\" >t</a>");
    }

    #[test]
    fn says_what_is_missing() {
        for (path, problem) in [
            (
                "plam/name",
                "no `plam` in `a`, which has `plan`, `user`, `e`",
            ),
            ("plan/x/y", "no `x` in `plan`, which has `name`"),
            ("user[4]", "no `user[4]` in `a`, which has 2 `user`"),
            ("e/x/y", "no `x` in `e`, which has no elements in it"),
            ("plan/name/x", "`name` contains text, not elements"),
            ("x/@y", "no `x` in `a`, which has `plan`, `user`, `e`"),
            ("x:y", "the namespace prefix `x` is not declared"),
            ("a b", "`a b` is not an element name"),
        ] {
            let text = "<a><plan><name>n</name></plan><user/><user></user><e></e></a>";
            assert_eq!(
                after(text, path, "v"),
                format!("cannot set `{path}`: {problem}")
            );
        }
        assert_eq!(
            after("<a/>", "b", "\u{1B}"),
            "cannot set `b`: the character U+001B is not allowed in XML 1.0"
        );
    }
}
