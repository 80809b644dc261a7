//! `vitalwire alarms load`: the report that shows whose limits to adjust.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Value, json};
use vitalwire_registry::{AlarmQuery, Registry, StayId};
use vitalwire_vitals::load::{Load, PastAlarm, Share, load};

use super::shown::{time, utc_us};
use crate::args::DataArgs;
use crate::output::{Output, note};

pub(super) const HELP: &str = "\
Examples:
  vitalwire alarms load --last 7d --data ./data
  vitalwire alarms load --last 30d --longer 30s --json --data ./data

KNOWN AFTER: half of the acknowledgements came within the first time, nine
tenths within the second. SPARED: the share that was over so soon that a delay
longer by --longer would have spared everyone. Patients are named by device and
number of the stay, as `vitalwire patient list` shows them; A DAY counts the
time for which a patient had the device, if an hour or more. A tenth of the
patients often causes most alarms: begin with their limits, and try others with
`alarms replay`. What came late, and was told to no one, does not count.";

/// Patients that are listed, unless all are wanted.
const PATIENTS_SHOWN: usize = 10;

/// Of when.
#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// So long back from now, such as 8h, 7d
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = humantime::parse_duration)]
    last: Duration,
    /// By how much longer the delays would have been
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = humantime::parse_duration)]
    longer: Duration,
    /// All patients, not only those with most alarms
    #[arg(long)]
    all: bool,
    /// One JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
}

/// A patient, by the stay; the server's own alarms have none.
type Patient = Option<StayId>;

pub(super) fn run(args: &LoadArgs, out: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    let now = SystemTime::now();
    let from = now.checked_sub(args.last).context("--last reaches further back than time does")?;
    let range = (utc_us(from), utc_us(now));
    let longer_s = match u16::try_from(args.longer.as_secs()) {
        Ok(longer_s) if longer_s > 0 => longer_s,
        _ => bail!("--longer is from 1s to 18h"),
    };
    if range.0 >= range.1 {
        bail!("--last is no time: say such as 7d");
    }
    let registry = args.data.open()?;
    let (watched, names) = watched(&registry, range)?;
    let alarms = past(&registry, range)?;
    let report = load(&alarms, &watched, longer_s);
    if alarms.is_empty() {
        note!("No alarm was raised since {}.", time(range.0));
    }
    let name = |patient: Patient| match patient {
        None => "(server)".to_owned(),
        Some(stay) => {
            names.get(&stay).map_or_else(|| format!("stay {stay}"), |device| format!("{device}, stay {stay}"))
        }
    };
    if args.json {
        writeln!(out, "{}", as_json(&report, range, longer_s, &names))?;
    } else {
        let shown = if args.all { usize::MAX } else { PATIENTS_SHOWN };
        write!(out, "{}", table(&report, longer_s, shown, &name))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// For how long each patient was watched within the range, and by which device last.
fn watched(
    registry: &Registry,
    (from_us, to_us): (i64, i64),
) -> anyhow::Result<(BTreeMap<Patient, i64>, BTreeMap<StayId, String>)> {
    let (mut watched, mut names) = (BTreeMap::new(), BTreeMap::new());
    for stay in registry.stays()? {
        let part_us =
            |from: i64, to: Option<i64>| to.unwrap_or(to_us).min(to_us).saturating_sub(from.max(from_us));
        let parts = stay.parts.iter().map(|part| part_us(part.from_us, part.to_us).max(0));
        let us: i64 = parts.fold(0, i64::saturating_add);
        names.insert(stay.id, stay.device.to_string());
        if us > 0 {
            watched.insert(Some(stay.id), us);
        }
    }
    Ok((watched, names))
}

/// What was raised within the range, and told.
fn past(registry: &Registry, (from_us, to_us): (i64, i64)) -> anyhow::Result<Vec<PastAlarm<Patient>>> {
    let query = AlarmQuery { from_us: Some(from_us), to_us: Some(to_us), ..AlarmQuery::default() };
    let told = registry.alarms(&query)?.into_iter().filter(|record| !record.raised.is_late);
    Ok(told
        .map(|record| PastAlarm {
            patient: record.stay,
            condition: record.raised.condition,
            priority: record.raised.priority,
            raised_us: record.raised_us,
            ended_us: record.ended_us.or(record.closed_us),
            acknowledged_us: record.acknowledged.map(|known| known.time_us),
        })
        .collect())
}

fn table(report: &Load<Patient>, longer_s: u16, shown: usize, name: &dyn Fn(Patient) -> String) -> String {
    let mut text = String::new();
    let mut line = |cells: [&str; 6]| {
        let [condition, alarms, high, known, after, spared] = cells;
        text += &format!("{condition:16}  {alarms:>7}  {high:>5}  {known:>6}  {after:>16}  {spared:>7}\n");
    };
    line(["CONDITION", "ALARMS", "HIGH", "KNOWN", "KNOWN AFTER", "SPARED"]);
    let all = std::iter::once(("all", &report.all));
    for (condition, share) in
        report.conditions.iter().map(|(condition, share)| (condition.name(), share)).chain(all)
    {
        let after = match (share.acknowledged_median_s, share.acknowledged_p90_s) {
            (Some(median_s), Some(p90_s)) => format!("{} / {}", wait(median_s), wait(p90_s)),
            _ => "-".to_owned(),
        };
        let (known, spared) =
            (percent(share.acknowledged, share.alarms), percent(share.shorter, share.alarms));
        line([condition, &share.alarms.to_string(), &share.high.to_string(), &known, &after, &spared]);
    }
    text += &format!("\nSPARED: by delays that are longer by {longer_s} s.\n");
    if let Some(top_tenth) = report.top_tenth {
        let count = report.patients.len().div_ceil(10);
        let (who, caused) = if count == 1 { ("patient", "caused") } else { ("patients", "caused") };
        text += &format!(
            "The {count} {who} of {} with most alarms {caused} {:.0} % of them.\n",
            report.patients.len(),
            top_tenth * 100.0
        );
    }
    text += &format!("\n{:32}  {:>7}  {:>7}  {}\n", "PATIENT", "ALARMS", "A DAY", "MOST");
    for patient in report.patients.iter().take(shown) {
        let most = if patient.alarms == 0 { "-" } else { patient.most.name() };
        let name = name(patient.patient);
        let a_day = patient.a_day.map_or_else(|| "-".to_owned(), |a_day| format!("{a_day:.1}"));
        text += &format!("{name:32}  {:>7}  {a_day:>7}  {most}\n", patient.alarms);
    }
    if let Some(more) = report.patients.len().checked_sub(shown).filter(|more| *more > 0) {
        text += &format!("and {more} more; --all lists them\n");
    }
    text
}

fn percent(part: usize, whole: usize) -> String {
    match (part * 100 + whole / 2).checked_div(whole) {
        Some(percent) => format!("{percent} %"),
        None => "-".to_owned(),
    }
}

/// Seconds, then minutes, then hours.
fn wait(seconds: f64) -> String {
    match seconds {
        ..90.0 => format!("{seconds:.0} s"),
        ..5_400.0 => format!("{:.0} m", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3_600.0),
    }
}

fn as_json(
    report: &Load<Patient>,
    (from_us, to_us): (i64, i64),
    longer_s: u16,
    names: &BTreeMap<StayId, String>,
) -> Value {
    let share = |share: &Share| {
        json!({
            "alarms": share.alarms,
            "high": share.high,
            "acknowledged": share.acknowledged,
            "acknowledged_median_s": share.acknowledged_median_s,
            "acknowledged_p90_s": share.acknowledged_p90_s,
            "spared": share.shorter,
        })
    };
    let conditions = report.conditions.iter().map(|(condition, of)| (condition.name().to_owned(), share(of)));
    let patients = report.patients.iter().map(|patient| {
        json!({
            "device": patient.patient.and_then(|stay| names.get(&stay)),
            "stay": patient.patient.map(StayId::number),
            "alarms": patient.alarms,
            "a_day": patient.a_day,
            "most": (patient.alarms > 0).then(|| patient.most.name()),
        })
    });
    json!({
        "from": time(from_us),
        "to": time(to_us),
        "longer_s": longer_s,
        "all": share(&report.all),
        "conditions": conditions.collect::<serde_json::Map<_, _>>(),
        "patients": patients.collect::<Vec<_>>(),
        "top_tenth_share": report.top_tenth,
    })
}

#[cfg(test)]
mod tests {
    use vitalwire_vitals::alarm::Condition;

    use super::*;

    const S: i64 = 1_000_000;

    fn report() -> Load<Patient> {
        let stay = StayId::new(1);
        let alarm = |condition: Condition, lasts_s: i64, known_s: Option<i64>| PastAlarm {
            patient: stay,
            condition,
            priority: condition.priority(),
            raised_us: 0,
            ended_us: Some(lasts_s * S),
            acknowledged_us: known_s.map(|seconds| seconds * S),
        };
        let alarms = [
            alarm(Condition::RateHigh, 5, Some(9_240)),
            alarm(Condition::RateHigh, 60, Some(30)),
            alarm(Condition::Asystole, 3, None),
        ];
        let watched = [(stay, 86_400 * S), (StayId::new(2), 86_400 * S)].into_iter().collect();
        load(&alarms, &watched, 15)
    }

    #[test]
    fn the_table_says_who_and_what_causes_alarms() {
        let text = table(&report(), 15, 1, &|stay| format!("bed_07, stay {}", stay.unwrap()));
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        let line = "rate-high               2      0   100 %      30 s / 2.6 h     50 %\n";
        assert!(text.contains(line), "{text}");
        assert!(
            text.contains("asystole                1      1     0 %                 -    100 %\n"),
            "{text}"
        );
        assert!(text.contains("The 1 patient of 2 with most alarms caused 100 % of them."), "{text}");
        assert!(text.contains("bed_07, stay 1                          3      3.0  rate-high\n"), "{text}");
        assert!(text.contains("and 1 more; --all lists them"), "{text}");
    }

    #[test]
    fn json_has_the_same() {
        let names = [(StayId::new(1).unwrap(), "bed_07".to_owned())].into_iter().collect();
        let json = as_json(&report(), (0, 86_400 * S), 15, &names);
        assert_eq!((&json["all"]["alarms"], &json["all"]["spared"]), (&3.into(), &2.into()));
        assert_eq!(json["conditions"]["rate-high"]["acknowledged_p90_s"], 9_240.0);
        assert_eq!(
            (&json["patients"][0]["device"], &json["patients"][1]["device"]),
            (&"bed_07".into(), &Value::Null)
        );
        assert_eq!(json["top_tenth_share"], 1.0);
    }
}
