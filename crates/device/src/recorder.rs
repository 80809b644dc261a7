//! Measures on schedule and keeps what it measured in the outbox, whatever the network does. In the firmware it runs above
//! everything else, so that no handshake costs a sample.
//!
//! A value stands for the moment at which it was due. What could not be measured within half an interval of that moment, or
//! whose sensor has nothing, is a gap: never a value of another time, never an invented one. What watched sensors say is that of
//! just before, or, if they come late, at most as old as `sensors` lets it be. It never waits for the network, and the network
//! never waits for it.

mod presence;
mod shared;
#[cfg(test)]
mod tests;

use embassy_futures::select::select;
use embassy_sync::blocking_mutex::raw::RawMutex;
use embedded_storage::nor_flash::NorFlash;
use presence::Presence;
pub use shared::{
    AWAY_MS_MIN, COLLECTOR_SILENT_MS_MAX, DeviceEvent, FINISH_MS_MAX, RECORDER_SILENT_MS_MAX, Sample, Shared,
};
use vitalwire_protocol::Channel;
use vitalwire_protocol::batch::event_code;

use crate::batcher::{Batcher, BatcherError, ChannelSetup};
use crate::clock::Clock;
use crate::identity::Credentials;
use crate::sensors::{Adc, AdcInput, Readings, SAMPLE_US, Sensor, mcu_temperature_milli, pulse_millivolts};

/// Decimals of every channel, as the paper's frames have them.
const SCALE: i8 = -3;
/// Values of a batch, at most: with its message buffer, 2 s of a pulse wave at 250 Hz.
pub const VALUES_MAX: usize = 1_024;
/// Bytes of a batch, at most: a sector of the outbox's flash takes one.
pub const BATCH_LEN_MAX: usize = 4_000;
/// No channel can be measured more often, by index, in microseconds, however the server wants it: the thermometer measures
/// once a second, the movement sensor 40 times, and the pulse takes 250 values a second at most.
const INTERVALS_US_MIN: [u32; Channel::ALL.len()] =
    [1_000_000, PULSE_US_MIN, PULSE_US_MIN, SAMPLE_US, SAMPLE_US, SAMPLE_US, SAMPLE_US];
const PULSE_US_MIN: u32 = 4_000;
/// After longer than this, in microseconds, values are counted as missed at once instead of one by one.
const LONG_LATE_US: u64 = 1_000_000;
/// The recorder wakes so often at least, in microseconds, as a sign of life.
const WAKE_EVERY_US: u64 = 1_000_000;

/// What becomes of the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Batches in the outbox (PROTOCOL.md §4).
    Batches,
    /// Samples for the paper's frames (PROTOCOL.md §2), each at the pulse's interval. A frame has no time, so that none is
    /// kept: what cannot be sent at once is lost.
    Frames,
}

/// How often to measure, unless the server wants it otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Microseconds from value to value of the pulse wave; 4,000 (250 Hz) at least.
    pub pulse_interval_us: u32,
    /// The same for the acceleration.
    pub movement_interval_us: u32,
    /// The same for all temperatures.
    pub temperature_interval_us: u32,
    /// Milliseconds of values in a batch.
    pub batch_ms: u32,
    /// What becomes of them.
    pub delivery: Delivery,
}

impl Plan {
    /// 20 Hz, the temperatures once a second, batches of a second.
    pub const BATCHES: Self = Self {
        pulse_interval_us: 50_000,
        movement_interval_us: 50_000,
        temperature_interval_us: 1_000_000,
        batch_ms: 1_000,
        delivery: Delivery::Batches,
    };
    /// 20 frames a second, as the paper's device.
    pub const FRAMES: Self = Self { delivery: Delivery::Frames, ..Self::BATCHES };

    /// The plan for a device with these credentials.
    #[must_use]
    pub fn of(credentials: &Credentials) -> Self {
        match credentials {
            Credentials::Link { .. } => Self::BATCHES,
            Credentials::Frames { .. } => Self::FRAMES,
        }
    }

    fn channels(&self) -> [ChannelSetup; Channel::ALL.len()] {
        Channel::ALL.map(|channel| ChannelSetup {
            index: channel as u8,
            interval_us: match channel {
                Channel::PulseSig => self.pulse_interval_us,
                Channel::AccelX | Channel::AccelY | Channel::AccelZ => self.movement_interval_us,
                Channel::Temp | Channel::TempMcu | Channel::TempMpu => self.temperature_interval_us,
            },
            scale: SCALE,
        })
    }
}

/// The recorder's buffers: values of the present batch, and its message.
#[derive(Debug)]
pub struct Memory {
    values: [i32; VALUES_MAX],
    message: [u8; BATCH_LEN_MAX],
}

impl Memory {
    /// Empty.
    #[must_use]
    pub const fn new() -> Self {
        Self { values: [0; VALUES_MAX], message: [0; BATCH_LEN_MAX] }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

/// Measures until [`Shared::finish`], then does nothing for ever; returns only when `plan` or the outbox's memory is outside the batcher's limits.
pub async fn record<A, C, M, R, F>(
    adc: A,
    clock: C,
    readings: &Readings<M>,
    shared: &Shared<M, R, F>,
    plan: Plan,
    memory: &mut Memory,
) -> BatcherError
where
    A: Adc,
    C: Clock,
    M: RawMutex,
    R: AsRef<[u8]> + AsMut<[u8]>,
    F: NorFlash,
{
    let presence = Presence::new(clock.now_us());
    shared.tell(DeviceEvent { code: event_code::STARTED, text: "started", time_ms: clock.now_ms() });
    let mut recorder = Recorder { adc, clock, readings, shared, presence };
    match plan.delivery {
        Delivery::Frames => recorder.sample(u64::from(plan.pulse_interval_us.max(1))).await,
        Delivery::Batches => {
            let message_len_max = shared.message_len_max().min(memory.message.len());
            // A batch's time has whole milliseconds: each channel would have to say by how much it is off.
            let start_us = recorder.clock.now_us().next_multiple_of(1_000);
            let values = &mut memory.values;
            let batcher = Batcher::new(values, message_len_max, &plan.channels(), plan.batch_ms, start_us);
            match batcher {
                Ok(batcher) => recorder.batch(batcher, &mut memory.message).await,
                Err(error) => error,
            }
        }
    }
}

struct Recorder<'s, A, C, M: RawMutex, R, F> {
    adc: A,
    clock: C,
    readings: &'s Readings<M>,
    shared: &'s Shared<M, R, F>,
    presence: Presence,
}

impl<A, C, M, R, F> Recorder<'_, A, C, M, R, F>
where
    A: Adc,
    C: Clock,
    M: RawMutex,
    R: AsRef<[u8]> + AsMut<[u8]>,
    F: NorFlash,
{
    /// Measures when a value is due and collects batches.
    async fn batch(&mut self, mut batcher: Batcher<&mut [i32; VALUES_MAX]>, message: &mut [u8]) -> ! {
        self.want_movement(&batcher);
        loop {
            let (_, due_us) = batcher.next_due();
            let wake_us = due_us.min(self.clock.now_us() + WAKE_EVERY_US);
            select(self.clock.wait_until_us(wake_us), self.shared.configured()).await;
            self.shared.recorder_lives(self.clock.now_us());
            if let Some(settings) = self.shared.take_settings() {
                batcher.configure(settings.at_least(&INTERVALS_US_MIN));
            }
            let missed = batcher.missed();
            while self.measure_next(&mut batcher).await {
                if batcher.is_complete() {
                    self.make(&mut batcher, message);
                }
            }
            self.shared.missed(batcher.missed() - missed);
            if self.shared.must_finish() {
                self.make(&mut batcher, message);
                self.rest().await;
            }
        }
    }

    /// Has finished: measures no more, and is not dead.
    async fn rest(&self) -> ! {
        self.shared.finished();
        loop {
            self.shared.recorder_lives(self.clock.now_us());
            self.clock.wait_until_us(self.clock.now_us() + WAKE_EVERY_US).await;
        }
    }

    /// Measures the value that is due next; false: none is yet.
    async fn measure_next(&mut self, batcher: &mut Batcher<&mut [i32; VALUES_MAX]>) -> bool {
        let (index, due_us) = batcher.next_due();
        let now_us = self.clock.now_us();
        let Some(late_us) = now_us.checked_sub(due_us) else { return false };
        if late_us > LONG_LATE_US {
            batcher.miss_until(now_us);
            return true;
        }
        // What is measured later would be nearer to the next value's moment.
        let late_us_max = batcher.schedule(index).map_or(0, |(_, interval_us)| u64::from(interval_us / 2));
        let value = if late_us > late_us_max { None } else { self.value(index, now_us).await };
        match value {
            Some(value) => batcher.record(value),
            None => batcher.miss(),
        }
        true
    }

    /// Measures this channel now, which is `now_us`.
    async fn value(&mut self, index: u8, now_us: u64) -> Option<i32> {
        let channel = Channel::ALL.get(usize::from(index))?;
        let acceleration = |axis: usize| {
            let movement = self.readings.movement(now_us)?;
            movement.acceleration_milli.get(axis).copied()
        };
        let (sensor, value) = match channel {
            Channel::Temp => (Sensor::Thermometer, self.readings.body_temperature_milli(now_us)),
            Channel::TempMcu => {
                let raw = self.adc.read(AdcInput::McuTemperature).await;
                (Sensor::Mcu, raw.map(mcu_temperature_milli))
            }
            Channel::PulseSig => (Sensor::Pulse, self.adc.read(AdcInput::Pulse).await.map(pulse_millivolts)),
            Channel::AccelX => (Sensor::Movement, acceleration(0)),
            Channel::AccelY => (Sensor::Movement, acceleration(1)),
            Channel::AccelZ => (Sensor::Movement, acceleration(2)),
            Channel::TempMpu => {
                let movement = self.readings.movement(now_us);
                (Sensor::Movement, movement.map(|movement| movement.temperature_milli))
            }
        };
        if let Some(code) = self.presence.note(sensor, value.is_some(), now_us) {
            self.shared.tell(DeviceEvent { code, text: sensor.name(), time_ms: now_us / 1_000 });
        }
        value
    }

    /// Makes a batch of what was measured, and keeps it.
    fn make(&mut self, batcher: &mut Batcher<&mut [i32; VALUES_MAX]>, message: &mut [u8]) {
        let made = batcher.make(self.shared.next_sequence(), message);
        match made {
            Ok(Some(made)) => self.shared.keep(made.newest_ms(), message.get(..made.len).unwrap_or_default()),
            Ok(None) => {}
            // The batcher plans for this buffer, and clocks and sequences are far from their ends. Were it otherwise, the
            // recorder would count gaps and live on.
            Err(_) => batcher.miss(),
        }
        self.want_movement(batcher);
    }

    /// Tells the movement sensor's watcher when someone looks.
    fn want_movement(&self, batcher: &Batcher<&mut [i32; VALUES_MAX]>) {
        let axes = [Channel::AccelX, Channel::AccelY, Channel::AccelZ];
        let looks = axes.iter().filter_map(|axis| batcher.schedule(*axis as u8));
        if let Some((due_us, interval_us)) = looks.min_by_key(|(_, interval_us)| *interval_us) {
            self.readings.want_movement(due_us, interval_us);
        }
    }

    /// Measures all channels at once, again and again, and hands the sample on.
    async fn sample(&mut self, interval_us: u64) -> ! {
        let mut due_us = self.clock.now_us();
        loop {
            self.readings.want_movement(due_us, u32::try_from(interval_us).unwrap_or(u32::MAX));
            self.shared.recorder_lives(self.clock.now_us());
            let mut sample = Sample::default();
            for (value, index) in sample.milli.iter_mut().zip(0..) {
                *value = self.value(index, self.clock.now_us()).await;
            }
            self.shared.show(sample);
            if self.shared.must_finish() {
                self.rest().await;
            }
            due_us += interval_us;
            let late_us = self.clock.now_us().saturating_sub(due_us);
            if late_us > interval_us / 2 {
                let missed = late_us.div_ceil(interval_us);
                due_us += missed * interval_us;
                self.shared.missed(missed * Channel::ALL.len() as u64);
            }
            while self.clock.now_us() < due_us {
                self.clock.wait_until_us(due_us.min(self.clock.now_us() + WAKE_EVERY_US)).await;
                self.shared.recorder_lives(self.clock.now_us());
            }
        }
    }
}
