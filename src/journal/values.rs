//! Statements with parameters, and rows to insert.

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

/// A condition or statement, and the values of its parameters. It is written as PostgreSQL reads it: the first parameter is
/// `$1`, and tables are named with their schema, as in `hookfire.captures`.
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

    /// A statement with all of its parameters.
    pub fn with(sql: impl Into<String>, values: impl Into<Vec<SqlValue<'a>>>) -> BoundSql<'a> {
        BoundSql {
            sql: sql.into(),
            values: values.into(),
        }
    }

    /// Adds SQL with one `?` per value, which becomes `$` and the number of the value.
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

/// A number of milliseconds; the largest that can be stored if it is too large.
pub fn milliseconds(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

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
}
