//! Locks, limits and defaults of the server, and how transactions deal with them.

use std::time::Instant;

use super::*;
use crate::journal::values::BoundSql;

const DEADLINE: Duration = Duration::from_secs(30);

/// When the transaction began that waits for a lock; 0 if none does.
const WAITING_SQL: &str =
    "SELECT coalesce(max(extract(epoch FROM xact_start) * 1000000), 0)::bigint FROM pg_stat_activity
     WHERE datname = current_database() AND wait_event_type = 'Lock'";

fn waiting(journal: &PostgresJournal) -> i64 {
    journal.value(&BoundSql::new(WAITING_SQL)).unwrap()
}

fn wait_until(journal: &PostgresJournal, is_reached: impl Fn(i64) -> bool) -> i64 {
    let began = Instant::now();
    loop {
        let since = waiting(journal);
        if is_reached(since) {
            return since;
        }
        assert!(began.elapsed() < DEADLINE, "nothing waits for the lock");
    }
}

fn accept_write() -> Write {
    Write::Accept(new_delivery(b"<event/>"), attempt(T0).attempt)
}

/// Sets a default of the bench's database for connections that follow.
fn set_default(bench: &Bench, setting: &str) -> Option<()> {
    let (_, name) = bench.database.as_ref()?;
    bench.execute(&format!("ALTER DATABASE {name} SET {setting}"))?;
    Some(())
}

fn reset_defaults(bench: &Bench) {
    if let Some((_, name)) = &bench.database {
        bench.execute(&format!("ALTER DATABASE {name} RESET ALL"));
    }
}

#[test]
fn the_isolation_level_is_not_that_of_the_database() {
    let bench = Bench::new();
    let default = "default_transaction_isolation = 'serializable'";
    if set_default(&bench, default).is_none() {
        return;
    }
    let journal = bench.postgres_journal(1).unwrap();
    let level = journal.connection.write(|session| {
        let row = session.row("SELECT current_setting('transaction_isolation')", &[])?;
        Ok(row.unwrap().try_get::<_, String>(0)?)
    });
    assert_eq!(level.unwrap(), "read committed");
    reset_defaults(&bench);
}

#[test]
fn a_commit_is_repeated_after_the_limit_of_a_statement() {
    let bench = Bench::new();
    if set_default(&bench, "statement_timeout = '300ms'").is_none() {
        return;
    }
    let committing = bench.postgres_journal(1).unwrap();
    let watching = bench.postgres_journal(2).unwrap();
    let lock = bench.lock();
    let commit = std::thread::spawn(move || committing.commit(&[accept_write()]).map(drop));
    let first = wait_until(&watching, |waiting| waiting != 0);
    wait_until(&watching, |waiting| waiting != 0 && waiting != first);
    drop(lock);
    commit.join().unwrap().unwrap();
    assert_eq!(watching.check().unwrap().attempts, 1);
    reset_defaults(&bench);
}

#[test]
fn a_wait_for_a_lock_ends_on_the_server_too() {
    let bench = Bench::new();
    let Some(mut journal) = bench.postgres_journal(1) else {
        return;
    };
    journal.tune_for_captures(CaptureRules::default()).unwrap();
    let lock = bench.lock();
    let error = journal.commit(&[accept_write()]).unwrap_err();
    assert!(matches!(error, JournalError::Locked { .. }), "{error}");
    assert_eq!(waiting(&journal), 0);
    drop(lock);
    journal.commit(&[accept_write()]).unwrap();
}

#[test]
fn a_bin_that_receives_its_first_capture_is_not_deleted() {
    let bench = Bench::new();
    let Some(journal) = bench.postgres_journal(1) else {
        return;
    };
    journal.create_bin("a", false, T0).unwrap();
    let capturing = bench.execute("BEGIN").unwrap();
    let insert =
        "INSERT INTO hookfire.captures (bin_id, received_at, remote_addr, method, malformed,
             response_duration_ms, body_size, head, body)
         SELECT id, 0, '', 'POST', FALSE, 0, 0, '', '' FROM hookfire.bins";
    let inserted = capturing.read(|session| {
        crate::journal::postgres::new_captures::lock(session)?;
        session.batch(insert)
    });
    inserted.unwrap();
    let deleting = bench.postgres_journal(2).unwrap();
    let delete = std::thread::spawn(move || deleting.delete_bin("a"));
    wait_until(&journal, |waiting| waiting != 0);
    capturing.read(|session| session.batch("COMMIT")).unwrap();
    assert!(!delete.join().unwrap().unwrap());
}
