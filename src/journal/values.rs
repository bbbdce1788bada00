//! Parameters of statements, and rows to insert.

use std::borrow::Cow;

use crate::time::UnixMs;

/// A parameter of a statement. Its type is known even if it is NULL. Only PostgreSQL has arrays.
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

/// A row to insert: the names of its columns, and their values.
pub type NewRow<'a> = Vec<(&'a str, SqlValue<'a>)>;

impl<'a> From<&'a str> for SqlValue<'a> {
    fn from(text: &'a str) -> SqlValue<'a> {
        SqlValue::Text(Some(text.into()))
    }
}

impl<'a> From<&'a String> for SqlValue<'a> {
    fn from(text: &'a String) -> SqlValue<'a> {
        text.as_str().into()
    }
}

impl<'a> From<String> for SqlValue<'a> {
    fn from(text: String) -> SqlValue<'a> {
        SqlValue::Text(Some(text.into()))
    }
}

impl<'a> From<Option<String>> for SqlValue<'a> {
    fn from(text: Option<String>) -> SqlValue<'a> {
        SqlValue::Text(text.map(Cow::from))
    }
}

impl<'a> From<Option<&'a str>> for SqlValue<'a> {
    fn from(text: Option<&'a str>) -> SqlValue<'a> {
        SqlValue::Text(text.map(Cow::from))
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
