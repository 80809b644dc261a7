//! `vitalwire device provision`: the sector of the flash that makes a device the one that was enrolled. It writes files and
//! never speaks to a device.

use std::path::PathBuf;

use clap::Args;
use vitalwire_access::DeviceId;
use vitalwire_label::{identity_sector, identity_uf2};

use super::key::note_pending;
use crate::args::DataArgs;
use crate::output::note;
use crate::private_file;

/// A device, and the files that its identity goes to.
#[derive(Debug, Args)]
pub(crate) struct ProvisionDevice {
    /// The device's name
    id: DeviceId,
    /// Write the sector as it is into a new file, for a programmer, the emulator or the desk device
    #[arg(long, value_name = "FILE", required_unless_present = "uf2")]
    bin: Option<PathBuf>,
    /// Write a new file for the drive of a Pico whose BOOTSEL was held: it replaces this sector and nothing else
    #[arg(long, value_name = "FILE")]
    uf2: Option<PathBuf>,
    /// Give the device's own network a password, which is on its setup label; without, it is open
    #[arg(long)]
    wpa2: bool,
    #[command(flatten)]
    data: DataArgs,
}

/// Writes the identity of a device.
pub(super) fn provision(args: &ProvisionDevice) -> anyhow::Result<()> {
    let id = &args.id;
    let registry = args.data.open()?;
    let enrolled_at = registry.device(id)?.enrolled_at;
    let key = registry.device_key(id)?;
    if let Some(links) = key.links() {
        note_pending(id, links);
    }
    let sector = identity_sector(id, &key, enrolled_at, args.wpa2)?;
    if let Some(path) = &args.bin {
        private_file::write_new(path, &sector)?;
    }
    if let Some(path) = &args.uf2 {
        private_file::write_new(path, &identity_uf2(&sector))?;
    }
    for path in args.bin.iter().chain(&args.uf2) {
        note!("Wrote {}. Who can read it can speak as {id}.", path.display());
    }
    let wpa2 = if args.wpa2 { " --wpa2" } else { "" };
    note!("Its label for setting it up: vitalwire device label {id} --setup{wpa2}{}", args.data.flags());
    Ok(())
}
