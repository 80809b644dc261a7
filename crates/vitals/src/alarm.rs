//! Alarms of one patient, as a state machine over times and values, modelled on IEC 60601-1-8 without a claim of conformity.

use core::fmt;

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
    /// All of them, the most urgent first.
    pub const ALL: [Self; 12] = [
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
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
