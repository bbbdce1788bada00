//! Rows that the server returns.

use tokio_postgres::types::Type;

use super::error::PostgresError;
use crate::journal::rows::{Row, Value};

impl Row for tokio_postgres::Row {
    type Error = PostgresError;

    fn value(&self, column: usize) -> Result<Value<'_>, PostgresError> {
        let value = match *self.columns()[column].type_() {
            Type::INT8 => self.try_get::<_, Option<i64>>(column)?.map(Value::Int),
            Type::BOOL => self.try_get::<_, Option<bool>>(column)?.map(Value::Bool),
            Type::BYTEA => self.try_get::<_, Option<&[u8]>>(column)?.map(Value::Bytes),
            _ => self.try_get::<_, Option<&str>>(column)?.map(Value::Text),
        };
        Ok(value.unwrap_or(Value::Null))
    }

    fn unreadable(&self, column: usize) -> PostgresError {
        PostgresError::unreadable(self.columns()[column].name())
    }
}
