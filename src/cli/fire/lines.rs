//! Reads the lines of a batch on their own thread, so that a slow writer does not stop the sending.
//!
//! Memory is bounded for any input: a line that is too long is skipped, and the thread waits until its lines are taken.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

use crate::engine::Waker;

pub const MAX_LINE_BYTES: usize = 16 * 1024 * 1024;

/// Chunks to read ahead.
const CHUNKS_AHEAD: usize = 4;

const CHUNK_BYTES: usize = 64 * 1024;

pub enum Line {
    /// Counted from 1, without the line end.
    Text(u64, Vec<u8>),
    /// Longer than [`MAX_LINE_BYTES`].
    TooLong(u64),
    /// None yet; the waker is called when there is one.
    Pending,
    End,
    /// The rest cannot be read.
    Broken(std::io::Error),
}

struct Chunk {
    lines: Vec<Line>,
    /// Bytes of the input up to the end of this chunk.
    offset: u64,
}

pub struct Lines {
    chunks: Receiver<Chunk>,
    current: std::vec::IntoIter<Line>,
    offset: u64,
    /// Of a regular file.
    size: Option<u64>,
    last: u64,
}

impl Lines {
    /// The lines of a file, `-` for stdin, without the first `skip`.
    pub fn open(path: &Path, skip: u64, waker: Option<Waker>) -> std::io::Result<Lines> {
        if path == Path::new("-") {
            return Lines::start(std::io::stdin(), None, skip, waker);
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
    ) -> std::io::Result<Lines> {
        let (sender, chunks) = sync_channel(CHUNKS_AHEAD);
        let splitter = Splitter {
            skip,
            ..Splitter::default()
        };
        // Not joined: it may be reading from a writer that never writes again.
        std::thread::Builder::new()
            .name("batch".to_owned())
            .spawn(move || read(input, splitter, &sender, waker.as_ref()))?;
        Ok(Lines {
            chunks,
            current: Vec::new().into_iter(),
            offset: 0,
            size,
            last: skip,
        })
    }

    /// The next line, if it has been read.
    pub fn next(&mut self) -> Line {
        self.take(|chunks| match chunks.try_recv() {
            Ok(chunk) => Some(chunk),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(reader_panicked()),
        })
    }

    /// Waits for the next line.
    pub fn wait(&mut self) -> Line {
        self.take(|chunks| Some(chunks.recv().unwrap_or_else(|_| reader_panicked())))
    }

    fn take(&mut self, receive: impl Fn(&Receiver<Chunk>) -> Option<Chunk>) -> Line {
        loop {
            if let Some(line) = self.current.next() {
                if let Line::Text(number, _) | Line::TooLong(number) = line {
                    self.last = number;
                }
                return line;
            }
            let Some(chunk) = receive(&self.chunks) else {
                return Line::Pending;
            };
            self.offset = self.offset.max(chunk.offset);
            self.current = chunk.lines.into_iter();
        }
    }

    /// The number of the last line taken, skipped lines included.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// The number of lines of a regular file, estimated from what was read.
    pub fn expected(&self) -> Option<u64> {
        let read = self.last + self.current.len() as u64;
        let expected = u128::from(read) * u128::from(self.size?) / u128::from(self.offset.max(1));
        let expected = u64::try_from(expected).ok()?;
        Some(expected.max(read))
    }
}

/// The reader ends with [`Line::End`] or [`Line::Broken`] unless it panics, which the panic hook reports.
fn reader_panicked() -> Chunk {
    let reason = std::io::Error::other("internal error in the reader");
    Chunk {
        lines: vec![Line::Broken(reason)],
        offset: 0,
    }
}

fn read(
    mut input: impl Read,
    mut splitter: Splitter,
    sender: &SyncSender<Chunk>,
    waker: Option<&Waker>,
) {
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut offset = 0;
    loop {
        let (lines, more) = match input.read(&mut buffer) {
            Ok(0) => (splitter.end(), false),
            Ok(length) => {
                offset += length as u64;
                (splitter.split(&buffer[..length]), true)
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => (vec![Line::Broken(e)], false),
        };
        if !lines.is_empty() && sender.send(Chunk { lines, offset }).is_err() {
            return;
        }
        if let Some(waker) = waker {
            waker.wake();
        }
        if !more {
            return;
        }
    }
}

/// Splits chunks into lines.
#[derive(Default)]
struct Splitter {
    skip: u64,
    number: u64,
    begun: Vec<u8>,
    too_long: bool,
}

impl Splitter {
    fn split(&mut self, mut bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.add(&bytes[..end]);
            bytes = &bytes[end + 1..];
            self.finish(&mut lines);
        }
        self.add(bytes);
        lines
    }

    fn end(&mut self) -> Vec<Line> {
        let mut lines = Vec::new();
        if self.too_long || !self.begun.is_empty() {
            self.finish(&mut lines);
        }
        lines.push(Line::End);
        lines
    }

    fn add(&mut self, bytes: &[u8]) {
        if self.number < self.skip {
            // Only notes that there is a line.
            self.too_long |= !bytes.is_empty();
        } else if self.too_long || self.begun.len() + bytes.len() > MAX_LINE_BYTES {
            self.too_long = true;
            self.begun = Vec::new();
        } else {
            self.begun.extend_from_slice(bytes);
        }
    }

    fn finish(&mut self, lines: &mut Vec<Line>) {
        self.number += 1;
        let line = std::mem::take(&mut self.begun);
        let too_long = std::mem::take(&mut self.too_long);
        if self.number <= self.skip {
            return;
        }
        lines.push(if too_long {
            Line::TooLong(self.number)
        } else {
            Line::Text(self.number, line)
        });
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Cursor};

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
        let long = "x".repeat(CHUNK_BYTES + 7);
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
        let endless = io::repeat(b'x')
            .take(MAX_LINE_BYTES as u64 + 1)
            .chain(Cursor::new("\nnext\n"));
        assert_eq!(words(endless, 0), ["1 too long", "2 next"]);
        let longest = io::repeat(b'x')
            .take(MAX_LINE_BYTES as u64)
            .chain(Cursor::new("\nnext"));
        assert_eq!(words(longest, 0).len(), 2);
        let skipped = io::repeat(b'x')
            .take(MAX_LINE_BYTES as u64 + 1)
            .chain(Cursor::new("\nnext\n"));
        assert_eq!(words(skipped, 1), ["2 next"]);
    }

    #[test]
    fn lines_before_a_read_error_are_returned() {
        struct Breaks;
        impl Read for Breaks {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("the disk is gone"))
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
