//! What can be wrong with a frame. Errors carry positions, never plaintext and never keys.

use super::{BLOCKS_MAX, JSON_LEN_MAX};
use crate::sample::SampleError;

/// Why a frame was refused, read or written. After one of these a stream cannot be followed: end the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum FrameError {
    /// The peer does not speak AES-CBC frames.
    #[error("byte {byte:#04x} at offset {offset} of the frame is not a lowercase hex digit")]
    NotHex { byte: u8, offset: usize },
    /// Nor could the byte begin another frame.
    #[error("byte {byte:#04x} at offset {offset} of the frame stands where `+` must continue it")]
    NotSeparator { byte: u8, offset: usize },
    #[error("frame goes on after {BLOCKS_MAX} blocks, the most that are accepted")]
    TooLong,
    #[error("block {block} of the frame does not decrypt to text: wrong key, other variant or damaged frame")]
    NotText {
        /// Counted from 0.
        block: usize,
    },
    /// The next frame has begun.
    #[error(
        "frame of {blocks} blocks does not decrypt to a JSON object and its `&` padding: wrong key or damaged frame"
    )]
    Unterminated { blocks: usize },
    #[error("frame of {len} bytes of text is no sample: {error}")]
    NotASample { len: usize, error: SampleError },
    #[error("JSON text of {len} bytes does not fit a frame: shorten it to {JSON_LEN_MAX}")]
    JsonTooLong { len: usize },
    /// A receiver would take the byte for damage.
    #[error(
        "byte {offset} of the JSON text is neither printable ASCII nor whitespace: write it as an escape"
    )]
    JsonNotText { offset: usize },
    /// A receiver could not tell where the text ends.
    #[error("JSON text does not end in `}}`: only an object, with nothing after it, can be sent in a frame")]
    JsonWithoutEnd,
    /// A receiver would take that for the end.
    #[error(
        "JSON text holds `}}` and `&` up to byte {offset}, where a block ends and the frame would end too"
    )]
    JsonEndsEarly { offset: usize },
    #[error("frame needs {needed} bytes but the output holds {available}: pass FRAME_LEN_MAX bytes")]
    OutputTooSmall { needed: usize, available: usize },
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
