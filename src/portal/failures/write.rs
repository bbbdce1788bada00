//! Writes the failed list as 3scale's own document, in XML or JSON, one payload in memory at a time.
//!
//! 3scale's entries have an `event`. A payload that is not an event has a `body` instead, with its `content_type`, and a
//! `body_encoding` of `base64` if it is not text; `type`, `action` and `method` are written if there are any.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{BASE64, Texts};
use crate::delivery::Delivery;
use crate::delivery::payload::{DEFAULT_METHOD, PayloadKind};
use crate::event::{EventError, MAX_DOCUMENT_DEPTH, escape_text, xml};

const JSON_START: &str = "{\"webhooks-failures\":[";

#[derive(Debug, Clone)]
pub struct FailureEntry<'a> {
    pub id: &'a str,
    /// When it last failed, as it shall be written: `2026-11-20 10:00:00 UTC`.
    pub time: &'a str,
    /// Why, in words: `503 Service Unavailable`.
    pub error: &'a str,
    /// Where it was sent, secrets masked.
    pub url: String,
    pub kind: &'a PayloadKind,
    pub method: &'a str,
    pub event_type: Option<&'a str>,
    pub action: Option<&'a str>,
    /// An event is a whole document, in any encoding that
    /// [`Event::from_document`](crate::event::Event::from_document) takes.
    pub payload: &'a [u8],
}

impl<'a> FailureEntry<'a> {
    /// `time` is that of the delivery's last failure.
    pub fn of(delivery: &'a Delivery, time: &'a str, payload: &'a [u8]) -> FailureEntry<'a> {
        let error = delivery.last_error.as_ref();
        FailureEntry {
            id: &delivery.uuid,
            time,
            error: error.map_or("interrupted", |error| &error.message),
            url: delivery.target.to_string(),
            kind: &delivery.payload_kind,
            method: &delivery.method,
            event_type: delivery.event_type.as_deref(),
            action: delivery.action.as_deref(),
            payload,
        }
    }

    /// The texts are escaped, with U+FFFD for what XML forbids; the event's root element is spliced in as UTF-8,
    /// not escaped, without its declaration.
    fn to_xml(&self) -> io::Result<String> {
        let event = match self.kind {
            PayloadKind::Event(_) => format!("    {}\n", self.root_element()?),
            PayloadKind::Body { .. } => String::new(),
        };
        let mut entry = "  <webhooks-failure>\n".to_owned();
        for (name, value) in self.texts(xml::is_text).fields() {
            if let Some(value) = value {
                entry += &format!("    <{name}>{}</{name}>\n", escape_text(value));
            }
        }
        Ok(entry + &event + "  </webhooks-failure>\n")
    }

    /// The event is as it was sent, or in UTF-8 if it was not.
    fn to_json(&self) -> io::Result<String> {
        let mut texts = self.texts(|_| true);
        if let PayloadKind::Event(_) = self.kind {
            texts.event = Some(match str::from_utf8(self.payload) {
                Ok(event) => event.to_owned(),
                Err(_) => self.root_element()?,
            });
        }
        let fields = texts.fields().into_iter();
        let failure: Map<String, Value> = fields
            .filter_map(|(name, value)| Some((name.to_owned(), value?.into())))
            .collect();
        Ok(json!({ "webhooks-failure": failure }).to_string())
    }

    /// The texts of the entry, without an event. A body for which `is_text` is false is encoded.
    fn texts(&self, is_text: fn(&str) -> bool) -> Texts {
        let mut texts = Texts {
            id: Some(self.id.to_owned()),
            time: Some(self.time.to_owned()),
            error: Some(self.error.to_owned()),
            url: Some(self.url.clone()),
            method: (self.method != DEFAULT_METHOD).then(|| self.method.to_owned()),
            ..Texts::default()
        };
        if let PayloadKind::Body { content_type } = self.kind {
            texts.event_type = self.event_type.map(str::to_owned);
            texts.action = self.action.map(str::to_owned);
            texts.content_type = Some(content_type.clone());
            let text = str::from_utf8(self.payload).ok();
            texts.body = match text.filter(|text| is_text(text)) {
                Some(text) => Some(text.to_owned()),
                None => {
                    texts.body_encoding = Some(BASE64.to_owned());
                    Some(STANDARD.encode(self.payload))
                }
            };
        }
        texts
    }

    /// The event's root element as text. Events are checked when they are accepted; a damaged journal may return others.
    fn root_element(&self) -> io::Result<String> {
        let read = || {
            let text = xml::decode_text(self.payload)?;
            let root = xml::parse(&text, MAX_DOCUMENT_DEPTH)?
                .root_element()
                .range();
            Ok(text[root].to_owned())
        };
        read().map_err(|error: EventError| {
            let problem = format!("the event of delivery `{}` is damaged: {error}", self.id);
            io::Error::new(io::ErrorKind::InvalidData, problem)
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListFormat {
    Xml,
    Json,
}

/// Writes the list, entry by entry. Without [`finish`](FailuresWriter::finish) the document has no end.
#[must_use = "the document is complete only after `finish`"]
#[derive(Debug)]
pub struct FailuresWriter<W: Write> {
    out: W,
    format: ListFormat,
    /// Only now is it known that the list is not the empty element.
    begun: bool,
}

impl<W: Write> FailuresWriter<W> {
    pub fn new(mut out: W, format: ListFormat) -> io::Result<Self> {
        if format == ListFormat::Xml {
            out.write_all(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")?;
        }
        Ok(FailuresWriter {
            out,
            format,
            begun: false,
        })
    }

    /// Writes one entry. An event that is not a well-formed document is [`io::ErrorKind::InvalidData`]: its entry is left
    /// out, and the next may be pushed.
    pub fn push(&mut self, failure: &FailureEntry<'_>) -> io::Result<()> {
        let entry = match self.format {
            ListFormat::Xml => failure.to_xml()?,
            ListFormat::Json => failure.to_json()?,
        };
        let before = match (self.format, std::mem::replace(&mut self.begun, true)) {
            (ListFormat::Xml, false) => "<webhooks-failures>\n",
            (ListFormat::Xml, true) => "",
            (ListFormat::Json, false) => JSON_START,
            (ListFormat::Json, true) => ",",
        };
        write!(self.out, "{before}{entry}")
    }

    pub fn out(&mut self) -> &mut W {
        &mut self.out
    }

    /// Ends the document, flushes, and returns the writer.
    pub fn finish(mut self) -> io::Result<W> {
        match (self.format, self.begun) {
            (ListFormat::Xml, false) => writeln!(self.out, "<webhooks-failures/>")?,
            (ListFormat::Xml, true) => writeln!(self.out, "</webhooks-failures>")?,
            (ListFormat::Json, false) => write!(self.out, "{JSON_START}]}}")?,
            (ListFormat::Json, true) => write!(self.out, "]}}")?,
        }
        self.out.flush()?;
        Ok(self.out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::BodyFormat;

    fn failure() -> FailureEntry<'static> {
        FailureEntry {
            id: "1fb8ac5c-7ba7-4a1c-9bd3-7a2f3f5a0c11",
            time: "2026-11-20 10:00:00 UTC",
            error: "503 Service Unavailable",
            url: "https://hooks.example.com/3scale?token=***".to_owned(),
            kind: &PayloadKind::Event(BodyFormat::Xml),
            method: "POST",
            event_type: Some("t"),
            action: None,
            payload: b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>\n\
                     <event><type>t</type>\n<object>\xE9&amp;</object></event>\n",
        }
    }

    #[test]
    fn json_has_the_event_as_it_was_sent() {
        let sent = "<event> <type>\u{e9}</type>\r\n</event>";
        let entry = |payload| FailureEntry {
            payload,
            ..failure()
        };
        let mut writer = FailuresWriter::new(Vec::new(), ListFormat::Json).unwrap();
        let events = [sent.as_bytes(), failure().payload];
        for event in events {
            writer.push(&entry(event)).unwrap();
        }
        let list: serde_json::Value = serde_json::from_slice(&writer.finish().unwrap()).unwrap();
        let event = |n: usize| &list["webhooks-failures"][n]["webhooks-failure"]["event"];
        assert_eq!(event(0), sent);
        assert_eq!(
            event(1),
            "<event><type>t</type>\n<object>\u{e9}&amp;</object></event>"
        );
        let empty = FailuresWriter::new(Vec::new(), ListFormat::Json).unwrap();
        assert_eq!(empty.finish().unwrap(), br#"{"webhooks-failures":[]}"#);
    }

    fn written(failures: &[FailureEntry<'_>]) -> String {
        let mut writer = FailuresWriter::new(Vec::new(), ListFormat::Xml).unwrap();
        for failure in failures {
            writer.push(failure).unwrap();
        }
        String::from_utf8(writer.finish().unwrap()).unwrap()
    }

    #[test]
    fn an_empty_list() {
        assert_eq!(
            written(&[]),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<webhooks-failures/>\n"
        );
    }

    #[test]
    fn the_documented_form() {
        let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<webhooks-failures>
  <webhooks-failure>
    <id>1fb8ac5c-7ba7-4a1c-9bd3-7a2f3f5a0c11</id>
    <time>2026-11-20 10:00:00 UTC</time>
    <error>503 Service Unavailable</error>
    <url>https://hooks.example.com/3scale?token=***</url>
    <event><type>t</type>
<object>é&amp;</object></event>
  </webhooks-failure>
</webhooks-failures>
";
        assert_eq!(written(&[failure()]), expected);
    }

    #[test]
    fn texts_cannot_break_out() {
        let nasty = FailureEntry {
            error: "</error>&\u{1B}[2J\r",
            url: "http://a/?x=1&y=<2>".to_owned(),
            ..failure()
        };
        let document = written(&[nasty, failure()]);
        let tree = roxmltree::Document::parse(&document).unwrap();
        let texts = |name| -> Vec<_> {
            tree.descendants()
                .filter(|n| n.has_tag_name(name))
                .filter_map(|n| n.text())
                .collect()
        };
        assert_eq!(texts("error"), ["</error>&\u{FFFD}[2J\r", failure().error]);
        assert_eq!(texts("url"), ["http://a/?x=1&y=<2>", &failure().url]);
    }

    #[test]
    fn a_damaged_event_is_left_out() {
        for event in [
            b"" as &[u8],
            b"<event>",
            b"<event>\xFF</event>",
            b"<!DOCTYPE event><event/>",
        ] {
            let mut writer = FailuresWriter::new(Vec::new(), ListFormat::Xml).unwrap();
            let error = writer
                .push(&FailureEntry {
                    payload: event,
                    ..failure()
                })
                .unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert!(error.to_string().contains(failure().id), "{error}");
            writer.push(&failure()).unwrap();
            assert_eq!(
                String::from_utf8(writer.finish().unwrap()).unwrap(),
                written(&[failure()])
            );
        }
    }
}
