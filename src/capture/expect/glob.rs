//! Patterns of paths: `*` stands for any characters, `?` for one.

use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(String);

impl Glob {
    pub fn new(pattern: &str) -> Glob {
        Glob(pattern.to_owned())
    }

    pub fn matches(&self, text: &str) -> bool {
        let (pattern, text) = (self.0.as_bytes(), text.as_bytes());
        let (mut at, mut read) = (0, 0);
        // Where the last `*` is, and how much of the text it stands for ends where.
        let mut star: Option<(usize, usize)> = None;
        while read < text.len() {
            match pattern.get(at) {
                Some(b'*') => {
                    star = Some((at, read));
                    at += 1;
                }
                Some(&byte) if byte == b'?' || byte == text[read] => {
                    at += 1;
                    read += 1;
                }
                _ => {
                    let Some((star_at, end)) = star else {
                        return false;
                    };
                    star = Some((star_at, end + 1));
                    (at, read) = (star_at + 1, end + 1);
                }
            }
        }
        pattern[at..].iter().all(|byte| *byte == b'*')
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_whole_paths() {
        for (pattern, path, expected) in [
            ("/hook", "/hook", true),
            ("/hook", "/hook/1", false),
            ("/hook*", "/hook/1", true),
            ("*/paid", "/a/b/paid", true),
            ("*/paid", "/a/b/paid/x", false),
            ("/a*b*c", "/a-b-b-c", true),
            ("/a?c", "/abc", true),
            ("/a?c", "/ac", false),
            ("*", "", true),
            ("", "/", false),
        ] {
            assert_eq!(
                Glob::new(pattern).matches(path),
                expected,
                "{pattern} {path}"
            );
        }
        let hard = Glob::new(&"*a".repeat(200));
        assert!(!hard.matches(&format!("{}b", "a".repeat(2_000))));
    }
}
