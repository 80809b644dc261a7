//! `vitalwire config`: shows the settings of `serve`. Changes nothing.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::config::{self, Layers, Names, Origin, Setting, SettingArgs};
use crate::output::Output;

/// Columns of the list.
const WIDTH: usize = 80;

/// The commands of `vitalwire config`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// List every setting: value, where it comes from, and what happens at it
    #[command(after_help = "\
Examples:
  vitalwire config show --data ./data
  vitalwire config show --data ./data --changed
  vitalwire config show --data ./data --json | jq '.[] | select(.unit == \"ms\")'
  vitalwire config show --defaults > vitalwire.toml

It takes the flags and variables of `vitalwire serve`, and shows what serve
would do with them. A setting's key is its place in vitalwire.toml:
mqtt.queued_messages_max is queued_messages_max below [mqtt], the flag
--mqtt-queued-messages-max and VITALWIRE_MQTT_QUEUED_MESSAGES_MAX.")]
    Show(ShowConfig),
}

/// What is shown.
#[derive(Debug, Args)]
pub(crate) struct ShowConfig {
    /// A commented vitalwire.toml with all defaults instead
    #[arg(long, conflicts_with_all = ["json", "changed"])]
    defaults: bool,
    /// Only what is not left at its default
    #[arg(long)]
    changed: bool,
    /// One JSON array
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingArgs<false>,
}

/// Runs `vitalwire config`.
///
/// # Errors
/// When the settings cannot be read.
pub(crate) fn run(command: ConfigCommand, out: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    let ConfigCommand::Show(show) = command;
    if show.defaults {
        write!(out, "{}", config::template())?;
        return Ok(ExitCode::SUCCESS);
    }
    let layers = Layers::load(&show.settings)?;
    let wanted = layers.list().filter(|(.., origin)| !show.changed || **origin != Origin::Default);
    let wanted = wanted.map(Shown::from);
    if show.json {
        writeln!(out, "{}", serde_json::to_string(&wanted.collect::<Vec<_>>())?)?;
    } else {
        for shown in wanted {
            write!(out, "{}", shown.for_people())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A setting as scripts see it.
#[derive(Serialize)]
struct Shown {
    key: &'static str,
    /// None when it is not set; `unset` says what holds then.
    value: Option<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    unit: &'static str,
    source: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    unset: &'static str,
    about: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    at_limit: &'static str,
    flag: String,
    variable: &'static str,
}

impl From<(&'static Setting, &'static Names, Option<String>, &Origin)> for Shown {
    fn from(
        (setting, names, value, origin): (&'static Setting, &'static Names, Option<String>, &Origin),
    ) -> Self {
        Self {
            key: setting.key,
            value,
            unit: setting.unit.symbol(),
            source: origin.to_string(),
            unset: setting.unset,
            about: setting.about,
            at_limit: setting.at_limit,
            flag: format!("--{}", names.flag),
            variable: &names.variable,
        }
    }
}

impl Shown {
    /// The value, where it comes from, and below it what it is.
    fn for_people(&self) -> String {
        let Self { key, value, unit, source, unset, about, at_limit, .. } = self;
        let value = match value {
            Some(value) => format!("{value} {unit}"),
            None => format!("({unset})"),
        };
        let about = match *at_limit {
            "" => format!("{about}."),
            at_limit => format!("{about}. At it: {}.", config::lowercase(at_limit)),
        };
        let mut text = format!("{key} = {}   [{source}]\n", value.trim_end());
        for line in config::wrap(&about, WIDTH - 4) {
            text += &format!("    {line}\n");
        }
        text
    }
}
