//! `vitalwire verify-capture`: what in captured traffic was not encrypted. Changes nothing, and shows no key.

mod text;

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde::Serialize;
use vitalwire_capture::{Needles, Report, Verdict, Verifier};
use vitalwire_registry::{Directory, Link, SetupSecrets};

use crate::data;
use crate::explain::explain;
use crate::output::{Output, OutputError, even_if_closed, note};

const EXAMPLES: &str = "\
Examples:
  tcpdump -i any -w ward.pcap 'tcp port 9998 or tcp port 8883'   # then Ctrl-C
  vitalwire verify-capture ward.pcap --data ./data
  vitalwire verify-capture ward.pcap0 ward.pcap1 --json | jq '.flows[].verdict'
  vitalwire verify-capture everything.pcapng --port 9998 --port 8883

Reads pcap and pcapng files; several are one capture in the order given. Looks
for topics and the JSON of samples; with --data also for names of devices,
users and patients, link ids, and keys as they are, in hexadecimal digits and in
Base64. It cannot look for passwords, of which only hashes are stored, nor for
values.

Exit status: 0 all was encrypted and nothing was found; 1 something was found,
or not all of it is shown to be encrypted (unknown protocols, packets that are
missing); 2 a file cannot be read.";

/// Arguments of `vitalwire verify-capture`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct VerifyCaptureArgs {
    /// Captures by tcpdump or Wireshark; `-` for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Look at what goes from or to this port only; may be given again
    #[arg(long = "port", value_name = "PORT")]
    ports: Vec<u16>,
    /// One JSON object
    #[arg(long)]
    json: bool,
    /// The data folder, whose names and keys are searched for
    #[arg(long, value_name = "DIR", env = "VITALWIRE_DATA", hide_env_values = true)]
    data: Option<PathBuf>,
    /// The file with the master key [default: a systemd credential, else DIR.master-key]
    #[arg(long, value_name = "FILE", env = "VITALWIRE_MASTER_KEY", hide_env_values = true)]
    master_key: Option<PathBuf>,
}

/// The report, and what kept it from being whole.
#[derive(Serialize)]
struct Outcome<'a> {
    files: Vec<String>,
    #[serde(flatten)]
    report: &'a Report,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Runs `vitalwire verify-capture`.
///
/// # Errors
/// When the result cannot be written. What cannot be read is told here, as its exit status is another.
pub(crate) fn run(args: &VerifyCaptureArgs, out: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    let mut verifier = match prepare(args) {
        Ok(verifier) => verifier,
        Err(error) => return Ok(cannot_read(&explain(&error))),
    };
    let error = args.files.iter().find_map(|file| read(&mut verifier, file).err());
    let error = error.map(|error| explain(&error));
    let report = verifier.finish();
    // What lay open in the part that could be read is told all the same.
    if error.is_none() || report.verdict == Verdict::Found || args.json {
        let files = args.files.iter().map(|file| file.display().to_string()).collect();
        let written = write(out, args.json, &Outcome { files, report: &report, error: error.clone() });
        even_if_closed(written.and_then(|()| out.flush()))?;
    }
    Ok(match error {
        Some(error) => cannot_read(&error),
        None if report.verdict == Verdict::Encrypted => ExitCode::SUCCESS,
        None => ExitCode::FAILURE,
    })
}

fn cannot_read(why: &str) -> ExitCode {
    note!("vitalwire: {why}");
    ExitCode::from(2)
}

fn write(out: &mut Output<'_>, as_json: bool, outcome: &Outcome<'_>) -> Result<(), OutputError> {
    if as_json {
        let json = serde_json::to_string(outcome).expect("a report has text keys and finite numbers only");
        return writeln!(out, "{json}");
    }
    text::write(out, outcome.report)
}

fn prepare(args: &VerifyCaptureArgs) -> anyhow::Result<Verifier> {
    let mut needles = Needles::general();
    if let Some(folder) = &args.data {
        let registry = data::open(folder, args.master_key.as_deref())?;
        let directory = registry.directory()?;
        add_names_and_keys(&mut needles, &directory);
        for stay in registry.stays()? {
            for text in stay.patient.iter().flat_map(|patient| [&patient.name, &patient.notes]) {
                needles.patient(stay.id.number(), text);
            }
        }
        for (row, cause) in directory.broken.iter() {
            note!("vitalwire: the {row} is not searched for: {cause}");
        }
    }
    Ok(Verifier::new(needles, &args.ports)?)
}

/// All that the registry knows and no one else may see.
fn add_names_and_keys(needles: &mut Needles, directory: &Directory) {
    for device in directory.devices.values() {
        let id = device.id.as_str();
        needles.name("device", id);
        if let Some(links) = device.key.links() {
            let mut add = |which: &str, link: &Link| {
                needles.link_id(id, &link.id.digits());
                needles.key(&format!("the {which}pre-shared key of {id}"), link.psk.bytes());
            };
            add("", &links.current);
            if let Some(previous) = &links.previous {
                add("earlier ", &previous.link);
            }
        }
        if let Some(secret) = device.cbc_secret() {
            needles.key(&format!("the AES key of {id}"), secret.key());
            needles.key(&format!("the IV of {id}"), secret.iv());
        }
        let setup = SetupSecrets::derive(&device.id, &device.key);
        needles.key(&format!("the setup key of {id}"), setup.key());
        needles.password(&format!("the network password of {id}"), setup.access_point_password());
    }
    for user in directory.users.keys() {
        needles.name("user", user.as_str());
    }
}

fn read(verifier: &mut Verifier, path: &Path) -> anyhow::Result<()> {
    let name = || path.display().to_string();
    if path.as_os_str() == "-" {
        let mut progress = Progress::new("standard input", 0);
        return verifier.read(io::stdin().lock(), |done| progress.show(done)).context("standard input");
    }
    let file = File::open(path).with_context(|| format!("cannot open {}", name()))?;
    let len = file.metadata().map_or(0, |metadata| metadata.len());
    let mut progress = Progress::new(&name(), len);
    verifier.read(file, |done| progress.show(done)).with_context(name)
}

/// How far a file was read, for a person who waits at a terminal.
struct Progress {
    name: String,
    len: u64,
    /// Hundredths that were shown last; `None` when no one looks.
    shown: Option<u64>,
}

impl Progress {
    fn new(name: &str, len: u64) -> Self {
        Self { name: name.to_owned(), len, shown: io::stderr().is_terminal().then_some(0) }
    }

    fn show(&mut self, done: u64) {
        const MIB: u64 = 1 << 20;
        let Some(shown) = &mut self.shown else { return };
        let now = done.saturating_mul(100).checked_div(self.len).unwrap_or(done / (16 * MIB));
        if now != *shown {
            *shown = now;
            let _ = write!(io::stderr(), "\r\x1b[K{}: {} of {} MiB", self.name, done / MIB, self.len / MIB);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.is_some_and(|shown| shown > 0) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
