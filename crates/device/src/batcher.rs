//! Collects the values of a device's channels into batches: says which channel is due when, and makes a message of what
//! was measured.
//!
//! A channel's values lie in a batch at an even interval. Where one is missing, the batch ends before the gap, and the
//! next begins behind it. It reads no clock and no sensor, and keeps the values of one batch at most.

mod settings;

pub use settings::Settings;
use vitalwire_protocol::batch::{
    BATCH_MS_MAX, BATCH_VALUES_MAX, BatchError, CHANNELS_MAX, INTERVAL_US_MAX, INTERVAL_US_MIN, SCALE_MAX,
    Samples, VALUES_MAX, encode_batch,
};

/// Bytes of a batch around its channels, at most: heads, sequence and time.
const BATCH_HEAD_LEN_MAX: usize = 1 + 1 + 1 + 10 + 10 + 4;
/// Bytes of a channel around its values, at most: heads, index, interval, scale, delay, tag and length.
const CHANNEL_HEAD_LEN_MAX: usize = 1 + 3 + 6 + 2 + 1 + 2 + 5 + 6;
/// Bytes of a value, at most: a typed array of 32 bits is written where packing takes more.
const VALUE_LEN_MAX: usize = 4;

/// One channel of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelSetup {
    /// Its index in the profile, below [`CHANNELS_MAX`].
    pub index: u8,
    /// Microseconds from value to value.
    pub interval_us: u32,
    /// A value is an integer times ten to the power of this.
    pub scale: i8,
}

/// Why a batcher cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum BatcherError {
    #[error("{count} channels: a device has 1 to {CHANNELS_MAX}")]
    ChannelCount { count: usize },
    #[error(
        "channel {index}: its index comes twice, or index, interval or scale is outside PROTOCOL.md's limits"
    )]
    Channel { index: u8 },
    #[error("batches of {batch_ms} ms: want 1 to {BATCH_MS_MAX}")]
    BatchMs { batch_ms: u32 },
    #[error(
        "memory for {values} values and messages of {message_len_max} bytes are too small for these channels"
    )]
    TooSmall { values: usize, message_len_max: usize },
}

/// A channel and its values of the present batch.
#[derive(Clone, Copy, Debug)]
struct Channel {
    setup: ChannelSetup,
    /// When its next value is due, in microseconds.
    due_us: u64,
    /// When the first value in the present batch was due.
    first_us: u64,
    /// Where its values begin in the memory, how many there are, and how many may be.
    at: usize,
    count: usize,
    count_max: usize,
    /// A value is missing behind those in the present batch: the next one cannot follow them there.
    has_gap: bool,
}

/// What a batch holds, told when it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// Bytes of the message.
    pub len: usize,
    /// Values of all channels.
    pub values: usize,
    /// When its first and its last value were due, in microseconds of the device's clock.
    pub first_us: u64,
    /// See `first_us`.
    pub last_us: u64,
}

impl Made {
    /// The time of its newest value, rounded up to milliseconds, as the outbox wants it.
    #[must_use]
    pub fn newest_ms(&self) -> u64 {
        self.last_us.div_ceil(1_000)
    }
}

/// Collects values. `V` is the memory for the values of one batch.
#[derive(Debug)]
pub struct Batcher<V> {
    memory: V,
    message_len_max: usize,
    batch_ms: u32,
    /// What is collected before a batch ends: `batch_ms`, or less where the memory is small.
    span_us: u64,
    channels: [Option<Channel>; CHANNELS_MAX],
    /// No channel is here or beyond.
    end: usize,
    /// The channel whose value is due next, and when, and whether that belongs to another batch: looked up once a value, as a
    /// microcontroller has few cycles for it.
    next: (u8, u64),
    is_complete: bool,
    /// When the first value of the present batch was due.
    started_us: Option<u64>,
    /// Changes that wait for the next batch.
    settings: Option<Settings>,
    missed: u64,
}

impl<V: AsMut<[i32]> + AsRef<[i32]>> Batcher<V> {
    /// Every channel's first value is due at `start_us`. Batches collect `batch_ms` milliseconds of values, or less where
    /// that would not fit `memory` or a message of `message_len_max` bytes.
    ///
    /// # Errors
    /// The setup is outside the protocol's limits, or not even a value of each channel fits.
    pub fn new(
        memory: V,
        message_len_max: usize,
        setups: &[ChannelSetup],
        batch_ms: u32,
        start_us: u64,
    ) -> Result<Self, BatcherError> {
        if !(1..=CHANNELS_MAX).contains(&setups.len()) {
            return Err(BatcherError::ChannelCount { count: setups.len() });
        }
        if !(1..=BATCH_MS_MAX).contains(&batch_ms) {
            return Err(BatcherError::BatchMs { batch_ms });
        }
        let mut channels = [None; CHANNELS_MAX];
        // In the order of the index, which costs the fewest bytes.
        for setup in setups {
            let is_permitted = (INTERVAL_US_MIN..=INTERVAL_US_MAX).contains(&setup.interval_us)
                && setup.scale.unsigned_abs() <= SCALE_MAX.unsigned_abs();
            match channels.get_mut(usize::from(setup.index)).filter(|_| is_permitted) {
                Some(slot @ None) => {
                    *slot = Some(Channel {
                        setup: *setup,
                        due_us: start_us,
                        first_us: 0,
                        at: 0,
                        count: 0,
                        count_max: 0,
                        has_gap: false,
                    });
                }
                _ => return Err(BatcherError::Channel { index: setup.index }),
            }
        }
        let mut batcher = Self {
            memory,
            message_len_max,
            batch_ms,
            span_us: 0,
            channels,
            end: channels.iter().rposition(Option::is_some).map_or(0, |last| last + 1),
            next: (0, start_us),
            is_complete: false,
            started_us: None,
            settings: None,
            missed: 0,
        };
        batcher.lay_out()?;
        batcher.look_up_next();
        Ok(batcher)
    }

    /// Milliseconds of values in a batch, as asked for.
    #[must_use]
    pub fn batch_ms(&self) -> u32 {
        self.batch_ms
    }

    /// When the next value of this channel is due, in microseconds of the device's clock, and microseconds from value to value, if it
    /// is one of the device's.
    #[must_use]
    pub fn schedule(&self, index: u8) -> Option<(u64, u32)> {
        let channel = self.channel(index)?;
        Some((channel.due_us, channel.setup.interval_us))
    }

    /// Values that were due and not measured.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// The channel whose value is due next, and when, in microseconds of the device's clock. Of channels that are due at
    /// the same moment the one with the lowest index comes first.
    #[must_use]
    pub fn next_due(&self) -> (u8, u64) {
        self.next
    }

    /// Whether the next value that is due belongs to another batch: make this one first.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    fn look_up_next(&mut self) {
        let channels = self.channels.get(..self.end).unwrap_or_default();
        let next = channels.iter().flatten().min_by_key(|channel| channel.due_us).map(Channel::next);
        self.set_next(next);
    }

    /// The same after the value that was due next is done with. Most are due together, and those before it are done with already.
    fn look_up_following(&mut self) {
        let (index, due_us) = self.next;
        let behind = self.channels.get(usize::from(index) + 1..self.end).unwrap_or_default();
        match behind.iter().flatten().find(|channel| channel.due_us == due_us).map(Channel::next) {
            None => self.look_up_next(),
            following => self.set_next(following),
        }
    }

    /// A channel's index, when its next value is due, and whether a batch can take it.
    fn set_next(&mut self, next: Option<(u8, u64, bool)>) {
        let (index, due_us, goes_on) = next.unwrap_or((0, u64::MAX, true));
        self.next = (index, due_us);
        self.is_complete = self
            .started_us
            .is_some_and(|started_us| !goes_on || due_us.saturating_sub(started_us) >= self.span_us);
    }

    /// Takes the value of the channel that is due next. Ask [`Self::is_complete`] before: a value of another batch is
    /// counted as missed.
    pub fn record(&mut self, value: i32) {
        if self.is_complete() {
            return self.miss();
        }
        let (index, due_us) = self.next_due();
        let started = self.started_us.is_some();
        let memory = self.memory.as_mut();
        let Some(channel) = self.channels.get_mut(usize::from(index)).and_then(Option::as_mut) else {
            return;
        };
        let Some(slot) = memory.get_mut(channel.at + channel.count) else { return };
        *slot = value;
        if channel.count == 0 {
            channel.first_us = due_us;
        }
        channel.count += 1;
        channel.advance();
        if !started {
            self.started_us = Some(due_us);
        }
        self.look_up_following();
    }

    /// The value that is due next was not measured: a sensor does not answer.
    pub fn miss(&mut self) {
        let (index, _) = self.next_due();
        if let Some(channel) = self.channels.get_mut(usize::from(index)).and_then(Option::as_mut) {
            channel.miss(1);
            self.missed += 1;
        }
        self.look_up_following();
    }

    /// Values that were due before `now_us` will not be measured any more: the device was busy. Returns how many.
    pub fn miss_until(&mut self, now_us: u64) -> u64 {
        let missed = self.missed;
        for channel in self.channels.iter_mut().flatten() {
            let late_us = now_us.saturating_sub(channel.due_us);
            let values = late_us.div_ceil(u64::from(channel.setup.interval_us));
            channel.miss(values);
            self.missed += values;
        }
        self.look_up_next();
        self.missed - missed
    }

    /// Measure so from the next batch on. What is outside the device's means is brought within them.
    pub fn configure(&mut self, settings: Settings) {
        self.settings = Some(self.settings.map_or(settings, |waiting| waiting.then(settings)));
        if self.started_us.is_none() {
            self.apply_settings();
        }
    }

    /// Makes a message of what was collected, with this sequence, and begins a new batch. `None`: nothing was.
    ///
    /// # Errors
    /// `out` is smaller than `message_len_max`, or the sequence or the clock is outside the protocol's limits; the values
    /// stay.
    pub fn make(&mut self, sequence: u64, out: &mut [u8]) -> Result<Option<Made>, BatchError> {
        let Some(started_us) = self.started_us else { return Ok(None) };
        let time_ms = started_us / 1_000;
        let memory = self.memory.as_ref();
        let mut samples =
            [Samples { index: 0, interval_us: 0, delay_us: 0, scale: 0, values: &[] }; CHANNELS_MAX];
        let (mut count, mut values, mut last_us) = (0, 0, started_us);
        let channels = self.channels.iter().flatten().filter(|channel| channel.count > 0);
        for (slot, channel) in samples.iter_mut().zip(channels) {
            let delay_us = channel.first_us.saturating_sub(time_ms * 1_000);
            *slot = Samples {
                index: channel.setup.index,
                interval_us: channel.setup.interval_us,
                delay_us: u32::try_from(delay_us).unwrap_or(u32::MAX),
                scale: channel.setup.scale,
                values: memory.get(channel.at..channel.at + channel.count).unwrap_or_default(),
            };
            count += 1;
            values += channel.count;
            last_us = last_us.max(channel.last_us());
        }
        let len = encode_batch(sequence, time_ms, None, samples.get(..count).unwrap_or_default(), out)?;
        self.channels.iter_mut().flatten().for_each(|channel| (channel.count, channel.has_gap) = (0, false));
        self.started_us = None;
        self.is_complete = false;
        self.apply_settings();
        Ok(Some(Made { len, values, first_us: started_us, last_us }))
    }

    fn channel(&self, index: u8) -> Option<&Channel> {
        self.channels.get(usize::from(index))?.as_ref()
    }

    fn apply_settings(&mut self) {
        let Some(settings) = self.settings.take() else { return };
        let before = (self.channels, self.batch_ms);
        self.batch_ms = settings.batch_ms().unwrap_or(self.batch_ms);
        for channel in self.channels.iter_mut().flatten() {
            let Some(interval_us) = settings.interval_us(channel.setup.index) else { continue };
            // The next value comes one new interval after the last, or, if that is past, when it was due.
            let last_us = channel.due_us.saturating_sub(u64::from(channel.setup.interval_us));
            channel.due_us = channel.due_us.min(last_us + u64::from(interval_us));
            channel.setup.interval_us = interval_us;
        }
        if self.lay_out().is_err() {
            (self.channels, self.batch_ms) = before;
        }
        self.look_up_next();
    }

    /// Gives each channel its part of the memory, for as much of a batch as fits.
    fn lay_out(&mut self) -> Result<(), BatcherError> {
        let count = self.channels.iter().flatten().count();
        let values_max = self.values_max(count);
        let mut span_us = u64::from(self.batch_ms) * 1_000;
        while self.values_in(span_us) > values_max {
            if span_us <= u64::from(INTERVAL_US_MIN) {
                let (values, message_len_max) = (self.memory.as_ref().len(), self.message_len_max);
                return Err(BatcherError::TooSmall { values, message_len_max });
            }
            span_us = (span_us / 8 * 7).max(u64::from(INTERVAL_US_MIN));
        }
        self.span_us = span_us;
        let mut at = 0;
        for channel in self.channels.iter_mut().flatten() {
            channel.at = at;
            channel.count_max = channel.values_in(span_us);
            at += channel.count_max;
        }
        Ok(())
    }

    /// Values that fit memory and message.
    fn values_max(&self, channels: usize) -> usize {
        let around = BATCH_HEAD_LEN_MAX + channels * CHANNEL_HEAD_LEN_MAX;
        let in_message = self.message_len_max.saturating_sub(around) / VALUE_LEN_MAX;
        in_message.min(self.memory.as_ref().len()).min(BATCH_VALUES_MAX)
    }

    fn values_in(&self, span_us: u64) -> usize {
        self.channels.iter().flatten().map(|channel| channel.values_in(span_us)).sum()
    }
}

impl Channel {
    /// Values that a batch of this span holds at most.
    fn values_in(&self, span_us: u64) -> usize {
        let values = span_us.div_ceil(u64::from(self.setup.interval_us));
        usize::try_from(values).unwrap_or(usize::MAX).min(VALUES_MAX)
    }

    /// When the last value in the present batch was due.
    fn last_us(&self) -> u64 {
        let steps = u64::try_from(self.count.saturating_sub(1)).unwrap_or(0);
        self.first_us + steps * u64::from(self.setup.interval_us)
    }

    /// Whether the next value follows the last one in the present batch, and fits.
    fn goes_on(&self) -> bool {
        self.count == 0 || self.count < self.count_max && !self.has_gap
    }

    /// For [`Batcher::set_next`].
    fn next(&self) -> (u8, u64, bool) {
        (self.setup.index, self.due_us, self.goes_on())
    }

    fn advance(&mut self) {
        self.due_us += u64::from(self.setup.interval_us);
    }

    /// So many values, from the next one on, will not come.
    fn miss(&mut self, values: u64) {
        self.due_us += values * u64::from(self.setup.interval_us);
        self.has_gap |= values > 0 && self.count > 0;
    }
}

#[cfg(test)]
mod tests;
