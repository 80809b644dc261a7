//! `vitalwire journal`: how the journal is, and that its clock is right. Shows no reading.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use clap::{Args, Subcommand};
use serde::Serialize;
use vitalwire_gateway::{
    HistoryFile, JournalStatus, STEADY_US, Suspension, confirm_clock, journal_file, server_lock, suspension,
};

use crate::args::DataArgs;
use crate::output::Output;
use crate::processes;

/// With less room than this on the disk the journal will soon take nothing.
const ROOM_BYTES_LOW: u64 = 64 << 20;

/// The commands of `vitalwire journal`.
#[derive(Debug, Subcommand)]
pub(crate) enum JournalCommand {
    /// Show how much is kept, how old it is, and whether anything is wrong
    #[command(after_help = "\
Examples:
  vitalwire journal status --data ./data
  vitalwire journal status --data ./data --json | jq .suspended

Readers are those that must have read an entry before it may go; `behind` is
what they have not read. Exit status 0, whatever it finds.")]
    Status(JournalArgs),
    /// Say that the clock is right, so that old entries are removed again
    #[command(after_help = "\
Examples:
  date -u                                    # is it the right time?
  vitalwire journal confirm-clock --data ./data

When the server's clock is set by more than five minutes, or the machine seems
to have been off for more than a day, the journal removes nothing by age until
the clock has been steady for a day. This ends that at once. What the jump made
old only seemingly stays all the same: age is counted on a clock of the
journal's own. The audit log tells who said it.")]
    ConfirmClock(ConfirmClock),
}

/// Whose clock is right.
#[derive(Debug, Args)]
pub(crate) struct ConfirmClock {
    /// One JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
}

/// Which journal.
#[derive(Debug, Args)]
pub(crate) struct JournalArgs {
    /// The data folder
    #[arg(long, value_name = "DIR", env = "VITALWIRE_DATA", hide_env_values = true)]
    data: std::path::PathBuf,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// Runs `vitalwire journal`.
///
/// # Errors
/// When there is no journal, or it cannot be read or written.
pub(crate) fn run(command: JournalCommand, out: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    match command {
        JournalCommand::Status(args) => status(&args, out)?,
        JournalCommand::ConfirmClock(args) => confirm(&args, out)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn no_journal(data: &Path) -> String {
    format!("no journal in {} (a server that ran there makes it)", data.display())
}

fn status(args: &JournalArgs, out: &mut Output<'_>) -> anyhow::Result<()> {
    let file = HistoryFile::open(&journal_file(&args.data)).with_context(|| no_journal(&args.data))?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().build().context("cannot start the event loop")?;
    let status = runtime.block_on(file.status())?;
    let server = processes::lock_holder(&server_lock(&args.data)).map(|process| process.pid);
    if args.json {
        return Ok(writeln!(out, "{}", serde_json::to_string(&Report::new(&status, server))?)?);
    }
    write!(out, "{}", text(&status, server))?;
    Ok(())
}

fn confirm(args: &ConfirmClock, out: &mut Output<'_>) -> anyhow::Result<()> {
    let path = journal_file(&args.data.data);
    // An absent or foreign file is told first, with its own words.
    HistoryFile::open(&path).with_context(|| no_journal(&args.data.data))?;
    let confirmed = suspension(&path)?;
    let now = humantime::format_rfc3339_seconds(SystemTime::now());
    if let Some(suspension) = &confirmed {
        // The record first: nothing is removed that no one answers for.
        let detail = format!("{}; confirmed that it is {now}", suspension.trouble);
        args.data.open()?.record_clock_confirmed(&detail)?;
        confirm_clock(&path, suspension)?;
    }
    if args.json {
        let suspended = confirmed.as_ref().map(Suspended::from);
        let report = serde_json::json!({ "clock": now.to_string(), "confirmed": suspended });
        return Ok(writeln!(out, "{report}")?);
    }
    match confirmed {
        None => writeln!(out, "nothing to confirm: old entries are removed as they should be (it is {now})")?,
        Some(suspension) => {
            writeln!(out, "{}", suspension.trouble)?;
            writeln!(
                out,
                "confirmed that it is {now}: old entries are removed again, by the server that runs"
            )?;
            writeln!(out, "or by the next one")?;
        }
    }
    Ok(())
}

fn text(status: &JournalStatus, server: Option<u32>) -> String {
    let time_or_none = |us: Option<i64>| us.map_or_else(|| "none".to_owned(), time);
    let mut lines = vec![
        ("entries", format!("{}, at positions up to {}", status.entries, status.head)),
        ("oldest", time_or_none(status.oldest_us)),
        ("newest", time_or_none(status.newest_us)),
        ("size", format!("{} used, {} on the disk", mib(status.bytes_used), mib(status.file_bytes))),
        ("disk", disk(status.disk_free_bytes)),
        ("removed", format!("{} by age, {} by size", status.removed_by_age, status.removed_by_size)),
    ];
    lines.push(match &status.suspension {
        None => ("by age", "old entries are removed".to_owned()),
        Some(suspension) => ("by age", format!("SUSPENDED since {}", time(suspension.since_us))),
    });
    if let Some(Suspension { trouble, steady_us, .. }) = &status.suspension {
        let steady_h = steady_us / 3_600_000_000;
        lines.push(("", trouble.to_string()));
        lines.push(("", format!("steady for {steady_h} of {} hours", STEADY_US / 3_600_000_000)));
        lines.push(("", "if it is right: vitalwire journal confirm-clock".to_owned()));
    }
    for reader in &status.readers {
        lines.push(("reader", format!("{}, behind by {} entries at most", reader.name, reader.entries_max)));
    }
    lines.push(match (server, status.seen_us) {
        (Some(pid), _) => ("server", format!("runs (process {pid})")),
        (None, Some(seen_us)) => ("server", format!("none has it open; the last one at {}", time(seen_us))),
        (None, None) => ("server", "none has it open".to_owned()),
    });
    lines.iter().map(|(name, value)| format!("{name:<8} {value}\n")).collect()
}

fn disk(free_bytes: Option<u64>) -> String {
    match free_bytes {
        None => "its room is not known".to_owned(),
        Some(free) if free < ROOM_BYTES_LOW => format!("FULL, or soon: {} free; free some", mib(free)),
        Some(free) => format!("{} free", mib(free)),
    }
}

fn mib(bytes: u64) -> String {
    format!("{}.{} MiB", bytes >> 20, ((bytes & 0xf_ffff) * 10) >> 20)
}

fn time(utc_us: i64) -> String {
    let since = Duration::from_micros(u64::try_from(utc_us).unwrap_or(0));
    humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + since).to_string()
}

/// The status for other programs.
#[derive(Serialize)]
struct Report {
    entries: u64,
    head: u64,
    oldest: Option<String>,
    newest: Option<String>,
    bytes_used: u64,
    file_bytes: u64,
    disk_free_bytes: Option<u64>,
    removed_by_age: u64,
    removed_by_size: u64,
    suspended: Option<Suspended>,
    readers: Vec<Reader>,
    server_pid: Option<u32>,
    seen: Option<String>,
}

#[derive(Serialize)]
struct Reader {
    name: String,
    position: u64,
    behind_max: u64,
}

#[derive(Serialize)]
struct Suspended {
    since: String,
    why: String,
    steady_s: u64,
}

impl From<&Suspension> for Suspended {
    fn from(suspension: &Suspension) -> Self {
        Self {
            since: time(suspension.since_us),
            why: suspension.trouble.to_string(),
            steady_s: suspension.steady_us / 1_000_000,
        }
    }
}

impl Report {
    fn new(status: &JournalStatus, server_pid: Option<u32>) -> Self {
        let readers = status.readers.iter().map(|lag| Reader {
            name: lag.name.clone(),
            position: lag.position,
            behind_max: lag.entries_max,
        });
        Self {
            entries: status.entries,
            head: status.head,
            oldest: status.oldest_us.map(time),
            newest: status.newest_us.map(time),
            bytes_used: status.bytes_used,
            file_bytes: status.file_bytes,
            disk_free_bytes: status.disk_free_bytes,
            removed_by_age: status.removed_by_age,
            removed_by_size: status.removed_by_size,
            suspended: status.suspension.as_ref().map(Suspended::from),
            readers: readers.collect(),
            server_pid,
            seen: status.seen_us.map(time),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_one_decimal() {
        assert_eq!([0, 1 << 19, (3 << 20) + 1].map(mib), ["0.0 MiB", "0.5 MiB", "3.0 MiB"]);
    }
}
