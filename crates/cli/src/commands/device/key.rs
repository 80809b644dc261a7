//! Keys as a person gets them: when they are new, and again on purpose for devices that speak TLS.

use std::io::IsTerminal;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use vitalwire_access::DeviceId;
use vitalwire_protocol::CbcSecret;
use vitalwire_registry::{DeviceKey, Link, LinkKeys, Protocol, ROTATION_OVERLAP, Registry};

use super::OneDevice;
use crate::label::{self, Label};

/// A protocol, as written on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProtocolName {
    /// TLS 1.3 with a pre-shared key: authenticated, acknowledged
    Tls,
    /// The paper's frames: confidential only, for devices that cannot be updated
    AesCbc,
}

/// A new device.
#[derive(Debug, Args)]
pub(crate) struct AddDevice {
    #[command(flatten)]
    device: OneDevice,
    /// What the device speaks; it never falls back to another
    #[arg(long, value_enum, default_value = "tls")]
    protocol: ProtocolName,
}

/// A device that gets a fresh key.
#[derive(Debug, Args)]
pub(crate) struct RotateDevice {
    #[command(flatten)]
    device: OneDevice,
    /// How long the old key of a TLS device works, unless the new one is used before; 0s ends it at once [default: 7d]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    overlap: Option<Duration>,
}

/// Enrols a device and prints its key.
pub(super) fn add(add: AddDevice) -> anyhow::Result<()> {
    let OneDevice { id, data } = add.device;
    let registry = data.open()?;
    match add.protocol {
        ProtocolName::Tls => {
            let link = registry.add_tls_device(&id)?;
            eprintln!("Enrolled {id}. This is its label: write identity and PSK into the device.");
            print_link(&link)
        }
        ProtocolName::AesCbc => {
            let secret = registry.add_cbc_device(&id, None)?;
            eprintln!(
                "Enrolled {id}. This is its key; it is not shown again. Write key and IV into the device:"
            );
            println!("{}", key_file_line(&id, &secret));
            Ok(())
        }
    }
}

/// Gives a device a fresh key and prints it.
pub(super) fn rotate(rotate: RotateDevice) -> anyhow::Result<()> {
    let OneDevice { id, data } = rotate.device;
    let registry = data.open()?;
    let frames = registry.device(&id).is_ok_and(|device| device.protocol == Protocol::AesCbc);
    if frames && rotate.overlap.is_some() {
        bail!(
            "{id} speaks AES-CBC frames, which do not say which key they are under: its old key stops working at \
             once. Leave --overlap out"
        );
    }
    match registry.rotate_device(&id, rotate.overlap.unwrap_or(ROTATION_OVERLAP))? {
        DeviceKey::AesCbc(secret) => {
            eprintln!(
                "{id} has a fresh key; the old one stops working within a second. It is not shown again:"
            );
            println!("{}", key_file_line(&id, &secret));
            Ok(())
        }
        DeviceKey::Tls(links) => {
            eprintln!("{id} has a fresh key: write identity and PSK into the device. {}", old_key(&links));
            print_link(&links.current)
        }
    }
}

fn old_key(links: &LinkKeys) -> String {
    match &links.previous {
        Some(previous) => format!(
            "The old key works until the new one is first used, and until {} at the latest.",
            humantime::format_rfc3339_seconds(previous.valid_until)
        ),
        None => "The old key stops working within a second.".to_owned(),
    }
}

/// Prints identity and PSK.
pub(super) fn psk(OneDevice { id, data }: OneDevice) -> anyhow::Result<()> {
    let links = links(&data.open()?, &id)?;
    note_pending(&id, &links);
    print_lines(&links.current);
    Ok(())
}

/// The links of a device that speaks TLS.
pub(super) fn links(registry: &Registry, id: &DeviceId) -> anyhow::Result<LinkKeys> {
    // Asked first, so that no one is told to have seen a key that was not shown.
    if registry.device(id)?.protocol == Protocol::AesCbc {
        bail!(
            "{id} speaks AES-CBC frames and has no PSK; its key was shown when it was made, and \
             `vitalwire device rotate {id}` makes another"
        );
    }
    let key = registry.device_key(id)?;
    key.links().cloned().with_context(|| format!("{id} was given another protocol meanwhile; try again"))
}

/// Tells that a rotation is pending, if one is.
pub(super) fn note_pending(id: &DeviceId, links: &LinkKeys) {
    if links.previous.as_ref().is_some_and(|previous| SystemTime::now() < previous.valid_until) {
        eprintln!("{id} is being rotated; this is its new key. {}", old_key(links));
    }
}

/// A code for the person at the terminal, and two lines for scripts.
fn print_link(link: &Link) -> anyhow::Result<()> {
    // Only to a terminal: a log file should not get the key once more.
    if std::io::stderr().is_terminal() {
        eprint!("{}", Label::plain(&label::text(link))?.terminal(true));
    }
    print_lines(link);
    Ok(())
}

/// Identity and PSK, for scripts.
pub(super) fn print_lines(link: &Link) {
    println!("identity: {}", link.id);
    println!("psk: {}", label::key_digits(link.psk.bytes()).as_str());
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
