//! One module for each command. Each has its arguments, with the help that teaches them, and a `run`.

pub(crate) mod audit;
pub(crate) mod demo;
pub(crate) mod device;
pub(crate) mod doctor;
pub(crate) mod history;
pub(crate) mod init;
pub(crate) mod serve;
pub(crate) mod simulate;
pub(crate) mod subscribe;
pub(crate) mod user;

use std::process::ExitCode;

use crate::args::{Cli, Command};
use crate::log;
use crate::output::Output;

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
        Command::Serve(args) => serve::run(*args, cli.log.log_format, out),
        Command::Init(args) => init::run(&args, out),
        Command::Device(command) => device::run(command, out),
        Command::User(command) => user::run(command, out),
        Command::Audit(command) => audit::run(command, out),
        Command::History(args) => history::run(&args, out),
        Command::Simulate(command) => simulate::run(command, out),
        Command::Subscribe(args) => subscribe::run(&args, out),
        Command::Doctor(args) => doctor::run(&args, out),
    }
}
