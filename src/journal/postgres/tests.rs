//! Tests of the journal in PostgreSQL: what every journal does, and the helpers that those tests need.

#![allow(clippy::duplicate_mod, reason = "each journal has its own helpers")]

#[path = "../tests/captures.rs"]
mod captures_suite;
mod copy;
#[path = "../tests/forwards.rs"]
mod forwards_suite;
#[path = "../tests/import.rs"]
mod import_suite;
#[path = "../tests/leases.rs"]
mod leases_suite;
#[path = "../tests/lists.rs"]
mod lists_suite;
#[path = "../tests/machine/mod.rs"]
mod machine;
#[path = "../tests/pages.rs"]
mod pages_suite;
#[path = "../tests/schedule.rs"]
mod schedule_suite;
#[path = "../tests/sending.rs"]
mod sending_suite;
mod transactions;

use std::path::PathBuf;

use tempfile::TempDir;

use super::PostgresJournal;
use super::connection::Connection;
use crate::journal::location::Server;
use crate::journal::tests::postgres_server::postgres_server;
use crate::journal::tests::support::*;
use crate::secret::TestVariables;

pub type TestJournal = Box<dyn Journal>;

/// How many cases the test with a model has.
const MODEL_CASES: u32 = 32;

/// Databases whose tests have ended.
static UNUSED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// A database; a file where PostgreSQL is not installed.
struct Bench {
    folder: TempDir,
    database: Option<(Server, String)>,
    host: TestHost,
}

impl Bench {
    fn new() -> Bench {
        let database = postgres_server().map(|server| {
            let unused = UNUSED.lock().unwrap().pop();
            let is_new = unused.is_none();
            let name = unused.unwrap_or_else(|| server.new_database());
            let location = Server::parse(&server.url(&name), None, &TestVariables(&[])).unwrap();
            if is_new {
                migrate(&location).unwrap();
            }
            (location, name)
        });
        let bench = Bench {
            folder: tempfile::tempdir().unwrap(),
            database,
            host: TestHost::default(),
        };
        bench.execute(
            "TRUNCATE hookfire.writers, hookfire.deliveries, hookfire.attempts, hookfire.bins, hookfire.captures, hookfire.runs,
                 hookfire.cursors RESTART IDENTITY",
        );
        bench
    }

    /// Runs statements, if there is a database. A transaction that they begin ends when the result is dropped.
    fn execute(&self, sql: &str) -> Option<Connection> {
        let (server, _) = self.database.as_ref()?;
        let connection = Connection::open_any(server, self.host.process(0), super::TIMEOUT);
        let run = connection.read(|session| session.batch(sql));
        run.unwrap();
        Some(connection)
    }

    /// Deletes captures as the journal does not: those that must be kept too.
    fn lose_captures(&self) {
        if self.execute("DELETE FROM hookfire.captures").is_none() {
            let file = rusqlite::Connection::open(self.path()).unwrap();
            file.execute_batch("DELETE FROM captures").unwrap();
        }
    }

    /// A journal in the database, if there is one.
    fn postgres_journal(&self, pid: i64) -> Option<PostgresJournal> {
        let (server, _) = self.database.as_ref()?;
        Some(PostgresJournal::open_with_host_time(server, self.host.process(pid)).unwrap())
    }

    /// Locks the journal until the result is dropped.
    fn lock(&self) -> Option<Connection> {
        self.execute("BEGIN; LOCK TABLE hookfire.writers")
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("journal.db")
    }

    fn open(&self, pid: i64) -> TestJournal {
        self.open_on(self.host.process(pid))
    }

    fn open_on(&self, host: Box<dyn Host>) -> TestJournal {
        match &self.database {
            Some((server, _)) => {
                Box::new(PostgresJournal::open_with_host_time(server, host).unwrap())
            }
            None => open_on(host, &self.path()).unwrap(),
        }
    }

    /// A journal that keeps the plan of each statement, see [`plans`].
    fn open_explained(&self) -> PostgresJournal {
        let (server, _) = self.database.as_ref().unwrap();
        let journal = PostgresJournal::open_with_host_time(server, self.host.process(1)).unwrap();
        let explain = journal.connection.read(|session| {
            session.plans = Some(Vec::new());
            Ok(())
        });
        explain.unwrap();
        journal
    }

    fn boxed(&self, pid: i64) -> Box<dyn Journal> {
        self.open(pid)
    }

    fn open_fast(&self, pid: i64) -> TestJournal {
        self.open(pid)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some((_, name)) = self.database.take() {
            UNUSED.lock().unwrap().push(name);
        }
    }
}

#[test]
fn the_tables_have_the_columns_of_a_file() {
    let bench = Bench::new();
    let Some(connection) = bench.execute("SELECT 1") else {
        return;
    };
    let path = bench.path();
    drop(crate::journal::open(&path).unwrap());
    let file = rusqlite::Connection::open(&path).unwrap();
    for table in [
        "deliveries",
        "attempts",
        "bins",
        "captures",
        "runs",
        "cursors",
    ] {
        let mut sql = file
            .prepare("SELECT name FROM pragma_table_info(?1) ORDER BY name COLLATE BINARY")
            .unwrap();
        let in_file: Vec<String> = sql
            .query_map([table], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let sql = "SELECT column_name::text FROM information_schema.columns
             WHERE table_schema = 'hookfire' AND table_name = $1 ORDER BY column_name COLLATE \"C\"";
        let in_database = connection.read(|session| {
            let rows = session.rows(sql, &[table.into()])?;
            rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
        });
        let in_database: Vec<String> = in_database.unwrap();
        assert_eq!(in_database, in_file, "{table}");
    }
}

/// Each statement that the journal ran, with its plan.
fn plans(journal: &PostgresJournal) -> Vec<String> {
    let plans = journal
        .connection
        .read(|session| Ok(session.plans.take().unwrap_or_default()));
    plans.unwrap()
}

/// Many delivered deliveries, and statistics that say so.
const MANY: &str = "INSERT INTO hookfire.deliveries (uuid, type, action, url, params, headers, retries, retry_interval_ms,
         success_statuses, status, created_at, finished_at, attempt_count, method, body_format, payload)
     SELECT 'uuid' || n, 'account', 'created', 'https://example.com/hook', '[]', '[]', 3, 60000, '2xx',
         'delivered', n, n, 1, 'POST', 'form', '<event/>'
     FROM generate_series(1, 3000) n;
     INSERT INTO hookfire.attempts (delivery_id, number, started_at, duration_ms, insecure, http_status)
     SELECT id, 1, created_at, 1, FALSE, 200 FROM hookfire.deliveries;
     ANALYZE hookfire.deliveries, hookfire.attempts";

#[test]
fn a_group_of_results_reads_its_rows_only() {
    let bench = Bench::new();
    if bench.execute(MANY).is_none() {
        return;
    }
    let journal = bench.open_explained();
    let new = || Write::Accept(new_delivery(b"<event/>"), attempt(T0).attempt);
    let added = journal.commit(&(0..64).map(|_| new()).collect::<Vec<_>>());
    let ids = added.unwrap().into_iter().map(|result| match result {
        WriteResult::Delivery(delivery) => delivery.id,
        other => panic!("{other:?}"),
    });
    let delay = Duration::from_secs(60);
    let mut writes: Vec<Write> = Vec::new();
    for (at, id) in ids.enumerate() {
        let (outcome, next) = match at % 4 {
            0 => (refusal(500), NextStep::Failed),
            1 => (refusal(500), NextStep::Scheduled { delay }),
            _ => (success(), NextStep::Delivered),
        };
        writes.push(Write::Finish(AttemptResult {
            id,
            number: 1,
            sent_after: Duration::ZERO,
            duration: Duration::ZERO,
            outcome: Arc::new(outcome),
            next,
        }));
    }
    journal.commit(&writes).unwrap();
    let plans = plans(&journal);
    let is_update = |plan: &&String| plan.starts_with("UPDATE hookfire.attempts");
    assert_eq!(plans.iter().filter(is_update).count(), 1);
    for plan in plans {
        let scans = ["Seq Scan on attempts", "Seq Scan on deliveries"];
        assert!(!scans.iter().any(|scan| plan.contains(scan)), "{plan}");
    }
}

#[test]
fn check_finds_attempts_without_deliveries() {
    let bench = Bench::new();
    let id = accept(&bench.open(1), T0).id;
    let orphan = "INSERT INTO hookfire.attempts (delivery_id, number, started_at, insecure) VALUES (99, 1, 0, FALSE)";
    if bench.execute(orphan).is_none() {
        return;
    }
    assert_eq!(bench.open(1).attempts(id).unwrap().len(), 1);
    let problems = bench.open(1).check().unwrap().problems;
    assert_eq!(
        problems,
        ["1 attempts refer to deliveries that do not exist"]
    );
}

#[test]
fn what_is_due_to_be_forwarded_is_found_among_other_deliveries() {
    let bench = Bench::new();
    let scheduled = "UPDATE hookfire.deliveries SET status = 'pending', finished_at = NULL, next_attempt_at = id;
         ANALYZE hookfire.deliveries";
    if bench.execute(&format!("{MANY}; {scheduled}")).is_none() {
        return;
    }
    let journal = bench.open_explained();
    let filter = |forwards| DueFilter {
        url: None,
        forwards,
    };
    assert_eq!(journal.due_page(None, 10, filter(true)).unwrap(), []);
    assert_eq!(journal.due_page(None, 10, filter(false)).unwrap().len(), 10);
    let plans = plans(&journal);
    assert!(plans[0].contains("deliveries_due_forwards"), "{}", plans[0]);
    assert!(plans[1].contains("deliveries_due "), "{}", plans[1]);
}
