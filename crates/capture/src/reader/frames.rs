//! The paper's AES-CBC frames (PROTOCOL.md §2.1): their blocks, without a key.

use crate::blocks::BLOCK_LEN;
use crate::evidence::{Protocol, Reason};
use crate::tap::Tap;

const DIGITS: usize = 2 * BLOCK_LEN;

/// Frames of one direction.
pub(crate) struct FrameReader {
    block: [u8; BLOCK_LEN],
    digits: usize,
    /// Where the present block began.
    block_at: u64,
    /// False until the next `+` tells where a block begins.
    in_step: bool,
    is_lost: bool,
}

impl FrameReader {
    /// A reader of frames; `is_start` when a block begins with the next byte.
    pub(crate) fn new(is_start: bool) -> Self {
        Self { block: [0; BLOCK_LEN], digits: 0, block_at: 0, in_step: is_start, is_lost: false }
    }

    pub(crate) fn feed(&mut self, at: u64, bytes: &[u8], tap: &mut Tap<'_>) {
        if self.is_lost {
            return tap.plain(at, bytes);
        }
        let fault = bytes.iter().zip(at..).position(|(byte, at)| !self.take(*byte, at, tap));
        let (frames, rest) = bytes.split_at(fault.unwrap_or(bytes.len()));
        tap.digits(at, frames);
        tap.evidence.encrypted_len += frames.len() as u64;
        if !rest.is_empty() {
            let at = at + frames.len() as u64;
            self.is_lost = true;
            tap.evidence.note(Reason::NotFrames { at });
            tap.evidence.note(Reason::NotJudged(Protocol::Unknown));
            tap.plain(at, rest);
        }
    }

    /// Bytes are missing: the next `+` tells where a block begins.
    pub(crate) fn gap(&mut self) {
        self.in_step = false;
        self.digits = 0;
    }

    /// False when the byte is none of a frame here.
    fn take(&mut self, byte: u8, at: u64, tap: &mut Tap<'_>) -> bool {
        let value = match byte {
            b'+' => {
                let ends_a_block = self.digits == 0;
                let was_in_step = std::mem::replace(&mut self.in_step, true);
                return ends_a_block || !was_in_step;
            }
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return false,
        };
        if !self.in_step {
            return true;
        }
        if self.digits == 0 {
            self.block_at = at;
        }
        if let Some(slot) = self.block.get_mut(self.digits / 2) {
            *slot = *slot << 4 | value;
        }
        self.digits += 1;
        if self.digits == DIGITS {
            self.digits = 0;
            tap.decoded(self.block_at, self.block);
        }
        true
    }
}
