//! An open connection, and statements that insert many rows at once.

use postgres::{Client, Row};

use super::values::{BoundSql, NewRow, SqlValue};

pub struct Session(Client);

impl Session {
    pub fn new(client: Client) -> Session {
        Session(client)
    }

    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    pub fn rows(
        &mut self,
        sql: &str,
        values: &[SqlValue<'_>],
    ) -> Result<Vec<Row>, postgres::Error> {
        let values: Vec<_> = values.iter().map(SqlValue::with_type).collect();
        self.0.query_typed(sql, &values)
    }

    pub fn row(
        &mut self,
        sql: &str,
        values: &[SqlValue<'_>],
    ) -> Result<Option<Row>, postgres::Error> {
        Ok(self.rows(sql, values)?.into_iter().next())
    }

    /// Returns how many rows the statement changed.
    pub fn execute(
        &mut self,
        sql: &str,
        values: &[SqlValue<'_>],
    ) -> Result<usize, postgres::Error> {
        let values: Vec<_> = values.iter().map(SqlValue::with_type).collect();
        let rows = self.0.execute_typed(sql, &values)?;
        Ok(usize::try_from(rows).unwrap_or(usize::MAX))
    }

    /// The rows of a statement with its parameters.
    pub fn select(&mut self, statement: &BoundSql<'_>) -> Result<Vec<Row>, postgres::Error> {
        self.rows(&statement.sql, &statement.values)
    }

    /// Runs statements without parameters.
    pub fn batch(&mut self, sql: &str) -> Result<(), postgres::Error> {
        self.0.batch_execute(sql)
    }
}

/// Inserts rows, which all have the same columns, in this order. `rest` follows, for example `RETURNING id`.
pub fn insert_all(
    session: &mut Session,
    table: &str,
    rows: Vec<NewRow<'_>>,
    rest: &str,
) -> Result<Vec<Row>, postgres::Error> {
    let mut rows = rows.into_iter();
    let Some(first) = rows.next() else {
        return Ok(Vec::new());
    };
    let names: Vec<&str> = first.iter().map(|(name, _)| *name).collect();
    let mut arrays: Vec<SqlValue<'_>> = first
        .into_iter()
        .map(|(_, value)| value.into_array())
        .collect();
    for row in rows {
        for (array, (_, value)) in arrays.iter_mut().zip(row) {
            array.push(value);
        }
    }
    let parameters: Vec<String> = (1..)
        .zip(&arrays)
        .map(|(number, array)| format!("${number}::{}", array.array_type()))
        .collect();
    let (names, parameters) = (names.join(", "), parameters.join(", "));
    let sql = format!(
        "INSERT INTO hookfire.{table} ({names}) SELECT {names}
         FROM unnest({parameters}) WITH ORDINALITY AS new ({names}, ordinal_number)
         ORDER BY ordinal_number {rest}"
    );
    session.rows(&sql, &arrays)
}
