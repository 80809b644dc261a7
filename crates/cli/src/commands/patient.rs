//! `vitalwire patient`: who wears which device. Shows names to whoever may open the registry; decides nothing about stays.

mod listing;

use std::io::{BufRead, Read};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use vitalwire_access::DeviceId;
use vitalwire_registry::{Moment, PatientChange, StayId};

use crate::args::DataArgs;
use crate::data;
use crate::output::{Output, note};

/// Of a line of standard input; what is longer is refused.
const LINE_LEN_MAX: u64 = 4_096;

/// The commands of `vitalwire patient`.
#[derive(Debug, Subcommand)]
pub(crate) enum PatientCommand {
    /// Say who wears a device, or begin the stay of another patient
    #[command(after_help = "\
Examples:
  vitalwire patient set bed_07 --name 'Ana M.' --bed 7 --data ./data
  vitalwire patient set bed_07 --notes 'asthma' --data ./data
  vitalwire patient set bed_07 --new --name 'Bo K.' --data ./data
  vitalwire patient set bed_07 --name 'Anna M.' --correct --data ./data

A device is worn by a patient: from when to when is a stay. Enrolling a device
begins one of which no name is known; `set` names it. For another patient say
--new: what the device measures from now on is theirs, and what it measured
before stays that of the one before. A name that is there is replaced only with
--correct (it was wrong) or --new (it is someone else).

What is not given stays as it is; an empty text ('') takes it away. A dash (-)
is read from standard input, one line each in the order name, bed, notes: what
stands in a command can be seen by others on the machine, and stays in the
shell's history:
  vitalwire patient set bed_07 --name - --bed 7 --data ./data < name.txt

Name, bed and notes are sealed in the registry. No topic, log or metric ever has
them.")]
    Set(SetPatient),
    /// Show the stays of a device, the present one last
    #[command(after_help = "\
Examples:
  vitalwire patient show bed_07 --data ./data
  vitalwire patient show bed_07 --data ./data --json | jq '.[-1].patient'

A stay in which the patient was moved also names the other devices. What was
measured in an earlier stay: vitalwire history --stay N --data ./data")]
    Show(ShowPatient),
    /// List the patients who wear a device now
    #[command(after_help = "\
Examples:
  vitalwire patient list --data ./data
  vitalwire patient list --all --data ./data --json

With --all also the stays that ended, and those of which no one is known.")]
    List(ListPatients),
    /// Give a patient another device; the stay goes on there
    #[command(after_help = "\
Example:
  vitalwire patient move bed_07 --to bed_12 --data ./data

Name, limits of alarms and history go with the patient. The device that they
had begins a stay of which no one is known; it may be a device that was revoked
because it broke. The one that they get must not be worn by another patient.")]
    Move(MovePatient),
    /// The patient no longer wears the device
    #[command(after_help = "\
Example:
  vitalwire patient discharge bed_07 --data ./data

The stay ends. What the device measures from now on is of no one who is known,
until `vitalwire patient set` says who it is. Limits of alarms are the usual
ones again. To forget what was measured, too: vitalwire device erase")]
    Discharge(DischargePatient),
}

/// Who wears a device.
#[derive(Debug, Args)]
pub(crate) struct SetPatient {
    /// The device
    device: DeviceId,
    /// How the patient is called on screens
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// The bed
    #[arg(long, value_name = "TEXT")]
    bed: Option<String>,
    /// What else must be known, in one line
    #[arg(long, value_name = "TEXT")]
    notes: Option<String>,
    /// It is another patient: a new stay begins now
    #[arg(long, conflicts_with = "correct")]
    new: bool,
    /// It is the same patient, and the name was wrong
    #[arg(long)]
    correct: bool,
    /// One JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
}

/// A device whose stays are shown.
#[derive(Debug, Args)]
pub(crate) struct ShowPatient {
    /// The device
    device: DeviceId,
    /// One JSON array
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
}

/// Which stays are listed.
#[derive(Debug, Args)]
pub(crate) struct ListPatients {
    /// Also those that ended, and those of which no one is known
    #[arg(long)]
    all: bool,
    /// One JSON array
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
}

/// From which device to which.
#[derive(Debug, Args)]
pub(crate) struct MovePatient {
    /// The device that the patient wears
    device: DeviceId,
    /// The device that the patient gets
    #[arg(long, value_name = "DEVICE")]
    to: DeviceId,
    /// One JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
}

/// Who is discharged.
#[derive(Debug, Args)]
pub(crate) struct DischargePatient {
    /// The device that the patient wears
    device: DeviceId,
    /// One JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
}

/// Runs `vitalwire patient`.
///
/// # Errors
/// When the registry cannot be opened, read or written, or what is asked for makes no sense.
pub(crate) fn run(command: PatientCommand, out: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    match command {
        PatientCommand::Set(args) => set(&args, out)?,
        PatientCommand::Show(args) => {
            let registry = args.data.open()?;
            let stays = registry.stays_of(&args.device)?;
            if stays.is_empty() {
                // It says that there is no such device.
                registry.current_stay(&args.device)?;
            }
            listing::show(&args.device, &stays, args.json, out)?;
        }
        PatientCommand::List(args) => {
            let mut stays = args.data.open()?.stays()?;
            stays.retain(|stay| {
                args.all || stay.ended_us.is_none() && (stay.patient.is_some() || stay.is_broken)
            });
            listing::list(&stays, args.json, &args.data, out)?;
        }
        PatientCommand::Move(args) => {
            let registry = args.data.open()?;
            let stay = registry.move_patient(&args.device, &args.to, now(&args.data)?)?;
            done(stay, args.json, format_args!("stay {stay} goes on on {}", args.to), out)?;
        }
        PatientCommand::Discharge(args) => {
            let registry = args.data.open()?;
            let stay = registry.discharge(&args.device, now(&args.data)?)?;
            done(
                stay,
                args.json,
                format_args!("stay {stay} has ended; no one is known to wear {}", args.device),
                out,
            )?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn set(args: &SetPatient, out: &mut Output<'_>) -> anyhow::Result<()> {
    let change = PatientChange {
        name: given(args.name.as_deref())?,
        bed: given(args.bed.as_deref())?,
        notes: given(args.notes.as_deref())?,
        corrects_name: args.correct,
    };
    if change.is_empty() && !args.new {
        bail!("nothing to set: give --name, --bed or --notes; or --new for another patient");
    }
    let registry = args.data.open()?;
    let device = &args.device;
    if args.new {
        let stay = registry.set_patient(device, &change, Some(now(&args.data)?))?;
        return done(stay, args.json, format_args!("stay {stay} begins on {device}"), out);
    }
    let before = registry.current_stay(device)?;
    let stay = registry.set_patient(device, &change, None)?;
    done(stay, args.json, format_args!("set for stay {stay} on {device}"), out)?;
    if before.patient.is_none() && !before.is_broken {
        let since = listing::time(before.started_us);
        note!("What {device} measured since {since} now counts as this patient's. If someone else wore it");
        note!("before, take the name away and begin a new stay:");
        let flags = args.data.flags();
        note!("  vitalwire patient set {device} --name '' --bed '' --notes '' --correct{flags}");
        note!("  vitalwire patient set {device} --new --name …{flags}");
    }
    Ok(())
}

/// A text of the command line, or a line of standard input for a dash.
fn given(text: Option<&str>) -> anyhow::Result<Option<String>> {
    if text != Some("-") {
        return Ok(text.map(str::to_owned));
    }
    let mut line = String::new();
    // One byte more than the longest text is enough to refuse it.
    let mut input = std::io::stdin().lock().take(LINE_LEN_MAX);
    if input.read_line(&mut line).context("cannot read standard input")? == 0 {
        bail!("standard input has no line for a text that was given as '-'");
    }
    Ok(Some(line))
}

/// Not with a name: who looks over a shoulder or into a script's log need not see it.
fn done(
    stay: StayId,
    json: bool,
    words: std::fmt::Arguments<'_>,
    out: &mut Output<'_>,
) -> anyhow::Result<()> {
    if json {
        writeln!(out, "{}", serde_json::json!({ "stay": stay.number() }))?;
    } else {
        note!("{words}");
    }
    Ok(())
}

/// The time, and how far the journal is. In this order: what comes in between has an earlier time.
fn now(args: &DataArgs) -> anyhow::Result<Moment> {
    let position = data::journal_position(&args.data)
        .context("the journal cannot be asked how far it is, so that readings could be told apart")?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Ok(Moment { time_us: i64::try_from(since.as_micros()).unwrap_or(i64::MAX), position })
}
