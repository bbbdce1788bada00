//! Changing one field of an object.
//!
//! The text is scanned into an [`Outline`], the path is followed in it, and one range of bytes is
//! replaced. Deliberately not a tree that is written out again: that would touch every byte to
//! change one.
//!
//! Invariant: no edit can make an object that could not have been parsed. One that brings a name in
//! goes through the scanner once more; one that brings only escaped characters, into a place that the
//! scanner has seen, cannot make anything else of the text.

use std::ops::Range;

use super::chars::{escape_attribute, escape_text, is_space, is_xml_char};
use super::error::{EventError, shown};
use super::object::Object;
use super::outline::{Element, Outline};
use super::path::{Path, Step};

/// The object with the field at `path` set to `value`; see [`Object::set`].
pub(super) fn set(object: &Object, path: &str, value: &str) -> Result<Object, EventError> {
    let refuse = |problem| EventError::Set {
        path: shown(path),
        problem,
    };
    let outline = Outline::of(object.as_str())?;
    let edit = outline.plan(path, value).map_err(refuse)?;
    let (names, text) = (edit.names, edit.apply(object.as_str()));
    if !names {
        return Ok(Object::written(text));
    }
    Object::from_text(&text).map_err(|error| match error {
        // Its position is in a text that nobody will see.
        EventError::Malformed { problem, .. } => refuse(problem),
        other => refuse(other.to_string()),
    })
}

/// One replacement in the text.
struct Edit {
    range: Range<usize>,
    with: String,
    /// Whether a name comes in that may mean nothing there, stand there already, or be nested too deep.
    names: bool,
}

impl Edit {
    /// Escaped characters, or nothing.
    fn text(range: Range<usize>, with: String) -> Edit {
        Edit {
            range,
            with,
            names: false,
        }
    }

    fn markup(range: Range<usize>, with: String) -> Edit {
        Edit {
            range,
            with,
            names: true,
        }
    }

    fn apply(self, text: &str) -> String {
        [
            &text[..self.range.start],
            &self.with,
            &text[self.range.end..],
        ]
        .concat()
    }
}

impl<'a> Outline<'a> {
    fn plan(&self, path: &str, value: &str) -> Result<Edit, String> {
        let path = Path::parse(path)?;
        if let Some(c) = value.chars().find(|&c| !is_xml_char(c)) {
            return Err(format!(
                "the character U+{:04X} is not allowed in XML 1.0",
                u32::from(c)
            ));
        }
        let mut at = 0;
        for (n, step) in path.steps.iter().enumerate() {
            let same: Vec<usize> = self
                .children(at)
                .filter(|&child| self.elements[child].name == step.name)
                .collect();
            let is_last = n + 1 == path.steps.len() && path.attribute.is_none();
            match same.get(step.index - 1) {
                Some(&child) => at = child,
                None if is_last && same.len() == step.index - 1 => {
                    return self.append(at, step.name, value);
                }
                None => return Err(self.missing(at, step, same.len())),
            }
        }
        Ok(match path.attribute {
            Some(name) => self.set_attribute(at, name, value),
            None => self.set_content(at, &escape_text(value)),
        })
    }

    /// Replaces all that is in the element by `content`, which is escaped.
    fn set_content(&self, element: usize, content: &str) -> Edit {
        let Element { name, open, .. } = &self.elements[element];
        match self.elements[element].content() {
            // 3scale's own form of nothing.
            Some(_) if content.is_empty() => {
                Edit::text(open.end - 1..self.elements[element].end(), "/>".to_owned())
            }
            Some(range) => Edit::text(range, content.to_owned()),
            None if content.is_empty() => Edit::text(open.end..open.end, String::new()),
            None => {
                let tag = self.text[open.start..open.end - "/>".len()].trim_end_matches(is_space);
                Edit::text(
                    open.start + tag.len()..open.end,
                    format!(">{content}</{name}>"),
                )
            }
        }
    }

    fn set_attribute(&self, element: usize, name: &str, value: &str) -> Edit {
        let Element {
            name: element_name,
            attributes,
            open,
            ..
        } = &self.elements[element];
        let value = escape_attribute(value).into_owned();
        match attributes.iter().find(|attribute| attribute.name == name) {
            // It may be what declares a prefix.
            Some(attribute) => Edit::markup(attribute.value_span.clone(), value),
            None => {
                let after_name = open.start + "<".len() + element_name.len();
                let at = attributes
                    .last()
                    .map_or(after_name, |last| last.value_span.end + 1);
                Edit::markup(at..at, format!(" {name}=\"{value}\""))
            }
        }
    }

    /// Adds `<name>value</name>` as the last child of `parent`.
    fn append(&self, parent: usize, name: &str, value: &str) -> Result<Edit, String> {
        let value = escape_text(value);
        let child = if value.is_empty() {
            format!("<{name}/>")
        } else {
            format!("<{name}>{value}</{name}>")
        };
        let Some(content) = self.elements[parent].content() else {
            return Ok(Edit {
                names: true,
                ..self.set_content(parent, &child)
            });
        };
        let inside = &self.text[content.clone()];
        let filled = content.start + inside.trim_end_matches(is_space).len();
        let Some(last) = self.children(parent).last() else {
            if self.elements[parent].has_text {
                // An element beside text would hardly be what was meant.
                let name = shown(self.elements[parent].name);
                return Err(format!("`{name}` holds text, not elements"));
            }
            return Ok(Edit::markup(filled..content.end, child));
        };
        Ok(match self.line_start_of(last) {
            Some(indent) => Edit::markup(filled..filled, indent.to_owned() + &child),
            None => Edit::markup(content.end..content.end, child),
        })
    }

    /// The line break and indentation before an element that begins its line.
    fn line_start_of(&self, element: usize) -> Option<&'a str> {
        let before = &self.text[..self.elements[element].open.start];
        let space = &before[before.trim_end_matches(is_space).len()..];
        // From the last break on: blank lines above are not repeated. A CR belongs to its LF.
        let newline = space.rfind('\n')?;
        let start = if space[..newline].ends_with('\r') {
            newline - 1
        } else {
            newline
        };
        Some(&space[start..])
    }

    fn missing(&self, parent: usize, step: &Step<'_>, same: usize) -> String {
        const MOST: usize = 12;
        let parent_name = shown(self.elements[parent].name);
        let typed = shown(step.typed);
        if same > 0 {
            return format!(
                "no `{typed}` in `{parent_name}`, which has {same} `{}`",
                shown(step.name)
            );
        }
        let mut names: Vec<&str> = Vec::new();
        for child in self.children(parent) {
            if !names.contains(&self.elements[child].name) {
                names.push(self.elements[child].name);
            }
            if names.len() > MOST {
                break;
            }
        }
        if names.is_empty() {
            return format!("no `{typed}` in `{parent_name}`, which has no elements in it");
        }
        let more = if names.len() > MOST { ", …" } else { "" };
        let list: Vec<String> = names
            .iter()
            .take(MOST)
            .map(|name| format!("`{}`", shown(name)))
            .collect();
        format!(
            "no `{typed}` in `{parent_name}`, which has {}{more}",
            list.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(text: &str, path: &str, value: &str) -> String {
        let mut object = Object::parse(text.as_bytes()).unwrap();
        match object.set(path, value) {
            Ok(()) => object.as_str().to_owned(),
            Err(error) => {
                assert_eq!(object.as_str(), text, "unchanged after an error");
                error.to_string()
            }
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
            ("plan/name/x", "`name` holds text, not elements"),
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
