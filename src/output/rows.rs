//! Lists in every format: text tables, CSV, JSON and NDJSON from one list of columns.
//!
//! A command declares the [`Column`]s of its rows and hands the rows to [`rows`], or pushes them to a [`RowWriter`] while it
//! reads them. Every format streams. A text table is laid out in pages of [`TABLE_PAGE_ROWS`] rows, each with its heading,
//! because the widest cell decides how wide a column is.

use std::borrow::Cow;
use std::io;

use comfy_table::{Cell, ColumnConstraint, ContentArrangement, Row, Table, presets};
use serde::Serialize;

use super::{OutputError, Tone, Ui, UntrustedWriter, json};
use crate::sanitize::visible_line;
use crate::text::{self, named_enum};

/// Rows of a text table that are held in memory and laid out together.
const TABLE_PAGE_ROWS: usize = 1_000;

/// A longer cell of a text table does not make its column wider.
const MAX_CELL_CHARS: usize = 120;

/// The beginning of a cell in colour during the layout: a character without a width, which no cell contains.
const TONE_MARKS: [(char, Tone); 4] = [
    ('\u{2061}', Tone::Good),
    ('\u{2062}', Tone::Bad),
    ('\u{2063}', Tone::Warning),
    ('\u{2064}', Tone::Faint),
];

/// The end of a cell in colour.
const TONE_END: char = '\u{2060}';

/// On a narrower terminal, no cell is kept complete.
const MIN_WIDTH_FOR_WHOLE_CELLS: u16 = 60;

named_enum! {
    pub enum Format {
        Text = "text",
        Json = "json",
        /// One JSON object per line.
        Ndjson = "ndjson",
        /// Comma-separated values with a heading line.
        Csv = "csv",
        Xml = "xml",
    }
}

impl Format {
    /// A value that is a command's whole output: indented as JSON, on one line otherwise.
    pub fn document(self, value: &impl Serialize) -> String {
        if self == Format::Json {
            json::pretty(value)
        } else {
            json::compact(value)
        }
    }
}

/// A column of text tables, of CSV, or of both.
pub struct Column<'a, T> {
    heading: Option<&'static str>,
    min_width: u16,
    is_whole: bool,
    tone: Option<fn(&T) -> Tone>,
    csv_name: Option<&'static str>,
    cell: Box<dyn Fn(&T) -> String + 'a>,
}

impl<'a, T> Column<'a, T> {
    /// A column of text tables and CSV.
    pub fn new(
        heading: &'static str,
        csv_name: &'static str,
        cell: impl Fn(&T) -> String + 'a,
    ) -> Self {
        Column {
            heading: Some(heading),
            min_width: 0,
            is_whole: false,
            tone: None,
            csv_name: Some(csv_name),
            cell: Box::new(cell),
        }
    }

    /// A column of text tables only.
    pub fn text(heading: &'static str, cell: impl Fn(&T) -> String + 'a) -> Self {
        Column {
            csv_name: None,
            ..Column::new(heading, "", cell)
        }
    }

    /// A column of CSV only.
    pub fn csv(csv_name: &'static str, cell: impl Fn(&T) -> String + 'a) -> Self {
        Column {
            heading: None,
            ..Column::new("", csv_name, cell)
        }
    }

    /// Keeps cells of a text table complete while other columns can be narrower.
    #[must_use]
    pub fn whole(mut self) -> Self {
        self.is_whole = true;
        self
    }

    /// Colours the cells of a text table.
    #[must_use]
    pub fn toned(mut self, tone: fn(&T) -> Tone) -> Self {
        self.tone = Some(tone);
        self
    }

    /// Leaves the column out of text tables on terminals with fewer characters per line.
    #[must_use]
    pub fn min_width(mut self, width: u16) -> Self {
        self.min_width = width;
        self
    }
}

/// Writes rows to stdout one by one. The list is complete only after [`RowWriter::finish`].
pub struct RowWriter<'a, T> {
    ui: &'a Ui,
    columns: Vec<Column<'a, T>>,
    sink: Sink<'a>,
    json_line: Box<dyn Fn(&T) -> String + 'a>,
    count: usize,
}

struct TableCell {
    text: String,
    tone: Option<Tone>,
}

enum Sink<'a> {
    /// The cells of the page to be laid out next.
    Table(Vec<Vec<TableCell>>),
    Csv(Box<csv::Writer<UntrustedWriter<'a>>>),
    Json,
    Ndjson,
}

impl<'a, T> RowWriter<'a, T> {
    /// `view` makes a row's JSON object. XML has no rows: it is written as text.
    pub fn new<V: Serialize>(
        ui: &'a Ui,
        format: Format,
        columns: Vec<Column<'a, T>>,
        view: impl Fn(&T) -> V + 'a,
    ) -> Result<Self, OutputError> {
        let (columns, sink) = match format {
            Format::Text | Format::Xml => {
                let width = ui.width().unwrap_or(u16::MAX);
                let fits = |c: &Column<'a, T>| c.heading.is_some() && c.min_width <= width;
                (keep(columns, fits), Sink::Table(Vec::new()))
            }
            Format::Csv => {
                let columns = keep(columns, |column| column.csv_name.is_some());
                let mut writer = csv::Writer::from_writer(ui.untrusted_writer());
                let names = columns.iter().filter_map(|column| column.csv_name);
                writer.write_record(names).map_err(csv_error)?;
                (columns, Sink::Csv(Box::new(writer)))
            }
            Format::Json => (columns, Sink::Json),
            Format::Ndjson => (columns, Sink::Ndjson),
        };
        Ok(RowWriter {
            ui,
            columns,
            sink,
            json_line: Box::new(move |row| json::compact(&view(row))),
            count: 0,
        })
    }

    pub fn push(&mut self, row: &T) -> Result<(), OutputError> {
        let cells = self.columns.iter().map(|column| (column.cell)(row));
        match &mut self.sink {
            Sink::Table(page) => {
                let tones = self.columns.iter().map(|column| Some(column.tone?(row)));
                let cells = cells
                    .zip(tones)
                    .map(|(text, tone)| TableCell { text, tone });
                page.push(cells.collect());
                if page.len() == TABLE_PAGE_ROWS {
                    self.print_page()?;
                }
            }
            Sink::Csv(writer) => writer
                .write_record(cells.map(not_a_formula))
                .map_err(csv_error)?,
            Sink::Json => {
                let separator = if self.count == 0 { "[" } else { "," };
                self.ui
                    .line(&format!("{separator}{}", (self.json_line)(row)))?;
            }
            Sink::Ndjson => self.ui.line(&(self.json_line)(row))?,
        }
        self.count += 1;
        Ok(())
    }

    /// Completes the list and returns the number of rows. An empty text list prints nothing.
    pub fn finish(mut self) -> Result<usize, OutputError> {
        match &mut self.sink {
            Sink::Table(_) => self.print_page()?,
            Sink::Csv(writer) => writer.flush()?,
            Sink::Json => self.ui.line(if self.count == 0 { "[]" } else { "]" })?,
            Sink::Ndjson => {}
        }
        self.ui.flush()?;
        Ok(self.count)
    }

    fn print_page(&mut self) -> Result<(), OutputError> {
        let Sink::Table(page) = &mut self.sink else {
            return Ok(());
        };
        let page = std::mem::take(page);
        if page.is_empty() {
            return Ok(());
        }
        self.ui.line(&layout(self.ui, &self.columns, &page))
    }
}

/// A cell of an optional value.
pub fn optional(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// Writes all rows and returns their number.
pub fn rows<'a, T, V: Serialize>(
    ui: &'a Ui,
    format: Format,
    columns: Vec<Column<'a, T>>,
    view: impl Fn(&T) -> V + 'a,
    rows: impl IntoIterator<Item = T>,
) -> Result<usize, OutputError> {
    let mut writer = RowWriter::new(ui, format, columns, view)?;
    for row in rows {
        writer.push(&row)?;
    }
    writer.finish()
}

fn keep<T>(mut columns: Vec<T>, is_kept: impl FnMut(&T) -> bool) -> Vec<T> {
    columns.retain(is_kept);
    columns
}

/// A text table as wide as the terminal. Cells that are too long are cut on a terminal, and complete elsewhere.
fn layout<T>(ui: &Ui, columns: &[Column<'_, T>], rows: &[Vec<TableCell>]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if let Some(width) = ui.width() {
        table
            .set_width(width)
            .set_content_arrangement(ContentArrangement::Dynamic);
    }
    let colors = ui.has_colors();
    let cell = |cell: &TableCell| {
        // comfy-table does not escape control characters.
        let text = text::cut(&visible_line(&cell.text), MAX_CELL_CHARS).into_owned();
        Cell::new(match cell.tone.filter(|_| colors) {
            Some(tone) => marked(&text, tone),
            None => text,
        })
    };
    let row = |cells: Row| {
        let mut row = cells;
        if ui.terminals.stdout {
            row.max_height(1);
        }
        row
    };
    let headings = columns.iter().filter_map(|column| column.heading);
    table.set_header(row(Row::from(headings)));
    table.add_rows(
        rows.iter()
            .map(|cells| row(Row::from(cells.iter().map(cell)))),
    );
    let has_room = ui
        .width()
        .is_none_or(|width| width >= MIN_WIDTH_FOR_WHOLE_CELLS);
    for (column, layout) in columns.iter().zip(table.column_iter_mut()) {
        if column.is_whole && has_room {
            layout.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    if let Some(first) = table.column_mut(0) {
        first.set_padding((0, 1));
    }
    let text = table.trim_fmt();
    let mut lines = text.lines();
    // Colours are added after the layout, in which their codes would count as width.
    let heading = ui.toned(Tone::Strong, lines.next().unwrap_or_default());
    let mut lines: Vec<String> = lines.map(|line| painted(ui, line)).collect();
    if ui.width().is_none() {
        for (line, cells) in lines.iter_mut().zip(rows) {
            complete(line, cells);
        }
    }
    lines.insert(0, heading);
    lines.join("\n")
}

fn marked(text: &str, tone: Tone) -> String {
    let mark = TONE_MARKS.iter().find(|(_, own)| *own == tone);
    match mark {
        Some((mark, _)) if !text.is_empty() => format!("{mark}{text}{TONE_END}"),
        _ => text.to_owned(),
    }
}

/// Replaces the marks of a line by colours.
fn painted(ui: &Ui, line: &str) -> String {
    let is_mark = |c: char| TONE_MARKS.iter().any(|(mark, _)| *mark == c);
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once(is_mark) {
        let tone = rest[before.len()..].chars().next();
        let tone = TONE_MARKS.iter().find(|(mark, _)| Some(*mark) == tone);
        let own = after.split(is_mark).next().unwrap_or_default();
        // A cell that was cut has no end mark.
        let end = own
            .find(TONE_END)
            .or_else(|| Some(own.find('…')? + '…'.len_utf8()));
        let (cell, after) = after.split_at(end.unwrap_or(own.len()));
        out.push_str(before);
        out.push_str(&ui.toned(tone.map_or(Tone::Strong, |(_, tone)| *tone), cell));
        rest = after;
    }
    (out + rest).replace(TONE_END, "")
}

/// Replaces the cut cells of a row by complete ones, which make only this line longer.
fn complete(line: &mut String, cells: &[TableCell]) {
    for cell in cells {
        let text = visible_line(&cell.text);
        if let Cow::Owned(cut) = text::cut(&text, MAX_CELL_CHARS) {
            *line = line.replacen(&cut, &text, 1);
        }
    }
}

/// The I/O error inside, so that a closed pipe is recognized.
fn csv_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(e) => e,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// Prefixes a cell that spreadsheets would run as a formula with an apostrophe, which marks it as text.
fn not_a_formula(cell: String) -> String {
    // East Asian spreadsheets accept full-width operators too.
    const STARTS: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];
    let is_formula = cell
        .trim_start_matches([' ', '\u{a0}', '\u{feff}'])
        .starts_with(STARTS);
    if is_formula { format!("'{cell}") } else { cell }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Terminals;
    use crate::output::OutputOptions;

    #[test]
    fn coloured_cells_end_where_they_are_cut() {
        let options = OutputOptions {
            color: crate::output::Color::Always,
            ..OutputOptions::default()
        };
        let terminals = Terminals {
            stdout: true,
            stderr: true,
        };
        let ui = Ui::new(terminals, options);
        let whole = marked("failed", Tone::Bad);
        let cut = whole.trim_end_matches(TONE_END).replace("led", "…");
        let red = |text: &str| ui.toned(Tone::Bad, text);
        assert_eq!(
            painted(&ui, &format!("a {whole}  b")),
            format!("a {}  b", red("failed"))
        );
        assert_eq!(
            painted(&ui, &format!("{cut}  b")),
            format!("{}  b", red("fai…"))
        );
    }

    #[test]
    fn long_cells_lengthen_only_their_line() {
        let cell = |text: String| TableCell { text, tone: None };
        let long = "é".repeat(60_000);
        let mut line = format!("a  {}  b", text::cut(&long, MAX_CELL_CHARS));
        complete(&mut line, &[cell("a".to_owned()), cell(long.clone())]);
        assert_eq!(line, format!("a  {long}  b"));
    }

    #[test]
    fn csv_cells_are_never_formulas() {
        for cell in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1"] {
            assert_eq!(not_a_formula(cell.to_owned()), format!("'{cell}"));
        }
        let plain = "503 Service Unavailable";
        assert_eq!(not_a_formula(plain.to_owned()), plain);
    }
}
