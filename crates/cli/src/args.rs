//! The command line: the tree of commands and what each help page teaches. Holds no logic.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands::{audit, demo, device, doctor, history, init, serve, simulate, subscribe, user};

const OVERVIEW: &str = "\
First steps:
  vitalwire demo                                  five simulated patients, live, nothing to set up
  vitalwire init --data ./data                    make a data folder with fresh secrets
  vitalwire device add bed_07 --data ./data       enrol a device, print its key
  vitalwire user add nurse --role reader --generate --data ./data
  vitalwire serve --data ./data                   run the gateway and the MQTT broker
  vitalwire subscribe --url mqtt://nurse@127.0.0.1:1883

Every flag of `serve` can also stand in vitalwire.toml or in the environment as VITALWIRE_…;
flags win over the environment, the environment over the file.

vitalwire is not a medical device.";

/// Carries vital signs from wearable sensors to the people who must see them.
#[derive(Debug, Parser)]
#[command(name = "vitalwire", version, after_help = OVERVIEW, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show everything at once: simulated patients, gateway, broker and a live view of what arrives
    Demo(demo::DemoArgs),
    /// Run the device gateway and the MQTT broker
    Serve(Box<serve::ServeArgs>),
    /// Make a data folder with fresh secrets
    Init(init::InitArgs),
    /// Enrol, list, re-key, revoke and erase devices
    #[command(subcommand)]
    Device(device::DeviceCommand),
    /// Add, list and remove MQTT users
    #[command(subcommand)]
    User(user::UserCommand),
    /// Show and verify the log of who enrolled, re-keyed, revoked, erased and logged in
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Show what a device measured, out of the journal
    History(history::HistoryArgs),
    /// Run software devices against a gateway
    #[command(subcommand)]
    Simulate(simulate::SimulateCommand),
    /// Watch what arrives, as an MQTT client
    Subscribe(subscribe::SubscribeArgs),
    /// Check ports, files, permissions, clock and limits, and say what to do
    Doctor(doctor::DoctorArgs),
}

/// Where the log goes and how much of it there is. It always goes to standard error.
#[derive(Debug, Clone, Args)]
pub(crate) struct LogArgs {
    /// Form of the log lines
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t = LogFormat::Text,
        env = "VITALWIRE_LOG_FORMAT",
        hide_env_values = true,
        help_heading = "Log"
    )]
    pub(crate) log_format: LogFormat,
    /// What is logged: off, error, warn, info, debug, trace, or a filter such as
    /// `info,vitalwire_gateway=debug` [default: RUST_LOG, else info for serve and warn for the rest]
    #[arg(
        long,
        global = true,
        value_name = "LEVEL",
        env = "VITALWIRE_LOG_LEVEL",
        hide_env_values = true,
        help_heading = "Log"
    )]
    pub(crate) log_level: Option<String>,
}

/// Form of the log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Which data folder, and the key that opens it.
#[derive(Debug, Clone, Args)]
pub(crate) struct DataArgs {
    /// The data folder, made by `vitalwire init`
    #[arg(long, value_name = "DIR", env = "VITALWIRE_DATA", hide_env_values = true)]
    pub(crate) data: PathBuf,
    /// The file with the master key [default: a systemd credential, else DIR.master-key]
    #[arg(long, value_name = "FILE", env = "VITALWIRE_MASTER_KEY", hide_env_values = true)]
    pub(crate) master_key: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn command_tree_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example_in_its_help() {
        for command in Cli::command().get_subcommands() {
            let children: Vec<_> = command.get_subcommands().collect();
            let pages = if children.is_empty() { vec![command] } else { children };
            for page in pages {
                let help = page.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("vitalwire "), "help of {} has no example", page.get_name());
            }
        }
    }
}
