//! One patient from values to alarms: a fever begins, is an alarm after its delay, someone acknowledges it, and it is over.
//! Everything is stepped with times, so this half hour takes no time.

use vitalwire_vitals::alarm::{Limits, Numbers, Timing, Which};
use vitalwire_vitals::monitor::{Measured, Outcome, PatientMonitor, Quantity};

const US_PER_S: i64 = 1_000_000;

fn main() {
    // Someone knows this patient: 38.5 is nothing new, and a minute of it is soon enough.
    let limits: Limits =
        "temperature-high=38.8 delay-temperature-high=60".parse().expect("these limits make sense");
    let mut monitor = PatientMonitor::new(limits, Timing::default(), Vec::new());
    let (mut numbers, mut outcome) = (Numbers::starting_at(1), Outcome::default());
    for second in 0..1_800_i64 {
        let now_us = second * US_PER_S;
        if second == 900 {
            let by = ("Ana", Some("paracetamol given"));
            let news = monitor.acknowledge(Which::All, by, now_us, &mut numbers, &mut outcome);
            assert_eq!(news, Ok(1));
        }
        let temperature = match second {
            0..300 => 37.0,
            300..600 => 37.0 + 0.01 * f64::from(i32::try_from(second - 300).expect("it is below 300")),
            600..1_200 => 40.0,
            _ => 38.2,
        };
        let measured = Measured {
            quantity: Quantity::Temperature,
            plausible: (25.0, 45.0),
            first_us: now_us,
            interval_us: 1_000_000,
            values: &[temperature],
            is_live: true,
        };
        monitor.measured(&measured, now_us, &mut numbers, &mut outcome);
        for change in outcome.changes.drain(..) {
            let text = change.alarm().map(ToString::to_string).unwrap_or_default();
            println!("{second:>5} s  {:18}  {text}", change.name());
        }
        let score = outcome.derived.drain(..).next_back().and_then(|derived| derived.score);
        if let Some(score) = score.filter(|_| second % 300 == 0) {
            println!("{second:>5} s  NEWS2               {score}");
        }
    }
    println!("{} open", monitor.alarms().open().len());
}
