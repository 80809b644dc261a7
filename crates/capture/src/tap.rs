//! Where the readers of protocols put what they read: into the search and the table of blocks, with the place it came from.

use std::ops::Range;

use crate::blocks::{BLOCK_LEN, Blocks, Seen};
use crate::evidence::{Evidence, Findings, FoundIn, Repeat};
use crate::needle::{NeedleKind, Place, Search, Zone};

/// One direction of one flow, while a piece of it is read. Each `at` counts the bytes of the direction from 0.
pub(crate) struct Tap<'a> {
    pub(crate) search: &'a Search,
    pub(crate) blocks: &'a mut Blocks,
    pub(crate) findings: &'a mut Findings,
    pub(crate) evidence: &'a mut Evidence,
    pub(crate) places: &'a mut Places,
    pub(crate) flow: u32,
    pub(crate) to_server: bool,
    pub(crate) time_ns: u64,
}

/// Where the searches of a direction stand.
#[derive(Default)]
pub(crate) struct Places {
    bytes: Place,
    decoded: Place,
}

impl Tap<'_> {
    /// Bytes in the clear.
    pub(crate) fn plain(&mut self, at: u64, bytes: &[u8]) {
        self.scan(Zone::Plain, at, bytes);
    }

    /// Bytes that are said to be encrypted.
    pub(crate) fn cipher(&mut self, at: u64, bytes: &[u8]) {
        self.scan(Zone::Cipher, at, bytes);
    }

    /// Hexadecimal digits of ciphertext.
    pub(crate) fn digits(&mut self, at: u64, bytes: &[u8]) {
        self.scan(Zone::Digits, at, bytes);
    }

    fn scan(&mut self, zone: Zone, at: u64, bytes: &[u8]) {
        let mut place = self.places.bytes;
        self.scan_from(&mut place, zone, at, bytes, 0..0);
        self.places.bytes = place;
    }

    /// A message of a handshake, whole. A link id is in its place within `identities`.
    pub(crate) fn message(&mut self, at: u64, bytes: &[u8], identities: Range<usize>) {
        self.scan_from(&mut Place::default(), Zone::Plain, at, bytes, identities);
    }

    /// A block of ciphertext that came as digits: if these are no ciphertext, a search shows it.
    pub(crate) fn decoded(&mut self, at: u64, block: [u8; BLOCK_LEN]) {
        let mut place = self.places.decoded;
        self.scan_from(&mut place, Zone::Cipher, at, &block, 0..0);
        self.places.decoded = place;
        self.block(at, block);
    }

    pub(crate) fn block(&mut self, at: u64, block: [u8; BLOCK_LEN]) {
        if let Some(before) = self.blocks.note(block, Seen { flow: self.flow, at }) {
            let Self { to_server, time_ns, .. } = *self;
            self.evidence.repeat(Repeat { to_server, at, time_ns, before });
        }
    }

    fn scan_from(&mut self, place: &mut Place, zone: Zone, at: u64, bytes: &[u8], identities: Range<usize>) {
        let Self { flow, to_server, time_ns, .. } = *self;
        self.search.scan(place, zone, bytes, |hit| {
            let in_identities =
                hit.end <= identities.end && hit.end - hit.len.min(hit.end) >= identities.start;
            if hit.kind == NeedleKind::LinkId && in_identities {
                return;
            }
            // A needle that began in an earlier piece counts from there.
            let start = (at + hit.end as u64).saturating_sub(hit.len as u64);
            self.findings.note(FoundIn { flow, to_server, needle: hit.needle }, start, time_ns);
        });
    }
}
