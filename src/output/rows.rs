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
use crate::text::named_enum;

/// Rows of a text table that are held in memory and laid out together.
const TABLE_PAGE_ROWS: usize = 1_000;

/// Characters of a cell of a text table. The other formats have all of them.
const MAX_CELL_CHARS: usize = 200;

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

enum Sink<'a> {
    /// The cells of the page to be laid out next.
    Table(Vec<Vec<String>>),
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
        self.ui.line(&layout(self.ui, &self.columns, page))
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

/// A text table as wide as the terminal. Cells that are too long are cut on a terminal, and wrapped where the output goes
/// elsewhere.
fn layout<T>(ui: &Ui, columns: &[Column<'_, T>], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if let Some(width) = ui.width() {
        table
            .set_width(width)
            .set_content_arrangement(ContentArrangement::Dynamic);
    }
    // comfy-table does not escape control characters.
    let cell = |text: &String| Cell::new(cut(&visible_line(text)));
    let row = |cells: Vec<String>| {
        let mut row = Row::from(cells.iter().map(cell));
        if ui.terminals.stdout {
            row.max_height(1);
        }
        row
    };
    let headings = columns.iter().filter_map(|column| column.heading);
    table.set_header(row(headings.map(str::to_owned).collect()));
    table.add_rows(rows.into_iter().map(row));
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
    // The heading is coloured after the layout, in which colour codes would count as width.
    match text.split_once('\n') {
        Some((heading, rest)) => format!("{}\n{rest}", ui.toned(Tone::Strong, heading)),
        None => ui.toned(Tone::Strong, &text),
    }
}

/// The beginning of a cell that would make every row too wide.
fn cut(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(MAX_CELL_CHARS) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
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

    #[test]
    fn long_cells_are_cut() {
        let long = "é".repeat(60_000);
        assert_eq!(cut(&long).chars().count(), MAX_CELL_CHARS + 1);
        assert_eq!(cut(&long[..400]), &long[..400]);
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
