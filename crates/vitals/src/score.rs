//! NEWS2, the screening score of the Royal College of Physicians (2017), of as many of its seven inputs as are known. A partial
//! score is never less than what is wrong already, but may be less than the whole one: so it always says how many it has.

use core::fmt;

/// How many inputs the whole score has.
pub const INPUTS: u8 = 7;

/// A score of what is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// The sum.
    pub points: u8,
    /// Of how many inputs, of [`INPUTS`].
    pub inputs: u8,
    /// The most that one input gives.
    pub most: u8,
}

/// What the score asks of people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Response {
    /// To go on as before.
    Routine,
    /// A clinician must look soon: 5 points or more, or 3 for one input.
    Urgent,
    /// A team must come at once: 7 points or more.
    Emergency,
}

impl Score {
    /// The score of a pulse in beats a minute and a body temperature in degrees Celsius, as far as they are known; nothing when
    /// neither is.
    #[must_use]
    pub fn of(pulse: Option<f64>, temperature: Option<f64>) -> Option<Self> {
        let inputs = [pulse.and_then(pulse_points), temperature.and_then(temperature_points)];
        let add = |score: Self, points: u8| Self {
            points: score.points + points,
            inputs: score.inputs + 1,
            most: score.most.max(points),
        };
        let score = inputs.into_iter().flatten().fold(Self::default(), add);
        (score.inputs > 0).then_some(score)
    }

    /// What it asks for, by what is known.
    #[must_use]
    pub fn response(self) -> Response {
        match self.points {
            7.. => Response::Emergency,
            5.. => Response::Urgent,
            _ if self.most >= 3 => Response::Urgent,
            _ => Response::Routine,
        }
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} of {INPUTS} inputs)", self.points, self.inputs)
    }
}

/// The chart has whole beats: a rate between two bands goes where it is rounded to, half a beat upwards.
fn pulse_points(rate: f64) -> Option<u8> {
    rate.is_finite().then_some(match rate {
        ..40.5 => 3,
        ..50.5 => 1,
        ..90.5 => 0,
        ..110.5 => 1,
        ..130.5 => 2,
        _ => 3,
    })
}

/// The chart has tenths of a degree.
fn temperature_points(temperature: f64) -> Option<u8> {
    temperature.is_finite().then_some(match temperature {
        ..35.05 => 3,
        ..36.05 => 1,
        ..38.05 => 0,
        ..39.05 => 1,
        _ => 2,
    })
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn a_pulse_has_the_points_of_its_band() {
        let bands = [
            (40.0, 3),
            (40.4, 3),
            (40.5, 1),
            (41.0, 1),
            (50.0, 1),
            (50.4, 1),
            (50.5, 0),
            (51.0, 0),
            (90.0, 0),
            (90.4, 0),
            (90.5, 1),
            (91.0, 1),
            (110.0, 1),
            (110.4, 1),
            (110.5, 2),
            (111.0, 2),
            (130.0, 2),
            (130.4, 2),
            (130.5, 3),
            (131.0, 3),
            (0.0, 3),
            (300.0, 3),
        ];
        for (rate, points) in bands {
            assert_eq!(pulse_points(rate), Some(points), "{rate} /min");
        }
    }

    #[test]
    fn a_temperature_has_the_points_of_its_band() {
        let bands = [
            (35.0, 3),
            (35.049, 3),
            (35.05, 1),
            (35.1, 1),
            (36.0, 1),
            (36.049, 1),
            (36.05, 0),
            (36.1, 0),
            (38.0, 0),
            (38.049, 0),
            (38.05, 1),
            (38.1, 1),
            (39.0, 1),
            (39.049, 1),
            (39.05, 2),
            (39.1, 2),
            (45.0, 2),
            (25.0, 3),
        ];
        for (temperature, points) in bands {
            assert_eq!(temperature_points(temperature), Some(points), "{temperature} Cel");
        }
    }

    #[test]
    fn says_of_how_many_inputs_it_is() {
        assert_eq!(Score::of(Some(115.0), Some(39.2)).unwrap().to_string(), "4 (2 of 7 inputs)");
        assert_eq!(Score::of(None, Some(37.0)).unwrap().to_string(), "0 (1 of 7 inputs)");
        assert_eq!(Score::of(None, None), None);
        assert_eq!(Score::of(Some(f64::NAN), Some(f64::INFINITY)), None);
    }

    #[test]
    fn one_three_is_urgent_and_five_points_are() {
        let response =
            |pulse, temperature| Score::of(Some(pulse), Some(temperature)).map(Score::response).unwrap();
        assert_eq!(response(72.0, 36.8), Response::Routine);
        assert_eq!(response(115.0, 39.2), Response::Routine);
        assert_eq!(response(135.0, 36.8), Response::Urgent);
        assert_eq!(response(135.0, 39.2), Response::Urgent);
        assert_eq!(Score { points: 7, inputs: 5, most: 2 }.response(), Response::Emergency);
    }
}
