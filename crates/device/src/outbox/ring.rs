//! The newest batches of the present boot, in memory, without gaps in their sequence.
//!
//! Each is stored as a head and its bytes, which may go around the end of the memory. What does not fit is refused: the
//! outbox decides what has to go.

use super::copy;

/// Bytes around a batch: its length and the time of its newest value.
const HEAD_LEN: usize = 2 + 8;

/// What is known of a batch in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) sequence: u64,
    pub(super) newest_ms: u64,
    pub(super) len: usize,
}

#[derive(Debug)]
pub(super) struct Ring<R> {
    bytes: R,
    /// Where the oldest entry begins.
    head: usize,
    used: usize,
    /// Sequence of the oldest entry, or of the next one to come.
    first: u64,
    count: u64,
    /// An entry to go on from: its sequence, and its distance from the head in bytes.
    bookmark: (u64, usize),
}

impl<R: AsRef<[u8]> + AsMut<[u8]>> Ring<R> {
    /// Empty; the next batch has the sequence `first`.
    pub(super) fn new(bytes: R, first: u64) -> Self {
        Self { bytes, head: 0, used: 0, first, count: 0, bookmark: (first, 0) }
    }

    fn capacity(&self) -> usize {
        self.bytes.as_ref().len()
    }

    /// Bytes of the longest batch that fits when nothing else is there.
    pub(super) fn message_len_max(&self) -> usize {
        self.capacity().saturating_sub(HEAD_LEN).min(usize::from(u16::MAX))
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Sequence of the oldest batch, or of the next one to come.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    pub(super) fn fits(&self, len: usize) -> bool {
        HEAD_LEN + len <= self.capacity() - self.used
    }

    /// Appends a batch that fits.
    pub(super) fn push(&mut self, newest_ms: u64, message: &[u8]) {
        let len = u16::try_from(message.len()).unwrap_or(u16::MAX);
        self.append(&len.to_le_bytes());
        self.append(&newest_ms.to_le_bytes());
        self.append(message);
        self.count += 1;
    }

    fn append(&mut self, from: &[u8]) {
        let capacity = self.capacity();
        let at = (self.head + self.used) % capacity;
        let (start, rest) = from.split_at(from.len().min(capacity - at));
        let bytes = self.bytes.as_mut();
        copy(bytes.get_mut(at..).unwrap_or_default(), start);
        copy(bytes, rest);
        self.used += from.len();
    }

    /// The bytes at `distance` from the head, in up to two pieces.
    fn pieces(&self, distance: usize, len: usize) -> [&[u8]; 2] {
        let (bytes, capacity) = (self.bytes.as_ref(), self.capacity());
        let at = if capacity == 0 { 0 } else { (self.head + distance) % capacity };
        let first = len.min(capacity - at);
        let piece = |range| bytes.get(range).unwrap_or_default();
        [piece(at..at + first), piece(0..len - first)]
    }

    fn bytes_at<const LEN: usize>(&self, distance: usize) -> [u8; LEN] {
        let mut out = [0; LEN];
        let [start, rest] = self.pieces(distance, LEN);
        copy(&mut out, start);
        copy(out.get_mut(start.len()..).unwrap_or_default(), rest);
        out
    }

    fn entry_at(&self, sequence: u64, distance: usize) -> Entry {
        let len = usize::from(u16::from_le_bytes(self.bytes_at(distance)));
        Entry { sequence, newest_ms: u64::from_le_bytes(self.bytes_at(distance + 2)), len }
    }

    pub(super) fn front(&self) -> Option<Entry> {
        (self.count > 0).then(|| self.entry_at(self.first, 0))
    }

    /// The bytes of the oldest batch.
    pub(super) fn front_pieces(&self) -> [&[u8]; 2] {
        self.front().map_or([&[], &[]], |front| self.pieces(HEAD_LEN, front.len))
    }

    pub(super) fn pop_front(&mut self) -> Option<Entry> {
        let front = self.front()?;
        let len = HEAD_LEN + front.len;
        self.head = (self.head + len) % self.capacity();
        self.used -= len;
        self.count -= 1;
        self.first += 1;
        let (sequence, distance) = self.bookmark;
        self.bookmark = if sequence < self.first { (self.first, 0) } else { (sequence, distance - len) };
        Some(front)
    }

    /// What is known of this batch, if it is here.
    pub(super) fn find(&mut self, sequence: u64) -> Option<Entry> {
        Some(self.locate(sequence)?.0)
    }

    /// Copies this batch into `out`, if it is here and fits.
    pub(super) fn read(&mut self, sequence: u64, out: &mut [u8]) -> Option<Entry> {
        let (entry, distance) = self.locate(sequence)?;
        let out = out.get_mut(..entry.len)?;
        let [start, rest] = self.pieces(distance + HEAD_LEN, entry.len);
        copy(out, start);
        copy(out.get_mut(start.len()..).unwrap_or_default(), rest);
        Some(entry)
    }

    fn locate(&mut self, sequence: u64) -> Option<(Entry, usize)> {
        if sequence < self.first || sequence - self.first >= self.count {
            return None;
        }
        let (mut at, mut distance) = if sequence < self.bookmark.0 { (self.first, 0) } else { self.bookmark };
        while at < sequence {
            distance += HEAD_LEN + self.entry_at(at, distance).len;
            at += 1;
        }
        self.bookmark = (at, distance);
        Some((self.entry_at(at, distance), distance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back_in_order_around_the_end() {
        let mut ring = Ring::new([0_u8; 64], 1);
        let mut out = [0; 64];
        for round in 1..200_u64 {
            let byte = u8::try_from(round % 251).unwrap();
            let message = [byte; 21];
            while !ring.fits(message.len()) {
                ring.pop_front();
            }
            ring.push(round * 10, &message);
            assert_eq!(ring.count(), round.min(2));
            let entry = ring.read(round, &mut out).unwrap();
            assert_eq!(entry, Entry { sequence: round, newest_ms: round * 10, len: 21 });
            assert_eq!(out[..21], message);
            assert_eq!(ring.front().unwrap().sequence, ring.first());
            assert!(ring.find(round + 1).is_none() && ring.find(0).is_none());
        }
    }

    #[test]
    fn takes_a_message_of_its_whole_memory_and_none_that_is_longer() {
        let mut ring = Ring::new([0_u8; 32], 7);
        assert_eq!(ring.message_len_max(), 22);
        assert!(ring.fits(22) && !ring.fits(23));
        ring.push(1, &[9; 22]);
        assert!(!ring.fits(0));
        assert_eq!(ring.front_pieces(), [&[9; 22][..], &[]]);
        assert!(ring.read(7, &mut [0; 21]).is_none());
        ring.pop_front();
        assert!(ring.front().is_none() && ring.fits(22));
        assert_eq!(ring.first(), 8);
    }

    #[test]
    fn memory_of_nothing_holds_nothing() {
        let mut ring = Ring::new([0_u8; 0], 1);
        assert!(ring.message_len_max() == 0 && !ring.fits(0));
        assert!(ring.pop_front().is_none() && ring.find(1).is_none());
        assert_eq!(ring.front_pieces(), [&[] as &[u8]; 2]);
    }
}
