//! The end-to-end stories, one file each, in one binary.

mod hostile;
mod proxies;
mod request;
mod secrets;
mod secrets_again;
mod secrets_echoed;
mod support;
mod support_itself;
mod tls;
mod wire;
