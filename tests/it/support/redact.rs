//! Replaces values that differ between runs (paths, ports, IDs, times), so that the rest can be a snapshot.
//!
//! A duration counts as measured only with a space before its unit (`12 ms`); `60s` is a setting and stays.

/// Replaces `folder` by `[ENV]`, and loopback ports, UUIDs, RFC 3339 times, durations and process IDs by names.
pub fn redact(text: &str, folder: &str) -> String {
    let text = text.replace(folder, "[ENV]");
    let mut redacted = String::with_capacity(text.len());
    let mut rest = text.as_str();
    let mut inside_word = false;
    while let Some(next) = rest.chars().next() {
        if !inside_word && let Some((length, name)) = variable(rest) {
            redacted.push_str(name);
            rest = &rest[length..];
        } else {
            redacted.push(next);
            rest = &rest[next.len_utf8()..];
            inside_word = next.is_alphanumeric() || next == '_' || next == '.';
        }
    }
    redacted
}

/// Length of a variable value at the start of `text`, and its replacement.
fn variable(text: &str) -> Option<(usize, &'static str)> {
    let found = numbered(text, "127.0.0.1:")
        .map(|length| (length, "127.0.0.1:[PORT]"))
        .or_else(|| numbered(text, "localhost:").map(|length| (length, "localhost:[PORT]")))
        .or_else(|| numbered(text, "process ").map(|length| (length, "process [PID]")))
        .or_else(|| {
            shape(text, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx").map(|length| (length, "[UUID]"))
        })
        .or_else(|| time(text).map(|length| (length, "[TIME]")))
        .or_else(|| duration(text).map(|length| (length, "[DURATION]")))?;
    let ends = !text[found.0..].starts_with(|next: char| next.is_alphanumeric() || next == '_');
    ends.then_some(found)
}

fn time(text: &str) -> Option<usize> {
    let seconds =
        shape(text, "0000-00-00T00:00:00").or_else(|| shape(text, "0000-00-00 00:00:00"))?;
    let fraction = numbered(&text[seconds..], ".").unwrap_or(0);
    let offset = &text[seconds + fraction..];
    let offset = shape(offset, "Z")
        .or_else(|| shape(offset, "+00:00"))
        .or_else(|| shape(offset, "-00:00"))?;
    Some(seconds + fraction + offset)
}

fn duration(text: &str) -> Option<usize> {
    let whole = numbered(text, "")?;
    let number = whole + numbered(&text[whole..], ".").unwrap_or(0);
    let units = [" ns", " µs", " us", " ms", " s"];
    units
        .iter()
        .find(|unit| text[number..].starts_with(**unit))
        .map(|unit| number + unit.len())
}

/// Length of `prefix` followed by at least one digit.
fn numbered(text: &str, prefix: &str) -> Option<usize> {
    let digits = text
        .strip_prefix(prefix)?
        .bytes()
        .take_while(u8::is_ascii_digit)
        .count();
    (digits > 0).then_some(prefix.len() + digits)
}

/// Length of `shape` if `text` starts with it: `0` is any digit, `x` any hexadecimal digit.
fn shape(text: &str, shape: &str) -> Option<usize> {
    let start = text.as_bytes().get(..shape.len())?;
    let fits = |(byte, shape): (&u8, u8)| match shape {
        b'0' => byte.is_ascii_digit(),
        b'x' => byte.is_ascii_hexdigit(),
        literal => *byte == literal,
    };
    start
        .iter()
        .zip(shape.bytes())
        .all(fits)
        .then_some(shape.len())
}
