//! Why nothing was measured: what the alarms of the stay say, and what the journal shows.

use std::cmp::Reverse;
use std::time::{Duration, UNIX_EPOCH};

use vitalwire_gateway::{Bucket, HistoryQuery, Missing};
use vitalwire_registry::AlarmRecord;
use vitalwire_vitals::alarm::Condition;

use super::history::Own;
use crate::api::{Gap, GapCause};
use crate::app::App;
use crate::failure::Failure;

/// Gaps whose cause is told; the longest.
const GAPS_MAX: usize = 50;
/// Alarms that are looked through; the newest.
const ALARMS_MAX: usize = 2_000;
/// At the ends of a range, less is no gap: a slow channel has a value a minute, and what is live needs its time.
const END_US_MIN: i64 = 90_000_000;

/// From the last sample before it to the first one after it; nothing where the range begins or ends. UTC, microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hole {
    from_us: i64,
    to_us: i64,
    is_at_an_end: bool,
}

/// A stretch that an alarm explains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    from_us: i64,
    to_us: i64,
    cause: GapCause,
}

/// The longest gaps of a history, with their causes.
pub(super) async fn of(
    app: &App,
    own: &Own<'_>,
    asked: &HistoryQuery,
    buckets: &[Bucket],
) -> Result<Vec<Gap>, Failure> {
    let us = |time: std::time::SystemTime| {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    };
    let now_us = crate::time::now_us();
    let holes = holes(buckets, us(asked.from), us(asked.to).min(now_us));
    if holes.is_empty() {
        return Ok(Vec::new());
    }
    let alarms = app.people.alarms_of(own.stay, us(asked.to), ALARMS_MAX).await.map_err(|error| {
        tracing::error!(%error, "the dashboard cannot read why nothing was measured");
        Failure::Unreadable
    })?;
    let told: Vec<Told> = alarms.iter().filter_map(|alarm| told(alarm, now_us)).collect();
    let mut gaps = Vec::with_capacity(holes.len());
    for hole in holes {
        let cause = match by_alarm(hole, own.began_us, &told) {
            Some(cause) => cause,
            None if hole.is_at_an_end => GapCause::Unknown,
            None => {
                let time = |us: i64| UNIX_EPOCH + Duration::from_micros(us.max(0).unsigned_abs());
                let between =
                    HistoryQuery { from: time(hole.from_us), to: time(hole.to_us), ..asked.clone() };
                by_journal(own.kept.missing(&between).await?)
            }
        };
        gaps.push(Gap { from: hole.from_us.div_euclid(1_000), to: hole.to_us.div_euclid(1_000), cause });
    }
    Ok(gaps)
}

fn holes(buckets: &[Bucket], from_us: i64, to_us: i64) -> Vec<Hole> {
    let between = buckets.windows(2).filter_map(|two| match two {
        [before, after] if after.gap_before => {
            Some(Hole { from_us: before.last_us, to_us: after.first_us, is_at_an_end: false })
        }
        _ => None,
    });
    let first_us = buckets.first().map_or(to_us, |first| first.first_us);
    let mut ends = vec![(from_us, first_us)];
    ends.extend(buckets.last().map(|last| (last.last_us, to_us)));
    let ends = ends.into_iter().map(|(from_us, to_us)| Hole { from_us, to_us, is_at_an_end: true });
    let ends = ends.filter(|hole| hole.to_us.saturating_sub(hole.from_us) >= END_US_MIN);
    let mut holes: Vec<Hole> = between.chain(ends).collect();
    holes.sort_by_key(|hole| Reverse(hole.to_us.saturating_sub(hole.from_us)));
    holes.truncate(GAPS_MAX);
    holes.sort_by_key(|hole| hole.from_us);
    holes
}

fn told(alarm: &AlarmRecord, now_us: i64) -> Option<Told> {
    let cause = match alarm.raised.condition {
        Condition::DeviceOffline => GapCause::Offline,
        Condition::SensorOff => GapCause::SensorOff,
        _ => return None,
    };
    let to_us = alarm.ended_us.or(alarm.closed_us).unwrap_or(now_us);
    Some(Told { from_us: alarm.raised.since_us, to_us, cause })
}

/// What explains at least half of it, the most first.
fn by_alarm(hole: Hole, began_us: i64, told: &[Told]) -> Option<GapCause> {
    let before = Told { from_us: i64::MIN, to_us: began_us, cause: GapCause::OtherStay };
    let share_us = |told: &Told| told.to_us.min(hole.to_us).saturating_sub(told.from_us.max(hole.from_us));
    let causes = told.iter().chain([&before]).map(|told| (share_us(told), told.cause));
    let half_us = hole.to_us.saturating_sub(hole.from_us) / 2;
    // Of a device that is away no one knows how its sensor is.
    let (share_us, cause) =
        causes.max_by_key(|(share_us, cause)| (*share_us, *cause == GapCause::Offline))?;
    (share_us > 0 && share_us >= half_us).then_some(cause)
}

fn by_journal(missing: Missing) -> GapCause {
    match missing {
        Missing::Unmeasured => GapCause::Unmeasured,
        Missing::Lost => GapCause::Lost,
        Missing::Pending => GapCause::Pending,
        Missing::Restarted => GapCause::Restarted,
        Missing::Unknown => GapCause::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000;

    fn bucket(first_s: i64, last_s: i64, gap_before: bool) -> Bucket {
        Bucket {
            start_us: first_s * S,
            first_us: first_s * S,
            last_us: last_s * S,
            samples: 2,
            uncertainty_us: 0,
            min: 0.0,
            max: 0.0,
            mean: 0.0,
            gap_before,
            gap_within: false,
        }
    }

    fn hole(from_s: i64, to_s: i64) -> Hole {
        Hole { from_us: from_s * S, to_us: to_s * S, is_at_an_end: false }
    }

    #[test]
    fn holes_are_between_buckets_and_at_both_ends() {
        let buckets = [bucket(200, 210, false), bucket(211, 220, false), bucket(260, 280, true)];
        let found = holes(&buckets, 0, 300 * S);
        let end = Hole { is_at_an_end: true, ..hole(0, 200) };
        assert_eq!(found, [end, hole(220, 260)], "20 s at the end are none");
        let found = holes(&buckets, 190 * S, 400 * S);
        assert_eq!(found, [hole(220, 260), Hole { is_at_an_end: true, ..hole(280, 400) }]);
        assert_eq!(holes(&[], 0, 100 * S), [Hole { is_at_an_end: true, ..hole(0, 100) }]);
        assert_eq!(holes(&[], 0, 0), []);
        let many: Vec<_> = (0..200).map(|at| bucket(at * 100, at * 100 + 99 - at % 90, true)).collect();
        let found = holes(&many, 0, 20_000 * S);
        assert_eq!(found.len(), GAPS_MAX);
        assert!(found.is_sorted_by_key(|hole| hole.from_us));
        assert!(found.iter().all(|hole| hole.to_us - hole.from_us > 50 * S), "the longest");
    }

    #[test]
    fn an_alarm_explains_a_hole_that_it_covers_by_half() {
        let told = |from_s: i64, to_s: i64, cause| Told { from_us: from_s * S, to_us: to_s * S, cause };
        let alarms = [told(100, 160, GapCause::Offline), told(140, 300, GapCause::SensorOff)];
        assert_eq!(by_alarm(hole(100, 200), 0, &alarms), Some(GapCause::Offline));
        assert_eq!(by_alarm(hole(150, 250), 0, &alarms), Some(GapCause::SensorOff));
        assert_eq!(by_alarm(hole(0, 150), 0, &alarms), None, "a third");
        assert_eq!(by_alarm(hole(0, 100), 60 * S, &alarms), Some(GapCause::OtherStay));
        assert_eq!(by_alarm(hole(400, 500), 0, &alarms), None);
        assert_eq!(by_alarm(hole(400, 400), 0, &[]), None);
    }
}
