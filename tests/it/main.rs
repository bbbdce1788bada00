//! The end-to-end stories, one file each, in one binary.
#![allow(clippy::unwrap_used, reason = "what a test unwraps it also holds to")]

mod captured;
mod concurrency;
mod config;
mod crash;
mod events;
mod expect;
mod export;
mod failed;
mod failing_disk;
mod faults;
mod hostile;
mod judge;
mod killed;
mod listen;
mod listen_limits;
mod load;
mod main_job;
mod output;
mod page;
mod page_guards;
mod places;
mod portal;
mod proxies;
mod recovery;
mod request;
mod requestbin;
mod secrets;
mod secrets_again;
mod secrets_echoed;
mod support;
mod support_itself;
mod system_calls;
mod tenant_import;
mod tls;
mod wire;
