//! A capture in the forms of other tools: a curl command, a request of an editor's REST client, a HAR archive.
//!
//! A pasted export sends the same request: headers that a tool would add are removed, and nothing in the capture can end a
//! quotation or begin another request. What cannot be expressed is an [`ExportError`]. Secrets are masked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde_json::json;

use super::{Body, Capture, CaptureRecord, Mask, header_text};
use crate::sanitize::{visible, visible_line};
use crate::text::shell_word;
use crate::time::rfc3339;

/// A longer body is piped instead of being part of the command line.
const MAX_ARGUMENT_BYTES: usize = 64 * 1024;

/// Why a capture cannot be exported.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    #[error("capture #{0} is incomplete or malformed: an export would send a different request")]
    Malformed(i64),
    #[error("capture #{id} has `{{{{` in its {part}, which REST clients replace by a variable")]
    Variable { id: i64, part: String },
}

fn require_complete(record: &CaptureRecord) -> Result<(), ExportError> {
    if record.capture.malformed || record.capture.method().is_empty() {
        return Err(ExportError::Malformed(record.id));
    }
    Ok(())
}

/// A command for any POSIX shell. `program` is `hookfire` with the options that find this journal.
pub fn curl(
    record: &CaptureRecord,
    body: &Body,
    mask: &Mask,
    program: &str,
) -> Result<String, ExportError> {
    require_complete(record)?;
    let capture = &record.capture;
    let mut command = String::from("curl");
    let has = |name: &str| capture.header(name).is_some();
    let has_body = !body.bytes.is_empty() || has("content-length") || has("transfer-encoding");
    match capture.method() {
        "GET" if !has_body => {}
        // With `-X HEAD` it would wait for a body.
        "HEAD" if !has_body => command.push_str(" --head"),
        method => command += &format!(" -X {}", shell_word(method)),
    }
    let url = url(capture, mask);
    if url.contains(['[', ']', '{', '}']) {
        command.push_str(" --globoff");
    }
    if capture.path().contains("/.") {
        command.push_str(" --path-as-is");
    }
    command += &format!(" {}", quoted(url.as_bytes()));
    if !capture.path().starts_with('/') {
        command += &format!(" --request-target {}", shell_word(capture.path()));
    }
    for (name, value) in capture.end_to_end_headers() {
        let value = mask.header(name, value);
        // Without a value curl takes a colon as "leave it out".
        let line = if value.is_empty() {
            format!("{name};").into_bytes()
        } else {
            [name.as_bytes(), b": ", &value].concat()
        };
        command += &format!(" \\\n  -H {}", quoted(&line));
    }
    // curl would add its own.
    for (name, is_added) in [
        ("Accept", true),
        ("User-Agent", true),
        ("Content-Type", has_body),
    ] {
        if is_added && !has(name) {
            command += &format!(" \\\n  -H '{name}:'");
        }
    }
    Ok(match std::str::from_utf8(&body.bytes) {
        _ if !has_body => command,
        Ok(text) if visible(text) == text && text.len() <= MAX_ARGUMENT_BYTES => {
            format!("{command} \\\n  --data-raw {}", shell_word(text))
        }
        _ => format!(
            "{program} captured show {} --body | {command} \\\n  --data-binary @-",
            record.id
        ),
    })
}

/// A request as the REST clients of editors read it from a `.http` file.
pub fn http(
    record: &CaptureRecord,
    body: &Body,
    mask: &Mask,
    program: &str,
) -> Result<String, ExportError> {
    require_complete(record)?;
    let capture = &record.capture;
    let url = url(capture, mask);
    let id = record.id;
    let literal = |part: String, text: &str| match text.contains("{{") {
        true => Err(ExportError::Variable { id, part }),
        false => Ok(()),
    };
    literal("URL".to_owned(), &url)?;
    let mut text = format!("### #{}\n", record.id);
    let as_text = std::str::from_utf8(&body.bytes).ok();
    let inline = as_text.filter(|text| is_plain_there(text));
    let file = format!("capture-{}.body", record.id);
    if inline.is_none() {
        text += &format!("# {program} captured show {} --body > {file}\n", record.id);
    }
    text += &format!("{} {url} HTTP/1.1\n", capture.method());
    for (name, value) in capture.end_to_end_headers() {
        let value = header_text(&mask.header(name, value));
        literal(format!("header `{name}`"), &value)?;
        text += &format!("{name}: {value}\n");
    }
    match inline {
        Some("") => {}
        Some(body) => text += &format!("\n{body}"),
        None => text += &format!("\n< ./{file}"),
    }
    text.truncate(text.trim_end_matches('\n').len());
    Ok(text)
}

/// A HAR 1.2 archive with this one request.
pub fn har(
    record: &CaptureRecord,
    body: &Body,
    mask: &Mask,
) -> Result<serde_json::Value, ExportError> {
    require_complete(record)?;
    let capture = &record.capture;
    let pairs = |pairs: Vec<(String, String)>| {
        pairs
            .into_iter()
            .map(|(name, value)| json!({ "name": name, "value": value }))
            .collect::<Vec<_>>()
    };
    let mut request = json!({
        "method": capture.method(), "url": url(capture, mask), "httpVersion": capture.version(), "cookies": [],
        "headers": pairs(mask.headers(capture)), "queryString": pairs(mask.query(capture)),
        "headersSize": capture.head.len(), "bodySize": body.bytes.len(),
    });
    if !body.bytes.is_empty() {
        let mime = capture.header("content-type").map(header_text);
        let mime = mime.unwrap_or_default();
        request["postData"] = match std::str::from_utf8(&body.bytes) {
            Ok(text) => json!({ "mimeType": mime, "text": text }),
            // HAR defines no encoding here; the name of an own field begins with an underscore.
            Err(_) => json!({
                "mimeType": mime, "text": STANDARD.encode(&body.bytes), "_encoding": "base64",
            }),
        };
    }
    let status = capture.response.status.unwrap_or(0);
    let status_text = StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or_default();
    let time = capture.response.duration_ms;
    Ok(json!({ "log": {
        "version": "1.2",
        "creator": { "name": "hookfire", "version": env!("CARGO_PKG_VERSION") },
        "entries": [{
            "startedDateTime": rfc3339(capture.received_at), "time": time,
            "request": request,
            "response": {
                "status": status, "statusText": status_text,
                "httpVersion": "HTTP/1.1", "cookies": [], "headers": [],
                "content": { "size": -1, "mimeType": "" },
                "redirectURL": "", "headersSize": -1, "bodySize": -1,
            },
            "cache": {}, "timings": { "send": 0, "wait": time, "receive": 0 },
            "comment": format!("capture #{} in {}", record.id, record.bin),
        }],
    } }))
}

/// The listener's address is the request's `Host`.
fn url(capture: &Capture, mask: &Mask) -> String {
    let target = mask.target(capture);
    if target.contains("://") && !target.starts_with('/') {
        return target;
    }
    let host = capture.header("host").unwrap_or(b"localhost");
    let path: &str = if target.starts_with('/') {
        &target
    } else {
        "/"
    };
    format!("http://{}{path}", header_text(host))
}

/// A word for a POSIX shell. Bytes that do not survive pasting are written by `printf`.
fn quoted(word: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(word)
        && visible_line(text) == text
    {
        return shell_word(text);
    }
    let mut format = String::new();
    for &byte in word {
        match byte {
            b'%' => format.push_str("%%"),
            b'\\' => format.push_str("\\\\"),
            b'\'' => format.push_str("'\\''"),
            b' '..=b'~' => format.push(char::from(byte)),
            _ => format += &format!("\\{byte:03o}"),
        }
    }
    format!("\"$(printf '{format}')\"")
}

/// Whether a REST client sends the text as it is: no line begins another request or names a file, and there are no
/// variables and no characters that an editor would not keep.
fn is_plain_there(text: &str) -> bool {
    let is_command = |line: &str| line.starts_with(['#', '<', '>']) && !is_tag(line);
    visible(text) == text && !text.contains("{{") && !text.lines().any(is_command)
}

/// `<name`: markup, where `< name` would be a file.
fn is_tag(line: &str) -> bool {
    line.strip_prefix('<').is_some_and(|rest| {
        rest.starts_with(|c: char| c.is_alphabetic() || matches!(c, '/' | '!' | '?'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::UnixMs;

    fn record(head: &[u8]) -> CaptureRecord {
        let mut capture = Capture::new(UnixMs(0), ([127, 0, 0, 1], 1).into(), head.to_vec());
        capture.malformed = false;
        CaptureRecord {
            id: 17,
            bin: "inbox".to_owned(),
            event: None,
            body_size: 0,
            pinned: false,
            note: None,
            capture,
        }
    }

    fn body(bytes: &[u8]) -> Body {
        Body {
            bytes: bytes.to_vec(),
            wire: None,
        }
    }

    fn command(head: &[u8], bytes: &[u8]) -> String {
        curl(&record(head), &body(bytes), &Mask::default(), "hookfire").unwrap()
    }

    #[test]
    fn incomplete_captures_are_refused() {
        let mut truncated = record(b"POST / HTTP/1.1\r\nHost: h\r\n\r\n");
        truncated.capture.malformed = true;
        let not_http = record(b"\x16\x03\x01");
        let mask = Mask::default();
        for record in [truncated, not_http] {
            let refused = ExportError::Malformed(17);
            let body = body(b"x");
            assert_eq!(
                curl(&record, &body, &mask, "hookfire"),
                Err(ExportError::Malformed(17))
            );
            assert_eq!(
                http(&record, &body, &mask, "hookfire"),
                Err(ExportError::Malformed(17))
            );
            assert_eq!(har(&record, &body, &mask), Err(refused));
        }
    }

    #[test]
    fn rest_client_variables_are_refused() {
        for head in [
            &b"GET /{{$processEnv SECRET}} HTTP/1.1\r\nHost: h\r\n\r\n"[..],
            b"GET /?a={{x}} HTTP/1.1\r\nHost: h\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: h\r\nX-A: {{x}}\r\n\r\n",
        ] {
            let exported = http(&record(head), &body(b""), &Mask::default(), "hookfire");
            assert!(exported.is_err(), "{exported:?}");
        }
    }

    #[test]
    fn the_program_has_its_global_options() {
        let (record, body) = (record(b"POST / HTTP/1.1\r\nHost: h\r\n\r\n"), body(b"\xff"));
        let program = "hookfire --journal /tmp/j.db";
        let command = curl(&record, &body, &Mask::default(), program).unwrap();
        assert!(command.starts_with("hookfire --journal /tmp/j.db captured show 17 --body | curl"));
    }

    #[test]
    fn a_command_adds_and_leaves_out_nothing() {
        let head = b"POST /it's/../x?a=[1] HTTP/1.1\r\nHost: h:8080\r\nX-A: it's\r\nEmpty:\r\nX-L: caf\xe9\r\n\
            Connection: close\r\nContent-Length: 6\r\n\r\n";
        assert_eq!(
            command(head, b"@it's\n"),
            r#"curl -X POST --globoff --path-as-is 'http://h:8080/it'\''s/../x?a=[1]' \
  -H 'X-A: it'\''s' \
  -H 'Empty;' \
  -H "$(printf 'X-L: caf\351')" \
  -H 'Accept:' \
  -H 'User-Agent:' \
  -H 'Content-Type:' \
  --data-raw '@it'\''s
'"#
        );
        let plain = b"GET / HTTP/1.1\r\nHost: h\r\nAccept: */*\r\nUser-Agent: x\r\n\r\n";
        assert_eq!(
            command(plain, b""),
            "curl http://h/ \\\n  -H 'Accept: */*' \\\n  -H 'User-Agent: x'"
        );
        assert!(command(b"HEAD / HTTP/1.1\r\n\r\n", b"").starts_with("curl --head http"));
        let options = command(b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", b"");
        assert!(
            options.starts_with("curl -X OPTIONS http://h/ --request-target '*'"),
            "{options}"
        );
    }

    #[test]
    fn bodies_that_pasting_would_change_are_piped() {
        let head = b"POST / HTTP/1.1\r\nHost: h\r\n\r\n";
        for bytes in [
            &b"\xff"[..],
            b"a\rb",
            b"\x1b[2J",
            &vec![b'x'; MAX_ARGUMENT_BYTES + 1],
        ] {
            let command = command(head, bytes);
            assert!(
                command.starts_with("hookfire captured show 17 --body | curl -X POST"),
                "{command}"
            );
            assert!(command.ends_with("--data-binary @-"), "{command}");
            assert!(command.is_ascii() && !command.contains('\x1b'));
        }
    }

    #[test]
    fn secrets_are_masked_in_every_form() {
        let head =
            b"POST /?token=CANARY HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer CANARY\r\n\r\n";
        let mask = Mask {
            names: ["token".to_owned()].into(),
            ..Mask::default()
        };
        let (record, body) = (record(head), body(b"x"));
        let forms = [
            curl(&record, &body, &mask, "hookfire").unwrap(),
            http(&record, &body, &mask, "hookfire").unwrap(),
            har(&record, &body, &mask).unwrap().to_string(),
        ];
        for form in forms {
            assert!(
                form.contains("token=***") && !form.contains("CANARY"),
                "{form}"
            );
        }
    }

    #[test]
    fn a_rest_client_gets_one_request() {
        let head = b"PUT /x HTTP/1.1\r\nHost: h\r\nX: y\r\nContent-Length: 1\r\n\r\n";
        let of =
            |bytes: &[u8]| http(&record(head), &body(bytes), &Mask::default(), "hookfire").unwrap();
        assert_eq!(
            of(b"<a>\n  <b/>\n</a>"),
            "### #17\nPUT http://h/x HTTP/1.1\nX: y\n\n<a>\n  <b/>\n</a>"
        );
        for hostile in [
            &b"a\n### \nDELETE http://h/"[..],
            b"< /etc/passwd",
            b"> {% x %}",
            b"{{secret}}",
            b"\xff",
            b"# c",
        ] {
            let text = of(hostile);
            assert!(text.ends_with("\n\n< ./capture-17.body"), "{text}");
            assert!(
                text.contains("\n# hookfire captured show 17 --body > capture-17.body\n"),
                "{text}"
            );
        }
    }

    #[test]
    fn an_archive_has_the_keys_that_har_requires() {
        let head = b"POST /x?a=1 HTTP/1.0\r\nHost: h\r\nContent-Type: a/b\r\n\r\n";
        let archive = har(&record(head), &body(b"\xff"), &Mask::default()).unwrap();
        let entry = &archive["log"]["entries"][0];
        let request = &entry["request"];
        assert_eq!(
            request["postData"],
            json!({ "mimeType": "a/b", "text": "/w==", "_encoding": "base64" })
        );
        assert_eq!(
            (&request["httpVersion"], &request["url"]),
            (&json!("HTTP/1.0"), &json!("http://h/x?a=1"))
        );
        assert_eq!(
            request["queryString"],
            json!([{ "name": "a", "value": "1" }])
        );
        let required = |value: &serde_json::Value, keys: &[&str]| {
            keys.iter()
                .for_each(|key| assert!(value.get(key).is_some(), "{key} is missing in {value}"));
        };
        required(&archive["log"], &["version", "creator", "entries"]);
        required(
            entry,
            &[
                "startedDateTime",
                "time",
                "request",
                "response",
                "cache",
                "timings",
            ],
        );
        required(
            request,
            &["method", "cookies", "headers", "headersSize", "bodySize"],
        );
        let response = [
            "status",
            "statusText",
            "httpVersion",
            "cookies",
            "headers",
            "content",
            "redirectURL",
            "headersSize",
        ];
        required(&entry["response"], &response);
    }
}
