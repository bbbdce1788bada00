//! The parts of a multipart body (RFC 2046, 5.1; RFC 7578), for lists.

use memchr::memmem;

use super::header_text;

/// More parts are not listed.
pub const MAX_PARTS: usize = 100;

/// A part, without its content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BodyPart {
    /// The `name` parameter of the part's `Content-Disposition`.
    pub name: Option<String>,
    pub file_name: Option<String>,
    pub content_type: Option<String>,
    /// The size of the part's content, in bytes.
    pub size: usize,
}

/// The first parts of a body; none if its type is not multipart, or has no boundary.
pub fn parts(content_type: &str, body: &[u8]) -> Option<Vec<BodyPart>> {
    let (media_type, _) = content_type.split_once(';')?;
    let is_multipart = media_type
        .trim()
        .to_ascii_lowercase()
        .starts_with("multipart/");
    let boundary = parameter(content_type, "boundary").filter(|_| is_multipart)?;
    let delimiter = [b"\r\n--", boundary.as_bytes()].concat();
    // The first delimiter may be at the very beginning.
    let mut rest = match body.strip_prefix(&delimiter[2..]) {
        Some(rest) => rest,
        None => &body[memmem::find(body, &delimiter)? + delimiter.len()..],
    };
    let mut found = Vec::new();
    while found.len() < MAX_PARTS && !rest.starts_with(b"--") {
        let line_end = memmem::find(rest, b"\r\n")?;
        let start = &rest[line_end..];
        // A part that is cut off ends with the body.
        let end = memmem::find(start, &delimiter).unwrap_or(start.len());
        found.push(part(&start[..end]));
        rest = start.get(end + delimiter.len()..).unwrap_or(b"--");
    }
    Some(found)
}

/// Reads a part that begins with the end of the delimiter's line.
fn part(bytes: &[u8]) -> BodyPart {
    let (head, content) = match memmem::find(bytes, b"\r\n\r\n") {
        Some(at) => (&bytes[..at], &bytes[at + 4..]),
        None => (bytes, &b""[..]),
    };
    let mut part = BodyPart {
        size: content.len(),
        ..BodyPart::default()
    };
    for line in header_text(head).split("\r\n") {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        match name.trim().to_ascii_lowercase().as_str() {
            "content-disposition" => {
                part.name = parameter(value, "name");
                part.file_name = parameter(value, "filename");
            }
            "content-type" => part.content_type = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    part
}

/// The value of a parameter such as `; name="a"`.
fn parameter(header: &str, name: &str) -> Option<String> {
    let mut rest = header;
    loop {
        let (_, after) = rest.split_once(';')?;
        let (given, value) = after.split_once('=')?;
        let value = value.trim_start();
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => unquoted(quoted),
            None => {
                let end = value.find(';').unwrap_or(value.len());
                (value[..end].trim_end().to_owned(), &value[end..])
            }
        };
        if given.trim().eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = after;
    }
}

/// The text up to the closing quote, and what follows it.
fn unquoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' if text[at + 1..].starts_with(['"', '\\']) => {
                value.extend(chars.next().map(|(_, c)| c));
            }
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; charset=utf-8; boundary=\"a b\"";

    #[test]
    fn parts_have_name_file_type_and_size() {
        let body = b"preamble\r\n--a b\r\nContent-Disposition: form-data; name=\"no;te\"\r\n\r\nhello\r\n--a b \r\n\
            content-disposition: form-data; name=file; filename=\"a \\\"b\\\".png\"\r\nContent-Type: image/png\r\n\r\n\
            \x00\r\n\xff\r\n--a b--\r\n";
        let found = parts(TYPE, body).unwrap();
        let note = BodyPart {
            name: Some("no;te".to_owned()),
            size: 5,
            ..BodyPart::default()
        };
        let file = BodyPart {
            name: Some("file".to_owned()),
            file_name: Some("a \"b\".png".to_owned()),
            content_type: Some("image/png".to_owned()),
            size: 4,
        };
        assert_eq!(found, [note, file]);
    }

    #[test]
    fn other_bodies_have_no_parts() {
        assert_eq!(
            parts("text/plain; boundary=a", b"--a\r\n\r\nx\r\n--a--"),
            None
        );
        assert_eq!(parts("multipart/form-data", b"--a\r\n\r\nx\r\n--a--"), None);
        assert_eq!(parts(TYPE, b"no delimiter"), None);
        assert_eq!(parts(TYPE, b"--a b--"), Some(Vec::new()));
        let cut = parts(TYPE, b"--a b\r\nContent-Type: a/b\r\n\r\n123").unwrap();
        assert_eq!((cut.len(), cut[0].size), (1, 3));
    }

    #[test]
    fn fuzzed_bodies_do_not_panic() {
        let seeds: &[&[u8]] =
            &[b"--a b\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\nhello\r\n--a b--\r\n"];
        crate::fuzz::fuzz(
            seeds,
            &["\r\n--a b", "\r\n\r\n", "\"", "\\", ";", "="],
            |input| {
                let _ = parts(TYPE, input);
                let _ = parts(&String::from_utf8_lossy(input), input);
            },
        );
    }
}
