//! Limits as words: `rate-low=50 rate-high=120 … delay-rate-high=15 off=clock,battery signals=on`. All are written, so that
//! what a patient has does not change when a later version has other defaults; what is left out has its default.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use super::{Conditions, Limits, LimitsError, Signals, Tenths};
use crate::alarm::Condition;

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rate-low={} rate-high={}", self.rate_low, self.rate_high)?;
        write!(f, " rate-extreme-low={}", self.rate_extreme_low)?;
        write!(f, " rate-extreme-high={}", self.rate_extreme_high)?;
        write!(f, " temperature-low={}", self.temperature_low)?;
        write!(f, " temperature-high={}", self.temperature_high)?;
        for condition in Condition::ALL {
            if condition != Condition::JournalFull {
                write!(f, " delay-{condition}={}", self.delay_s(condition))?;
            }
        }
        f.write_str(" off=")?;
        for (place, condition) in self.off.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(f, "{comma}{condition}")?;
        }
        write!(f, " signals={}", self.signals.name())
    }
}

impl FromStr for Limits {
    type Err = LimitsError;

    fn from_str(text: &str) -> Result<Self, LimitsError> {
        let mut limits = Self::default();
        let mut seen = Vec::new();
        for word in text.split_whitespace() {
            let (name, value) =
                word.split_once('=').ok_or_else(|| LimitsError::Word { word: shown(word) })?;
            if seen.contains(&name) {
                return Err(LimitsError::Twice { name: shown(name) });
            }
            // Names are checked when they are set, so that only so many as there are can be kept.
            limits.set(name, value)?;
            seen.push(name);
        }
        limits.check()?;
        Ok(limits)
    }
}

impl Limits {
    /// Sets one of them by its name, as it stands in the text form. [`Limits::check`] says whether all together make sense.
    ///
    /// # Errors
    /// There is no such name, or its value cannot be read.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), LimitsError> {
        match name {
            "rate-low" => self.rate_low = whole(name, value)?,
            "rate-high" => self.rate_high = whole(name, value)?,
            "rate-extreme-low" => self.rate_extreme_low = whole(name, value)?,
            "rate-extreme-high" => self.rate_extreme_high = whole(name, value)?,
            "temperature-low" => self.temperature_low = tenths(name, value)?,
            "temperature-high" => self.temperature_high = tenths(name, value)?,
            "off" => self.off = conditions(name, value)?,
            "signals" => {
                let found = Signals::ALL.into_iter().find(|signals| signals.name() == value);
                self.signals = found.ok_or_else(|| bad(name, value, "say on, alarm-off or audio-off"))?;
            }
            _ => {
                let condition = name.strip_prefix("delay-").and_then(|condition| condition.parse().ok());
                let condition = condition.ok_or_else(|| LimitsError::Name { name: shown(name) })?;
                self.set_delay_s(condition, whole(name, value)?);
            }
        }
        Ok(())
    }
}

fn whole(name: &str, value: &str) -> Result<u16, LimitsError> {
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits { value.parse().ok() } else { None };
    number.ok_or_else(|| bad(name, value, "say a whole number"))
}

fn tenths(name: &str, value: &str) -> Result<Tenths, LimitsError> {
    value.parse().map_err(|_| bad(name, value, "say a number with at most one decimal, such as 38.5"))
}

fn conditions(name: &str, value: &str) -> Result<Conditions, LimitsError> {
    let names = value.split(',').filter(|condition| !condition.is_empty());
    let wanted = "say names of conditions with commas between them, such as clock,battery";
    names.map(|condition| condition.parse().map_err(|_| bad(name, value, wanted))).collect()
}

fn bad(name: &str, value: &str, wanted: &'static str) -> LimitsError {
    LimitsError::Value { name: shown(name), value: shown(value), wanted }
}

/// As much of a word as an error shows, without what would steer a terminal.
fn shown(word: &str) -> String {
    word.chars().take(40).flat_map(char::escape_debug).collect::<String>().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: &str = "rate-low=50 rate-high=120 rate-extreme-low=40 rate-extreme-high=140 \
        temperature-low=35 temperature-high=38.5 delay-asystole=0 delay-rate-high=15 delay-rate-low=15 \
        delay-temperature-high=15 delay-temperature-low=15 delay-device-offline=10 delay-sensor-off=0 \
        delay-bad-signal=30 delay-implausible=10 delay-clock=0 delay-battery=0 off= signals=on";

    #[test]
    fn the_text_is_this_one() {
        assert_eq!(Limits::default().to_string(), DEFAULTS);
        assert_eq!(DEFAULTS.parse(), Ok(Limits::default()));
        assert_eq!("".parse(), Ok(Limits::default()));
    }

    #[test]
    fn reads_back_what_it_writes() {
        let mut limits = Limits { rate_high: 130, signals: Signals::AudioOff, ..Limits::default() };
        limits.temperature_high = Tenths(391);
        limits.set_delay_s(Condition::RateHigh, 60);
        limits.off = [Condition::Clock, Condition::Asystole].into_iter().collect();
        assert_eq!(limits.to_string().parse(), Ok(limits));
    }

    #[test]
    fn every_cut_is_an_error_or_limits_that_make_sense() {
        for cut in 0..=DEFAULTS.len() {
            if let Ok(limits) = DEFAULTS.get(..cut).unwrap().parse::<Limits>() {
                assert_eq!(limits.check(), Ok(()), "cut at {cut}");
            }
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let error = |text: &str| text.parse::<Limits>().unwrap_err().to_string();
        assert!(error("rate-high").contains("'rate-high' is not understood"));
        assert!(error("rate-hihg=130").contains("'rate-hihg' is no limit"));
        assert!(error("rate-high=130 rate-high=131").contains("rate-high is set twice"));
        assert!(error("rate-high=+130").contains("say a whole number"));
        assert!(error("rate-high=99999").contains("say a whole number"));
        assert!(error("temperature-high=38.55").contains("at most one decimal"));
        assert!(error("off=clock,pulse").contains("names of conditions"));
        assert!(error("delay-pulse=3").contains("is no limit"));
        assert!(error("signals=off").contains("alarm-off or audio-off"));
        assert!(error("rate-low=130").contains("is not below"));
        assert!(error("a\u{1b}[2J=1").contains(r"a\u{1b}[2J"));
    }
}
