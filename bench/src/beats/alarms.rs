//! The alarms that a signal raises with the defaults, by the patient monitor that the server runs.

use vitalwire_vitals::alarm::{Alarm, Change, Condition, Limits, Numbers, Timing};
use vitalwire_vitals::monitor::{Measured, Outcome, PatientMonitor, Quantity};
use vitalwire_vitals::wave::WaveKind;

use super::score::true_rate;

/// A true rate that is so near to a limit makes no alarm false.
const LIMIT_MARGIN: f64 = 2.0;
/// A beat's time is certain to this.
const TOLERANCE_US: i64 = 150_000;
/// No beat for so long is asystole.
const ASYSTOLE_US: i64 = 4_000_000;

/// Steps a patient monitor through the signal, as batches of a second come.
pub(crate) fn raised(kind: WaveKind, rate_hz: f64, samples: &[f32]) -> Vec<Alarm> {
    let mut monitor = PatientMonitor::new(Limits::default(), Timing::default(), Vec::new());
    let (mut numbers, mut outcome) = (Numbers::starting_at(1), Outcome::default());
    monitor.status(true, 0, &mut numbers, &mut outcome);
    for batch in super::score::batches(rate_hz, samples) {
        let values: Vec<f64> = batch.samples.iter().map(|sample| f64::from(*sample)).collect();
        let measured = Measured {
            quantity: Quantity::Wave(kind),
            plausible: (f64::NEG_INFINITY, f64::INFINITY),
            first_us: batch.first_us,
            interval_us: batch.interval_us,
            values: &values,
            is_live: true,
        };
        monitor.measured(&measured, batch.end_us, &mut numbers, &mut outcome);
        monitor.tick(batch.end_us, &mut numbers, &mut outcome);
        outcome.derived.clear();
    }
    let raised = |change: &Change| match change {
        Change::Raised(alarm) => Some(alarm.clone()),
        _ => None,
    };
    outcome.changes.iter().filter_map(raised).collect()
}

/// Whether it is an alarm of the body that the true beats do not give.
pub(crate) fn is_false(alarm: &Alarm, limits: &Limits, truth_us: &[i64]) -> bool {
    let rate = true_rate(truth_us, alarm.raised_us);
    match alarm.condition {
        Condition::RateLow => rate.is_some_and(|rate| rate > f64::from(limits.rate_low) + LIMIT_MARGIN),
        Condition::RateHigh => rate.is_none_or(|rate| rate < f64::from(limits.rate_high) - LIMIT_MARGIN),
        Condition::Asystole => {
            let silence = alarm.since_us - ASYSTOLE_US + TOLERANCE_US..alarm.since_us - TOLERANCE_US;
            truth_us.iter().any(|beat| silence.contains(beat))
        }
        _ => false,
    }
}

/// Whether it is of the body, and not of the device.
pub(crate) fn is_of_the_body(alarm: &Alarm) -> bool {
    matches!(alarm.condition, Condition::RateLow | Condition::RateHigh | Condition::Asystole)
}
