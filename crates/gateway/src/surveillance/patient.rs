//! One patient under watch: what of each reading the monitor looks at, what it derives, and the list of open alarms.

use std::cmp::Reverse;
use std::sync::Arc;

use vitalwire_access::DeviceId;
use vitalwire_journal::Assurance;
use vitalwire_profile::{ChannelProfile, Profile};
use vitalwire_registry::CurrentStay;
use vitalwire_vitals::alarm::{Alarm, Numbers, Timing};
use vitalwire_vitals::monitor::{self, Measured, Outcome, PatientMonitor, Quantity};
use vitalwire_vitals::wave::WaveKind;

use crate::alarms::AlarmList;
use crate::history::quantity;
use crate::intake::Moment;
use crate::reading::{BatchValues, Reading, Values, number_at};

/// Decimals of the derived channels, in the order of their profile, which a test compares.
const DECIMALS: [u8; 5] = [1, 1, 2, 0, 0];

/// See the module.
pub(super) struct Patient {
    pub(super) device: DeviceId,
    pub(super) stay: Arc<CurrentStay>,
    pub(super) monitor: PatientMonitor,
    channels: Option<Channels>,
    /// Whether the monitor was told of these channels.
    is_told: bool,
    gathered: Gathered,
    origin: Origin,
    /// For when its next tick is scheduled.
    pub(super) due_us: Option<i64>,
    /// Whether it waits to be stepped in this turn.
    pub(super) is_gathering: bool,
}

/// Which channels of a profile are watched.
struct Channels {
    profile: Arc<Profile>,
    watched: Box<[Watched]>,
}

struct Watched {
    /// Among the profile's channels: where a sample's text has its value.
    place: usize,
    index: u8,
    quantity: Quantity,
    plausible: (f64, f64),
    interval_us: u32,
}

/// Samples of frames that came since the last turn: a monitor is stepped with some together. Of each watched channel its values.
#[derive(Default)]
struct Gathered {
    values: Vec<Vec<f64>>,
    count: usize,
    last_us: i64,
}

/// Where the newest reading came from: what is derived of it is as good.
#[derive(Clone, Copy)]
struct Origin {
    assurance: Assurance,
    uncertainty_us: u64,
}

/// What a step needs of the whole server.
pub(super) struct Surroundings<'s> {
    pub(super) now_us: i64,
    pub(super) numbers: &'s mut Numbers,
    pub(super) outcome: &'s mut Outcome,
}

impl Patient {
    pub(super) fn new(device: DeviceId, stay: Arc<CurrentStay>, open: Vec<Alarm>, timing: Timing) -> Self {
        let monitor = PatientMonitor::new(stay.limits, timing, open);
        Self {
            device,
            stay,
            monitor,
            channels: None,
            is_told: false,
            gathered: Gathered::default(),
            origin: Origin { assurance: Assurance::ConfidentialOnly, uncertainty_us: 0 },
            due_us: None,
            is_gathering: false,
        }
    }

    /// Takes a reading. A batch is looked at now; a sample waits for the others of its turn, and then `true` is returned.
    pub(super) fn take(&mut self, reading: &Reading, is_live: bool, step: &mut Surroundings<'_>) -> bool {
        if self.channels.as_ref().is_none_or(|known| !Arc::ptr_eq(&known.profile, &reading.source.profile)) {
            self.step_gathered(step);
            self.channels = Some(Channels::of(&reading.source.profile));
            self.is_told = false;
        }
        self.tell_channels(is_live, step);
        self.origin = Origin { assurance: reading.assurance, uncertainty_us: reading.uncertainty_us };
        let Some(channels) = &self.channels else { return false };
        match &reading.values {
            Values::Sample(text) => {
                self.gathered.add(channels, text.as_bytes(), reading.first_us);
                true
            }
            Values::Batch(batch) => {
                step_batch(&mut self.monitor, channels, batch, (reading.first_us, is_live), step);
                false
            }
        }
    }

    /// The monitor knows the channels that the device has now, not those that it had when a backlog was measured.
    fn tell_channels(&mut self, is_live: bool, step: &mut Surroundings<'_>) {
        if !is_live || std::mem::replace(&mut self.is_told, true) {
            return;
        }
        let watched = self.channels.iter().flat_map(|channels| &channels.watched);
        let channels: Vec<_> = watched.map(|watched| (watched.quantity, watched.interval_us)).collect();
        self.monitor.watch(&channels, step.now_us, step.numbers, step.outcome);
    }

    /// Looks at the samples that were gathered. They were measured at even times and the last just before it came, whatever
    /// held the others up on their way.
    pub(super) fn step_gathered(&mut self, step: &mut Surroundings<'_>) {
        let Some(channels) = &self.channels else { return };
        let count = std::mem::take(&mut self.gathered.count);
        if count == 0 {
            return;
        }
        for (watched, values) in channels.watched.iter().zip(&mut self.gathered.values) {
            let before = u64::from(watched.interval_us) * (count as u64 - 1);
            let measured = Measured {
                quantity: watched.quantity,
                plausible: watched.plausible,
                first_us: self.gathered.last_us.saturating_sub_unsigned(before),
                interval_us: watched.interval_us,
                values,
                is_live: true,
            };
            self.monitor.measured(&measured, step.now_us, step.numbers, step.outcome);
            values.clear();
        }
    }

    /// What was derived of one second, as the intake takes it; nothing when nothing is known.
    pub(super) fn moment(&self, derived: &monitor::Derived) -> Option<Moment> {
        let [pulse, heart] = match derived.wave {
            Some(WaveKind::Ppg) => [derived.rate_per_min, None],
            Some(WaveKind::Ecg) => [None, derived.rate_per_min],
            // Who tells its rate itself has a channel for it.
            None => [None, None],
        };
        let score = derived.score.map(|score| [score.points, score.inputs].map(f64::from));
        let values =
            [pulse, heart, derived.quality, score.map(|[points, _]| points), score.map(|[_, inputs]| inputs)];
        let digits: Vec<_> = values
            .into_iter()
            .zip(DECIMALS)
            .map(|(value, decimals)| value.map(|value| digits(value, decimals)))
            .collect();
        let Origin { assurance, uncertainty_us } = self.origin;
        let is_known = digits.iter().any(Option::is_some);
        is_known.then_some(Moment { time_us: derived.time_us, uncertainty_us, assurance, digits })
    }

    /// All open alarms as they are now, the most urgent first, of these the newest.
    pub(super) fn list(&self, time_us: i64) -> AlarmList {
        let machine = self.monitor.alarms();
        let mut alarms: Vec<_> = machine.open().cloned().collect();
        alarms.sort_by_key(|alarm| (Reverse(alarm.priority), Reverse(alarm.number)));
        AlarmList {
            state: machine.state(),
            until_us: machine.paused().map(|pause| pause.until_us),
            floor: machine.paused().map(|pause| pause.floor),
            alarms,
            ..AlarmList::empty(self.device.clone(), time_us)
        }
    }
}

fn step_batch(
    monitor: &mut PatientMonitor,
    channels: &Channels,
    batch: &BatchValues,
    (first_us, is_live): (i64, bool),
    step: &mut Surroundings<'_>,
) {
    let mut values = Vec::new();
    for watched in &channels.watched {
        let Some(data) = batch.channels().find(|data| data.index == watched.index) else { continue };
        values.clear();
        values.extend(data.values().map(|(_, value)| value.to_f64()));
        let measured = Measured {
            quantity: watched.quantity,
            plausible: watched.plausible,
            first_us: batch.span.utc_us(first_us, u64::from(data.delay_us)),
            interval_us: data.interval_us,
            values: &values,
            is_live,
        };
        monitor.measured(&measured, step.now_us, step.numbers, step.outcome);
    }
}

impl Channels {
    fn of(profile: &Arc<Profile>) -> Self {
        let watched = |(place, channel): (usize, &ChannelProfile)| {
            Some(Watched {
                place,
                index: channel.index,
                quantity: quantity(channel)?,
                plausible: (channel.minimum, channel.maximum),
                interval_us: channel.interval_us(),
            })
        };
        let mut watched: Vec<_> = profile.channels().iter().enumerate().filter_map(watched).collect();
        // The monitor knows by the wave whose seconds it tells: of a device without one, those of its other values.
        watched.sort_by_key(|watched| !matches!(watched.quantity, Quantity::Wave(_)));
        Self { profile: Arc::clone(profile), watched: watched.into() }
    }
}

impl Gathered {
    fn add(&mut self, channels: &Channels, text: &[u8], received_us: i64) {
        self.values.resize_with(channels.watched.len(), Vec::new);
        for (watched, values) in channels.watched.iter().zip(&mut self.values) {
            values.push(number_at(text, watched.place).unwrap_or(f64::NAN));
        }
        self.count += 1;
        self.last_us = received_us;
    }
}

/// The digits of a value with so many decimals.
fn digits(value: f64, decimals: u8) -> i32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rates, qualities and scores are small; `as` saturates"
    )]
    let digits = (value * 10_f64.powi(i32::from(decimals))).round() as i32;
    digits
}

#[cfg(test)]
mod tests {
    use vitalwire_profile::DERIVED;

    use super::*;

    #[test]
    fn the_derived_channels_have_the_decimals_of_their_profile() {
        let profile = Profile::builtin(DERIVED).unwrap();
        let decimals: Vec<_> = profile.channels().iter().map(|channel| channel.decimals).collect();
        assert_eq!(decimals, DECIMALS);
        let names: Vec<_> = profile.channels().iter().map(|channel| channel.name.as_str()).collect();
        assert_eq!(
            names,
            ["Pulse_Rate", "Heart_Rate", "Signal_Quality", "Screening_Score", "Screening_Inputs"]
        );
        assert_eq!((digits(72.04, 1), digits(0.935, 2), digits(7.0, 0)), (720, 94, 7));
    }

    #[test]
    fn a_profile_says_what_is_watched() {
        let watched = |name| {
            let channels = Channels::of(&Arc::new(Profile::builtin(name).unwrap()));
            channels.watched.iter().map(|watched| (watched.place, watched.quantity)).collect::<Vec<_>>()
        };
        assert_eq!(watched("pico"), [(2, Quantity::Wave(WaveKind::Ppg)), (0, Quantity::Temperature)]);
        assert_eq!(watched("ecg"), [(2, Quantity::Wave(WaveKind::Ecg)), (0, Quantity::Temperature)]);
    }
}
