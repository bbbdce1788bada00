//! Text that attacks a terminal, a spreadsheet or a parser is shown, stored or refused, and has no effect.

use crate::support::{Outcome, Server, Step, TestEnv, needs, respond};

/// Sequences that move the cursor, set the title or the clipboard, link, clear, reset, overwrite, reorder or hide.
const ATTACKS: &str = "\x1b]0;title\x07 \x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\ \x1b]52;c;cGF5bG9hZA==\x07 \x1b[2J \x1bc \
    \u{9b}31m good\rbad \u{202e}txt.exe\u{2066} nul\0 zero\u{200b}width \u{85} \u{2028} \x7f \x08 \u{feff} end";
/// Those that XML allows.
const IN_XML: &str = "\u{9b}31m \u{202e}txt.exe\u{2066} zero\u{200b}width \u{85} \u{2028} \x7f end";

/// Whether terminals cannot be created here.
fn no_terminal() -> bool {
    !needs("script", &["--version"])
}

/// Runs the program on a terminal and fails if it receives anything but plain text.
#[track_caller]
fn on_terminal(env: &TestEnv, args: &[&str]) -> Outcome {
    let outcome = env.hookfire_on_terminal(args).env("NO_COLOR", "1").run();
    // The line end of a terminal.
    let text = String::from_utf8(outcome.stdout.clone())
        .expect("no byte that is not text")
        .replace("\r\n", "\n");
    // The progress line, which the next line replaces.
    let text = text.replace("\r\u{1b}[K", "");
    let deceptive = |c: &char| {
        (c.is_control() && !['\n', '\t'].contains(c))
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let found: Vec<char> = text.chars().filter(deceptive).collect();
    assert!(
        found.is_empty(),
        "{found:?} reached the terminal of `{}`:\n{}",
        args.join(" "),
        text.escape_debug()
    );
    outcome
}

/// An environment with one delivery whose event, response body and location contain attacks, and its output on a
/// terminal.
fn attacked() -> (TestEnv, Server, Vec<Outcome>) {
    let answer = || -> Step {
        let location = format!("http://h/{}", IN_XML.replace('\x7f', ""));
        respond(302).body(ATTACKS).header("Location", &location)
    };
    let (env, server) = (TestEnv::new(), Server::script(vec![answer().times(4)]));
    let event = format!(
        "<event><type>t</type><action>a</action><object><t a='{IN_XML}'>{IN_XML}</t></object></event>"
    );
    env.write_file("event.xml", event);
    let fire = [
        "fire",
        "--no-retry",
        "--event",
        "event.xml",
        "--url",
        &server.url(),
    ];
    let seen = [&["-vv"][..], &["-o", "json"], &["-o", "ndjson", "-vv"]]
        .map(|more| on_terminal(&env, &[&fire[..], more].concat()));
    (env, server, seen.into())
}

#[test]
fn terminal_output_escapes_endpoint_and_event_text() {
    if no_terminal() {
        return;
    }
    let (env, server, seen) = attacked();
    assert!(
        seen.iter().all(|outcome| outcome.code == Some(3)),
        "{}",
        seen[0]
    );
    assert!(
        seen[0].stdout().contains("\\u{1b}]0;title"),
        "it is shown, escaped\n{}",
        seen[0]
    );
    for format in ["text", "json", "ndjson", "csv"] {
        on_terminal(&env, &["failed", "list", "-o", format]);
        on_terminal(&env, &["journal", "list", "-o", format]);
    }
    on_terminal(&env, &["failed", "list", "-o", "xml"]);
    for format in ["text", "json", "ndjson", "xml"] {
        on_terminal(&env, &["failed", "show", "1", "-o", format]);
        on_terminal(&env, &["journal", "show", "2", "-o", format]);
    }
    for format in ["text", "json", "ndjson"] {
        on_terminal(&env, &["retry", "--all", "--dry-run", "-o", format]);
        on_terminal(
            &env,
            &["failed", "delete", "--all", "--dry-run", "-o", format],
        );
        on_terminal(
            &env,
            &[
                "fire",
                "--event",
                "event.xml",
                "--url",
                &server.url(),
                "--dry-run",
                "-o",
                format,
            ],
        );
    }
    on_terminal(&env, &["retry", "1", "-vv"]);
    on_terminal(
        &env,
        &["failed", "list", "--type", IN_XML, "--action", IN_XML],
    );
    on_terminal(
        &env,
        &[
            "fire",
            "--event",
            "event.xml",
            "--url",
            "http://127.0.0.1:1/\u{202e}\u{9b}x",
            "--dry-run",
        ],
    );
    on_terminal(
        &env,
        &["fire", "account", "created", "-e", "\u{202e}\x1b[2J"],
    );
    on_terminal(
        &env,
        &["fire", IN_XML, "\x1b[2J", "--url", "http://127.0.0.1:1/"],
    );
    on_terminal(&env, &["ping", "--url", "\x1b[2J\u{202e}"]);
    on_terminal(
        &env,
        &[
            "config",
            "show",
            "--url",
            "http://127.0.0.1:1/\u{202e}?\u{202e}=1",
        ],
    );
    on_terminal(&env, &["retry", "\x1b[2J\u{202e}"]);
    on_terminal(&env, &["\x1b[2J\u{202e}"]);
}

#[test]
fn json_on_a_terminal_is_the_same_json() {
    if no_terminal() {
        return;
    }
    let (env, _server, seen) = attacked();
    env.hookfire(["retry", "1"]).run().assert_code(3);
    let on_terminal = on_terminal(&env, &["failed", "show", "1", "-o", "json"]).json();
    assert_eq!(
        on_terminal,
        env.hookfire(["failed", "show", "1", "-o", "json"])
            .run()
            .json()
    );
    assert_eq!(
        on_terminal["attempts"][0]["response_body"], ATTACKS,
        "{}",
        seen[1]
    );
}

#[test]
fn pipes_get_unchanged_bytes() {
    let (env, server) = (
        TestEnv::new(),
        Server::script(vec![respond(503).body(ATTACKS)]),
    );
    let event = format!(
        "<event><type>t</type><action>a</action><object><t>{IN_XML}</t></object></event>\r\n"
    );
    env.write_file("event.xml", &event);
    let fire = [
        "fire",
        "--no-retry",
        "--event",
        "event.xml",
        "--url",
        &server.url(),
        "-o",
        "json",
    ];
    let outcome = env.hookfire(fire).run().assert_code(3);
    assert_eq!(outcome.json()["attempts"][0]["response_body"], ATTACKS);
    assert_eq!(server.requests()[0].body, event.as_bytes());
    let shown = env
        .hookfire(["failed", "show", "1", "-o", "xml"])
        .run()
        .assert_code(0);
    assert_eq!(shown.stdout, event.as_bytes());
    let page = env.hookfire(["failed", "show", "1"]).run().assert_code(0);
    assert!(page.stdout().contains(ATTACKS), "{page}");
    let dry = env.hookfire(fire).args(["--dry-run"]).run().assert_code(0);
    assert_eq!(dry.json()["request"]["body"], event);
}

#[test]
fn csv_cells_are_never_formulas() {
    let (env, server) = (TestEnv::new(), Server::script(vec![respond(503).times(6)]));
    let formulas = [
        "=1+1",
        "+cmd|' /C calc'!A0",
        "-2+3",
        "@SUM(A1)",
        "\u{ff1d}1",
        "\"=1,=2",
    ];
    for formula in formulas {
        let text = formula.replace('&', "&amp;");
        let event = format!(
            "<event><type>{text}</type><action>{text}</action><object><t/></object></event>"
        );
        env.write_file("event.xml", event);
        env.hookfire([
            "fire",
            "--no-retry",
            "--event",
            "event.xml",
            "--url",
            &server.url(),
        ])
        .run()
        .assert_code(3);
    }
    for list in [["failed", "list"], ["journal", "list"]] {
        let outcome = env.hookfire(list).args(["-o", "csv"]).run().assert_code(0);
        let mut reader = csv::ReaderBuilder::new()
            .flexible(false)
            .from_reader(&outcome.stdout[..]);
        let rows: Vec<csv::StringRecord> = reader
            .records()
            .collect::<Result<_, _>>()
            .expect("well-formed CSV");
        assert_eq!(rows.len(), formulas.len(), "{outcome}");
        for cell in rows.iter().flatten() {
            let starts = [
                '=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}',
                '\u{ff20}',
            ];
            assert!(
                !cell.trim_start().starts_with(starts),
                "{cell:?}\n{outcome}"
            );
        }
    }
}

#[test]
fn invalid_events_are_refused_first() {
    let object = "<object><t/></object>";
    let head = "<type>t</type><action>a</action>";
    let deep = format!(
        "<object>{}{}</object>",
        "<d>".repeat(1001),
        "</d>".repeat(1001)
    );
    let event = |inner: &str| format!("<event>{inner}</event>").into_bytes();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("empty", Vec::new()),
        ("white space", b" \r\n\t".to_vec()),
        ("no XML", b"{\"type\":\"account\"}".to_vec()),
        ("NUL", event(&format!("{head}<object><t>\0</t></object>"))),
        (
            "a reference to NUL",
            event(&format!("{head}<object><t>&#0;</t></object>")),
        ),
        (
            "ESC",
            event(&format!("{head}<object><t>\x1b[2J</t></object>")),
        ),
        (
            "a reference to ESC",
            event(&format!("{head}<object><t a='&#x1b;'/></object>")),
        ),
        (
            "a surrogate",
            event(&format!("{head}<object><t>&#xD800;</t></object>")),
        ),
        (
            "U+FFFF",
            event(&format!("{head}<object><t>\u{ffff}</t></object>")),
        ),
        (
            "malformed UTF-8",
            [&event(head)[..20], b"\xff\xfe\xfa"].concat(),
        ),
        (
            "a DOCTYPE",
            [
                &b"<!DOCTYPE event [<!ENTITY x 'y'>]>"[..],
                &event(&format!("{head}{object}")),
            ]
            .concat(),
        ),
        (
            "an entity",
            event(&format!("{head}<object><t>&x;</t></object>")),
        ),
        (
            "a prefix that nobody declared",
            event(&format!("{head}<object><x:t/></object>")),
        ),
        (
            "an attribute's prefix that nobody declared",
            event(&format!("{head}<object><t x:a='1'/></object>")),
        ),
        (
            "an attribute twice",
            event(&format!("{head}<object><t a='1' a='2'/></object>")),
        ),
        (
            "a bad name",
            event(&format!("{head}<object><1t/></object>")),
        ),
        (
            "a bad attribute",
            event(&format!("{head}<object><t -a='1'/></object>")),
        ),
        (
            "a bare ampersand",
            event(&format!("{head}<object><t>R&D</t></object>")),
        ),
        (
            "a bare <",
            event(&format!("{head}<object><t a='<'/></object>")),
        ),
        (
            "]]> in text",
            event(&format!("{head}<object><t>]]></t></object>")),
        ),
        (
            "-- in a comment",
            event(&format!("{head}<object><t><!-- a -- b --></t></object>")),
        ),
        (
            "an end that is another's",
            event(&format!("{head}<object><t></u></object>")),
        ),
        ("no end", b"<event><type>t</type>".to_vec()),
        ("too deep", event(&format!("{head}{deep}"))),
        (
            "two roots",
            [
                event(&format!("{head}{object}")),
                event(&format!("{head}{object}")),
            ]
            .concat(),
        ),
        (
            "text behind the root",
            [&event(&format!("{head}{object}"))[..], b"text"].concat(),
        ),
        (
            "another root",
            b"<events><type>t</type><action>a</action><object><t/></object></events>".to_vec(),
        ),
        ("no type", event(&format!("<action>a</action>{object}"))),
        ("two types", event(&format!("{head}<type>t</type>{object}"))),
        (
            "an empty action",
            event(&format!("<type>t</type><action> </action>{object}")),
        ),
        (
            "an unknown encoding",
            b"<?xml version='1.0' encoding='EBCDIC-X'?><event/>".to_vec(),
        ),
        (
            "a type that commands a terminal",
            event(&format!("<type>\u{9b}2J</type><action>a</action>{object}")),
        ),
        (
            "an action of two lines",
            event(&format!("<type>t</type><action>a\nforged</action>{object}")),
        ),
        (
            "an action that runs backwards",
            event(&format!("<type>t</type><action>\u{202e}a</action>{object}")),
        ),
    ];
    let (env, server) = (TestEnv::new(), Server::script(vec![]));
    for (what, document) in cases {
        env.write_file("event.xml", document);
        let args = [
            "fire",
            "--no-retry",
            "--event",
            "event.xml",
            "--url",
            &server.url(),
        ];
        let outcome = env.hookfire(args).run();
        assert_eq!(outcome.code, Some(2), "{what}\n{outcome}");
        assert!(
            outcome.stderr().contains("`event.xml` cannot be sent"),
            "{what}: the file is named\n{outcome}"
        );
        assert!(
            !env.journal_path().exists(),
            "{what}: nothing is written down\n{outcome}"
        );
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn invalid_object_or_change_is_refused_first() {
    let (env, server) = (TestEnv::new(), Server::script(vec![]));
    let objects = [
        "<a/><b/>",
        "text",
        "<a>",
        "<x:a/>",
        "<!DOCTYPE a><a/>",
        "<a>\u{1}</a>",
        "<a>&nbsp;</a>",
    ];
    for object in objects {
        env.write_file("object.xml", object);
        let args = [
            "fire",
            "account",
            "created",
            "--no-retry",
            "--object",
            "object.xml",
            "--url",
            &server.url(),
        ];
        let outcome = env.hookfire(args).run().assert_code(2);
        assert!(
            outcome.stderr().contains("`object.xml` cannot be sent"),
            "{outcome}"
        );
    }
    let changes = [
        "org_name=a\u{1}b",
        "org_name=\x1b[2J",
        "org_name=\u{ffff}",
        "org name=x",
        "=x",
        "org_name",
        "a//b=x",
        "1a=x",
        "<a>=x",
    ];
    for change in changes {
        let args = [
            "fire",
            "account",
            "created",
            "--no-retry",
            "--url",
            &server.url(),
            "--set",
            change,
        ];
        env.hookfire(args).run().assert_code(2);
    }
    for (event_type, action) in [
        ("a b", "created"),
        ("account", "cre<ated"),
        ("", "x"),
        ("account", "\u{202e}"),
    ] {
        env.write_file("object.xml", "<a/>");
        let args = [
            "fire",
            event_type,
            action,
            "--no-retry",
            "--object",
            "object.xml",
            "--url",
            &server.url(),
        ];
        env.hookfire(args).run().assert_code(2);
    }
    assert_eq!(server.connections(), 0);
    assert!(!env.journal_path().exists(), "nothing is written down");
}

#[test]
fn markup_in_values_arrives_as_text() {
    let (env, server) = (TestEnv::new(), Server::script(vec![respond(200)]));
    let value = "</org_name><evil a=\"1\">&amp;]]>";
    let args = [
        "fire",
        "account",
        "created",
        "--url",
        &server.url(),
        "--set",
        &format!("org_name={value}"),
    ];
    env.hookfire(args).run().assert_code(0);
    let body = String::from_utf8(server.requests().remove(0).body).expect("UTF-8");
    let document = roxmltree::Document::parse(&body).expect("an event that another parser reads");
    let named = document
        .descendants()
        .find(|node| node.has_tag_name("org_name"))
        .expect("the field");
    assert_eq!(named.text(), Some(value));
}
