//! An open connection, and statements that insert many rows at once.
//!
//! A round trip to the server may take longer than the statement: statements whose rows are not needed are sent together with
//! the next one.

use std::mem;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{join, join_all};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::{Client, Row};

use super::error::PostgresError;
use super::stream::StreamActivity;
use super::values::storable;
use crate::journal::values::{BoundSql, NewRow, SqlValue};

/// How long to wait for the end of a connection that is closed.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

pub struct Session {
    runtime: Runtime,
    client: Client,
    queued: Vec<Queued>,
    /// The task that reads and writes the socket; it ends when the client is dropped.
    connection: JoinHandle<()>,
    activity: StreamActivity,
    /// How long the server may be silent during a statement.
    pub max_silence: Duration,
    /// How the server runs each statement, if a test reads it.
    #[cfg(test)]
    pub plans: Option<Vec<String>>,
}

impl Session {
    pub fn new(
        runtime: Runtime,
        client: Client,
        connection: JoinHandle<()>,
        activity: StreamActivity,
    ) -> Session {
        Session {
            runtime,
            client,
            queued: Vec::new(),
            connection,
            activity,
            max_silence: Duration::MAX,
            #[cfg(test)]
            plans: None,
        }
    }

    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Ends the session in order, so that the server does not log a lost connection.
    pub fn close(self) {
        drop(self.client);
        let ended = async { timeout(CLOSE_TIMEOUT, self.connection).await };
        let _ = self.runtime.block_on(ended);
    }

    pub fn rows(&mut self, sql: &str, values: &[SqlValue<'_>]) -> Result<Vec<Row>, PostgresError> {
        #[cfg(test)]
        self.explain(sql, values);
        let values = storable(values);
        let values: Vec<_> = values.iter().map(SqlValue::with_type).collect();
        let queued = mem::take(&mut self.queued);
        self.wait(after(
            &self.client,
            &queued,
            self.client.query_typed(sql, &values),
        ))
    }

    pub fn row(
        &mut self,
        sql: &str,
        values: &[SqlValue<'_>],
    ) -> Result<Option<Row>, PostgresError> {
        Ok(self.rows(sql, values)?.into_iter().next())
    }

    /// Returns how many rows the statement changed.
    pub fn execute(&mut self, sql: &str, values: &[SqlValue<'_>]) -> Result<usize, PostgresError> {
        #[cfg(test)]
        self.explain(sql, values);
        let values = storable(values);
        let values: Vec<_> = values.iter().map(SqlValue::with_type).collect();
        let queued = mem::take(&mut self.queued);
        let rows = self.wait(after(
            &self.client,
            &queued,
            self.client.execute_typed(sql, &values),
        ))?;
        Ok(usize::try_from(rows).unwrap_or(usize::MAX))
    }

    /// The rows of a statement with its parameters.
    pub fn select(&mut self, statement: &BoundSql<'_>) -> Result<Vec<Row>, PostgresError> {
        self.rows(&statement.sql, &statement.values)
    }

    /// Returns how many rows the statement changed.
    pub fn run(&mut self, statement: &BoundSql<'_>) -> Result<usize, PostgresError> {
        self.execute(&statement.sql, &statement.values)
    }

    /// Runs one or more statements that have no parameters, separated by semicolons.
    pub fn batch(&mut self, sql: &str) -> Result<(), PostgresError> {
        let queued = mem::take(&mut self.queued);
        self.wait(after(&self.client, &queued, self.client.batch_execute(sql)))
    }

    /// Sends a statement together with the next one, which fails if this one does.
    pub fn queue(&mut self, sql: &str, values: Vec<SqlValue<'static>>) {
        #[cfg(test)]
        self.explain(sql, &values);
        let sql = sql.to_owned();
        self.queued.push(Queued { sql, values });
    }

    /// Ends a transaction that failed, or a part of it, without the statements that were not sent.
    pub fn roll_back(&mut self, sql: &str) -> Result<(), PostgresError> {
        self.queued.clear();
        self.batch(sql)
    }

    #[cfg(test)]
    fn explain(&mut self, sql: &str, values: &[SqlValue<'_>]) {
        if values.is_empty() {
            return;
        }
        let Some(mut plans) = self.plans.take() else {
            return;
        };
        if let Ok(lines) = self.rows(&format!("EXPLAIN {sql}"), values) {
            let lines: Vec<&str> = lines.iter().map(|row| row.get(0)).collect();
            plans.push(format!("{sql}\n\n{}\n", lines.join("\n")));
        }
        self.plans = Some(plans);
    }

    /// Waits for a response, unless the server is silent for too long. Bytes that still move are not silence.
    fn wait<T>(
        &self,
        response: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, PostgresError> {
        self.activity.touch();
        self.runtime.block_on(async {
            let mut response = pin!(response);
            loop {
                let rest = self.max_silence.saturating_sub(self.activity.silent_for());
                if rest.is_zero() {
                    return Err(PostgresError::Silent(self.max_silence));
                }
                if let Ok(response) = timeout(rest, &mut response).await {
                    return Ok(response?);
                }
            }
        })
    }
}

/// A statement that is sent with the next one. Without values, it may be several, separated by semicolons.
struct Queued {
    sql: String,
    values: Vec<SqlValue<'static>>,
}

impl Queued {
    async fn run(&self, client: &Client) -> Result<(), tokio_postgres::Error> {
        if self.values.is_empty() {
            return client.batch_execute(&self.sql).await;
        }
        let values = storable(&self.values);
        let values: Vec<_> = values.iter().map(SqlValue::with_type).collect();
        client.execute_typed(&self.sql, &values).await.map(drop)
    }
}

/// Sends statements one after the other, without waiting for responses in between. Returns the result of the last one, or the
/// first error: after an error, the server rejects the rest of a transaction.
async fn after<T>(
    client: &Client,
    queued: &[Queued],
    last: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, tokio_postgres::Error> {
    // The client sends a statement when its future is polled for the first time; these are polled in their order.
    let queued = join_all(queued.iter().map(|statement| statement.run(client)));
    let (queued, last) = join(queued, last).await;
    for result in queued {
        result?;
    }
    last
}

/// Inserts rows, which all have the same columns, in this order. `rest` follows, for example `RETURNING id`.
pub fn insert_all(
    session: &mut Session,
    table: &str,
    rows: Vec<NewRow<'_>>,
    rest: &str,
) -> Result<Vec<Row>, PostgresError> {
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
