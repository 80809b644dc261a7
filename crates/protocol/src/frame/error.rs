//! What can be wrong with a frame. Errors carry positions, never plaintext and never keys.

use super::{BLOCKS_MAX, JSON_LEN_MAX};
use crate::sample::SampleError;

/// Why a frame was refused, read or written. After one of these a stream cannot be followed: end the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A block holds a byte that is no lowercase hex digit: the peer does not speak AES-CBC frames.
    #[error("byte {byte:#04x} at offset {offset} of the frame is not a lowercase hex digit")]
    NotHex {
        /// The byte found.
        byte: u8,
        /// Its offset in the frame, in bytes.
        offset: usize,
    },
    /// After a whole block comes a byte that neither continues the frame nor could begin another.
    #[error("byte {byte:#04x} at offset {offset} of the frame stands where `+` must continue it")]
    NotSeparator {
        /// The byte found.
        byte: u8,
        /// Its offset in the frame, in bytes.
        offset: usize,
    },
    /// The frame goes on after its last permitted block.
    #[error("frame goes on after {BLOCKS_MAX} blocks, the most that are accepted")]
    TooLong,
    /// A block decrypts to bytes that are no ASCII text: wrong key, wrong variant, or damaged on the way.
    #[error("block {block} of the frame does not decrypt to text: wrong key, other variant or damaged frame")]
    NotText {
        /// The block, counted from 0.
        block: usize,
    },
    /// The next frame begins, yet this one's plaintext has no end: wrong key, wrong variant, or damaged on the way.
    #[error(
        "frame of {blocks} blocks does not decrypt to a JSON object and its `&` padding: wrong key or damaged frame"
    )]
    Unterminated {
        /// Blocks of the frame, all decrypted.
        blocks: usize,
    },
    /// The frame decrypts to a JSON text that is no sample.
    #[error("frame of {len} bytes of text is no sample: {error}")]
    NotASample {
        /// Bytes of text in the frame.
        len: usize,
        /// What the sample parser said.
        error: SampleError,
    },
    /// The JSON text to be sent does not fit a frame.
    #[error("JSON text of {len} bytes does not fit a frame: shorten it to {JSON_LEN_MAX}")]
    JsonTooLong {
        /// Bytes of the JSON text.
        len: usize,
    },
    /// The JSON text to be sent holds a byte that a receiver would take for damage.
    #[error(
        "byte {offset} of the JSON text is neither printable ASCII nor whitespace: write it as an escape"
    )]
    JsonNotText {
        /// The byte's place in the text, from 0.
        offset: usize,
    },
    /// The JSON text to be sent does not end in `}`: a receiver could not tell where it ends.
    #[error("JSON text does not end in `}}`: only an object, with nothing after it, can be sent in a frame")]
    JsonWithoutEnd,
    /// The JSON text to be sent holds `}&` where a block ends: a receiver would take that for the end.
    #[error(
        "JSON text holds `}}` and `&` up to byte {offset}, where a block ends and the frame would end too"
    )]
    JsonEndsEarly {
        /// Bytes of the JSON text up to the block's end.
        offset: usize,
    },
    /// The buffer for the frame is too small.
    #[error("frame needs {needed} bytes but the output holds {available}: pass FRAME_LEN_MAX bytes")]
    OutputTooSmall {
        /// Bytes the frame needs.
        needed: usize,
        /// Bytes the output holds.
        available: usize,
    },
}

impl FrameError {
    /// A short stable name of the cause, as the label of a metric.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::NotHex { .. } => "not_hex",
            Self::NotSeparator { .. } => "not_separator",
            Self::TooLong => "too_long",
            Self::NotText { .. } => "not_text",
            Self::Unterminated { .. } => "unterminated",
            Self::NotASample { .. } => "not_a_sample",
            Self::JsonTooLong { .. } => "json_too_long",
            Self::JsonNotText { .. } => "json_not_text",
            Self::JsonWithoutEnd => "json_without_end",
            Self::JsonEndsEarly { .. } => "json_ends_early",
            Self::OutputTooSmall { .. } => "output_too_small",
        }
    }
}
