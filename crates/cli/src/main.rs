//! The `vitalwire` program. Reads the command line, sets up the log and hands over to one command.

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod args;
mod commands;
mod config;
mod data;
mod demo;
mod deploy;
mod explain;
mod label;
mod limits;
mod listen;
mod log;
mod login_link;
mod mqtt;
mod mqtt_feed;
mod output;
mod page;
mod pico;
mod private_file;
mod processes;
mod rotation;
mod safety;
mod secrets;
mod signals;
mod supervisor;
mod terminal;
mod wave;

use std::process::ExitCode;

use clap::Parser;

use explain::explain;
use output::{Output, OutputError, note};

/// Gives back what an attack took, where the system's allocator keeps it (ARCHITECTURE.md, decision 19).
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = commands::Cli::parse();
    let mut out = Output::stdout();
    let ended = commands::run(cli, &mut out);
    log::finish();
    // What a command found before it failed is shown before the reason.
    let ended = match (ended, out.flush()) {
        (Err(error), _) => Err(error),
        (Ok(code), Err(error)) if error.is_closed() => Ok(code),
        (Ok(_), Err(error)) => Err(error.into()),
        (ended, Ok(())) => ended,
    };
    match ended {
        Ok(code) => code,
        // The reader of our output has what it wanted (`vitalwire … | head`).
        Err(error) if is_closed(&error) => ExitCode::SUCCESS,
        Err(error) => {
            note!("vitalwire: {}", explain(&error));
            ExitCode::FAILURE
        }
    }
}

fn is_closed(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref::<OutputError>()).any(OutputError::is_closed)
}
