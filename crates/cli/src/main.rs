//! The `vitalwire` program. Reads the command line, sets up the log and hands over to one command.

mod args;
mod commands;
mod config;
mod data;
mod demo;
mod label;
mod limits;
mod listen;
mod log;
mod mqtt;
mod mqtt_feed;
mod pico;
mod private_file;
mod pulse;
mod safety;
mod secrets;
mod terminal;
mod wave;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = args::Cli::parse();
    match commands::run(cli) {
        Ok(code) => code,
        // The reader of our output went away (`vitalwire … | head`): that is its right.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vitalwire: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}
