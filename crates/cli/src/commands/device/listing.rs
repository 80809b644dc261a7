//! Devices as people and scripts see them. Never shows a key.

use std::time::SystemTime;

use anyhow::bail;
use serde::Serialize;
use vitalwire_access::DeviceId;
use vitalwire_registry::{DeviceInfo, ErasureInfo, Registry, RegistryError};

use crate::args::DataArgs;
use crate::output::{Output, note};

/// A device as scripts see it.
#[derive(Serialize)]
struct Listed<'a> {
    id: &'a str,
    protocol: &'a str,
    enrolled: String,
    key_set: String,
    generation: u32,
    /// The identity that a TLS device shows at its next connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    /// While a rotation is pending: when the old key ends, if the new one is not used before.
    #[serde(skip_serializing_if = "Option::is_none")]
    old_key_until: Option<String>,
}

impl<'a> Listed<'a> {
    fn new(device: &'a DeviceInfo, now: SystemTime) -> Self {
        let pending = device.previous_link_until.filter(|until| now < *until);
        Self {
            id: device.id.as_str(),
            protocol: device.protocol.as_str(),
            enrolled: time(device.enrolled_at),
            key_set: time(device.key_set_at),
            generation: device.generation,
            identity: device.link.map(|link| link.to_string()),
            old_key_until: pending.map(time),
        }
    }
}

fn time(at: SystemTime) -> String {
    humantime::format_rfc3339_seconds(at).to_string()
}

/// Shows one device, or what became of it.
pub(super) fn show(registry: &Registry, id: &DeviceId, out: &mut Output<'_>) -> anyhow::Result<()> {
    let device = match registry.device(id) {
        Err(RegistryError::DeviceUnknown(_)) => return show_erased(registry, id, out),
        device => device?,
    };
    let Listed { id, protocol, enrolled, key_set, generation, identity, old_key_until } =
        Listed::new(&device, SystemTime::now());
    writeln!(out, "device      {id}")?;
    writeln!(out, "protocol    {protocol}")?;
    writeln!(out, "enrolled    {enrolled}")?;
    writeln!(out, "key set     {key_set}")?;
    writeln!(out, "generation  {generation}")?;
    if let Some(identity) = identity {
        writeln!(out, "identity    {identity}")?;
    }
    if let Some(until) = old_key_until {
        writeln!(
            out,
            "rotation    pending: the old key works until the new one is used, at most until {until}"
        )?;
    }
    writeln!(out, "topics      Pico/{id}/#  vitalwire/v1/{id}/#")?;
    Ok(())
}

fn show_erased(registry: &Registry, id: &DeviceId, out: &mut Output<'_>) -> anyhow::Result<()> {
    match registry.erasure(id)? {
        None => bail!(RegistryError::DeviceUnknown(id.clone())),
        Some(erasure) => {
            writeln!(out, "device      {id} is not enrolled")?;
            writeln!(out, "erasure     {}", erasure_text(&erasure))?;
        }
    }
    Ok(())
}

/// How far an erasure is.
pub(super) fn erasure_text(erasure: &ErasureInfo) -> String {
    let asked = time(erasure.requested_at);
    match &erasure.done {
        None => format!("asked for at {asked}; waits for the server"),
        Some(done) => {
            let (at, entries) = (time(done.at), done.entries);
            format!("asked for at {asked}, done at {at}: {entries} entries erased; {}", done.proof)
        }
    }
}

/// Lists devices.
pub(super) fn list(
    devices: &[DeviceInfo],
    json: bool,
    data: &DataArgs,
    out: &mut Output<'_>,
) -> anyhow::Result<()> {
    let now = SystemTime::now();
    let listed: Vec<Listed<'_>> = devices.iter().map(|device| Listed::new(device, now)).collect();
    if json {
        writeln!(out, "{}", serde_json::to_string(&listed)?)?;
        return Ok(());
    }
    if listed.is_empty() {
        let data = data.flags();
        note!("No devices yet. Enrol one:");
        note!("  vitalwire device add NAME{data}");
        note!("  vitalwire device import DEVICES_KEYS.txt{data}");
        return Ok(());
    }
    let width = listed.iter().map(|device| device.id.len()).max().unwrap_or(0).max("DEVICE".len());
    writeln!(out, "{:width$}  PROTOCOL  ENROLLED              KEY SET               GENERATION", "DEVICE")?;
    for Listed { id, protocol, enrolled, key_set, generation, old_key_until, .. } in listed {
        let pending = old_key_until.map(|until| format!("  rotating, old key until {until}"));
        let pending = pending.unwrap_or_default();
        writeln!(out, "{id:width$}  {protocol:8}  {enrolled}  {key_set}  {generation}{pending}")?;
    }
    Ok(())
}
