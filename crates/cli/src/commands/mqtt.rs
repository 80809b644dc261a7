//! `vitalwire mqtt`: the sessions of the embedded broker, by the server that runs or, when none does, out of its files. Shows no
//! message.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use vitalwire_broker::{BrokerError, StoredSessions};
use vitalwire_gateway::{ControlError, SessionInfo, end_mqtt_session, mqtt_sessions, server_lock};

use crate::args::{DataArgs, quoted};
use crate::data::BROKER_FOLDER;
use crate::output::{Output, note};
use crate::processes;

/// Longer client ids and users are cut in the table, which fits 80 columns.
const CLIENT_WIDTH_MAX: usize = 25;
const USER_WIDTH_MAX: usize = 14;

/// The commands of `vitalwire mqtt`.
#[derive(Debug, Subcommand)]
pub(crate) enum MqttCommand {
    /// List the sessions: whose they are, who is away, what waits for them
    #[command(after_help = "\
Examples:
  vitalwire mqtt sessions --data ./data
  vitalwire mqtt sessions --data ./data --json | jq '.[] | .client_id'

STATE: connected, or for how long the client is away. FILTERS: how many it
subscribed to. WAITING: messages of QoS 1 and 2 that it has not acknowledged;
of those published while it was away also what others subscribed to. KEPT FOR:
how long the session outlives its connection; when that has ended, what is
left. Those who miss most come first. It asks the server that runs; when none
does it reads the stored sessions. Times pass only while a server runs.")]
    Sessions(ListSessions),
    /// End a session and its connection within a second; what waits is dropped
    #[command(after_help = "\
Example:
  vitalwire mqtt end-session old-display --data ./data

A client that is running connects again and begins a new session: to keep it
out, remove its user or set another password. The audit log tells who ended it.
Without a server it ends the stored session.")]
    EndSession(EndSession),
}

/// Whose sessions.
#[derive(Debug, Args)]
pub(crate) struct ListSessions {
    /// The data folder
    #[arg(long, value_name = "DIR", env = "VITALWIRE_DATA", hide_env_values = true)]
    data: PathBuf,
    /// One JSON array
    #[arg(long)]
    json: bool,
}

/// Which session ends.
#[derive(Debug, Args)]
pub(crate) struct EndSession {
    /// The client id, as `vitalwire mqtt sessions --json` shows it
    client_id: String,
    #[command(flatten)]
    data: DataArgs,
}

/// Runs `vitalwire mqtt`.
///
/// # Errors
/// When neither server nor files can be asked, or there is no such session.
pub(crate) fn run(command: MqttCommand, out: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    match command {
        MqttCommand::Sessions(args) => list(&args, out)?,
        MqttCommand::EndSession(args) => end(&args, out)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Where the sessions are.
enum Source {
    Server,
    Files(Box<StoredSessions>),
}

/// The sessions, and where they are.
fn sessions(data: &Path) -> anyhow::Result<(Vec<SessionInfo>, Source)> {
    match mqtt_sessions(data) {
        Ok(sessions) => return Ok((sessions, Source::Server)),
        Err(ControlError::NoServer(_)) => {}
        Err(error) => return Err(error.into()),
    }
    if let Some(process) = processes::lock_holder(&server_lock(data)) {
        bail!(
            "a server runs on {} (process {}) and does not answer: it may be starting, or its log says why it could not \
             listen for this command",
            data.display(),
            process.pid
        );
    }
    let stored = match StoredSessions::open(&data.join(BROKER_FOLDER)) {
        Err(BrokerError::StorageInUse { .. }) => {
            bail!("a server has just started on {}: ask again", data.display())
        }
        opened => opened.context("cannot read the stored sessions")?,
    };
    let Some(stored) = stored else {
        bail!("no server runs on {}, and no MQTT broker of ours has run there", data.display());
    };
    Ok((stored.list(), Source::Files(Box::new(stored))))
}

fn list(args: &ListSessions, out: &mut Output<'_>) -> anyhow::Result<()> {
    let (sessions, source) = sessions(&args.data)?;
    if matches!(source, Source::Files(_)) {
        note!("No server runs there: these are the stored sessions.");
    }
    if args.json {
        return Ok(writeln!(out, "{}", serde_json::to_string(&sessions)?)?);
    }
    if sessions.is_empty() {
        note!("No MQTT sessions.");
        return Ok(());
    }
    write!(out, "{}", table(&sessions))?;
    Ok(())
}

fn end(args: &EndSession, out: &mut Output<'_>) -> anyhow::Result<()> {
    let data = &args.data.data;
    let (sessions, source) = sessions(data)?;
    let Some(session) = sessions.iter().find(|session| *session.client_id == *args.client_id) else {
        bail!(
            "no MQTT session has the client id {}; `vitalwire mqtt sessions --data {}` lists them",
            quoted(&shown(&args.client_id, usize::MAX)),
            quoted(&data.display().to_string())
        );
    };
    // The record first: nothing is dropped that no one answers for.
    args.data.open()?.record_session_ended(&session.user, &shown(&args.client_id, usize::MAX))?;
    let ended = match source {
        Source::Server => end_mqtt_session(data, &args.client_id)?,
        Source::Files(mut stored) => stored.end(&args.client_id)?,
    };
    let id = shown(&args.client_id, usize::MAX);
    match ended {
        Some(user) => writeln!(out, "Ended the session {id} of {user}.")?,
        None => writeln!(out, "The session {id} had ended by itself.")?,
    }
    Ok(())
}

fn table(sessions: &[SessionInfo]) -> String {
    let rows: Vec<[String; 6]> = sessions
        .iter()
        .map(|session| {
            [
                shown(&session.client_id, CLIENT_WIDTH_MAX),
                shown(&session.user, USER_WIDTH_MAX),
                session
                    .away_s
                    .map_or_else(|| "connected".to_owned(), |away_s| format!("away {}", time(away_s))),
                session.filters.len().to_string(),
                session.waiting.to_string(),
                if session.kept_s == 0 { "-".to_owned() } else { time(session.kept_s) },
            ]
        })
        .collect();
    let width = |at: usize, name: &str| {
        let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
        cells.max().unwrap_or(0).max(name.len())
    };
    let (client_width, user_width) = (width(0, "CLIENT"), width(1, "USER"));
    let line = |[client, user, state, filters, waiting, kept]: &[String; 6]| {
        format!("{client:client_width$}  {user:user_width$}  {state:9}  {filters:>7}  {waiting:>7}  {kept}\n")
    };
    let head = ["CLIENT", "USER", "STATE", "FILTERS", "WAITING", "KEPT FOR"].map(str::to_owned);
    std::iter::once(&head).chain(&rows).map(line).collect()
}

/// A client chose its id: it must not steer the terminal.
fn shown(id: &str, width_max: usize) -> String {
    let plain: String =
        if id.contains(char::is_control) { id.escape_debug().collect() } else { id.to_owned() };
    if plain.chars().count() <= width_max {
        return plain;
    }
    plain.chars().take(width_max.saturating_sub(1)).chain(['…']).collect()
}

/// In its largest unit: `45 s`, `6 d`.
fn time(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} m", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(client_id: &str, away_s: Option<u64>) -> SessionInfo {
        SessionInfo {
            client_id: client_id.into(),
            user: "a-user-with-a-very-long-name".into(),
            away_s,
            kept_s: 604_800,
            filters: vec!["Pico/#".into()],
            waiting: 1_000_000,
        }
    }

    #[test]
    fn the_table_fits_80_columns_whatever_clients_call_themselves() {
        let long = "x".repeat(70_000);
        let text =
            table(&[session(&long, Some(86_399)), session("a\x1b[2J\nb", None), session("ü", Some(59))]);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert_eq!(text.lines().count(), 4);
        assert!(!text.contains('\x1b') && text.contains("away 23 h"), "{text}");
    }

    #[test]
    fn times_are_told_in_their_largest_unit() {
        assert_eq!([0, 59, 60, 3_599, 3_600, 86_400].map(time), ["0 s", "59 s", "1 m", "59 m", "1 h", "1 d"]);
    }
}
