//! Limits as flags: those that `limits` sets and `replay` tries.

use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use vitalwire_access::DeviceId;
use vitalwire_registry::Registry;
use vitalwire_vitals::alarm::{Condition, Limits, Tenths};

/// What is to be another one; the rest stays as it is.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct LimitFlags {
    /// A rate below it is an alarm, in /min
    #[arg(long, value_name = "N")]
    rate_low: Option<u16>,
    /// A rate above it is an alarm
    #[arg(long, value_name = "N")]
    rate_high: Option<u16>,
    /// A rate of this or less has high priority
    #[arg(long, value_name = "N")]
    rate_extreme_low: Option<u16>,
    /// A rate of this or more has high priority
    #[arg(long, value_name = "N")]
    rate_extreme_high: Option<u16>,
    /// A temperature below it is an alarm, in Cel
    #[arg(long, value_name = "N", value_parser = tenths)]
    temperature_low: Option<Tenths>,
    /// A temperature above it is an alarm
    #[arg(long, value_name = "N", value_parser = tenths)]
    temperature_high: Option<Tenths>,
    /// How long a condition must last; without one: of rates and temperatures
    #[arg(long = "delay", value_name = "[CONDITION=]TIME")]
    delays: Vec<Delay>,
    /// Conditions that raise no alarm
    #[arg(long, value_name = "CONDITION", value_delimiter = ',')]
    off: Vec<Condition>,
    /// Conditions that raise alarms again
    #[arg(long, value_name = "CONDITION", value_delimiter = ',')]
    on: Vec<Condition>,
}

/// A delay of one condition, or of all limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Delay {
    condition: Option<Condition>,
    seconds: u16,
}

/// Those for which a delay without a condition is meant.
const OF_LIMITS: [Condition; 4] =
    [Condition::RateHigh, Condition::RateLow, Condition::TemperatureHigh, Condition::TemperatureLow];

fn tenths(text: &str) -> Result<Tenths, String> {
    text.parse().map_err(|_| "say a number with at most one decimal, such as 38.5".to_owned())
}

impl FromStr for Delay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (condition, time) = match text.split_once('=') {
            Some((name, time)) => (Some(name.parse().map_err(|error| format!("{name:?}: {error}"))?), time),
            None => (None, text),
        };
        let time: Duration = humantime::parse_duration(time).map_err(|error| error.to_string())?;
        match u16::try_from(time.as_secs()) {
            Ok(seconds) if time.subsec_nanos() == 0 => Ok(Self { condition, seconds }),
            _ => Err("say whole seconds, such as 15s".to_owned()),
        }
    }
}

impl LimitFlags {
    /// Whether nothing is to be another one.
    pub(super) fn is_empty(&self) -> bool {
        let numbers = [self.rate_low, self.rate_high, self.rate_extreme_low, self.rate_extreme_high];
        let temperatures = [self.temperature_low, self.temperature_high];
        let conditions = self.off.is_empty() && self.on.is_empty() && self.delays.is_empty();
        numbers.iter().all(Option::is_none) && temperatures.iter().all(Option::is_none) && conditions
    }

    /// The limits with what was given.
    ///
    /// # Errors
    /// When they make no sense together.
    pub(super) fn apply(&self, before: Limits) -> anyhow::Result<Limits> {
        let mut limits = before;
        limits.rate_low = self.rate_low.unwrap_or(before.rate_low);
        limits.rate_high = self.rate_high.unwrap_or(before.rate_high);
        limits.rate_extreme_low = self.rate_extreme_low.unwrap_or(before.rate_extreme_low);
        limits.rate_extreme_high = self.rate_extreme_high.unwrap_or(before.rate_extreme_high);
        limits.temperature_low = self.temperature_low.unwrap_or(before.temperature_low);
        limits.temperature_high = self.temperature_high.unwrap_or(before.temperature_high);
        for Delay { condition, seconds } in self.delays.iter().copied() {
            let one = condition.map(|condition| vec![condition]);
            for condition in one.unwrap_or_else(|| OF_LIMITS.to_vec()) {
                limits.set_delay_s(condition, seconds);
            }
        }
        if let Some(both) = self.off.iter().find(|condition| self.on.contains(condition)) {
            bail!("{both} cannot be on and off");
        }
        self.off.iter().for_each(|condition| limits.off.set(*condition, true));
        self.on.iter().for_each(|condition| limits.off.set(*condition, false));
        limits.check()?;
        Ok(limits)
    }
}

/// Says which devices there are when this one is none.
pub(super) fn check_enrolled(registry: &Registry, device: &DeviceId) -> anyhow::Result<()> {
    let directory = registry.directory()?;
    if directory.devices.contains_key(device) || registry.current_stay(device).is_ok() {
        return Ok(());
    }
    Err(anyhow::anyhow!("`vitalwire device list` shows those that are enrolled"))
        .with_context(|| format!("there is no device {device}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_of_one_condition_or_of_all_limits() {
        let flags = LimitFlags {
            delays: vec!["30s".parse().unwrap(), "rate-low=5s".parse().unwrap()],
            ..LimitFlags::default()
        };
        let limits = flags.apply(Limits::default()).unwrap();
        assert_eq!(limits.delay_s(Condition::RateHigh), 30);
        assert_eq!(limits.delay_s(Condition::TemperatureLow), 30);
        assert_eq!(limits.delay_s(Condition::RateLow), 5);
        assert_eq!(limits.delay_s(Condition::Asystole), 0);
        for text in ["", "15", "pulse=3s", "=3s", "1500ms", "99999s", "rate-high"] {
            assert!(text.parse::<Delay>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_not_given_stays_and_nonsense_is_refused() {
        let before: Limits = "rate-low=45".parse().unwrap();
        let flags = LimitFlags { rate_high: Some(130), off: vec![Condition::Clock], ..LimitFlags::default() };
        let after = flags.apply(before).unwrap();
        assert_eq!((after.rate_low, after.rate_high, after.off.contains(Condition::Clock)), (45, 130, true));
        assert!(!flags.is_empty() && LimitFlags::default().is_empty());
        let on = LimitFlags { on: vec![Condition::Clock], ..LimitFlags::default() };
        assert_eq!(on.apply(after).unwrap(), "rate-low=45 rate-high=130".parse().unwrap());
        let crossed = LimitFlags { rate_low: Some(130), ..LimitFlags::default() };
        let error = crossed.apply(before).unwrap_err().to_string();
        assert!(error.contains("rate-low 130 is not below rate-high 120"), "{error}");
        let both = LimitFlags { on: vec![Condition::Clock], ..flags };
        assert!(both.apply(before).is_err());
    }
}
