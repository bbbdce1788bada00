//! Rows that are read and inserted.

use rusqlite::types::{ToSql, ToSqlOutput, Type, ValueRef};
use rusqlite::{Transaction, params_from_iter};

use crate::journal::rows::{Row, Value};
use crate::journal::values::{NewRow, SqlValue};
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

/// A statement that names the schema of the tables, which SQLite does not have.
pub fn without_schema(sql: &str) -> String {
    sql.replace("hookfire.", "")
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
