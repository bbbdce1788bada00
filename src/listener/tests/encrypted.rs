//! The catcher behind TLS, as clients that speak it see it, and as those do that do not.

use std::io::ErrorKind;

use super::super::Tls;
use super::super::tls::TlsError;
use super::*;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

struct Certified {
    folder: tempfile::TempDir,
    root: CertificateDer<'static>,
}

impl Certified {
    fn new() -> Certified {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(
            folder.path().join("key.pem"),
            made.signing_key.serialize_pem(),
        )
        .unwrap();
        Certified {
            folder,
            root: made.cert.der().clone(),
        }
    }

    fn tls(&self) -> Tls {
        Tls::load(
            &self.folder.path().join("cert.pem"),
            &self.folder.path().join("key.pem"),
        )
        .unwrap()
    }

    fn catcher(&self, script: &str) -> TestCatcher {
        catcher_set_up(script, |setup| setup.tls = Some(self.tls()))
    }

    fn connect(&self, catcher: &Catcher) -> StreamOwned<ClientConnection, TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        self.connect_trusting(catcher, roots)
    }

    fn connect_trusting(
        &self,
        catcher: &Catcher,
        roots: RootCertStore,
    ) -> StreamOwned<ClientConnection, TcpStream> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TcpStream::connect(catcher.addr()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        StreamOwned::new(
            ClientConnection::new(Arc::new(config), name).unwrap(),
            stream,
        )
    }
}

/// The whole of what is answered until the end, which is told: without its last word, reading fails.
fn until_told_the_end(client: &mut impl Read) -> String {
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

#[test]
fn requests_come_out_of_tls_byte_for_byte() {
    let certified = Certified::new();
    let catcher = certified.catcher("202");
    assert!(catcher.url().starts_with("https://127.0.0.1:"));
    let mut client = certified.connect(&catcher);
    let sent = b"POST /x HTTP/1.1\r\nx-ODD: 1\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc";
    client.write_all(sent).unwrap();
    let answer = until_told_the_end(&mut client);
    assert!(
        answer.starts_with("HTTP/1.1 202 ") && answer.ends_with("ok"),
        "{answer}"
    );
    let capture = caught(&catcher);
    assert_eq!([capture.head, capture.body].concat(), sent);
    assert!(!capture.malformed);
    // What hyper refuses is refused in the same way.
    let mut client = certified.connect(&catcher);
    client.write_all(b"nonsense\r\n\r\n").unwrap();
    assert!(until_told_the_end(&mut client).starts_with("HTTP/1.1 400 "));
    assert_eq!(
        (
            caught(&catcher).head.as_slice(),
            catcher.try_caught().is_err()
        ),
        (&b"nonsense\r\n\r\n"[..], true)
    );
}

#[test]
fn a_plain_request_is_told_so_and_kept_whole() {
    let catcher = Certified::new().catcher("200");
    let head = "POST /hook HTTP/1.1\r\nContent-Length: 3\r\n\r\n";
    let mut client = Client::sending(&catcher, format!("{head}abc"));
    let answer = client.answer();
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (400, "this port speaks TLS: use https\n")
    );
    let capture = caught(&catcher);
    assert_eq!(
        (capture.head.as_slice(), capture.body.as_slice()),
        (head.as_bytes(), &b"abc"[..])
    );
    assert_eq!(
        (capture.malformed, capture.answer_status),
        (true, Some(400))
    );
    assert_eq!(client.until_closed().unwrap(), b"");
}

#[test]
fn a_handshake_that_fails_leaves_its_bytes() {
    let certified = Certified::new();
    let catcher = certified.catcher("200");
    // A client that does not trust the certificate.
    let mut client = certified.connect_trusting(&catcher, RootCertStore::empty());
    assert_eq!(
        client
            .write_all(b"GET / HTTP/1.1\r\n\r\n")
            .unwrap_err()
            .kind(),
        ErrorKind::InvalidData
    );
    drop(client);
    let capture = caught(&catcher);
    assert_eq!(
        (capture.head[0], capture.malformed, capture.answer_status),
        (0x16, true, None)
    );
    // One that sends a record of nonsense, and one that goes away.
    let nonsense = b"\x16\x03\x01\x00\x05hello";
    let mut client = Client::sending(&catcher, nonsense);
    client.until_closed().unwrap();
    assert_eq!(caught(&catcher).head, nonsense);
    drop(Client::sending(&catcher, b"\x16\x03\x01\x02"));
    assert_eq!(caught(&catcher).head, b"\x16\x03\x01\x02");
    drop(Client::connect(&catcher));
    assert_eq!(
        Client::sending(&catcher, "GET / HTTP/1.1\r\n\r\n")
            .answer()
            .status,
        400
    );
    assert_eq!(
        caught(&catcher).target,
        "/",
        "who says nothing is no request"
    );
}

#[test]
fn a_handshake_has_a_deadline() {
    let certified = Certified::new();
    let mut catcher = catcher_set_up("200", |setup| {
        setup.tls = Some(certified.tls());
        setup.limits.head_deadline = Duration::from_millis(50);
    });
    assert_eq!(
        Client::sending(&catcher, b"\x16\x03\x01")
            .until_closed()
            .unwrap(),
        b""
    );
    assert_eq!(caught(&catcher).head, b"\x16\x03\x01");
    catcher.stop();
}

#[test]
fn a_handshake_that_is_cut_off_leaves_its_bytes() {
    let certified = Certified::new();
    let mut catcher = catcher_set_up("200", |setup| {
        setup.tls = Some(certified.tls());
        setup.limits.connections = 2;
    });
    // For others, who want its seat, ...
    let mut halves = [b"\x16\x03\x01", b"\x16\x03\x02"].map(|half| Client::sending(&catcher, half));
    assert_eq!(
        Client::sending(&catcher, "GET / HTTP/1.1\r\n\r\n")
            .answer()
            .status,
        400
    );
    let captures = [caught(&catcher), caught(&catcher)];
    let half = captures
        .iter()
        .find(|capture| capture.target.is_empty())
        .unwrap();
    assert_eq!(
        (half.head.as_slice(), half.malformed),
        (&b"\x16\x03\x01"[..], true)
    );
    assert_eq!(
        half.note.as_deref(),
        Some("its client was silent while others wanted its place")
    );
    assert_eq!(halves[0].until_closed().unwrap(), b"");
    // ... and by the stop.
    catcher.stop();
    let half = caught(&catcher);
    assert_eq!(
        (half.head.as_slice(), half.malformed),
        (&b"\x16\x03\x02"[..], true)
    );
    assert_eq!(
        half.note.as_deref(),
        Some("the listener ended before TLS was agreed on with its client")
    );
    assert!(halves[1].until_closed().is_ok_and(|rest| rest.is_empty()));
}

#[test]
fn a_client_that_does_not_read_is_given_up() {
    let certified = Certified::new();
    let catcher = catcher_set_up("200", |setup| {
        setup.tls = Some(certified.tls());
        setup.response_body = Some(vec![b'x'; 4 << 20]);
        setup.limits.head_deadline = Duration::from_secs(1);
    });
    let mut client = certified.connect(&catcher);
    client
        .write_all(b"GET /first HTTP/1.1\r\n\r\nGET /second HTTP/1.1\r\n\r\n")
        .unwrap();
    assert_eq!(caught(&catcher).target, "/first");
    assert_eq!(
        caught(&catcher).note.as_deref(),
        Some("its client did not take the answer before it")
    );
}

#[test]
fn what_cannot_be_used_is_said_with_its_file() {
    let (one, other) = (Certified::new(), Certified::new());
    let file = |of: &Certified, name: &str| of.folder.path().join(name);
    let missing = Tls::load(&file(&one, "none.pem"), &file(&one, "key.pem")).unwrap_err();
    assert!(
        matches!(
            missing,
            TlsError::Pem {
                what: "a certificate",
                ..
            }
        ),
        "{missing:?}"
    );
    let swapped = Tls::load(&file(&one, "key.pem"), &file(&one, "key.pem")).unwrap_err();
    assert!(matches!(swapped, TlsError::Empty(_)), "{swapped:?}");
    let no_key = Tls::load(&file(&one, "cert.pem"), &file(&one, "cert.pem")).unwrap_err();
    assert!(
        matches!(
            no_key,
            TlsError::Pem {
                what: "a private key",
                ..
            }
        ),
        "{no_key:?}"
    );
    let strangers = Tls::load(&file(&one, "cert.pem"), &file(&other, "key.pem")).unwrap_err();
    assert!(
        matches!(strangers, TlsError::Unusable { .. }),
        "{strangers:?}"
    );
}
