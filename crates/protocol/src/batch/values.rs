//! The values of one channel, read where they lie in the message. They were checked whole when the message was decoded.

use super::packed::{Damaged, Unpacker};
use super::{VALUES_MAX, tag};

/// Iterates over a channel's values: integers, to be taken times ten to the power of the channel's scale.
#[derive(Clone, Debug)]
pub struct Values<'a> {
    source: Source<'a>,
    left: usize,
}

#[derive(Clone, Debug)]
enum Source<'a> {
    Packed(Unpacker<'a>),
    Int8(&'a [u8]),
    Int16(&'a [u8]),
    Int32(&'a [u8]),
}

/// Why a channel's values were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValuesFault {
    Damaged,
    Count,
    UnknownTag,
}

impl<'a> Values<'a> {
    /// Reads packed values up to their end.
    pub(super) fn packed(bytes: &'a [u8]) -> Result<Self, ValuesFault> {
        let unpacker = Unpacker::new(bytes).map_err(|Damaged| ValuesFault::Damaged)?;
        let mut ahead = unpacker.clone();
        let mut left = 0;
        while ahead.next().map_err(|Damaged| ValuesFault::Damaged)?.is_some() {
            left += 1;
            if left > VALUES_MAX {
                return Err(ValuesFault::Count);
            }
        }
        Ok(Self { source: Source::Packed(unpacker), left })
    }

    /// A typed array of RFC 8746.
    pub(super) fn typed(tag: u64, bytes: &'a [u8]) -> Result<Self, ValuesFault> {
        let (source, width) = match tag {
            tag::SINT8 => (Source::Int8(bytes), 1),
            tag::SINT16_LE => (Source::Int16(bytes), 2),
            tag::SINT32_LE => (Source::Int32(bytes), 4),
            _ => return Err(ValuesFault::UnknownTag),
        };
        if !bytes.len().is_multiple_of(width) {
            return Err(ValuesFault::Damaged);
        }
        let left = bytes.len() / width;
        if left == 0 || left > VALUES_MAX { Err(ValuesFault::Count) } else { Ok(Self { source, left }) }
    }
}

impl Iterator for Values<'_> {
    type Item = i32;

    fn next(&mut self) -> Option<i32> {
        let value = match &mut self.source {
            Source::Packed(unpacker) => unpacker.next().ok().flatten(),
            Source::Int8(bytes) => chunk(bytes).map(|bytes| i32::from(i8::from_le_bytes(bytes))),
            Source::Int16(bytes) => chunk(bytes).map(|bytes| i32::from(i16::from_le_bytes(bytes))),
            Source::Int32(bytes) => chunk(bytes).map(i32::from_le_bytes),
        }?;
        self.left -= 1;
        Some(value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Values<'_> {}

/// Takes the first bytes off.
fn chunk<const WIDTH: usize>(bytes: &mut &[u8]) -> Option<[u8; WIDTH]> {
    let (chunk, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*chunk)
}
