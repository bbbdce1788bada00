//! The lines of a batch, read on a thread of their own: who sends must not wait for who writes them.
//!
//! Memory is bounded whatever is in the file: a line that is too long is passed over, and the reader waits for those who
//! take its lines.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

use crate::engine::batch::Bell;

/// The longest line that is taken.
pub const LONGEST: usize = 16 * 1024 * 1024;

/// Pieces that are read ahead.
const AHEAD: usize = 4;

/// What is read at once.
const PIECE: usize = 64 * 1024;

/// What comes next.
pub enum Next {
    /// A line, without its end, and its number, counted from 1.
    Line(u64, Vec<u8>),
    /// A line that is longer than [`LONGEST`].
    TooLong(u64),
    /// Nothing yet; the bell is rung when there is.
    Nothing,
    /// There are no more.
    End,
    /// The rest cannot be read.
    Broken(std::io::Error),
}

/// Some lines, or why there are no more.
struct Piece {
    lines: Vec<Next>,
    /// The bytes up to here.
    offset: u64,
}

/// The lines as they come.
pub struct Lines {
    pieces: Receiver<Piece>,
    at_hand: std::vec::IntoIter<Next>,
    offset: u64,
    /// Of a file, its size.
    size: Option<u64>,
    last: u64,
}

impl Lines {
    /// The lines of a file, `-` for stdin, without the first `skip`.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path, skip: u64, bell: Option<Bell>) -> std::io::Result<Lines> {
        if path == Path::new("-") {
            return Lines::start(std::io::stdin(), None, skip, bell);
        }
        let file = File::open(path)?;
        let size = file
            .metadata()
            .ok()
            .filter(std::fs::Metadata::is_file)
            .map(|metadata| metadata.len());
        Lines::start(file, size, skip, bell)
    }

    fn start(
        source: impl Read + Send + 'static,
        size: Option<u64>,
        skip: u64,
        bell: Option<Bell>,
    ) -> std::io::Result<Lines> {
        let (sender, pieces) = sync_channel(AHEAD);
        let splitter = Splitter {
            skip,
            ..Splitter::default()
        };
        let read = move || read(source, splitter, &sender, bell.as_ref());
        // Never waited for: it may be in the middle of reading from somebody who writes no more.
        std::thread::Builder::new()
            .name("batch".to_owned())
            .spawn(read)?;
        Ok(Lines {
            pieces,
            at_hand: Vec::new().into_iter(),
            offset: 0,
            size,
            last: skip,
        })
    }

    /// What is at hand.
    pub fn next(&mut self) -> Next {
        self.take(|pieces| match pieces.try_recv() {
            Ok(piece) => Some(piece),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(gave_up()),
        })
    }

    /// As [`Lines::next`], but waits for it.
    pub fn wait(&mut self) -> Next {
        self.take(|pieces| Some(pieces.recv().unwrap_or_else(|_| gave_up())))
    }

    fn take(&mut self, more: impl Fn(&Receiver<Piece>) -> Option<Piece>) -> Next {
        loop {
            if let Some(next) = self.at_hand.next() {
                if let Next::Line(number, _) | Next::TooLong(number) = next {
                    self.last = number;
                }
                return next;
            }
            let Some(piece) = more(&self.pieces) else {
                return Next::Nothing;
            };
            self.offset = self.offset.max(piece.offset);
            self.at_hand = piece.lines.into_iter();
        }
    }

    /// The number of the last line that was given, the skipped ones included.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// How many lines there are, as far as the part of a file that was read lets one guess.
    pub fn expected(&self) -> Option<u64> {
        let read = self.last + self.at_hand.len() as u64;
        let expected = u128::from(read) * u128::from(self.size?) / u128::from(self.offset.max(1));
        u64::try_from(expected)
            .ok()
            .map(|expected| expected.max(read))
    }
}

/// Who reads says when there is no more. Without a word it ends only by a panic, which was told.
fn gave_up() -> Piece {
    let reason = std::io::Error::other("the reader gave up without a reason");
    Piece {
        lines: vec![Next::Broken(reason)],
        offset: 0,
    }
}

fn read(
    mut source: impl Read,
    mut splitter: Splitter,
    sender: &SyncSender<Piece>,
    bell: Option<&Bell>,
) {
    let mut buffer = vec![0; PIECE];
    let mut offset = 0;
    loop {
        let (lines, more) = match source.read(&mut buffer) {
            Ok(0) => (splitter.end(), false),
            Ok(read) => {
                offset += read as u64;
                (splitter.split(&buffer[..read]), true)
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => (vec![Next::Broken(e)], false),
        };
        if !lines.is_empty() && sender.send(Piece { lines, offset }).is_err() {
            return;
        }
        if let Some(bell) = bell {
            bell.ring();
        }
        if !more {
            return;
        }
    }
}

/// Cuts what is read into lines.
#[derive(Default)]
struct Splitter {
    skip: u64,
    number: u64,
    begun: Vec<u8>,
    too_long: bool,
}

impl Splitter {
    fn split(&mut self, mut bytes: &[u8]) -> Vec<Next> {
        let mut lines = Vec::new();
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.add(&bytes[..end]);
            bytes = &bytes[end + 1..];
            self.finish(&mut lines);
        }
        self.add(bytes);
        lines
    }

    fn end(&mut self) -> Vec<Next> {
        let mut lines = Vec::new();
        if self.too_long || !self.begun.is_empty() {
            self.finish(&mut lines);
        }
        lines.push(Next::End);
        lines
    }

    fn add(&mut self, bytes: &[u8]) {
        if self.number < self.skip {
            // Only whether there is one at all matters.
            self.too_long |= !bytes.is_empty();
        } else if self.too_long || self.begun.len() + bytes.len() > LONGEST {
            (self.too_long, self.begun) = (true, Vec::new());
        } else {
            self.begun.extend_from_slice(bytes);
        }
    }

    fn finish(&mut self, lines: &mut Vec<Next>) {
        self.number += 1;
        let (line, too_long) = (
            std::mem::take(&mut self.begun),
            std::mem::take(&mut self.too_long),
        );
        if self.number > self.skip {
            lines.push(if too_long {
                Next::TooLong(self.number)
            } else {
                Next::Line(self.number, line)
            });
        }
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
                Next::Line(number, line) => format!("{number} {}", String::from_utf8_lossy(&line)),
                Next::TooLong(number) => format!("{number} too long"),
                Next::Nothing => unreachable!("it waits"),
                Next::End => return words,
                Next::Broken(e) => {
                    words.push(e.to_string());
                    return words;
                }
            });
        }
    }

    #[test]
    fn lines_have_their_numbers_wherever_a_piece_ends() {
        assert_eq!(
            words(Cursor::new("a\n\nb\r\nc"), 0),
            ["1 a", "2 ", "3 b\r", "4 c"]
        );
        assert_eq!(words(Cursor::new(""), 0), [""; 0]);
        assert_eq!(words(Cursor::new("\n"), 0), ["1 "]);
        let long = "x".repeat(PIECE + 7);
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
    fn a_line_without_end_takes_no_memory_and_the_next_one_is_read() {
        let endless = io::repeat(b'x')
            .take(LONGEST as u64 + 1)
            .chain(Cursor::new("\nnext\n"));
        assert_eq!(words(endless, 0), ["1 too long", "2 next"]);
        let longest = io::repeat(b'x')
            .take(LONGEST as u64)
            .chain(Cursor::new("\nnext"));
        assert_eq!(words(longest, 0).len(), 2);
        let skipped = io::repeat(b'x')
            .take(LONGEST as u64 + 1)
            .chain(Cursor::new("\nnext\n"));
        assert_eq!(words(skipped, 1), ["2 next"]);
    }

    #[test]
    fn what_was_read_before_it_broke_is_given() {
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
    fn the_part_that_was_read_tells_how_many_there_will_be() {
        let text = "0123456\n".repeat(20_000);
        let size = text.len() as u64;
        let mut lines = Lines::start(Cursor::new(text), Some(size), 0, None).unwrap();
        let _ = lines.wait();
        let expected = lines.expected().unwrap();
        assert!((19_990..=20_010).contains(&expected), "{expected}");
    }
}
