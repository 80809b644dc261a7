//! `vitalwire history`: what a device measured, out of the journal, also while a server writes it. Changes nothing.

mod raw;
mod scope;

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;
use vitalwire_access::DeviceId;
use vitalwire_gateway::{Bucket, Gap, GapState, History, is_unmapped};
use vitalwire_registry::{Registry, StayId};

use self::scope::View;
use crate::args::DataArgs;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  vitalwire history bed_07 --data ./data
  vitalwire history bed_07 --channel Pulse_Signal --last 10s --points 200 \\
      --data ./data
  vitalwire history bed_07 --from 2026-11-24T21:00:00Z \\
      --to 2026-11-24T22:00:00Z --json --data ./data
  vitalwire history bed_07 --channel Pulse_Signal --last 1d --raw --json \\
      --data ./data > bed_07.jsonl

Thins the values to so many stretches of equal time, each with its least, mean
and greatest value and how many there are. A line `· · ·` stands where readings
are missing; what a device lost for good is listed below.

With --raw all values, each with the digits that the device sent, and how far
off its time may be. A day of a pulse wave is many millions of lines.

Times are UTC. `at the latest` marks those that no one could map to UTC: the
values were measured then or before. With --json one object a line. A range
without values gives an empty result and exit status 0.

It shows one stay: when it was said who wears the device, what was measured
in earlier stays is left out, and a line on standard error says so. --stay shows
such a one, all of it, on each device that the patient had (`vitalwire patient
show` lists them). Then no device is named:
  vitalwire history --stay 12 --channel Temperature --data ./data

It shows patients' values: mind where you pipe it.";

/// Gaps that are listed.
const GAPS_SHOWN: usize = 20;
/// Devices that are named when another one was asked for.
const DEVICES_NAMED: usize = 8;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Arguments of `vitalwire history`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct HistoryArgs {
    /// The device
    #[arg(required_unless_present = "stay", conflicts_with = "stay")]
    device: Option<DeviceId>,
    /// A stay, on all devices that the patient had in it, instead of a device
    #[arg(long, value_name = "N")]
    stay: Option<StayId>,
    /// A channel of its profile
    #[arg(long, value_name = "NAME", default_value = "Temperature")]
    channel: String,
    /// So long back from now, such as 90s, 15m, 8h, 7d [default: 1h, of a stay all]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    last: Option<Duration>,
    /// From this time on (RFC 3339), instead of --last
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_rfc3339_weak)]
    from: Option<SystemTime>,
    /// Up to this time (RFC 3339) [default: now]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_rfc3339_weak)]
    to: Option<SystemTime>,
    /// How many stretches
    #[arg(long, value_name = "N", default_value_t = 30, conflicts_with = "raw")]
    points: u32,
    /// All values as they were sent, instead of stretches
    #[arg(long)]
    raw: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
}

/// Runs `vitalwire history`.
///
/// # Errors
/// When there is no journal, the range makes no sense, or there is no such device, channel or stay.
pub(crate) fn run(args: &HistoryArgs, out: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().build().context("cannot start the event loop")?;
    let folder = args.data.data.display();
    let history = History::open(&args.data.data)
        .with_context(|| format!("no history in {folder} (a server that ran there makes it)"))?;
    for view in runtime.block_on(scope::views(args, &history))? {
        runtime.block_on(show(args, &view, out))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows what is asked for of one device.
async fn show(args: &HistoryArgs, view: &View, out: &mut Output<'_>) -> anyhow::Result<()> {
    let View { history, query, .. } = view;
    if args.raw {
        return raw::write(view, args.json, out).await;
    }
    let buckets = history.buckets(query, args.points).await?;
    if args.json {
        for bucket in &buckets {
            writeln!(out, "{}", serde_json::to_string(&Row::new(bucket, view))?)?;
        }
        return Ok(());
    }
    // What a device lost is not known by time.
    let gaps = if view.is_present() { history.gaps(&query.device, GAPS_SHOWN).await? } else { Vec::new() };
    write!(out, "{}", table(view, &buckets, &gaps))?;
    Ok(())
}

/// A device that the journal does not know may have sent nothing yet; or its name is misspelt.
fn check_enrolled(device: &DeviceId, registry: &Registry) -> anyhow::Result<()> {
    let directory = registry.directory()?;
    if directory.devices.contains_key(device) {
        return Ok(());
    }
    let names: Vec<&str> = directory.devices.keys().map(DeviceId::as_str).collect();
    let known = match names.len() {
        0 => "none is enrolled".to_owned(),
        count if count > DEVICES_NAMED => {
            let named = names.get(..DEVICES_NAMED).unwrap_or_default().join(", ");
            format!("enrolled are {named} and {} more", count - DEVICES_NAMED)
        }
        _ => format!("enrolled are {}", names.join(", ")),
    };
    bail!("there is no device {device}, and there never was one that sent anything; {known}")
}

/// A stretch of time for other programs.
#[derive(Serialize)]
struct Row<'a> {
    /// Of a stay, which may have several.
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<&'a str>,
    start: String,
    samples: u64,
    min: f64,
    mean: f64,
    max: f64,
    uncertainty_ms: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unmapped: bool,
    gap_before: bool,
    gap_within: bool,
}

impl<'a> Row<'a> {
    fn new(bucket: &Bucket, view: &'a View) -> Self {
        let Bucket { start_us, samples, min, mean, max, gap_before, gap_within, .. } = *bucket;
        let (uncertainty_ms, unmapped) = (bucket.uncertainty_us.div_ceil(1_000), is_unmapped(bucket));
        Self {
            device: view.named_device(),
            start: time(start_us),
            samples,
            min,
            mean,
            max,
            uncertainty_ms,
            unmapped,
            gap_before,
            gap_within,
        }
    }
}

fn time(utc_us: i64) -> String {
    let since = Duration::from_micros(u64::try_from(utc_us).unwrap_or(0));
    humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH + since).to_string()
}

fn table(view: &View, buckets: &[Bucket], gaps: &[Gap]) -> String {
    let mut text = String::new();
    let lowest = buckets.iter().map(|bucket| bucket.mean).fold(f64::INFINITY, f64::min);
    let highest = buckets.iter().map(|bucket| bucket.mean).fold(f64::NEG_INFINITY, f64::max);
    let mut line =
        |arguments: std::fmt::Arguments<'_>| writeln!(text, "{arguments}").expect("a String takes all");
    line(format_args!("{}", view.title()));
    line(format_args!("{:<24} {:>9} {:>9} {:>9} {:>8}", "from (UTC)", "min", "mean", "max", "samples"));
    if buckets.is_empty() {
        line(format_args!("no values in this time"));
    }
    for bucket in buckets {
        if bucket.gap_before {
            line(format_args!("· · ·"));
        }
        let Bucket { min, mean, max, samples, .. } = bucket;
        let bar = bar((mean - lowest) / (highest - lowest).max(f64::EPSILON));
        let gaps = if bucket.gap_within { " gaps" } else { "" };
        let latest = if is_unmapped(bucket) { " at the latest" } else { "" };
        line(format_args!(
            "{:<24} {min:>9.3} {mean:>9.3} {max:>9.3} {samples:>8} {bar}{gaps}{latest}",
            time(bucket.start_us)
        ));
    }
    for gap in gaps {
        let fate = match gap.state {
            GapState::Open => "may still come".to_owned(),
            GapState::GivenUp => "lost: the device no longer holds them".to_owned(),
            GapState::Folded => format!("{} of them lost in many gaps", gap.numbers),
            GapState::Filled { closed_us } => format!("came late, at {}", time(closed_us)),
        };
        line(format_args!("batches {} to {} of boot {:016x}: {fate}", gap.first, gap.last, gap.boot));
    }
    text
}

/// A block as high as the share of the range, from 0 to 1.
fn bar(share: f64) -> char {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 7")]
    let place = (share.clamp(0.0, 1.0) * 7.0).round() as usize;
    BARS.get(place).copied().unwrap_or(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_high_as_its_share() {
        assert_eq!([0.0, 0.5, 1.0, 2.0].map(bar), ['▁', '▅', '█', '█']);
        assert_eq!(bar(f64::NAN), '▁');
    }
}
