//! `hookfire listen` under load: killed in between, and with oversized requests.
//!
//! `src/listener/` tests that silent clients do not delay others.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::{Listener, TestEnv, read_response};

const TEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Number of responses before the process is killed.
const ACKNOWLEDGED: usize = 2_000;
/// Their number in the long test, unless [`ACKNOWLEDGED_VARIABLE`] is set.
const MANY_ACKNOWLEDGED: usize = 20_000;
const ACKNOWLEDGED_VARIABLE: &str = "HOOKFIRE_ACKNOWLEDGED";
const CLIENTS: usize = 16;

#[test]
fn killed_under_load_keeps_every_answered_request() {
    killed_after(ACKNOWLEDGED);
}

#[test]
#[ignore = "long: runs in CI"]
fn killed_under_long_load_keeps_every_answered_request() {
    let enough = std::env::var(ACKNOWLEDGED_VARIABLE);
    killed_after(enough.map_or(MANY_ACKNOWLEDGED, |text| text.parse().expect("a number")));
}

fn killed_after(enough: usize) {
    let patience = TEST_TIMEOUT * u32::try_from(1 + enough / MANY_ACKNOWLEDGED).unwrap();
    let env = TestEnv::new();
    let mut listener = Listener::start(&env, &["--keep", "100000000"]);
    let answered = AtomicUsize::new(0);
    let acknowledged: Vec<usize> = std::thread::scope(|scope| {
        let streams: Vec<TcpStream> = (0..CLIENTS).map(|_| listener.connect()).collect();
        let clients: Vec<_> = streams
            .into_iter()
            .enumerate()
            .map(|(client, stream)| {
                let answered = &answered;
                scope.spawn(move || send_until_it_dies(client, stream, answered))
            })
            .collect();
        let deadline = Instant::now() + patience;
        while answered.load(Ordering::Relaxed) < enough && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        listener.process().kill9();
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .collect()
    });
    assert!(
        answered.load(Ordering::Relaxed) >= enough,
        "{answered:?} in {patience:?}"
    );

    let listed = env
        .hookfire(["captured", "list", "-o", "ndjson"])
        .deadline(patience)
        .run()
        .assert_code(0);
    let mut stored = vec![0_usize; CLIENTS];
    for line in listed.ndjson() {
        let (client, number) = line["path"].as_str().unwrap()[1..].split_once('/').unwrap();
        let client: usize = client.parse().unwrap();
        // Newest first: the first one of a client is its last.
        stored[client] = stored[client].max(number.parse::<usize>().unwrap());
    }
    let count: usize = listed.ndjson().len();
    for (client, (acknowledged, stored)) in acknowledged.iter().zip(&stored).enumerate() {
        // The request without a response may be stored as well.
        assert!(
            (*acknowledged..=acknowledged + 1).contains(stored),
            "{client}: {acknowledged} answered, {stored} stored"
        );
    }
    assert_eq!(
        count,
        stored.iter().sum::<usize>(),
        "none is missing before a client's last"
    );
}

/// Sends numbered requests in order, and returns the number of responses.
fn send_until_it_dies(client: usize, mut stream: TcpStream, answered: &AtomicUsize) -> usize {
    let mut buffer = [0; 4096];
    for number in 1.. {
        let request =
            format!("POST /{client}/{number} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi");
        let (mut head, sent) = (Vec::new(), stream.write_all(request.as_bytes()));
        while sent.is_ok() && !head.ends_with(b"\r\n\r\nok") {
            match stream.read(&mut buffer) {
                Ok(read) if read > 0 => head.extend_from_slice(&buffer[..read]),
                _ => break,
            }
        }
        if !head.starts_with(b"HTTP/1.1 200 ") || !head.ends_with(b"ok") {
            return number - 1;
        }
        answered.fetch_add(1, Ordering::Relaxed);
    }
    0
}

#[cfg(target_os = "linux")]
#[test]
fn oversized_requests_use_little_memory() {
    const HEADERS: usize = 1_000_000;
    const BODY: usize = 100 * 1024 * 1024;
    let env = TestEnv::new();
    let mut listener = Listener::start(&env, &[]);
    assert_eq!(listener.get("/warm").status, 200);
    let idle = listener.process().kilobytes("VmRSS:");
    let head = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {BODY}\r\n\r\n");
    assert_eq!(
        pour(&listener, &head, &[b'x'; 65_536], BODY / 65_536),
        "413"
    );
    let chunks = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = [&b"10000\r\n"[..], &[b'x'; 65_536], b"\r\n"].concat();
    assert_eq!(pour(&listener, chunks, &chunk, BODY / 65_536), "413");
    assert_eq!(
        pour(
            &listener,
            "GET / HTTP/1.1\r\n",
            &b"X-A: b\r\n".repeat(1_000),
            HEADERS / 1_000
        ),
        "431"
    );
    let peak = listener.process().kilobytes("VmHWM:");
    assert!(peak <= idle + 16 * 1024, "{peak} kB, after {idle} kB");
    listener.stop();
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "long: runs in CI"]
fn viewing_hostile_captures_uses_little_memory() {
    let env = TestEnv::new();
    let mut listener = Listener::start(&env, &[]);
    let deep = |siblings: usize| {
        format!(
            "{}{}{}",
            "<a>".repeat(900),
            "<b/>".repeat(siblings),
            "</a>".repeat(900)
        )
    };
    // Formatted, too large for that, and six times as large in JSON.
    for body in [
        deep(20_000),
        deep(250_000),
        "\u{1}".repeat(1_000_000),
        "\u{1}".repeat(1_000_000),
    ] {
        assert_eq!(listener.post("/", &body).status, 200);
    }
    let idle = listener.process().kilobytes("VmRSS:");
    let targets = [
        "_hookfire/api/captures/1",
        "_hookfire/api/captures/2",
        "_hookfire/api/captures/3",
    ];
    let shared = &listener;
    std::thread::scope(|scope| {
        for target in targets
            .iter()
            .chain(&["api/v1/bins/inbox/requests"])
            .cycle()
            .take(16)
        {
            scope.spawn(move || {
                assert_eq!(shared.get(&format!("/{target}")).status, 200, "{target}")
            });
        }
    });
    let peak = listener.process().kilobytes("VmHWM:");
    assert!(peak <= idle + 128 * 1024, "{peak} kB, after {idle} kB");
    listener.stop();
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "long: runs in CI"]
fn unknown_bin_names_use_no_memory() {
    let env = TestEnv::new();
    let mut listener = Listener::start(&env, &[]);
    assert_eq!(listener.get("/warm").status, 200);
    let idle = listener.process().kilobytes("VmRSS:");
    let mut stream = listener.connect();
    // 60 MB of them.
    for number in 0..1_000 {
        let name = format!("{number:06}{}", "a".repeat(60_000));
        write!(stream, "GET /{name} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        assert_eq!(read_response(&mut stream).status, 200);
    }
    let peak = listener.process().kilobytes("VmHWM:");
    assert!(peak <= idle + 32 * 1024, "{peak} kB, after {idle} kB");
    listener.stop();
}

#[cfg(target_os = "linux")]
#[test]
fn unread_forwarded_responses_use_little_memory() {
    const LENGTH: usize = 3 << 20;
    let env = TestEnv::new();
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", receiver.local_addr().unwrap());
    let mut listener = Listener::start(&env, &["--forward-to", &url, "--read-timeout", "1s"]);
    let clients: Vec<TcpStream> = (0..32).map(|_| listener.connect()).collect();
    let idle = listener.process().kilobytes("VmRSS:");
    for mut client in &clients {
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        let (mut stream, _) = receiver.accept().unwrap();
        std::thread::spawn(move || {
            let _ = stream.read(&mut [0; 4096]);
            // The listener closes the connection if it has no memory for it.
            let _ = stream.write_all(
                format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n").as_bytes(),
            );
            let _ = stream.write_all(&vec![b'x'; LENGTH]);
        });
    }
    for client in &clients {
        // Each got a response, a 503, or a closed connection.
        let _ = client.peek(&mut [0]);
    }
    let peak = listener.process().kilobytes("VmHWM:");
    assert!(peak <= idle + 32 * 1024, "{peak} kB, after {idle} kB");
    listener.stop();
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "long: runs in CI"]
fn unread_lists_use_little_memory() {
    let env = TestEnv::new();
    let mut listener = Listener::start(&env, &[]);
    for _ in 0..8 {
        assert_eq!(listener.post("/", &"x".repeat(1_000_000)).status, 200);
    }
    let idle = listener.process().kilobytes("VmRSS:");
    let list =
        "GET /api/v1/bins/inbox/requests HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let unread: Vec<TcpStream> = (0..80).map(|_| listener.connect()).collect();
    for mut client in &unread {
        client.write_all(list.as_bytes()).unwrap();
    }
    // Each response has all of the memory, so that a client is evicted for the next. They are served in any order.
    let started = wait_for_responses(&unread);
    let is_cut = |mut client: &TcpStream| {
        let mut response = Vec::new();
        client.read_to_end(&mut response).is_err() || response.len() < 7_000_000
    };
    let cut = started.into_iter().filter(|client| is_cut(client)).count();
    assert!(cut > 0, "all got the whole response");
    assert_eq!(listener.get("/meanwhile").status, 200);
    let peak = listener.process().kilobytes("VmHWM:");
    assert!(peak <= idle + 128 * 1024, "{peak} kB, after {idle} kB");
    listener.stop();
}

/// The clients that have received the beginning of a response, at least five: two may be sent to at a time.
fn wait_for_responses(clients: &[TcpStream]) -> Vec<&TcpStream> {
    let has_response = |client: &&TcpStream| {
        client.set_nonblocking(true).unwrap();
        let found = client.peek(&mut [0]);
        client.set_nonblocking(false).unwrap();
        !found.is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock)
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let started: Vec<&TcpStream> = clients.iter().filter(has_response).collect();
        if started.len() >= 5 {
            return started;
        }
        assert!(Instant::now() < deadline, "no five responses");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn idle_clients_cannot_use_up_the_file_descriptors() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let env = TestEnv::new();
    let mut listener = Listener::start(&env, &[]);
    assert_eq!(listener.get("/before").status, 200);
    // The limit falls while the listener runs: it did not reduce its connections at the start.
    let pid = Pid::from_raw(listener.process().pid().try_into().unwrap());
    let files = Some(40);
    let limit = Rlimit {
        current: files,
        maximum: files,
    };
    prlimit(pid, Resource::Nofile, limit).unwrap();
    let _idle: Vec<TcpStream> = (0..80).map(|_| listener.connect()).collect();
    assert_eq!(listener.get("/after").status, 200);
    listener.stop();
}

/// Sends `beginning` and `pieces` pieces, as far as they are accepted; returns the status line.
fn pour(listener: &Listener, beginning: &str, piece: &[u8], pieces: usize) -> String {
    let mut stream = listener.connect();
    let mut writer = stream.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut sent = writer.write_all(beginning.as_bytes());
            for _ in 0..pieces {
                sent = sent.and_then(|()| writer.write_all(piece));
            }
        });
        let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
        while answer.len() < 12 {
            let read = stream.read(&mut buffer).expect("an answer comes in time");
            assert!(read > 0, "closed without an answer");
            answer.extend_from_slice(&buffer[..read]);
        }
        String::from_utf8_lossy(&answer[9..12]).into_owned()
    })
}
