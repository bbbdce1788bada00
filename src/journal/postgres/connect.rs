//! Opens a connection to a server.

use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::PostgresError;
use super::session::Session;
use super::stream::{Socket, StreamActivity, WatchedSocket};
use crate::http::tls_config;
use crate::journal::JournalError;
use crate::journal::location::{Server, TlsMode};

/// The longest time to wait until one of the server's addresses has accepted the user.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// An idle connection is tested after this time, so that one that was lost is noticed before the next statement.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
const KEEPALIVES: u32 = 3;

/// Connects within `limit`, or within [`CONNECT_TIMEOUT`] if that is shorter.
pub fn connect(server: &Server, limit: Duration) -> Result<Session, PostgresError> {
    let tls = match server.tls {
        TlsMode::Disable => None,
        TlsMode::Require | TlsMode::VerifyFull => Some(tls(server)?),
    };
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(PostgresError::Connect)?;
    let activity = StreamActivity::new();
    let limit = limit.min(CONNECT_TIMEOUT);
    match runtime.block_on(open(server, tls, activity.clone(), limit)) {
        Ok((client, connection)) => Ok(Session::new(runtime, client, connection, activity)),
        Err(fault) => {
            end(runtime);
            Err(fault)
        }
    }
}

/// Does not wait for a name that is being looked up.
fn end(runtime: Runtime) {
    runtime.shutdown_background();
}

fn tls(server: &Server) -> Result<MakeRustlsConnect, PostgresError> {
    let accepts_any = server.tls == TlsMode::Require;
    let config = tls_config(server.authorities.as_deref(), accepts_any);
    let config = config.map_err(|e| denied(server, &e))?;
    Ok(MakeRustlsConnect::new(config))
}

fn denied(server: &Server, problem: &dyn std::fmt::Display) -> PostgresError {
    PostgresError::Other(JournalError::Denied {
        path: server.shown().to_owned(),
        problem: problem.to_string(),
    })
}

async fn open(
    server: &Server,
    tls: Option<MakeRustlsConnect>,
    activity: StreamActivity,
    limit: Duration,
) -> Result<(Client, JoinHandle<()>), PostgresError> {
    let deadline = Instant::now() + limit;
    let socket = socket(server, deadline).await;
    let socket = socket.map_err(PostgresError::Connect)?;
    let log_in = log_in(server, tls, WatchedSocket { socket, activity });
    let accepted = timeout_at(deadline, log_in).await;
    accepted.unwrap_or(Err(PostgresError::Silent(limit)))
}

async fn socket(server: &Server, deadline: Instant) -> io::Result<Box<dyn Socket>> {
    let (host, port) = (server.host.as_str(), server.port);
    if host.starts_with('/') {
        let path = Path::new(host).join(format!(".s.PGSQL.{port}"));
        let socket = until(deadline, UnixStream::connect(path)).await?;
        return Ok(Box::new(socket));
    }
    let mut failed = None;
    let addresses = until(deadline, lookup_host((host, port))).await?;
    let addresses: Vec<_> = addresses.collect();
    for (tried, address) in addresses.iter().enumerate() {
        // The addresses share the time, so that one that does not respond leaves some for the others.
        let others = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let now = Instant::now();
        let share = now + deadline.saturating_duration_since(now) / others;
        match until(share, TcpStream::connect(address)).await {
            Ok(socket) => {
                socket.set_nodelay(true)?;
                keep_alive(&socket)?;
                return Ok(Box::new(socket));
            }
            Err(error) => failed = Some(error),
        }
    }
    Err(failed.unwrap_or_else(|| io::Error::other("the host has no address")))
}

async fn until<T>(
    deadline: Instant,
    connect: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    let connected = timeout_at(deadline, connect).await;
    connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn keep_alive(socket: &TcpStream) -> io::Result<()> {
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(socket, KEEPALIVE_INTERVAL)?;
    Ok(sockopt::set_tcp_keepcnt(socket, KEEPALIVES)?)
}

/// The task of the second value moves the bytes, and ends with the client.
async fn log_in(
    server: &Server,
    tls: Option<MakeRustlsConnect>,
    socket: WatchedSocket,
) -> Result<(Client, JoinHandle<()>), PostgresError> {
    let mut config = Config::new();
    config
        .user(server.user.as_str())
        .dbname(server.database.as_str())
        .application_name("hookfire");
    if let Some(password) = &server.password {
        config.password(password.expose());
    }
    let Some(mut tls) = tls else {
        config.ssl_mode(SslMode::Disable);
        let (client, connection) = config.connect_raw(socket, NoTls).await?;
        return Ok((client, tokio::spawn(async { drop(connection.await) })));
    };
    config.ssl_mode(SslMode::Require);
    let tls = MakeTlsConnect::<WatchedSocket>::make_tls_connect(&mut tls, &server.host);
    let tls = tls.map_err(|e| denied(server, &e))?;
    let (client, connection) = config.connect_raw(socket, tls).await?;
    Ok((client, tokio::spawn(async { drop(connection.await) })))
}
