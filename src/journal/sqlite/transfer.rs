//! Reading and adding whole rows, to copy them from and to another kind of journal.

use rusqlite::params_from_iter;
use rusqlite::types::Value;

use super::SqliteJournal;
use crate::journal::JournalError;

/// A page has at most so many rows, and ends with the row with which it has so many bytes.
pub const PAGE_ROWS: usize = 200;
pub const PAGE_BYTES: usize = 8 << 20;

/// The next rows of a table.
pub struct RowsAfter<'a> {
    pub table: &'a str,
    pub columns: &'a [&'a str],
    /// The columns of the primary key, which order the rows.
    pub key: &'a [&'a str],
    /// The key of the row before them; empty for the first rows.
    pub after: &'a [Value],
    /// The greatest value of the key's first column.
    pub until: Option<i64>,
}

impl SqliteJournal {
    /// How many deliveries a process is sending.
    pub(in crate::journal) fn count_in_progress(&self) -> Result<usize, JournalError> {
        let sql = "SELECT count(*) FROM deliveries WHERE status = 'pending' AND owner IS NOT NULL";
        self.read(|conn| conn.query_row(sql, [], |row| row.get(0)))
    }

    /// When the first and the last capture were received.
    pub(in crate::journal) fn capture_times(&self) -> Result<[i64; 2], JournalError> {
        let sql =
            "SELECT coalesce(min(received_at), 0), coalesce(max(received_at), 0) FROM captures";
        self.read(|conn| conn.query_row(sql, [], |row| Ok([row.get(0)?, row.get(1)?])))
    }

    /// Reads a page of rows.
    pub(in crate::journal) fn rows_after(
        &self,
        page: &RowsAfter<'_>,
    ) -> Result<Vec<Vec<Value>>, JournalError> {
        let (columns, key) = (page.columns.join(", "), page.key.join(", "));
        let mut sql = format!("SELECT {columns} FROM {} WHERE TRUE", page.table);
        if !page.after.is_empty() {
            let marks = vec!["?"; page.key.len()].join(", ");
            sql += &format!(" AND ({key}) > ({marks})");
        }
        if let (Some(until), Some(column)) = (page.until, page.key.first()) {
            sql += &format!(" AND {column} <= {until}");
        }
        sql += &format!(" ORDER BY {key}");
        self.read(|conn| {
            let mut select = conn.prepare_cached(&sql)?;
            let mut found = select.query(params_from_iter(page.after))?;
            let (mut rows, mut bytes) = (Vec::new(), 0);
            while rows.len() < PAGE_ROWS
                && bytes < PAGE_BYTES
                && let Some(row) = found.next()?
            {
                let columns = 0..page.columns.len();
                let row: Vec<Value> = columns.map(|at| row.get(at)).collect::<Result<_, _>>()?;
                bytes += row.iter().map(size).sum::<usize>();
                rows.push(row);
            }
            Ok(rows)
        })
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

fn size(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Blob(bytes) => bytes.len(),
        _ => 0,
    }
}
