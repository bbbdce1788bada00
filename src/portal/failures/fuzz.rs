//! Fuzzed lists of failures: each event read from one can be sent, and the size of the pieces does not matter.

use std::io::{BufRead, BufReader, Read};

use super::{PortalFailure, each};
use crate::event::Event;
use crate::fuzz::fuzz;

const SEEDS: &[&[u8]] = &[
    b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<webhooks-failures>\n  <webhooks-failure>\n    <id>u-1</id>\n    \
      <time>2026-11-20 10:00:00 UTC</time>\n    <error>503 Service Unavailable</error>\n    <url>https://h/?t=1</url>\n    \
      <event><type>user</type><action>created</action><object><user><id>1</id></user></object></event>\n  \
      </webhooks-failure>\n</webhooks-failures>\n",
    b"\xef\xbb\xbf<webhooks-failures><webhooks-failure><id>a</id><time>2026-11-20 10:00:00 +0100</time><error/><url>http://h</url>\
      <event>&lt;event&gt;&lt;type&gt;t&lt;/type&gt;&lt;action&gt;a&lt;/action&gt;&lt;object&gt;&lt;o/&gt;&lt;/object&gt;&lt;/event&gt;\
      </event></webhooks-failure><webhooks-failure/></webhooks-failures>",
    br#"{"webhooks-failures":[{"webhooks-failure":{"id":"b","time":"2026-11-20 10:00:00 UTC","error":"reset","url":"https://h/",
       "event":"<event><type>t</type><action>a</action><object><o/></object></event>"}},{"id":"c"},7]}"#,
];

const WORDS: &[&str] = &[
    "<webhooks-failure>",
    "</webhooks-failure>",
    "<webhooks-failures>",
    "</webhooks-failures>",
    "<id>",
    "</id>",
    "<event>",
    "</event>",
    "<type>",
    "<time>",
    "<url>",
    "http://u:p@h/",
    "&lt;",
    "&amp;",
    "&#x0;",
    "<![CDATA[",
    "]]>",
    "<!--",
    "-->",
    "<?",
    "<!DOCTYPE a>",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\u0000",
    "\\ud800",
    "\"webhooks-failure\":",
    "null",
    "1e999",
    "\0",
    "\u{FEFF}",
    "é",
];

/// A stream that gives a byte at a time.
struct Dripping<'a>(&'a [u8]);

impl Read for Dripping<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = buffer.len().min(1);
        self.0.read(&mut buffer[..length])
    }
}

/// The failures and the end of a list as text.
fn told(input: &mut dyn BufRead) -> Vec<String> {
    let mut told = Vec::new();
    let ended = each(input, |failure| {
        told.push(match &failure {
            Ok(failed) => sound(failed),
            Err(broken) => broken.to_string(),
        });
        if told.len() > 10_000 {
            Err("it has no end")
        } else {
            Ok(())
        }
    });
    told.push(match ended {
        Ok(Ok(())) => "whole".to_owned(),
        Ok(Err(words)) => panic!("{words}"),
        Err(error) => error.to_string(),
    });
    told
}

/// Holds a failure to what sending it again takes.
fn sound(failed: &PortalFailure) -> String {
    if failed.payload.kind.event_format().is_some() {
        let event = Event::from_document(failed.payload.bytes.to_vec());
        assert!(event.is_ok(), "its event could not be sent: {event:?}");
    }
    assert!(
        !failed.uuid.is_empty() && !failed.uuid.contains(['\r', '\n', '\0']),
        "its id could not be a header"
    );
    format!(
        "{} {} {} {}",
        failed.uuid, failed.time, failed.error.message, failed.target
    )
}

#[test]
fn fuzzed_lists_of_failures() {
    fuzz(SEEDS, WORDS, |input| {
        let whole = told(&mut &input[..]);
        let dripping = told(&mut BufReader::with_capacity(1, Dripping(input)));
        assert_eq!(whole, dripping, "the size of the pieces does not matter");
    });
}
