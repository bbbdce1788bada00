//! Fuzzed events and objects: a second parser accepts all that this one accepts, and their bytes are kept.

use super::encoding::decode;
use super::tests::second_parser;
use super::*;
use crate::fuzz::fuzz;

const SEEDS: &[&[u8]] = &[
    b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<event>\n  <type>account</type>\n  <action>created</action>\n  <object>\n    \
      <account><id>1</id><org_name>A &amp; B</org_name></account>\n  </object>\n</event>\n",
    b"\xef\xbb\xbf<event a='1'><!-- c --><action>updated</action><type>user</type><object><p:u xmlns:p=\"v\" p:x='&#x41;'>\
      <![CDATA[ <x> ]] ]]></p:u></object></event>",
    b"<?xml version='1.0' encoding='ISO-8859-1' standalone='yes'?><event><type>t</type><action>a</action><object><e>\xe9\
      </e></object></event>",
    b"\xff\xfe<\0e\0v\0e\0n\0t\0>\0<\0/\0e\0v\0e\0n\0t\0>\0",
    b"params%5Bxml%5D=%3Cevent%3E%3Ctype%3Et%3C%2Ftype%3E%3Caction%3Ea%3C%2Faction%3E%3Cobject%3E%3Ca%2F%3E%3C%2Fobject%3E\
      %3C%2Fevent%3E",
];

const WORDS: &[&str] = &[
    "<",
    ">",
    "/>",
    "</",
    "<a>",
    "</a>",
    "<event>",
    "</event>",
    "<object>",
    "<type>",
    "&",
    "&amp;",
    "&#0;",
    "&#x1F;",
    "&#xD800;",
    "&x;",
    "'",
    "\"",
    "=",
    "]]>",
    "--",
    "<!--",
    "-->",
    "<?",
    "?>",
    "<?xml version='1.0'?>",
    "encoding='UTF-16'",
    "encoding='windows-1252'",
    "<![CDATA[",
    "<!DOCTYPE a [<!ENTITY x 'y'>]>",
    ":",
    "xmlns:p=''",
    " xmlns='u'",
    " xmlns:xml='u'",
    "p:",
    " x='1'",
    "\0",
    "\u{1B}",
    "\u{FFFF}",
    "\u{FEFF}",
    "é",
    "%3C",
    "+",
    "&params[xml]=",
];

#[test]
fn fuzzed_events_and_objects() {
    fuzz(SEEDS, WORDS, |input| {
        let body = extract_xml(input);
        if let Some(names) = Event::names(&body) {
            assert_eq!(
                Event::title(&body),
                Some(names),
                "`title` and `names` agree"
            );
        }
        if let Ok(event) = Event::from_document(body.to_vec()) {
            assert_eq!(event.bytes(), &*body, "it is sent as it came");
            let names = Event::names(&body).expect("an event has names");
            assert_eq!(
                (event.event_type(), event.action()),
                (names.0.as_str(), names.1.as_str())
            );
            let text = decode(&body).expect("it was read").text;
            assert!(
                second_parser::text(&text).is_ok(),
                "another parser refuses it"
            );
            let form = BodyFormat::Form.body(&body);
            assert_eq!(extract_xml(&form), body, "a form carries it whole");
            let shown = pretty(&body).expect("it can be laid out");
            // The output is UTF-8 even if its declaration names another encoding.
            if decode(shown.as_bytes()).is_ok_and(|decoded| decoded.text == shown) {
                assert_eq!(
                    pretty(shown.as_bytes()).as_deref(),
                    Ok(&*shown),
                    "laid out is laid out"
                );
            }
        }
        if let Ok(mut object) = Object::parse(&body) {
            assert!(
                second_parser::text(object.as_str()).is_ok(),
                "another parser refuses the object"
            );
            if object.set_all(&[("org_name", "a<b>&\"'")]).is_ok() {
                let changed = Object::parse(object.as_str().as_bytes());
                assert!(changed.is_ok(), "a change made it {}", object.as_str());
            }
        }
        // A captured body may be anything.
        let _ = tree(&body);
    });
}

#[test]
fn fuzzed_paths_into_documents() {
    const DOCUMENT: &[u8] = b"<a x='1'><b>1</b><b><c y='2'>2</c></b></a>";
    let words = &[
        "/",
        "//",
        "[",
        "]",
        "@",
        "b[2]",
        "0",
        "99999999999999999999",
        "..",
        "*",
        " ",
        "é",
        "p:b",
        "=",
        "'",
    ];
    fuzz(
        &[b"a/b[2]/c", b"//c/@y", b"b[1]", b"/a/b"],
        words,
        |input| {
            let typed = String::from_utf8_lossy(input);
            let mut object = Object::parse(DOCUMENT).expect("an object");
            if object.set_all(&[(&typed, "v")]).is_ok() {
                assert!(
                    second_parser::text(object.as_str()).is_ok(),
                    "{}",
                    object.as_str()
                );
            }
        },
    );
}
