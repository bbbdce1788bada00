//! `expect` under more load than it can match in time.

use std::io::Write as _;
use std::net::TcpStream;

use crate::support::{TestEnv, read_response};

#[cfg(target_os = "linux")]
#[test]
#[ignore = "long: runs in CI"]
fn captures_waiting_for_matching_use_little_memory() {
    const SENDERS: usize = 4;
    const EACH: usize = 16;
    let env = TestEnv::new();
    // Slow to match if each condition parsed the body again.
    let places = [
        "//a=1", "//b=1", "//c=1", "//d=1", "//e=1", "//f=1", "//g=1", "//h=1",
    ];
    let conditions = places.iter().flat_map(|place| ["--match", place]);
    let mut running = env
        .hookfire(["expect", "-o", "ndjson", "--within", "5m"])
        .args(conditions)
        .spawn();
    let ready: serde_json::Value =
        serde_json::from_str(&running.wait_for_stdout_line("ready")).unwrap();
    let port = u16::try_from(ready["port"].as_u64().unwrap()).unwrap();
    let idle = running.kilobytes("VmRSS:");
    let text = "long text ".repeat(100_000);
    let body =
        format!("<event><type>x</type><action>y</action><object><z>{text}</z></object></event>");
    let request = format!(
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    std::thread::scope(|scope| {
        for _ in 0..SENDERS {
            scope.spawn(|| {
                let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
                stream
                    .set_read_timeout(Some(std::time::Duration::from_secs(60)))
                    .unwrap();
                for _ in 0..EACH {
                    stream.write_all(request.as_bytes()).unwrap();
                    assert_eq!(read_response(&mut stream).status, 200);
                }
            });
        }
    });
    let peak = running.kilobytes("VmHWM:");
    assert!(
        peak <= idle + 32 * 1024,
        "{peak} kB, after {idle} kB; {} MB were sent",
        SENDERS * EACH
    );
    running.interrupt();
    running.wait().assert_code(130);
}
