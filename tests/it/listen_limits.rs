//! How much `listen` takes, how much it prints, and how it says so.

use std::io::Write as _;
use std::net::TcpStream;

use crate::support::{Listener, TestEnv, read_answer};

#[test]
fn as_many_lines_as_were_asked_for_though_more_come_at_once() {
    let env = TestEnv::new();
    let listener = Listener::start(&env, &["--exit-after", "3"]);
    let mut clients: Vec<TcpStream> = (0..40).map(|_| listener.connect()).collect();
    for client in &mut clients {
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    }
    let answered = clients.iter_mut().map(answers).filter(|answered| *answered).count();
    let outcome = listener.wait();
    assert_eq!(outcome.ndjson().len(), 1 + 3, "{outcome}");
    let kept = env.hookfire(["captured", "list", "-o", "json"]).run().json().as_array().unwrap().len();
    assert!(kept >= answered && answered >= 3, "{kept} kept, {answered} answered");
}

/// Whether this client is answered: who comes too late finds the connection closed.
fn answers(client: &mut TcpStream) -> bool {
    let mut first = [0; 1];
    client.peek(&mut first).is_ok_and(|read| read > 0) && read_answer(client).status == 200
}
