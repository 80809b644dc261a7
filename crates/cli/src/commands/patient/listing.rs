//! Stays as people and scripts see them.

use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;
use vitalwire_access::DeviceId;
use vitalwire_registry::{Patient, Stay};

use crate::args::DataArgs;
use crate::output::{Output, note};

/// A stay as scripts see it.
#[derive(Serialize)]
struct Listed<'a> {
    stay: u64,
    device: &'a str,
    started: String,
    ended: Option<String>,
    patient: Option<Known<'a>>,
    /// What is known does not open.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    broken: bool,
    parts: Vec<Part<'a>>,
}

#[derive(Serialize)]
struct Known<'a> {
    name: &'a str,
    bed: &'a str,
    notes: &'a str,
}

#[derive(Serialize)]
struct Part<'a> {
    device: &'a str,
    from: String,
    to: Option<String>,
}

impl<'a> From<&'a Stay> for Listed<'a> {
    fn from(stay: &'a Stay) -> Self {
        let known = |Patient { name, bed, notes }: &'a Patient| Known { name, bed, notes };
        let part = |part: &'a vitalwire_registry::StayPart| Part {
            device: part.device.as_str(),
            from: time(part.from_us),
            to: part.to_us.map(time),
        };
        Self {
            stay: stay.id.number(),
            device: stay.device.as_str(),
            started: time(stay.started_us),
            ended: stay.ended_us.map(time),
            patient: stay.patient.as_ref().map(known),
            broken: stay.is_broken,
            parts: stay.parts.iter().map(part).collect(),
        }
    }
}

pub(crate) fn time(utc_us: i64) -> String {
    let since = Duration::from_micros(u64::try_from(utc_us).unwrap_or(0));
    humantime::format_rfc3339_seconds(UNIX_EPOCH + since).to_string()
}

fn json(stays: &[Stay], out: &mut Output<'_>) -> anyhow::Result<()> {
    let listed: Vec<_> = stays.iter().map(Listed::from).collect();
    Ok(writeln!(out, "{}", serde_json::to_string(&listed)?)?)
}

/// The stays of one device, in their order.
pub(super) fn show(
    device: &DeviceId,
    stays: &[Stay],
    as_json: bool,
    out: &mut Output<'_>,
) -> anyhow::Result<()> {
    if as_json {
        return json(stays, out);
    }
    for (number, stay) in stays.iter().enumerate() {
        if number > 0 {
            writeln!(out)?;
        }
        writeln!(out, "stay        {}", stay.id)?;
        let ended = stay.ended_us.map_or_else(|| "now".to_owned(), time);
        writeln!(out, "time        {} to {ended}", time(stay.started_us))?;
        match &stay.patient {
            None if stay.is_broken => {
                writeln!(out, "patient     does not open: the row was changed by hand")?
            }
            None if stay.ended_us == Some(stay.started_us) => {
                writeln!(out, "patient     not known: has what came late when the clock had been set")?;
            }
            None => writeln!(out, "patient     not known")?,
            Some(Patient { name, bed, notes }) => {
                for (field, text) in [("patient", name), ("bed", bed), ("notes", notes)] {
                    if !text.is_empty() {
                        writeln!(out, "{field:<11} {text}")?;
                    }
                }
            }
        }
        if stay.parts.iter().any(|part| part.device != *device) {
            for part in &stay.parts {
                let to = part.to_us.map_or_else(|| "now".to_owned(), time);
                writeln!(out, "on          {}, {} to {to}", part.device, time(part.from_us))?;
            }
        }
    }
    Ok(())
}

/// Stays of all devices, one a line.
pub(super) fn list(
    stays: &[Stay],
    as_json: bool,
    data: &DataArgs,
    out: &mut Output<'_>,
) -> anyhow::Result<()> {
    if as_json {
        return json(stays, out);
    }
    if stays.is_empty() {
        note!("No patient is set. Say who wears a device:");
        note!("  vitalwire patient set DEVICE --name NAME{}", data.flags());
        return Ok(());
    }
    let width =
        |texts: &mut dyn Iterator<Item = usize>, least: &str| texts.max().unwrap_or(0).max(least.len());
    let device = width(&mut stays.iter().map(|stay| stay.device.as_str().len()), "DEVICE");
    let known = |stay: &Stay| stay.patient.clone().unwrap_or_default();
    let bed = width(&mut stays.iter().map(|stay| known(stay).bed.chars().count()), "BED");
    writeln!(
        out,
        "{:>6}  {:device$}  {:20}  {:20}  {:bed$}  PATIENT",
        "STAY", "DEVICE", "FROM", "TO", "BED"
    )?;
    for stay in stays {
        let Patient { name, bed: place, .. } = known(stay);
        let ended = stay.ended_us.map_or_else(|| "now".to_owned(), time);
        let name = match (stay.is_broken, stay.patient.is_some()) {
            (true, _) => "(does not open: the row was changed by hand)",
            (false, true) => &name,
            (false, false) => "(not known)",
        };
        let started = time(stay.started_us);
        writeln!(
            out,
            "{:>6}  {:device$}  {started:20}  {ended:20}  {place:bed$}  {name}",
            stay.id.number(),
            stay.device.as_str()
        )?;
    }
    Ok(())
}
