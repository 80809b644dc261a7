//! `vitalwire alarms replay`: what limits would have raised, by the code that watches, from the journal. Touches nothing.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};
use vitalwire_access::DeviceId;
use vitalwire_gateway::{History, Replayed};
use vitalwire_registry::{AlarmQuery, Registry};
use vitalwire_vitals::alarm::{Alarm, Condition, Limits};

use super::setting::{LimitFlags, check_enrolled};
use super::shown::{span, time, utc_us};
use crate::args::DataArgs;
use crate::output::{Output, note};

pub(super) const HELP: &str = "\
Examples:
  vitalwire alarms replay bed_07 --last 1d --delay 30s --data ./data
  vitalwire alarms replay bed_07 --from 2026-11-24T21:00:00Z \\
      --to 2026-11-25T07:00:00Z --rate-high 130 --rate-extreme-high 150 \\
      --data ./data

The code that watches runs over what the journal holds of the patient who has
the device now: once with the limits as they are set, once with those that are
asked for. ON RECORD is what was raised in that time with the limits of then.
It knows values alone: devices that were away, batteries and clocks are not
replayed, and no one acknowledges. It changes nothing: `alarms limits` does.";

/// Alarms that are listed, unless all are wanted.
const ALARMS_SHOWN: usize = 40;

/// Whose, of when, and what is tried.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// The device
    device: DeviceId,
    /// So long back from now, such as 8h, 7d
    #[arg(long, value_name = "TIME", default_value = "1d", value_parser = humantime::parse_duration)]
    last: Duration,
    /// From this time on (RFC 3339), instead of --last
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_rfc3339_weak)]
    from: Option<SystemTime>,
    /// Up to this time (RFC 3339) [default: now]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_rfc3339_weak)]
    to: Option<SystemTime>,
    #[command(flatten)]
    flags: LimitFlags,
    /// All alarms, not only the first 40
    #[arg(long)]
    all: bool,
    /// One JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
}

/// All that is compared.
struct Report {
    device: DeviceId,
    from_us: i64,
    to_us: i64,
    on_record: BTreeMap<Condition, usize>,
    /// The limits that are set, and those that are tried.
    limits: [Limits; 2],
    replayed: Replayed,
}

pub(super) fn run(args: &ReplayArgs, out: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    let to = args.to.unwrap_or_else(SystemTime::now);
    let from = match args.from {
        Some(from) => from,
        None => to.checked_sub(args.last).context("--last reaches further back than time does")?,
    };
    let registry = args.data.open()?;
    check_enrolled(&registry, &args.device)?;
    let configured = registry.limits(&args.device)?;
    let asked = args.flags.apply(configured)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().build().context("cannot start the event loop")?;
    let history = History::open(&args.data.data).with_context(|| {
        format!("no history in {} (a server that ran there makes it)", args.data.data.display())
    })?;
    let history = of_present_stay(&registry, &args.device, from, history)?;
    let limits = [configured, asked];
    let replayed = runtime.block_on(history.replay(&args.device, (from, to), limits))?;
    if !replayed.has_values {
        note!("The journal holds nothing in this time by which alarms are decided.");
    }
    if args.flags.is_empty() {
        note!("Nothing else was asked for: give --delay or a limit to compare with.");
    }
    let (from_us, to_us) = (utc_us(from), utc_us(to));
    let report = Report {
        on_record: on_record(&registry, &args.device, from_us, to_us)?,
        device: args.device.clone(),
        from_us,
        to_us,
        limits,
        replayed,
    };
    if args.json {
        writeln!(out, "{}", as_json(&report))?;
    } else {
        write!(out, "{}", table(&report, if args.all { usize::MAX } else { ALARMS_SHOWN }))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Only of the patient who has the device now: another one's values never count under this one's limits.
fn of_present_stay(
    registry: &Registry,
    device: &DeviceId,
    from: SystemTime,
    history: History,
) -> anyhow::Result<History> {
    let timeline = registry.timeline(device)?;
    let Some(present) = timeline.borders.last().filter(|_| timeline.has_patients).copied() else {
        return Ok(history);
    };
    if utc_us(from) < present.time_us {
        note!(
            "The patient who has {device} now has it since {}: replayed from then on.",
            time(present.time_us)
        );
    }
    Ok(history.of_stay(present.stay, timeline))
}

/// What was raised of the present patient in that time, and told.
fn on_record(
    registry: &Registry,
    device: &DeviceId,
    from_us: i64,
    to_us: i64,
) -> anyhow::Result<BTreeMap<Condition, usize>> {
    let stay = Some(registry.current_stay(device)?.id);
    let query = AlarmQuery { stay, from_us: Some(from_us), to_us: Some(to_us), ..AlarmQuery::default() };
    let mut counts = BTreeMap::new();
    for record in registry.alarms(&query)?.iter().filter(|record| !record.raised.is_late) {
        *counts.entry(record.raised.condition).or_default() += 1;
    }
    Ok(counts)
}

fn table(report: &Report, shown: usize) -> String {
    let mut text = format!("{} from {} to {}\n\n", report.device, time(report.from_us), time(report.to_us));
    let [configured, asked] =
        [&report.replayed.configured, &report.replayed.asked].map(|of| Replayed::counts(of));
    let mut line = |name: &str, cells: [String; 3]| {
        let [on_record, configured, asked] = cells;
        text += &format!("{name:16}  {on_record:>9}  {configured:>13}  {asked:>8}\n");
    };
    line("CONDITION", ["ON RECORD", "AS CONFIGURED", "AS ASKED"].map(str::to_owned));
    let all = [&report.on_record, &configured, &asked];
    for condition in
        Condition::ALL.into_iter().filter(|condition| all.iter().any(|counts| counts.contains_key(condition)))
    {
        let is_replayed = Replayed::tells(condition);
        let cell = |counts: &BTreeMap<Condition, usize>, is_known: bool| match counts.get(&condition) {
            None if !is_known => "-".to_owned(),
            count => count.copied().unwrap_or(0).to_string(),
        };
        line(
            condition.name(),
            [cell(&report.on_record, true), cell(&configured, is_replayed), cell(&asked, is_replayed)],
        );
    }
    line("all", all.map(|counts| counts.values().sum::<usize>().to_string()));
    let merged = report.replayed.merged();
    if !merged.is_empty() {
        text.push('\n');
    }
    for (whose, alarm) in merged.iter().take(shown) {
        let lasted = match alarm.ended_us {
            Some(ended_us) => format!("lasted {}", span(ended_us.saturating_sub(alarm.since_us))),
            None => "lasts".to_owned(),
        };
        let (time, words) = (time(alarm.raised_us), alarm.text());
        text += &format!("{time}  {words:24}  {lasted:12}  {}\n", whose.name());
    }
    if let Some(more) = merged.len().checked_sub(shown).filter(|more| *more > 0) {
        text += &format!("and {more} more; --all lists them\n");
    }
    text
}

fn as_json(report: &Report) -> Value {
    let named = |counts: &BTreeMap<Condition, usize>| -> Value {
        let named = counts.iter().map(|(condition, count)| (condition.name().to_owned(), (*count).into()));
        Value::Object(named.collect())
    };
    let alarm = |alarm: &Alarm| {
        json!({
            "condition": alarm.condition.name(),
            "priority": alarm.priority.name(),
            "text": alarm.text(),
            "since": time(alarm.since_us),
            "raised": time(alarm.raised_us),
            "ended": alarm.ended_us.map(time),
        })
    };
    let raised = |limits: &Limits, alarms: &[Alarm]| {
        json!({
            "limits": limits.to_string(),
            "counts": named(&Replayed::counts(alarms)),
            "alarms": alarms.iter().map(alarm).collect::<Vec<_>>(),
        })
    };
    let [configured, asked] = &report.limits;
    json!({
        "device": report.device.as_str(),
        "from": time(report.from_us),
        "to": time(report.to_us),
        "on_record": named(&report.on_record),
        "configured": raised(configured, &report.replayed.configured),
        "asked": raised(asked, &report.replayed.asked),
    })
}

#[cfg(test)]
mod tests {
    use vitalwire_vitals::alarm::Priority;

    use super::super::shown::tests::alarm;
    use super::*;

    fn raised(condition: Condition, since_s: i64, ended_s: Option<i64>) -> Alarm {
        Alarm {
            since_us: since_s * 1_000_000,
            raised_us: (since_s + 15) * 1_000_000,
            ended_us: ended_s.map(|second| second * 1_000_000),
            ..alarm(1, condition, Priority::Medium).alarm
        }
    }

    fn report() -> Report {
        let configured =
            vec![raised(Condition::RateHigh, 0, Some(20)), raised(Condition::RateHigh, 100, None)];
        let asked =
            vec![raised(Condition::RateHigh, 101, None), raised(Condition::TemperatureHigh, 0, Some(90))];
        let on_record = [(Condition::RateHigh, 2), (Condition::Battery, 1)].into_iter().collect();
        let device = "bed_07".parse().unwrap();
        let replayed = Replayed { has_values: true, configured, asked };
        Report { device, from_us: 0, to_us: 200_000_000, on_record, limits: [Limits::default(); 2], replayed }
    }

    #[test]
    fn the_table_says_what_each_would_have_raised() {
        let text = table(&report(), 2);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.contains("rate-high                 2              2         1\n"), "{text}");
        assert!(text.contains("battery                   1              -         -\n"), "{text}");
        assert!(text.contains("all                       3              2         2\n"), "{text}");
        assert!(text.contains("** HR 134 > 120           lasted 20 s   configured\n"), "{text}");
        assert!(text.contains("and 1 more; --all lists them"), "{text}");
    }

    #[test]
    fn json_has_both() {
        let json = as_json(&report());
        assert_eq!(json["configured"]["counts"]["rate-high"], 2);
        assert_eq!(json["asked"]["alarms"][1]["ended"], "1970-01-01T00:01:30.000Z");
        assert!(json["asked"]["limits"].as_str().unwrap().starts_with("rate-low=50"));
    }
}
