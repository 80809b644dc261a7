//! Messages to bytes, in the fewest that the format allows. What it writes, [`decode`](super::decode()) accepts.

use minicbor::Encoder;
use minicbor::data::Tag;
use minicbor::encode::write::{Cursor, Write};

use super::channel::{is_index, is_interval};
use super::decode::{Message, decode};
use super::packed::Plan;
use super::{
    BATCH_MS_MAX, BATCH_VALUES_MAX, BatchError, CHANNELS_MAX, Event, Hello, INTERVAL_US_MAX, MESSAGE_LEN_MAX,
    PROTOCOL_VERSION, Refused, SCALE_MAX, TIME_MS_MAX, VALUES_MAX, Welcome, field, is_event_text,
    is_firmware, is_profile_name, is_refused_text, is_sequence, kind, tag,
};

/// One channel of a batch, to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Samples<'v> {
    /// The channel's index in the device's profile, below [`CHANNELS_MAX`].
    pub index: u8,
    /// Microseconds from value to value.
    pub interval_us: u32,
    /// Microseconds from the batch's time to the first value.
    pub delay_us: u32,
    /// A value is an integer times ten to the power of this.
    pub scale: i8,
    /// The integers: 1 to [`VALUES_MAX`] of them.
    pub values: &'v [i32],
}

/// Fields of a batch that does not say what the device no longer holds.
const BATCH_FIELDS: u64 = 3;
/// The head of the map of such a batch (RFC 8949 §3), and where it stands.
const BATCH_MAP: u8 = 0xa3;
const MAP_AT: usize = 2;

type Writer<'o> = Encoder<Cursor<&'o mut [u8]>>;
type WriteResult = Result<(), WriteFault>;

/// What can go wrong below a message. The buffer's size is known one level up.
enum WriteFault {
    Full,
    Refused(BatchError),
}

impl<E> From<minicbor::encode::Error<E>> for WriteFault {
    fn from(_: minicbor::encode::Error<E>) -> Self {
        Self::Full
    }
}

/// Writes a `Hello` into `out` and returns its length.
///
/// # Errors
/// A name or a time outside its limits, or `out` is too small.
pub fn encode_hello(hello: &Hello<'_>, out: &mut [u8]) -> Result<usize, BatchError> {
    check(is_profile_name(hello.profile), "profile")?;
    check(is_firmware(hello.firmware), "firmware")?;
    check(hello.time_ms <= TIME_MS_MAX, "time_ms")?;
    check(hello.oldest.is_none_or(is_sequence), "oldest")?;
    let fields = 5 + u64::from(hello.oldest.is_some()) + u64::from(hello.past);
    message(out, kind::HELLO, fields, |writer| {
        writer.u64(field::VERSION)?.u64(PROTOCOL_VERSION)?;
        writer.u64(field::HELLO_BOOT)?.u64(hello.boot)?;
        writer.u64(field::HELLO_PROFILE)?.str(hello.profile)?;
        writer.u64(field::HELLO_FIRMWARE)?.str(hello.firmware)?;
        writer.u64(field::HELLO_TIME_MS)?.u64(hello.time_ms)?;
        if let Some(oldest) = hello.oldest {
            writer.u64(field::HELLO_OLDEST)?.u64(oldest)?;
        }
        if hello.past {
            writer.u64(field::HELLO_PAST)?.bool(true)?;
        }
        Ok(())
    })
}

/// Writes a `Batch` into `out` and returns its length: each channel packed, or as a typed array where that is no longer.
/// What a channel shares with the one before it is left out, so order them by index. `oldest` is told after the outbox
/// overflowed; a batch that was encoded without it gets it by [`add_oldest`] when it is sent.
///
/// # Errors
/// Anything outside its limits, a channel twice, or `out` is too small.
pub fn encode_batch(
    sequence: u64,
    time_ms: u64,
    oldest: Option<u64>,
    channels: &[Samples<'_>],
    out: &mut [u8],
) -> Result<usize, BatchError> {
    check(is_sequence(sequence), "sequence")?;
    check(time_ms <= TIME_MS_MAX, "time_ms")?;
    check(oldest.is_none_or(|oldest| (1..=sequence).contains(&oldest)), "oldest")?;
    check_channels(channels)?;
    message(out, kind::BATCH, BATCH_FIELDS + u64::from(oldest.is_some()), |writer| {
        writer.u64(field::BATCH_SEQUENCE)?.u64(sequence)?;
        writer.u64(field::BATCH_TIME_MS)?.u64(time_ms)?;
        writer.u64(field::BATCH_CHANNELS)?.array(length(channels.len()))?;
        let mut before = None;
        for channel in channels {
            write_channel(writer, channel, before)?;
            before = Some(channel);
        }
        if let Some(oldest) = oldest {
            writer.u64(field::BATCH_OLDEST)?.u64(oldest)?;
        }
        Ok(())
    })
}

/// Adds `oldest` to a batch that [`encode_batch`] wrote without it: the first `len` bytes of `message`, which has room for
/// more. Returns the new length. A device keeps batches encoded, and learns only when it sends one what it had to drop.
///
/// # Errors
/// `oldest` outside its limits or past the batch's own sequence, the bytes are no such batch, or no room.
pub fn add_oldest(message: &mut [u8], len: usize, oldest: u64) -> Result<usize, BatchError> {
    let sequence = match decode(message.get(..len).unwrap_or_default())? {
        Some((Message::Batch(batch), end)) if end == len && batch.oldest.is_none() => batch.sequence,
        _ => return Err(BatchError::NotAMessage { at: 0 }),
    };
    check((1..=sequence).contains(&oldest), "oldest")?;
    let available = message.len().min(MESSAGE_LEN_MAX);
    // A batch of `encode_batch` begins with the heads of its array, its type and its map, of a byte each.
    if message.get(MAP_AT) != Some(&BATCH_MAP) {
        return Err(BatchError::NotAMessage { at: MAP_AT });
    }
    let mut writer = Encoder::new(Cursor::new(message.get_mut(len..available).unwrap_or_default()));
    let pair = writer.u64(field::BATCH_OLDEST).and_then(|writer| writer.u64(oldest));
    pair.map_err(|_| BatchError::OutputTooSmall { available })?;
    let len = len + writer.writer().position();
    // Only now, so that a batch without room for it stays as it was.
    message.iter_mut().skip(MAP_AT).take(1).for_each(|head| *head += 1);
    Ok(len)
}

/// Writes an `Event` into `out` and returns its length.
///
/// # Errors
/// A text or a time outside its limits, or `out` is too small.
pub fn encode_event(event: &Event<'_>, out: &mut [u8]) -> Result<usize, BatchError> {
    check(is_event_text(event.text), "text")?;
    check(event.time_ms <= TIME_MS_MAX, "time_ms")?;
    message(out, kind::EVENT, 3, |writer| {
        writer.u64(field::EVENT_CODE)?.u16(event.code)?;
        writer.u64(field::EVENT_TEXT)?.str(event.text)?;
        writer.u64(field::EVENT_TIME_MS)?.u64(event.time_ms)?;
        Ok(())
    })
}

/// Writes a `Welcome` into `out` and returns its length.
///
/// # Errors
/// A number outside its limits, or `out` is too small.
pub fn encode_welcome(welcome: &Welcome, out: &mut [u8]) -> Result<usize, BatchError> {
    check(welcome.utc_ms <= TIME_MS_MAX, "utc_ms")?;
    check(welcome.sequence.is_none_or(is_sequence), "sequence")?;
    let fields = 2 + u64::from(welcome.sequence.is_some());
    message(out, kind::WELCOME, fields, |writer| {
        writer.u64(field::VERSION)?.u64(PROTOCOL_VERSION)?;
        writer.u64(field::WELCOME_UTC_MS)?.u64(welcome.utc_ms)?;
        if let Some(sequence) = welcome.sequence {
            writer.u64(field::WELCOME_SEQUENCE)?.u64(sequence)?;
        }
        Ok(())
    })
}

/// Writes an `Ack` into `out` and returns its length.
///
/// # Errors
/// A sequence outside its limits, or `out` is too small.
pub fn encode_ack(sequence: u64, out: &mut [u8]) -> Result<usize, BatchError> {
    check(is_sequence(sequence), "sequence")?;
    message(out, kind::ACK, 1, |writer| {
        writer.u64(field::ACK_SEQUENCE)?.u64(sequence)?;
        Ok(())
    })
}

/// Writes a `Configure` into `out` and returns its length; `intervals` are pairs of a channel's index and its interval in
/// microseconds.
///
/// # Errors
/// Anything outside its limits, a channel twice, or `out` is too small.
pub fn encode_configure(
    batch_ms: Option<u32>,
    intervals: &[(u8, u32)],
    out: &mut [u8],
) -> Result<usize, BatchError> {
    check(batch_ms.is_none_or(|batch_ms| (1..=BATCH_MS_MAX).contains(&batch_ms)), "batch_ms")?;
    check_indexes(intervals.iter().map(|(index, _)| *index))?;
    check(intervals.iter().all(|(_, interval_us)| is_interval(*interval_us)), "interval_us")?;
    let fields = u64::from(batch_ms.is_some()) + u64::from(!intervals.is_empty());
    message(out, kind::CONFIGURE, fields, |writer| {
        if let Some(batch_ms) = batch_ms {
            writer.u64(field::CONFIGURE_BATCH_MS)?.u32(batch_ms)?;
        }
        if !intervals.is_empty() {
            writer.u64(field::CONFIGURE_INTERVALS)?.map(length(intervals.len()))?;
        }
        for (index, interval_us) in intervals {
            writer.u8(*index)?.u32(*interval_us)?;
        }
        Ok(())
    })
}

/// Writes a `Refused` into `out` and returns its length.
///
/// # Errors
/// A text or a sequence outside its limits, or `out` is too small.
pub fn encode_refused(refused: &Refused<'_>, out: &mut [u8]) -> Result<usize, BatchError> {
    check(is_refused_text(refused.text), "text")?;
    check(refused.sequence.is_none_or(is_sequence), "sequence")?;
    let fields = 2 + u64::from(refused.sequence.is_some());
    message(out, kind::REFUSED, fields, |writer| {
        writer.u64(field::REFUSED_CODE)?.u16(refused.code)?;
        writer.u64(field::REFUSED_TEXT)?.str(refused.text)?;
        if let Some(sequence) = refused.sequence {
            writer.u64(field::REFUSED_SEQUENCE)?.u64(sequence)?;
        }
        Ok(())
    })
}

/// Writes `[kind, {fields…}]`.
fn message(
    out: &mut [u8],
    kind: u64,
    fields: u64,
    write: impl FnOnce(&mut Writer<'_>) -> WriteResult,
) -> Result<usize, BatchError> {
    let available = out.len().min(MESSAGE_LEN_MAX);
    let mut writer = Encoder::new(Cursor::new(out.get_mut(..available).unwrap_or_default()));
    let whole = || {
        writer.array(2)?.u64(kind)?.map(fields)?;
        write(&mut writer)
    };
    match whole() {
        Ok(()) => Ok(writer.writer().position()),
        Err(WriteFault::Full) => Err(BatchError::OutputTooSmall { available }),
        Err(WriteFault::Refused(error)) => Err(error),
    }
}

fn write_channel(
    writer: &mut Writer<'_>,
    channel: &Samples<'_>,
    before: Option<&Samples<'_>>,
) -> WriteResult {
    let index = channel.index != before.map_or(0, |before| before.index + 1);
    let interval = before.is_none_or(|before| before.interval_us != channel.interval_us);
    let scale = channel.scale != before.map_or(0, |before| before.scale);
    let delay = channel.delay_us != 0;
    writer.map(1 + u64::from(index) + u64::from(interval) + u64::from(scale) + u64::from(delay))?;
    if index {
        writer.u64(field::CHANNEL_INDEX)?.u8(channel.index)?;
    }
    if interval {
        writer.u64(field::CHANNEL_INTERVAL_US)?.u32(channel.interval_us)?;
    }
    if scale {
        writer.u64(field::CHANNEL_SCALE)?.i8(channel.scale)?;
    }
    writer.u64(field::CHANNEL_VALUES)?;
    write_values(writer, channel)?;
    if delay {
        writer.u64(field::CHANNEL_DELAY_US)?.u32(channel.delay_us)?;
    }
    Ok(())
}

/// Packed, or as the narrowest typed array if that takes no more bytes: it is simpler to read.
fn write_values(writer: &mut Writer<'_>, channel: &Samples<'_>) -> WriteResult {
    let values = channel.values;
    let plan =
        Plan::new(values).ok_or(WriteFault::Refused(BatchError::ValueCount { channel: channel.index }))?;
    let (tag, width) = if values.iter().all(|value| i8::try_from(*value).is_ok()) {
        (tag::SINT8, 1)
    } else if values.iter().all(|value| i16::try_from(*value).is_ok()) {
        (tag::SINT16_LE, 2)
    } else {
        (tag::SINT32_LE, 4)
    };
    let typed_len = length(values.len() * width);
    if string_len(plan.len()) < 2 + string_len(typed_len) {
        writer.bytes_len(plan.len())?;
        return plan.write(|byte| write_all(writer, &[byte]));
    }
    writer.tag(Tag::new(tag))?.bytes_len(typed_len)?;
    for value in values {
        let bytes = value.to_le_bytes();
        // The low bytes of a value that fits are the value.
        write_all(writer, bytes.get(..width).unwrap_or(&bytes))?;
    }
    Ok(())
}

fn write_all(writer: &mut Writer<'_>, bytes: &[u8]) -> WriteResult {
    writer.writer_mut().write_all(bytes).map_err(|_| WriteFault::Full)
}

/// Bytes of a byte string with its head (RFC 8949 §3).
fn string_len(content: u64) -> u64 {
    let head = match content {
        0..24 => 1,
        24..0x100 => 2,
        0x100..0x1_0000 => 3,
        _ => 5,
    };
    head + content
}

fn check_channels(channels: &[Samples<'_>]) -> Result<(), BatchError> {
    if !(1..=CHANNELS_MAX).contains(&channels.len()) {
        return Err(BatchError::ChannelCount { count: length(channels.len()) });
    }
    check_indexes(channels.iter().map(|channel| channel.index))?;
    for channel in channels {
        check(is_interval(channel.interval_us), "interval_us")?;
        check(channel.delay_us <= INTERVAL_US_MAX, "delay_us")?;
        check(channel.scale.unsigned_abs() <= SCALE_MAX.unsigned_abs(), "scale")?;
        if !(1..=VALUES_MAX).contains(&channel.values.len()) {
            return Err(BatchError::ValueCount { channel: channel.index });
        }
    }
    if channels.iter().map(|channel| channel.values.len()).sum::<usize>() > BATCH_VALUES_MAX {
        return Err(BatchError::BatchValueCount);
    }
    Ok(())
}

fn check_indexes(indexes: impl Iterator<Item = u8>) -> Result<(), BatchError> {
    let mut seen = [false; CHANNELS_MAX];
    for index in indexes {
        check(is_index(index), "index")?;
        match seen.get_mut(usize::from(index)) {
            Some(seen @ false) => *seen = true,
            _ => return Err(BatchError::DuplicateChannel { channel: index, at: 0 }),
        }
    }
    Ok(())
}

fn check(holds: bool, field: &'static str) -> Result<(), BatchError> {
    if holds { Ok(()) } else { Err(BatchError::OutOfRange { field, at: 0 }) }
}

/// A length as CBOR counts it.
fn length(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
