//! Bytes to messages. What it returns has been checked whole, values included.

use super::channel::{Channels, read_index, read_interval, read_u32};
use super::fields::{Fields, Reader};
use super::scan::MESSAGE_START;
use super::{
    BATCH_MS_MAX, BATCH_VALUES_MAX, BatchError, CHANNELS_MAX, Event, Hello, PROTOCOL_VERSION, Refused,
    SEQUENCE_MAX, Scanner, TIME_MS_MAX, Welcome, field, is_event_text, is_firmware, is_profile_name,
    is_refused_text, is_sequence, kind,
};

/// One message, of either direction. A receiver refuses those of its own direction.
#[derive(Clone, Debug)]
pub enum Message<'a> {
    /// Device to server: who speaks.
    Hello(Hello<'a>),
    /// Device to server: values.
    Batch(Batch<'a>),
    /// Device to server: something happened.
    Event(Event<'a>),
    /// Server to device: the answer to `Hello`.
    Welcome(Welcome),
    /// Server to device: every batch of this boot up to `sequence` is durably held.
    Ack {
        /// The highest such sequence.
        sequence: u64,
    },
    /// Server to device: how to measure from now on.
    Configure(Configure<'a>),
    /// Server to device: why the server ends the connection.
    Refused(Refused<'a>),
    /// A message of a later version, to be ignored.
    Unknown {
        /// The number that begins it.
        kind: u64,
    },
}

/// Values of several channels.
#[derive(Clone, Debug)]
pub struct Batch<'a> {
    /// Counts the batches of one boot, from 1, without gaps; a gap means that the device lost some.
    pub sequence: u64,
    /// The device's monotonic time in milliseconds to which the channels' delays are added.
    pub time_ms: u64,
    /// The device holds no batch of this boot below it any more; at most this batch's own sequence. It comes after the
    /// device had to drop batches.
    pub oldest: Option<u64>,
    channels: Channels<'a>,
}

impl<'a> Batch<'a> {
    /// The channels, as they were sent; at least one, none twice.
    #[must_use]
    pub fn channels(&self) -> Channels<'a> {
        self.channels.clone()
    }
}

/// How to measure from now on; what is absent stays as it is.
#[derive(Clone, Debug)]
pub struct Configure<'a> {
    /// Milliseconds of values to collect before a batch is sent.
    pub batch_ms: Option<u32>,
    intervals: Option<Intervals<'a>>,
}

impl<'a> Configure<'a> {
    /// Intervals for some channels.
    pub fn intervals(&self) -> impl Iterator<Item = (u8, u32)> + use<'a> {
        self.intervals.clone().into_iter().flatten()
    }
}

/// Iterates over pairs of a channel's index and its interval in microseconds.
#[derive(Clone)]
pub struct Intervals<'a> {
    reader: Reader<'a>,
    fields: Fields,
}

impl Intervals<'_> {
    fn try_next(&mut self) -> Result<Option<(u8, u32)>, BatchError> {
        let mut key = self.reader.clone();
        if self.fields.next(&mut self.reader)?.is_none() {
            return Ok(None);
        }
        Ok(Some((read_index(&mut key)?, read_interval(&mut self.reader)?)))
    }
}

impl Iterator for Intervals<'_> {
    type Item = (u8, u32);

    fn next(&mut self) -> Option<(u8, u32)> {
        // Every pair was read when the message was decoded, so no error can come.
        self.try_next().ok().flatten()
    }
}

impl core::fmt::Debug for Intervals<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

/// The message that `bytes` begins with and its length; `Ok(None)` when it goes on after them.
///
/// For a stream that comes in small pieces, ask a [`Scanner`] first: it does not begin again at each piece.
///
/// # Errors
/// The bytes begin no message, or one that breaks a rule or a limit of PROTOCOL.md.
pub fn decode(bytes: &[u8]) -> Result<Option<(Message<'_>, usize)>, BatchError> {
    let Some(len) = Scanner::default().scan(bytes)? else { return Ok(None) };
    let Some(message) = bytes.get(..len) else { return Ok(None) };
    Ok(Some((read(message)?, len)))
}

/// Whether these bytes begin as a `Batch`, also one that [`decode`] refuses.
#[must_use]
pub fn begins_as_batch(bytes: &[u8]) -> bool {
    let mut reader = Reader::new(bytes, 1);
    bytes.first() == Some(&MESSAGE_START) && reader.unsigned("type", u64::MAX).ok() == Some(kind::BATCH)
}

/// Reads a scanned message.
fn read(message: &[u8]) -> Result<Message<'_>, BatchError> {
    // One byte of array head has been scanned.
    let mut reader = Reader::new(message, 1);
    let kind = reader.unsigned("type", u64::MAX).map_err(|_| BatchError::NotAMessage { at: 1 })?;
    let at = reader.at();
    let mut fields = reader.map("message").map_err(|_| BatchError::NotAMessage { at })?;
    match kind {
        kind::HELLO => hello(&mut reader, &mut fields).map(Message::Hello),
        kind::BATCH => batch(message, &mut reader, &mut fields).map(Message::Batch),
        kind::EVENT => event(&mut reader, &mut fields).map(Message::Event),
        kind::WELCOME => welcome(&mut reader, &mut fields).map(Message::Welcome),
        kind::ACK => ack(&mut reader, &mut fields),
        kind::CONFIGURE => configure(&mut reader, &mut fields).map(Message::Configure),
        kind::REFUSED => refused(&mut reader, &mut fields).map(Message::Refused),
        kind => Ok(Message::Unknown { kind }),
    }
}

fn hello<'a>(reader: &mut Reader<'a>, fields: &mut Fields) -> Result<Hello<'a>, BatchError> {
    let (mut version, mut boot, mut time_ms) = (None, None, None);
    let (mut profile, mut firmware, mut oldest, mut past) = (None, None, None, false);
    while let Some(number) = fields.next(reader)? {
        match number {
            field::VERSION => version = Some(read_version(reader)?),
            field::HELLO_BOOT => boot = Some(reader.unsigned("boot", u64::MAX)?),
            field::HELLO_PROFILE => profile = Some(reader.text("profile", is_profile_name)?),
            field::HELLO_FIRMWARE => firmware = Some(reader.text("firmware", is_firmware)?),
            field::HELLO_TIME_MS => time_ms = Some(reader.unsigned("time_ms", TIME_MS_MAX)?),
            field::HELLO_OLDEST => oldest = Some(read_sequence(reader, "oldest")?),
            field::HELLO_PAST => past = reader.bool("past")?,
            _ => reader.skip()?,
        }
    }
    fields.required(version, "version")?;
    Ok(Hello {
        boot: fields.required(boot, "boot")?,
        profile: fields.required(profile, "profile")?,
        firmware: fields.required(firmware, "firmware")?,
        time_ms: fields.required(time_ms, "time_ms")?,
        oldest,
        past,
    })
}

fn batch<'a>(
    message: &'a [u8],
    reader: &mut Reader<'a>,
    fields: &mut Fields,
) -> Result<Batch<'a>, BatchError> {
    let (mut sequence, mut time_ms, mut channels, mut oldest) = (None, None, None, None);
    while let Some(number) = fields.next(reader)? {
        match number {
            field::BATCH_SEQUENCE => sequence = Some(read_sequence(reader, "sequence")?),
            field::BATCH_TIME_MS => time_ms = Some(reader.unsigned("time_ms", TIME_MS_MAX)?),
            field::BATCH_CHANNELS => {
                let begin = Channels::begin(message, reader.at())?;
                *reader = Reader::new(message, check_channels(begin.clone())?);
                channels = Some(begin);
            }
            field::BATCH_OLDEST => {
                let place = reader.place("oldest");
                oldest = Some((read_sequence(reader, "oldest")?, place));
            }
            _ => reader.skip()?,
        }
    }
    let sequence = fields.required(sequence, "sequence")?;
    // A device holds the batch that it sends.
    if let Some((_, place)) = oldest.filter(|(oldest, _)| *oldest > sequence) {
        return Err(place.out_of_range());
    }
    Ok(Batch {
        sequence,
        time_ms: fields.required(time_ms, "time_ms")?,
        oldest: oldest.map(|(oldest, _)| oldest),
        channels: fields.required(channels, "channels")?,
    })
}

/// Reads every channel; the offset behind the last one.
fn check_channels(mut channels: Channels<'_>) -> Result<usize, BatchError> {
    let (mut seen, mut values) = ([false; CHANNELS_MAX], 0);
    loop {
        let at = channels.at();
        let Some(channel) = channels.try_next()? else { return Ok(at) };
        match seen.get_mut(usize::from(channel.index)) {
            Some(seen @ false) => *seen = true,
            _ => return Err(BatchError::DuplicateChannel { channel: channel.index, at }),
        }
        values += channel.values.len();
        if values > BATCH_VALUES_MAX {
            return Err(BatchError::BatchValueCount);
        }
    }
}

fn event<'a>(reader: &mut Reader<'a>, fields: &mut Fields) -> Result<Event<'a>, BatchError> {
    let (mut code, mut text, mut time_ms) = (None, None, None);
    while let Some(number) = fields.next(reader)? {
        match number {
            field::EVENT_CODE => code = Some(read_code(reader)?),
            field::EVENT_TEXT => text = Some(reader.text("text", is_event_text)?),
            field::EVENT_TIME_MS => time_ms = Some(reader.unsigned("time_ms", TIME_MS_MAX)?),
            _ => reader.skip()?,
        }
    }
    Ok(Event {
        code: fields.required(code, "code")?,
        text: fields.required(text, "text")?,
        time_ms: fields.required(time_ms, "time_ms")?,
    })
}

fn welcome(reader: &mut Reader<'_>, fields: &mut Fields) -> Result<Welcome, BatchError> {
    let (mut version, mut utc_ms, mut sequence) = (None, None, None);
    while let Some(number) = fields.next(reader)? {
        match number {
            field::VERSION => version = Some(read_version(reader)?),
            field::WELCOME_UTC_MS => utc_ms = Some(reader.unsigned("utc_ms", TIME_MS_MAX)?),
            field::WELCOME_SEQUENCE => sequence = Some(read_sequence(reader, "sequence")?),
            _ => reader.skip()?,
        }
    }
    fields.required(version, "version")?;
    Ok(Welcome { utc_ms: fields.required(utc_ms, "utc_ms")?, sequence })
}

fn ack<'a>(reader: &mut Reader<'a>, fields: &mut Fields) -> Result<Message<'a>, BatchError> {
    let mut sequence = None;
    while let Some(number) = fields.next(reader)? {
        match number {
            field::ACK_SEQUENCE => sequence = Some(read_sequence(reader, "sequence")?),
            _ => reader.skip()?,
        }
    }
    Ok(Message::Ack { sequence: fields.required(sequence, "sequence")? })
}

fn refused<'a>(reader: &mut Reader<'a>, fields: &mut Fields) -> Result<Refused<'a>, BatchError> {
    let (mut code, mut text, mut sequence) = (None, None, None);
    while let Some(number) = fields.next(reader)? {
        match number {
            field::REFUSED_CODE => code = Some(read_code(reader)?),
            field::REFUSED_TEXT => text = Some(reader.text("text", is_refused_text)?),
            field::REFUSED_SEQUENCE => sequence = Some(read_sequence(reader, "sequence")?),
            _ => reader.skip()?,
        }
    }
    Ok(Refused { code: fields.required(code, "code")?, text: fields.required(text, "text")?, sequence })
}

fn read_code(reader: &mut Reader<'_>) -> Result<u16, BatchError> {
    let place = reader.place("code");
    let value = reader.unsigned("code", u64::from(u16::MAX))?;
    u16::try_from(value).map_err(|_| place.out_of_range())
}

fn configure<'a>(reader: &mut Reader<'a>, fields: &mut Fields) -> Result<Configure<'a>, BatchError> {
    let (mut batch_ms, mut intervals) = (None, None);
    while let Some(number) = fields.next(reader)? {
        match number {
            field::CONFIGURE_BATCH_MS => batch_ms = Some(read_batch_ms(reader)?),
            field::CONFIGURE_INTERVALS => {
                let pairs = reader.map("intervals")?;
                let begin = Intervals { reader: reader.clone(), fields: pairs };
                let mut ahead = begin.clone();
                while ahead.try_next()?.is_some() {}
                *reader = ahead.reader;
                intervals = Some(begin);
            }
            _ => reader.skip()?,
        }
    }
    Ok(Configure { batch_ms, intervals })
}

/// The peer must speak our version.
fn read_version(reader: &mut Reader<'_>) -> Result<(), BatchError> {
    let version = reader.unsigned("version", u64::MAX)?;
    if version == PROTOCOL_VERSION { Ok(()) } else { Err(BatchError::UnknownVersion { version }) }
}

fn read_sequence(reader: &mut Reader<'_>, field: &'static str) -> Result<u64, BatchError> {
    let place = reader.place(field);
    let sequence = reader.unsigned(field, SEQUENCE_MAX)?;
    if is_sequence(sequence) { Ok(sequence) } else { Err(place.out_of_range()) }
}

fn read_batch_ms(reader: &mut Reader<'_>) -> Result<u32, BatchError> {
    let place = reader.place("batch_ms");
    match read_u32(reader, "batch_ms", BATCH_MS_MAX)? {
        0 => Err(place.out_of_range()),
        batch_ms => Ok(batch_ms),
    }
}
