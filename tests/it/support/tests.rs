//! Tests of the test support: a test server that is lenient by mistake would hide errors everywhere.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::{
    Server, Step, TestEnv, chunked_endless, close, closed_port, drip_body, drip_head, echo,
    endless_headers, forever, half_status_line, hang, hang_before_read, head_then_cut_body,
    huge_body, never_accepting, raw, repeat, reset, respond,
};

const GET: &str = "GET /hook?token=x HTTP/1.1\r\nHost: here\r\n\r\n";

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", server.port())).expect("a connection");
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a timeout");
    stream
}

fn exchange(server: &Server, request: &str) -> std::io::Result<String> {
    let mut stream = connect(server);
    stream.write_all(request.as_bytes())?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response)?;
    Ok(String::from_utf8(response).expect("a response in UTF-8"))
}

/// The panic message of `work`.
fn panic_of(work: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(work)).expect_err("should have panicked");
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

#[test]
fn redaction_replaces_only_variable_values() {
    let env = TestEnv::new();
    let text = format!(
        "{}/x http://127.0.0.1:40123/ 0192f0c1-2b3c-7d4e-8f50-123456789abc 2026-11-20T10:00:00.123Z \
         2026-11-20 10:00:00+02:00 (12 ms) 1.2 s, next in 60s, 3 seconds, process 1234, v1.2 µ 127.0.0.1:port",
        env.root().display()
    );
    let once = env.redacted(&text);
    insta::assert_snapshot!(once, @"[ENV]/x http://127.0.0.1:[PORT]/ [UUID] [TIME] [TIME] ([DURATION]) [DURATION], next in 60s, 3 seconds, process [PID], v1.2 µ 127.0.0.1:port");
    assert_eq!(env.redacted(&once), once);
}

#[test]
fn files_are_private_and_stay_in_the_working_directory() {
    let env = TestEnv::new();
    env.write_config("default_endpoint = \"staging\"\n");
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&env.config_path()), 0o600);
    assert_eq!(mode(env.config_path().parent().unwrap()), 0o700);
    assert_eq!(
        env.write_file("a/b.xml", "<b/>"),
        env.work_dir().join("a/b.xml")
    );
    assert!(panic_of(|| drop(env.write_file("../x", ""))).contains("outside"));
}

#[test]
fn server_follows_its_script_and_records_requests() {
    let server = Server::script(vec![
        respond(503)
            .reason("Not Now")
            .header("Retry-After", "1")
            .body("later"),
        repeat(500, 2),
        echo(),
        forever(200),
    ]);
    let post = "POST /a HTTP/1.1\r\nHost: here\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
    insta::assert_snapshot!(exchange(&server, post).unwrap().replace('\r', ""), @r"
    HTTP/1.1 503 Not Now
    Content-Length: 5
    Connection: close
    Retry-After: 1

    later
    ");
    for status in ["500", "500", "503", "200", "200"] {
        assert!(
            exchange(&server, GET)
                .unwrap()
                .starts_with(&format!("HTTP/1.1 {status} "))
        );
    }
    let requests = server.wait_for_requests(6);
    assert_eq!((requests.len(), server.connections()), (6, 6));
    let first = &requests[0];
    assert_eq!(
        (&*first.method, &*first.target, &*first.version),
        ("POST", "/a", "HTTP/1.1")
    );
    assert_eq!(
        (first.header("x-a"), &*first.body, first.complete),
        (Some("1"), &b"hi"[..], true)
    );
    assert_eq!(requests[5].target, "/hook?token=x");
}

#[test]
fn server_keeps_connections_and_holds_responses() {
    let server = Server::script(vec![respond(204).keep_alive(), respond(200).held()]);
    let mut stream = connect(&server);
    stream.write_all(GET.as_bytes()).unwrap();
    let mut first = [0; 27];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 204 No Content\r\n\r\n");
    stream.write_all(GET.as_bytes()).unwrap();
    assert_eq!(server.wait_for_requests(2)[1].connection, 0);
    stream
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    stream.read_exact(&mut [0]).unwrap_err();
    server.release();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 1);
}

#[test]
fn broken_responses_are_broken_as_named() {
    let server = Server::script(vec![
        reset(),
        close(),
        half_status_line(),
        head_then_cut_body(10, 3).status(503),
        raw("nonsense"),
        huge_body(3 << 20),
    ]);
    assert_eq!(
        exchange(&server, GET).unwrap_err().kind(),
        std::io::ErrorKind::ConnectionReset
    );
    assert_eq!(exchange(&server, GET).unwrap(), "");
    assert_eq!(exchange(&server, GET).unwrap(), "HTTP/1.1 20");
    let cut = exchange(&server, GET).unwrap();
    assert!(
        cut.starts_with("HTTP/1.1 503 ")
            && cut.contains("Length: 10\r\n")
            && cut.ends_with("\r\n\r\naaa"),
        "{cut}"
    );
    assert_eq!(exchange(&server, GET).unwrap(), "nonsense");
    assert!(exchange(&server, GET).unwrap().len() > 3 << 20);
}

#[test]
fn endless_steps_end_with_the_server() {
    let tick = Duration::from_millis(1);
    let endless: [(Step, usize); 7] = [
        (hang(), 0),
        (hang_before_read(), 0),
        (drip_body(tick, b'a'), 80),
        (drip_head(tick), 40),
        (endless_headers(), 100_000),
        (chunked_endless(), 100_000),
        (huge_body(u64::MAX), 100_000),
    ];
    for (step, some) in endless {
        let shown = format!("{step:?}");
        let server = Server::script(vec![step]);
        let mut stream = connect(&server);
        stream.write_all(GET.as_bytes()).unwrap();
        stream.read_exact(&mut vec![0; some]).expect(&shown);
        if some == 0 {
            // Neither responds; the second one does not even read.
            stream
                .set_read_timeout(Some(Duration::from_millis(50)))
                .unwrap();
            stream.read_exact(&mut [0]).unwrap_err();
        }
        let dropped = Instant::now();
        drop(server);
        assert!(
            dropped.elapsed() < Duration::from_secs(1),
            "{shown} took {:?} to end",
            dropped.elapsed()
        );
    }
}

#[test]
fn unused_steps_and_unexpected_requests_fail_the_test() {
    let unused = panic_of(|| drop(Server::script(vec![respond(200), repeat(503, 3)])));
    assert!(
        unused.contains("step 2, respond(503) at tests/it/support/tests.rs:"),
        "{unused}"
    );
    assert!(unused.contains("was used 0 of 3 times"), "{unused}");
    assert!(panic_of(|| drop(Server::script(vec![forever(200)]))).contains("used 0 of 1 times"));
    assert!(panic_of(|| drop(Server::script(vec![forever(200), hang()]))).contains("never ends"));

    let server = Server::script(vec![]);
    // Dropped at once: requests on their way still count.
    connect(&server).write_all(GET.as_bytes()).unwrap();
    let unexpected = panic_of(|| drop(server));
    assert!(
        unexpected.contains("no step was left for GET /hook?token=x"),
        "{unexpected}"
    );

    let server = Server::script(vec![respond(200)]);
    exchange(&server, "GET / HTTP/1.1\r\n\r\n").unwrap();
    assert!(panic_of(|| drop(server)).contains("no Host header"));
    let server = Server::script(vec![respond(200)]);
    exchange(&server, &GET.repeat(2)).ok();
    assert!(panic_of(|| drop(server)).contains("bytes followed the end of GET"));

    let server = Server::script(vec![respond(200)]).lenient();
    exchange(&server, "\u{16}\u{3}\u{1}\0not http").ok();
    assert!(server.requests().is_empty());
    drop(server);
    drop(Server::script(vec![hang()]).lenient());
}

#[test]
fn partial_requests_are_recorded_and_idle_connections_ignored() {
    let server = Server::script(vec![respond(200)]);
    drop(connect(&server));
    let mut cut = connect(&server);
    cut.write_all(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 9\r\n\r\nhalf")
        .unwrap();
    cut.shutdown(Shutdown::Write).unwrap();
    let requests = server.wait_for_requests(1);
    assert_eq!(
        (requests[0].complete, &*requests[0].body),
        (false, &b"half"[..])
    );
    server.wait_for_connections(2);
}

#[test]
fn ports_refuse_or_never_respond() {
    let refused = TcpStream::connect(("127.0.0.1", closed_port())).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    let silent = never_accepting();
    let address = ([127, 0, 0, 1], silent.port()).into();
    let unheard = TcpStream::connect_timeout(&address, Duration::from_millis(100)).unwrap_err();
    assert_eq!(unheard.kind(), std::io::ErrorKind::TimedOut);
}
