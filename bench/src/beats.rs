//! How well beats and rates are found, what alarms that gives, and what it costs: of records in the WFDB format, of simulated patients,
//! and of made signals with rhythms that are not healthy.

#![expect(
    clippy::cast_possible_truncation,
    reason = "times and counts of a signal are far from what their types can hold"
)]

mod alarms;
mod cost;
mod records;
mod score;
mod tables;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;

/// Where records are, if nothing else is said: beside the repository, for none are in it.
const RECORDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/records");

#[derive(Debug, Default, Args)]
pub(crate) struct BeatsArguments {
    /// A folder of WFDB records: each `.hea` with its signals in format 16 or 212, and its `.atr` where there is one.
    #[arg(long, value_name = "DIR", env = "VITALWIRE_RECORDS")]
    records: Option<PathBuf>,
}

/// Prints all tables. With `quick` the signals are short: it shows that they run.
pub(crate) fn run(arguments: &BeatsArguments, quick: bool) -> Result<()> {
    let default = Path::new(RECORDS);
    match (&arguments.records, default.is_dir()) {
        (Some(folder), _) => records::report(folder, quick)?,
        (None, true) => records::report(default, quick)?,
        (None, false) => println!("No records: name a folder of them with --records or VITALWIRE_RECORDS.\n"),
    }
    tables::report(quick);
    cost::report(quick)
}
