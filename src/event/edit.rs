//! Changes one field of an object.
//!
//! The path is followed in the parsed object, one range of its text is replaced, and the result is parsed again: no byte
//! outside the field changes, and no edit makes an object that could not have been parsed.

use std::ops::Range;

use roxmltree::Node;

use super::chars::{escape_attribute, escape_text, is_blank, is_space, is_xml_char};
use super::error::{EventError, shown};
use super::path::{Path, PathStep};
use super::{MAX_DEPTH, xml};

/// The text of an object with the field at `path` set to `value`; see [`Object::set`](super::Object::set).
pub(super) fn set(text: &str, path: &str, value: &str) -> Result<String, EventError> {
    let refuse = |problem| EventError::Set {
        path: shown(path),
        problem,
    };
    let document = xml::parse(text, MAX_DEPTH)?;
    let (range, with) = plan(document.root_element(), path, value).map_err(refuse)?;
    let changed = [&text[..range.start], &with, &text[range.end..]].concat();
    match xml::root_element(&changed, MAX_DEPTH) {
        Ok(_) => Ok(changed),
        // Its position is in a text that the user never sees.
        Err(EventError::Malformed { problem, .. }) => Err(refuse(problem)),
        Err(other) => Err(refuse(other.to_string())),
    }
}

/// A range of the text, and what replaces it.
type Edit = (Range<usize>, String);

fn plan(root: Node<'_, '_>, path: &str, value: &str) -> Result<Edit, String> {
    let path = Path::parse(path)?;
    if let Some(c) = value.chars().find(|&c| !is_xml_char(c)) {
        let code = u32::from(c);
        return Err(format!(
            "the character U+{code:04X} is not allowed in XML 1.0"
        ));
    }
    let mut at = root;
    for (n, step) in path.steps.iter().enumerate() {
        let same = xml::elements(at).filter(|(name, _)| *name == step.name);
        let same: Vec<Node<'_, '_>> = same.map(|(_, child)| child).collect();
        let index = step.index.unwrap_or(1) - 1;
        let is_last = n + 1 == path.steps.len() && path.attribute.is_none();
        match same.get(index) {
            Some(child) => at = *child,
            None if is_last && same.len() == index => return append(at, &step.name, value),
            None => return Err(missing(at, step, same.len())),
        }
    }
    Ok(match &path.attribute {
        Some(name) => set_attribute(at, name, value),
        None => set_content(at, &escape_text(value)),
    })
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
    use super::*;

    fn after(text: &str, path: &str, value: &str) -> String {
        set(text, path, value).unwrap_or_else(|error| error.to_string())
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
