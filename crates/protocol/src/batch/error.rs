//! What can be wrong with a message. Errors carry positions and names of fields, never a value.

use super::{BATCH_VALUES_MAX, CHANNELS_MAX, MESSAGE_LEN_MAX, NESTING_MAX, PROTOCOL_VERSION, VALUES_MAX};

/// Why a message was refused, read or written. `at` is the offset in the message, in bytes. After one of these a stream
/// cannot be followed: end the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum BatchError {
    #[error(
        "no message at byte {at}: one is a CBOR array of two, an unsigned type and a map, and begins with 0x82"
    )]
    NotAMessage { at: usize },
    #[error(
        "byte {at} is no well-formed CBOR of definite length: indefinite lengths and reserved forms are refused"
    )]
    NotDefiniteCbor { at: usize },
    #[error(
        "what byte {at} announces makes the message longer than {MESSAGE_LEN_MAX} bytes: send less at once"
    )]
    TooLong { at: usize },
    #[error(
        "what begins at byte {at} lies more than {NESTING_MAX} arrays, maps and tags deep: nest less, the message's own array counts"
    )]
    TooDeep { at: usize },
    #[error("field {field} at byte {at} is not {expected}")]
    WrongType {
        /// The field's name in PROTOCOL.md.
        field: &'static str,
        at: usize,
        expected: &'static str,
    },
    #[error("field {field} at byte {at} is outside its limits, which PROTOCOL.md gives")]
    OutOfRange {
        /// The field's name in PROTOCOL.md.
        field: &'static str,
        /// Where its value begins; 0 when writing.
        at: usize,
    },
    #[error("key at byte {at} is no field number, which is an unsigned integer below 64")]
    NotAFieldNumber { at: usize },
    #[error("field number {number} comes again at byte {at}: send each field once")]
    DuplicateField { number: u8, at: usize },
    #[error("field {field} is missing from the map that begins at byte {at}")]
    MissingField {
        /// The field's name in PROTOCOL.md.
        field: &'static str,
        at: usize,
    },
    #[error(
        "peer speaks version {version} of the batch protocol, this side {PROTOCOL_VERSION}: update the older"
    )]
    UnknownVersion { version: u64 },
    #[error("batch with {count} channels: 1 to {CHANNELS_MAX} are accepted")]
    ChannelCount { count: u64 },
    #[error("channel {channel} comes again at byte {at}: send a channel once a batch")]
    DuplicateChannel {
        channel: u8,
        /// Where its map begins; 0 when writing.
        at: usize,
    },
    #[error("channel {channel} of a batch has no value, or more than {VALUES_MAX}: send shorter batches")]
    ValueCount { channel: u8 },
    #[error("batch with more than {BATCH_VALUES_MAX} values in all its channels: send shorter batches")]
    BatchValueCount,
    #[error(
        "packed values of channel {channel} at byte {at} are damaged: header, padding or a value past 32 bits"
    )]
    DamagedValues { channel: u8, at: usize },
    #[error(
        "message does not fit {available} bytes: pass a larger buffer, up to {MESSAGE_LEN_MAX}, or send fewer values at once"
    )]
    OutputTooSmall {
        /// Bytes the buffer holds, as far as a message may use them.
        available: usize,
    },
}

impl BatchError {
    /// A short stable name of the cause, as the label of a metric.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::NotAMessage { .. } => "not_a_message",
            Self::NotDefiniteCbor { .. } => "not_definite_cbor",
            Self::TooLong { .. } => "too_long",
            Self::TooDeep { .. } => "too_deep",
            Self::WrongType { .. } => "wrong_type",
            Self::OutOfRange { .. } => "out_of_range",
            Self::NotAFieldNumber { .. } => "not_a_field_number",
            Self::DuplicateField { .. } => "duplicate_field",
            Self::MissingField { .. } => "missing_field",
            Self::UnknownVersion { .. } => "unknown_version",
            Self::ChannelCount { .. } => "channel_count",
            Self::DuplicateChannel { .. } => "duplicate_channel",
            Self::ValueCount { .. } => "value_count",
            Self::BatchValueCount => "batch_value_count",
            Self::DamagedValues { .. } => "damaged_values",
            Self::OutputTooSmall { .. } => "output_too_small",
        }
    }
}
