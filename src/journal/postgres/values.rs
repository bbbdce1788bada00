//! Parameters of statements.

use std::borrow::Cow;

use tokio_postgres::types::{ToSql, Type};

use crate::time::UnixMs;

/// A parameter. Its type is known, so that the server is not asked for it.
#[derive(Clone, Debug)]
pub enum SqlValue<'a> {
    Text(Option<Cow<'a, str>>),
    Int(Option<i64>),
    Bool(Option<bool>),
    Bytes(Option<&'a [u8]>),
    Texts(Vec<Option<Cow<'a, str>>>),
    Ints(Vec<Option<i64>>),
    Bools(Vec<Option<bool>>),
    ByteArrays(Vec<Option<&'a [u8]>>),
}

impl<'a> SqlValue<'a> {
    pub fn with_type(&self) -> (&(dyn ToSql + Sync), Type) {
        match self {
            SqlValue::Text(value) => (value, Type::TEXT),
            SqlValue::Int(value) => (value, Type::INT8),
            SqlValue::Bool(value) => (value, Type::BOOL),
            SqlValue::Bytes(value) => (value, Type::BYTEA),
            SqlValue::Texts(values) => (values, Type::TEXT_ARRAY),
            SqlValue::Ints(values) => (values, Type::INT8_ARRAY),
            SqlValue::Bools(values) => (values, Type::BOOL_ARRAY),
            SqlValue::ByteArrays(values) => (values, Type::BYTEA_ARRAY),
        }
    }

    /// Text; a value of another type that has a name is stored by it. PostgreSQL's text cannot contain NUL.
    pub fn text(text: impl Into<Cow<'a, str>>) -> SqlValue<'a> {
        let text = text.into();
        SqlValue::Text(Some(match text.contains('\0') {
            true => text.replace('\0', "\u{FFFD}").into(),
            false => text,
        }))
    }

    pub fn ints(values: impl IntoIterator<Item = i64>) -> SqlValue<'a> {
        SqlValue::Ints(values.into_iter().map(Some).collect())
    }

    pub fn texts<T: Into<Cow<'a, str>>>(values: impl IntoIterator<Item = T>) -> SqlValue<'a> {
        SqlValue::Texts(values.into_iter().map(|text| Some(text.into())).collect())
    }

    /// An array of one value.
    pub fn into_array(self) -> SqlValue<'a> {
        match self {
            SqlValue::Text(value) => SqlValue::Texts(vec![value]),
            SqlValue::Int(value) => SqlValue::Ints(vec![value]),
            SqlValue::Bool(value) => SqlValue::Bools(vec![value]),
            SqlValue::Bytes(value) => SqlValue::ByteArrays(vec![value]),
            array => array,
        }
    }

    /// Adds a value to an array of its type.
    pub fn push(&mut self, value: SqlValue<'a>) {
        match (self, value) {
            (SqlValue::Texts(values), SqlValue::Text(value)) => values.push(value),
            (SqlValue::Ints(values), SqlValue::Int(value)) => values.push(value),
            (SqlValue::Bools(values), SqlValue::Bool(value)) => values.push(value),
            (SqlValue::ByteArrays(values), SqlValue::Bytes(value)) => values.push(value),
            (array, value) => unreachable!("{value:?} in {array:?}"),
        }
    }

    /// The name of the type of an array of such values.
    pub fn array_type(&self) -> &'static str {
        match self {
            SqlValue::Text(_) | SqlValue::Texts(_) => "text[]",
            SqlValue::Int(_) | SqlValue::Ints(_) => "bigint[]",
            SqlValue::Bool(_) | SqlValue::Bools(_) => "boolean[]",
            SqlValue::Bytes(_) | SqlValue::ByteArrays(_) => "bytea[]",
        }
    }
}

impl<'a> From<&'a str> for SqlValue<'a> {
    fn from(text: &'a str) -> SqlValue<'a> {
        SqlValue::text(text)
    }
}

impl<'a> From<&'a String> for SqlValue<'a> {
    fn from(text: &'a String) -> SqlValue<'a> {
        SqlValue::text(text.as_str())
    }
}

impl<'a> From<String> for SqlValue<'a> {
    fn from(text: String) -> SqlValue<'a> {
        SqlValue::text(text)
    }
}

impl<'a> From<Option<String>> for SqlValue<'a> {
    fn from(text: Option<String>) -> SqlValue<'a> {
        text.map_or(SqlValue::Text(None), SqlValue::text)
    }
}

impl<'a> From<Option<&'a str>> for SqlValue<'a> {
    fn from(text: Option<&'a str>) -> SqlValue<'a> {
        text.map_or(SqlValue::Text(None), SqlValue::text)
    }
}

impl<'a> From<Option<&'a String>> for SqlValue<'a> {
    fn from(text: Option<&'a String>) -> SqlValue<'a> {
        text.map(String::as_str).into()
    }
}

impl<'a> From<&'a Option<String>> for SqlValue<'a> {
    fn from(text: &'a Option<String>) -> SqlValue<'a> {
        text.as_deref().into()
    }
}

impl<'a> From<&'a [u8]> for SqlValue<'a> {
    fn from(bytes: &'a [u8]) -> SqlValue<'a> {
        SqlValue::Bytes(Some(bytes))
    }
}

impl<'a> From<Option<&'a [u8]>> for SqlValue<'a> {
    fn from(bytes: Option<&'a [u8]>) -> SqlValue<'a> {
        SqlValue::Bytes(bytes)
    }
}

impl From<bool> for SqlValue<'_> {
    fn from(value: bool) -> Self {
        SqlValue::Bool(Some(value))
    }
}

impl From<Option<bool>> for SqlValue<'_> {
    fn from(value: Option<bool>) -> Self {
        SqlValue::Bool(value)
    }
}

macro_rules! ints {
    ($($name:ty),+) => {$(
        impl From<$name> for SqlValue<'_> {
            fn from(value: $name) -> Self {
                SqlValue::Int(Some(value.into()))
            }
        }

        impl From<Option<$name>> for SqlValue<'_> {
            fn from(value: Option<$name>) -> Self {
                SqlValue::Int(value.map(Into::into))
            }
        }
    )+};
}

ints!(i64, i32, u32, u16);

impl From<UnixMs> for SqlValue<'_> {
    fn from(time: UnixMs) -> Self {
        SqlValue::Int(Some(time.0))
    }
}

impl From<Option<UnixMs>> for SqlValue<'_> {
    fn from(time: Option<UnixMs>) -> Self {
        SqlValue::Int(time.map(|time| time.0))
    }
}

/// A row to insert: the names of its columns, and their values.
pub type NewRow<'a> = Vec<(&'a str, SqlValue<'a>)>;

/// A condition or statement, and the values of its parameters.
#[derive(Default)]
pub struct BoundSql<'a> {
    pub sql: String,
    pub values: Vec<SqlValue<'a>>,
}

impl<'a> BoundSql<'a> {
    pub fn new(sql: &str) -> BoundSql<'a> {
        BoundSql {
            sql: sql.to_owned(),
            values: Vec::new(),
        }
    }

    /// Adds SQL with one `?` per value.
    pub fn push(&mut self, sql: &str, values: impl IntoIterator<Item = SqlValue<'a>>) {
        let mut values = values.into_iter();
        let mut parts = sql.split('?');
        self.sql.push_str(parts.next().unwrap_or_default());
        for part in parts {
            self.values.extend(values.next());
            self.sql += &format!("${}{part}", self.values.len());
        }
    }

    /// Adds a condition with one parameter; does nothing if `value` is `None`.
    pub fn and(&mut self, sql: &str, value: Option<impl Into<SqlValue<'a>>>) {
        if let Some(value) = value {
            self.push(&format!(" AND {sql}"), [value.into()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_number_their_parameters() {
        let mut sql = BoundSql::new("SELECT 1 WHERE TRUE");
        sql.and("a = ?", Some(1_i64));
        sql.and("b = ?", None::<i64>);
        sql.push(" AND c BETWEEN ? AND ?", [2_i64.into(), 3_i64.into()]);
        assert_eq!(
            sql.sql,
            "SELECT 1 WHERE TRUE AND a = $1 AND c BETWEEN $2 AND $3"
        );
        assert_eq!(sql.values.len(), 3);
    }

    #[test]
    fn text_cannot_contain_nul() {
        let SqlValue::Text(Some(text)) = SqlValue::from("a\0b") else {
            panic!("not a text");
        };
        assert_eq!(text, "a\u{FFFD}b");
    }
}
