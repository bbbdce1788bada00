//! The listener behind TLS, as clients that speak it see it, and as those do that do not.

use std::io::ErrorKind;

use super::super::Tls;
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

    fn listener(&self, script: &str) -> TestListener {
        listener_set_up(script, |setup| setup.tls = Some(self.tls()))
    }

    fn connect(&self, listener: &Listener) -> StreamOwned<ClientConnection, TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        self.connect_trusting(listener, roots)
    }

    fn connect_trusting(
        &self,
        listener: &Listener,
        roots: RootCertStore,
    ) -> StreamOwned<ClientConnection, TcpStream> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TcpStream::connect(listener.addr()).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        StreamOwned::new(
            ClientConnection::new(Arc::new(config), name).unwrap(),
            stream,
        )
    }
}

/// All bytes until the closing message of TLS, without which reading fails.
fn until_told_the_end(client: &mut impl Read) -> String {
    let mut response = Vec::new();
    client.read_to_end(&mut response).unwrap();
    String::from_utf8(response).unwrap()
}

#[test]
fn tls_requests_are_captured_exactly() {
    let certified = Certified::new();
    let listener = certified.listener("202");
    assert!(listener.url().starts_with("https://127.0.0.1:"));
    let mut client = certified.connect(&listener);
    let sent = b"POST /x HTTP/1.1\r\nx-ODD: 1\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc";
    client.write_all(sent).unwrap();
    let response = until_told_the_end(&mut client);
    assert!(
        response.starts_with("HTTP/1.1 202 ") && response.ends_with("ok"),
        "{response}"
    );
    let capture = captured(&listener);
    assert_eq!([capture.head, capture.body].concat(), sent);
    assert!(!capture.malformed);
    // What hyper refuses is refused in the same way.
    let mut client = certified.connect(&listener);
    client.write_all(b"nonsense\r\n\r\n").unwrap();
    assert!(until_told_the_end(&mut client).starts_with("HTTP/1.1 400 "));
    assert_eq!(
        (
            captured(&listener).head.as_slice(),
            listener.try_captured().is_err()
        ),
        (&b"nonsense\r\n\r\n"[..], true)
    );
}

#[test]
fn a_plain_request_to_a_tls_port_is_400_and_captured() {
    let listener = Certified::new().listener("200");
    let head = "POST /hook HTTP/1.1\r\nContent-Length: 3\r\n\r\n";
    let mut client = Client::sending(&listener, format!("{head}abc"));
    let response = client.response();
    assert_eq!(
        (response.status, response.body.as_str()),
        (400, "this port expects TLS: use https\n")
    );
    let capture = captured(&listener);
    assert_eq!(
        (capture.head.as_slice(), capture.body.as_slice()),
        (head.as_bytes(), &b"abc"[..])
    );
    assert_eq!(
        (capture.malformed, capture.response_status),
        (true, Some(400))
    );
    assert_eq!(client.until_closed().unwrap(), b"");
}

#[test]
fn a_failed_handshake_is_captured() {
    let certified = Certified::new();
    let listener = certified.listener("200");
    // A client that does not trust the certificate.
    let mut client = certified.connect_trusting(&listener, RootCertStore::empty());
    assert_eq!(
        client
            .write_all(b"GET / HTTP/1.1\r\n\r\n")
            .unwrap_err()
            .kind(),
        ErrorKind::InvalidData
    );
    drop(client);
    let capture = captured(&listener);
    assert_eq!(
        (capture.head[0], capture.malformed, capture.response_status),
        (0x16, true, None)
    );
    // One that sends a record of nonsense, and one that goes away.
    let nonsense = b"\x16\x03\x01\x00\x05hello";
    let mut client = Client::sending(&listener, nonsense);
    client.until_closed().unwrap();
    assert_eq!(captured(&listener).head, nonsense);
    drop(Client::sending(&listener, b"\x16\x03\x01\x02"));
    assert_eq!(captured(&listener).head, b"\x16\x03\x01\x02");
    drop(Client::connect(&listener));
    assert_eq!(
        Client::sending(&listener, "GET / HTTP/1.1\r\n\r\n")
            .response()
            .status,
        400
    );
    assert_eq!(captured(&listener).target, "/", "silence is not captured");
}

#[test]
fn a_handshake_has_a_deadline() {
    let certified = Certified::new();
    let mut listener = listener_set_up("200", |setup| {
        setup.tls = Some(certified.tls());
        setup.limits.head_deadline = Duration::from_millis(50);
    });
    assert_eq!(
        Client::sending(&listener, b"\x16\x03\x01")
            .until_closed()
            .unwrap(),
        b""
    );
    assert_eq!(captured(&listener).head, b"\x16\x03\x01");
    listener.stop();
}

#[test]
fn an_interrupted_handshake_is_captured() {
    let certified = Certified::new();
    let mut listener = listener_set_up("200", |setup| {
        setup.tls = Some(certified.tls());
        setup.limits.connections = 2;
    });
    // For others, who want its seat, ...
    let mut halves =
        [b"\x16\x03\x01", b"\x16\x03\x02"].map(|half| Client::sending(&listener, half));
    assert_eq!(
        Client::sending(&listener, "GET / HTTP/1.1\r\n\r\n")
            .response()
            .status,
        400
    );
    let captures = [captured(&listener), captured(&listener)];
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
        Some("the client was silent and its connection was needed")
    );
    assert_eq!(halves[0].until_closed().unwrap(), b"");
    // ... and by the stop.
    listener.stop();
    let half = captured(&listener);
    assert_eq!(
        (half.head.as_slice(), half.malformed),
        (&b"\x16\x03\x02"[..], true)
    );
    assert_eq!(
        half.note.as_deref(),
        Some("the listener stopped during the TLS handshake")
    );
    assert!(halves[1].until_closed().is_ok_and(|rest| rest.is_empty()));
}

#[test]
fn a_tls_client_that_does_not_read_is_disconnected() {
    let certified = Certified::new();
    let listener = listener_set_up("200", |setup| {
        setup.tls = Some(certified.tls());
        setup.response_body = Some(vec![b'x'; 4 << 20]);
        setup.limits.head_deadline = Duration::from_secs(1);
    });
    let mut client = certified.connect(&listener);
    client
        .write_all(b"GET /first HTTP/1.1\r\n\r\nGET /second HTTP/1.1\r\n\r\n")
        .unwrap();
    assert_eq!(captured(&listener).target, "/first");
    assert_eq!(
        captured(&listener).note.as_deref(),
        Some("the client did not read the response before it")
    );
}

#[test]
fn unusable_certificates_are_errors_with_the_file() {
    let (one, other) = (Certified::new(), Certified::new());
    let file = |of: &Certified, name: &str| of.folder.path().join(name);
    let encrypted = file(&one, "encrypted.pem");
    let pem = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    std::fs::write(&encrypted, pem).unwrap();
    for (cert, key, expected) in [
        (
            file(&one, "none.pem"),
            file(&one, "key.pem"),
            "cannot read a certificate in",
        ),
        (
            file(&one, "key.pem"),
            file(&one, "key.pem"),
            "does not contain a certificate in PEM format",
        ),
        (
            file(&one, "cert.pem"),
            file(&one, "cert.pem"),
            "does not contain a private key in PEM format",
        ),
        (
            file(&one, "cert.pem"),
            file(&other, "key.pem"),
            "cannot be used with the key in",
        ),
        (file(&one, "cert.pem"), encrypted, "is encrypted"),
    ] {
        let error = Tls::load(&cert, &key).err().unwrap();
        assert!(error.to_string().contains(expected), "{error:?}");
    }
}
