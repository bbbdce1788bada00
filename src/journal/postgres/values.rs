//! Parameters of statements as the server reads them.

use std::borrow::Cow;

use tokio_postgres::types::{ToSql, Type};

use crate::journal::values::SqlValue;

/// PostgreSQL's text cannot contain NUL.
const NUL_REPLACEMENT: &str = "\u{FFFD}";

impl<'a> SqlValue<'a> {
    /// The value and its type, so that the server is not asked for it.
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

    fn has_nul(&self) -> bool {
        let has_nul =
            |text: &Option<Cow<'_, str>>| text.as_ref().is_some_and(|text| text.contains('\0'));
        match self {
            SqlValue::Text(text) => has_nul(text),
            SqlValue::Texts(texts) => texts.iter().any(has_nul),
            _ => false,
        }
    }

    fn replace_nul(&self) -> SqlValue<'a> {
        let replace = |text: &Option<Cow<'_, str>>| {
            text.as_ref()
                .map(|text| text.replace('\0', NUL_REPLACEMENT).into())
        };
        match self {
            SqlValue::Text(text) => SqlValue::Text(replace(text)),
            SqlValue::Texts(texts) => SqlValue::Texts(texts.iter().map(replace).collect()),
            other => other.clone(),
        }
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

/// The values as PostgreSQL can store them.
pub fn storable<'v, 'a>(values: &'v [SqlValue<'a>]) -> Cow<'v, [SqlValue<'a>]> {
    match values.iter().any(SqlValue::has_nul) {
        false => Cow::Borrowed(values),
        true => values.iter().map(SqlValue::replace_nul).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_contain_nul() {
        let values = [SqlValue::texts(["a\0b", "c"]), "d\0".into()];
        let [SqlValue::Texts(texts), SqlValue::Text(text)] = &storable(&values)[..] else {
            panic!("not texts");
        };
        assert_eq!(texts[..], [Some("a\u{FFFD}b".into()), Some("c".into())]);
        assert_eq!(*text, Some("d\u{FFFD}".into()));
    }
}
