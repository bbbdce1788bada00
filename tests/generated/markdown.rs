//! Converts Markdown to roff.
//!
//! The chapters of the manual use headings, paragraphs, flat lists, code blocks, links and tables. A table becomes a list: the first
//! cell of a row is the term, the last one describes it, and the others follow with their headings.

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use roff::{Inline, Roff, bold, roman};

/// Appends Markdown to a page.
pub fn add_markdown(roff: &mut Roff, markdown: &str) {
    let (mut line, mut row, mut headings) = (Vec::new(), Vec::new(), Vec::new());
    let (mut after_heading, mut in_item, mut in_code) = (false, false, false);
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
        let is_heading = matches!(event, Event::End(TagEnd::Heading(_)));
        match event {
            Event::Text(text) if in_code => {
                roff.text([roman(text.trim_end_matches('\n'))]);
            }
            Event::Text(text) => line.push(roman(text.as_ref())),
            Event::Code(code) => line.push(bold(code.as_ref())),
            // A section starts with a paragraph by itself.
            Event::Start(Tag::Paragraph) if !in_item && !after_heading => {
                roff.control("PP", []);
            }
            Event::Start(Tag::Item) => {
                roff.control("IP", ["\\(bu", "3"]);
                in_item = true;
            }
            Event::Start(Tag::CodeBlock(_)) => {
                if !after_heading {
                    roff.control("sp", []);
                }
                roff.control("RS", ["4"]).control("EX", []);
                in_code = true;
            }
            Event::End(TagEnd::CodeBlock) => {
                roff.control("EE", []).control("RE", []);
                in_code = false;
            }
            // The title line of the page replaces the heading of the first level.
            Event::End(TagEnd::Heading(HeadingLevel::H1)) => line.clear(),
            Event::End(TagEnd::Heading(_)) => {
                let heading = plain(&std::mem::take(&mut line)).to_uppercase();
                roff.control("SH", [heading.as_str()]);
            }
            Event::SoftBreak | Event::End(TagEnd::Paragraph) => add_line(roff, &mut line),
            Event::End(TagEnd::Item) => {
                add_line(roff, &mut line);
                in_item = false;
            }
            Event::End(TagEnd::TableCell) => row.push(std::mem::take(&mut line)),
            Event::End(TagEnd::TableHead) => {
                headings = row.drain(..).map(|cell| plain(&cell)).collect();
            }
            Event::End(TagEnd::TableRow) => add_row(roff, &headings, std::mem::take(&mut row)),
            _ => {}
        }
        after_heading = is_heading;
    }
}

fn add_line(roff: &mut Roff, line: &mut Vec<Inline>) {
    if !line.is_empty() {
        roff.text(std::mem::take(line));
    }
}

fn add_row(roff: &mut Roff, headings: &[String], mut row: Vec<Vec<Inline>>) {
    let description = row.pop().unwrap_or_default();
    for (heading, cell) in headings.iter().zip(row) {
        if heading == &headings[0] {
            roff.control("TP", []).text([bold(plain(&cell))]);
            roff.text(description.clone());
        } else if !cell.is_empty() {
            roff.control("br", [])
                .text([roman(format!("{heading}: {}", plain(&cell)))]);
        }
    }
}

fn plain(line: &[Inline]) -> String {
    line.iter()
        .map(|inline| match inline {
            Inline::Roman(text) | Inline::Italic(text) | Inline::Bold(text) => text,
            Inline::LineBreak => " ",
        })
        .collect()
}

#[test]
fn markdown_becomes_roff() {
    let markdown = "\
# name(7)

## Description

A `--flag` and
[another page](other.7.md).

- one
- two

```console
$ echo 'a'
.b
```

| code | name | when |
|---|---|---|
| 0 | done | always |
";
    let mut roff = Roff::new();
    add_markdown(&mut roff, markdown);
    insta::assert_snapshot!(roff.to_roff(), @r"
    .SH DESCRIPTION
    A \fB\-\-flag\fR and
    another page.
    .IP \(bu 3
    one
    .IP \(bu 3
    two
    .sp
    .RS 4
    .EX
    $ echo 'a'
    \&.b
    .EE
    .RE
    .TP
    \fB0\fR
    always
    .br
    name: done
    ");
}
