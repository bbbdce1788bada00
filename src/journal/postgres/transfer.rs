//! Copies all rows to a new file, and the rows of a file to the server.
//!
//! Both read the names of the columns from the server, which has the same as a file.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::types::Value as Cell;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::PostgresJournal;
use super::error::PostgresError;
use super::session::{Session, insert_all};

use crate::journal::sqlite::SqliteJournal;
use crate::journal::values::{NewRow, SqlValue};
use crate::journal::{Copied, Journal as _, JournalError};

/// How many rows are read at a time.
const BATCH: usize = 200;

const ID: &str = "id";
const CAPTURE_ID: &str = "capture_id";

/// The id of a capture that was deleted before its delivery was copied.
const NO_CAPTURE: i64 = -1;

/// A column's name and type.
type Column = (String, Type);

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

    /// Adds the rows of a file, in one transaction. Skips deliveries whose uuid exists, and captures of the same time and
    /// client in the same bin.
    pub(super) fn copy_from(&self, file: &SqliteJournal) -> Result<Copied, JournalError> {
        self.connection.write(|session| {
            let mut copied = Copied::default();
            let captures = add_captures(session, file, &mut copied)?;
            add_deliveries(session, file, &captures, &mut copied)?;
            Ok(copied)
        })
    }
}

fn columns(session: &mut Session, table: &str) -> Result<Vec<Column>, PostgresError> {
    let rows = session.rows(
        "SELECT column_name::text, data_type::text FROM information_schema.columns
         WHERE table_schema = 'hookfire' AND table_name = $1 ORDER BY ordinal_position",
        &[table.into()],
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
    Ok(columns)
}

fn names(columns: &[Column]) -> Vec<&str> {
    columns.iter().map(|(name, _)| name.as_str()).collect()
}

/// The tables whose rows have ids. Rows of the second table belong to one of the first, whose id is in the third.
const TABLES: [(&str, Option<(&str, &str)>); 3] = [
    ("deliveries", Some(("attempts", "delivery_id"))),
    ("bins", None),
    ("captures", Some(("runs", "capture_id"))),
];

fn copy_all(
    session: &mut Session,
    copy: &SqliteJournal,
    interrupted: &AtomicBool,
) -> Result<(), PostgresError> {
    for (table, parts) in TABLES {
        let columns = columns(session, table)?;
        let names = names(&columns);
        let sql = format!(
            "SELECT {} FROM hookfire.{table} WHERE id > $1 ORDER BY id LIMIT $2",
            names.join(", ")
        );
        let mut after = 0;
        while !interrupted.load(Ordering::Relaxed) {
            let limit = i64::try_from(BATCH).unwrap_or(i64::MAX);
            let rows = session.rows(&sql, &[after.into(), limit.into()])?;
            let cells = cells(&rows)?;
            let (Some(first), Some(last)) = (id(cells.first()), id(cells.last())) else {
                break;
            };
            copy.add_rows(table, &names, &cells)?;
            if let Some((table, parent)) = parts {
                copy_parts(session, copy, (table, parent), [first, last])?;
            }
            after = last;
        }
    }
    Ok(())
}

/// Copies the rows of `table` that belong to the ids of a range.
fn copy_parts(
    session: &mut Session,
    copy: &SqliteJournal,
    (table, parent): (&str, &str),
    [first, last]: [i64; 2],
) -> Result<(), PostgresError> {
    let columns = columns(session, table)?;
    let names = names(&columns);
    let sql = format!(
        "SELECT {} FROM hookfire.{table} WHERE {parent} BETWEEN $1 AND $2 ORDER BY {parent}, number",
        names.join(", ")
    );
    let rows = session.rows(&sql, &[first.into(), last.into()])?;
    Ok(copy.add_rows(table, &names, &cells(&rows)?)?)
}

fn id(row: Option<&Vec<Cell>>) -> Option<i64> {
    match row?.first() {
        Some(Cell::Integer(id)) => Some(*id),
        _ => None,
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

/// A row to insert, without the first column, which is its id in the file. `replaced` is the new value of a column.
fn new_row<'a>(columns: &'a [Column], row: &'a [Cell], replaced: (&str, i64)) -> NewRow<'a> {
    let cells = columns.iter().zip(row);
    let cells = cells.filter(|((name, _), _)| name != ID);
    cells
        .map(|((name, data_type), cell)| {
            let value = match name == replaced.0 {
                true => replaced.1.into(),
                false => value(cell, data_type),
            };
            (name.as_str(), value)
        })
        .collect()
}

fn text<'a>(columns: &[Column], row: &'a [Cell], name: &str) -> &'a str {
    let at = columns.iter().position(|(column, _)| column == name);
    match at.and_then(|at| row.get(at)) {
        Some(Cell::Text(text)) => text,
        _ => "",
    }
}

fn number(columns: &[Column], row: &[Cell], name: &str) -> i64 {
    let at = columns.iter().position(|(column, _)| column == name);
    match at.and_then(|at| row.get(at)) {
        Some(Cell::Integer(number)) => *number,
        _ => 0,
    }
}

fn add_deliveries(
    session: &mut Session,
    file: &SqliteJournal,
    captures: &HashMap<i64, i64>,
    copied: &mut Copied,
) -> Result<(), PostgresError> {
    let delivery_columns = columns(session, "deliveries")?;
    let mut after = 0;
    loop {
        let rows = file.rows_after("deliveries", &names(&delivery_columns), after, BATCH)?;
        let (Some(first), Some(last)) = (id(rows.first()), id(rows.last())) else {
            return Ok(());
        };
        let new = rows
            .iter()
            .map(|row| match number(&delivery_columns, row, CAPTURE_ID) {
                0 => new_row(&delivery_columns, row, ("", 0)),
                old => {
                    let new_id = captures.get(&old).copied().unwrap_or(NO_CAPTURE);
                    new_row(&delivery_columns, row, (CAPTURE_ID, new_id))
                }
            });
        let inserted = insert_all(
            session,
            "deliveries",
            new.collect(),
            "ON CONFLICT DO NOTHING RETURNING lower(uuid), id",
        )?;
        let mut new_ids: HashMap<String, i64> = HashMap::new();
        for row in &inserted {
            new_ids.insert(row.try_get(0)?, row.try_get(1)?);
        }
        copied.deliveries += inserted.len();
        copied.skipped += rows.len() - inserted.len();
        let by_old: HashMap<i64, i64> = rows
            .iter()
            .filter_map(|row| {
                let uuid = text(&delivery_columns, row, "uuid").to_lowercase();
                Some((id(Some(row))?, *new_ids.get(&uuid)?))
            })
            .collect();
        let attempts = ("attempts", "delivery_id");
        add_parts(session, file, attempts, [first, last], &by_old)?;
        after = last;
    }
}

/// Returns the id in the database of each capture of the file.
fn add_captures(
    session: &mut Session,
    file: &SqliteJournal,
    copied: &mut Copied,
) -> Result<HashMap<i64, i64>, PostgresError> {
    super::new_captures::lock(session)?;
    let bin_columns = columns(session, "bins")?;
    let bins = file.rows_after("bins", &names(&bin_columns), 0, usize::MAX >> 1)?;
    let new = bins.iter().map(|row| new_row(&bin_columns, row, ("", 0)));
    insert_all(session, "bins", new.collect(), "ON CONFLICT DO NOTHING")?;
    let mut bin_ids: HashMap<i64, i64> = HashMap::new();
    for row in &bins {
        let name = text(&bin_columns, row, "name");
        let found = session.row(
            "SELECT id FROM hookfire.bins WHERE name = $1",
            &[name.into()],
        )?;
        if let (Some(old), Some(found)) = (id(Some(row)), found) {
            bin_ids.insert(old, found.try_get(0)?);
        }
    }
    let capture_columns = columns(session, "captures")?;
    let (mut ids, mut after) = (HashMap::new(), 0);
    loop {
        let rows = file.rows_after("captures", &names(&capture_columns), after, BATCH)?;
        let (Some(first), Some(last)) = (id(rows.first()), id(rows.last())) else {
            return Ok(ids);
        };
        let known = known_captures(session, &capture_columns, &rows)?;
        let (mut new, mut old_ids) = (Vec::new(), Vec::new());
        for row in &rows {
            let bin_id = bin_ids.get(&number(&capture_columns, row, "bin_id"));
            let received_at = number(&capture_columns, row, "received_at");
            let client = text(&capture_columns, row, "remote_addr").to_owned();
            let Some(&bin_id) = bin_id else { continue };
            match (known.get(&(bin_id, received_at, client)), id(Some(row))) {
                (Some(known), Some(old)) => {
                    ids.insert(old, *known);
                }
                (_, old) => {
                    new.push(new_row(&capture_columns, row, ("bin_id", bin_id)));
                    old_ids.extend(old);
                }
            }
        }
        copied.captures += new.len();
        copied.skipped += rows.len() - new.len();
        let inserted = insert_all(session, "captures", new, "RETURNING id")?;
        let mut by_old = HashMap::new();
        for (old, row) in old_ids.into_iter().zip(&inserted) {
            by_old.insert(old, row.try_get(0)?);
        }
        let runs = ("runs", "capture_id");
        add_parts(session, file, runs, [first, last], &by_old)?;
        ids.extend(by_old);
        after = last;
    }
}

/// Adds the rows of `table` that belong to the ids of a range. `new_ids` has the new id of each old one.
fn add_parts(
    session: &mut Session,
    file: &SqliteJournal,
    (table, parent): (&str, &str),
    [first, last]: [i64; 2],
    new_ids: &HashMap<i64, i64>,
) -> Result<(), PostgresError> {
    let columns = columns(session, table)?;
    let rows = file.rows_between(table, parent, &names(&columns), first, last)?;
    let new = rows.iter().filter_map(|row| {
        let new_id = new_ids.get(&number(&columns, row, parent))?;
        Some(new_row(&columns, row, (parent, *new_id)))
    });
    insert_all(session, table, new.collect(), "")?;
    Ok(())
}

/// The ids of captures that have the time of one of these rows, by bin, time and client.
fn known_captures(
    session: &mut Session,
    columns: &[Column],
    rows: &[Vec<Cell>],
) -> Result<HashMap<(i64, i64, String), i64>, PostgresError> {
    let times = rows.iter().map(|row| number(columns, row, "received_at"));
    let found = session.rows(
        "SELECT bin_id, received_at, remote_addr, id FROM hookfire.captures WHERE received_at = ANY($1)",
        &[SqlValue::ints(times)],
    )?;
    let mut known = HashMap::new();
    for row in &found {
        let capture = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        known.insert(capture, row.try_get(3)?);
    }
    Ok(known)
}
