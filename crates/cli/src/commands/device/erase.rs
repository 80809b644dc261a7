//! `vitalwire device erase`: asks for the erasure of all that a device sent, and tells how it ended. Erases nothing itself:
//! the readings lie with the server.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use vitalwire_access::DeviceId;
use vitalwire_registry::{ErasureInfo, Registry};

use super::listing::erasure_text;
use crate::args::DataArgs;
use crate::output::{Output, even_if_closed, note};
use crate::terminal;

/// How long the server is waited for.
const SERVER_WAITED_FOR: Duration = Duration::from_secs(5);
/// How often it is asked about.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// A device whose readings are to be erased.
#[derive(Debug, Args)]
pub(crate) struct EraseDevice {
    /// The device's name; it need not be enrolled any longer
    id: DeviceId,
    /// Do not ask whether this is meant
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    data: DataArgs,
}

/// Asks for the erasure, and waits a while for the server.
pub(super) fn erase(args: &EraseDevice, out: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    let registry = args.data.open()?;
    if !args.yes {
        confirm(&args.id)?;
    }
    let asked = registry.request_erasure(&args.id)?;
    note!("{} is revoked; all it sent is to be erased. Waiting for the server …", args.id);
    let erasure = wait(&registry, asked)?;
    even_if_closed(writeln!(out, "{}", erasure_text(&erasure)))?;
    if erasure.done.is_none() {
        let id = &args.id;
        let data = args.data.flags();
        note!(
            "No server has done it within {} s. If none runs on this folder, the next start",
            SERVER_WAITED_FOR.as_secs()
        );
        note!("of `vitalwire serve{data}` does it. This tells when:");
        note!("  vitalwire device show {id}{data}");
        note!("Until then no one can be enrolled as {id}.");
    }
    Ok(ExitCode::SUCCESS)
}

fn confirm(id: &DeviceId) -> anyhow::Result<()> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        bail!("erasing {id} cannot be undone: say --yes when this is meant");
    }
    terminal::prompt(&format!(
        "This erases all that {id} ever sent, and cannot be undone.\nType its name to go on: "
    ))?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).context("cannot read the terminal")?;
    if answer.trim() != id.as_str() {
        bail!("that is not {id}; nothing was changed");
    }
    Ok(())
}

fn wait(registry: &Registry, asked: ErasureInfo) -> anyhow::Result<ErasureInfo> {
    let end = Instant::now() + SERVER_WAITED_FOR;
    let mut erasure = asked;
    while erasure.done.is_none() && Instant::now() < end {
        std::thread::sleep(POLL_INTERVAL);
        if let Some(now) = registry.erasure(&erasure.device)? {
            erasure = now;
        }
    }
    Ok(erasure)
}
