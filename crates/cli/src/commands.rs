//! The tree of commands, and one module for each. Each has its arguments, with the help that teaches them, and a `run`.

pub(crate) mod alarms;
pub(crate) mod audit;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod demo;
pub(crate) mod device;
pub(crate) mod doctor;
pub(crate) mod emqx;
pub(crate) mod healthcheck;
pub(crate) mod history;
pub(crate) mod init;
pub(crate) mod journal;
pub(crate) mod man;
pub(crate) mod master_key;
pub(crate) mod mqtt;
pub(crate) mod patient;
pub(crate) mod serve;
pub(crate) mod simulate;
pub(crate) mod subscribe;
pub(crate) mod token;
pub(crate) mod user;
pub(crate) mod verify_capture;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::args::LogArgs;
use crate::log;
use crate::output::Output;

const OVERVIEW: &str = "\
First steps:
  vitalwire demo                              five simulated patients, live
  vitalwire init --data ./data                make a data folder, fresh secrets
  vitalwire device add bed_07 --data ./data   enrol a device, print its key
  vitalwire user add nurse --role reader --generate --data ./data
  vitalwire serve --data ./data               run gateway and MQTT broker
  vitalwire subscribe --url mqtt://nurse@127.0.0.1:1883

Every setting of `serve` can stand in vitalwire.toml, in the environment as
VITALWIRE_…, or be a flag; flags win over the environment, the environment over
the file. `vitalwire config show` lists them.

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
    Serve(serve::ServeArgs),
    /// Make a data folder with fresh secrets
    Init(init::InitArgs),
    /// Enrol, list, re-key, revoke and erase devices
    #[command(subcommand)]
    Device(device::DeviceCommand),
    /// Say who wears a device, show it, move and discharge patients
    #[command(subcommand)]
    Patient(patient::PatientCommand),
    /// Add, list and remove the users of MQTT and dashboard
    #[command(subcommand)]
    User(user::UserCommand),
    /// Add, list and remove the tokens of programs that ask the dashboard
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Keep the users of an EMQX that carries our topics
    #[command(subcommand)]
    Emqx(emqx::EmqxCommand),
    /// Rotate the key that all devices' keys are sealed under
    #[command(subcommand)]
    MasterKey(master_key::MasterKeyCommand),
    /// Show and verify the log of who enrolled, re-keyed, revoked, erased and logged in
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Show, acknowledge, pause and adjust alarms; report how good they are
    #[command(subcommand)]
    Alarms(alarms::AlarmsCommand),
    /// Show what a device measured, out of the journal
    History(history::HistoryArgs),
    /// Show how the journal is; say that its clock is right
    #[command(subcommand)]
    Journal(journal::JournalCommand),
    /// Show the sessions of the MQTT broker; end one
    #[command(subcommand)]
    Mqtt(mqtt::MqttCommand),
    /// Run software devices against a gateway
    #[command(subcommand)]
    Simulate(simulate::SimulateCommand),
    /// Watch what arrives, as an MQTT client
    Subscribe(subscribe::SubscribeArgs),
    /// Show every setting of serve: its value, where it comes from, and what happens at it
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Check ports, files, permissions, clock and limits, and say what to do
    Doctor(doctor::DoctorArgs),
    /// Ask a running server whether it is ready
    Healthcheck(healthcheck::HealthcheckArgs),
    /// Tell what in captured traffic was not encrypted
    VerifyCapture(verify_capture::VerifyCaptureArgs),
    /// Print the script by which a shell completes commands and flags
    Completions(completions::CompletionsArgs),
    /// Write the help pages as a manual for man(1)
    Man(man::ManArgs),
}

/// Runs what the command line asks for; its results go to `out`.
///
/// # Errors
/// Whatever the command says; the message tells a person what to do.
pub(crate) fn run(cli: Cli, out: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    // A live view owns the screen; log lines would tear it.
    let level = match &cli.command {
        Command::Serve(_) => "info",
        Command::Demo(args) if args.is_live() => "off",
        _ => "warn",
    };
    log::start(&cli.log, level)?;
    match cli.command {
        Command::Demo(args) => demo::run(&args, out),
        Command::Serve(args) => serve::run(&args, cli.log.log_format, out),
        Command::Init(args) => init::run(&args, out),
        Command::Device(command) => device::run(command, out),
        Command::Patient(command) => patient::run(command, out),
        Command::User(command) => user::run(command, out),
        Command::Token(command) => token::run(command, out),
        Command::Emqx(command) => emqx::run(command, out),
        Command::MasterKey(command) => master_key::run(command, out),
        Command::Alarms(command) => alarms::run(command, out),
        Command::Audit(command) => audit::run(command, out),
        Command::History(args) => history::run(&args, out),
        Command::Journal(command) => journal::run(command, out),
        Command::Mqtt(command) => mqtt::run(command, out),
        Command::Simulate(command) => simulate::run(command, out),
        Command::Subscribe(args) => subscribe::run(&args, out),
        Command::Config(command) => config::run(command, out),
        Command::Doctor(args) => doctor::run(&args, out),
        Command::Healthcheck(args) => healthcheck::run(&args, out),
        Command::VerifyCapture(args) => verify_capture::run(&args, out),
        Command::Completions(args) => completions::run(&args, Cli::command(), out),
        Command::Man(args) => man::run(&args, Cli::command(), out),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn command_tree_is_consistent() {
        Cli::command().debug_assert();
    }

    /// Every command that can be run, and those that only group others.
    fn all(command: &clap::Command) -> Vec<&clap::Command> {
        std::iter::once(command).chain(command.get_subcommands().flat_map(all)).collect()
    }

    #[test]
    fn every_help_page_fits_80_columns_as_it_was_written() {
        let mut tree = Cli::command().term_width(80);
        tree.build();
        let mut bad = Vec::new();
        for command in all(&tree) {
            let name = command.get_name();
            let written = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for page in [command.clone().render_help(), command.clone().render_long_help()] {
                let page = page.to_string();
                let wide = page.lines().filter(|line| line.chars().count() > 80);
                let broken = written.lines().filter(|line| !page.lines().any(|shown| shown == *line));
                bad.extend(wide.chain(broken).map(|line| format!("{name}: {line}")));
            }
        }
        assert!(bad.is_empty(), "longer than 80 columns: {bad:#?}");
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
