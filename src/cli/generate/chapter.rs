//! The chapters of the manual: Markdown files in `man/`, converted to man pages.
//!
//! The Markdown is kept simple, because it has to read well on GitHub and in a terminal: headings, paragraphs, flat
//! lists, code blocks, links and tables. A table becomes a list: the first cell of a row is the term, the last one describes
//! it, and the others follow with their headings.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use roff::{Inline, Roff, bold, italic, roman};

use super::page::{page, render};

struct Chapter {
    name: &'static str,
    section: char,
    markdown: &'static str,
}

macro_rules! chapter {
    ($name:literal, $section:literal) => {
        Chapter {
            name: $name,
            section: $section,
            markdown: include_str!(concat!("../../../man/", $name, ".", $section, ".md")),
        }
    };
}

const CHAPTERS: &[Chapter] = &[
    chapter!("hookfire-events", '7'),
    chapter!("hookfire-secrets", '7'),
    chapter!("hookfire-retry", '7'),
    chapter!("hookfire-listen", '7'),
    chapter!("hookfire-expect", '7'),
    chapter!("hookfire-recovery", '7'),
    chapter!("hookfire-output", '7'),
    chapter!("hookfire-journal", '7'),
    chapter!("hookfire-guarantees", '7'),
    chapter!("hookfire.toml", '5'),
];

/// File names and pages.
pub fn pages() -> impl Iterator<Item = (String, Vec<u8>)> {
    CHAPTERS.iter().map(|chapter| {
        let file = format!("{}.{}", chapter.name, chapter.section);
        let body = render(&converted(chapter.markdown));
        (file, page(chapter.name, chapter.section, &body))
    })
}

/// Each chapter as a man page reference, such as `("hookfire-retry", '7')`.
pub fn names() -> impl Iterator<Item = (&'static str, char)> {
    CHAPTERS
        .iter()
        .map(|chapter| (chapter.name, chapter.section))
}

fn converted(markdown: &str) -> Roff {
    let mut converter = Converter::default();
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
        converter.event(event);
    }
    converter.roff
}

#[derive(Default)]
struct Converter {
    roff: Roff,
    line: Vec<Inline>,
    /// Font of the text that comes next.
    font: Font,
    /// Number of the next item in an ordered list.
    number: Option<u64>,
    after_heading: bool,
    in_item: bool,
    in_code_block: bool,
    /// Target of the open link, if the page has to print it.
    url: Option<String>,
    column_headings: Vec<String>,
    row: Vec<Vec<Inline>>,
}

#[derive(Clone, Copy, Default)]
enum Font {
    #[default]
    Roman,
    Bold,
    Italic,
}

impl Converter {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => self.text(&text),
            Event::Code(code) => self.line.push(bold(code.as_ref())),
            Event::SoftBreak => self.flush(),
            _ => {}
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            // A section starts with a paragraph by itself.
            Tag::Paragraph if !self.in_item && !self.after_heading => {
                self.roff.control("PP", []);
            }
            Tag::CodeBlock(_) => {
                self.flush();
                if !self.after_heading {
                    self.roff.control("sp", []);
                }
                self.roff.control("RS", ["4"]).control("EX", []);
                self.in_code_block = true;
            }
            Tag::List(first) => {
                self.flush();
                self.number = first;
            }
            Tag::Item => {
                self.in_item = true;
                match &mut self.number {
                    Some(number) => {
                        self.roff
                            .control("IP", [format!("{number}.").as_str(), "4"]);
                        *number += 1;
                    }
                    None => _ = self.roff.control("IP", ["\\(bu", "3"]),
                }
            }
            Tag::Emphasis => self.font = Font::Italic,
            Tag::Strong => self.font = Font::Bold,
            Tag::Link { dest_url, .. } if dest_url.starts_with("https://") => {
                self.url = Some(dest_url.into_string());
            }
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        self.after_heading = matches!(tag, TagEnd::Heading(_));
        match tag {
            // The page's title line says what a heading of the first level says on GitHub.
            TagEnd::Heading(pulldown_cmark::HeadingLevel::H1) => self.line.clear(),
            TagEnd::Heading(level) => {
                let heading = plain(&std::mem::take(&mut self.line));
                if level == pulldown_cmark::HeadingLevel::H2 {
                    self.roff.control("SH", [heading.to_uppercase().as_str()]);
                } else {
                    self.roff.control("SS", [heading.as_str()]);
                }
            }
            TagEnd::Paragraph | TagEnd::List(_) => self.flush(),
            TagEnd::Item => {
                self.flush();
                self.in_item = false;
            }
            TagEnd::CodeBlock => {
                self.in_code_block = false;
                self.roff.control("EE", []).control("RE", []);
            }
            TagEnd::TableCell => self.row.push(std::mem::take(&mut self.line)),
            TagEnd::TableHead => {
                let headings = std::mem::take(&mut self.row);
                self.column_headings = headings.iter().map(|cell| plain(cell)).collect();
            }
            TagEnd::TableRow => self.table_row(),
            TagEnd::Emphasis | TagEnd::Strong => self.font = Font::Roman,
            TagEnd::Link => {
                if let Some(url) = self.url.take() {
                    self.line.push(roman(format!(" <{url}>")));
                }
            }
            _ => {}
        }
    }

    fn text(&mut self, text: &str) {
        if self.in_code_block {
            self.roff.text([roman(text.trim_end_matches('\n'))]);
            return;
        }
        self.line.push(match self.font {
            Font::Roman => roman(text),
            Font::Bold => bold(text),
            Font::Italic => italic(text),
        });
    }

    fn table_row(&mut self) {
        let mut cells = std::mem::take(&mut self.row).into_iter();
        let term = cells.next().unwrap_or_default();
        let description = cells.next_back().unwrap_or_default();
        self.roff.control("TP", []).text([bold(plain(&term))]);
        self.roff.text(description);
        for (heading, cell) in self.column_headings.iter().skip(1).zip(cells) {
            if !cell.is_empty() {
                self.roff.control("br", []);
                let mut line = vec![roman(format!("{heading}: "))];
                line.extend(cell);
                self.roff.text(line);
            }
        }
    }

    fn flush(&mut self) {
        if !self.line.is_empty() {
            self.roff.text(std::mem::take(&mut self.line));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_becomes_roff() {
        let markdown = "\
# name(7)

## Description

A `--flag`, *this* and
[another page](other.7.md).

- one
- [two](https://example.com)

```console
$ echo 'a'
.b
```

| code | name | when |
|---|---|---|
| 0 | done | always |
";
        insta::assert_snapshot!(render(&converted(markdown)), @r"
        .SH DESCRIPTION
        A \fB\-\-flag\fR, \fIthis\fR and
        another page.
        .IP \(bu 3
        one
        .IP \(bu 3
        two <https://example.com>
        .sp
        .RS 4
        .EX
        $ echo \(aqa\(aq
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
}
