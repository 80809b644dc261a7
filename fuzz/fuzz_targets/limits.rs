//! Limits of alarms: no text panics, and what is accepted makes sense and is read back as it was; and no values make the
//! machine of alarms panic or have two open alarms of one condition.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vitalwire_vitals::alarm::{Alarms, Condition, Limits, Numbers, Step, Timing};

fuzz_target!(|data: &[u8]| {
    // The first line is the limits, the rest is what happens to the patient.
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (text, acts) = data.split_at(end);
    let Ok(text) = std::str::from_utf8(text) else { return };
    let limits: Limits = match text.parse() {
        Ok(limits) => limits,
        Err(error) => {
            let error = format!("{error}");
            assert!(!error.is_empty() && !error.contains(char::is_control));
            return;
        }
    };
    assert_eq!(limits.check(), Ok(()));
    assert_eq!(limits.to_string().parse(), Ok(limits));
    let mut alarms = Alarms::new(limits, Timing::default());
    let mut numbers = Numbers::starting_at(1);
    for act in acts.chunks_exact(10) {
        let word = |at: usize| i64::from_le_bytes(std::array::from_fn(|byte| act[at + byte]));
        let (what, time_us) = (act[0], word(2));
        let mut changes = Vec::new();
        let mut step = Step {
            now_us: time_us.rotate_left(u32::from(act[1])),
            numbers: &mut numbers,
            changes: &mut changes,
        };
        let value = f64::from_bits(time_us.cast_unsigned());
        match what % 5 {
            0 => alarms.rate(time_us, f64::from(act[1]), &mut step),
            1 => alarms.temperature(time_us, f64::from(act[1]) / 5.0, &mut step),
            2 => alarms.rate(time_us, value, &mut step),
            3 => alarms.asystole(time_us, act[1] % 2 == 0, &mut step),
            _ => {
                let condition = Condition::ALL[usize::from(act[1]) % Condition::COUNT];
                alarms.technical(condition, time_us, what >= 128, &mut step);
            }
        }
        for condition in Condition::ALL {
            assert!(alarms.open().filter(|alarm| alarm.condition == condition).count() <= 1);
        }
    }
});
