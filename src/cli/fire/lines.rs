//! Reads the lines of a batch on their own thread, so that a slow writer does not stop the sending.
//!
//! Memory is bounded for any input: a line that is too long is skipped, and the thread waits until its lines are taken.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

use crate::engine::Waker;

pub const MAX_LINE_BYTES: usize = 16 * 1024 * 1024;

/// Groups of lines that are read ahead.
const GROUPS_AHEAD: usize = 2;

const BUFFER_BYTES: usize = 64 * 1024;

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

type Groups = Receiver<Vec<Line>>;

pub struct Lines {
    groups: Groups,
    group: std::vec::IntoIter<Line>,
    last: u64,
}

impl Lines {
    /// The lines of a file, `-` for stdin, without the first `skip`.
    pub fn open(path: &Path, skip: u64, waker: Option<Waker>) -> io::Result<Lines> {
        if path == Path::new("-") {
            Lines::start(io::stdin(), skip, waker)
        } else {
            Lines::start(File::open(path)?, skip, waker)
        }
    }

    fn start(
        input: impl Read + Send + 'static,
        skip: u64,
        waker: Option<Waker>,
    ) -> io::Result<Lines> {
        let (sender, groups) = sync_channel(GROUPS_AHEAD);
        // Not joined: it may be reading from a writer that never writes again.
        std::thread::Builder::new()
            .name("batch".to_owned())
            .spawn(move || send_lines(input, skip, &sender, waker.as_ref()))?;
        Ok(Lines {
            groups,
            group: Vec::new().into_iter(),
            last: skip,
        })
    }

    /// The next line, if it has been read.
    pub fn next(&mut self) -> Line {
        self.take(Receiver::try_recv)
    }

    /// Waits for the next line.
    pub fn wait(&mut self) -> Line {
        self.take(|groups| groups.recv().map_err(TryRecvError::from))
    }

    fn take(&mut self, receive: fn(&Groups) -> Result<Vec<Line>, TryRecvError>) -> Line {
        loop {
            if let Some(line) = self.group.next() {
                if let Line::Text(number, _) | Line::TooLong(number) = line {
                    self.last = number;
                }
                return line;
            }
            match receive(&self.groups) {
                Ok(group) => self.group = group.into_iter(),
                Err(TryRecvError::Empty) => return Line::Pending,
                // The reader ends with `End` or `Broken` unless it panics, which the panic hook reports.
                Err(TryRecvError::Disconnected) => {
                    return Line::Broken(io::Error::other("internal error in the reader"));
                }
            }
        }
    }

    /// The number of the last line taken, skipped lines included.
    pub fn last(&self) -> u64 {
        self.last
    }
}

/// How many lines of a regular file are not empty, without the first `skip`.
pub fn count(path: &Path, skip: u64) -> Option<u64> {
    let file = File::open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut input = BufReader::with_capacity(BUFFER_BYTES, file);
    let mut count = 0;
    for number in 1.. {
        match read_line(&mut input, number).ok()? {
            Line::End => break,
            Line::Text(_, line) if line.trim_ascii().is_empty() => {}
            _ => count += u64::from(number > skip),
        }
    }
    Some(count)
}

fn send_lines(input: impl Read, skip: u64, sender: &SyncSender<Vec<Line>>, waker: Option<&Waker>) {
    let mut input = BufReader::with_capacity(BUFFER_BYTES, input);
    let mut group = Vec::new();
    for number in 1.. {
        let line = read_line(&mut input, number).unwrap_or_else(Line::Broken);
        let is_last = matches!(line, Line::End | Line::Broken(_));
        if is_last || number > skip {
            group.push(line);
        }
        // The next line may be long in coming.
        if is_last || !input.buffer().contains(&b'\n') {
            if sender.send(std::mem::take(&mut group)).is_err() {
                return;
            }
            if let Some(waker) = waker {
                waker.wake();
            }
        }
        if is_last {
            return;
        }
    }
}

fn read_line(input: &mut impl BufRead, number: u64) -> io::Result<Line> {
    let mut line = Vec::new();
    let limit = MAX_LINE_BYTES as u64 + 1;
    let length = input.by_ref().take(limit).read_until(b'\n', &mut line)? as u64;
    if length == 0 {
        return Ok(Line::End);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if length == limit {
        input.skip_until(b'\n')?;
        return Ok(Line::TooLong(number));
    }
    Ok(Line::Text(number, line))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn words(source: impl Read + Send + 'static, skip: u64) -> Vec<String> {
        let mut lines = Lines::start(source, skip, None).unwrap();
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
    fn lines_of_a_file_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lines");
        std::fs::write(&file, "a\n\n \r\nb\nc").unwrap();
        assert_eq!(
            [0, 1, 3, 9].map(|skip| count(&file, skip)),
            [3, 2, 2, 0].map(Some)
        );
        assert_eq!(count(folder.path(), 0), None);
        assert_eq!(count(Path::new("/dev/null"), 0), None);
    }
}
