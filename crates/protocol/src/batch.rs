//! The batch protocol: a CBOR sequence (RFC 8742) of messages inside the secure link, in both directions.
//!
//! A message is `[type, {field: value}]`, so that a receiver skips the types and fields it does not know. This module
//! turns messages into bytes and bytes, cut anywhere, back into messages; values are read where they lie. It
//! never authenticates, never keeps a message, and its errors never carry a patient's value: the link (TLS 1.3)
//! protects, the gateway's journal keeps. `PROTOCOL.md` is its text.

mod channel;
mod decimal;
mod decode;
mod encode;
mod error;
mod fields;
mod packed;
mod scan;
mod values;

pub use channel::{ChannelData, Channels};
pub use decimal::Decimal;
pub use decode::{Batch, Configure, Intervals, Message, begins_as_batch, decode};
pub use encode::{
    Samples, add_oldest, encode_ack, encode_batch, encode_configure, encode_event, encode_hello,
    encode_refused, encode_welcome,
};
pub use error::BatchError;
pub use scan::Scanner;
pub use values::Values;

/// Version of the protocol that `Hello` and `Welcome` name. It changes only with what an old peer cannot skip.
pub const PROTOCOL_VERSION: u64 = 1;

/// Bytes of the longest message: as much as one TLS record carries.
pub const MESSAGE_LEN_MAX: usize = 16 * 1024;

/// Bytes of the longest message that a server may send, and of the plaintext of its TLS records: a device has little memory.
pub const SERVER_MESSAGE_LEN_MAX: usize = 512;

/// How deep arrays, maps and tags may lie within each other, the message's own array counted. A batch in the form of today
/// goes down to 5; the rest is for later versions. A receiver that reads recursively needs no more stack than this.
pub const NESTING_MAX: usize = 8;

/// Channels of a device, and so of a batch; a channel's index is below it.
pub const CHANNELS_MAX: usize = 32;

/// Values of one channel in one batch: 10 s at 500 Hz.
pub const VALUES_MAX: usize = 5_000;

/// Values of all channels in one batch. Packed values may take a bit each; without this limit a message of 16 KiB
/// could unfold to eight times as many.
pub const BATCH_VALUES_MAX: usize = 16_384;

/// Shortest interval between two values of a channel, in microseconds: 500 Hz.
pub const INTERVAL_US_MIN: u32 = 2_000;

/// Longest interval between two values of a channel, and longest delay of its first one, in microseconds: an hour.
pub const INTERVAL_US_MAX: u32 = 3_600_000_000;

/// Longest batch a server may ask for, in milliseconds.
pub const BATCH_MS_MAX: u32 = 60_000;

/// A value is an integer times ten to the power of its channel's scale, which lies within plus and minus this.
pub const SCALE_MAX: i8 = 9;

/// Largest sequence number, so that it fits every database's integer. The first is 1.
pub const SEQUENCE_MAX: u64 = i64::MAX as u64;

/// Largest time in milliseconds, device's or UTC, so that it stays exact in every program's numbers.
pub const TIME_MS_MAX: u64 = (1 << 53) - 1;

/// Bytes of the longest profile name, of `[A-Za-z0-9_-]`.
pub const PROFILE_NAME_LEN_MAX: usize = 32;

/// Bytes of the longest firmware version, of printable ASCII.
pub const FIRMWARE_LEN_MAX: usize = 32;

/// Bytes of the longest event text, UTF-8 without control characters.
pub const EVENT_TEXT_LEN_MAX: usize = 128;

/// Bytes of the longest text of a [`Refused`], UTF-8 without control characters.
pub const REFUSED_TEXT_LEN_MAX: usize = 128;

/// Device to server, the first message of every connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello<'a> {
    /// Drawn at random each time the device starts. Sequence numbers and device times belong to one boot.
    pub boot: u64,
    /// Name of the profile that says what the channels are.
    pub profile: &'a str,
    /// Version of the firmware, for people.
    pub firmware: &'a str,
    /// The device's monotonic clock at the moment of writing, in milliseconds; it need not start at 0.
    pub time_ms: u64,
    /// The device holds no batch of this boot below it any more: the oldest it holds unacknowledged, or the next one to
    /// come. `None` comes from a device that does not say.
    pub oldest: Option<u64>,
    /// The boot is over: the device has started again since, and delivers what it kept of this one. Then `time_ms` is the
    /// least that this boot's clock would show now: the newest time kept of it, and the time since the device started.
    pub past: bool,
}

/// Device to server: something happened that is no value. It is not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// What happened, see [`event_code`].
    pub code: u16,
    /// The same for people; never a patient's value.
    pub text: &'a str,
    /// When, by the device's monotonic clock, in milliseconds.
    pub time_ms: u64,
}

/// Server to device, the answer to `Hello`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The server's UTC at the moment of writing, in milliseconds since 1970.
    pub utc_ms: u64,
    /// The highest sequence up to which every batch of this boot is durably held; `None` if there is none.
    pub sequence: Option<u64>,
}

/// Server to device, the last message of a connection that the server ends because of what the device sent.
///
/// A device of an earlier version skips it, as any message that it does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused<'a> {
    /// Why, see [`refusal_code`].
    pub code: u16,
    /// The same for people; never a patient's value.
    pub text: &'a str,
    /// The batch that was refused: the first that the device sent in this connection with this number or a higher one, for
    /// a batch may not say which it is. `None`: it was no batch.
    pub sequence: Option<u64>,
}

/// Codes of [`Refused`]. Later versions may add some.
pub mod refusal_code {
    /// What came is no message, breaks a rule of PROTOCOL.md §4.1 or §4.3, or came out of turn.
    pub const BAD_MESSAGE: u16 = 1;
    /// The server has no profile of the name that `Hello` gives.
    pub const UNKNOWN_PROFILE: u16 = 2;
    /// The batch has a channel that the profile lacks.
    pub const UNKNOWN_CHANNEL: u16 = 3;
    /// The batch spans more than 60 s.
    pub const SPAN_TOO_LONG: u16 = 4;
    /// The batch's number is not above that of the batch before it in this connection.
    pub const SEQUENCE_BACK: u16 = 5;
    /// The server holds another batch with this boot and number.
    pub const OTHER_BATCH_HELD: u16 = 6;
    /// `Hello` names a boot whose clock has shown later times: it is another start of the device, and needs another boot.
    pub const BOOT_USED_TWICE: u16 = 7;
}

/// Codes of [`Event`]. Others are a profile's own, from 1,000.
pub mod event_code {
    /// The device started.
    pub const STARTED: u16 = 1;
    /// A sensor does not answer.
    pub const SENSOR_LOST: u16 = 2;
    /// A sensor answers again.
    pub const SENSOR_FOUND: u16 = 3;
    /// The outbox was full: batches were dropped; `oldest` of the next batch or `Hello` says up to where.
    pub const OUTBOX_FULL: u16 = 4;
    /// The battery will soon be empty.
    pub const BATTERY_LOW: u16 = 5;
    /// The server refused a batch three times, and the device gave it up.
    pub const BATCH_REFUSED: u16 = 6;
}

/// The number that begins a message.
mod kind {
    pub(super) const HELLO: u64 = 1;
    pub(super) const BATCH: u64 = 2;
    pub(super) const EVENT: u64 = 3;
    pub(super) const WELCOME: u64 = 16;
    pub(super) const ACK: u64 = 17;
    pub(super) const CONFIGURE: u64 = 18;
    pub(super) const REFUSED: u64 = 19;
}

/// Field numbers, per message.
mod field {
    pub(super) const VERSION: u64 = 0;
    pub(super) const HELLO_BOOT: u64 = 1;
    pub(super) const HELLO_PROFILE: u64 = 2;
    pub(super) const HELLO_FIRMWARE: u64 = 3;
    pub(super) const HELLO_TIME_MS: u64 = 4;
    pub(super) const HELLO_OLDEST: u64 = 5;
    pub(super) const HELLO_PAST: u64 = 6;

    pub(super) const BATCH_SEQUENCE: u64 = 0;
    pub(super) const BATCH_TIME_MS: u64 = 1;
    pub(super) const BATCH_CHANNELS: u64 = 2;
    pub(super) const BATCH_OLDEST: u64 = 3;

    pub(super) const CHANNEL_INDEX: u64 = 0;
    pub(super) const CHANNEL_INTERVAL_US: u64 = 1;
    pub(super) const CHANNEL_SCALE: u64 = 2;
    pub(super) const CHANNEL_VALUES: u64 = 3;
    pub(super) const CHANNEL_DELAY_US: u64 = 4;

    pub(super) const EVENT_CODE: u64 = 0;
    pub(super) const EVENT_TEXT: u64 = 1;
    pub(super) const EVENT_TIME_MS: u64 = 2;

    pub(super) const WELCOME_UTC_MS: u64 = 1;
    pub(super) const WELCOME_SEQUENCE: u64 = 2;

    pub(super) const ACK_SEQUENCE: u64 = 0;

    pub(super) const CONFIGURE_BATCH_MS: u64 = 0;
    pub(super) const CONFIGURE_INTERVALS: u64 = 1;

    pub(super) const REFUSED_CODE: u64 = 0;
    pub(super) const REFUSED_TEXT: u64 = 1;
    pub(super) const REFUSED_SEQUENCE: u64 = 2;
}

/// Tags of RFC 8746 §2.1 for the typed arrays that a channel may hold.
mod tag {
    pub(super) const SINT8: u64 = 72;
    pub(super) const SINT16_LE: u64 = 77;
    pub(super) const SINT32_LE: u64 = 78;
}

/// Whether a batch may have this number.
fn is_sequence(sequence: u64) -> bool {
    (1..=SEQUENCE_MAX).contains(&sequence)
}

/// Whether a profile may be called so.
fn is_profile_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=PROFILE_NAME_LEN_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

/// Whether a firmware version may be called so.
fn is_firmware(text: &str) -> bool {
    (1..=FIRMWARE_LEN_MAX).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Whether an event may say so.
fn is_event_text(text: &str) -> bool {
    text.len() <= EVENT_TEXT_LEN_MAX && !text.chars().any(char::is_control)
}

/// Whether a refusal may say so.
fn is_refused_text(text: &str) -> bool {
    text.len() <= REFUSED_TEXT_LEN_MAX && !text.chars().any(char::is_control)
}
