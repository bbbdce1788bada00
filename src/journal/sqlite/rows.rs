//! Rows that are read and inserted.

use rusqlite::types::{ToSql, ToSqlOutput, Type, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params_from_iter};

use crate::journal::rows::{Row, Value};
use crate::journal::values::{BoundSql, NewRow, SqlValue};
use crate::time::UnixMs;

impl Row for rusqlite::Row<'_> {
    type Error = rusqlite::Error;

    fn value(&self, column: usize) -> rusqlite::Result<Value<'_>> {
        match self.get_ref(column)? {
            ValueRef::Null => Ok(Value::Null),
            ValueRef::Integer(number) => Ok(Value::Int(number)),
            ValueRef::Text(text) => match str::from_utf8(text) {
                Ok(text) => Ok(Value::Text(text)),
                Err(error) => Err(rusqlite::Error::Utf8Error(column, error)),
            },
            ValueRef::Blob(bytes) => Ok(Value::Bytes(bytes)),
            ValueRef::Real(_) => Err(self.unreadable(column)),
        }
    }

    fn unreadable(&self, column: usize) -> rusqlite::Error {
        let name = self.as_ref().column_name(column).unwrap_or_default();
        let found = self
            .get_ref(column)
            .map_or(Type::Null, |value| value.data_type());
        rusqlite::Error::InvalidColumnType(column, name.to_owned(), found)
    }
}

/// A statement of both implementations as SQLite reads it: without the schema of its tables, and with `?1` for `$1`.
pub fn for_sqlite(sql: &str) -> String {
    sql.replace("hookfire.", "").replace('$', "?")
}

/// The rows of a statement.
pub fn all<T>(
    conn: &Connection,
    statement: &BoundSql<'_>,
    read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    conn.prepare_cached(&for_sqlite(&statement.sql))?
        .query_map(params_from_iter(&statement.values), read)?
        .collect()
}

/// The first row of a statement.
pub fn first<T>(
    conn: &Connection,
    statement: &BoundSql<'_>,
    read: impl FnOnce(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Option<T>> {
    conn.prepare_cached(&for_sqlite(&statement.sql))?
        .query_row(params_from_iter(&statement.values), read)
        .optional()
}

/// Returns how many rows the statement changed.
pub fn execute(conn: &Connection, statement: &BoundSql<'_>) -> rusqlite::Result<usize> {
    conn.prepare_cached(&for_sqlite(&statement.sql))?
        .execute(params_from_iter(&statement.values))
}

impl ToSql for SqlValue<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let value = match self {
            SqlValue::Text(text) => text.as_deref().map(ValueRef::from),
            SqlValue::Int(number) => number.map(ValueRef::Integer),
            SqlValue::Bool(value) => value.map(|value| ValueRef::Integer(value.into())),
            SqlValue::Bytes(bytes) => bytes.map(ValueRef::Blob),
            array => unreachable!("{array:?} in SQLite"),
        };
        Ok(ToSqlOutput::Borrowed(value.unwrap_or(ValueRef::Null)))
    }
}

impl ToSql for UnixMs {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.into())
    }
}

pub fn insert(tx: &Transaction<'_>, table: &str, row: &NewRow<'_>) -> rusqlite::Result<()> {
    let columns: Vec<&str> = row.iter().map(|(column, _)| *column).collect();
    let (columns, marks) = (columns.join(", "), vec!["?"; row.len()].join(", "));
    tx.prepare_cached(&format!("INSERT INTO {table} ({columns}) VALUES ({marks})"))?
        .execute(params_from_iter(row.iter().map(|(_, value)| value)))?;
    Ok(())
}
