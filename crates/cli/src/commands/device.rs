//! `vitalwire device`: enrol, list, re-key, revoke and erase devices.

mod erase;
mod key;
mod label;
mod links;
mod listing;
mod provision;

use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use vitalwire_access::DeviceId;

use crate::args::DataArgs;
use crate::output::{Output, note};

/// The commands of `vitalwire device`.
#[derive(Debug, Subcommand)]
pub(crate) enum DeviceCommand {
    /// Enrol a device and print its key
    #[command(after_help = "\
Examples:
  vitalwire device add bed_07 --data ./data
  vitalwire device add old_01 --protocol aes-cbc --data ./data >> KEYS.txt
  vitalwire device provision bed_07 --uf2 bed_07.uf2 --data ./data

A TLS device, which is the default, gets two lines on standard output, identity
and PSK, and on a terminal its label as a QR code. An AES-CBC device gets one
line of the paper's key file, { \"id\":…, \"key\":…, \"iv\":… }, once. Names are 1 to
64 of A-Z a-z 0-9 _ -. A running server knows the device within a second.")]
    Add(key::AddDevice),
    /// Print what a TLS device proves itself with: two lines, identity and PSK
    #[command(after_help = "\
Example, a connection by hand:
  vitalwire device psk bed_07 --data ./data
  openssl s_client -connect 127.0.0.1:9998 -tls1_3 \\
      -ciphersuites TLS_AES_128_GCM_SHA256 -psk_identity <identity> -psk <psk>

The audit log tells who saw the key.")]
    Psk(OneDevice),
    /// Print names, identities and PSKs of TLS devices, as `simulate fleet --links` reads them
    #[command(after_help = "\
Examples:
  vitalwire device links --file LINKS.txt --data ./data
  vitalwire device links bed_07 bed_08 --file LINKS.txt --data ./data
  vitalwire simulate fleet --protocol tls --links LINKS.txt --target ward:9998

One `name identity psk` a line. The file is new and yours alone (mode 0600):
anyone who can read it can speak as the devices. The audit log tells who saw
the keys.")]
    Links(links::LinksOfDevices),
    /// Show a device's label as QR codes, or draw it into files: its key, or what sets it up
    #[command(after_help = "\
Examples:
  vitalwire device label bed_07 --data ./data
  vitalwire device label bed_07 --svg bed_07.svg --png bed_07.png --data ./data
  vitalwire device label bed_07 --setup --svg bed_07-setup.svg --data ./data
  vitalwire device label bed_07 --setup --wpa2 --data ./data

The code says vitalwire:1?link=<identity>&psk=<psk>. Anyone who reads it can
speak as the device: files are made for you alone (mode 0600), and the label
belongs into the device, not on its outside. The audit log tells who saw it.

With --setup, for devices of both protocols, the code says
http://192.168.4.1/#<setup key>: a phone in the device's own network Med_IoT
opens the configuration page with it. With --wpa2, for devices that were
provisioned so, another code before it joins that network. Someone who reads
these can set the device up again, and do nothing else.")]
    Label(label::LabelDevice),
    /// Write what makes a piece of hardware this device: one sector of its flash
    #[command(after_help = "\
Examples:
  vitalwire device provision bed_07 --uf2 bed_07.uf2 --data ./data
  vitalwire device provision bed_07 --bin bed_07.bin --data ./data
  vitalwire simulate device --identity bed_07.bin --setup   # without hardware

Copy the .uf2 file to the drive RPI-RP2 of a Pico whose BOOTSEL was held. The
sector holds link id and PSK (or key and IV), the setup key, fresh random bytes
for the device, and with --wpa2 the password of its own network. Anyone who
reads the file can speak as the device: it is made for you alone (mode 0600);
remove it when the device has it. The audit log tells who saw the key. After a
rotation, provision and label again: the setup key changes with the key.")]
    Provision(provision::ProvisionDevice),
    /// List the enrolled devices
    #[command(after_help = "Example:\n  vitalwire device list --data ./data --json | jq '.[].id'")]
    List(ListDevices),
    /// Show one device, without its key; or how far the erasure of a former one is
    #[command(after_help = "Example:\n  vitalwire device show bed_07 --data ./data")]
    Show(OneDevice),
    /// Give a device a fresh key and print it
    #[command(after_help = "\
Examples:
  vitalwire device rotate bed_07 --data ./data                # within 7 days
  vitalwire device rotate bed_07 --overlap 0s --data ./data   # at once

A TLS device may use its old key until it first connects with the new one, or
until the overlap is over; rotating again meanwhile drops the oldest. An
AES-CBC device must get its new key at once: the old one stops working within a
second.")]
    Rotate(key::RotateDevice),
    /// Take a device out of service; a live connection of it is closed within a second
    #[command(after_help = "\
Example:
  vitalwire device revoke bed_07 --data ./data

What it sent stays; `vitalwire device erase` removes that too.")]
    Revoke(OneDevice),
    /// Revoke a device and erase all that it ever sent
    #[command(after_help = "\
Examples:
  vitalwire device erase bed_07 --data ./data
  vitalwire device erase bed_07 --yes --data ./data             # from a script

The server erases and says what shows it: at once when it runs, else at its
next start. No one can be enrolled under the name before. What applications
have received, and backups, are beyond its reach. The name stays in the audit
log.")]
    Erase(erase::EraseDevice),
    /// Enrol the devices of a key file (DEVICES_KEYS.txt), all or none
    #[command(after_help = "\
Example:
  vitalwire device import DEVICES_KEYS.txt --data ./data

One JSON object a line:
  { \"id\":\"iot_med_dev_01\", \"key\":\"1234567890123456\", \"iv\":\"AAAAAAAAAAAAAAAA\"}
Devices that are enrolled with the same key stay as they are; a different key
is an error, and nothing is imported. Afterwards the file is the only unsealed
copy of the keys: put it away safely or delete it.")]
    Import(ImportDevices),
}

/// One device of a data folder.
#[derive(Debug, Args)]
pub(crate) struct OneDevice {
    /// The device's name, as it appears in topics
    id: DeviceId,
    #[command(flatten)]
    data: DataArgs,
}

/// All devices of a data folder.
#[derive(Debug, Args)]
pub(crate) struct ListDevices {
    #[command(flatten)]
    data: DataArgs,
    /// One JSON array
    #[arg(long)]
    json: bool,
}

/// A key file, and the data folder that gets it.
#[derive(Debug, Args)]
pub(crate) struct ImportDevices {
    /// The key file
    file: PathBuf,
    #[command(flatten)]
    data: DataArgs,
}

/// Runs `vitalwire device`.
///
/// # Errors
/// When the registry refuses; its message says what to do.
pub(crate) fn run(command: DeviceCommand, out: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    match command {
        DeviceCommand::Add(add) => key::add(add, out)?,
        DeviceCommand::Psk(device) => key::psk(device, out)?,
        DeviceCommand::Links(devices) => links::list(&devices, out)?,
        DeviceCommand::Label(label) => label::draw(&label, out)?,
        DeviceCommand::Provision(device) => provision::provision(&device)?,
        DeviceCommand::Rotate(rotate) => key::rotate(rotate, out)?,
        DeviceCommand::Revoke(OneDevice { id, data }) => {
            data.open()?.revoke_device(&id)?;
            writeln!(out, "Revoked {id}: its key is forgotten, its connection ends within a second.")?;
        }
        DeviceCommand::Erase(erase) => return erase::erase(&erase, out),
        DeviceCommand::Show(OneDevice { id, data }) => listing::show(&data.open()?, &id, out)?,
        DeviceCommand::List(ListDevices { data, json }) => {
            listing::list(&data.open()?.devices()?, json, &data, out)?
        }
        DeviceCommand::Import(import) => import_file(&import, out)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn import_file(import: &ImportDevices, out: &mut Output<'_>) -> anyhow::Result<()> {
    let path = import.file.display();
    let registry = import.data.open_to_enrol()?;
    let file = File::open(&import.file).with_context(|| format!("cannot open {path}"))?;
    let report = registry.import_paper_keys(file).with_context(|| path.to_string())?;
    writeln!(out, "{} added, {} unchanged", report.added, report.unchanged)?;
    note!("The keys are sealed in {}; put {path} away safely or delete it.", import.data.data.display());
    Ok(())
}
