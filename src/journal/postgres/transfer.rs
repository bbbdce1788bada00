//! Copies all rows to a new file. `copy` adds the rows of a file to the server.
//!
//! Both read the names of the columns from the server, which has the same as a file.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::types::Value as Cell;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::PostgresJournal;
use super::error::PostgresError;
use super::session::Session;
use crate::journal::sqlite::SqliteJournal;
use crate::journal::sqlite::transfer::{PAGE_BYTES, PAGE_ROWS, RowsAfter};
use crate::journal::values::{NewRow, SqlValue};
use crate::journal::{Journal as _, JournalError};

const ID: &str = "id";

/// The tables and the columns of their primary keys. A table follows those to which its rows belong.
pub const TABLES: [(&str, &[&str]); 6] = [
    ("deliveries", &[ID]),
    ("attempts", &["delivery_id", "number"]),
    ("bins", &[ID]),
    ("captures", &[ID]),
    ("runs", &["capture_id", "number"]),
    ("cursors", &["name"]),
];

pub struct Table {
    pub name: &'static str,
    key: &'static [&'static str],
    /// The names and types of the columns.
    columns: Vec<(String, Type)>,
}

impl PostgresJournal {
    /// Copies a snapshot to a new file, which exists only once it is complete.
    pub(super) fn export_to(
        &self,
        path: &Path,
        interrupted: Arc<AtomicBool>,
    ) -> Result<(), JournalError> {
        let fail = |source| JournalError::Io {
            doing: "write the copy",
            path: path.to_owned(),
            source,
        };
        let folder = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let work = tempfile::tempdir_in(folder).map_err(fail)?;
        let mut copy = self.connection.read(|session| {
            // Opened anew if the connection is lost in between.
            let file = tempfile::NamedTempFile::new_in(work.path()).map_err(fail)?;
            let file = file.into_temp_path().keep().map_err(|e| fail(e.error))?;
            let copy = SqliteJournal::open(&file, Box::new(crate::journal::host::ThisHost))?;
            session.batch("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
            let copied = copy_all(session, &copy, &interrupted);
            session.batch("ROLLBACK")?;
            copied?;
            Ok(copy)
        })?;
        copy.export(path, interrupted)
    }
}

fn copy_all(
    session: &mut Session,
    copy: &SqliteJournal,
    interrupted: &AtomicBool,
) -> Result<(), PostgresError> {
    for (name, key) in TABLES {
        let table = Table::read(session, name, key)?;
        let mut after = Vec::new();
        while !interrupted.load(Ordering::Relaxed) {
            let rows = next_rows(session, &table, &after)?;
            let Some(last) = rows.last() else { break };
            after = table.key_of(last);
            copy.add_rows(table.name, &table.names(), &rows)?;
        }
    }
    Ok(())
}

/// Reads a page of rows, as [`SqliteJournal::rows_after`].
fn next_rows(
    session: &mut Session,
    table: &Table,
    after: &[Cell],
) -> Result<Vec<Vec<Cell>>, PostgresError> {
    let (names, key) = (table.names().join(", "), table.key.join(", "));
    let marks: Vec<String> = (1..=after.len()).map(|at| format!("${at}")).collect();
    let condition = match marks.is_empty() {
        true => "TRUE".to_owned(),
        false => format!("({key}) > ({})", marks.join(", ")),
    };
    let long = table.columns.iter();
    let long = long.filter(|(_, data_type)| [Type::TEXT, Type::BYTEA].contains(data_type));
    // Does not read the values themselves.
    let sizes = long.map(|(name, _)| format!("coalesce(octet_length({name}), 0)::bigint"));
    let size = sizes.collect::<Vec<_>>().join(" + ");
    let sql = format!(
        "SELECT {names} FROM (
             SELECT page.*, sum(size) OVER (ORDER BY {key} ROWS UNBOUNDED PRECEDING) - size AS size_before FROM (
                 SELECT {names}, {size} AS size FROM hookfire.{} WHERE {condition} ORDER BY {key} LIMIT {PAGE_ROWS}
             ) page
         ) page WHERE size_before < {PAGE_BYTES} ORDER BY {key}",
        table.name
    );
    let values = table.key.iter().zip(after);
    let values: Vec<_> = values
        .map(|(name, cell)| value(cell, &table.data_type(name)))
        .collect();
    cells(&session.rows(&sql, &values)?)
}

impl Table {
    /// Reads the columns of a table.
    pub fn read(
        session: &mut Session,
        name: &'static str,
        key: &'static [&'static str],
    ) -> Result<Table, PostgresError> {
        let rows = session.rows(
            "SELECT column_name::text, data_type::text FROM information_schema.columns
             WHERE table_schema = 'hookfire' AND table_name = $1 ORDER BY ordinal_position",
            &[name.into()],
        )?;
        let mut columns = Vec::new();
        for row in &rows {
            let data_type = match row.try_get(1)? {
                "bigint" => Type::INT8,
                "boolean" => Type::BOOL,
                "bytea" => Type::BYTEA,
                _ => Type::TEXT,
            };
            columns.push((row.try_get(0)?, data_type));
        }
        Ok(Table { name, key, columns })
    }

    fn names(&self) -> Vec<&str> {
        self.columns.iter().map(|(name, _)| name.as_str()).collect()
    }

    fn data_type(&self, name: &str) -> Type {
        let mut columns = self.columns.iter();
        let found = columns.find(|(column, _)| column == name);
        found.map_or(Type::TEXT, |(_, data_type)| data_type.clone())
    }

    /// A page of the rows of a file. `until` is the greatest value of the key's first column.
    pub fn rows_in(
        &self,
        file: &SqliteJournal,
        after: &[Cell],
        until: Option<i64>,
    ) -> Result<Vec<Vec<Cell>>, JournalError> {
        file.rows_after(&RowsAfter {
            table: self.name,
            columns: &self.names(),
            key: self.key,
            after,
            until,
        })
    }

    pub fn cell<'a>(&self, row: &'a [Cell], name: &str) -> &'a Cell {
        let mut columns = self.columns.iter();
        let at = columns.position(|(column, _)| column == name);
        at.and_then(|at| row.get(at)).unwrap_or(&Cell::Null)
    }

    pub fn key_of(&self, row: &[Cell]) -> Vec<Cell> {
        let key = self.key.iter();
        key.map(|name| self.cell(row, name).clone()).collect()
    }

    /// A text; empty if the value is NULL.
    pub fn text<'a>(&self, row: &'a [Cell], name: &str) -> &'a str {
        match self.cell(row, name) {
            Cell::Text(text) => text,
            _ => "",
        }
    }

    /// A number; 0 if the value is NULL.
    pub fn number(&self, row: &[Cell], name: &str) -> i64 {
        match self.cell(row, name) {
            Cell::Integer(number) => *number,
            _ => 0,
        }
    }

    pub fn id(&self, row: &[Cell]) -> i64 {
        self.number(row, ID)
    }

    /// A row to insert, without its id in the file. `replaced` has new values of columns.
    pub fn new_row<'a>(&'a self, row: &'a [Cell], replaced: &[(&str, i64)]) -> NewRow<'a> {
        let cells = self.columns.iter().zip(row);
        let cells = cells.filter(|((name, _), _)| name != ID);
        cells
            .map(|((name, data_type), cell)| {
                let replaced = replaced.iter().find(|(column, _)| column == name);
                let value = match replaced {
                    Some((_, new)) => (*new).into(),
                    None => value(cell, data_type),
                };
                (name.as_str(), value)
            })
            .collect()
    }
}

fn cells(rows: &[Row]) -> Result<Vec<Vec<Cell>>, PostgresError> {
    rows.iter()
        .map(|row| (0..row.len()).map(|column| cell(row, column)).collect())
        .collect()
}

fn cell(row: &Row, column: usize) -> Result<Cell, PostgresError> {
    let cell = match *row.columns()[column].type_() {
        Type::INT8 => row.try_get::<_, Option<i64>>(column)?.map(Cell::Integer),
        Type::BOOL => row
            .try_get::<_, Option<bool>>(column)?
            .map(|value| Cell::Integer(value.into())),
        Type::BYTEA => row.try_get::<_, Option<Vec<u8>>>(column)?.map(Cell::Blob),
        _ => row.try_get::<_, Option<String>>(column)?.map(Cell::Text),
    };
    Ok(cell.unwrap_or(Cell::Null))
}

/// A cell of a file as the value of a column of this type.
fn value<'a>(cell: &'a Cell, data_type: &Type) -> SqlValue<'a> {
    match (data_type, cell) {
        (&Type::INT8, Cell::Integer(number)) => (*number).into(),
        (&Type::INT8, _) => SqlValue::Int(None),
        (&Type::BOOL, Cell::Integer(number)) => (*number != 0).into(),
        (&Type::BOOL, _) => SqlValue::Bool(None),
        (&Type::BYTEA, Cell::Blob(bytes)) => bytes.as_slice().into(),
        (&Type::BYTEA, _) => SqlValue::Bytes(None),
        (_, Cell::Text(text)) => text.into(),
        _ => SqlValue::Text(None),
    }
}
