//! Reads one HTTP/1.x request strictly: anything that a lenient server would accept fails the test. A head is at most 1
//! MiB, a body at most 64 MiB.

use std::io::{self, BufRead, Read};

const LONGEST_HEAD: usize = 1 << 20;
const LONGEST_BODY: u64 = 64 << 20;

#[derive(Debug, Clone)]
pub struct Received {
    pub method: String,
    pub target: String,
    pub version: String,
    /// In the order and case received; invalid UTF-8 becomes U+FFFD.
    pub headers: Vec<(String, String)>,
    /// Without chunk framing.
    pub body: Vec<u8>,
    /// `false` if the connection ended within the body.
    pub complete: bool,
    /// Number of the connection, from 0 in the order of acceptance.
    pub connection: usize,
}

impl Received {
    /// The first header with this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

#[derive(Debug)]
pub enum Fault {
    /// The connection ended within the head.
    Left,
    /// The bytes are not a request.
    Malformed(String),
}

pub fn read_request(source: &mut impl BufRead, connection: usize) -> Result<Received, Fault> {
    // Not a letter: TLS or noise. Reported at once, because its line might never end.
    let begin = source.fill_buf().map_err(|_| Fault::Left)?;
    if begin
        .first()
        .is_some_and(|byte| !byte.is_ascii_alphabetic())
    {
        return Err(malformed("not a request", &String::from_utf8_lossy(begin)));
    }
    let mut budget = LONGEST_HEAD;
    let request_line = read_line(source, &mut budget)?;
    let parts: Vec<&str> = request_line.split(' ').collect();
    let &[method, target, version] = parts.as_slice() else {
        return Err(malformed("not a request line", &request_line));
    };
    if method.is_empty() || target.is_empty() || !["HTTP/1.1", "HTTP/1.0"].contains(&version) {
        return Err(malformed("not a request line", &request_line));
    }
    let mut headers = Vec::new();
    loop {
        let line = read_line(source, &mut budget)?;
        if line.is_empty() {
            break;
        }
        match line.split_once(':') {
            Some((name, value))
                if !name.is_empty()
                    && !name.contains(|c: char| c.is_whitespace() || c.is_control()) =>
            {
                headers.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
            }
            _ => return Err(malformed("not a header", &line)),
        }
    }
    let (method, target, version) = (method.to_owned(), target.to_owned(), version.to_owned());
    let mut request = Received {
        method,
        target,
        version,
        headers,
        body: Vec::new(),
        complete: false,
        connection,
    };
    let body_read = match framing(&request)? {
        Framing::Length(length) => read_exactly(source, length, &mut request.body),
        Framing::Chunked => read_chunks(source, &mut request.body),
    };
    match body_read {
        Ok(()) => request.complete = true,
        Err(Fault::Left) => {}
        Err(fault) => return Err(fault),
    }
    Ok(request)
}

enum Framing {
    Length(u64),
    Chunked,
}

fn framing(request: &Received) -> Result<Framing, Fault> {
    let only = |name: &str| {
        let mut values = request
            .headers
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name));
        match (values.next(), values.next()) {
            (Some(_), Some((_, second))) => Err(malformed(&format!("a second {name}"), second)),
            (first, _) => Ok(first.map(|(_, value)| value.as_str())),
        }
    };
    if only("host")?.is_none() && request.version == "HTTP/1.1" {
        return Err(malformed("no Host header", &request.target));
    }
    match (only("content-length")?, only("transfer-encoding")?) {
        (None, None) => Ok(Framing::Length(0)),
        (None, Some(coding)) if coding.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
        (Some(length), None) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
            match length.parse() {
                Ok(length) if length <= LONGEST_BODY => Ok(Framing::Length(length)),
                _ => Err(malformed("not a length, or too long", length)),
            }
        }
        (length, coding) => Err(malformed(
            "not a framing",
            &format!("{length:?} and {coding:?}"),
        )),
    }
}

fn read_exactly(source: &mut impl BufRead, length: u64, body: &mut Vec<u8>) -> Result<(), Fault> {
    // Bytes read before the error stay in `body`.
    match source.take(length).read_to_end(body) {
        Ok(count) if count as u64 == length => Ok(()),
        Ok(_) | Err(_) => Err(Fault::Left),
    }
}

fn read_chunks(source: &mut impl BufRead, body: &mut Vec<u8>) -> Result<(), Fault> {
    loop {
        let line = read_line(source, &mut 64)?;
        let size =
            u64::from_str_radix(&line, 16).map_err(|_| malformed("not a chunk's size", &line))?;
        if size + body.len() as u64 > LONGEST_BODY {
            return Err(malformed("a body too long, at a chunk of size", &line));
        }
        read_exactly(source, size, body)?;
        // The end of the chunk, or of the body after the last one; this client sends no trailers.
        let end = read_line(source, &mut 64)?;
        if !end.is_empty() {
            return Err(malformed("not the end of a chunk", &end));
        }
        if size == 0 {
            return Ok(());
        }
    }
}

/// Reads a line without CR LF and subtracts its length from the budget.
fn read_line(source: &mut impl BufRead, budget: &mut usize) -> Result<String, Fault> {
    let mut line = Vec::new();
    let read: io::Result<usize> = source.take(*budget as u64).read_until(b'\n', &mut line);
    let Ok(count) = read else {
        return Err(Fault::Left);
    };
    let text = String::from_utf8_lossy(&line);
    if !line.ends_with(b"\n") {
        return Err(if count == *budget {
            malformed("a line too long", &text)
        } else {
            Fault::Left
        });
    }
    *budget -= count;
    match text.strip_suffix("\r\n") {
        Some(text) if !text.contains(['\r', '\n', '\0']) => Ok(text.to_owned()),
        _ => Err(malformed("not a line of a request", &text)),
    }
}

fn malformed(what: &str, shown: &str) -> Fault {
    let start: String = shown.chars().take(200).collect();
    Fault::Malformed(format!("{what}: `{}`", start.escape_debug()))
}
