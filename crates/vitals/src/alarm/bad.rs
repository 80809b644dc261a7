//! Which signals of a patient are bad: what the alarm of that name is about.

use core::fmt;

/// A signal of which something is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BadSignal {
    /// The electrocardiogram.
    Ecg,
    /// The pulse wave.
    Pulse,
    /// The body temperature.
    Temperature,
    /// The rate that the device itself tells.
    Rate,
    /// All of them: nothing ever came.
    All,
}

impl BadSignal {
    const ALL: [Self; 5] = [Self::Ecg, Self::Pulse, Self::Temperature, Self::Rate, Self::All];

    /// The stable name, in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ecg => "ecg",
            Self::Pulse => "pulse",
            Self::Temperature => "temperature",
            Self::Rate => "rate",
            Self::All => "all",
        }
    }

    /// For people, short enough for a row.
    fn text(self) -> &'static str {
        match self {
            Self::Ecg => "ECG",
            Self::Temperature => "temp",
            other => other.name(),
        }
    }
}

/// A set of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BadSignals(u8);

impl BadSignals {
    /// None of them.
    pub const NONE: Self = Self(0);

    /// As it is stored.
    #[must_use]
    pub fn bits(self) -> u8 {
        self.0
    }

    /// The set that was stored so; bits that a later version wrote are left out.
    #[must_use]
    pub fn from_bits(bits: u8) -> Self {
        let known = BadSignal::ALL.into_iter().fold(0, |known, signal| known | 1 << signal as u8);
        Self(bits & known)
    }

    /// Adds one.
    pub fn insert(&mut self, signal: BadSignal) {
        self.0 |= 1 << signal as u8;
    }

    /// Those of both.
    #[must_use]
    pub fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What is in it.
    pub fn iter(self) -> impl Iterator<Item = BadSignal> {
        BadSignal::ALL.into_iter().filter(move |signal| self.0 & (1 << *signal as u8) != 0)
    }
}

/// With commas between: `ECG, temp`.
impl fmt::Display for BadSignals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, signal) in self.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{}", signal.text())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn a_set_has_what_was_put_in_and_is_read_back() {
        let mut set = BadSignals::NONE;
        assert!(set.is_empty() && set.to_string().is_empty());
        set.insert(BadSignal::Temperature);
        set.insert(BadSignal::Ecg);
        assert_eq!(set.to_string(), "ECG, temp");
        assert_eq!(BadSignals::from_bits(set.bits()), set);
        assert_eq!(BadSignals::from_bits(u8::MAX).iter().count(), BadSignal::ALL.len());
        assert_eq!(set.with(BadSignals::NONE), set);
    }
}
