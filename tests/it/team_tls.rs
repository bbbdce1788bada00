//! A journal in PostgreSQL over TLS: what is not verified is refused, and nothing is sent there.

use crate::support::postgres::{PostgresServer, postgres_server};
use crate::support::proxy::Proxy;
use crate::support::{Outcome, Server, TestEnv};
use crate::team::{fire, on};
use crate::tls::server::{Authority, Identity, self_signed};

const PASSWORD: &str = "CANARY-PW";
const NAMES: &[&str] = &["localhost", "127.0.0.1"];

/// A server with a database, whose certificate can be changed.
struct Encrypted {
    server: PostgresServer,
    database: String,
    env: TestEnv,
    authority: Authority,
}

impl Encrypted {
    fn start() -> Option<Encrypted> {
        let server = PostgresServer::start_another()?;
        let database = server.new_database();
        let mut env = on(&server.url(&database));
        env.set("PGPASSWORD", PASSWORD);
        let authority = Authority::new();
        env.write_file("ca.pem", &authority.pem);
        env.write_file("other.pem", Authority::new().pem);
        env.write_file("own.pem", self_signed(NAMES).certificate_pem);
        Some(Encrypted {
            server,
            database,
            env,
            authority,
        })
    }

    fn present(&self, identity: &Identity) {
        self.server
            .use_tls(&identity.certificate_pem, &identity.key_pem);
    }

    /// Fires through a proxy that connects to this server.
    fn fire(&self, (host, mode, authority): (&str, &str, &str)) -> (Outcome, Proxy, Server) {
        let proxy = Proxy::to(self.server.port);
        let (port, database) = (proxy.port, &self.database);
        let authority = self.env.work_dir().join(authority);
        let journal = format!(
            "postgresql://postgres@{host}:{port}/{database}?sslmode={mode}&sslrootcert={}",
            authority.display()
        );
        let endpoint = Server::script(vec![crate::support::respond(200)]).lenient();
        let fired = self
            .env
            .hookfire(fire(&endpoint.url(), &["-vv"]))
            .env("HOOKFIRE_JOURNAL", journal)
            .run();
        (fired, proxy, endpoint)
    }

    fn delivered(&self, how: (&str, &str, &str)) {
        let (fired, proxy, endpoint) = self.fire(how);
        fired.assert_code(0);
        assert_eq!(endpoint.connections(), 1);
        self.assert_encrypted(&proxy);
    }

    /// Returns the error without the URL.
    fn refused(&self, how: (&str, &str, &str)) -> String {
        let (fired, proxy, endpoint) = self.fire(how);
        let fired = fired.assert_code(6);
        assert_eq!(endpoint.connections(), 0);
        self.assert_encrypted(&proxy);
        self.env.assert_nowhere(PASSWORD, &[&fired]);
        let (_, problem) = fired.stderr().split_once("` ").unwrap();
        problem.lines().next().unwrap().to_owned()
    }

    /// The name of the database is sent in the first message after the handshake.
    fn assert_encrypted(&self, proxy: &Proxy) {
        let sent = proxy.sent();
        let sent = String::from_utf8_lossy(&sent);
        for secret in [&self.database, PASSWORD] {
            assert!(!sent.contains(secret), "{sent}");
        }
    }
}

#[test]
fn only_a_verified_server_gets_anything() {
    let Some(encrypted) = Encrypted::start() else {
        return;
    };
    let verified = ("localhost", "verify-full", "ca.pem");
    // Exactly the question for TLS was sent.
    let (_, proxy, _) = encrypted.fire(verified);
    assert_eq!(proxy.sent(), [0, 0, 0, 8, 4, 210, 22, 47]);
    for mode in ["verify-full", "require"] {
        let problem = encrypted.refused(("localhost", mode, "ca.pem"));
        assert_eq!(problem, "cannot be used: the server does not support TLS");
    }

    encrypted.present(&encrypted.authority.sign(NAMES));
    encrypted.delivered(verified);
    encrypted.delivered(("127.0.0.1", "verify-full", "ca.pem"));
    encrypted.delivered(("localhost", "require", "other.pem"));
    let problem = encrypted.refused(("localhost", "verify-full", "other.pem"));
    assert_eq!(
        problem,
        "cannot be used: the certificate's issuer is not trusted: a trusted one has the same name, but another key"
    );
    let problem = encrypted.refused(("localhost", "verify-full", "own.pem"));
    assert_eq!(
        problem,
        "cannot be used: the certificate's issuer is not trusted"
    );
    let problem = encrypted.refused(("localhost", "verify-full", "missing.pem"));
    assert!(problem.contains("missing.pem"), "{problem}");

    encrypted.present(&encrypted.authority.sign(&["db.example.com"]));
    assert_eq!(
        encrypted.refused(verified),
        "cannot be used: the certificate is for another host: db.example.com"
    );

    let expired = encrypted.authority.sign_with(NAMES, |params| {
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    encrypted.present(&expired);
    assert_eq!(
        encrypted.refused(verified),
        "cannot be used: the certificate has expired"
    );
    encrypted.server.stop("fast");
}

/// The certificates of the system are trusted, unless the URL names others.
#[test]
fn the_certificates_of_the_system_are_trusted() {
    if postgres_server().is_none() {
        return;
    }
    let Some(encrypted) = Encrypted::start() else {
        return;
    };
    encrypted.present(&encrypted.authority.sign(NAMES));
    let (port, name) = (encrypted.server.port, &encrypted.database);
    let journal = format!("postgresql://postgres@localhost:{port}/{name}?sslmode=verify-full");
    let check = |file: &str| {
        encrypted
            .env
            .hookfire(["journal", "check"])
            .env("HOOKFIRE_JOURNAL", &journal)
            .env("SSL_CERT_FILE", encrypted.env.work_dir().join(file))
            .run()
    };
    check("ca.pem").assert_code(0);
    check("other.pem").assert_code(6);
    encrypted.server.stop("fast");
}
