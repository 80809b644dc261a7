//! `vitalwire device links`: the keys of TLS devices in the form that `simulate fleet` reads.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use vitalwire_access::DeviceId;
use vitalwire_registry::Protocol;
use zeroize::Zeroizing;

use super::key::links;
use crate::args::DataArgs;
use crate::label::key_digits;
use crate::output::{Output, note};
use crate::private_file;

/// The devices whose keys are wanted.
#[derive(Debug, Args)]
pub(crate) struct LinksOfDevices {
    /// Names of devices [default: all that speak TLS]
    ids: Vec<DeviceId>,
    /// Write them into a new file of mode 0600 instead of standard output
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    data: DataArgs,
}

/// Prints or writes them.
pub(super) fn list(args: &LinksOfDevices, out: &mut Output<'_>) -> anyhow::Result<()> {
    let registry = args.data.open()?;
    let ids = if args.ids.is_empty() {
        let devices = registry.devices()?.into_iter().filter(|device| device.protocol == Protocol::Tls);
        devices.map(|device| device.id).collect()
    } else {
        args.ids.clone()
    };
    if ids.is_empty() {
        bail!("no device speaks TLS yet: vitalwire device add NAME{}", args.data.flags());
    }
    let mut lines = Zeroizing::new(String::new());
    for id in &ids {
        let link = links(&registry, id)?.current;
        let psk = key_digits(link.psk.bytes());
        *lines += &*Zeroizing::new(format!("{id} {} {}\n", link.id, psk.as_str()));
    }
    match &args.file {
        None => write!(out, "{}", lines.as_str())?,
        Some(path) => {
            private_file::write_new(path, lines.as_bytes())?;
            note!("Wrote {}: {} devices. Who can read it can speak as them.", path.display(), ids.len());
        }
    }
    Ok(())
}
