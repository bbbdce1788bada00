//! Integration tests of the program, in one binary: `cargo test --test it`.
//!
//! Every test runs in its own environment (`support/`). `cargo test --test it killed` runs the tests with that word in
//! their name or module. The guarantees in `man/hookfire-guarantees.7.md` are tested here:
//!
//! | guarantee | modules |
//! |---|---|
//! | nothing is lost when a process is killed | `killed`, `batch_killed`, `due_killed`, `crash`, `recovery`, `audit` |
//! | nothing is lost when the disk fails or is full | `failing_disk`, `filesystem` |
//! | the journal is synced before a request | `system_calls` |
//! | several processes share a journal | `concurrency`, `due`, `schedule` |
//! | endpoints cannot exceed time and memory limits | `faults`, `network_errors`, `tls` |
//! | secrets never leak | `secrets`, `secrets_retry`, `secrets_echoed`, `listen_secrets`, `read_tokens`, `forward_secrets` |
//! | hostile text has no effect | `malicious_endpoint`, `page_security` |
//! | a journal in PostgreSQL keeps the same guarantees | `team`, `team_faults`, `team_tls` |
//! | `listen` stores before it responds | `listen`, `load` |
//! | a followed bin is read in order, each capture once, and delivered | `follow`, `follow_to` |
//! | `listen --forward-later` delivers what it accepted | `forward_later`, `forward_killed`, `forward_outages` |
//!
//! Two variables make runs longer or repeatable: `HOOKFIRE_ACKNOWLEDGED=200000` (number of responses before
//! `killed_under_long_load` kills the listener) and `HOOKFIRE_KILL_SEED` (the moments in `batch_killed` and `forward_killed`).
//!
//! Tests that take long are ignored unless `--include-ignored` is given; a shorter one with fewer cases runs always where
//! that is possible.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod audit;
mod batch;
mod batch_killed;
mod bulk;
mod captured;
mod completion;
mod concurrency;
mod config;
mod crash;
mod due;
mod due_killed;
mod end_to_end;
mod events;
mod exec;
mod expect;
mod expect_load;
mod export;
mod failed;
mod failing_disk;
mod faults;
mod filesystem;
mod follow;
mod follow_to;
mod forward_killed;
mod forward_later;
mod forward_load;
mod forward_outages;
mod forward_secrets;
mod forward_targets;
mod handshakes;
mod killed;
mod listen;
mod listen_limits;
mod listen_secrets;
mod listen_signed;
mod load;
mod malicious_endpoint;
mod matching;
mod messages;
mod network_errors;
mod output;
mod page;
mod page_security;
mod payload;
mod portal;
mod proxies;
mod read_tokens;
mod recovery;
mod remote;
mod request;
mod requestbin;
mod resolve;
mod retry_schedule;
mod schedule;
mod secrets;
mod secrets_echoed;
mod secrets_retry;
mod signatures;
mod signing;
mod support;
mod system_calls;
mod team;
mod team_faults;
mod team_tls;
mod tenant_import;
mod terminal;
mod tls;
