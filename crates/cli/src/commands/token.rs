//! `vitalwire token`: by what programs ask the dashboard's API, and what each may do there. Prints a token once, when it made it.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};
use serde::Serialize;
use vitalwire_access::{DeviceId, UserName};
use vitalwire_registry::{ApiToken, TOKEN_LASTS_MAX, TokenSecret};

use crate::args::DataArgs;
use crate::commands::user::{RoleName, role};
use crate::output::{Output, note};

/// The commands of `vitalwire token`.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token for a program, and print it once
    #[command(after_help = "\
Examples:
  vitalwire token add study --role reader --device bed_07 --data ./data
  vitalwire token add paging --role clinician --lasts 365d --data ./data
  curl -H 'Authorization: Bearer vwt_…' http://127.0.0.1:8080/api/v1/devices

A program asks the dashboard's API with it, without a login; what the API has
is at /api/v1/openapi.json. It may do what a user of its role may do. Only what
proves that it is right is kept, so a lost one is removed, and another made. A
running server knows it within a second.")]
    Add(AddToken),
    /// List the tokens, with what each may do and until when
    #[command(after_help = "Example:\n  vitalwire token list --data ./data")]
    List(ListTokens),
    /// Remove a token; live connections of it are closed within seconds
    #[command(after_help = "Example:\n  vitalwire token remove study --data ./data")]
    Remove(OneToken),
}

/// A new token.
#[derive(Debug, Args)]
pub(crate) struct AddToken {
    /// Its name, for the record of who did what: 1 to 48 of A-Z a-z 0-9 _ -
    name: UserName,
    /// What the program may do
    #[arg(long, value_enum)]
    role: RoleName,
    /// A device that it may see; may be given several times [default: all devices]
    #[arg(long = "device", value_name = "ID")]
    devices: Vec<DeviceId>,
    /// How long it opens something
    #[arg(long, value_name = "TIME", default_value = "90d", value_parser = humantime::parse_duration)]
    lasts: Duration,
    #[command(flatten)]
    data: DataArgs,
}

/// All tokens of a data folder.
#[derive(Debug, Args)]
pub(crate) struct ListTokens {
    #[command(flatten)]
    data: DataArgs,
    /// One JSON array
    #[arg(long)]
    json: bool,
}

/// One token of a data folder.
#[derive(Debug, Args)]
pub(crate) struct OneToken {
    /// The token's name
    name: UserName,
    #[command(flatten)]
    data: DataArgs,
}

/// Runs `vitalwire token`.
///
/// # Errors
/// When the registry refuses; the message says what to do.
pub(crate) fn run(command: TokenCommand, out: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    match command {
        TokenCommand::Add(token) => add(token, out)?,
        TokenCommand::Remove(OneToken { name, data }) => {
            data.open()?.remove_token(&name)?;
            writeln!(out, "Removed {name}.")?;
        }
        TokenCommand::List(ListTokens { data, json }) => list(&data.open()?.tokens()?, json, &data, out)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn add(
    AddToken { name, role: role_name, devices, lasts, data }: AddToken,
    out: &mut Output<'_>,
) -> anyhow::Result<()> {
    let (role, now) = (role(role_name, devices)?, SystemTime::now());
    let ends = now + lasts.min(2 * TOKEN_LASTS_MAX);
    let registry = data.open()?;
    registry.check_new_token(&name, &role, &(now..ends))?;
    let secret = TokenSecret::generate()?;
    note!("The token {name}, not shown again:");
    out.show_secret(format_args!("{}\n", secret.expose()))?;
    registry.add_token(&name, &role, &secret, now..ends)?;
    note!("It ends {}.", humantime::format_rfc3339_seconds(ends));
    Ok(())
}

/// A token as scripts see it.
#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    role: &'static str,
    /// The devices that it sees; absent when it sees all.
    #[serde(skip_serializing_if = "Option::is_none")]
    devices: Option<Vec<&'a str>>,
    ends: String,
    ended: bool,
}

impl<'a> Listed<'a> {
    fn of(token: &'a ApiToken, now: SystemTime) -> Self {
        let devices =
            token.role.scope().named().map(|devices| devices.iter().map(DeviceId::as_str).collect());
        let (ends, ended) =
            (humantime::format_rfc3339_seconds(token.ends_at).to_string(), token.ends_at <= now);
        Self { name: token.name.as_str(), role: token.role.name(), devices, ends, ended }
    }
}

fn list(tokens: &[ApiToken], json: bool, data: &DataArgs, out: &mut Output<'_>) -> anyhow::Result<()> {
    let now = SystemTime::now();
    let listed: Vec<Listed<'_>> = tokens.iter().map(|token| Listed::of(token, now)).collect();
    if json {
        writeln!(out, "{}", serde_json::to_string(&listed)?)?;
        return Ok(());
    }
    if listed.is_empty() {
        note!("No tokens yet. Make one:");
        note!("  vitalwire token add NAME --role reader{}", data.flags());
        return Ok(());
    }
    let width = listed.iter().map(|token| token.name.len()).max().unwrap_or(0).max("TOKEN".len());
    writeln!(out, "{:width$}  ROLE       ENDS                   DEVICES", "TOKEN")?;
    for Listed { name, role, devices, ends, ended } in listed {
        let devices = devices.map_or("all".to_owned(), |devices| devices.join(" "));
        let ends = if ended { "ended" } else { ends.as_str() };
        writeln!(out, "{name:width$}  {role:9}  {ends:21}  {devices}")?;
    }
    Ok(())
}
