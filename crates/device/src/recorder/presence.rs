//! Which sensors answer: turns "has a value", "has none" into one event for each change.

use vitalwire_protocol::batch::event_code;

use crate::sensors::Sensor;

/// Sensors may take so long after the start before they count as missing, in microseconds.
const SETTLE_US: u64 = 3_000_000;

/// What is known of a sensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It has said nothing yet, and may still be starting.
    Unknown,
    There,
    Missing,
}

/// What is known of all sensors.
#[derive(Debug)]
pub(super) struct Presence {
    states: [State; Sensor::ALL.len()],
    settled_us: u64,
}

impl Presence {
    /// At the start.
    pub(super) fn new(now_us: u64) -> Self {
        Self { states: [State::Unknown; Sensor::ALL.len()], settled_us: now_us + SETTLE_US }
    }

    /// A sensor had a value or none. Returns the code of the event that tells of a change.
    pub(super) fn note(&mut self, sensor: Sensor, has_value: bool, now_us: u64) -> Option<u16> {
        debug_assert!((sensor as usize) < self.states.len(), "{sensor:?} is missing in Sensor::ALL");
        let state = self.states.get_mut(sensor as usize)?;
        let before = *state;
        match (before, has_value) {
            (State::Unknown, false) if now_us < self.settled_us => None,
            (State::Unknown | State::There, false) => {
                *state = State::Missing;
                Some(event_code::SENSOR_LOST)
            }
            (State::Missing, true) => {
                *state = State::There;
                Some(event_code::SENSOR_FOUND)
            }
            (State::Unknown, true) => {
                *state = State::There;
                None
            }
            (State::There, true) | (State::Missing, false) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_each_change_once() {
        let mut presence = Presence::new(1_000_000);
        let notes = [
            (2_000_000, false, None),
            (2_500_000, true, None),
            (2_600_000, true, None),
            (2_700_000, false, Some(event_code::SENSOR_LOST)),
            (9_000_000, false, None),
            (9_100_000, true, Some(event_code::SENSOR_FOUND)),
            (9_200_000, true, None),
        ];
        for (now_us, has_value, expected) in notes {
            assert_eq!(presence.note(Sensor::Movement, has_value, now_us), expected, "at {now_us} us");
        }
    }

    #[test]
    fn a_sensor_that_never_answers_is_told_after_a_while_and_others_are_not() {
        let mut presence = Presence::new(1_000_000);
        assert_eq!(presence.note(Sensor::Thermometer, false, 3_999_000), None);
        assert_eq!(presence.note(Sensor::Thermometer, false, 4_000_000), Some(event_code::SENSOR_LOST));
        assert_eq!(presence.note(Sensor::Thermometer, false, 4_001_000), None);
        assert_eq!(presence.note(Sensor::Pulse, true, 4_001_000), None);
        assert_eq!(presence.note(Sensor::Thermometer, true, 4_002_000), Some(event_code::SENSOR_FOUND));
    }
}
