//! Changes of single values in JSON. Everything else stays as written: white space, the order and repeats of keys, and the
//! spelling of numbers.
//!
//! Each change scans the text once and builds no tree, so that memory is bounded by the text's length.

use std::ops::Range;

use serde_json::value::RawValue;

use super::path::Selector;
use super::{FieldPath, Tokens, json_text, unquoted, without_mark};

/// The most keys that an error lists.
const MAX_LISTED_KEYS: usize = 12;

/// Limits the recursion over a path.
const MAX_STEPS: usize = 1_000;

#[derive(Clone, Debug)]
pub struct Change {
    path: FieldPath,
    /// The new value, written as JSON.
    value: String,
}

impl Change {
    /// Reads `PATH=TEXT`, which sets a string, or `PATH:=JSON`. The error is a message.
    pub fn parse(text: &str) -> Result<Change, String> {
        let (path, value) = FieldPath::split(text)
            .ok_or_else(|| format!("`--set` takes PATH=TEXT or PATH:=JSON, not `{text}`"))?;
        match path.strip_suffix(':') {
            Some(path) => Change::json(path, value),
            None => Change::text(path, value),
        }
    }

    /// A change that sets a field to a string.
    pub fn text(path: &str, text: &str) -> Result<Change, String> {
        let value = serde_json::to_string(text).map_err(|e| e.to_string())?;
        Change::new(path, value)
    }

    /// Sets a value that is written as JSON, and keeps its spelling.
    pub fn json(path: &str, json: &str) -> Result<Change, String> {
        let value = serde_json::from_str::<&RawValue>(json)
            .map_err(|e| format!("cannot set `{path}`: its value is not JSON: {e}"))?;
        Change::new(path, value.get().to_owned())
    }

    fn new(path: &str, value: String) -> Result<Change, String> {
        let path =
            FieldPath::parse(path).map_err(|problem| format!("cannot set `{path}`: {problem}"))?;
        Ok(Change { path, value })
    }
}

/// Makes the changes one after the other. A missing key at the end of a path is added, as is the item after the last of an
/// array. The error is a message.
pub fn edit_json(body: &[u8], changes: &[Change]) -> Result<Vec<u8>, String> {
    let mark = &body[..body.len() - without_mark(body).len()];
    let mut text = json_text(body)
        .map_err(|e| format!("the body is not JSON, and `--set` changes only JSON: {e}"))?
        .to_owned();
    for change in changes {
        let path = change.path.as_str();
        let (range, with) = plan(&text, change).map_err(|e| format!("cannot set `{path}`: {e}"))?;
        text.replace_range(range, &with);
    }
    // White space around the JSON is not part of `text`.
    let (before, after) = around(body, mark.len());
    Ok([mark, before, text.as_bytes(), after].concat())
}

/// The white space before and after the JSON text of a body that begins with a byte order mark of this length.
fn around(body: &[u8], mark: usize) -> (&[u8], &[u8]) {
    let rest = &body[mark..];
    let before = rest.len() - rest.trim_ascii_start().len();
    let after = rest.trim_ascii_end().len();
    (&rest[..before], &rest[after..])
}

/// A range of the text, and what replaces it.
type Replacement = (Range<usize>, String);

fn plan(text: &str, change: &Change) -> Result<Replacement, String> {
    let selectors = change.path.selectors()?;
    if selectors.len() > MAX_STEPS {
        return Err(format!("the path has more than {MAX_STEPS} steps"));
    }
    let mut scan = Scan {
        text,
        tokens: Tokens(text),
        value: &change.value,
    };
    let first = scan.token().unwrap_or(0..0);
    scan.change(first, &selectors, "the body".to_owned())
}

/// Goes through the text once, down to the value to change.
struct Scan<'t> {
    text: &'t str,
    tokens: Tokens<'t>,
    /// The new value, as JSON.
    value: &'t str,
}

impl Scan<'_> {
    /// Where the next token is.
    fn token(&mut self) -> Option<Range<usize>> {
        let token = self.tokens.next()?;
        let end = self.position();
        Some(end - token.len()..end)
    }

    /// The end of the last token.
    fn position(&self) -> usize {
        self.text.len() - self.tokens.0.len()
    }

    /// The change of the value that begins with the token `first`; passes over the whole value. `shown` names it in errors.
    fn change(
        &mut self,
        first: Range<usize>,
        selectors: &[Selector<'_>],
        shown: String,
    ) -> Result<Replacement, String> {
        let [selector, rest @ ..] = selectors else {
            self.skip_rest(&first);
            return Ok((first.start..self.position(), self.value.to_owned()));
        };
        let mut container = Container::new(self.text, &first);
        // Of a repeated key it is the last, which is what most receivers read.
        let mut found = None;
        while container.kind != JsonKind::Scalar {
            let begins = self.position();
            let Some((key, first)) = self.entry(container.kind) else {
                break;
            };
            let start = first.start;
            if container.selects(self.text, key.clone(), selector) {
                found = Some(self.change(first, rest, format!("`{selector}`")));
            } else {
                self.skip_rest(&first);
            }
            container.last = Some(Entry {
                begins,
                key,
                value: start..self.position(),
            });
            if self.tokens.next() != Some(",") {
                break;
            }
        }
        container.content.end = self.position() - 1;
        match found {
            Some(found) => found,
            None if rest.is_empty() && container.may_add(selector) => {
                Ok(container.addition(self.text, selector, self.value))
            }
            None => Err(container.missing(selector, &shown)),
        }
    }

    /// The key of the next member, if it has one, and the first token of its value; none at the closing bracket.
    fn entry(&mut self, kind: JsonKind) -> Option<(Option<Range<usize>>, Range<usize>)> {
        let token = self.token()?;
        match &self.text[token.clone()] {
            "]" | "}" => None,
            _ if kind == JsonKind::Array => Some((None, token)),
            _ => {
                self.tokens.next()?; // The colon.
                Some((Some(token), self.token()?))
            }
        }
    }

    /// Passes over what follows the first token of a value.
    fn skip_rest(&mut self, first: &Range<usize>) {
        let mut depth = usize::from(matches!(&self.text[first.clone()], "[" | "{"));
        while depth > 0 {
            match self.tokens.next() {
                Some("[" | "{") => depth += 1,
                Some("]" | "}") => depth -= 1,
                Some(_) => {}
                None => return,
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum JsonKind {
    Object,
    Array,
    Scalar,
}

/// One level of an object or array, scanned for a member or item.
struct Container {
    kind: JsonKind,
    /// The first keys, to be listed in an error.
    keys: Vec<String>,
    count: usize,
    last: Option<Entry>,
    /// The bytes between the brackets.
    content: Range<usize>,
}

/// A member of an object, or an item of an array.
struct Entry {
    /// Behind the comma or bracket before it.
    begins: usize,
    key: Option<Range<usize>>,
    value: Range<usize>,
}

impl Container {
    /// The value that begins with this token, not scanned yet.
    fn new(text: &str, first: &Range<usize>) -> Container {
        Container {
            kind: match &text[first.clone()] {
                "{" => JsonKind::Object,
                "[" => JsonKind::Array,
                _ => JsonKind::Scalar,
            },
            keys: Vec::new(),
            count: 0,
            last: None,
            content: first.end..first.end,
        }
    }

    /// Counts an entry; whether it is the selected one.
    fn selects(&mut self, text: &str, key: Option<Range<usize>>, selector: &Selector<'_>) -> bool {
        self.count += 1;
        let Some(key) = key.map(|key| unquoted(&text[key])) else {
            return *selector == Selector::Item(self.count);
        };
        let is_selected = *selector == Selector::Key(&key);
        if self.keys.len() <= MAX_LISTED_KEYS {
            self.keys.push(key.into_owned());
        }
        is_selected
    }

    fn may_add(&self, selector: &Selector<'_>) -> bool {
        match selector {
            Selector::Key(_) => self.kind == JsonKind::Object,
            Selector::Item(number) => self.kind == JsonKind::Array && *number == self.count + 1,
        }
    }

    /// Adds a value at the end, spaced like the last entry.
    fn addition(&self, text: &str, selector: &Selector<'_>, value: &str) -> Replacement {
        let key = match selector {
            Selector::Key(name) => serde_json::to_string(name).ok(),
            Selector::Item(_) => None,
        };
        let Some(last) = &self.last else {
            let entry = key.map(|key| format!("{key}:{value}"));
            return (
                self.content.clone(),
                entry.unwrap_or_else(|| value.to_owned()),
            );
        };
        let first = last.key.as_ref().unwrap_or(&last.value).start;
        let mut added = format!(",{}", &text[last.begins..first]);
        if let (Some(key), Some(last_key)) = (key, &last.key) {
            added += &key;
            added += &text[last_key.end..last.value.start];
        }
        (last.value.end..last.value.end, added + value)
    }

    fn missing(&self, selector: &Selector<'_>, parent: &str) -> String {
        let items = |count| crate::text::count(count, "item", "items");
        match (self.kind, selector) {
            (JsonKind::Scalar, _) => format!("{parent} is not an object or array"),
            (JsonKind::Array, Selector::Key(_)) => {
                format!("{parent} is an array; select an item with `[N]`")
            }
            (JsonKind::Object, Selector::Item(_)) => format!("{parent} is an object, not an array"),
            (JsonKind::Array, Selector::Item(_)) => {
                format!(
                    "no `{selector}` in {parent}, which has {}",
                    items(self.count)
                )
            }
            (JsonKind::Object, Selector::Key(_)) if self.keys.is_empty() => {
                format!("no `{selector}` in {parent}, which has no keys")
            }
            (JsonKind::Object, Selector::Key(_)) => {
                let mut keys: Vec<String> =
                    self.keys.iter().map(|key| format!("`{key}`")).collect();
                if keys.len() > MAX_LISTED_KEYS {
                    keys.truncate(MAX_LISTED_KEYS);
                    keys.push("…".to_owned());
                }
                format!("no `{selector}` in {parent}, which has {}", keys.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn after(body: &str, changes: &[&str]) -> String {
        let changes = changes.iter().map(|change| Change::parse(change));
        let edited = changes
            .collect::<Result<Vec<_>, _>>()
            .and_then(|changes| edit_json(body.as_bytes(), &changes));
        edited.map_or_else(|error| error, |body| String::from_utf8(body).unwrap())
    }

    #[test]
    fn values_are_replaced_and_the_rest_stays_as_written() {
        let body = "\u{feff} {\"n\": 1.00e5,\t\"a\" : {\"b\":[10.50, {\"c\":null}]}, \"n\":2}\r\n";
        for (change, old, new) in [
            ("a/b[1]=x \"y\"", "10.50", r#""x \"y\"""#),
            ("a/b/[1]:=1e400", "10.50", "1e400"),
            ("a/b/[2]/c=null", "null", "\"null\""),
            ("a/b/[2]:= {\"d\": 1.0} ", "{\"c\":null}", "{\"d\": 1.0}"),
            ("n:=3", ":2", ":3"),
            ("/a/b:=[]", "[10.50, {\"c\":null}]", "[]"),
        ] {
            assert_eq!(after(body, &[change]), body.replace(old, new), "{change}");
        }
        assert_eq!(after(body, &[]), body);
    }

    #[test]
    fn keys_are_used_as_they_are() {
        let body = r#"{"a/b":1,"c=d":2,"@x":3,"":4,"e:":5,"\u0066":6}"#;
        for (change, old) in [
            ("\"a/b\":=0", "1"),
            ("\"c=d\":=0", "2"),
            ("@x:=0", "3"),
            ("\"\":=0", "4"),
            ("\"e:\":=0", "5"),
            ("f:=0", "6}"),
        ] {
            let new = if old == "6}" { "0}" } else { "0" };
            assert_eq!(
                after(body, &[change]),
                body.replacen(old, new, 1),
                "{change}"
            );
        }
    }

    #[test]
    fn what_is_missing_at_the_end_is_added() {
        for (body, change, expected) in [
            ("{}", "a=1", r#"{"a":"1"}"#),
            ("[ ]", "[1]:=1", "[1]"),
            (r#"{"a": 1}"#, "b=é", r#"{"a": 1,"b": "é"}"#),
            (
                "{\n  \"a\": 1\n}\n",
                "b:=2",
                "{\n  \"a\": 1,\n  \"b\": 2\n}\n",
            ),
            ("[1, 2]", "[3]:=3", "[1, 2, 3]"),
            (r#"{"l":[[1],[2]]}"#, "l[2]/[2]:=3", r#"{"l":[[1],[2,3]]}"#),
        ] {
            assert_eq!(after(body, &[change]), expected);
        }
        assert_eq!(
            after("{}", &["a:={}", "a/b:=[]", "a/b[1]=x"]),
            r#"{"a":{"b":["x"]}}"#
        );
    }

    #[test]
    fn errors_name_the_path_and_what_there_is() {
        let body = r#"{"a":{"b":[1,2]},"t":"x"}"#;
        for (change, message) in [
            (
                "x/y=1",
                "cannot set `x/y`: no `x` in the body, which has `a`, `t`",
            ),
            (
                "a/x/y=1",
                "cannot set `a/x/y`: no `x` in `a`, which has `b`",
            ),
            (
                "a/b[4]=1",
                "cannot set `a/b[4]`: no `[4]` in `b`, which has 2 items",
            ),
            (
                "a/b/c=1",
                "cannot set `a/b/c`: `b` is an array; select an item with `[N]`",
            ),
            ("t/c=1", "cannot set `t/c`: `t` is not an object or array"),
            (
                "a[1]=1",
                "cannot set `a[1]`: `a` is an object, not an array",
            ),
            (
                "//b=1",
                "cannot set `//b`: a path that begins with `//` can select several values",
            ),
            (
                "a[0]=1",
                "cannot set `a[0]`: the index in `a[0]` is not a number from 1 up",
            ),
            ("a", "`--set` takes PATH=TEXT or PATH:=JSON, not `a`"),
        ] {
            assert_eq!(after(body, &[change]), message);
        }
        assert!(after(body, &["a:=x"]).starts_with("cannot set `a`: its value is not JSON: "));
        for other in ["", "<a/>", "{\"a\":1", "{} {}"] {
            let message = after(other, &["a=1"]);
            assert!(message.starts_with("the body is not JSON"), "{message}");
        }
    }

    #[test]
    fn a_deep_change_of_a_large_body_takes_linear_time() {
        let levels = MAX_STEPS - 1;
        let filler = format!("\"{}\",", "x".repeat(90)).repeat(100_000);
        let body = format!(
            "{}[{filler}0]{}",
            "{\"a\":".repeat(levels),
            "}".repeat(levels)
        );
        let path = vec!["a"; levels].join("/");
        let begun = std::time::Instant::now();
        let edited = after(&body, &[&format!("{path}/[100001]:=1")]);
        assert!(
            begun.elapsed() < std::time::Duration::from_secs(20),
            "{:?}",
            begun.elapsed()
        );
        assert_eq!(edited.len(), body.len());
        assert!(edited.ends_with(&format!("1]{}", "}".repeat(levels))));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-z\"\\\\{}\\[\\],: é]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[ab]", inner, 0..3)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_change_does_to_the_text_what_it_does_to_the_tree(
            tree in any_json(),
            pretty: bool,
            steps in prop::collection::vec(prop::sample::select(vec!["a", "b", "[1]", "[2]"]), 1..4),
            value in any_json(),
        ) {
            let text = if pretty { serde_json::to_string_pretty(&tree) } else { serde_json::to_string(&tree) }.unwrap();
            let change = Change::json(&steps.join("/"), &value.to_string()).unwrap();
            let edited = edit_json(text.as_bytes(), &[change]);
            let mut expected = tree;
            let is_set = set(&mut expected, &steps, value);
            match edited {
                Ok(edited) => {
                    prop_assert!(is_set);
                    prop_assert_eq!(serde_json::from_slice::<Value>(&edited).unwrap(), expected);
                }
                Err(_) => prop_assert!(!is_set),
            }
        }
    }

    /// The same with serde_json's own tree.
    fn set(tree: &mut Value, steps: &[&str], value: Value) -> bool {
        let [step, rest @ ..] = steps else {
            *tree = value;
            return true;
        };
        let index = step
            .strip_prefix('[')
            .and_then(|step| step.strip_suffix(']'));
        match (tree, index.map(|index| index.parse::<usize>().unwrap())) {
            (Value::Object(members), None) if rest.is_empty() => {
                members.insert((*step).to_owned(), value);
                true
            }
            (Value::Object(members), None) => members
                .get_mut(*step)
                .is_some_and(|child| set(child, rest, value)),
            (Value::Array(items), Some(number)) if rest.is_empty() && number == items.len() + 1 => {
                items.push(value);
                true
            }
            (Value::Array(items), Some(number)) => items
                .get_mut(number - 1)
                .is_some_and(|child| set(child, rest, value)),
            _ => false,
        }
    }
}
