//! One direction of a TCP connection, put in order: segments that come early wait, what came twice is dropped, and what never
//! came is a gap that is told. It looks into no byte.

use std::collections::BTreeMap;

/// Bytes that wait for what is before them, at most. When there are more, what is before them is given up as a gap.
const WAITING_LEN_MAX: usize = 256 << 10;
/// Segments that wait, at most: the same when there are more.
const WAITING_SEGMENTS_MAX: usize = 1_024;
/// How far ahead of what has come a segment may be. One farther away belongs to no honest connection; it is dropped and counted.
const AHEAD_LEN_MAX: u64 = 64 << 20;

/// What comes next in the direction. `at` counts its bytes from 0.
pub(crate) enum Piece<'a> {
    Data {
        at: u64,
        bytes: &'a [u8],
        time_ns: u64,
    },
    /// These bytes were sent and are not in the capture.
    Gap {
        len: u64,
    },
}

/// What a segment carries.
#[derive(Clone, Copy)]
pub(crate) struct Load<'a> {
    pub(crate) sequence: u32,
    pub(crate) bytes: &'a [u8],
    /// Bytes behind `bytes` that the capture left out.
    pub(crate) cut_len: usize,
    pub(crate) time_ns: u64,
}

#[derive(Default)]
pub(crate) struct Stream {
    /// The sequence number of the next byte; `None` before the first segment.
    next: Option<u32>,
    /// How many bytes are behind, gaps included.
    at: u64,
    waiting: BTreeMap<u64, Waiting>,
    waiting_len: usize,
    /// Segments that were too far ahead.
    pub(crate) strays: u64,
}

struct Waiting {
    bytes: Vec<u8>,
    cut_len: usize,
    time_ns: u64,
}

impl Stream {
    /// The connection begins: the next byte has this number.
    pub(crate) fn start(&mut self, next: u32) {
        if self.next.is_none() {
            self.next = Some(next);
        }
    }

    /// Whether a segment has come.
    pub(crate) fn has_start(&self) -> bool {
        self.next.is_some()
    }

    /// Takes a segment and hands on what is in order now.
    pub(crate) fn take(&mut self, load: Load<'_>, mut hand_on: impl FnMut(Piece<'_>)) {
        if load.bytes.is_empty() && load.cut_len == 0 {
            return;
        }
        let next = *self.next.get_or_insert(load.sequence);
        // A number less than half the circle ahead is ahead, else behind (RFC 9293 §3.4).
        let distance = load.sequence.wrapping_sub(next).cast_signed();
        let ahead = u64::from(distance.unsigned_abs());
        if distance < 0 {
            // What was seen before is cut off; what goes beyond it is new.
            let seen = usize::try_from(ahead).unwrap_or(usize::MAX);
            let (bytes, cut_len) = behind(load.bytes, load.cut_len, seen);
            self.pass(bytes, cut_len, load.time_ns, &mut hand_on);
        } else if ahead > AHEAD_LEN_MAX {
            self.strays += 1;
        } else if ahead > 0 {
            self.wait(self.at + ahead, load);
        } else {
            self.pass(load.bytes, load.cut_len, load.time_ns, &mut hand_on);
        }
        self.drain(&mut hand_on);
        while self.waiting_len > WAITING_LEN_MAX || self.waiting.len() > WAITING_SEGMENTS_MAX {
            self.give_up(&mut hand_on);
        }
    }

    /// The end of the capture: what waits is handed on, behind gaps.
    pub(crate) fn finish(&mut self, mut hand_on: impl FnMut(Piece<'_>)) {
        while !self.waiting.is_empty() {
            self.give_up(&mut hand_on);
        }
    }

    fn wait(&mut self, at: u64, load: Load<'_>) {
        let len = |bytes: usize, cut: usize| bytes + cut;
        let is_longer =
            |held: &Waiting| len(load.bytes.len(), load.cut_len) > len(held.bytes.len(), held.cut_len);
        if self.waiting.get(&at).is_some_and(|held| !is_longer(held)) {
            return;
        }
        let waiting = Waiting { bytes: load.bytes.to_vec(), cut_len: load.cut_len, time_ns: load.time_ns };
        self.waiting_len += load.bytes.len();
        if let Some(shorter) = self.waiting.insert(at, waiting) {
            self.waiting_len -= shorter.bytes.len();
        }
    }

    /// Hands on what follows what has come.
    fn drain(&mut self, hand_on: &mut impl FnMut(Piece<'_>)) {
        while let Some(entry) = self.waiting.first_entry().filter(|entry| *entry.key() <= self.at) {
            let (at, waiting) = entry.remove_entry();
            self.waiting_len -= waiting.bytes.len();
            let seen = usize::try_from(self.at - at).unwrap_or(usize::MAX);
            let (bytes, cut_len) = behind(&waiting.bytes, waiting.cut_len, seen);
            self.pass(bytes, cut_len, waiting.time_ns, hand_on);
        }
    }

    /// Tells what is missing before the first that waits, and goes on behind it.
    fn give_up(&mut self, hand_on: &mut impl FnMut(Piece<'_>)) {
        if let Some((&at, _)) = self.waiting.first_key_value() {
            self.skip(at - self.at, hand_on);
            self.drain(hand_on);
        }
    }

    fn pass(&mut self, bytes: &[u8], cut_len: usize, time_ns: u64, hand_on: &mut impl FnMut(Piece<'_>)) {
        if !bytes.is_empty() {
            hand_on(Piece::Data { at: self.at, bytes, time_ns });
            self.advance(bytes.len() as u64);
        }
        self.skip(cut_len as u64, hand_on);
    }

    fn skip(&mut self, len: u64, hand_on: &mut impl FnMut(Piece<'_>)) {
        if len > 0 {
            hand_on(Piece::Gap { len });
            self.advance(len);
        }
    }

    fn advance(&mut self, len: u64) {
        self.at += len;
        #[expect(clippy::cast_possible_truncation, reason = "sequence numbers count modulo 2^32")]
        let step = len as u32;
        self.next = self.next.map(|next| next.wrapping_add(step));
    }
}

/// What is left of a segment when its first `seen` bytes came before.
fn behind(bytes: &[u8], cut_len: usize, seen: usize) -> (&[u8], usize) {
    match bytes.get(seen..) {
        Some(rest) => (rest, cut_len),
        None => (&[], cut_len.saturating_sub(seen - bytes.len())),
    }
}
