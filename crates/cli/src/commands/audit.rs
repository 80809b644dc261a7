//! `vitalwire audit`: shows and verifies the audit log. Changes nothing.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Serialize;
use vitalwire_registry::{AuditHead, AuditRecord, AuditReport};

use crate::args::DataArgs;
use crate::output::{Output, OutputError, even_if_closed};

/// How many records are read at a time.
const PAGE_RECORDS: usize = 1_000;

/// The commands of `vitalwire audit`.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Verify that no record was changed, removed, added, moved or cut off
    #[command(after_help = "\
Examples:
  vitalwire audit verify --data ./data
  vitalwire audit verify --data ./data --head 6f1c…  # noted earlier

Prints the log's head, which stands for all records so far. Note it where
those who can write the data folder cannot (on paper, in a ticket, on another
machine): only with it an earlier copy of the whole folder, put back in place
of the present one, is found. Exit status 0 when the log is sound, 1 when it is
not.")]
    Verify(VerifyAudit),
    /// Show records: when, what, of which device or user, by whom
    #[command(after_help = "\
Examples:
  vitalwire audit show --data ./data
  vitalwire audit show --after 0 --json --data ./data | grep key-shown

Shows records as they are stored; `vitalwire audit verify` tells whether they
can be believed.")]
    Show(ShowAudit),
}

/// The audit log of a data folder, and what it must hold.
#[derive(Debug, Args)]
pub(crate) struct VerifyAudit {
    /// A head that was noted earlier: the log must go on from there
    #[arg(long, value_name = "HEX")]
    head: Option<AuditHead>,
    /// One JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
}

/// Which records are shown.
#[derive(Debug, Args)]
pub(crate) struct ShowAudit {
    /// The last records, this many
    #[arg(long, value_name = "N", default_value_t = 50, conflicts_with = "after")]
    last: u64,
    /// All records after this sequence number; 0 for all
    #[arg(long, value_name = "SEQUENCE")]
    after: Option<u64>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
}

/// Runs `vitalwire audit`.
///
/// # Errors
/// When the registry cannot be read.
pub(crate) fn run(command: AuditCommand, out: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    match command {
        AuditCommand::Verify(verify) => {
            let report = verify.data.open()?.verify_audit(verify.head)?;
            even_if_closed(if verify.json {
                writeln!(out, "{}", serde_json::to_string(&Verified::from(&report))?)
            } else {
                tell(&report, out)
            })?;
            Ok(if report.fault.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        AuditCommand::Show(show) => show_records(&show, out),
    }
}

/// What verifying found, as scripts see it.
#[derive(Serialize)]
struct Verified {
    sound: bool,
    records: u64,
    head: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
}

impl From<&AuditReport> for Verified {
    fn from(report: &AuditReport) -> Self {
        Self {
            sound: report.fault.is_none(),
            records: report.records,
            head: report.head.to_string(),
            expected_at: report.expected_at,
            fault: report.fault.map(|fault| fault.to_string()),
        }
    }
}

fn tell(report: &AuditReport, out: &mut Output<'_>) -> Result<(), OutputError> {
    match &report.fault {
        None => {
            writeln!(out, "The audit log is sound: {} records.", report.records)?;
            if let Some(sequence) = report.expected_at {
                writeln!(out, "It goes on from the head you noted, which is that of record {sequence}.")?;
            }
            writeln!(out, "head: {}", report.head)
        }
        Some(fault) => {
            writeln!(out, "The audit log is NOT sound: {fault}.")?;
            writeln!(
                out,
                "Sound up to record {}. Keep a copy of the data folder as it is now.",
                report.records
            )
        }
    }
}

/// A record as scripts see it.
#[derive(Serialize)]
struct Shown<'a> {
    sequence: u64,
    time: String,
    kind: &'a str,
    subject: &'a str,
    actor: &'a str,
    detail: &'a str,
}

impl<'a> From<&'a AuditRecord> for Shown<'a> {
    fn from(record: &'a AuditRecord) -> Self {
        Self {
            sequence: record.sequence,
            time: humantime::format_rfc3339_millis(record.time).to_string(),
            kind: &record.kind,
            subject: &record.subject,
            actor: &record.actor,
            detail: &record.detail,
        }
    }
}

fn show_records(show: &ShowAudit, out: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    let registry = show.data.open()?;
    let mut after = match show.after {
        Some(after) => after,
        None => registry.audit_records()?.saturating_sub(show.last),
    };
    loop {
        let page = registry.audit(after, PAGE_RECORDS)?;
        let Some(last) = page.last() else { return Ok(ExitCode::SUCCESS) };
        after = last.sequence;
        for record in &page {
            let line = if show.json { serde_json::to_string(&Shown::from(record))? } else { line(record) };
            writeln!(out, "{line}")?;
        }
    }
}

fn line(record: &AuditRecord) -> String {
    let Shown { sequence, time, kind, subject, actor, detail } = record.into();
    let subject = if subject.is_empty() { "-" } else { subject };
    let by = format!("{sequence:>6}  {time}  {kind:18}  {subject:20}  by {actor}");
    let line = if detail.is_empty() { by } else { format!("{by}: {detail}") };
    // A record that someone forged must not steer the terminal.
    line.replace(char::is_control, "\u{fffd}")
}
