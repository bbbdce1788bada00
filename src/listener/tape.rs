//! The tape: the bytes of one connection, cut into the requests they belong to.
//!
//! Deliberately decides nothing about HTTP: hyper reads the same bytes and says what is good. It knows no socket either.
//!
//! Invariant: each byte read is, until its request is answered or the limits are reached, in exactly one request, in the
//! order in which it came; and each request hyper hands out is the oldest that is not finished.

use std::collections::VecDeque;
use std::task::{Context, Poll};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::budget::Share;
use super::framing::{BodyKind, ChunkWalk};
use super::raw_head::{self, Standing};
use super::setup::Limits;
use crate::time::{UnixMs, duration_ms};

/// When the first byte of a request was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    pub received_at: UnixMs,
    pub at: Instant,
}

impl Arrival {
    pub(super) fn now() -> Self {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            received_at: UnixMs(duration_ms(since_epoch)),
            at: Instant::now(),
        }
    }
}

/// A request whose head has come whole.
#[derive(Debug)]
pub(super) struct Message {
    /// From its first byte to its empty line; blank lines that came before it are left out.
    pub head: Vec<u8>,
    /// The body's bytes as they came, as far as the limits: of a chunked body, with room for its framing.
    pub wire_body: Vec<u8>,
    /// Whether more of the body came than is kept.
    pub cut: bool,
    pub chunked: bool,
    /// Bytes that the body is said to have; the most there can be where nothing says.
    announced: usize,
    pub arrival: Arrival,
    /// See [`super::framing::Announced::conflicting`].
    pub conflicting: bool,
    /// What it takes in memory, wherever its bytes are by now.
    weight: usize,
}

/// Bytes of chunk sizes, extensions and trailers that are kept beside a chunked body's own. Of a body with more of them
/// there would be no exact copy, so that it is refused.
pub(super) const FRAMING: usize = 64 * 1024;

/// What the bytes that come next belong to.
#[derive(Debug)]
enum Place {
    Head,
    /// The body of the newest message, with what is left of it.
    Length(u64),
    Chunked(ChunkWalk),
    /// Nothing that can be followed: hyper will refuse what stands in `open`.
    Lost,
}

/// What hyper is doing, which tells whose bytes it writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Reading a head. What it writes now is a refusal of its own.
    Reading,
    /// The oldest message is with the service.
    Serving,
    /// The oldest message's answer is on its way out.
    Answering,
}

/// The bytes of one connection that are not yet answered.
#[derive(Debug)]
pub(super) struct Tape {
    limits: Limits,
    share: Share,
    /// What all messages take in memory.
    weight: usize,
    place: Place,
    turn: Turn,
    /// Whether the oldest message was handed over, or is not to be.
    given: bool,
    /// Whether hyper has taken the whole answer to the oldest message.
    answered: bool,
    /// Requests whose head is whole, oldest first.
    messages: VecDeque<Message>,
    /// What came after them and is not (yet) a whole head.
    open: Vec<u8>,
    open_since: Option<Arrival>,
    /// Whether the last byte of `open` ended a line: a further line end is then the empty line.
    at_line_start: bool,
    refusal: Option<u16>,
}

impl Tape {
    /// A tape for a connection nothing was read from, keeping as much of each head and body as the limits say, and reckoning
    /// what it keeps to its share of the memory.
    pub(super) fn new(limits: Limits, share: Share) -> Self {
        Self {
            limits,
            share,
            weight: 0,
            place: Place::Head,
            turn: Turn::Reading,
            given: false,
            answered: false,
            messages: VecDeque::new(),
            open: Vec::new(),
            open_since: None,
            at_line_start: false,
            refusal: None,
        }
    }

    /// The message hyper has just handed out: the oldest one. `None` if the recording has no whole head, that is, if
    /// hyper and the recording read the bytes differently.
    pub(super) fn serve(&mut self) -> Option<&Message> {
        self.turn = Turn::Serving;
        self.messages.front()
    }

    /// The message being served.
    pub(super) fn served(&self) -> Option<&Message> {
        self.messages.front()
    }

    /// Takes head and body of the message being served: they are handed over now.
    pub(super) fn hand_over(&mut self) -> Option<(Vec<u8>, Vec<u8>)> {
        self.given = true;
        let message = self.messages.front_mut()?;
        Some((
            std::mem::take(&mut message.head),
            std::mem::take(&mut message.wire_body),
        ))
    }

    /// What was handed over is now no longer in memory on account of this connection.
    pub(super) fn release(&mut self) {
        if let Some(message) = self.messages.front_mut() {
            self.weight -= std::mem::take(&mut message.weight);
        }
        self.reckon();
    }

    /// The rest is now no longer in memory.
    pub(super) fn release_rest(&mut self) {
        // A message that was handed over before may still be on its way to a receiver.
        self.weight = self.messages.front().map_or(0, |message| message.weight);
        self.reckon();
    }

    /// Ready as soon as there is memory for more.
    pub(super) fn poll_room(&mut self, cx: &Context<'_>) -> Poll<()> {
        self.share.poll_room(cx)
    }

    /// Whether nothing is read because there is no memory for more.
    pub(super) fn waits_for_room(&self) -> bool {
        self.share.waits()
    }

    fn reckon(&mut self) {
        self.share.hold(self.weight + self.open.len());
    }

    /// Whether the message being served has come whole, and was handed over or is not to be.
    pub(super) fn is_given(&self) -> bool {
        self.given
    }

    /// The message being served is no capture, and is not handed over.
    pub(super) fn waive(&mut self) {
        self.given = true;
    }

    /// The answer to the message being served goes to hyper now.
    pub(super) fn answer(&mut self) {
        self.turn = Turn::Answering;
        self.answered = false;
    }

    /// hyper has taken the last of an answer.
    pub(super) fn answered(&mut self) {
        self.answered = true;
    }

    /// Whether nothing is being served or answered: the connection is idle or within a head.
    pub(super) fn is_reading(&self) -> bool {
        self.turn == Turn::Reading
    }

    /// Whether a message is with the service.
    pub(super) fn is_serving(&self) -> bool {
        self.turn == Turn::Serving
    }

    /// Whether an answer is on its way that hyper has not written to its end.
    pub(super) fn is_answering(&self) -> bool {
        self.turn == Turn::Answering
    }

    /// Notes that what was read is refused with `status`; the first refusal counts.
    pub(super) fn refuse(&mut self, status: u16) {
        self.refusal.get_or_insert(status);
    }

    /// The status of the refusal that was noted, if any.
    pub(super) fn refusal(&self) -> Option<u16> {
        self.refusal
    }

    /// Takes what was read and never handed over, with its arrival; `None` if that is nothing but blank lines.
    pub(super) fn take_rest(&mut self) -> Option<(Vec<u8>, Arrival)> {
        // Still in memory until it is kept.
        self.weight += self.open.len();
        let handed_over = usize::from(self.given).min(self.messages.len());
        let rest = self.messages.drain(handed_over..);
        let mut since = None;
        let mut bytes = Vec::new();
        for message in rest {
            since.get_or_insert(message.arrival);
            bytes.extend(message.head);
            bytes.extend(message.wire_body);
        }
        bytes.append(&mut self.open);
        let since = since.or(self.open_since)?;
        let blank = bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
        (!blank || self.refusal.is_some()).then_some((bytes, since))
    }

    /// Files bytes that were just read under the requests they belong to.
    pub(super) fn record(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let used = match &mut self.place {
                Place::Head => self.record_head(bytes),
                Place::Lost => {
                    let most = self
                        .limits
                        .head_bytes
                        .saturating_add(self.limits.body_bytes);
                    keep(&mut self.open, bytes, most);
                    bytes.len()
                }
                Place::Length(left) => {
                    let used =
                        usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                    *left -= used as u64;
                    let ended = *left == 0;
                    self.record_body(&bytes[..used], ended);
                    used
                }
                Place::Chunked(walk) => {
                    let (used, ended) = walk.walk(bytes);
                    self.record_body(&bytes[..used], ended);
                    used
                }
            };
            bytes = &bytes[used..];
        }
        self.reckon();
    }

    /// Whether hyper has refused a head before all of it had come.
    pub(super) fn is_within_refused_head(&self) -> bool {
        self.refusal == Some(431) && matches!(self.place, Place::Head) && !self.open.is_empty()
    }

    /// Adds to the open head as far as its next empty line; gives how many bytes that took.
    fn record_head(&mut self, bytes: &[u8]) -> usize {
        self.open_since.get_or_insert_with(Arrival::now);
        let mut used = 0;
        let mut empty_line = false;
        for &byte in bytes {
            used += 1;
            match byte {
                b'\n' if self.at_line_start => {
                    empty_line = true;
                    break;
                }
                b'\n' => self.at_line_start = true,
                b'\r' => {}
                _ => self.at_line_start = false,
            }
        }
        self.open.extend_from_slice(&bytes[..used]);
        if self.open.len() > self.limits.head_bytes {
            self.place = Place::Lost;
        } else if empty_line {
            self.end_head();
        }
        used
    }

    /// Makes a message of the open head, if the empty line just read was the end of one.
    fn end_head(&mut self) {
        let announced = match raw_head::standing(&self.open, self.limits.headers) {
            // The blank lines some clients send before a request.
            Standing::Unfinished => return,
            Standing::Unreadable => {
                self.place = Place::Lost;
                return;
            }
            Standing::Whole(announced) => announced,
        };
        let mut head = std::mem::take(&mut self.open);
        let blank = head
            .iter()
            .take_while(|byte| matches!(byte, b'\r' | b'\n'))
            .count();
        head.drain(..blank);
        self.at_line_start = false;
        self.weight += head.len();
        self.messages.push_back(Message {
            weight: head.len(),
            head,
            wire_body: Vec::new(),
            announced: match announced.body {
                BodyKind::Length(length) => usize::try_from(length).unwrap_or(usize::MAX),
                BodyKind::Chunked => usize::MAX,
            },
            cut: false,
            chunked: matches!(announced.body, BodyKind::Chunked),
            arrival: self.open_since.take().unwrap_or_else(Arrival::now),
            conflicting: announced.conflicting,
        });
        self.place = match announced.body {
            BodyKind::Length(0) => Place::Head,
            BodyKind::Length(length) => Place::Length(length),
            BodyKind::Chunked => Place::Chunked(ChunkWalk::new()),
        };
    }

    fn record_body(&mut self, bytes: &[u8], ended: bool) {
        // There is none if the message was answered before its body had come, as with 413.
        if let Some(message) = self.messages.back_mut() {
            let framing = if message.chunked { FRAMING } else { 0 };
            let before = message.wire_body.capacity();
            let most = self.limits.body_bytes.saturating_add(framing);
            make_room(
                &mut message.wire_body,
                bytes.len(),
                most.min(message.announced),
            );
            message.cut |= !keep(&mut message.wire_body, bytes, most);
            // A chunked body is kept decoded, too.
            let more =
                (message.wire_body.capacity() - before) * if message.chunked { 2 } else { 1 };
            message.weight += more;
            self.weight += more;
        }
        if ended {
            self.place = Place::Head;
        }
    }

    /// Whether what hyper is writing is a refusal of its own, and so to be held back. Its status is noted.
    pub(super) fn holds_back(&mut self, written: &[u8]) -> bool {
        if self.turn != Turn::Reading {
            return false;
        }
        // `HTTP/1.1 431 …`: hyper writes its refusals whole, in one write.
        let status = written
            .get(9..12)
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| digits.parse().ok());
        self.refuse(status.unwrap_or(400));
        true
    }

    /// hyper has nothing left to write; whether that is the end of an answer.
    ///
    /// Of an answer that does not fit into its buffer, hyper writes the beginning before it has taken the rest.
    pub(super) fn flushed(&mut self) -> bool {
        let ended = self.turn == Turn::Answering && self.answered;
        if ended {
            self.turn = Turn::Reading;
            self.given = false;
            self.weight -= self
                .messages
                .pop_front()
                .map_or(0, |message| message.weight);
            self.reckon();
        }
        ended
    }
}

/// Makes room in `body` for `more` bytes, but never for more than `most`: twice as much as there was where it does not suffice,
/// as to grow by little would copy it again and again. All at once would be memory that is held for nothing where nothing comes.
fn make_room(body: &mut Vec<u8>, more: usize, most: usize) {
    let wanted = body.len().saturating_add(more).min(most);
    if body.capacity() < wanted {
        let room = wanted.max(body.capacity().saturating_mul(2)).min(most);
        body.reserve_exact(room - body.len());
    }
}

/// Adds `bytes` to `to`, as far as `limit` bytes in all; whether that was all of them.
fn keep(to: &mut Vec<u8>, bytes: &[u8], limit: usize) -> bool {
    let room = limit.saturating_sub(to.len());
    to.extend_from_slice(&bytes[..room.min(bytes.len())]);
    bytes.len() <= room
}

#[cfg(test)]
mod tests {
    use super::super::budget::Budget;
    use super::super::seats::Seats;
    use super::*;

    const POST: &[u8] = b"\r\nPOST /1 HTTP/1.1\r\ncontent-LENGTH: 3\r\n\r\nabc";
    const CHUNKED: &[u8] =
        b"POST /2 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n";
    const BARE: &[u8] = b"GET /3 HTTP/1.0\nA: b\n\n";

    fn taped(wire: &[u8], piece: usize) -> Tape {
        let limits = Limits {
            head_bytes: 64,
            body_bytes: 8,
            ..Limits::default()
        };
        let mut tape = Tape::new(
            limits,
            Budget::new(usize::MAX).share(&Seats::default().take()),
        );
        wire.chunks(piece).for_each(|bytes| tape.record(bytes));
        tape
    }

    #[test]
    fn pipelined_requests_are_told_apart_however_they_are_cut() {
        let wire = [POST, CHUNKED, BARE, b"GET /half"].concat();
        for piece in 1..=wire.len() {
            let tape = taped(&wire, piece);
            let heads: Vec<&[u8]> = tape
                .messages
                .iter()
                .map(|message| &message.head[..])
                .collect();
            assert_eq!(heads, [&POST[2..41], &CHUNKED[..48], BARE], "{piece}");
            let bodies: Vec<&[u8]> = tape
                .messages
                .iter()
                .map(|message| &message.wire_body[..])
                .collect();
            assert_eq!(
                bodies,
                [&b"abc"[..], b"1\r\nx\r\n0\r\n\r\n", b""],
                "{piece}"
            );
            assert_eq!(tape.open, b"GET /half", "{piece}");
        }
    }

    #[test]
    fn bodies_are_kept_as_far_as_the_limits_and_the_cut_is_noted() {
        let head = b"POST / HTTP/1.1\r\n";
        let long = taped(
            &[head, &b"Content-Length: 9\r\n\r\n123456789"[..]].concat(),
            4,
        );
        assert_eq!(
            (long.messages[0].wire_body.as_slice(), long.messages[0].cut),
            (&b"12345678"[..], true)
        );
        let coding = b"Transfer-Encoding: chunked\r\n\r\n";
        let zeros = vec![b'0'; FRAMING + 9];
        let padded = taped(&[&head[..], coding, &zeros].concat(), 4096);
        assert_eq!(
            (padded.messages[0].wire_body.len(), padded.messages[0].cut),
            (FRAMING + 8, true)
        );
    }

    #[test]
    fn a_message_leaves_when_its_answer_is_flushed() {
        let mut tape = taped(&[BARE, BARE].concat(), 7);
        assert!(
            tape.holds_back(b"HTTP/1.1 431 Too Large\r\n"),
            "nothing is being served"
        );
        assert_eq!(tape.refusal(), Some(431));
        assert_eq!(tape.serve().unwrap().head, BARE);
        tape.flushed();
        assert!(!tape.holds_back(b"HTTP/1.1 100 Continue\r\n\r\n"));
        tape.hand_over();
        tape.answer();
        assert!(!tape.flushed(), "hyper has not taken all of the answer");
        assert!(!tape.is_reading());
        tape.answered();
        assert!(tape.flushed());
        assert!(tape.is_reading());
        assert_eq!(tape.messages.len(), 1);
    }

    #[test]
    fn the_rest_is_all_that_was_not_handed_over() {
        let wire = [BARE, POST, b"GET"].concat();
        let mut tape = taped(&wire, wire.len());
        tape.serve();
        tape.hand_over();
        let (rest, _) = tape.take_rest().unwrap();
        assert_eq!(rest, [&POST[2..], b"GET"].concat());
        assert!(tape.take_rest().is_none());
        assert!(
            taped(b"\r\n\r\n", 1).take_rest().is_none(),
            "blank lines are nothing"
        );
    }

    #[test]
    fn what_is_on_it_weighs_until_it_is_kept_or_answered() {
        let mut tape = taped(&[POST, CHUNKED, b"GET /half"].concat(), 7);
        let chunked = tape.messages[1].wire_body.capacity();
        let (first, second) = (POST.len() - 2, 48 + 2 * chunked);
        assert_eq!(tape.weight, first + second);
        tape.serve();
        tape.hand_over();
        assert_eq!(tape.weight, first + second, "it is somewhere");
        tape.release();
        tape.answer();
        tape.answered();
        tape.flushed();
        assert_eq!(tape.weight, second);
        tape.take_rest();
        tape.release_rest();
        assert_eq!(tape.weight, 0);
    }

    #[test]
    fn what_is_on_its_way_to_a_receiver_weighs_longer_than_its_connection() {
        let mut tape = taped(&[POST, b"GET /half"].concat(), 7);
        let weight = tape.weight;
        tape.serve();
        tape.hand_over();
        assert_eq!(tape.take_rest().unwrap().0, b"GET /half");
        tape.release_rest();
        assert_eq!(tape.weight, weight);
    }

    #[test]
    fn what_cannot_be_followed_is_kept_together_within_the_limits() {
        let bad = b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\nGET / HTTP/1.1\r\n\r\n";
        assert_eq!(taped(bad, 5).take_rest().unwrap().0, bad);
        assert_eq!(
            taped(&[b'x'; 1000], 10).take_rest().unwrap().0.len(),
            64 + 8
        );
    }
}
