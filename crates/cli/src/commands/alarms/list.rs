//! `vitalwire alarms list`: out of the registry, where each alarm was before anyone was told.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::Args;
use vitalwire_access::DeviceId;
use vitalwire_gateway::server_lock;
use vitalwire_registry::Registry;
use vitalwire_vitals::alarm::{AlarmState, Signals};

use super::shown::{self, Row, Shown};
use crate::args::DataArgs;
use crate::output::{Output, note};
use crate::processes;

pub(super) const HELP: &str = "\
Examples:
  vitalwire alarms list --data ./data
  vitalwire alarms list --device bed_07 --json --data ./data | jq '.[].text'

*** is high priority, ** medium, * low. An alarm stays in the list as long as it
lasts; one of high priority that ended also until someone acknowledges it, and
one of medium priority as a notice. STATE: for how long it has lasted, or how
long ago it ended; who knows; whether it was escalated. Below stand patients
whose alarms are paused or off. It shows patients' values: mind where you pipe
it.";

/// Which alarms.
#[derive(Debug, Args)]
pub(crate) struct ListAlarms {
    /// Of this device alone
    #[arg(long, value_name = "ID")]
    device: Option<DeviceId>,
    /// One JSON array
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
}

pub(super) fn run(args: &ListAlarms, out: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    let registry = args.data.open()?;
    if let Some(device) = &args.device {
        super::setting::check_enrolled(&registry, device)?;
    }
    let open = registry.open_alarms()?;
    let wanted = open.iter().filter(|record| args.device.is_none() || record.device == args.device);
    let mut alarms: Vec<Shown> = wanted.map(Shown::from).collect();
    shown::sort(&mut alarms);
    if !alarms.is_empty() && processes::lock_holder(&server_lock(&args.data.data)).is_none() {
        note!("No server runs on {}: this is how it stood when it stopped.", args.data.data.display());
    }
    if args.json {
        let rows: Vec<Row> = alarms.iter().map(Row::from).collect();
        writeln!(out, "{}", serde_json::to_string(&rows)?)?;
    } else {
        let now_us = shown::utc_us(SystemTime::now());
        write!(out, "{}", shown::table(&alarms, now_us))?;
        for line in silences(&registry, args.device.as_ref(), now_us)? {
            writeln!(out, "{line}")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Whose alarms are paused or off: a list without alarms does not say so.
fn silences(registry: &Registry, device: Option<&DeviceId>, now_us: i64) -> anyhow::Result<Vec<String>> {
    let pauses: BTreeMap<_, _> = registry.alarm_pauses()?.into_iter().collect();
    let directory = registry.directory()?;
    let wanted = directory.stays.iter().filter(|(of, _)| device.is_none_or(|device| device == *of));
    Ok(wanted
        .filter_map(|(device, stay)| {
            let until_us = pauses.get(&stay.id).copied().filter(|until_us| *until_us > now_us);
            let state = match (stay.limits.signals, until_us) {
                (Signals::AlarmOff, _) => AlarmState::AlarmOff,
                (_, Some(_)) => AlarmState::AlarmPaused,
                (Signals::AudioOff, None) => AlarmState::AudioOff,
                (Signals::On, None) => AlarmState::On,
            };
            shown::silence(device.as_str(), state, until_us, now_us)
        })
        .collect())
}
