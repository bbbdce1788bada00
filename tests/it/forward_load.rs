//! `listen --forward-later` with many deliveries waiting for a receiver that is down.

use std::time::{Duration, Instant};

use crate::forward_later::{closed_port, later, wait_until};
use crate::support::{Receiver, Reply, TestEnv};

const CLIENTS: usize = 8;
const PER_CLIENT: usize = 1_000;

#[cfg(target_os = "linux")]
#[test]
#[ignore = "long: runs in CI"]
fn many_wait_in_little_memory_and_are_sent_once() {
    let (env, port) = (TestEnv::new(), closed_port());
    let to = format!("http://127.0.0.1:{port}");
    let mut listener = later(&env, &["--forward-to", &to, "--keep", "1"]);
    assert_eq!(listener.get("/warm").status, 200);
    let idle = listener.process().kilobytes("VmRSS:");
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            let body = "x".repeat(500);
            let request =
                format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 500\r\n\r\n{body}");
            let listener = &listener;
            scope.spawn(move || {
                listener.pipeline(request.repeat(PER_CLIENT).into_bytes(), PER_CLIENT);
            });
        }
    });
    for target in [
        "/other",
        "/_hookfire/api/deliveries",
        "/_hookfire/api/captures",
    ] {
        let began = Instant::now();
        assert_eq!(listener.get(target).status, 200);
        assert!(
            began.elapsed() < Duration::from_secs(2),
            "{target}: {began:?}"
        );
    }
    let all = CLIENTS * PER_CLIENT + 2;
    let receiver = Receiver::start_at(port, |_, _| Reply::Status(200));
    receiver.wait_for(all);
    wait_until("all are delivered", || {
        let args = ["journal", "list", "--status", "pending", "-o", "ndjson"];
        let pending = env.hookfire(args).run().assert_code(0).ndjson();
        pending.is_empty().then_some(())
    });
    let times = receiver.times();
    assert_eq!(times.len(), all);
    assert!(times.values().all(|times| times.len() == 1));
    let peak = listener.process().kilobytes("VmHWM:");
    assert!(peak <= idle + 32 * 1024, "{peak} kB, after {idle} kB");
    listener.stop();
}
