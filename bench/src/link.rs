//! A device on the secure link (PROTOCOL.md §4): its keys, its modelled patient, and what it says. Never keeps what is not
//! acknowledged: a measurement in which a batch is lost fails.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_openssl::SslStream;
use vitalwire_access::DeviceId;
use vitalwire_protocol::batch::{
    Hello, MESSAGE_LEN_MAX, Message, Samples, decode, encode_batch, encode_hello,
};
use vitalwire_registry::{MasterKey, Registry, master_key_path};
use vitalwire_simulator::patient::Patient;

use crate::enrolment::device_id;
use crate::psk::{Connector, Identity};

/// What a device's clock shows at `Hello`: all batches are measured before.
pub(crate) const HELLO_MS: u64 = 10_000_000;

/// Enrols devices by the library, as the command line would take hours for 100,000, and writes their keys to `file` as
/// `vitalwire simulate fleet --links` reads them.
pub(crate) fn enrol(data: &Path, count: usize, file: &Path) -> Result<()> {
    let registry = Registry::open(data, &MasterKey::load(&master_key_path(data, None))?)?;
    let ids: Vec<DeviceId> = (0..count).map(|index| Ok(device_id(index).parse()?)).collect::<Result<_>>()?;
    let links = registry.add_tls_devices(&ids)?;
    let identities = links.iter().map(|link| (link.id.to_string(), link.psk.bytes().to_vec()));
    write(file, identities)
}

/// Writes identities and keys, for this user alone.
pub(crate) fn write(file: &Path, identities: impl Iterator<Item = (String, Vec<u8>)>) -> Result<()> {
    let mut text = String::new();
    for (index, (identity, key)) in identities.enumerate() {
        write!(text, "{} {identity} ", device_id(index))?;
        for byte in key {
            write!(text, "{byte:02x}")?;
        }
        text.push('\n');
    }
    let mut file: File = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    Ok(file.write_all(text.as_bytes())?)
}

/// Reads what [`write()`] wrote.
pub(crate) fn read(file: &Path) -> Result<Vec<Identity>> {
    let text = fs::read_to_string(file)?;
    text.lines().map(|line| identity(line).context("a line of the links file is cut")).collect()
}

fn identity(line: &str) -> Option<Identity> {
    let mut words = line.split(' ').skip(1);
    let (name, digits) = (words.next()?, words.next()?);
    let byte = |at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    let key = (0..digits.len()).step_by(2).map(byte).collect::<Option<_>>()?;
    Some(Identity { name: name.to_owned(), key })
}

/// The key of device `index`.
pub(crate) fn key(links: &[Identity], index: usize) -> Result<Identity> {
    links.get(index).cloned().with_context(|| format!("device {index} is not enrolled"))
}

/// A connection after `Welcome`.
pub(crate) struct Device<S> {
    pub(crate) stream: SslStream<S>,
    /// What the server holds of the boot.
    pub(crate) held: u64,
    inbox: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Device<S> {
    /// Shakes hands and says `Hello`.
    pub(crate) async fn greet(
        connector: &Connector,
        identity: Identity,
        stream: S,
        boot: u64,
    ) -> Result<Self> {
        let stream = connector.shake(identity, stream).await?;
        let mut device = Self { stream, held: 0, inbox: Vec::new() };
        let hello =
            Hello { boot, profile: "pico", firmware: "bench", time_ms: HELLO_MS, oldest: None, past: false };
        let mut message = [0; 128];
        let len = encode_hello(&hello, &mut message)?;
        device.stream.write_all(message.get(..len).unwrap_or_default()).await?;
        device.held = device.answer().await?;
        Ok(device)
    }

    /// Sends a batch and waits for its acknowledgement.
    pub(crate) async fn deliver(&mut self, sequence: u64, batch: &[u8]) -> Result<()> {
        self.stream.write_all(batch).await?;
        while self.held < sequence {
            self.held = self.answer().await?;
        }
        Ok(())
    }

    /// The sequence of the next `Welcome` or `Ack`.
    async fn answer(&mut self) -> Result<u64> {
        loop {
            if let Some((message, len)) = decode(&self.inbox)? {
                let held = match message {
                    Message::Welcome(welcome) => Some(welcome.sequence.unwrap_or(0)),
                    Message::Ack { sequence } => Some(sequence),
                    Message::Configure(_) | Message::Unknown { .. } => None,
                    other => bail!("the server said what only a device says: {other:?}"),
                };
                self.inbox.drain(..len);
                if let Some(held) = held {
                    return Ok(held);
                }
                continue;
            }
            let mut bytes = [0; 512];
            let len = self.stream.read(&mut bytes).await?;
            ensure!(len > 0, "the server closed the connection");
            self.inbox.extend_from_slice(bytes.get(..len).unwrap_or_default());
        }
    }
}

/// All seven channels of a second of a patient at 20 Hz, as the batch `sequence`.
pub(crate) fn pico_batch(patient: &Patient, sequence: u64, second: u32) -> Result<Vec<u8>> {
    let mut values = [const { Vec::new() }; 7];
    for tick in 0..20 {
        let vitals = patient.vitals(f64::from(second) + f64::from(tick) / 20.0);
        for (channel, value) in values.iter_mut().zip(vitals) {
            channel.push(thousandths(value));
        }
    }
    let samples = (0..).zip(&values).map(|(index, values)| samples_of(index, 50_000, values));
    batch(sequence, second, &samples.collect::<Vec<_>>())
}

/// A second of a patient's ECG at 250 Hz, as the batch `sequence`.
pub(crate) fn ecg_batch(patient: &Patient, sequence: u64, second: u32) -> Result<Vec<u8>> {
    let values: Vec<i32> = ecg(patient, second).map(thousandths).collect();
    // The channel of the pulse signal.
    batch(sequence, second, &[samples_of(2, 4_000, &values)])
}

/// A second of an ECG at 250 Hz, in mV, plus 2.
pub(crate) fn ecg(patient: &Patient, second: u32) -> impl Iterator<Item = f64> + '_ {
    (0..250).map(move |tick| patient.pulse_signal(f64::from(second) + f64::from(tick) / 250.0))
}

#[expect(clippy::cast_possible_truncation, reason = "measurements are far smaller")]
fn thousandths(value: f64) -> i32 {
    (value * 1_000.0).round() as i32
}

fn samples_of(index: u8, interval_us: u32, values: &[i32]) -> Samples<'_> {
    Samples { index, interval_us, delay_us: 0, scale: -3, values }
}

fn batch(sequence: u64, second: u32, samples: &[Samples<'_>]) -> Result<Vec<u8>> {
    let mut message = vec![0; MESSAGE_LEN_MAX];
    // An hour before Hello and on.
    let time_ms = HELLO_MS - 3_600_000 + u64::from(second) * 1_000;
    let len = encode_batch(sequence, time_ms, None, samples, &mut message)?;
    message.truncate(len);
    Ok(message)
}
