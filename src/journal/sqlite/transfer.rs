//! Reading and adding whole rows, to copy them from and to another kind of journal.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::SqliteJournal;
use crate::journal::JournalError;

impl SqliteJournal {
    /// How many deliveries a process is sending.
    pub(in crate::journal) fn count_in_progress(&self) -> Result<usize, JournalError> {
        let sql = "SELECT count(*) FROM deliveries WHERE status = 'pending' AND owner IS NOT NULL";
        self.read(|conn| conn.query_row(sql, [], |row| row.get(0)))
    }

    /// Rows of a table with an id, from the first id after `after`, at most `limit`. The first column has to be `id`.
    pub(in crate::journal) fn rows_after(
        &self,
        table: &str,
        columns: &[&str],
        after: i64,
        limit: usize,
    ) -> Result<Vec<Vec<Value>>, JournalError> {
        let columns_sql = columns.join(", ");
        let sql = format!("SELECT {columns_sql} FROM {table} WHERE id > ?1 ORDER BY id LIMIT ?2");
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(|conn| rows(conn, &sql, columns.len(), [after, limit]))
    }

    /// Rows of `attempts` or `runs`, whose column `parent` is from `first` to `last`.
    pub(in crate::journal) fn rows_between(
        &self,
        table: &str,
        parent: &str,
        columns: &[&str],
        first: i64,
        last: i64,
    ) -> Result<Vec<Vec<Value>>, JournalError> {
        let columns_sql = columns.join(", ");
        let sql = format!(
            "SELECT {columns_sql} FROM {table} WHERE {parent} BETWEEN ?1 AND ?2 ORDER BY {parent}, number"
        );
        self.read(|conn| rows(conn, &sql, columns.len(), [first, last]))
    }

    /// Adds rows as they are, in one transaction.
    pub(in crate::journal) fn add_rows(
        &self,
        table: &str,
        columns: &[&str],
        rows: &[Vec<Value>],
    ) -> Result<(), JournalError> {
        let marks = vec!["?"; columns.len()].join(", ");
        let columns = columns.join(", ");
        let sql = format!("INSERT INTO {table} ({columns}) VALUES ({marks})");
        self.write(|tx| {
            let mut insert = tx.prepare_cached(&sql)?;
            for row in rows {
                insert.execute(params_from_iter(row))?;
            }
            Ok(())
        })
    }
}

fn rows(
    conn: &Connection,
    sql: &str,
    columns: usize,
    values: [i64; 2],
) -> rusqlite::Result<Vec<Vec<Value>>> {
    conn.prepare_cached(sql)?
        .query_map(values, |row| {
            (0..columns).map(|column| row.get(column)).collect()
        })?
        .collect()
}
