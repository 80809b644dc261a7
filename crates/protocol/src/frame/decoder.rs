//! Reads frames from a stream that is cut anywhere; it never waits for a byte it does not need, and never stores one
//! past the limit.

use core::fmt;

use zeroize::Zeroize;

use super::cbc::{CbcSecret, Decryptor, Variant};
use super::hex::{BlockDigits, is_hex_digit};
use super::{BLOCK_LEN, BLOCKS_MAX, FrameError, SEPARATOR, is_text, text_len};

/// Plaintext of the longest frame, padding included.
const PLAIN_LEN_MAX: usize = BLOCKS_MAX * BLOCK_LEN;

/// What the next byte of the stream must be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// A digit of a block.
    Digit,
    /// A `+`: the block before is whole and did not end the frame.
    Separator,
}

/// Decrypts the stream of one device, frame by frame, in constant memory (about 2 KiB).
pub struct FrameDecoder {
    decryptor: Decryptor,
    expect: Expect,
    digits: BlockDigits,
    plain: [u8; PLAIN_LEN_MAX],
    blocks: usize,
    broken: Option<FrameError>,
}

impl FrameDecoder {
    /// A decoder for a stream that begins with a frame, encrypted with this secret in this variant.
    #[must_use]
    pub fn new(secret: &CbcSecret, variant: Variant) -> Self {
        Self {
            decryptor: Decryptor::new(secret, variant),
            expect: Expect::Digit,
            digits: BlockDigits::default(),
            plain: [0; PLAIN_LEN_MAX],
            blocks: 0,
            broken: None,
        }
    }

    /// Consumes `input` up to the end of a frame and returns the frame's JSON text without its padding; `Ok(None)`
    /// when the input is used up and the frame is not. Call it again until then.
    ///
    /// A frame is handed on with its last byte: it ends where its plaintext ends in `}` and padding.
    ///
    /// # Errors
    /// The peer sends no frames, one that is too long, or one that does not decrypt to a text with an end. The
    /// byte at fault stays in `input`. The stream is lost then: each later call returns the same error.
    pub fn next<'d>(&'d mut self, input: &mut &[u8]) -> Result<Option<&'d [u8]>, FrameError> {
        if let Some(error) = self.broken {
            return Err(error);
        }
        match self.advance(input) {
            Ok(Some(len)) => Ok(self.plain.get(..len)),
            Ok(None) => Ok(None),
            Err(error) => {
                self.broken = Some(error);
                Err(error)
            }
        }
    }

    /// Whether part of a frame has come, but not its end.
    #[must_use]
    pub fn mid_frame(&self) -> bool {
        self.blocks > 0 || self.digits.count() > 0
    }

    /// The length of the text when a frame became complete.
    fn advance(&mut self, input: &mut &[u8]) -> Result<Option<usize>, FrameError> {
        loop {
            if self.expect == Expect::Separator && !self.take_separator(input)? {
                return Ok(None);
            }
            let Some(ciphertext) = self.digits.take(input, self.blocks * 33)? else { return Ok(None) };
            if let Some(len) = self.append(ciphertext)? {
                return Ok(Some(len));
            }
        }
    }

    /// `false` when the input is used up.
    fn take_separator(&mut self, input: &mut &[u8]) -> Result<bool, FrameError> {
        let Some((&byte, rest)) = input.split_first() else { return Ok(false) };
        match byte {
            SEPARATOR if self.blocks == BLOCKS_MAX => Err(FrameError::TooLong),
            SEPARATOR => {
                *input = rest;
                self.expect = Expect::Digit;
                Ok(true)
            }
            byte if is_hex_digit(byte) => Err(FrameError::Unterminated { blocks: self.blocks }),
            byte => Err(FrameError::NotSeparator { byte, offset: self.blocks * 33 - 1 }),
        }
    }

    /// Decrypts one more block of the frame; the length of the text when that block ends it.
    ///
    /// A wrong key or variant and most damage show here, in the block where they begin: waiting for the frame's
    /// end would keep such a peer until the deadline.
    fn append(&mut self, ciphertext: [u8; BLOCK_LEN]) -> Result<Option<usize>, FrameError> {
        let start = self.blocks * BLOCK_LEN;
        let end = start + BLOCK_LEN;
        let slot =
            self.plain.get_mut(start..end).expect("take_separator refuses what would follow the last block");
        slot.copy_from_slice(&self.decryptor.decrypt(ciphertext));
        if !slot.iter().copied().all(is_text) {
            return Err(FrameError::NotText { block: self.blocks });
        }
        let len = self.plain.get(..end).and_then(text_len);
        if len.is_some() {
            self.decryptor.restart();
            self.expect = Expect::Digit;
            self.blocks = 0;
        } else {
            self.expect = Expect::Separator;
            self.blocks += 1;
        }
        Ok(len)
    }
}

impl fmt::Debug for FrameDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameDecoder")
            .field("blocks", &self.blocks)
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}

impl Drop for FrameDecoder {
    fn drop(&mut self) {
        self.plain.zeroize(); // a patient's values
    }
}
