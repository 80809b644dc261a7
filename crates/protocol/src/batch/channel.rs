//! The channels of a batch. What a channel leaves out it takes from the channel before it in the batch.

use super::fields::{Reader, TaggedBytes};
use super::values::{Values, ValuesFault};
use super::{BatchError, CHANNELS_MAX, INTERVAL_US_MAX, INTERVAL_US_MIN, SCALE_MAX, field};

/// One channel of a batch.
#[derive(Clone, Debug)]
pub struct ChannelData<'a> {
    /// The channel's index in the device's profile, below [`CHANNELS_MAX`].
    pub index: u8,
    /// Microseconds from value to value.
    pub interval_us: u32,
    /// Microseconds from the batch's time to the first value.
    pub delay_us: u32,
    /// A value is an integer times ten to the power of this.
    pub scale: i8,
    /// The integers; at least one.
    pub values: Values<'a>,
}

/// What the next channel takes over unless it says otherwise.
#[derive(Clone, Copy, Debug, Default)]
struct Inherited {
    index: u8,
    interval_us: Option<u32>,
    scale: i8,
}

/// Iterates over the channels of a batch.
#[derive(Clone, Debug)]
pub struct Channels<'a> {
    message: &'a [u8],
    at: usize,
    left: usize,
    inherited: Inherited,
}

impl<'a> Channels<'a> {
    /// The channels whose array begins at `at` of the message.
    pub(super) fn begin(message: &'a [u8], at: usize) -> Result<Self, BatchError> {
        let mut reader = Reader::new(message, at);
        let count = reader.array("channels")?;
        let left = usize::try_from(count).ok().filter(|count| (1..=CHANNELS_MAX).contains(count));
        let left = left.ok_or(BatchError::ChannelCount { count })?;
        Ok(Self { message, at: reader.at(), left, inherited: Inherited::default() })
    }

    /// The offset of what comes next.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn try_next(&mut self) -> Result<Option<ChannelData<'a>>, BatchError> {
        if self.left == 0 {
            return Ok(None);
        }
        let mut reader = Reader::new(self.message, self.at);
        let channel = read(&mut reader, self.inherited)?;
        self.at = reader.at();
        self.left -= 1;
        self.inherited = Inherited {
            index: channel.index + 1,
            interval_us: Some(channel.interval_us),
            scale: channel.scale,
        };
        Ok(Some(channel))
    }
}

impl<'a> Iterator for Channels<'a> {
    type Item = ChannelData<'a>;

    fn next(&mut self) -> Option<ChannelData<'a>> {
        // Every channel was read when the message was decoded, so no error can come.
        self.try_next().ok().flatten()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Channels<'_> {}

fn read<'a>(reader: &mut Reader<'a>, inherited: Inherited) -> Result<ChannelData<'a>, BatchError> {
    let mut fields = reader.map("channel")?;
    let (mut index, mut interval_us, mut delay_us) = (inherited.index, inherited.interval_us, 0);
    let (mut scale, mut values) = (inherited.scale, None);
    while let Some(number) = fields.next(reader)? {
        match number {
            field::CHANNEL_INDEX => index = read_index(reader)?,
            field::CHANNEL_INTERVAL_US => interval_us = Some(read_interval(reader)?),
            field::CHANNEL_DELAY_US => delay_us = read_u32(reader, "delay_us", INTERVAL_US_MAX)?,
            field::CHANNEL_SCALE => scale = reader.signed("scale", SCALE_MAX)?,
            field::CHANNEL_VALUES => values = Some(reader.tagged_bytes("values")?),
            _ => reader.skip()?,
        }
    }
    if usize::from(index) >= CHANNELS_MAX {
        return Err(reader.place("index").out_of_range());
    }
    let interval_us = fields.required(interval_us, "interval_us")?;
    // Values are read last: only now is it known whose they are.
    let values = read_values(fields.required(values, "values")?, index)?;
    Ok(ChannelData { index, interval_us, delay_us, scale, values })
}

fn read_values(found: TaggedBytes<'_>, channel: u8) -> Result<Values<'_>, BatchError> {
    let TaggedBytes { tag, bytes, at } = found;
    let values = match tag {
        None => Values::packed(bytes),
        Some(tag) => Values::typed(tag, bytes),
    };
    values.map_err(|fault| match fault {
        ValuesFault::Damaged => BatchError::DamagedValues { channel, at },
        ValuesFault::Count => BatchError::ValueCount { channel },
        ValuesFault::UnknownTag => {
            BatchError::WrongType { field: "values", at, expected: "packed, or tagged 72, 77 or 78" }
        }
    })
}

/// A channel's index.
pub(super) fn read_index(reader: &mut Reader<'_>) -> Result<u8, BatchError> {
    let place = reader.place("index");
    let index = reader.unsigned("index", u64::from(u8::MAX))?;
    u8::try_from(index).ok().filter(|index| is_index(*index)).ok_or(place.out_of_range())
}

/// A channel's interval in microseconds.
pub(super) fn read_interval(reader: &mut Reader<'_>) -> Result<u32, BatchError> {
    let place = reader.place("interval_us");
    let interval_us = read_u32(reader, "interval_us", INTERVAL_US_MAX)?;
    if is_interval(interval_us) { Ok(interval_us) } else { Err(place.out_of_range()) }
}

pub(super) fn read_u32(reader: &mut Reader<'_>, field: &'static str, max: u32) -> Result<u32, BatchError> {
    let place = reader.place(field);
    let value = reader.unsigned(field, u64::from(max))?;
    u32::try_from(value).map_err(|_| place.out_of_range())
}

/// Whether a channel may have this index.
pub(super) fn is_index(index: u8) -> bool {
    usize::from(index) < CHANNELS_MAX
}

/// Whether a channel may have this interval.
pub(super) fn is_interval(interval_us: u32) -> bool {
    (INTERVAL_US_MIN..=INTERVAL_US_MAX).contains(&interval_us)
}
