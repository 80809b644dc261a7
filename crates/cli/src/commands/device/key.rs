//! Keys as a person gets them: when they are new, and again on purpose for devices that speak TLS.

use std::io::IsTerminal;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use clap::Args;
use vitalwire_access::DeviceId;
use vitalwire_registry::{
    DeviceKey, FreshKey, Link, LinkKeys, PreviousLink, Protocol, ROTATION_OVERLAP, Registry,
};
use zeroize::Zeroizing;

use super::OneDevice;
use crate::args::{DataArgs, ProtocolName};
use crate::label::{self, Label};
use crate::output::{NotShown, Output, OutputError, note};

const SHOWN_BUT_NOT_STORED: &str = "the key above was shown but not stored: do not use it";

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

/// Shows a fresh key, then enrols the device with it.
pub(super) fn add(add: AddDevice, out: &mut Output<'_>) -> anyhow::Result<()> {
    let OneDevice { id, data } = add.device;
    let registry = data.open_to_enrol()?;
    let fresh = FreshKey::generate(add.protocol.into())?;
    registry.check_enrol(&id, &fresh)?;
    let key = fresh.key();
    show(&id, &key, out)?;
    registry.enrol(&id, &fresh).context(SHOWN_BUT_NOT_STORED)?;
    match &key {
        DeviceKey::Tls(links) => {
            note!("Enrolled {id}. Write identity and PSK into the device.");
            draw_code(&id, &links.current, &data)
        }
        DeviceKey::AesCbc(_) => {
            note!("Enrolled {id}. Write key and IV into the device; they are not shown again.");
            Ok(())
        }
    }
}

/// Shows a fresh key, then gives it to the device.
pub(super) fn rotate(rotate: RotateDevice, out: &mut Output<'_>) -> anyhow::Result<()> {
    let OneDevice { id, data } = rotate.device;
    let registry = data.open()?;
    let protocol = registry.device(&id)?.protocol;
    if protocol == Protocol::AesCbc && rotate.overlap.is_some() {
        bail!(
            "{id} speaks AES-CBC frames, which do not say which key they are under: its old key stops working at \
             once. Leave --overlap out"
        );
    }
    let (fresh, overlap) = (FreshKey::generate(protocol)?, rotate.overlap.unwrap_or(ROTATION_OVERLAP));
    registry.check_rotation(&id, &fresh, overlap)?;
    let key = fresh.key();
    show(&id, &key, out)?;
    let previous = registry.rotate_to(&id, &fresh, overlap).context(SHOWN_BUT_NOT_STORED)?;
    match &key {
        DeviceKey::Tls(links) => {
            note!("{id} has a fresh key: write identity and PSK into the device.");
            note!("{}", old_key(previous.as_ref()));
            draw_code(&id, &links.current, &data)
        }
        DeviceKey::AesCbc(_) => {
            note!(
                "{id} has a fresh key, which is not shown again. The old one stops working within a second."
            );
            Ok(())
        }
    }
}

/// A key that is not stored yet; after an error it must not be.
fn show(id: &DeviceId, key: &DeviceKey, out: &mut Output<'_>) -> Result<(), NotShown> {
    match key {
        DeviceKey::Tls(links) => out.show_secret(format_args!("{}", lines(&links.current).as_str())),
        DeviceKey::AesCbc(secret) => out.show_secret(format_args!("{}\n", label::key_line(id, secret))),
    }
}

fn old_key(previous: Option<&PreviousLink>) -> String {
    match previous {
        Some(previous) => format!(
            "The old key works until the new one is first used, at most until {}.",
            humantime::format_rfc3339_seconds(previous.valid_until)
        ),
        None => "The old key stops working within a second.".to_owned(),
    }
}

/// Prints identity and PSK.
pub(super) fn psk(OneDevice { id, data }: OneDevice, out: &mut Output<'_>) -> anyhow::Result<()> {
    let links = links(&data.open()?, &id)?;
    note_pending(&id, &links);
    Ok(print_lines(&links.current, out)?)
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
    if let Some(previous) = links.previous.as_ref().filter(|old| SystemTime::now() < old.valid_until) {
        note!("{id} is being rotated; this is its new key. {}", old_key(Some(previous)));
    }
}

/// The code for the person at a terminal, last, so that all of it is on the screen. A log file should not get the key once
/// more.
fn draw_code(id: &DeviceId, link: &Link, data: &DataArgs) -> anyhow::Result<()> {
    if std::io::stderr().is_terminal() {
        let label = Label::screen(&[&label::text(link)])?;
        match label::misfit(&label) {
            Some(words) => {
                note!("{words} Into a file: vitalwire device label {id} --svg {id}.svg{}", data.flags());
            }
            None => note!("{}", label.terminal(true).trim_end_matches('\n')),
        }
    }
    Ok(())
}

/// Identity and PSK, for scripts.
pub(super) fn print_lines(link: &Link, out: &mut Output<'_>) -> Result<(), OutputError> {
    write!(out, "{}", lines(link).as_str())
}

fn lines(link: &Link) -> Zeroizing<String> {
    Zeroizing::new(format!("identity: {}\npsk: {}\n", link.id, label::key_digits(link.psk.bytes()).as_str()))
}
