//! `vitalwire alarms list`: out of the registry, where each alarm was before anyone was told.

use std::process::ExitCode;
use std::time::SystemTime;

use clap::Args;
use vitalwire_access::DeviceId;
use vitalwire_gateway::server_lock;

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
long ago it ended; who knows; whether it was escalated. It shows patients'
values: mind where you pipe it.";

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
        write!(out, "{}", shown::table(&alarms, shown::utc_us(SystemTime::now())))?;
    }
    Ok(ExitCode::SUCCESS)
}
