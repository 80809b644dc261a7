//! `vitalwire device provision`: the sector of the flash that makes a device the one that was enrolled. It writes files and
//! never speaks to a device; the seed that it draws is in the files and nowhere else.

use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use anyhow::Context;
use clap::Args;
use rand::TryRng;
use rand::rngs::SysRng;
use vitalwire_access::DeviceId;
use vitalwire_device::flash;
use vitalwire_device::identity::{Credentials, Identity, tag_of};
use vitalwire_registry::{DeviceKey, SetupSecrets};
use zeroize::Zeroizing;

use super::key::note_pending;
use crate::args::DataArgs;
use crate::output::note;
use crate::private_file;

/// Bytes of the sector.
const SECTOR_LEN: usize = flash::SECTOR_LEN as usize;
/// What an erased byte reads as.
const ERASED: u8 = 0xff;

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
    let enrolled_s =
        registry.device(id)?.enrolled_at.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let key = registry.device_key(id)?;
    if let Some(links) = key.links() {
        note_pending(id, links);
    }
    let sector = sector(&identity(id, &key, enrolled_s, args.wpa2)?)?;
    if let Some(path) = &args.bin {
        private_file::write_new(path, &*sector)?;
    }
    if let Some(path) = &args.uf2 {
        let address = vitalwire_uf2::FLASH_START + flash::IDENTITY.at;
        let blocks = vitalwire_uf2::blocks(address, &*sector).map(Zeroizing::new);
        let mut file = Zeroizing::new(Vec::with_capacity(2 * SECTOR_LEN));
        blocks.for_each(|block| file.extend_from_slice(&*block));
        private_file::write_new(path, &file)?;
    }
    for path in args.bin.iter().chain(&args.uf2) {
        note!("Wrote {}. Who can read it can speak as {id}.", path.display());
    }
    let wpa2 = if args.wpa2 { " --wpa2" } else { "" };
    note!("Its label for setting it up: vitalwire device label {id} --setup{wpa2}{}", args.data.flags());
    Ok(())
}

fn identity(id: &DeviceId, key: &DeviceKey, enrolled_s: u64, has_password: bool) -> anyhow::Result<Identity> {
    let secrets = SetupSecrets::derive(id, key);
    let mut seed = [0; 32];
    SysRng.try_fill_bytes(&mut seed).context("the operating system gives no random bytes")?;
    let (name, credentials) = match key {
        DeviceKey::Tls(links) => {
            let link = &links.current;
            (link.id.to_string(), Credentials::Link { id: link.id.digits(), psk: *link.psk.bytes() })
        }
        DeviceKey::AesCbc(secret) => {
            (id.to_string(), Credentials::Frames { key: *secret.key(), iv: *secret.iv() })
        }
    };
    let password = has_password.then(|| secrets.access_point_password().try_into()).transpose();
    Ok(Identity {
        name: name.as_str().try_into().context("the name is too long for a device")?,
        setup_key: *secrets.key(),
        seed,
        access_point_password: password.context("the password is too long for a device")?,
        credentials,
        tag: tag_of(id.as_str(), enrolled_s),
    })
}

/// The sector with this identity at its beginning, and erased behind it.
fn sector(identity: &Identity) -> anyhow::Result<Zeroizing<[u8; SECTOR_LEN]>> {
    let mut sector = Zeroizing::new([ERASED; SECTOR_LEN]);
    identity.encode(sector.as_mut_slice()).context("the identity is too long for its sector")?;
    Ok(sector)
}
