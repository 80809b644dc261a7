//! `vitalwire alarms limits`: a patient's limits in the registry, which a running server knows at once.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value};
use vitalwire_access::DeviceId;
use vitalwire_vitals::alarm::{Condition, Limits, Signals};

use super::setting::{LimitFlags, check_enrolled};
use crate::args::DataArgs;
use crate::output::Output;

pub(super) const HELP: &str = "\
Examples:
  vitalwire alarms limits bed_07 --data ./data
  vitalwire alarms limits bed_07 --rate-high 130 --delay rate-high=30s \\
      --data ./data
  vitalwire alarms limits bed_07 --temperature-high 39 --off clock,battery \\
      --data ./data
  vitalwire alarms limits bed_07 --defaults --data ./data

Without a change it shows them. They are the patient's, not the device's: who
gets the device next has the defaults. `vitalwire alarms replay` says what
others would have raised. --signals alarm-off raises no alarm at all,
--signals audio-off raises them without a sound; both until you turn them on.
A running server knows them within a second; who set them is in the audit log.";

/// Whose limits, and what is to be another one.
#[derive(Debug, Args)]
pub(crate) struct SetLimits {
    /// The device that the patient wears
    device: DeviceId,
    #[command(flatten)]
    flags: LimitFlags,
    /// Whether alarms are given
    #[arg(long, value_enum, value_name = "STATE")]
    signals: Option<SignalsName>,
    /// The defaults, and what else is given
    #[arg(long)]
    defaults: bool,
    /// One JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
}

/// As written on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SignalsName {
    /// All alarms are given
    On,
    /// None is raised
    AlarmOff,
    /// They do not sound
    AudioOff,
}

impl From<SignalsName> for Signals {
    fn from(name: SignalsName) -> Self {
        match name {
            SignalsName::On => Self::On,
            SignalsName::AlarmOff => Self::AlarmOff,
            SignalsName::AudioOff => Self::AudioOff,
        }
    }
}

pub(super) fn run(args: &SetLimits, out: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    let registry = args.data.open()?;
    check_enrolled(&registry, &args.device)?;
    let before = registry.limits(&args.device)?;
    let start = if args.defaults { Limits::default() } else { before };
    let mut limits = args.flags.apply(start)?;
    limits.signals = args.signals.map_or(limits.signals, Signals::from);
    if limits != before {
        registry.set_limits(&args.device, &limits)?;
    }
    if args.json {
        writeln!(out, "{}", json(&args.device, &limits))?;
    } else {
        write!(out, "{}", table(&args.device, &limits))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The words of their text form, numbers as numbers.
fn json(device: &DeviceId, limits: &Limits) -> Value {
    let text = limits.to_string();
    let words = text.split(' ').filter_map(|word| word.split_once('='));
    let values = words.map(|(name, value)| {
        let value = match name {
            "off" => limits.off.iter().map(|condition| condition.name()).collect(),
            "signals" => value.into(),
            _ => serde_json::from_str(value).unwrap_or(Value::Null),
        };
        (name.to_owned(), value)
    });
    let device = [("device".to_owned(), device.as_str().into())];
    Value::Object(device.into_iter().chain(values).collect::<Map<_, _>>())
}

fn table(device: &DeviceId, limits: &Limits) -> String {
    let mut text = format!("Alarms of {device}: {}\n\n", signals(limits.signals));
    let mut line = |condition: &str, limit: &str, delay: &str, priority: &str| {
        text += format!("{condition:16}  {limit:12}  {delay:>6}  {priority}").trim_end();
        text.push('\n');
    };
    line("CONDITION", "LIMIT", "DELAY", "PRIORITY");
    for condition in Condition::ALL.into_iter().filter(|condition| *condition != Condition::JournalFull) {
        let delay = match limits.delay_s(condition) {
            _ if !limits.is_on(condition) => "off".to_owned(),
            0 => "none".to_owned(),
            delay_s => format!("{delay_s} s"),
        };
        let priority = match condition {
            Condition::RateHigh => format!("medium, high from {}", limits.rate_extreme_high),
            Condition::RateLow => format!("medium, high from {}", limits.rate_extreme_low),
            condition => condition.priority().to_string(),
        };
        line(condition.name(), &limit(condition, limits), &delay, &priority);
    }
    text
}

fn limit(condition: Condition, limits: &Limits) -> String {
    match condition {
        Condition::RateHigh => format!("> {} /min", limits.rate_high),
        Condition::RateLow => format!("< {} /min", limits.rate_low),
        Condition::TemperatureHigh => format!("> {} Cel", limits.temperature_high),
        Condition::TemperatureLow => format!("< {} Cel", limits.temperature_low),
        _ => String::new(),
    }
}

fn signals(signals: Signals) -> &'static str {
    match signals {
        Signals::On => "on",
        Signals::AlarmOff => "alarm off: none is raised",
        Signals::AudioOff => "audio off: they do not sound",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_each_limit_delay_and_priority() {
        let mut limits: Limits = "rate-high=130".parse().unwrap();
        limits.off.set(Condition::Clock, true);
        let text = table(&"bed_07".parse().unwrap(), &limits);
        assert!(text.starts_with("Alarms of bed_07: on\n"), "{text}");
        assert!(text.contains("rate-high         > 130 /min      15 s  medium, high from 140\n"), "{text}");
        assert!(text.contains("asystole                          none  high\n"), "{text}");
        assert!(text.contains("clock                              off  low\n"), "{text}");
        assert!(!text.contains("journal-full"), "{text}");
    }

    #[test]
    fn json_has_every_word_of_the_text_form() {
        let json = json(&"bed_07".parse().unwrap(), &Limits::default());
        assert_eq!(json["device"], "bed_07");
        assert_eq!((&json["rate-high"], &json["temperature-high"]), (&120.into(), &38.5.into()));
        assert_eq!((&json["off"], &json["signals"]), (&Value::Array(Vec::new()), &"on".into()));
        assert_eq!(json.as_object().unwrap().len(), 1 + Limits::default().to_string().split(' ').count());
    }
}
