//! `vitalwire alarms ack` and `pause`: the server that watches is asked, for it alone decides.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use vitalwire_access::DeviceId;
use vitalwire_gateway::{ControlError, Silence, WhichAlarms};
use vitalwire_vitals::alarm::{PAUSE_S_MAX, check_name, check_reason};

use crate::args::DataArgs;
use crate::output::Output;

pub(super) const ACK_HELP: &str = "\
Examples:
  vitalwire alarms ack 12 --reason 'walks to the bathroom' --data ./data
  vitalwire alarms ack bed_07 --name 'Ana, night shift' --data ./data

By its number, as `vitalwire alarms list` shows it, or all of a device. It says
that someone knows, and hides nothing: an alarm stays in the list as long as it
lasts, and calls again when it becomes more urgent. On record is this system's
user, and the name that is given. Name and reason are in the audit log and on
MQTT: write no patient's name there.";

pub(super) const PAUSE_HELP: &str = "\
Examples:
  vitalwire alarms pause bed_07 --data ./data
  vitalwire alarms pause bed_07 --for 45s --audio --data ./data
  vitalwire alarms pause bed_07 --end --data ./data

While it lasts, what is raised is listed and on record, but only what is more
urgent than what stood when it began calls anyone. With --audio it is told as
always and does not sound. It ends by itself, or with the server.";

/// Which alarms someone knows of.
#[derive(Debug, Args)]
pub(crate) struct AckAlarms {
    /// An alarm's number, or a device; digits alone are a number
    #[arg(value_name = "NUMBER|DEVICE", required_unless_present = "devices")]
    which: Vec<String>,
    /// A device whose name is digits alone; may be given several times
    #[arg(long = "device", value_name = "ID")]
    devices: Vec<DeviceId>,
    /// Why no one needs to come any more, up to 256 bytes
    #[arg(long, value_name = "WORDS")]
    reason: Option<String>,
    /// Who you are, beside this system's user
    #[arg(long, value_name = "WORDS")]
    name: Option<String>,
    #[command(flatten)]
    data: DataArgs,
}

/// What is paused.
#[derive(Debug, Args)]
pub(crate) struct PauseAlarms {
    /// The device
    device: DeviceId,
    /// For so long, 2m at most
    #[arg(long = "for", value_name = "TIME", default_value = "2m", value_parser = humantime::parse_duration)]
    time: Duration,
    /// The sound alone
    #[arg(long, conflicts_with = "end")]
    audio: bool,
    /// End the pause
    #[arg(long)]
    end: bool,
    /// Who you are, beside this system's user
    #[arg(long, value_name = "WORDS")]
    name: Option<String>,
    #[command(flatten)]
    data: DataArgs,
}

pub(super) fn acknowledge(args: &AckAlarms, out: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    args.reason.as_deref().map_or(Ok(()), check_reason).context("--reason")?;
    args.name.as_deref().map_or(Ok(()), check_name).context("--name")?;
    let mut which: Vec<WhichAlarms> =
        args.which.iter().map(|word| parse(word)).collect::<anyhow::Result<_>>()?;
    which.extend(args.devices.iter().cloned().map(WhichAlarms::Device));
    for which in which {
        let (name, reason) = (args.name.as_deref(), args.reason.as_deref());
        let count = vitalwire_gateway::acknowledge(&args.data.data, &which, name, reason);
        let count = count.map_err(|error| explained(error, &args.data))?;
        match (&which, count) {
            (WhichAlarms::Number(number), 0) => writeln!(out, "Alarm {number} was acknowledged before.")?,
            (WhichAlarms::Number(number), _) => writeln!(out, "Acknowledged alarm {number}.")?,
            (WhichAlarms::Device(device), 0) => {
                writeln!(out, "{device} has no alarm that no one acknowledged.")?;
            }
            (WhichAlarms::Device(device), 1) => writeln!(out, "Acknowledged 1 alarm of {device}.")?,
            (WhichAlarms::Device(device), _) => writeln!(out, "Acknowledged {count} alarms of {device}.")?,
        }
        // Each is done, and said, before the next may fail.
        out.flush()?;
    }
    Ok(ExitCode::SUCCESS)
}

fn parse(word: &str) -> anyhow::Result<WhichAlarms> {
    if let Ok(number) = word.parse() {
        return Ok(WhichAlarms::Number(number));
    }
    let shown: String = word.chars().take(40).flat_map(char::escape_debug).collect();
    word.parse()
        .map(WhichAlarms::Device)
        .with_context(|| format!("`{shown}` is neither the number of an alarm nor the name of a device"))
}

pub(super) fn pause(args: &PauseAlarms, out: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    args.name.as_deref().map_or(Ok(()), check_name).context("--name")?;
    let seconds = match u16::try_from(args.time.as_secs()) {
        Ok(seconds @ 1..=PAUSE_S_MAX) if args.time.subsec_nanos() == 0 => seconds,
        _ => bail!(
            "--for {}: a pause lasts from 1s to 2m, in whole seconds",
            humantime::format_duration(args.time)
        ),
    };
    let silence = match (args.end, args.audio) {
        (true, _) => Silence::Nothing,
        (false, true) => Silence::Audio { seconds },
        (false, false) => Silence::Alarms { seconds },
    };
    vitalwire_gateway::silence(&args.data.data, &args.device, silence, args.name.as_deref())
        .map_err(|error| explained(error, &args.data))?;
    let device = &args.device;
    match silence {
        Silence::Nothing => writeln!(out, "Alarms of {device} are told again.")?,
        Silence::Alarms { .. } => writeln!(out, "Alarms of {device} are paused for {seconds} s.")?,
        Silence::Audio { .. } => writeln!(out, "Alarms of {device} do not sound for {seconds} s.")?,
    }
    Ok(ExitCode::SUCCESS)
}

fn explained(error: ControlError, data: &DataArgs) -> anyhow::Error {
    match error {
        ControlError::NoServer(_) => anyhow::anyhow!(
            "no server watches {}: what it wrote is open until it runs again; start it with `vitalwire serve{}`",
            data.data.display(),
            data.flags()
        ),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_a_number_and_the_rest_is_a_device() {
        assert_eq!(parse("12").unwrap(), WhichAlarms::Number(12));
        assert_eq!(parse("bed_12").unwrap(), WhichAlarms::Device("bed_12".parse().unwrap()));
        for word in ["", "bed 12", "a\u{1b}[2J", "-1"] {
            let error = parse(word);
            assert!(error.is_err() || word == "-1", "{word}");
        }
        assert!(!format!("{:#}", parse("a\u{1b}[2J").unwrap_err()).contains('\u{1b}'));
    }
}
