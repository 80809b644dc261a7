//! `vitalwire device`: enrol, list, re-key and revoke devices. Prints a key only when it is new, and once.

use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde::Serialize;
use vitalwire_protocol::CbcSecret;
use vitalwire_registry::{DeviceId, DeviceInfo, ROTATION_OVERLAP};

use crate::args::DataArgs;

/// The commands of `vitalwire device`.
#[derive(Debug, Subcommand)]
pub(crate) enum DeviceCommand {
    /// Enrol a device and print its fresh key, once
    #[command(after_help = "\
Example:
  vitalwire device add bed_07 --data ./data

Standard output gets one line of the paper's key file, { \"id\":…, \"key\":…, \"iv\":… }: write key and IV into
the device. Names are 1 to 64 of A-Z a-z 0-9 _ -. A running server knows the device within a second.")]
    Add(OneDevice),
    /// List the enrolled devices
    #[command(after_help = "Example:\n  vitalwire device list --data ./data --json | jq '.[].id'")]
    List(ListDevices),
    /// Show one device, without its key
    #[command(after_help = "Example:\n  vitalwire device show bed_07 --data ./data")]
    Show(OneDevice),
    /// Give a device a fresh key and print it, once; the old key stops working within a second
    #[command(after_help = "Example:\n  vitalwire device rotate bed_07 --data ./data")]
    Rotate(OneDevice),
    /// Take a device out of service; a live connection of it is closed within a second
    #[command(after_help = "Example:\n  vitalwire device revoke bed_07 --data ./data")]
    Revoke(OneDevice),
    /// Enrol the devices of a key file (DEVICES_KEYS.txt), all or none
    #[command(after_help = "\
Example:
  vitalwire device import DEVICES_KEYS.txt --data ./data

One JSON object a line:
  { \"id\":\"iot_med_dev_01\", \"key\":\"1234567890123456\", \"iv\":\"AAAAAAAAAAAAAAAA\"}
Devices that are enrolled with the same key stay as they are; a different key is an error, and nothing is
imported. Afterwards the file is the only unsealed copy of the keys: put it away safely or delete it.")]
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
pub(crate) fn run(command: DeviceCommand) -> anyhow::Result<ExitCode> {
    match command {
        DeviceCommand::Add(OneDevice { id, data }) => {
            let secret = data.open()?.add_cbc_device(&id, None)?;
            eprintln!(
                "Enrolled {id}. This is its key; it is not shown again. Write key and IV into the device:"
            );
            println!("{}", key_file_line(&id, &secret));
        }
        DeviceCommand::Rotate(OneDevice { id, data }) => {
            let key = data.open()?.rotate_device(&id, ROTATION_OVERLAP)?;
            eprintln!(
                "{id} has a fresh key; the old one stops working within a second. It is not shown again:"
            );
            if let Some(secret) = key.cbc_secret() {
                println!("{}", key_file_line(&id, secret));
            }
        }
        DeviceCommand::Revoke(OneDevice { id, data }) => {
            data.open()?.revoke_device(&id)?;
            println!("Revoked {id}: its key is forgotten, its connection ends within a second.");
        }
        DeviceCommand::Show(OneDevice { id, data }) => show(&data.open()?.device(&id)?),
        DeviceCommand::List(ListDevices { data, json }) => list(&data.open()?.devices()?, json)?,
        DeviceCommand::Import(import) => import_file(&import)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A device as scripts see it.
#[derive(Serialize)]
struct Listed<'a> {
    id: &'a str,
    protocol: &'a str,
    enrolled: String,
    key_set: String,
    generation: u32,
}

impl<'a> From<&'a DeviceInfo> for Listed<'a> {
    fn from(device: &'a DeviceInfo) -> Self {
        let time = |at| humantime::format_rfc3339_seconds(at).to_string();
        Self {
            id: device.id.as_str(),
            protocol: device.protocol.as_str(),
            enrolled: time(device.enrolled_at),
            key_set: time(device.key_set_at),
            generation: device.generation,
        }
    }
}

fn show(device: &DeviceInfo) {
    let Listed { id, protocol, enrolled, key_set, generation } = device.into();
    println!("device      {id}");
    println!("protocol    {protocol}");
    println!("enrolled    {enrolled}");
    println!("key set     {key_set}");
    println!("generation  {generation}");
    println!("topics      Pico/{id}/#  vitalwire/v1/{id}/#");
}

fn list(devices: &[DeviceInfo], json: bool) -> anyhow::Result<()> {
    let listed: Vec<Listed<'_>> = devices.iter().map(Listed::from).collect();
    if json {
        println!("{}", serde_json::to_string(&listed)?);
        return Ok(());
    }
    if listed.is_empty() {
        eprintln!("No devices yet: `vitalwire device add NAME` or `vitalwire device import FILE`.");
        return Ok(());
    }
    let width = listed.iter().map(|device| device.id.len()).max().unwrap_or(0).max("DEVICE".len());
    println!("{:width$}  PROTOCOL  ENROLLED              KEY SET               GENERATION", "DEVICE");
    for Listed { id, protocol, enrolled, key_set, generation } in listed {
        println!("{id:width$}  {protocol:8}  {enrolled}  {key_set}  {generation}");
    }
    Ok(())
}

fn import_file(import: &ImportDevices) -> anyhow::Result<()> {
    let path = import.file.display();
    let registry = import.data.open()?;
    let file = File::open(&import.file).with_context(|| format!("cannot open {path}"))?;
    let report = registry.import_paper_keys(file).with_context(|| path.to_string())?;
    println!("{} added, {} unchanged", report.added, report.unchanged);
    eprintln!("The keys are sealed in {}; put {path} away safely or delete it.", import.data.data.display());
    Ok(())
}

/// The paper's key-file line, as `device import` and the paper's own server read it.
fn key_file_line(id: &DeviceId, secret: &CbcSecret) -> String {
    let text = |bytes: &[u8; 16]| serde_json::Value::from(String::from_utf8_lossy(bytes)).to_string();
    format!(r#"{{ "id":"{id}", "key":{}, "iv":{}}}"#, text(secret.key()), text(secret.iv()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_line_has_the_papers_form_and_can_be_imported() {
        let id: DeviceId = "bed_07".parse().unwrap();
        let line = key_file_line(&id, &CbcSecret::new(*b"1234567890123456", *b"AAAAAAAAAAAAAAAA"));
        assert_eq!(line, r#"{ "id":"bed_07", "key":"1234567890123456", "iv":"AAAAAAAAAAAAAAAA"}"#);
        let read = vitalwire_registry::parse_paper_keys(line.as_bytes()).unwrap();
        assert_eq!(read.len(), 1);
    }
}
