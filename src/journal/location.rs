//! Where a journal is: a file, or a PostgreSQL database.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use url::Url;

use crate::secret::safe_url::{NO_HOST, database_url, form_decoded, has_password, shown};
use crate::secret::{Secret, Variables};

/// Schemes that PostgreSQL's own programs accept.
const SCHEMES: [&str; 2] = ["postgresql", "postgres"];

const DEFAULT_PORT: u16 = 5432;

/// Where Debian's and Fedora's servers have their socket.
const SOCKET_FOLDER: &str = "/var/run/postgresql";

#[derive(Clone, Debug)]
pub enum Location {
    File(PathBuf),
    Server(Box<Server>),
}

/// A PostgreSQL database and how to connect to it.
#[derive(Clone, Debug)]
pub struct Server {
    /// A name, an address, or the absolute path of a socket's folder.
    pub host: String,
    pub port: u16,
    pub user: String,
    pub database: String,
    pub tls: TlsMode,
    /// A PEM file of authorities to trust instead of the system's.
    pub authorities: Option<PathBuf>,
    pub password: Option<Secret>,
    /// The URL without its password.
    shown: String,
}

/// How a connection is encrypted. It never falls back to a weaker mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    Disable,
    /// Encrypted, but any certificate is accepted.
    Require,
    VerifyFull,
}

/// Why a journal's URL cannot be used. No message shows a password.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LocationError {
    #[error(
        "the journal `{0}` is a URL of another scheme; use a file, or `postgresql://USER@HOST/DATABASE`"
    )]
    Scheme(String),
    #[error("the journal `{shown}` is not a valid URL: {reason}")]
    Unreadable { shown: String, reason: String },
    #[error(
        "the journal `{shown}` has the unknown parameter `{name}`; known are host, port, user, dbname, sslmode and sslrootcert"
    )]
    Parameter { shown: String, name: String },
    #[error(
        "the journal `{shown}` has `sslmode={mode}`; use `verify-full`, `require` or `disable`"
    )]
    TlsMode { shown: String, mode: String },
    #[error("the journal `{shown}` names no user")]
    NoUser { shown: String },
    #[error(
        "the journal `{shown}` contains a password, which other users of this machine can read on the command line"
    )]
    PasswordOnCommandLine { shown: String },
}

impl Location {
    /// Whether text is a URL rather than the name of a file.
    pub fn is_url(text: &str) -> bool {
        text.contains("://")
    }

    /// The location as messages show it: a path, or a URL without its password.
    pub fn shown(&self) -> &Path {
        match self {
            Location::File(path) => path,
            Location::Server(server) => server.shown(),
        }
    }

    /// The path of a file; none for a database.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Location::File(path) => Some(path),
            Location::Server(_) => None,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shown().display().fmt(f)
    }
}

impl From<&Path> for Location {
    fn from(path: &Path) -> Location {
        Location::File(path.to_owned())
    }
}

impl From<&PathBuf> for Location {
    fn from(path: &PathBuf) -> Location {
        Location::File(path.clone())
    }
}

impl From<&Location> for Location {
    fn from(location: &Location) -> Location {
        location.clone()
    }
}

impl Server {
    /// Parses a URL. What it leaves out comes from `PGUSER`, `PGPASSWORD` and the password file, as with PostgreSQL's
    /// own programs. `password` is used before these two.
    pub fn parse(
        text: &str,
        password: Option<Secret>,
        variables: &dyn Variables,
    ) -> Result<Server, LocationError> {
        let unreadable = |reason: &str| LocationError::Unreadable {
            shown: shown(text),
            reason: reason.to_owned(),
        };
        let (scheme, _) = text.split_once("://").unwrap_or_default();
        if !SCHEMES.contains(&scheme) {
            return Err(LocationError::Scheme(shown(text)));
        }
        let url = database_url(text).map_err(|e| unreadable(&e.to_string()))?;
        let given = Parts::read(&url, &shown(text))?;
        let variable = |name| variables.var(name)?.into_string().ok();
        let variable = |name| variable(name).filter(|value: &String| !value.is_empty());
        let names = ["PGUSER", "USER", "LOGNAME"];
        let user = given.user.or_else(|| names.into_iter().find_map(variable));
        let user = user.ok_or_else(|| LocationError::NoUser { shown: shown(text) })?;
        let host = given.host.unwrap_or_else(|| SOCKET_FOLDER.to_owned());
        let database = given.database.unwrap_or_else(|| user.clone());
        for (part, value) in [("user", &user), ("host", &host), ("database", &database)] {
            if value.contains(char::is_control) {
                return Err(LocationError::Unreadable {
                    shown: shown(text).replace(char::is_control, "\u{FFFD}"),
                    reason: format!("the {part} contains a control character"),
                });
            }
        }
        let is_local = host.starts_with('/') || is_loopback(&host);
        let mut server = Server {
            tls: given.tls.unwrap_or(match is_local {
                true => TlsMode::Disable,
                false => TlsMode::VerifyFull,
            }),
            database,
            port: given.port.unwrap_or(DEFAULT_PORT),
            authorities: given.authorities,
            password: given.password.or(password),
            host,
            user,
            shown: String::new(),
        };
        server.shown = server.without_password();
        if server.password.is_none() {
            let from_file = || server.password_from_file(variables);
            server.password = variable("PGPASSWORD").map(Secret::new).or_else(from_file);
        }
        Ok(server)
    }

    /// Fails if the text of a URL contains a password.
    pub fn refuse_password(text: &str) -> Result<(), LocationError> {
        match has_password(text) {
            true => Err(LocationError::PasswordOnCommandLine { shown: shown(text) }),
            false => Ok(()),
        }
    }

    /// The URL without its password.
    pub fn shown(&self) -> &Path {
        Path::new(&self.shown)
    }

    fn without_password(&self) -> String {
        let Server {
            host,
            port,
            user,
            database,
            ..
        } = self;
        if host.starts_with('/') {
            return format!("postgresql://{user}@/{database}?host={host}&port={port}");
        }
        let host = match host.contains(':') {
            true => format!("[{host}]"),
            false => host.clone(),
        };
        match *port {
            DEFAULT_PORT => format!("postgresql://{user}@{host}/{database}"),
            port => format!("postgresql://{user}@{host}:{port}/{database}"),
        }
    }

    /// The password in `PGPASSFILE` or `~/.pgpass`. As PostgreSQL's own programs, ignores a file that others can read.
    fn password_from_file(&self, variables: &dyn Variables) -> Option<Secret> {
        use std::os::unix::fs::PermissionsExt as _;
        let named = variables.var("PGPASSFILE").filter(|name| !name.is_empty());
        let default = || Some(Path::new(&variables.var("HOME")?).join(".pgpass"));
        let path = named.map(PathBuf::from).or_else(default)?;
        let metadata = std::fs::metadata(&path).ok()?;
        if !metadata.is_file() || metadata.permissions().mode() & 0o077 != 0 {
            return None;
        }
        let text = std::fs::read_to_string(path).ok()?;
        text.lines().find_map(|line| self.password_in_line(line))
    }

    /// Reads `host:port:database:user:password`, in which `*` matches everything and `\` quotes a character.
    fn password_in_line(&self, line: &str) -> Option<Secret> {
        if line.starts_with('#') {
            return None;
        }
        let (mut fields, mut chars) = (vec![String::new()], line.chars());
        while let Some(c) = chars.next() {
            match c {
                ':' if fields.len() < 5 => fields.push(String::new()),
                '\\' => fields.last_mut()?.extend(chars.next()),
                c => fields.last_mut()?.push(c),
            }
        }
        let [host, port, database, user, password] = fields.try_into().ok()?;
        let own_host = match self.host.starts_with('/') {
            true => "localhost",
            false => &self.host,
        };
        let own = [own_host, &self.port.to_string(), &self.database, &self.user];
        let matches = [host, port, database, user]
            .iter()
            .zip(own)
            .all(|(field, own)| field == "*" || field == own);
        matches.then(|| Secret::new(password))
    }
}

/// The settings that the URL of a database contains.
#[derive(Default)]
struct Parts {
    host: Option<String>,
    port: Option<u16>,
    user: Option<String>,
    password: Option<Secret>,
    database: Option<String>,
    tls: Option<TlsMode>,
    authorities: Option<PathBuf>,
}

impl Parts {
    fn read(url: &Url, shown: &str) -> Result<Parts, LocationError> {
        let decoded = |text: &str| decoded(text).filter(|text| !text.is_empty());
        let mut parts = Parts {
            host: url
                .host_str()
                .filter(|host| *host != NO_HOST)
                .and_then(decoded),
            port: url.port(),
            user: decoded(url.username()),
            password: url.password().and_then(decoded).map(Secret::new),
            database: decoded(url.path().trim_start_matches('/')),
            ..Parts::default()
        };
        if let Some(host) = &mut parts.host {
            *host = host
                .trim_start_matches('[')
                .trim_end_matches(']')
                .to_owned();
        }
        for (name, value) in url.query_pairs() {
            let value = value.into_owned();
            match &*name {
                "host" => parts.host = Some(value),
                "port" => {
                    parts.port = Some(value.parse().map_err(|_| LocationError::Unreadable {
                        shown: shown.to_owned(),
                        reason: "the port is not a number from 1 to 65535".to_owned(),
                    })?);
                }
                "user" => parts.user = Some(value),
                "password" => parts.password = Some(Secret::new(value)),
                "dbname" => parts.database = Some(value),
                "sslmode" => parts.tls = Some(tls_mode(&value, shown)?),
                "sslrootcert" => parts.authorities = Some(value.into()),
                "application_name" | "connect_timeout" => {}
                name => {
                    return Err(LocationError::Parameter {
                        shown: shown.to_owned(),
                        name: name.to_owned(),
                    });
                }
            }
        }
        Ok(parts)
    }
}

fn tls_mode(mode: &str, shown: &str) -> Result<TlsMode, LocationError> {
    match mode {
        "disable" => Ok(TlsMode::Disable),
        "require" => Ok(TlsMode::Require),
        "verify-full" => Ok(TlsMode::VerifyFull),
        _ => Err(LocationError::TlsMode {
            shown: shown.to_owned(),
            mode: mode.to_owned(),
        }),
    }
}

/// Percent-decodes; `+` stands for itself.
fn decoded(text: &str) -> Option<String> {
    String::from_utf8(form_decoded(text.replace('+', "%2B").as_bytes())).ok()
}

fn is_loopback(host: &str) -> bool {
    let address: Result<IpAddr, _> = host.parse();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::TestVariables;

    fn parse(url: &str) -> Result<Server, LocationError> {
        Server::parse(url, None, &TestVariables(&[("PGUSER", "me")]))
    }

    #[test]
    fn urls_of_servers_and_sockets_are_read() {
        let server = parse("postgresql://ci@db.example.com/hooks").unwrap();
        assert_eq!(
            (&*server.host, server.port, &*server.user, &*server.database),
            ("db.example.com", 5432, "ci", "hooks")
        );
        assert_eq!(server.tls, TlsMode::VerifyFull);
        let local = parse("postgres://[::1]:6000/a%20b?sslmode=require").unwrap();
        assert_eq!((&*local.host, local.port), ("::1", 6000));
        assert_eq!((&*local.user, &*local.database), ("me", "a b"));
        assert_eq!(local.tls, TlsMode::Require);
        for url in [
            "postgresql://me@/hooks?host=/run/pg&port=7",
            "postgresql:///hooks?host=/run/pg&port=7",
        ] {
            let socket = parse(url).unwrap();
            let shown = socket.shown().display().to_string();
            assert_eq!(shown, "postgresql://me@/hooks?host=/run/pg&port=7");
        }
        let socket = parse("postgresql:///hooks?host=/run/pg&port=7").unwrap();
        assert_eq!((&*socket.host, socket.port), ("/run/pg", 7));
        assert_eq!(socket.tls, TlsMode::Disable);
        assert_eq!(parse("postgresql://localhost").unwrap().database, "me");
    }

    #[test]
    fn passwords_are_never_shown() {
        for url in [
            "postgresql://ci:canary@db/hooks",
            "postgresql://ci@db/hooks?password=canary",
            "postgresql://ci:canary@db/hooks?sslmode=prefer",
            "postgresql://ci:canary@db/hooks?unknown=canary",
            "mysql://ci:canary@db/hooks",
            "postgresql://ci:canary@db:99999/hooks",
        ] {
            let text = match parse(url) {
                Ok(server) => {
                    assert_eq!(server.password.as_ref().unwrap().expose(), "canary");
                    format!("{server:?} {}", server.shown().display())
                }
                Err(e) => e.to_string(),
            };
            assert!(!text.contains("canary"), "{url}: {text}");
        }
        let refused = Server::refuse_password("postgresql://ci:canary@db/hooks");
        let text = refused.unwrap_err().to_string();
        assert!(!text.contains("canary"), "{text}");
        for url in [
            "postgresql://ci@db/hooks",
            "postgresql://ci@/hooks",
            "postgresql://db",
        ] {
            assert_eq!(Server::refuse_password(url), Ok(()));
        }
    }

    #[test]
    fn control_characters_are_refused() {
        for url in [
            "postgresql://a%1b[31mX@/x",
            "postgresql://a\u{1b}[31mX@/x",
            "postgresql://a@h%c2%9b/x",
            "postgresql://a@/x%0a",
            "postgresql://a@/x?host=%1b",
            "postgresql://a@/x?user=%c2%9b",
        ] {
            let message = match parse(url) {
                Ok(server) => server.shown().display().to_string(),
                Err(error) => error.to_string(),
            };
            assert!(!message.contains(char::is_control), "{message:?}");
            assert!(parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn weaker_tls_modes_must_be_spelled_out() {
        let error = parse("postgresql://ci@db/hooks?sslmode=prefer").unwrap_err();
        assert!(error.to_string().contains("verify-full"), "{error}");
    }

    #[test]
    fn the_password_file_has_one_line_per_database() {
        let server = parse("postgresql://ci@db/hooks").unwrap();
        let password = |line| server.password_in_line(line).map(|p| p.expose().to_owned());
        assert_eq!(password("db:5432:hooks:ci:a\\:b:c"), Some("a:b:c".into()));
        assert_eq!(password("*:*:*:ci:x"), Some("x".into()));
        assert_eq!(password("db:5432:other:ci:x"), None);
        assert_eq!(password("# db:5432:hooks:ci:x"), None);
        assert_eq!(password("db:5432"), None);
    }
}
