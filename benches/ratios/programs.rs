//! The programs that hookfire is compared with, and the nginx endpoint that all of them send to.
//!
//! Missing programs are installed with apt-get when this runs as root on Debian, and are an error elsewhere. xh is optional:
//! only newer Debian releases package it.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::BenchError;
use crate::runs::Running;

/// The path of each program.
pub struct Programs {
    pub curl: String,
    pub wrk: String,
    pub xargs: String,
    /// GNU time, which reports peak memory.
    pub gnu_time: String,
    pub xh: Option<String>,
    nginx: String,
}

impl Programs {
    /// Finds the programs; installs the missing ones if possible.
    pub fn find() -> Result<Programs, BenchError> {
        let (curl, wrk, nginx) = (
            program("curl", "curl")?,
            program("wrk", "wrk")?,
            program("nginx", "nginx-light")?,
        );
        let (gnu_time, xargs) = (program("time", "time")?, program("xargs", "findutils")?);
        let xh = if shell("apt-cache show xh") {
            program("xh", "xh").ok()
        } else {
            found("xh")
        };
        Ok(Programs {
            curl,
            wrk,
            xargs,
            gnu_time,
            xh,
            nginx,
        })
    }

    /// Starts nginx, which responds 200 to every request and stores nothing. One worker, because the listener has one
    /// thread for its connections.
    pub fn serve(&self, folder: &Path) -> Result<Endpoint, BenchError> {
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

    /// Requests per second that wrk completes: POSTs of `body` over `connections` kept-alive connections.
    pub fn wrk(
        &self,
        folder: &Path,
        connections: usize,
        seconds: u32,
        url: &str,
        body: &str,
    ) -> Result<f64, BenchError> {
        let load = folder.join("load.lua");
        fs::write(&load, lua_request(body))?;
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
            return Err(format!("not every response was 200:\n{text}").into());
        }
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("Requests/sec:"));
        Ok(line
            .ok_or_else(|| format!("no rate in the output of wrk:\n{text}"))?
            .trim()
            .parse()?)
    }
}

/// The nginx endpoint.
pub struct Endpoint {
    pub http: String,
    pub https: String,
    /// The certificate of the CA that signed the endpoint's certificate.
    pub authority: PathBuf,
    _running: Running,
}

/// The path of a program, installed first if necessary.
fn program(name: &str, package: &str) -> Result<String, BenchError> {
    if found(name).is_none() {
        shell(&format!(
            "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends {package}"
        ));
    }
    found(name).ok_or_else(|| format!("{name} is not installed, and installing it failed").into())
}

/// The path of an installed program.
fn found(name: &str) -> Option<String> {
    let folders = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"];
    folders
        .into_iter()
        .map(|folder| format!("{folder}/{name}"))
        .find(|path| Path::new(path).is_file())
}

/// Runs a shell script; whether it succeeded.
fn shell(script: &str) -> bool {
    let mut sh = Command::new("sh");
    sh.args(["-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    sh.status().is_ok_and(|status| status.success())
}

fn free_port() -> Result<u16, BenchError> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Writes a certificate for 127.0.0.1 with its key, and returns the file of the CA certificate.
fn certify(folder: &Path) -> Result<PathBuf, BenchError> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // With equal names curl would take the leaf certificate for a self-signed one.
    params
        .distinguished_name
        .push(DnType::CommonName, "benchmark CA");
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

/// The script that makes wrk POST `body`.
fn lua_request(body: &str) -> String {
    format!(
        "wrk.method = \"POST\"\nwrk.headers[\"Content-Type\"] = \"application/xml\"\nwrk.body = [[{body}]]\n"
    )
}
