//! The programs that hookfire is measured beside, and the endpoint that all of them send to.
//!
//! What is missing is installed from Debian where this runs as root, and is an error elsewhere, but for xh, which only newer
//! releases of Debian have.

use std::fmt::Write as _;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::runs::Running;
use crate::{Failure, event_numbered};

/// Where each program is.
pub struct Rivals {
    pub curl: String,
    pub wrk: String,
    pub xargs: String,
    /// GNU time.
    pub time: String,
    pub xh: Option<String>,
    nginx: String,
}

impl Rivals {
    /// All of them, installed if they must be and can be.
    pub fn find() -> Result<Rivals, Failure> {
        let (curl, wrk, nginx) = (
            program("curl", "curl")?,
            program("wrk", "wrk")?,
            program("nginx", "nginx-light")?,
        );
        let (time, xargs) = (program("time", "time")?, program("xargs", "findutils")?);
        let xh = if shell("apt-cache show xh") {
            program("xh", "xh").ok()
        } else {
            found("xh")
        };
        Ok(Rivals {
            curl,
            wrk,
            xargs,
            time,
            xh,
            nginx,
        })
    }

    /// nginx, answering every request with 200 and storing nothing: one worker, as the catcher has one thread for its
    /// connections.
    pub fn serve(&self, folder: &Path) -> Result<Endpoint, Failure> {
        let (plain, tls) = (free_port()?, free_port()?);
        let authority = certify(folder)?;
        let folder_name = folder.display();
        let conf = folder.join("nginx.conf");
        fs::write(
            &conf,
            format!(
                "daemon off; master_process off; worker_processes 1; pid {folder_name}/nginx.pid;\n\
                 error_log {folder_name}/error.log crit;\nevents {{}}\nhttp {{\n  access_log off;\n  \
                 keepalive_requests 100000000;\n  client_body_temp_path {folder_name}/body;\n  server {{\n    \
                 listen 127.0.0.1:{plain};\n    listen 127.0.0.1:{tls} ssl;\n    \
                 ssl_certificate {folder_name}/leaf.pem;\n    ssl_certificate_key {folder_name}/leaf.key;\n    \
                 location / {{ return 200 \"ok\"; }}\n  }}\n}}\n"
            ),
        )?;
        let mut nginx = Command::new(&self.nginx);
        let running = Running(
            nginx
                .arg("-c")
                .arg(&conf)
                .arg("-p")
                .arg(folder)
                .stderr(Stdio::null())
                .spawn()?,
        );
        for _ in 0..500 {
            if TcpStream::connect(("127.0.0.1", tls)).is_ok() {
                let (http, https) = (
                    format!("http://127.0.0.1:{plain}/hook"),
                    format!("https://127.0.0.1:{tls}/hook"),
                );
                return Ok(Endpoint {
                    http,
                    https,
                    authority,
                    _running: running,
                });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err("nginx did not listen within five seconds".into())
    }

    /// Requests a second that wrk gets answered: POSTs of an event over so many connections.
    pub fn wrk(
        &self,
        folder: &Path,
        connections: usize,
        seconds: u32,
        url: &str,
    ) -> Result<f64, Failure> {
        let load = folder.join("load.lua");
        fs::write(&load, lua_request())?;
        let mut wrk = Command::new(&self.wrk);
        wrk.args([
            "-t1",
            &format!("-c{connections}"),
            &format!("-d{seconds}s"),
            "-s",
        ])
        .arg(&load)
        .arg(url);
        let text = String::from_utf8_lossy(&wrk.output()?.stdout).into_owned();
        if text.contains("Non-2xx") || text.contains("Socket errors") {
            return Err(format!("not every request was answered 200:\n{text}").into());
        }
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("Requests/sec:"));
        Ok(line
            .ok_or_else(|| format!("wrk said:\n{text}"))?
            .trim()
            .parse()?)
    }
}

/// Where to send.
pub struct Endpoint {
    pub http: String,
    pub https: String,
    /// Who vouches for its certificate.
    pub authority: PathBuf,
    _running: Running,
}

/// The path of a program, installed if it can be.
fn program(name: &str, package: &str) -> Result<String, Failure> {
    if found(name).is_none() {
        shell(&format!(
            "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends {package}"
        ));
    }
    found(name).ok_or_else(|| format!("{name} is not installed, and could not be").into())
}

fn found(name: &str) -> Option<String> {
    let folders = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"];
    folders
        .into_iter()
        .map(|folder| format!("{folder}/{name}"))
        .find(|path| Path::new(path).is_file())
}

fn shell(script: &str) -> bool {
    let mut sh = Command::new("sh");
    sh.args(["-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    sh.status().is_ok_and(|status| status.success())
}

fn free_port() -> Result<u16, Failure> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Writes a certificate for loopback with its key, and returns the file of who signed it.
fn certify(folder: &Path) -> Result<PathBuf, Failure> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Else both have one name, and curl takes the other for self-signed.
    params
        .distinguished_name
        .push(DnType::CommonName, "the benchmark's own authority");
    let key = KeyPair::generate()?;
    let authority = folder.join("authority.pem");
    fs::write(&authority, params.self_signed(&key)?.pem())?;
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate()?;
    let leaf = CertificateParams::new(["127.0.0.1".to_owned()])?.signed_by(&key, &issuer)?;
    fs::write(folder.join("leaf.pem"), leaf.pem())?;
    fs::write(folder.join("leaf.key"), key.serialize_pem())?;
    Ok(authority)
}

/// What wrk sends.
fn lua_request() -> String {
    let mut lua = String::from(
        "wrk.method = \"POST\"\nwrk.headers[\"Content-Type\"] = \"application/xml\"\n",
    );
    let _ = writeln!(lua, "wrk.body = [[{}]]", event_numbered(1));
    lua
}
