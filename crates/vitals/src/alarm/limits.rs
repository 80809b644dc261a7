//! What a person may set for one patient: limits, delays, what is turned off. The defaults are safe ones for an adult; what
//! makes no sense is refused with a text that says what to do.

mod tenths;
mod text;

pub use self::tenths::Tenths;
use super::condition::{Condition, Conditions};

/// Beats a minute by which a rate must be back within its limit before the condition ends.
pub const RATE_HYSTERESIS: f64 = 2.0;
/// Degrees Celsius by which a temperature must be back within its limit before the condition ends.
pub const TEMPERATURE_HYSTERESIS: f64 = 0.2;

/// What no rate limit may lie beyond, in beats a minute.
const RATE_RANGE: (u16, u16) = (20, 300);
/// What no temperature limit may lie beyond.
const TEMPERATURE_RANGE: (Tenths, Tenths) = (Tenths(250), Tenths(450));

/// Whether a patient's alarms are given, until a person says otherwise. For a pause see [`super::Pause`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signals {
    /// All are given.
    #[default]
    On,
    /// "Alarm off": no alarm of this patient is raised.
    AlarmOff,
    /// "Audio off": they are raised, shown and handed on, but do not sound.
    AudioOff,
}

impl Signals {
    const ALL: [Self; 3] = [Self::On, Self::AlarmOff, Self::AudioOff];

    /// The stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::AlarmOff => "alarm-off",
            Self::AudioOff => "audio-off",
        }
    }
}

/// The limits of one patient. As a text (`Display`, `FromStr`) they are words such as `rate-high=120`, in which whatever is
/// left out has its default; so they stand in the registry and on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A rate below it is an alarm; beats a minute.
    pub rate_low: u16,
    /// A rate above it is an alarm.
    pub rate_high: u16,
    /// A rate that is not above it is an alarm of high priority.
    pub rate_extreme_low: u16,
    /// A rate that is not below it is an alarm of high priority.
    pub rate_extreme_high: u16,
    /// A body temperature below it is an alarm; degrees Celsius.
    pub temperature_low: Tenths,
    /// A body temperature above it is an alarm.
    pub temperature_high: Tenths,
    /// Conditions that raise no alarm.
    pub off: Conditions,
    /// Whether alarms are given at all, and sound.
    pub signals: Signals,
    delays_s: [u16; Condition::COUNT],
}

/// Why limits make no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum LimitsError {
    #[error("{low_name} {low} is not below {high_name} {high}: a value between them must be possible")]
    Crossed { low_name: &'static str, low: Tenths, high_name: &'static str, high: Tenths },
    #[error(
        "{outer_name} {outer} lies within {inner_name} {inner}: an extreme limit is further out than the limit; \
         set both"
    )]
    Extreme { outer_name: &'static str, outer: Tenths, inner_name: &'static str, inner: Tenths },
    #[error("{name} {value} is outside {least} to {greatest} {unit}")]
    Range { name: &'static str, value: Tenths, least: Tenths, greatest: Tenths, unit: &'static str },
    #[error("the delay of {condition}, {delay_s} s, is over the limit of {delay_s_max} s")]
    Delay { condition: Condition, delay_s: u16, delay_s_max: u16 },
    #[error("{condition} is of the server, not of a patient: it cannot be set here")]
    NotOfPatient { condition: Condition },
    #[error("'{word}' is not understood: say NAME=VALUE, such as rate-high=120")]
    Word { word: alloc::string::String },
    #[error(
        "'{name}' is no limit; there are rate-low, rate-high, rate-extreme-low, rate-extreme-high, \
             temperature-low, temperature-high, delay-CONDITION, off and signals"
    )]
    Name { name: alloc::string::String },
    #[error("{name} is set twice")]
    Twice { name: alloc::string::String },
    #[error("'{value}' is no value of {name}: {wanted}")]
    Value { name: alloc::string::String, value: alloc::string::String, wanted: &'static str },
}

impl Default for Limits {
    fn default() -> Self {
        let mut delays_s = [0; Condition::COUNT];
        for condition in Condition::ALL {
            if let Some(delay_s) = delays_s.get_mut(condition.place()) {
                *delay_s = default_delay_s(condition);
            }
        }
        Self {
            rate_low: 50,
            rate_high: 120,
            rate_extreme_low: 40,
            rate_extreme_high: 140,
            temperature_low: Tenths(350),
            temperature_high: Tenths(385),
            off: Conditions::NONE,
            signals: Signals::On,
            delays_s,
        }
    }
}

/// 15 s for limits, after Görges (2009): 14 s removed half of the ineffective alarms.
fn default_delay_s(condition: Condition) -> u16 {
    match condition {
        Condition::RateHigh | Condition::RateLow | Condition::TemperatureHigh | Condition::TemperatureLow => {
            15
        }
        Condition::BadSignal => 30,
        Condition::Implausible | Condition::DeviceOffline => 10,
        // The four seconds without a beat are in the condition itself.
        Condition::Asystole
        | Condition::SensorOff
        | Condition::Clock
        | Condition::Battery
        | Condition::JournalFull => 0,
    }
}

/// The longest delay that a person may set, in seconds: a minute for what kills, ten for equipment.
#[must_use]
pub fn delay_s_max(condition: Condition) -> u16 {
    match condition {
        Condition::Asystole => 10,
        condition if condition.is_technical() => 600,
        _ => 60,
    }
}

impl Limits {
    /// How long a condition must last before it is an alarm, in seconds.
    #[must_use]
    pub fn delay_s(&self, condition: Condition) -> u16 {
        self.delays_s.get(condition.place()).copied().unwrap_or(0)
    }

    /// Sets how long a condition must last; [`Limits::check`] says whether it may.
    pub fn set_delay_s(&mut self, condition: Condition, delay_s: u16) {
        if let Some(delay) = self.delays_s.get_mut(condition.place()) {
            *delay = delay_s;
        }
    }

    /// The limit that a condition's value is beyond, for those that have one.
    #[must_use]
    pub fn limit(&self, condition: Condition) -> Option<f64> {
        match condition {
            Condition::RateHigh => Some(f64::from(self.rate_high)),
            Condition::RateLow => Some(f64::from(self.rate_low)),
            Condition::TemperatureHigh => Some(self.temperature_high.to_f64()),
            Condition::TemperatureLow => Some(self.temperature_low.to_f64()),
            _ => None,
        }
    }

    /// Whether a condition raises alarms at all.
    #[must_use]
    pub fn is_on(&self, condition: Condition) -> bool {
        self.signals != Signals::AlarmOff && !self.off.contains(condition)
    }

    /// Whether they make sense.
    ///
    /// # Errors
    /// A low limit that is not below the high one, an extreme one within them, a value or a delay that is out of range.
    pub fn check(&self) -> Result<(), LimitsError> {
        let rates = [
            ("rate-low", self.rate_low),
            ("rate-high", self.rate_high),
            ("rate-extreme-low", self.rate_extreme_low),
            ("rate-extreme-high", self.rate_extreme_high),
        ];
        let (least, greatest) = RATE_RANGE;
        for (name, rate) in rates {
            within(name, Tenths::whole(rate), Tenths::whole(least), Tenths::whole(greatest), "/min")?;
        }
        let (least, greatest) = TEMPERATURE_RANGE;
        within("temperature-low", self.temperature_low, least, greatest, "Cel")?;
        within("temperature-high", self.temperature_high, least, greatest, "Cel")?;
        let [low, high, extreme_low, extreme_high] = rates.map(|(name, rate)| (name, Tenths::whole(rate)));
        below(low, high)?;
        below(("temperature-low", self.temperature_low), ("temperature-high", self.temperature_high))?;
        further_out(extreme_low, low, extreme_low.1 <= low.1)?;
        further_out(extreme_high, high, extreme_high.1 >= high.1)?;
        self.check_delays()
    }

    fn check_delays(&self) -> Result<(), LimitsError> {
        for condition in Condition::ALL {
            let (delay_s, delay_s_max) = (self.delay_s(condition), delay_s_max(condition));
            if delay_s > delay_s_max {
                return Err(LimitsError::Delay { condition, delay_s, delay_s_max });
            }
        }
        let condition = Condition::JournalFull;
        if self.off.contains(condition) || self.delay_s(condition) != default_delay_s(condition) {
            return Err(LimitsError::NotOfPatient { condition });
        }
        Ok(())
    }
}

type Named = (&'static str, Tenths);

fn within(
    name: &'static str,
    value: Tenths,
    least: Tenths,
    greatest: Tenths,
    unit: &'static str,
) -> Result<(), LimitsError> {
    let is_within = (least..=greatest).contains(&value);
    if is_within { Ok(()) } else { Err(LimitsError::Range { name, value, least, greatest, unit }) }
}

fn below((low_name, low): Named, (high_name, high): Named) -> Result<(), LimitsError> {
    if low < high { Ok(()) } else { Err(LimitsError::Crossed { low_name, low, high_name, high }) }
}

fn further_out(
    (outer_name, outer): Named,
    (inner_name, inner): Named,
    is_further: bool,
) -> Result<(), LimitsError> {
    if is_further { Ok(()) } else { Err(LimitsError::Extreme { outer_name, outer, inner_name, inner }) }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    fn refused(change: impl FnOnce(&mut Limits)) -> alloc::string::String {
        let mut limits = Limits::default();
        change(&mut limits);
        limits.check().unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_make_sense() {
        assert_eq!(Limits::default().check(), Ok(()));
        assert_eq!(Limits::default().delay_s(Condition::RateHigh), 15);
        assert_eq!(Limits::default().delay_s(Condition::Asystole), 0);
    }

    #[test]
    fn says_what_makes_no_sense() {
        assert!(refused(|limits| limits.rate_low = 120).contains("rate-low 120 is not below rate-high 120"));
        assert!(
            refused(|limits| limits.temperature_low = Tenths(400))
                .contains("temperature-low 40 is not below temperature-high 38.5")
        );
        assert!(
            refused(|limits| limits.rate_high = 150)
                .contains("rate-extreme-high 140 lies within rate-high 150")
        );
        assert!(
            refused(|limits| limits.rate_low = 30).contains("rate-extreme-low 40 lies within rate-low 30")
        );
        assert!(refused(|limits| limits.rate_extreme_high = 301).contains("301 is outside 20 to 300 /min"));
        assert!(
            refused(|limits| limits.temperature_high = Tenths(451)).contains("45.1 is outside 25 to 45 Cel")
        );
        assert!(
            refused(|limits| limits.set_delay_s(Condition::Asystole, 11)).contains("asystole, 11 s, is over")
        );
        assert!(refused(|limits| limits.off.set(Condition::JournalFull, true)).contains("of the server"));
    }
}
