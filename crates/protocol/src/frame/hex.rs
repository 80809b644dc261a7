//! Lowercase hex, one block at a time. Uppercase is refused: no device sends it, and each frame has one spelling.

use super::{BLOCK_LEN, FrameError};

/// Digits of one block on the wire.
const BLOCK_DIGITS: usize = 2 * BLOCK_LEN;

/// In [`VALUES`]: not a lowercase hex digit.
const NONE: u8 = 0xff;

/// The value of each byte as a digit. Ciphertext is public, so a table's timing tells nothing.
static VALUES: [u8; 256] = values();

#[expect(clippy::indexing_slicing, reason = "runs at compile time, where a wrong index does not compile")]
const fn values() -> [u8; 256] {
    let digits = b"0123456789abcdef";
    let mut values = [NONE; 256];
    let mut value = 0;
    while value < 16 {
        values[digits[value as usize] as usize] = value;
        value += 1;
    }
    values
}

fn value(byte: u8) -> Option<u8> {
    VALUES.get(usize::from(byte)).copied().filter(|value| *value != NONE)
}

/// Whether `byte` is a lowercase hex digit.
pub(crate) fn is_hex_digit(byte: u8) -> bool {
    value(byte).is_some()
}

/// Writes `block` as 32 digits to the start of `out` and returns the rest of it, or `None` if it is too short.
pub(super) fn write_block<'o>(block: &[u8; BLOCK_LEN], out: &'o mut [u8]) -> Option<&'o mut [u8]> {
    let (digits, rest) = out.split_at_mut_checked(BLOCK_DIGITS)?;
    for (pair, byte) in digits.chunks_exact_mut(2).zip(block) {
        pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 0x0f)]);
    }
    Some(rest)
}

fn digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' + (value - 10) }
}

/// The block of 32 digits, or `None` if one is no digit: the common case, free of branches.
fn whole_block(digits: &[u8; BLOCK_DIGITS]) -> Option<[u8; BLOCK_LEN]> {
    let (pairs, _) = digits.as_chunks::<2>();
    let mut block = [0; BLOCK_LEN];
    let mut seen = 0;
    for (slot, [high, low]) in block.iter_mut().zip(pairs) {
        let [high, low] = [high, low].map(|digit| VALUES.get(usize::from(*digit)).copied().unwrap_or(NONE));
        seen |= high | low;
        *slot = (high << 4) | low;
    }
    (seen < 16).then_some(block)
}

/// The block that is being received, digit by digit.
#[derive(Clone, Copy, Default)]
pub(crate) struct BlockDigits {
    block: [u8; BLOCK_LEN],
    count: usize,
}

impl BlockDigits {
    /// How many digits of the block have come.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Takes digits off `input` up to the end of the block; `Ok(None)` when the input ends first.
    ///
    /// `offset` is where the block begins in its frame, for the error.
    pub(crate) fn take(
        &mut self,
        input: &mut &[u8],
        offset: usize,
    ) -> Result<Option<[u8; BLOCK_LEN]>, FrameError> {
        if self.count == 0
            && let Some((digits, rest)) = input.split_first_chunk()
            && let Some(block) = whole_block(digits)
        {
            *input = rest;
            return Ok(Some(block));
        }
        while self.count < BLOCK_DIGITS {
            let Some((&byte, rest)) = input.split_first() else { return Ok(None) };
            let value = value(byte).ok_or(FrameError::NotHex { byte, offset: offset + self.count })?;
            if let Some(slot) = self.block.get_mut(self.count / 2) {
                *slot = (*slot << 4) | value;
            }
            self.count += 1;
            *input = rest;
        }
        self.count = 0;
        Ok(Some(self.block))
    }
}
