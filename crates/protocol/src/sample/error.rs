//! Why a text is no sample. Errors carry positions and channels, never a value of a patient.

use super::{Channel, JSON_LEN_MAX, VALUE_LEN_MAX};

/// Why a sample was refused, read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    /// The text is longer than a frame can carry.
    #[error("text of {len} bytes is over the limit of {JSON_LEN_MAX}")]
    TooLong {
        /// Bytes of the text.
        len: usize,
    },
    /// The text is cut off.
    #[error("text ends at byte {at}, where {expected} must follow")]
    EndsEarly {
        /// Bytes of the text.
        at: usize,
        /// What JSON needs there.
        expected: &'static str,
    },
    /// The text is not the JSON that is expected.
    #[error("byte {at} of the text is not {expected}")]
    Unexpected {
        /// The byte's place in the text, from 0.
        at: usize,
        /// What JSON needs there.
        expected: &'static str,
    },
    /// A string holds an escape, a control character or a byte beyond ASCII; none has a place in a sample.
    #[error("byte {at} of the text is an escape, a control character or not ASCII")]
    NotPlain {
        /// The byte's place in the text, from 0.
        at: usize,
    },
    /// A key that no channel has.
    #[error("the key at byte {at} of the text is none of the seven channels'")]
    UnknownKey {
        /// Where the key begins in the text, from 0.
        at: usize,
    },
    /// A channel comes twice.
    #[error("key {channel} comes twice")]
    DoubledKey {
        /// The channel.
        channel: Channel,
    },
    /// A channel does not come.
    #[error("key {channel} is missing")]
    MissingKey {
        /// The first channel that is missing.
        channel: Channel,
    },
    /// A value is not a decimal in JSON's grammar.
    #[error("value of {channel} is not a decimal number")]
    NotANumber {
        /// The channel.
        channel: Channel,
    },
    /// A value has too many characters.
    #[error("value of {channel} has {len} characters, over the limit of {VALUE_LEN_MAX}")]
    ValueTooLong {
        /// The channel.
        channel: Channel,
        /// Characters of the value; when writing, as many as were needed to know.
        len: usize,
    },
    /// A value is infinite or not a number.
    #[error("value of {channel} is not finite")]
    NotFinite {
        /// The channel.
        channel: Channel,
    },
    /// Something follows the object.
    #[error("text goes on at byte {at}, after the object's end")]
    TrailingBytes {
        /// Where it goes on, from 0.
        at: usize,
    },
    /// The buffer for the text is too small.
    #[error("output of {available} bytes is too small for the sample: pass JSON_LEN_MAX bytes")]
    OutputTooSmall {
        /// Bytes the output holds.
        available: usize,
    },
}

impl SampleError {
    /// A short stable name of the cause, as the label of a metric.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "too_long",
            Self::EndsEarly { .. } => "ends_early",
            Self::Unexpected { .. } => "unexpected",
            Self::NotPlain { .. } => "not_plain",
            Self::UnknownKey { .. } => "unknown_key",
            Self::DoubledKey { .. } => "doubled_key",
            Self::MissingKey { .. } => "missing_key",
            Self::NotANumber { .. } => "not_a_number",
            Self::ValueTooLong { .. } => "value_too_long",
            Self::NotFinite { .. } => "not_finite",
            Self::TrailingBytes { .. } => "trailing_bytes",
            Self::OutputTooSmall { .. } => "output_too_small",
        }
    }
}
