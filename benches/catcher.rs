//! The catcher against nginx: requests a second over 16 kept-alive connections, each stored before it is answered, beside
//! nginx answering `return 200` and storing nothing; and what 100,000 captures cost in memory.
//!
//! `cargo bench --bench catcher`. Needs nginx and wrk, and installs them on a Debian machine where it is root. Prints ratios
//! of one run; absolute figures are the machine's.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const CONNECTIONS: &str = "-c16";
const ROUNDS: usize = 3;
const SECONDS: &str = "-d4s";
const CAPTURES: u64 = 100_000;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    if std::env::args().any(|arg| arg == "--test") {
        return Ok(());
    }
    let (nginx, wrk) = (program("nginx")?, program("wrk")?);
    let folder = tempfile::tempdir()?;
    let load = folder.path().join("load.lua");
    fs::write(&load, lua_request())?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        theirs.push(measure_nginx(&nginx, &wrk, folder.path(), &load)?);
        ours.push(measure_listen(&wrk, folder.path(), &load)?);
    }
    let (ours, theirs) = (median(&mut ours), median(&mut theirs));
    let grown = memory_after_captures(&wrk, folder.path(), &load)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "| what | hookfire | nginx | ratio |\n|---|---|---|---|")?;
    writeln!(
        out,
        "| requests a second, 16 connections, hookfire stores each before it answers | {ours:.0} | {theirs:.0} | {:.2} |",
        ours / theirs
    )?;
    writeln!(out, "| memory over start after {CAPTURES} captures | {grown:.1} MB | | |")?;
    Ok(())
}

/// The path of a program, installed if it can be.
fn program(name: &str) -> Result<String, Failure> {
    let found = || {
        let output =
            Command::new("sh").args(["-c", &format!("PATH=$PATH:/usr/sbin command -v {name}")]).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    if let Some(path) = found() {
        return Ok(path);
    }
    let install = "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends";
    Command::new("sh").args(["-c", &format!("{install} {name} >/dev/null 2>&1")]).status()?;
    found().ok_or_else(|| format!("{name} is not installed, and could not be").into())
}

/// What wrk sends: a POST of a 3scale event of the usual size.
fn lua_request() -> String {
    let event = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><event><type>application</type><action>created</action><object>\
                 <application><id>1</id><name>Gold</name><description>An application of a customer</description>\
                 <state>live</state><user_key>0123456789abcdef0123456789abcdef</user_key></application></object></event>";
    let mut lua = String::from("wrk.method = \"POST\"\nwrk.headers[\"Content-Type\"] = \"application/xml\"\n");
    let _ = writeln!(lua, "wrk.body = [[{event}]]");
    lua
}

fn requests_per_second(wrk: &str, url: &str, load: &Path) -> Result<f64, Failure> {
    let output = Command::new(wrk).args(["-t1", CONNECTIONS, SECONDS, "-s"]).arg(load).arg(url).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if text.contains("Non-2xx") || text.contains("Socket errors") {
        return Err(format!("not every request was answered 200:\n{text}").into());
    }
    let line = text.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    Ok(line.ok_or_else(|| format!("wrk said:\n{text}"))?.trim().parse()?)
}

/// A process that ends with its value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn measure_nginx(nginx: &str, wrk: &str, folder: &Path, load: &Path) -> Result<f64, Failure> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let conf = folder.join("nginx.conf");
    // One worker, as the catcher has one thread for its connections.
    fs::write(
        &conf,
        format!(
            "daemon off; master_process off; worker_processes 1; pid {0}/nginx.pid; error_log {0}/error.log crit;\nevents {{}}\nhttp {{\n  \
             access_log off; keepalive_requests 100000000; client_body_temp_path {0}/body;\n  server {{ listen 127.0.0.1:{port}; \
             location / {{ return 200 \"ok\"; }} }}\n}}\n",
            folder.display()
        ),
    )?;
    let child = Command::new(nginx).arg("-c").arg(&conf).arg("-p").arg(folder).stderr(Stdio::null()).spawn()?;
    let _running = Running(child);
    for _ in 0..500 {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    requests_per_second(wrk, &format!("http://127.0.0.1:{port}/hook"), load)
}

/// `hookfire listen` on a fresh journal, as it is without options, with its URL. It prints a line for each request.
fn listen(folder: &Path, args: &[&str]) -> Result<(Running, String), Failure> {
    let journal = folder.join(format!("{}.db", fs::read_dir(folder)?.count()));
    let ready = journal.with_extension("url");
    let mut child = Command::new(env!("CARGO_BIN_EXE_hookfire"))
        .args(["listen", "--port", "0", "--ready-file"])
        .arg(&ready)
        .args(args)
        .arg("--journal")
        .arg(&journal)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut stdout = child.stdout.take().ok_or("stdout is piped")?;
    let running = Running(child);
    // Whoever listens is to print as it would in a pipeline that keeps up.
    std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
    for _ in 0..1_000 {
        if let Ok(url) = fs::read_to_string(&ready) {
            return Ok((running, url.trim().to_owned()));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err("the listener did not get ready within ten seconds".into())
}

fn measure_listen(wrk: &str, folder: &Path, load: &Path) -> Result<f64, Failure> {
    let (_running, url) = listen(folder, &[])?;
    requests_per_second(wrk, &format!("{url}/hook"), load)
}

/// Megabytes of resident memory that came on top.
fn memory_after_captures(wrk: &str, folder: &Path, load: &Path) -> Result<f64, Failure> {
    let (running, url) = listen(folder, &["--keep", "1000000"])?;
    let resident = || -> Result<f64, Failure> {
        let status = fs::read_to_string(format!("/proc/{}/status", running.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
    };
    let before = resident()?;
    let mut caught = 0.0;
    for _ in 0..10 {
        if caught >= CAPTURES as f64 {
            return Ok(resident()? - before);
        }
        caught += 4.0 * requests_per_second(wrk, &format!("{url}/hook"), load)?;
    }
    Err(format!("only {caught} captures in ten rounds").into())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
