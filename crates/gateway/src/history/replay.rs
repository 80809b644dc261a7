//! What limits would have raised, by the code that watches, from the journal. It knows values alone: devices that were away, batteries
//! and clocks are not replayed, and no one acknowledges. It touches nothing.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::SystemTime;

use vitalwire_access::DeviceId;
use vitalwire_vitals::alarm::{Alarm, Condition, Limits};
use vitalwire_vitals::monitor::Quantity;
use vitalwire_vitals::replay::Replay;

use super::{History, HistoryError, HistoryQuery, Page};

/// What two sets of limits would have raised of the same values, each in the order in which it was raised.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Replayed {
    /// There were values by which alarms are decided.
    pub has_values: bool,
    /// By the limits that are set.
    pub configured: Vec<Alarm>,
    /// By those that are tried.
    pub asked: Vec<Alarm>,
}

/// Which limits raised an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RaisedBy {
    /// Both did.
    Both,
    /// Only those that are set.
    Configured,
    /// Only those that are tried.
    Asked,
}

impl RaisedBy {
    /// The stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Configured => "configured",
            Self::Asked => "asked",
        }
    }
}

impl Replayed {
    /// How many of each condition.
    #[must_use]
    pub fn counts(alarms: &[Alarm]) -> BTreeMap<Condition, usize> {
        let mut counts = BTreeMap::new();
        alarms.iter().for_each(|alarm| *counts.entry(alarm.condition).or_default() += 1);
        counts
    }

    /// Every alarm once, in the order of time, with whose it is.
    #[must_use]
    pub fn merged(&self) -> Vec<(RaisedBy, &Alarm)> {
        let of_configured = self.configured.iter().map(|alarm| {
            let is_both = is_among(alarm, &self.asked);
            (if is_both { RaisedBy::Both } else { RaisedBy::Configured }, alarm)
        });
        let of_asked = self.asked.iter().filter(|alarm| !is_among(alarm, &self.configured));
        let mut all: Vec<_> = of_configured.chain(of_asked.map(|alarm| (RaisedBy::Asked, alarm))).collect();
        all.sort_by_key(|(_, alarm)| alarm.raised_us);
        all
    }

    /// What values do not tell is not nought.
    #[must_use]
    pub fn tells(condition: Condition) -> bool {
        !matches!(
            condition,
            Condition::DeviceOffline | Condition::Clock | Condition::Battery | Condition::JournalFull
        )
    }
}

/// Whether the other limits raised it too: the same condition, at a time at which this one lasted.
fn is_among(alarm: &Alarm, others: &[Alarm]) -> bool {
    let end = |alarm: &Alarm| alarm.ended_us.unwrap_or(i64::MAX);
    others.iter().any(|other| {
        other.condition == alarm.condition && other.since_us <= end(alarm) && alarm.since_us <= end(other)
    })
}

type Both = [Option<(Quantity, Replay)>; 2];

impl History {
    /// What the limits that are set (the first) and others would have raised of a device's values in this time. A dropped future ends
    /// the reading.
    ///
    /// # Errors
    /// A range that makes no sense, or the journal cannot be read.
    pub async fn replay(
        &self,
        device: &DeviceId,
        (from, to): (SystemTime, SystemTime),
        limits: [Limits; 2],
    ) -> Result<Replayed, HistoryError> {
        let (mut replayed, mut has_wave, mut rates) = (Replayed::default(), false, Vec::new());
        for channel in self.watched_channels() {
            let query = HistoryQuery { device: device.clone(), channel, from, to };
            let step = move |state: &mut Both, page: &Page<'_>| {
                add(state, &limits, page);
                ControlFlow::Continue(())
            };
            let both = match self.fold(&query, [None, None], step).await {
                Err(HistoryError::UnknownChannel { .. }) => continue,
                folded => folded?,
            };
            let [Some((quantity, one)), Some((_, other))] = both else { continue };
            replayed.has_values = true;
            has_wave |= matches!(quantity, Quantity::Wave(_));
            if quantity == Quantity::Rate {
                rates.push((one, other));
            } else {
                replayed.configured.extend(one.finish());
                replayed.asked.extend(other.finish());
            }
        }
        // As it is live: a rate that the device tells counts without a wave only.
        for (one, other) in rates.into_iter().filter(|_| !has_wave) {
            replayed.configured.extend(one.finish());
            replayed.asked.extend(other.finish());
        }
        replayed.configured.sort_by_key(|alarm| alarm.raised_us);
        replayed.asked.sort_by_key(|alarm| alarm.raised_us);
        Ok(replayed)
    }
}

fn add(state: &mut Both, limits: &[Limits; 2], page: &Page<'_>) {
    let Some(quantity) = page.quantity() else { return };
    let plausible = (page.channel.minimum, page.channel.maximum);
    for (replay, limits) in state.iter_mut().zip(limits) {
        let (of, replay) =
            replay.get_or_insert_with(|| (quantity, Replay::new(*limits, quantity, plausible)));
        // A device that measures something else by this name from some day on is judged by what it was first.
        if *of == quantity {
            page.values.iter().for_each(|value| replay.value(value.time_us, value.number.to_f64()));
        }
    }
}

#[cfg(test)]
mod tests {
    use vitalwire_vitals::alarm::Priority;

    use super::*;

    fn raised(condition: Condition, since_s: i64, ended_s: Option<i64>) -> Alarm {
        let times = [since_s, since_s + 15].map(|second| second * 1_000_000);
        let mut replay = Replay::new(Limits::default(), Quantity::Rate, (0.0, 500.0));
        // An alarm of the machine's own, with other times.
        (0..20).for_each(|second| replay.value(second * 1_000_000, 130.0));
        let alarm = replay.finish().remove(0);
        assert_eq!(alarm.priority, Priority::Medium);
        let ended_us = ended_s.map(|second| second * 1_000_000);
        Alarm { condition, since_us: times[0], raised_us: times[1], ended_us, ..alarm }
    }

    #[test]
    fn each_alarm_is_there_once_with_whose_it_is() {
        let replayed = Replayed {
            has_values: true,
            configured: vec![
                raised(Condition::RateHigh, 0, Some(20)),
                raised(Condition::RateHigh, 100, None),
            ],
            asked: vec![raised(Condition::RateHigh, 101, None), raised(Condition::RateLow, 0, Some(90))],
        };
        let whose: Vec<_> = replayed.merged().iter().map(|(whose, _)| whose.name()).collect();
        assert_eq!(whose, ["configured", "asked", "both"]);
        let counts = Replayed::counts(&replayed.asked);
        assert_eq!(counts, [(Condition::RateHigh, 1), (Condition::RateLow, 1)].into());
    }
}
