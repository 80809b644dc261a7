//! What can be wrong, and how urgent that is.

use core::fmt;
use core::str::FromStr;

/// How urgent an alarm is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Someone should know.
    Low,
    /// Someone should come soon.
    Medium,
    /// Someone must come at once.
    High,
}

impl Priority {
    /// All of them, the most urgent first.
    pub const ALL: [Self; 3] = [Self::High, Self::Medium, Self::Low];

    /// The stable name, in messages, on the command line and in the registry.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }

    /// How it is written before a text, so that it can be read without colour.
    #[must_use]
    pub fn marks(self) -> &'static str {
        match self {
            Self::Low => "*",
            Self::Medium => "**",
            Self::High => "***",
        }
    }
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Condition {
    /// No beat in a signal that would show one.
    Asystole,
    /// The pulse or heart rate is above its limit.
    RateHigh,
    /// The pulse or heart rate is below its limit.
    RateLow,
    /// The body temperature is above its limit.
    TemperatureHigh,
    /// The body temperature is below its limit.
    TemperatureLow,
    /// The sensor is not at the body, or broken.
    SensorOff,
    /// No rate can be told from the signal.
    BadSignal,
    /// A value that no body can have.
    Implausible,
    /// The device has no connection.
    DeviceOffline,
    /// The device's clock is wrong.
    Clock,
    /// The device's battery is nearly empty.
    Battery,
    /// The server can keep no readings; of the server, not of a patient.
    JournalFull,
}

impl Condition {
    /// How many there are.
    pub const COUNT: usize = 12;

    /// All of them, the most urgent first.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Asystole,
        Self::RateHigh,
        Self::RateLow,
        Self::TemperatureHigh,
        Self::TemperatureLow,
        Self::JournalFull,
        Self::DeviceOffline,
        Self::SensorOff,
        Self::BadSignal,
        Self::Implausible,
        Self::Clock,
        Self::Battery,
    ];

    /// The stable name, in messages, on the command line and in the registry.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Asystole => "asystole",
            Self::RateHigh => "rate-high",
            Self::RateLow => "rate-low",
            Self::TemperatureHigh => "temperature-high",
            Self::TemperatureLow => "temperature-low",
            Self::SensorOff => "sensor-off",
            Self::BadSignal => "bad-signal",
            Self::Implausible => "implausible",
            Self::DeviceOffline => "device-offline",
            Self::Clock => "clock",
            Self::Battery => "battery",
            Self::JournalFull => "journal-full",
        }
    }

    /// How urgent it is, as long as its value is not beyond an extreme limit.
    #[must_use]
    pub fn priority(self) -> Priority {
        match self {
            Self::Asystole => Priority::High,
            Self::RateHigh
            | Self::RateLow
            | Self::TemperatureHigh
            | Self::TemperatureLow
            | Self::SensorOff
            | Self::DeviceOffline
            | Self::JournalFull => Priority::Medium,
            Self::BadSignal | Self::Implausible | Self::Clock | Self::Battery => Priority::Low,
        }
    }

    /// Whether it is about the equipment rather than the patient.
    #[must_use]
    pub fn is_technical(self) -> bool {
        match self {
            Self::Asystole
            | Self::RateHigh
            | Self::RateLow
            | Self::TemperatureHigh
            | Self::TemperatureLow => false,
            Self::SensorOff
            | Self::BadSignal
            | Self::Implausible
            | Self::DeviceOffline
            | Self::Clock
            | Self::Battery
            | Self::JournalFull => true,
        }
    }

    /// For people, without value and limit.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Asystole => "Asystole",
            Self::RateHigh => "HR high",
            Self::RateLow => "HR low",
            Self::TemperatureHigh => "Temp high",
            Self::TemperatureLow => "Temp low",
            Self::SensorOff => "Sensor off",
            Self::BadSignal => "Signal bad",
            Self::Implausible => "Value implausible",
            Self::DeviceOffline => "Device offline",
            Self::Clock => "Device's clock wrong",
            Self::Battery => "Battery low",
            Self::JournalFull => "Server keeps no readings",
        }
    }

    /// The unit of its value, a UCUM code; nothing when it has no value.
    #[must_use]
    pub fn unit(self) -> Option<&'static str> {
        match self {
            Self::RateHigh | Self::RateLow => Some("/min"),
            Self::TemperatureHigh | Self::TemperatureLow => Some("Cel"),
            _ => None,
        }
    }

    /// Its place among those of a [`Conditions`], below [`Condition::COUNT`]. Not stable: never store it.
    pub(crate) fn place(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that stands for no condition, priority or state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is none of {known}")]
pub struct UnknownName {
    /// What it could have been.
    pub known: &'static str,
}

impl FromStr for Condition {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let known = "asystole, rate-high, rate-low, temperature-high, temperature-low, sensor-off, bad-signal, \
                     implausible, device-offline, clock, battery, journal-full";
        Self::ALL.into_iter().find(|condition| condition.name() == text).ok_or(UnknownName { known })
    }
}

impl FromStr for Priority {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let found = Self::ALL.into_iter().find(|priority| priority.name() == text);
        found.ok_or(UnknownName { known: "high, medium, low" })
    }
}

/// A set of conditions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conditions(u16);

impl Conditions {
    /// None of them.
    pub const NONE: Self = Self(0);

    /// Whether it is in the set.
    #[must_use]
    pub fn contains(self, condition: Condition) -> bool {
        self.0 & (1 << condition.place()) != 0
    }

    /// Puts it in, or takes it out.
    pub fn set(&mut self, condition: Condition, is_in: bool) {
        let bit = 1 << condition.place();
        self.0 = if is_in { self.0 | bit } else { self.0 & !bit };
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What is in it, the most urgent first.
    pub fn iter(self) -> impl Iterator<Item = Condition> {
        Condition::ALL.into_iter().filter(move |condition| self.contains(*condition))
    }
}

impl FromIterator<Condition> for Conditions {
    fn from_iter<I: IntoIterator<Item = Condition>>(conditions: I) -> Self {
        let mut set = Self::NONE;
        conditions.into_iter().for_each(|condition| set.set(condition, true));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_back_and_listed_in_the_error() {
        for condition in Condition::ALL {
            assert_eq!(condition.name().parse(), Ok(condition));
            let known = "x".parse::<Condition>().unwrap_err().known;
            assert!(known.split(", ").any(|name| name == condition.name()));
        }
        for priority in Priority::ALL {
            assert_eq!(priority.name().parse(), Ok(priority));
        }
    }

    #[test]
    fn a_set_has_what_was_put_in_and_not_taken_out() {
        let mut set: Conditions = Condition::ALL.into_iter().collect();
        assert_eq!(set.iter().count(), Condition::COUNT);
        set.set(Condition::Clock, false);
        assert!(!set.contains(Condition::Clock));
        assert!(set.contains(Condition::Battery));
        assert_eq!(set.iter().next(), Some(Condition::Asystole));
        assert!(Conditions::NONE.is_empty());
    }
}
