//! Events as text: `fever at=20s to=39.5 rise=10s`. What is wrong in one says what would be right.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

use super::{
    BODY_CELSIUS, EVENT_SECONDS_MAX, EVERY_BEATS, FAST_PER_MIN, HUM_AMPLITUDE, Happening, PatientEvent,
    SLOW_PER_MIN, SNR_DB,
};

/// Names of events, in the order of the alphabet.
const NAMES: [&str; 10] = [
    "asystole",
    "bradycardia",
    "fever",
    "fibrillation",
    "hum",
    "motion",
    "noise",
    "premature",
    "sensor-off",
    "tachycardia",
];
/// The key that says on which device of a fleet the event is.
pub const AT_DEVICE: &str = "device";
/// How long a slope is when nothing is said.
const RATE_RISE_S: f64 = 5.0;
const FEVER_RISE_S: f64 = 10.0;
/// Longest text of an event, in bytes: far more than any needs.
const TEXT_LEN_MAX: usize = 256;

/// An event, and whom of several patients it is of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EventOf {
    /// The patient, from 1; without it, all of them.
    pub device: Option<NonZeroUsize>,
    /// What happens.
    pub event: PatientEvent,
}

impl EventOf {
    /// Whether it is of the patient at `place`, from 0.
    #[must_use]
    pub fn is_of(&self, place: usize) -> bool {
        self.device.is_none_or(|number| number.get() - 1 == place)
    }
}

/// A text is no event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum EventError {
    #[error("an event begins with its name, as in `fever at=20s to=39.5 rise=10s`")]
    Empty,
    #[error("an event of over {TEXT_LEN_MAX} bytes")]
    Long,
    #[error("`{name}` is no event; choose one of {}", NAMES.join(", "))]
    Unknown { name: String },
    #[error("{name}: `{word}` is no setting; write key=value, as in at=20s")]
    Word { name: &'static str, word: String },
    #[error("{name}: `{key}` is not known here; it takes {takes}")]
    Key { name: &'static str, key: String, takes: String },
    #[error("{name}: `{key}` is there twice")]
    Twice { name: &'static str, key: String },
    #[error("{name}: {key}={value}: want {want}")]
    Value { name: &'static str, key: &'static str, value: String, want: String },
    #[error("{name}: `{key}` is missing: {want}")]
    Missing { name: &'static str, key: &'static str, want: String },
}

/// `key=value` words that were not used yet.
struct Words<'a> {
    name: &'static str,
    words: Vec<(&'a str, &'a str)>,
}

impl<'a> Words<'a> {
    fn new(text: &'a str) -> Result<Self, EventError> {
        if text.len() > TEXT_LEN_MAX {
            return Err(EventError::Long);
        }
        let mut parts = text.split_whitespace();
        let first = parts.next().ok_or(EventError::Empty)?;
        let name = NAMES.into_iter().find(|name| *name == first);
        let name = name.ok_or_else(|| EventError::Unknown { name: first.to_owned() })?;
        let mut words: Vec<(&str, &str)> = Vec::new();
        for word in parts {
            let wrong = || EventError::Word { name, word: word.to_owned() };
            let (key, value) = word.split_once('=').ok_or_else(wrong)?;
            if words.iter().any(|(known, _)| *known == key) {
                return Err(EventError::Twice { name, key: key.to_owned() });
            }
            words.push((key, value));
        }
        Ok(Self { name, words })
    }

    fn take(&mut self, key: &str) -> Option<&'a str> {
        let place = self.words.iter().position(|(known, _)| *known == key)?;
        Some(self.words.swap_remove(place).1)
    }

    fn read<T>(
        &mut self,
        key: &'static str,
        want: impl Fn() -> String,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, EventError> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let wrong = || EventError::Value { name: self.name, key, value: value.to_owned(), want: want() };
        read(value).ok_or_else(wrong).map(Some)
    }

    fn seconds(&mut self, key: &'static str) -> Result<Option<f64>, EventError> {
        self.read(key, || "a time with its unit, as in 500ms, 20s, 2m or 1h".to_owned(), seconds)
    }

    fn number(
        &mut self,
        key: &'static str,
        what: &str,
        (low, high): (f64, f64),
    ) -> Result<Option<f64>, EventError> {
        let want = || format!("{what} from {low} to {high}");
        self.read(key, want, |text| number(text).filter(|value| (low..=high).contains(value)))
    }

    /// Whatever is left is not known here.
    fn end(self, takes: &[&str]) -> Result<(), EventError> {
        let Self { name, words } = self;
        match words.first() {
            None => Ok(()),
            Some((key, _)) => {
                let takes = takes.iter().chain(&["at", "for", AT_DEVICE]).copied().collect::<Vec<_>>();
                Err(EventError::Key { name, key: (*key).to_owned(), takes: takes.join(", ") })
            }
        }
    }
}

/// Digits and a point; no sign of infinity, and no exponent.
fn number(text: &str) -> Option<f64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if is_plain { text.parse().ok() } else { None }
}

fn seconds(text: &str) -> Option<f64> {
    let units = [("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3_600.0)];
    let (digits, unit) =
        units.into_iter().find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)))?;
    let value = number(digits)? * unit;
    (0.0..=EVENT_SECONDS_MAX).contains(&value).then_some(value)
}

fn happening(words: &mut Words<'_>) -> Result<(Happening, &'static [&'static str]), EventError> {
    let rate = |words: &mut Words<'_>, range, usual: f64| {
        let to_per_min = words.number("to", "beats a minute", range)?.unwrap_or(usual);
        let rise_s = words.seconds("rise")?.unwrap_or(RATE_RISE_S);
        Ok::<_, EventError>((to_per_min, rise_s))
    };
    Ok(match words.name {
        "asystole" => (Happening::Asystole, &[]),
        "fibrillation" => (Happening::Fibrillation, &[]),
        "sensor-off" => (Happening::SensorOff, &[]),
        "bradycardia" => {
            let (to_per_min, rise_s) = rate(words, SLOW_PER_MIN, 35.0)?;
            (Happening::Bradycardia { to_per_min, rise_s }, &["to", "rise"])
        }
        "tachycardia" => {
            let (to_per_min, rise_s) = rate(words, FAST_PER_MIN, 150.0)?;
            (Happening::Tachycardia { to_per_min, rise_s }, &["to", "rise"])
        }
        "fever" => {
            let to_celsius = words.number("to", "degrees Celsius", BODY_CELSIUS)?.unwrap_or(39.5);
            let rise_s = words.seconds("rise")?.unwrap_or(FEVER_RISE_S);
            (Happening::Fever { to_celsius, rise_s }, &["to", "rise"])
        }
        "premature" => {
            let want = || format!("one of how many beats, {} to {}", EVERY_BEATS.0, EVERY_BEATS.1);
            let is_within = |every: &u32| (EVERY_BEATS.0..=EVERY_BEATS.1).contains(every);
            let every = words.read("every", want, |text| text.parse().ok().filter(is_within))?;
            (Happening::Premature { every: every.unwrap_or(8) }, &["every"])
        }
        "motion" => (Happening::Motion { snr_db: snr_db(words)? }, &["snr"]),
        "noise" => (Happening::Noise { snr_db: snr_db(words)? }, &["snr"]),
        _ => {
            let mains = |text: &str| [50.0, 60.0].into_iter().find(|hz| number(text) == Some(*hz));
            let hz = words.read("hz", || "50 or 60".to_owned(), mains)?.unwrap_or(50.0);
            let unit = "volts of a pulse wave, millivolts of an ECG,";
            let amplitude = words.number("amplitude", unit, HUM_AMPLITUDE)?.unwrap_or(0.2);
            (Happening::Hum { hz, amplitude }, &["hz", "amplitude"])
        }
    })
}

fn snr_db(words: &mut Words<'_>) -> Result<f64, EventError> {
    let what = "decibels of the wave over the disturbance";
    let missing =
        || EventError::Missing { name: words.name, key: "snr", want: format!("{what}, as in snr=3") };
    let missing = missing();
    words.number("snr", what, SNR_DB)?.ok_or(missing)
}

impl FromStr for EventOf {
    type Err = EventError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut words = Words::new(text)?;
        let at_s = words.seconds("at")?.unwrap_or_default();
        let for_s = words.seconds("for")?;
        let want = || "the number of a device, from 1".to_owned();
        let device = words.read(AT_DEVICE, want, |text| text.parse().ok())?;
        let (what, takes) = happening(&mut words)?;
        words.end(takes)?;
        Ok(Self { device, event: PatientEvent { what, at_s, for_s } })
    }
}

impl fmt::Display for PatientEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.what {
            Happening::Asystole => f.write_str("asystole")?,
            Happening::Fibrillation => f.write_str("fibrillation")?,
            Happening::SensorOff => f.write_str("sensor-off")?,
            Happening::Premature { every } => write!(f, "premature every={every}")?,
            Happening::Bradycardia { to_per_min, rise_s } => {
                write!(f, "bradycardia to={to_per_min} rise={rise_s}s")?;
            }
            Happening::Tachycardia { to_per_min, rise_s } => {
                write!(f, "tachycardia to={to_per_min} rise={rise_s}s")?;
            }
            Happening::Fever { to_celsius, rise_s } => write!(f, "fever to={to_celsius} rise={rise_s}s")?,
            Happening::Motion { snr_db } => write!(f, "motion snr={snr_db}")?,
            Happening::Noise { snr_db } => write!(f, "noise snr={snr_db}")?,
            Happening::Hum { hz, amplitude } => write!(f, "hum hz={hz} amplitude={amplitude}")?,
        }
        write!(f, " at={}s", self.at_s)?;
        self.for_s.map_or(Ok(()), |for_s| write!(f, " for={for_s}s"))
    }
}

impl fmt::Display for EventOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.event.fmt(f)?;
        self.device.map_or(Ok(()), |device| write!(f, " {AT_DEVICE}={device}"))
    }
}
