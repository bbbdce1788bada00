//! Reads the lines of a batch on their own thread, so that a slow writer does not stop the sending.
//!
//! Memory is bounded for any input: a line that is too long is skipped, and the thread waits until its lines are taken.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

use crate::engine::Waker;

pub const MAX_LINE_BYTES: usize = 16 * 1024 * 1024;

const LINES_AHEAD: usize = 32;

pub enum Line {
    /// Counted from 1, without the line end.
    Text(u64, Vec<u8>),
    TooLong(u64),
    /// None yet; the waker is called when there is one.
    Pending,
    End,
    /// The rest cannot be read.
    Broken(io::Error),
}

pub struct Lines {
    /// Each with the number of bytes up to its end.
    lines: Receiver<(Line, u64)>,
    offset: u64,
    /// None unless the input is a regular file.
    size: Option<u64>,
    last: u64,
}

impl Lines {
    /// The lines of a file, `-` for stdin, without the first `skip`.
    pub fn open(path: &Path, skip: u64, waker: Option<Waker>) -> io::Result<Lines> {
        if path == Path::new("-") {
            return Lines::start(io::stdin(), None, skip, waker);
        }
        let file = File::open(path)?;
        let metadata = file.metadata().ok().filter(std::fs::Metadata::is_file);
        let size = metadata.map(|metadata| metadata.len());
        Lines::start(file, size, skip, waker)
    }

    fn start(
        input: impl Read + Send + 'static,
        size: Option<u64>,
        skip: u64,
        waker: Option<Waker>,
    ) -> io::Result<Lines> {
        let (sender, lines) = sync_channel(LINES_AHEAD);
        // Not joined: it may be reading from a writer that never writes again.
        std::thread::Builder::new()
            .name("batch".to_owned())
            .spawn(move || send_lines(input, skip, &sender, waker.as_ref()))?;
        Ok(Lines {
            lines,
            offset: 0,
            size,
            last: skip,
        })
    }

    /// The next line, if it has been read.
    pub fn next(&mut self) -> Line {
        match self.lines.try_recv() {
            Ok((line, offset)) => self.taken(line, offset),
            Err(TryRecvError::Empty) => Line::Pending,
            Err(TryRecvError::Disconnected) => reader_panicked(),
        }
    }

    /// Waits for the next line.
    pub fn wait(&mut self) -> Line {
        match self.lines.recv() {
            Ok((line, offset)) => self.taken(line, offset),
            Err(_) => reader_panicked(),
        }
    }

    fn taken(&mut self, line: Line, offset: u64) -> Line {
        self.offset = offset;
        if let Line::Text(number, _) | Line::TooLong(number) = line {
            self.last = number;
        }
        line
    }

    /// The number of the last line taken, skipped lines included.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// The number of lines of a regular file, estimated from its size and the part that was read.
    pub fn expected(&self) -> Option<u64> {
        let size = u128::from(self.size?);
        let expected = u128::from(self.last) * size / u128::from(self.offset.max(1));
        u64::try_from(expected).ok()
    }
}

/// The reader ends with [`Line::End`] or [`Line::Broken`] unless it panics, which the panic hook reports.
fn reader_panicked() -> Line {
    Line::Broken(io::Error::other("internal error in the reader"))
}

fn send_lines(
    input: impl Read,
    skip: u64,
    sender: &SyncSender<(Line, u64)>,
    waker: Option<&Waker>,
) {
    let mut input = BufReader::with_capacity(64 * 1024, input);
    let mut offset = 0;
    for number in 1.. {
        let (line, bytes) = read_line(&mut input, number).unwrap_or_else(|e| (Line::Broken(e), 0));
        offset += bytes;
        let is_last = matches!(line, Line::End | Line::Broken(_));
        if !is_last && number <= skip {
            continue;
        }
        if sender.send((line, offset)).is_err() {
            return;
        }
        if let Some(waker) = waker {
            waker.wake();
        }
        if is_last {
            return;
        }
    }
}

/// A line, and its length with the line end.
fn read_line(input: &mut impl BufRead, number: u64) -> io::Result<(Line, u64)> {
    let mut line = Vec::new();
    let limit = MAX_LINE_BYTES as u64 + 1;
    let mut length = input.by_ref().take(limit).read_until(b'\n', &mut line)? as u64;
    if length == 0 {
        return Ok((Line::End, 0));
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if length == limit {
        length += input.skip_until(b'\n')? as u64;
        return Ok((Line::TooLong(number), length));
    }
    Ok((Line::Text(number, line), length))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn words(source: impl Read + Send + 'static, skip: u64) -> Vec<String> {
        let mut lines = Lines::start(source, None, skip, None).unwrap();
        let mut words = Vec::new();
        loop {
            words.push(match lines.wait() {
                Line::Text(number, line) => format!("{number} {}", String::from_utf8_lossy(&line)),
                Line::TooLong(number) => format!("{number} too long"),
                Line::Pending => unreachable!("it waits"),
                Line::End => return words,
                Line::Broken(e) => {
                    words.push(e.to_string());
                    return words;
                }
            });
        }
    }

    #[test]
    fn lines_are_numbered_across_chunks() {
        assert_eq!(
            words(Cursor::new("a\n\nb\r\nc"), 0),
            ["1 a", "2 ", "3 b\r", "4 c"]
        );
        assert_eq!(words(Cursor::new(""), 0), [""; 0]);
        assert_eq!(words(Cursor::new("\n"), 0), ["1 "]);
        let long = "x".repeat((64 * 1024) + 7);
        let text = format!("{long}\n{long}\nend");
        assert_eq!(
            words(Cursor::new(text), 0),
            [format!("1 {long}"), format!("2 {long}"), "3 end".into()]
        );
    }

    #[test]
    fn skipped_lines_count() {
        assert_eq!(words(Cursor::new("a\nb\nc\n"), 2), ["3 c"]);
        assert_eq!(words(Cursor::new("a\nb\nc"), 3), [""; 0]);
        assert_eq!(words(Cursor::new("a\nb\nc"), 9), [""; 0]);
    }

    #[test]
    fn endless_line_is_skipped_without_memory() {
        let endless = std::io::repeat(b'x')
            .take(MAX_LINE_BYTES as u64 + 1)
            .chain(Cursor::new("\nnext\n"));
        assert_eq!(words(endless, 0), ["1 too long", "2 next"]);
        let longest = std::io::repeat(b'x')
            .take(MAX_LINE_BYTES as u64)
            .chain(Cursor::new("\nnext"));
        assert_eq!(words(longest, 0).len(), 2);
        let skipped = std::io::repeat(b'x')
            .take(MAX_LINE_BYTES as u64 + 1)
            .chain(Cursor::new("\nnext\n"));
        assert_eq!(words(skipped, 1), ["2 next"]);
    }

    #[test]
    fn lines_before_a_read_error_are_returned() {
        struct Breaks;
        impl Read for Breaks {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                Err(std::io::Error::other("the disk is gone"))
            }
        }
        assert_eq!(
            words(Cursor::new("a\nb").chain(Breaks), 0),
            ["1 a", "the disk is gone"]
        );
    }

    #[test]
    fn expected_lines_are_estimated_from_the_size() {
        let text = "0123456\n".repeat(20_000);
        let size = text.len() as u64;
        let mut lines = Lines::start(Cursor::new(text), Some(size), 0, None).unwrap();
        let _ = lines.wait();
        let expected = lines.expected().unwrap();
        assert!((19_990..=20_010).contains(&expected), "{expected}");
    }
}
