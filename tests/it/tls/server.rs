//! A TLS server on loopback with generated certificates, which responds with 200 to one request per connection, and a
//! proxy that tunnels to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    RootCertStore, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion,
};

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pub pem: String,
}

pub struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    pub certificate_pem: String,
    pub key_pem: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "the test's own authority");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let (der, pem) = (certificate.der().clone(), certificate.pem());
        Self {
            issuer: Issuer::new(params, key),
            certificate: der,
            pem,
        }
    }

    /// Creates a certificate for these names or addresses.
    pub fn sign(&self, names: &[&str]) -> Identity {
        self.sign_with(names, |_| {})
    }

    pub fn sign_with(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Identity {
        let mut params = params_for(names);
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        identity(
            &params.signed_by(&key, &self.issuer).expect("a certificate"),
            &key,
        )
    }
}

/// Creates a self-signed certificate.
pub fn self_signed(names: &[&str]) -> Identity {
    let key = KeyPair::generate().expect("a key");
    identity(
        &params_for(names).self_signed(&key).expect("a certificate"),
        &key,
    )
}

/// Creates a self-signed certificate that is marked as an authority's, valid until the end of this year.
pub fn self_signed_authority(names: &[&str], until: i32) -> Identity {
    let mut params = params_for(names);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_after = rcgen::date_time_ymd(until, 12, 31);
    let key = KeyPair::generate().expect("a key");
    identity(&params.self_signed(&key).expect("a certificate"), &key)
}

fn params_for(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    CertificateParams::new(names).expect("names that a certificate can hold")
}

fn identity(certificate: &rcgen::Certificate, key: &KeyPair) -> Identity {
    Identity {
        certificate: certificate.der().clone(),
        key: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        certificate_pem: certificate.pem(),
        key_pem: key.serialize_pem(),
    }
}

/// Options of a server.
#[derive(Default)]
pub struct OutputOptions<'a> {
    /// Require a client certificate of this authority.
    pub clients_of: Option<&'a Authority>,
    /// Support only these versions.
    pub versions: Option<&'static [&'static SupportedProtocolVersion]>,
    /// Send plain bytes into the encrypted stream instead of a response.
    pub breaks_off: bool,
    /// Body of the responses, `ok` by default.
    pub body: Option<&'static str>,
}

/// A proxy that tunnels every connection to one server, regardless of the requested name, and records the traffic.
pub struct Tunnel {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<u8>>>,
    stopping: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl Tunnel {
    pub fn to(server: &TlsServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on loopback");
        let address = listener.local_addr().expect("the port just bound");
        let (seen, stopping) = (
            Arc::new(Mutex::new(Vec::new())),
            Arc::new(AtomicBool::new(false)),
        );
        let acceptor = std::thread::spawn({
            let (seen, stopping, server) =
                (Arc::clone(&seen), Arc::clone(&stopping), server.address);
            move || {
                for client in listener.incoming().flatten() {
                    if stopping.load(Ordering::SeqCst) {
                        break;
                    }
                    // An error ends the tunnel; the client reports it.
                    let _ = tunnel(client, server, &seen);
                }
            }
        });
        Self {
            address,
            seen,
            stopping,
            acceptor: Some(acceptor),
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All bytes in both directions, as text.
    pub fn seen(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().expect("a lock")).into_owned()
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.join().ok();
        }
    }
}

fn tunnel(mut client: TcpStream, server: SocketAddr, seen: &Mutex<Vec<u8>>) -> std::io::Result<()> {
    client.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.extend(byte);
    }
    seen.lock().expect("a lock").extend(head);
    let mut server = TcpStream::connect(server)?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    let (mut to_server, mut from_client) = (server.try_clone()?, client.try_clone()?);
    std::thread::scope(|scope| {
        scope.spawn(|| pass_on(&mut from_client, &mut to_server, seen));
        pass_on(&mut server, &mut client, seen);
    });
    Ok(())
}

/// Copies until one side ends, then ends the other.
fn pass_on(from: &mut TcpStream, to: &mut TcpStream, seen: &Mutex<Vec<u8>>) {
    let mut piece = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut piece) {
        seen.lock().expect("a lock").extend(&piece[..read]);
        if to.write_all(&piece[..read]).is_err() {
            break;
        }
    }
    to.shutdown(Shutdown::Both).ok();
}

pub struct TlsServer {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
    last_head: Arc<Mutex<String>>,
    stopping: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl TlsServer {
    pub fn start(identity: &Identity, manner: &OutputOptions) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = manner.versions.unwrap_or(rustls::DEFAULT_VERSIONS);
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .expect("versions that ring speaks");
        let builder = match manner.clients_of {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots
                    .add(authority.certificate.clone())
                    .expect("an authority");
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.expect("a verifier"))
            }
        };
        let config = builder
            .with_single_cert(vec![identity.certificate.clone()], identity.key.clone_key())
            .expect("a certificate with its key");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on loopback");
        let address = listener.local_addr().expect("the port just bound");
        let (requests, stopping) = (
            Arc::new(AtomicUsize::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let last_head = Arc::new(Mutex::new(String::new()));
        let (breaks_off, body) = (manner.breaks_off, manner.body.unwrap_or("ok"));
        let acceptor = std::thread::spawn({
            let (requests, stopping, config) = (
                Arc::clone(&requests),
                Arc::clone(&stopping),
                Arc::new(config),
            );
            let last_head = Arc::clone(&last_head);
            move || {
                for stream in listener.incoming().flatten() {
                    if stopping.load(Ordering::SeqCst) {
                        break;
                    }
                    // The tests look at errors in the client.
                    if let Ok(head) = serve(stream, &config, (breaks_off, body), &requests) {
                        *last_head.lock().expect("a lock") = head;
                    }
                }
            }
        });
        Self {
            address,
            requests,
            last_head,
            stopping,
            acceptor: Some(acceptor),
        }
    }

    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Number of complete requests after a finished handshake.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Head of the last request with a response.
    pub fn last_head(&self) -> String {
        self.last_head.lock().expect("a lock").clone()
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.join().ok();
        }
    }
}

fn serve(
    stream: TcpStream,
    config: &Arc<ServerConfig>,
    (breaks_off, body): (bool, &str),
    requests: &AtomicUsize,
) -> std::io::Result<String> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let connection = ServerConnection::new(Arc::clone(config)).map_err(std::io::Error::other)?;
    let mut reader = BufReader::new(StreamOwned::new(connection, stream));
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let start = head.len();
        if reader.read_line(&mut head)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let line = head[start..].trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(std::io::Error::other)?;
        }
        if line.is_empty() {
            break;
        }
    }
    reader.read_exact(&mut vec![0; length])?;
    requests.fetch_add(1, Ordering::SeqCst);
    let mut stream = reader.into_inner();
    if breaks_off {
        stream.sock.write_all(
            b"this is not TLS any more, and no more than a broken pipe's worth of words\r\n",
        )?;
        return Ok(head);
    }
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    stream.conn.send_close_notify();
    stream.flush()?;
    Ok(head)
}
