//! Rows that are read and inserted.

use rusqlite::types::{ToSql, ToSqlOutput, Type, ValueRef};
use rusqlite::{Transaction, params_from_iter};

use crate::delivery::switches::Switch;
use crate::delivery::{ErrorKind, Status};
use crate::event::BodyFormat;
use crate::journal::rows::{Row, Value};
pub use crate::journal::stored::{headers_json, params_json, schedule_json, signing_json};
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

/// Inserts a row of these columns.
pub fn insert(
    tx: &Transaction<'_>,
    table: &str,
    values: &[(&str, &dyn ToSql)],
) -> rusqlite::Result<()> {
    let columns: Vec<&str> = values.iter().map(|(column, _)| *column).collect();
    let (columns, marks) = (columns.join(", "), vec!["?"; values.len()].join(", "));
    tx.prepare_cached(&format!("INSERT INTO {table} ({columns}) VALUES ({marks})"))?
        .execute(params_from_iter(values.iter().map(|(_, value)| value)))?;
    Ok(())
}

impl ToSql for UnixMs {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.into())
    }
}

/// Stores an enum in a text column under the name that JSON output uses.
macro_rules! stored_by_name {
    ($($name:ty),+) => {$(
        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.as_str().into())
            }
        }
    )+};
}

stored_by_name!(BodyFormat, Status, ErrorKind, Switch);
