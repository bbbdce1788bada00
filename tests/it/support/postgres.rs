//! A PostgreSQL server for tests, started once per process in a temporary folder. None if that is not possible here.
//!
//! The server ends with the process: `setpriv` makes the kernel send it a signal then.

#![allow(dead_code, reason = "the unit tests of the journal use a part")]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Begins the names of the folders; the pid of the process follows.
const FOLDER_PREFIX: &str = "hookfire-postgres-";

const START_TIMEOUT: Duration = Duration::from_secs(30);

pub struct PostgresServer {
    pub folder: PathBuf,
    pub port: u16,
    pub programs: PathBuf,
    /// Runs with its default settings; otherwise it is faster and does not wait for the disk.
    is_durable: bool,
}

/// The server, if it can be started here; otherwise reports the test as skipped.
pub fn postgres_server() -> Option<&'static PostgresServer> {
    static SERVER: OnceLock<Result<PostgresServer, &str>> = OnceLock::new();
    let server = SERVER.get_or_init(|| {
        let programs = programs().ok_or("PostgreSQL is not installed")?;
        check_user()?;
        Ok(PostgresServer::start(
            &programs,
            &std::env::temp_dir(),
            false,
        ))
    });
    server.as_ref().map_err(|reason| skipped(reason)).ok()
}

/// Fails with the reason if [`as_postgres`] cannot run a program.
fn check_user() -> Result<(), &'static str> {
    match as_postgres(Path::new("true")).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(_) if is_root() => Err("`setpriv` cannot run a program as the user `postgres`"),
        Ok(_) => Err("`setpriv` is older than util-linux 2.33"),
        Err(_) => Err("`setpriv` is not installed"),
    }
}

/// Reports a skipped test on the real stderr, where `tests/run` counts these lines.
fn skipped(reason: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "SKIPPED: {reason}");
}

/// The folder of the newest `initdb`, which Debian does not put into the path.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let folders = versions.map(|version| version.path().join("bin"));
    let number = |folder: &PathBuf| {
        let version = folder.parent()?.file_name()?.to_str()?;
        version.parse::<u32>().ok()
    };
    folders
        .filter(|folder| folder.join("initdb").exists())
        .max_by_key(number)
}

/// Runs a program as the user `postgres` if this is root, whom PostgreSQL refuses. The kernel ends it with the thread that
/// started it.
fn as_postgres(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.arg("--pdeathsig=INT");
    if is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    }
    command.arg("--").arg(program);
    command.stdin(Stdio::null());
    command
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

impl PostgresServer {
    /// Another server, for a test that stops it.
    pub fn start_another() -> Option<PostgresServer> {
        let programs = &postgres_server()?.programs;
        Some(PostgresServer::start(
            programs,
            &std::env::temp_dir(),
            false,
        ))
    }

    /// A server for measurements, in a folder in `parent`. None if it cannot be started here.
    pub fn start_durable(parent: &Path) -> Option<PostgresServer> {
        let programs = programs()?;
        check_user().ok()?;
        Some(PostgresServer::start(&programs, parent, true))
    }

    fn start(programs: &Path, parent: &Path, is_durable: bool) -> PostgresServer {
        let folder = new_folder(parent);
        let initdb = as_postgres(&programs.join("initdb"))
            .args(["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"])
            .args(["--username=postgres", "-D"])
            .arg(folder.join("data"))
            .output()
            .unwrap();
        assert!(initdb.status.success(), "{initdb:?}");
        let server = PostgresServer {
            folder,
            port: free_port(),
            programs: programs.to_owned(),
            is_durable,
        };
        server.run();
        server
    }

    /// Starts a standby with the present content of this server, on another port.
    pub fn start_standby(&self) -> PostgresServer {
        let standby = PostgresServer {
            folder: new_folder(&std::env::temp_dir()),
            port: free_port(),
            programs: self.programs.clone(),
            is_durable: self.is_durable,
        };
        let copied = as_postgres(&self.programs.join("pg_basebackup"))
            .args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync"])
            .args(["-U", "postgres", "-p", &self.port.to_string(), "-h"])
            .arg(&self.folder)
            .arg("-D")
            .arg(standby.folder.join("data"))
            .output()
            .unwrap();
        assert!(copied.status.success(), "{copied:?}");
        standby.run();
        standby
    }

    /// Starts the server, on a thread that lives as long as the process.
    pub fn run(&self) {
        let mut command = as_postgres(&self.programs.join("postgres"));
        command
            .arg("-D")
            .arg(self.folder.join("data"))
            .arg("-k")
            .arg(&self.folder)
            .args(["-p", &self.port.to_string()])
            .args(["-c", "listen_addresses=127.0.0.1"]);
        if !self.is_durable {
            command
                .args(["-c", "fsync=off", "-c", "max_connections=300"])
                .args(["-c", "shared_buffers=32MB"]);
        }
        let log = fs::File::create(self.folder.join("log")).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        std::thread::spawn(move || {
            let _ended = command.spawn().unwrap().wait();
            loop {
                std::thread::park();
            }
        });
        let began = Instant::now();
        while self.try_sql("postgres", "SELECT 1").is_none() {
            assert!(began.elapsed() < START_TIMEOUT, "the server does not start");
            std::thread::yield_now();
        }
    }

    /// Ends the server. `mode` is `fast` or `immediate`.
    pub fn stop(&self, mode: &str) {
        let stopped = as_postgres(&self.programs.join("pg_ctl"))
            .args(["stop", "-w", "-m", mode, "-D"])
            .arg(self.folder.join("data"))
            .output()
            .unwrap();
        assert!(stopped.status.success(), "{stopped:?}");
    }

    /// Lets the server use TLS with this certificate and key (PEM), also instead of earlier ones.
    pub fn use_tls(&self, certificate: &str, key: &str) {
        for (name, pem) in [("server.crt", certificate), ("server.key", key)] {
            let file = self.folder.join("data").join(name);
            fs::write(&file, pem).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            give_to_postgres(&file);
        }
        let loaded = || self.sql("postgres", "SELECT pg_conf_load_time()");
        let before = loaded();
        self.sql("postgres", "ALTER SYSTEM SET ssl = on");
        self.sql("postgres", "SELECT pg_reload_conf()");
        let began = Instant::now();
        while loaded() == before {
            assert!(began.elapsed() < START_TIMEOUT, "no reload");
            std::thread::yield_now();
        }
    }

    /// Creates a database without tables; returns its name.
    pub fn new_database(&self) -> String {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        let name = format!("test{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        name
    }

    /// The URL of a database, through the server's socket.
    pub fn url(&self, database: &str) -> String {
        let (folder, port) = (self.folder.display(), self.port);
        format!("postgresql://postgres@/{database}?host={folder}&port={port}")
    }

    /// The URL of a database, over loopback.
    pub fn tcp_url(&self, database: &str) -> String {
        format!("postgresql://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Runs statements; returns the rows, one per line.
    pub fn sql(&self, database: &str, statements: &str) -> String {
        let rows = self.try_sql(database, statements);
        rows.unwrap_or_else(|| panic!("{statements} failed"))
    }

    fn try_sql(&self, database: &str, statements: &str) -> Option<String> {
        let output = Command::new(self.programs.join("psql"))
            .args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-h"])
            .arg(&self.folder)
            .args([
                "-p",
                &self.port.to_string(),
                "-d",
                database,
                "-c",
                statements,
            ])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success().then_some(text)
    }
}

/// Creates the folder, and removes those of processes that have ended.
fn new_folder(parent: &Path) -> PathBuf {
    for entry in fs::read_dir(parent).unwrap().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if let Some(id) = name.strip_prefix(FOLDER_PREFIX)
            && let Some((pid, _)) = id.split_once('-')
            && !Path::new("/proc").join(pid).exists()
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    let (pid, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let folder = parent.join(format!("{FOLDER_PREFIX}{pid}-{number}"));
    fs::create_dir(&folder).unwrap();
    give_to_postgres(&folder);
    folder
}

/// Makes the user of [`as_postgres`] the owner.
fn give_to_postgres(path: &Path) {
    if is_root() {
        let owned = Command::new("chown").arg("postgres").arg(path).status();
        assert!(owned.unwrap().success());
    }
}

/// A PgBouncer in transaction mode with two connections to a server. It ends with the thread that started it.
pub struct PgBouncer {
    child: std::process::Child,
    port: u16,
}

impl PgBouncer {
    /// None if it is not installed.
    pub fn start(server: &PostgresServer) -> Option<PgBouncer> {
        let program = Path::new("/usr/sbin/pgbouncer");
        if !program.exists() {
            skipped("PgBouncer is not installed");
            return None;
        }
        let port = free_port();
        let settings = server.folder.join(format!("pgbouncer-{port}.ini"));
        let (folder, server_port) = (server.folder.display(), server.port);
        let text = format!(
            "[databases]\n* = host={folder} port={server_port} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\n\
             default_pool_size = 2\nmax_client_conn = 200\nlogfile =\n"
        );
        fs::write(&settings, text).unwrap();
        let mut command = as_postgres(program);
        let log = fs::File::create(server.folder.join("pgbouncer.log")).unwrap();
        command.arg(&settings).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().unwrap();
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < START_TIMEOUT, "PgBouncer does not start");
            std::thread::yield_now();
        }
        Some(PgBouncer { child, port })
    }

    pub fn url(&self, database: &str) -> String {
        let port = self.port;
        format!("postgresql://postgres@127.0.0.1:{port}/{database}")
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
