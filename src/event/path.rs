//! Paths of `--set` into the object of an event: `users/user[2]/email`, `plan/@default`. Wildcards, axes and predicates are
//! not supported.

use std::fmt;

use super::chars::is_qname;
use super::error::shown;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    /// The way down from the root element; may be empty if there is an attribute.
    pub(super) steps: Vec<PathStep>,
    /// The attribute of the last element.
    pub(super) attribute: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PathStep {
    /// The name as written, with its namespace prefix.
    pub(super) name: String,
    /// Which of the siblings of that name, counted from 1.
    pub(super) index: Option<usize>,
}

impl Path {
    /// The error is a message.
    pub(super) fn parse(path: &str) -> Result<Path, String> {
        let mut typed: Vec<&str> = path.split('/').collect();
        let attribute = typed.last().and_then(|last| last.strip_prefix('@'));
        if attribute.is_some() {
            typed.pop();
        }
        let steps = typed.into_iter().map(PathStep::parse);
        let steps = steps.collect::<Result<_, _>>()?;
        match attribute {
            Some(name) if !is_qname(name) => {
                Err(format!("`{}` is not an attribute name", shown(name)))
            }
            _ => Ok(Path {
                steps,
                attribute: attribute.map(str::to_owned),
            }),
        }
    }
}

impl PathStep {
    fn parse(typed: &str) -> Result<PathStep, String> {
        let (mut name, mut index) = (typed, None);
        if let Some(indexed) = typed.strip_suffix(']')
            && let Some((before, digits)) = indexed.split_once('[')
        {
            name = before;
            // `parse` alone would let a `+` through.
            let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            index = digits.parse().ok().filter(|&n| n > 0 && is_plain);
            if index.is_none() {
                let typed = shown(typed);
                return Err(format!("the index in `{typed}` is not a number from 1 up"));
            }
        }
        let shown = shown(name);
        match name {
            "" => Err("a step is empty".to_owned()),
            _ if name.starts_with('@') => {
                Err(format!("the attribute `{shown}` must be the last step"))
            }
            _ if !is_qname(name) => Err(format!("`{shown}` is not an element name")),
            _ => Ok(PathStep {
                name: name.to_owned(),
                index,
            }),
        }
    }
}

impl fmt::Display for PathStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.name))?;
        self.index.map_or(Ok(()), |index| write!(f, "[{index}]"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_steps_indices_and_attributes() {
        let path = Path::parse("users/user[2]/email").unwrap();
        let steps: Vec<_> = path
            .steps
            .iter()
            .map(|step| (step.name.as_str(), step.index))
            .collect();
        assert_eq!(
            (steps, path.attribute),
            (
                vec![("users", None), ("user", Some(2)), ("email", None)],
                None
            )
        );

        assert_eq!(
            Path::parse("@id").unwrap(),
            Path {
                steps: vec![],
                attribute: Some("id".to_owned())
            }
        );
        let path = Path::parse("plan/@default").unwrap();
        assert_eq!(
            (path.steps.len(), path.attribute.as_deref()),
            (1, Some("default"))
        );
    }

    #[test]
    fn refuses_the_rest() {
        for (path, message) in [
            ("", "a step is empty"),
            ("/a", "a step is empty"),
            ("a//b", "a step is empty"),
            ("a/", "a step is empty"),
            ("/@a", "a step is empty"),
            ("a[0]", "the index in `a[0]` is not a number from 1 up"),
            ("a[+1]", "the index in `a[+1]` is not a number from 1 up"),
            ("a[]", "the index in `a[]` is not a number from 1 up"),
            ("a[1", "`a[1` is not an element name"),
            ("*", "`*` is not an element name"),
            ("a b='1'><i", "`a b='1'><i` is not an element name"),
            ("@a/b", "the attribute `@a` must be the last step"),
            ("a/@", "`` is not an attribute name"),
        ] {
            assert_eq!(Path::parse(path), Err(message.to_owned()), "{path}");
        }
    }
}
