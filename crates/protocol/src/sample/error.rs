//! Why a text is no sample. Errors carry positions and channels, never a value of a patient.

use super::{Channel, JSON_LEN_MAX, VALUE_LEN_MAX};

/// Why a sample was refused, read or written. `at` is the offset in the text, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum SampleError {
    #[error("text of {len} bytes is over the limit of {JSON_LEN_MAX}")]
    TooLong { len: usize },
    #[error("text ends at byte {at}, where {expected} must follow")]
    EndsEarly { at: usize, expected: &'static str },
    #[error("byte {at} of the text is not {expected}")]
    Unexpected { at: usize, expected: &'static str },
    #[error("byte {at} of the text is an escape, a control character or not ASCII")]
    NotPlain { at: usize },
    #[error("the key at byte {at} of the text is none of the seven channels'")]
    UnknownKey { at: usize },
    #[error("key {channel} comes twice")]
    DoubledKey { channel: Channel },
    #[error("key {channel} is missing")]
    MissingKey {
        /// The first channel that is missing.
        channel: Channel,
    },
    #[error("value of {channel} is not a decimal number")]
    NotANumber { channel: Channel },
    #[error("value of {channel} has {len} characters, over the limit of {VALUE_LEN_MAX}")]
    ValueTooLong {
        channel: Channel,
        /// Characters of the value; when writing, as many as were needed to know.
        len: usize,
    },
    #[error("value of {channel} is not finite")]
    NotFinite { channel: Channel },
    #[error("text goes on at byte {at}, after the object's end")]
    TrailingBytes { at: usize },
    #[error("output of {available} bytes is too small for the sample: pass JSON_LEN_MAX bytes")]
    OutputTooSmall { available: usize },
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
