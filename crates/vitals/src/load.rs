//! How many alarms there were, and what they were good for: the report that shows whose limits and delays to adjust. In a ward a
//! tenth of the patients causes most alarms, and most are over before anyone could come (Görges 2009).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::alarm::{Condition, Priority};

const US_PER_DAY: f64 = 86_400e6;
/// Of less time no number a day is told.
const WATCHED_US_MIN: i64 = 3_600_000_000;

/// An alarm as it is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PastAlarm<K> {
    /// Of whom.
    pub patient: K,
    /// What was wrong.
    pub condition: Condition,
    /// How urgent it was in the end.
    pub priority: Priority,
    /// When it was raised: UTC, microseconds since 1970.
    pub raised_us: i64,
    /// When its condition ended.
    pub ended_us: Option<i64>,
    /// When someone acknowledged it.
    pub acknowledged_us: Option<i64>,
}

/// The alarms of one condition, or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Share {
    /// How many.
    pub alarms: usize,
    /// How many of them of high priority.
    pub high: usize,
    /// How many were acknowledged.
    pub acknowledged: usize,
    /// Half of the acknowledgements came within so many seconds,
    pub acknowledged_median_s: Option<f64>,
    /// nine tenths within so many.
    pub acknowledged_p90_s: Option<f64>,
    /// How many ended so soon that a longer delay would have spared people.
    pub shorter: usize,
}

/// One patient's part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PatientLoad<K> {
    /// Whose.
    pub patient: K,
    /// How many.
    pub alarms: usize,
    /// How many a day, of the time for which the patient was watched; nothing when that was less than an hour.
    pub a_day: Option<f64>,
    /// The condition of which there were most.
    pub most: Condition,
}

/// The report.
#[derive(Clone, Debug, PartialEq)]
pub struct Load<K> {
    /// Of all conditions.
    pub all: Share,
    /// Of each that there was, the most frequent first.
    pub conditions: Vec<(Condition, Share)>,
    /// Of each patient that was watched, the most alarms first.
    pub patients: Vec<PatientLoad<K>>,
    /// What share of all alarms the tenth of the patients with most of them had, from 0 to 1; of patients at least one.
    pub top_tenth: Option<f64>,
}

/// Counts alarms. `watched_us` says for each patient how long they were watched, also when there was no alarm; `longer_s` by how
/// much longer the delays would have been.
#[must_use]
pub fn load<K: Copy + Ord>(alarms: &[PastAlarm<K>], watched_us: &BTreeMap<K, i64>, longer_s: u16) -> Load<K> {
    let mut of_condition: BTreeMap<Condition, Vec<PastAlarm<K>>> = BTreeMap::new();
    let mut of_patient: BTreeMap<K, BTreeMap<Condition, usize>> =
        watched_us.keys().map(|patient| (*patient, BTreeMap::new())).collect();
    for alarm in alarms {
        of_condition.entry(alarm.condition).or_default().push(*alarm);
        *of_patient.entry(alarm.patient).or_default().entry(alarm.condition).or_default() += 1;
    }
    let mut conditions: Vec<(Condition, Share)> =
        of_condition.iter().map(|(condition, alarms)| (*condition, share(alarms, longer_s))).collect();
    conditions.sort_by_key(|(_, share)| core::cmp::Reverse(share.alarms));
    let mut patients: Vec<PatientLoad<K>> = of_patient
        .into_iter()
        .map(|(patient, counts)| {
            let alarms = counts.values().sum();
            let most = counts.iter().max_by_key(|(_, count)| **count);
            let most = most.map_or(Condition::Asystole, |(condition, _)| *condition);
            let watched_us = watched_us.get(&patient).copied().filter(|us| *us >= WATCHED_US_MIN);
            let a_day = watched_us.map(|us| count_f64(alarms) * US_PER_DAY / to_f64(us));
            PatientLoad { patient, alarms, a_day, most }
        })
        .collect();
    patients.sort_by_key(|patient| core::cmp::Reverse(patient.alarms));
    let top: usize = patients.iter().take(patients.len().div_ceil(10)).map(|patient| patient.alarms).sum();
    let top_tenth = (!alarms.is_empty()).then(|| count_f64(top) / count_f64(alarms.len()));
    Load { all: share(alarms, longer_s), conditions, patients, top_tenth }
}

fn share<K>(alarms: &[PastAlarm<K>], longer_s: u16) -> Share {
    let mut waits_us: Vec<i64> = alarms
        .iter()
        .filter_map(|alarm| Some(alarm.acknowledged_us?.saturating_sub(alarm.raised_us).max(0)))
        .collect();
    waits_us.sort_unstable();
    let at = |tenths: usize| {
        // The nearest rank: at least so many tenths of all are not longer.
        let rank = (waits_us.len() * tenths).div_ceil(10).checked_sub(1)?;
        waits_us.get(rank).map(|us| to_f64(*us) / 1e6)
    };
    let lasted_less = |alarm: &&PastAlarm<K>| {
        let lasted_us = alarm.ended_us.map(|ended_us| ended_us.saturating_sub(alarm.raised_us));
        lasted_us.is_some_and(|us| us < i64::from(longer_s) * 1_000_000)
    };
    Share {
        alarms: alarms.len(),
        high: alarms.iter().filter(|alarm| alarm.priority == Priority::High).count(),
        acknowledged: waits_us.len(),
        acknowledged_median_s: at(5),
        acknowledged_p90_s: at(9),
        shorter: alarms.iter().filter(lasted_less).count(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share or a time needs no more than 15 digits")]
fn to_f64(us: i64) -> f64 {
    us as f64
}

#[expect(clippy::cast_precision_loss, reason = "a share or a time needs no more than 15 digits")]
fn count_f64(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000;
    const DAY: i64 = 86_400 * S;

    fn alarm(patient: u8, condition: Condition, lasts_s: i64, acknowledged_s: Option<i64>) -> PastAlarm<u8> {
        PastAlarm {
            patient,
            condition,
            priority: condition.priority(),
            raised_us: DAY,
            ended_us: Some(DAY + lasts_s * S),
            acknowledged_us: acknowledged_s.map(|s| DAY + s * S),
        }
    }

    #[test]
    fn counts_by_patient_day_and_condition() {
        let mut alarms = alloc::vec![
            alarm(1, Condition::RateHigh, 5, Some(10)),
            alarm(1, Condition::RateHigh, 14, Some(20)),
            alarm(1, Condition::RateHigh, 15, Some(30)),
            alarm(1, Condition::Asystole, 1, Some(100)),
            alarm(2, Condition::Battery, 1_000, None),
        ];
        alarms.push(PastAlarm { ended_us: None, ..alarm(2, Condition::RateHigh, 0, None) });
        let watched = [(1, 2 * DAY), (2, DAY), (3, DAY / 48)].into_iter().collect();
        let load = load(&alarms, &watched, 15);
        assert_eq!((load.all.alarms, load.all.high, load.all.acknowledged, load.all.shorter), (6, 1, 4, 3));
        assert_eq!(load.all.acknowledged_median_s, Some(20.0));
        assert_eq!(load.all.acknowledged_p90_s, Some(100.0));
        let (condition, share) = load.conditions[0];
        assert_eq!((condition, share.alarms, share.shorter), (Condition::RateHigh, 4, 2));
        let patients: Vec<(u8, usize, Option<f64>)> =
            load.patients.iter().map(|patient| (patient.patient, patient.alarms, patient.a_day)).collect();
        assert_eq!(patients, [(1, 4, Some(2.0)), (2, 2, Some(2.0)), (3, 0, None)]);
        assert_eq!(load.patients[0].most, Condition::RateHigh);
        assert_eq!(load.top_tenth, Some(4.0 / 6.0));
    }

    #[test]
    fn nothing_is_no_fault() {
        let load = load::<u8>(&[], &BTreeMap::new(), 15);
        assert_eq!((load.all, load.top_tenth, load.patients.len()), (Share::default(), None, 0));
    }

    #[test]
    fn a_clock_that_was_set_back_makes_no_negative_wait() {
        let alarms = [PastAlarm { acknowledged_us: Some(0), ..alarm(1, Condition::Clock, -5, None) }];
        let load = load(&alarms, &BTreeMap::new(), 15);
        assert_eq!(load.all.acknowledged_median_s, Some(0.0));
    }
}
