//! Where two JSON documents differ, by paths as in `jq`.

use std::borrow::Cow;
use std::collections::HashMap;

use super::{Differences, numbered};
use crate::capture::json::{Json, canonical_number, quoted, string};

/// Lists the differences in the order of `a`; what only `b` has comes last of its parent.
pub(super) fn compare_roots(a: &Json<'_>, b: &Json<'_>, differences: &mut Differences) {
    compare(Some(a), Some(b), &mut Vec::new(), differences);
}

/// `path` has the steps from the root to here, and is put together only for a difference: it may be long.
fn compare(
    a: Option<&Json<'_>>,
    b: Option<&Json<'_>>,
    path: &mut Vec<String>,
    differences: &mut Differences,
) {
    match (a, b) {
        (Some(Json::Scalar(a)), Some(Json::Scalar(b))) if canonical(a) == canonical(b) => {}
        (Some(Json::Array(a)), Some(Json::Array(b))) => {
            for i in 0..a.len().max(b.len()) {
                let dot = if path.is_empty() { "." } else { "" };
                path.push(format!("{dot}[{i}]"));
                compare(a.get(i), b.get(i), path, differences);
                path.pop();
                if differences.truncated {
                    return;
                }
            }
        }
        (Some(Json::Object(a)), Some(Json::Object(b))) => {
            let ours = numbered(a.iter().map(|(key, value)| (key.as_str(), value)));
            let theirs = numbered(b.iter().map(|(key, value)| (key.as_str(), value)));
            let by_key: HashMap<(&str, usize), &Json<'_>> = theirs.iter().copied().collect();
            let known: HashMap<(&str, usize), &Json<'_>> = ours.iter().copied().collect();
            let only_theirs = theirs.iter().filter(|(key, _)| !known.contains_key(key));
            let pairs = ours
                .iter()
                .map(|(key, value)| (key, Some(*value), by_key.get(key).copied()))
                .chain(only_theirs.map(|(key, value)| (key, None, Some(*value))));
            for (key, a, b) in pairs {
                path.push(member(*key));
                compare(a, b, path, differences);
                path.pop();
                if differences.truncated {
                    return;
                }
            }
        }
        _ => {
            let path = if path.is_empty() {
                ".".to_owned()
            } else {
                path.concat()
            };
            differences.push(path, a.map(summary), b.map(summary));
        }
    }
}

fn summary(value: &Json<'_>) -> String {
    match value {
        Json::Scalar(written) => (*written).to_owned(),
        Json::Array(items) if items.is_empty() => "[]".to_owned(),
        Json::Array(_) => "[…]".to_owned(),
        Json::Object(members) if members.is_empty() => "{}".to_owned(),
        Json::Object(_) => "{…}".to_owned(),
    }
}

/// `.name` or `."odd name"`, with the number of a repeated key.
fn member((key, number): (&str, usize)) -> String {
    let simple = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let key = if simple { key.to_owned() } else { quoted(key) };
    match number {
        1 => format!(".{key}"),
        _ => format!(".{key} (number {number})"),
    }
}

/// The same text for scalars with the same value.
fn canonical(written: &str) -> Cow<'_, str> {
    match string(written) {
        Some(text) => Cow::Owned(format!("\"{text}")),
        None => canonical_number(written).map_or(Cow::Borrowed(written), Cow::Owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(a: &str, b: &str) -> Vec<String> {
        let (a, b) = (
            Json::parse(a.as_bytes()).unwrap(),
            Json::parse(b.as_bytes()).unwrap(),
        );
        let mut differences = Differences::default();
        compare_roots(&a, &b, &mut differences);
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        differences
            .found
            .iter()
            .map(|d| format!("{}: {} / {}", d.path, shown(&d.a), shown(&d.b)))
            .collect()
    }

    #[test]
    fn spelling_does_not_count() {
        for (a, b) in [
            (
                "{\"a\":1,\"b\":[true,null]}",
                " { \"b\" : [ true , null ] , \"a\" : 1 } ",
            ),
            ("[1,10,0.5,-0,1e3,120]", "[1.0,1E1,5e-1,0,1000,1.2e2]"),
            ("\"\\u00e9\\/\"", "\"é/\""),
            ("{\"\\u0061\":0}", "{\"a\":0.0}"),
        ] {
            assert_eq!(found(a, b), [""; 0], "{a} {b}");
        }
    }

    #[test]
    fn each_difference_has_its_path() {
        assert_eq!(
            found(
                r#"{"a":{"b":[1,2]},"x y":1,"c":"1","d":[]}"#,
                r#"{"a":{"b":[1,3,4]},"c":1,"e":{}}"#
            ),
            [
                ".a.b[1]: 2 / 3",
                ".a.b[2]: - / 4",
                ".\"x y\": 1 / -",
                ".c: \"1\" / 1",
                ".d: [] / -",
                ".e: - / {}"
            ]
        );
        assert_eq!(found("[1]", "{}"), [".: […] / {}"]);
        assert_eq!(found("[1]", "[2]"), [".[0]: 1 / 2"]);
    }

    #[test]
    fn no_digit_is_lost() {
        let (a, b) = ("12345678901234567890123", "12345678901234567890124");
        assert_eq!(found(a, b), [format!(".: {a} / {b}")]);
        assert_eq!(
            found("1e99999999999999999999", "1e99999999999999999998").len(),
            1
        );
        assert_eq!(
            found("{\"a\":1,\"a\":2}", "{\"a\":2}"),
            [".a: 1 / 2", ".a (number 2): 2 / -"]
        );
    }
}
