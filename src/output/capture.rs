//! Captures as text: a line for `listen`, the columns of lists, and the page of `captured show`. Secrets are masked.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use super::human::result_line;
use super::{Column, Tone, Ui, optional};
use crate::capture::multipart::{BodyPart, parts};
use crate::capture::{Body, Capture, CaptureRecord, Mask, Run, SignatureCheck, diff, header_text};
use crate::delivery::Delivery;
use crate::http::status_text;
use crate::sanitize::visible_line;
use crate::text::count;
use crate::time::{UnixMs, ago, local, measured, rfc3339};

/// Lines of 16 bytes shown of a binary body.
const MAX_HEX_LINES: usize = 8;

/// `#17 POST /hook?token=*** application.created, 512 bytes, response 200 OK (1 ms)`
pub fn line(ui: &Ui, record: &CaptureRecord, mask: &Mask) -> String {
    let size = count(
        usize::try_from(record.body_size).unwrap_or(usize::MAX),
        "byte",
        "bytes",
    );
    let label = if record.capture.response.status.is_some() {
        "response "
    } else {
        ""
    };
    let mut line = format!(
        "{}, {size}, {label}{}",
        ui.untrusted(&title(record, mask)),
        response(ui, &record.capture)
    );
    for mark in marks(&record.capture) {
        let _ = write!(line, ", {}", ui.toned(Tone::Warning, mark));
    }
    let reason = match record.capture.malformed {
        true => record.capture.response.note.as_ref(),
        false => record.capture.invalid_signature().map(|f| &f.detail),
    };
    if let Some(reason) = reason {
        let _ = write!(line, ": {}", ui.untrusted(reason));
    }
    line
}

/// One line that names the capture: `#17 POST /hook?token=*** application.created`.
pub fn title(record: &CaptureRecord, mask: &Mask) -> String {
    let capture = &record.capture;
    let request = if capture.method().is_empty() {
        "(not readable as HTTP)".to_owned()
    } else {
        format!("{} {}", capture.method(), mask.target(capture))
    };
    let event = event(record)
        .map(|event| format!(" {}", visible_line(&event)))
        .unwrap_or_default();
    format!("#{} {request}{event}", record.id)
}

fn event(record: &CaptureRecord) -> Option<String> {
    record
        .event
        .as_ref()
        .map(|event| format!("{}.{}", event.event_type, event.action))
}

fn response(ui: &Ui, capture: &Capture) -> String {
    let took = measured(Duration::from_millis(capture.response.duration_ms));
    match capture.response.status {
        Some(status) => {
            let status = ui.toned(response_tone(capture), &status_text(status));
            format!("{status} ({took})")
        }
        None => ui.toned(response_tone(capture), "no response"),
    }
}

fn response_tone(capture: &Capture) -> Tone {
    match capture.response.status {
        Some(200..300) => Tone::Good,
        _ => Tone::Bad,
    }
}

fn marks(capture: &Capture) -> Vec<&'static str> {
    let malformed = capture.malformed.then_some("malformed");
    let secret = (capture.secret_ok == Some(false)).then_some("wrong or missing secret");
    let invalid = !capture.malformed && capture.invalid_signature().is_some();
    let signature = invalid.then_some("invalid signature");
    let handshake = match capture.handshake.as_deref() {
        Some("cors") => Some("preflight"),
        Some(_) => Some("handshake"),
        None => None,
    };
    malformed
        .into_iter()
        .chain(secret)
        .chain(signature)
        .chain(handshake)
        .collect()
}

/// The columns of lists of captures.
pub fn columns<'a>(mask: &'a Mask, now: UnixMs) -> Vec<Column<'a, CaptureRecord>> {
    type Col<'a> = Column<'a, CaptureRecord>;
    vec![
        Col::text("ID", |c| format!("#{}", c.id)),
        Col::csv("id", |c| c.id.to_string()),
        Col::new("BIN", "bin", |c| c.bin.clone()).min_width(100),
        Col::csv("received_at", |c| rfc3339(c.capture.received_at)),
        Col::csv("remote_addr", |c| c.capture.remote_addr.to_string()),
        Col::new("METHOD", "method", |c| c.capture.method().to_owned()),
        Col::new("PATH", "target", |c| mask.target(&c.capture)),
        Col::text("EVENT", |c| event(c).unwrap_or_default())
            .min_width(70)
            .whole(),
        Col::csv("type", |c| {
            optional(c.event.as_ref().map(|event| &event.event_type))
        }),
        Col::csv("action", |c| {
            optional(c.event.as_ref().map(|event| &event.action))
        }),
        Col::new("BYTES", "body_size", |c| c.body_size.to_string()).min_width(75),
        Col::csv("secret_ok", |c| optional(c.capture.secret_ok)),
        Col::csv("signature", |c| {
            optional(c.capture.signature.as_ref().map(signature_word))
        }),
        Col::csv("handshake", |c| optional(c.capture.handshake.as_ref())),
        Col::csv("malformed", |c| c.capture.malformed.to_string()),
        Col::text("RESPONSE", |c| {
            let status = match c.capture.response.status {
                Some(status) => status.to_string(),
                None => "none".to_owned(),
            };
            let mut words = vec![status.as_str()];
            words.extend(marks(&c.capture));
            words.join(", ")
        })
        .toned(|c| response_tone(&c.capture)),
        Col::csv("status", |c| optional(c.capture.response.status)),
        Col::csv("duration_ms", |c| {
            c.capture.response.duration_ms.to_string()
        }),
        Col::text("WHEN", |c| local(c.capture.received_at))
            .min_width(140)
            .whole(),
        Col::text("AGE", move |c| ago(c.capture.received_at, now)).min_width(70),
    ]
}

pub fn page(
    ui: &Ui,
    record: &CaptureRecord,
    body: &Body,
    (runs, forwards): (&[Run], &[Delivery]),
    mask: &Mask,
    now: UnixMs,
) -> String {
    let capture = &record.capture;
    let mut page = format!(
        "{}\n",
        ui.toned(Tone::Strong, &ui.untrusted(&title(record, mask)))
    );
    let mut field = |name: &str, value: &str| {
        let _ = writeln!(
            page,
            "{} {value}",
            ui.toned(Tone::Faint, &format!("{name:<9}"))
        );
    };
    field("bin", &record.bin);
    field("from", &capture.remote_addr.to_string());
    field(
        "received",
        &format!(
            "{} ({})",
            local(capture.received_at),
            ago(capture.received_at, now)
        ),
    );
    field("response", &response(ui, capture));
    if let Some(note) = capture
        .response
        .note
        .as_ref()
        .filter(|_| !capture.malformed)
    {
        field("", &ui.untrusted(note));
    }
    match capture.secret_ok {
        Some(true) => field("secret", &ui.toned(Tone::Good, "right")),
        Some(false) => field("secret", &ui.toned(Tone::Bad, "wrong or missing")),
        None => {}
    }
    if let Some(name) = &capture.handshake {
        field("handshake", &format!("{}, answered", ui.untrusted(name)));
    }
    if let Some(check) = &capture.signature {
        let tone = match check.invalid {
            None => Tone::Good,
            Some(_) => Tone::Bad,
        };
        field("signature", &ui.toned(tone, &signature_text(ui, check)));
    }
    if let Some(fault) = capture.invalid_signature() {
        field("", fault.kind.hint());
    }
    if capture.malformed {
        let why = capture
            .response
            .note
            .as_deref()
            .unwrap_or("incomplete: rejected, aborted, too slow or too long");
        field("malformed", &ui.toned(Tone::Warning, &ui.untrusted(why)));
    }
    for run in runs {
        let tone = match run.succeeded() {
            true => Tone::Good,
            false => Tone::Bad,
        };
        let outcome = ui.toned(tone, &ui.untrusted(&run.outcome()));
        let (command, when) = (visible_line(&run.command), ago(run.started_at, now));
        field(
            "run",
            &format!("{}: {outcome}, {when}", ui.untrusted(&command)),
        );
        for line in run.stderr.lines() {
            field("", &ui.untrusted(line));
        }
    }
    for delivery in forwards {
        let target = ui.untrusted(&delivery.target.to_string()).into_owned();
        field(
            "forward",
            &format!("{target}: {}", result_line(ui, delivery, now)),
        );
    }
    let _ = write!(page, "\n{}", shown_head(ui, capture, mask));
    // Whether a rejected request had a body is unknown; an unreadable head contains all its bytes.
    if !capture.malformed || !body.bytes.is_empty() {
        let _ = write!(
            page,
            "\n{}",
            ui.untrusted_document(&shown_body(ui, record, body))
        );
    }
    page.truncate(page.trim_end_matches('\n').len());
    page
}

/// `github, not valid: the secret has white space around it`
fn signature_text(ui: &Ui, check: &SignatureCheck) -> String {
    let text = match &check.invalid {
        None => format!("{}, valid", check.scheme),
        Some(fault) => format!("{}, not valid: {}", check.scheme, fault.detail),
    };
    ui.untrusted(&text).into_owned()
}

/// The word for a checked signature in lists: `valid`, or why it is not.
fn signature_word(check: &SignatureCheck) -> &'static str {
    match &check.invalid {
        None => "valid",
        Some(fault) => fault.kind.as_str(),
    }
}

/// The head with the names of headers in colour.
fn shown_head(ui: &Ui, capture: &Capture, mask: &Mask) -> String {
    let head = head(capture, mask);
    let head = ui.untrusted(&head);
    if !ui.has_colors() || capture.head.headers().is_empty() {
        return head.into_owned();
    }
    let shown = head
        .lines()
        .enumerate()
        .map(|(number, line)| match line.split_once(':') {
            Some((name, value)) if number > 0 => {
                format!("{}:{value}\n", ui.toned(Tone::Name, name))
            }
            _ => format!("{line}\n"),
        });
    shown.collect()
}

/// Request line and headers, with secrets masked.
pub fn head(capture: &Capture, mask: &Mask) -> String {
    if capture.head.headers().is_empty() {
        return unread_head(capture, mask);
    }
    let mut head = format!(
        "{} {} {}\n",
        capture.method(),
        mask.target(capture),
        capture.version()
    );
    for (name, value) in mask.headers(capture) {
        let _ = writeln!(head, "{name}: {value}");
    }
    head
}

/// A head without headers, or one that cannot be parsed: as text if possible.
fn unread_head(capture: &Capture, mask: &Mask) -> String {
    let head = mask.unread_head(capture);
    let text = std::str::from_utf8(&head).ok().filter(|text| {
        let stray = |c: char| c.is_control() && !matches!(c, '\r' | '\n' | '\t');
        !capture.method().is_empty() || !text.trim().is_empty() && !text.contains(stray)
    });
    text.map_or_else(
        || hex(&head),
        |text| text.lines().flat_map(|line| [line, "\n"]).collect(),
    )
}

fn shown_body(ui: &Ui, record: &CaptureRecord, body: &Body) -> String {
    let exact = format!(
        "`hookfire captured show {} --body` writes the exact bytes",
        record.id
    );
    let exact = ui.with_program(&exact);
    if body.bytes.is_empty() {
        return "(no body)\n".to_owned();
    }
    let size = count(body.bytes.len(), "byte", "bytes");
    let coding = record.capture.header("content-encoding").map(header_text);
    let coding = coding.unwrap_or_default();
    match record.capture.decoded(body) {
        Ok(Cow::Borrowed(bytes)) => shown_content(record, bytes, &exact),
        Ok(Cow::Owned(bytes)) => {
            let decoded = count(bytes.len(), "byte", "bytes");
            let shown = shown_content(record, &bytes, &exact);
            format!("({size}, compressed: {coding}, {decoded} decoded; {exact})\n{shown}")
        }
        Err(problem) => format!(
            "({size}, compressed: {coding}, not decoded: {problem}; {exact})\n{}",
            hex(&body.bytes)
        ),
    }
}

fn shown_content(record: &CaptureRecord, bytes: &[u8], exact: &str) -> String {
    let content_type = record.capture.header("content-type").map(header_text);
    if let Some(parts) = parts(&content_type.unwrap_or_default(), bytes) {
        let size = count(bytes.len(), "byte", "bytes");
        let lines = parts.iter().map(shown_part);
        return format!(
            "({size}, multipart; {exact})\n{}",
            lines.collect::<String>()
        );
    }
    if let Some(laid_out) = diff::pretty(bytes) {
        return format!("{laid_out}\n");
    }
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => format!("{text}\n"),
        _ => format!(
            "({}, not text; {exact})\n{}",
            count(bytes.len(), "byte", "bytes"),
            hex(bytes)
        ),
    }
}

/// `part "photo", file "a.png", image/png, 120 bytes`
fn shown_part(part: &BodyPart) -> String {
    let mut words = vec![match &part.name {
        Some(name) => format!("part \"{}\"", visible_line(name)),
        None => "part".to_owned(),
    }];
    let file = part.file_name.as_ref();
    words.extend(file.map(|name| format!("file \"{}\"", visible_line(name))));
    words.extend(
        part.content_type
            .as_ref()
            .map(|t| visible_line(t).into_owned()),
    );
    words.push(count(part.size, "byte", "bytes"));
    format!("{}\n", words.join(", "))
}

/// The first lines of bytes as `hexdump -C` shows them.
fn hex(bytes: &[u8]) -> String {
    let mut shown = String::new();
    for (number, line) in bytes.chunks(16).take(MAX_HEX_LINES).enumerate() {
        let codes: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        let visible = |byte: &u8| {
            if byte.is_ascii_graphic() || *byte == b' ' {
                char::from(*byte)
            } else {
                '.'
            }
        };
        let letters: String = line.iter().map(visible).collect();
        let _ = writeln!(
            shown,
            "{:08x}  {:<47}  |{letters}|",
            number * 16,
            codes.join(" ")
        );
    }
    if bytes.len() > MAX_HEX_LINES * 16 {
        let _ = writeln!(shown, "…");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{CapturedResponse, EventName};
    use crate::env::Terminals;
    use crate::output::OutputOptions;

    fn ui(terminal: bool) -> Ui {
        let manner = OutputOptions {
            color: crate::output::Color::Never,
            ..OutputOptions::default()
        };
        let (stdout, stderr) = (terminal, terminal);
        Ui::new(Terminals { stdout, stderr }, manner)
    }

    fn record(head: &[u8], body: &[u8]) -> (CaptureRecord, Body) {
        let mut capture = Capture::new(UnixMs(0), ([127, 0, 0, 1], 4242).into(), head.to_vec());
        capture.malformed = false;
        capture.response = CapturedResponse {
            status: Some(200),
            duration_ms: 3,
            note: None,
        };
        let record = CaptureRecord {
            id: 17,
            bin: "inbox".to_owned(),
            event: None,
            body_size: body.len() as u64,
            pinned: false,
            note: None,
            capture,
        };
        (
            record,
            Body {
                bytes: body.to_vec(),
                wire: None,
            },
        )
    }

    /// Head and body of the page.
    fn request_on_page(head: &[u8], body: &[u8], terminal: bool) -> String {
        let (record, body) = record(head, body);
        let page = page(
            &ui(terminal),
            &record,
            &body,
            (&[], &[]),
            &Mask::default(),
            UnixMs(0),
        );
        page.split_once("\n\n")
            .map(|(_, request)| request.to_owned())
            .unwrap()
    }

    #[test]
    fn a_line_shows_request_and_response() {
        let (mut record, _) = record(b"POST /hook?token=x HTTP/1.1\r\n\r\n", b"12345");
        let mask = Mask {
            names: ["token".to_owned()].into(),
            ..Mask::default()
        };
        let said = |record: &CaptureRecord| line(&ui(false), record, &mask);
        assert_eq!(
            said(&record),
            "#17 POST /hook?token=***, 5 bytes, response 200 OK (3 ms)"
        );
        record.event = Some(EventName {
            event_type: "user\n".to_owned(),
            action: "updated".to_owned(),
        });
        record.capture.secret_ok = Some(false);
        record.capture.response.status = Some(403);
        assert_eq!(
            said(&record),
            "#17 POST /hook?token=*** user\\n.updated, 5 bytes, response 403 Forbidden (3 ms), wrong or missing secret"
        );
        record.capture = Capture::new(UnixMs(0), ([127, 0, 0, 1], 1).into(), b"\x16\x03".to_vec());
        record.event = None;
        assert_eq!(
            said(&record),
            "#17 (not readable as HTTP), 5 bytes, no response, malformed"
        );
    }

    #[test]
    fn the_page_shows_the_head_and_a_formatted_body() {
        let head = b"pOST /a HTTP/1.0\r\nX-B: 1\r\nx-a:  2\r\nX-B: 3\r\n\r\n";
        let page = request_on_page(head, b"<a><b>1</b></a>", false);
        assert_eq!(
            page,
            "pOST /a HTTP/1.0\nX-B: 1\nx-a: 2\nX-B: 3\n\n<a>\n  <b>1</b>\n</a>"
        );
        assert!(request_on_page(head, b"{\"a\":1.0}", false).ends_with("\n\n{\n  \"a\": 1.0\n}"));
        assert!(request_on_page(head, b"", false).ends_with("\n\n(no body)"));
    }

    #[test]
    fn binary_bodies_are_shown_as_hex() {
        let page = request_on_page(b"POST / HTTP/1.1\r\nX: y\r\n\r\n", &[0xff; 200], false);
        assert!(
            page.contains(
                "(200 bytes, not text; `hookfire captured show 17 --body` writes the exact bytes)"
            ),
            "{page}"
        );
        assert!(
            page.ends_with(
                "00000070  ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff  |................|\n…"
            ),
            "{page}"
        );
        let packed = request_on_page(
            b"POST / HTTP/1.1\r\nContent-Encoding: gzip\r\n\r\n",
            b"<a/>",
            false,
        );
        assert!(
            packed.contains("(4 bytes, compressed: gzip, not decoded: ")
                && packed.contains("3c 61 2f 3e"),
            "{packed}"
        );
    }

    #[test]
    fn rejected_heads_are_shown_as_text_or_hex() {
        let refused = |head: &[u8]| {
            let (mut record, body) = record(head, b"");
            record.capture.malformed = true;
            page(
                &ui(false),
                &record,
                &body,
                (&[], &[]),
                &Mask::default(),
                UnixMs(0),
            )
        };
        let shown = refused(b"GET /x HTTP/1.1\r\nAuthorization: CANARY\r\nbad header\r\n\r\n");
        assert!(
            shown.ends_with("\n\nGET /x HTTP/1.1\nAuthorization: ***\nbad header"),
            "{shown}"
        );
        assert!(refused(b"\x16\x03\x01").ends_with("|...|"));
        let shown = refused(b"\x16GET /?a=b HTTP/1.1");
        assert!(
            shown.ends_with("|1.1|") && shown.contains("GET /?a=b"),
            "no secret is masked: {shown}"
        );
    }

    #[test]
    fn terminals_get_no_control_characters() {
        let head = b"POST /\xc2\x9b31m HTTP/1.1\r\nX: caf\x9b\r\n\r\n";
        let body = "\u{1b}]52;c;x\u{7}\u{202e}\0good\rbad".as_bytes();
        for hostile in [
            b"\x1b[2J\xff".to_vec(),
            body.to_vec(),
            b"<a>\xc2\x9b</a>".to_vec(),
        ] {
            let page = request_on_page(head, &hostile, true);
            let stray = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
            assert!(!page.contains(stray), "{page:?}");
        }
        assert!(
            request_on_page(head, b"\x1b[2J", false).contains("\x1b[2J"),
            "a pipe gets the bytes unchanged"
        );
    }
}
