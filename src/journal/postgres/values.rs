//! Parameters of statements.

use std::borrow::Cow;

use postgres::types::{ToSql, Type};

use crate::time::UnixMs;

/// A parameter. Its type is known, so that the server is not asked for it.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    Text(Option<Cow<'a, str>>),
    Int(Option<i64>),
    Bool(Option<bool>),
    Bytes(Option<&'a [u8]>),
    Texts(Vec<Option<Cow<'a, str>>>),
    Ints(Vec<Option<i64>>),
    Bools(Vec<Option<bool>>),
    ByteArrays(Vec<Option<&'a [u8]>>),
}

impl<'a> Value<'a> {
    pub fn with_type(&self) -> (&(dyn ToSql + Sync), Type) {
        match self {
            Value::Text(value) => (value, Type::TEXT),
            Value::Int(value) => (value, Type::INT8),
            Value::Bool(value) => (value, Type::BOOL),
            Value::Bytes(value) => (value, Type::BYTEA),
            Value::Texts(values) => (values, Type::TEXT_ARRAY),
            Value::Ints(values) => (values, Type::INT8_ARRAY),
            Value::Bools(values) => (values, Type::BOOL_ARRAY),
            Value::ByteArrays(values) => (values, Type::BYTEA_ARRAY),
        }
    }

    /// Text; a value of another type that has a name is stored by it. PostgreSQL's text cannot contain NUL.
    pub fn text(text: impl Into<Cow<'a, str>>) -> Value<'a> {
        let text = text.into();
        Value::Text(Some(match text.contains('\0') {
            true => text.replace('\0', "\u{FFFD}").into(),
            false => text,
        }))
    }

    pub fn ints(values: impl IntoIterator<Item = i64>) -> Value<'a> {
        Value::Ints(values.into_iter().map(Some).collect())
    }

    pub fn texts<T: Into<Cow<'a, str>>>(values: impl IntoIterator<Item = T>) -> Value<'a> {
        Value::Texts(values.into_iter().map(|text| Some(text.into())).collect())
    }

    /// An array of one value.
    pub fn into_array(self) -> Value<'a> {
        match self {
            Value::Text(value) => Value::Texts(vec![value]),
            Value::Int(value) => Value::Ints(vec![value]),
            Value::Bool(value) => Value::Bools(vec![value]),
            Value::Bytes(value) => Value::ByteArrays(vec![value]),
            array => array,
        }
    }

    /// Adds a value to an array of its type.
    pub fn push(&mut self, value: Value<'a>) {
        match (self, value) {
            (Value::Texts(values), Value::Text(value)) => values.push(value),
            (Value::Ints(values), Value::Int(value)) => values.push(value),
            (Value::Bools(values), Value::Bool(value)) => values.push(value),
            (Value::ByteArrays(values), Value::Bytes(value)) => values.push(value),
            (array, value) => unreachable!("{value:?} in {array:?}"),
        }
    }

    /// The name of the type of an array of such values.
    pub fn array_type(&self) -> &'static str {
        match self {
            Value::Text(_) | Value::Texts(_) => "text[]",
            Value::Int(_) | Value::Ints(_) => "bigint[]",
            Value::Bool(_) | Value::Bools(_) => "boolean[]",
            Value::Bytes(_) | Value::ByteArrays(_) => "bytea[]",
        }
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Value<'a> {
        Value::text(text)
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(text: &'a String) -> Value<'a> {
        Value::text(text.as_str())
    }
}

impl<'a> From<String> for Value<'a> {
    fn from(text: String) -> Value<'a> {
        Value::text(text)
    }
}

impl<'a> From<Option<String>> for Value<'a> {
    fn from(text: Option<String>) -> Value<'a> {
        text.map_or(Value::Text(None), Value::text)
    }
}

impl<'a> From<Option<&'a str>> for Value<'a> {
    fn from(text: Option<&'a str>) -> Value<'a> {
        text.map_or(Value::Text(None), Value::text)
    }
}

impl<'a> From<Option<&'a String>> for Value<'a> {
    fn from(text: Option<&'a String>) -> Value<'a> {
        text.map(String::as_str).into()
    }
}

impl<'a> From<&'a Option<String>> for Value<'a> {
    fn from(text: &'a Option<String>) -> Value<'a> {
        text.as_deref().into()
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Value<'a> {
        Value::Bytes(Some(bytes))
    }
}

impl<'a> From<Option<&'a [u8]>> for Value<'a> {
    fn from(bytes: Option<&'a [u8]>) -> Value<'a> {
        Value::Bytes(bytes)
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Value::Bool(Some(value))
    }
}

impl From<Option<bool>> for Value<'_> {
    fn from(value: Option<bool>) -> Self {
        Value::Bool(value)
    }
}

macro_rules! ints {
    ($($name:ty),+) => {$(
        impl From<$name> for Value<'_> {
            fn from(value: $name) -> Self {
                Value::Int(Some(value.into()))
            }
        }

        impl From<Option<$name>> for Value<'_> {
            fn from(value: Option<$name>) -> Self {
                Value::Int(value.map(Into::into))
            }
        }
    )+};
}

ints!(i64, i32, u32, u16);

impl From<UnixMs> for Value<'_> {
    fn from(time: UnixMs) -> Self {
        Value::Int(Some(time.0))
    }
}

impl From<Option<UnixMs>> for Value<'_> {
    fn from(time: Option<UnixMs>) -> Self {
        Value::Int(time.map(|time| time.0))
    }
}

/// A row to insert: the names of its columns, and their values.
pub type NewRow<'a> = Vec<(&'a str, Value<'a>)>;

/// A condition or statement, and the values of its parameters.
#[derive(Default)]
pub struct BoundSql<'a> {
    pub sql: String,
    pub values: Vec<Value<'a>>,
}

impl<'a> BoundSql<'a> {
    pub fn new(sql: &str) -> BoundSql<'a> {
        BoundSql {
            sql: sql.to_owned(),
            values: Vec::new(),
        }
    }

    /// Adds SQL with one `?` per value.
    pub fn push(&mut self, sql: &str, values: impl IntoIterator<Item = Value<'a>>) {
        let mut values = values.into_iter();
        let mut parts = sql.split('?');
        self.sql.push_str(parts.next().unwrap_or_default());
        for part in parts {
            self.values.extend(values.next());
            self.sql += &format!("${}{part}", self.values.len());
        }
    }

    /// Adds a condition with one parameter; does nothing if `value` is `None`.
    pub fn and(&mut self, sql: &str, value: Option<impl Into<Value<'a>>>) {
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
        let Value::Text(Some(text)) = Value::from("a\0b") else {
            panic!("not a text");
        };
        assert_eq!(text, "a\u{FFFD}b");
    }
}
