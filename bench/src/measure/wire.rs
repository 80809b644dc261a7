//! Bytes that a device sends a sample: what TCP carries, TLS records included, counted under the TLS of a real connection
//! after its handshake. A modelled patient gives the values, with the noise of real sensors.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};

use anyhow::{Context, Result};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use vitalwire_protocol::{CbcSecret, FRAME_LEN_MAX, FrameEncoder, Variant};
use vitalwire_simulator::patient::{Patient, PatientConfig, Waveform};

use super::Plan;
use crate::enrolment::{device_id, secret};
use crate::link::{self, Device, ecg, ecg_batch, pico_batch};
use crate::mqtt;
use crate::ours::{Gateway, Protocol};
use crate::peer::{Peer, Tuning};
use crate::psk::{Connector, Identity};
use crate::report::{Report, Row};
use crate::subscriber::Subscriber;

const SEED: u64 = 1;
const PICO_HZ: u32 = 20;
const ECG_HZ: u32 = 250;

const EXPLANATION: &str = "Bytes a sample are those of TCP that a device sends, TLS records included, handshake and `Hello` \
    not; a pico's sample is seven values. Our devices send a batch a second, packed (PROTOCOL.md §4.4). The peer's pico \
    publishes one JSON message a sample, its ECG one JSON message a second with an array of the values.";

pub(crate) fn measure(plan: Plan<'_>, report: &mut Report) {
    report.note(EXPLANATION.into());
    let mut pico = Row::new("bytes a sample, pico at 20 Hz over TLS", "≤ 20 (moonshot 10)");
    let mut wave = Row::new("bytes a sample, ECG at 250 Hz over TLS", "≤ 3");
    let mut frames = Row::new("bytes a sample, pico at 20 Hz, AES-CBC frames", "");
    let seconds = plan.scale.wire_seconds;
    // Values do not differ from round to round.
    eprintln!("wire");
    if let Some(binary) = plan.ours
        && let Some((of_pico, of_wave)) = report.keep("our bytes", ours(binary, seconds))
    {
        pico.add_ours(of_pico);
        wave.add_ours(of_wave);
        frames.add_ours(report.keep("our frames", frame_bytes(seconds)));
    }
    if plan.peer
        && let Some((of_pico, of_wave)) = report.keep("the peer's bytes", peer(seconds))
    {
        pico.add_peer(of_pico);
        wave.add_peer(of_wave);
    }
    report.add([pico, wave, frames]);
}

fn patient(waveform: Waveform) -> Patient {
    Patient::new(SEED, &PatientConfig::varied(SEED, waveform))
}

fn each(bytes: u64, seconds: u32, rate_hz: u32) -> f64 {
    bytes as f64 / f64::from(seconds * rate_hz)
}

fn ours(binary: &Path, seconds: u32) -> Result<(f64, f64)> {
    let gateway = Gateway::start_with(binary, 2, Protocol::Link)?;
    let links = link::read(gateway.keys())?;
    gateway.explain((|| {
        let _subscriber = Subscriber::start(&gateway.login, &["Pico/#"], "/Physiological_Data/Temperature")?;
        let (pico, wave) = (patient(Waveform::Ppg), patient(Waveform::Ecg));
        block_on(async {
            let target = gateway.devices;
            let pico = batches(target, link::key(&links, 0)?, seconds, |sequence, second| {
                pico_batch(&pico, sequence, second)
            });
            let pico = each(pico.await?, seconds, PICO_HZ);
            let wave = batches(target, link::key(&links, 1)?, seconds, |sequence, second| {
                ecg_batch(&wave, sequence, second)
            });
            Ok((pico, each(wave.await?, seconds, ECG_HZ)))
        })
    })())
}

async fn batches(
    target: SocketAddr,
    identity: Identity,
    seconds: u32,
    batch: impl Fn(u64, u32) -> Result<Vec<u8>>,
) -> Result<u64> {
    let stream = Counted { socket: TcpStream::connect(target).await?, sent: 0 };
    let mut device = Device::greet(&Connector::new()?, identity, stream, SEED).await?;
    let before = device.stream.get_ref().sent;
    for second in 0..seconds {
        let sequence = u64::from(second) + 1;
        device.deliver(sequence, &batch(sequence, second)?).await?;
    }
    Ok(device.stream.get_ref().sent - before)
}

fn frame_bytes(seconds: u32) -> Result<f64> {
    let patient = patient(Waveform::Ppg);
    let (key, iv) = secret(0);
    let encoder = FrameEncoder::new(&CbcSecret::new(key, iv), Variant::Chained);
    let mut bytes = 0;
    for tick in 0..seconds * PICO_HZ {
        let json = json(&patient, tick);
        bytes +=
            encoder.encode(json.as_bytes(), &mut [0; FRAME_LEN_MAX]).context("a sample fits a frame")? as u64;
    }
    Ok(each(bytes, seconds, PICO_HZ))
}

fn peer(seconds: u32) -> Result<(f64, f64)> {
    let peer = Peer::start(2, Tuning::Latency)?;
    let (pico, wave) = (patient(Waveform::Ppg), patient(Waveform::Ecg));
    block_on(async {
        let samples = (0..seconds * PICO_HZ).map(|tick| json(&pico, tick));
        let of_pico = messages(peer.devices, 0, "reading", samples).await?;
        let waves = (0..seconds).map(|second| {
            let values: Vec<String> = ecg(&wave, second).map(|value| format!("{value:.3}")).collect();
            format!(r#"{{"time_ms":{},"ECG":[{}]}}"#, second * 1_000, values.join(","))
        });
        let of_wave = messages(peer.devices, 1, "ecg", waves).await?;
        Ok((each(of_pico, seconds, PICO_HZ), each(of_wave, seconds, ECG_HZ)))
    })
}

/// A sample as the paper's devices write it.
fn json(patient: &Patient, tick: u32) -> String {
    let [body, mcu, pulse, x, y, z, mpu] = patient.vitals(f64::from(tick) / f64::from(PICO_HZ));
    format!(
        r#"{{"Temp":"{body:.3}","TempMcu":"{mcu:.3}","PulseSig":"{pulse:.3}","Acel_x":"{x:.3}","Acel_y":"{y:.3}","Acel_z":"{z:.3}","TempMpu":"{mpu:.3}"}}"#
    )
}

async fn messages(
    target: SocketAddr,
    index: usize,
    topic: &str,
    payloads: impl Iterator<Item = String>,
) -> Result<u64> {
    let stream = Counted { socket: TcpStream::connect(target).await?, sent: 0 };
    let mut stream = Connector::new()?.shake(Identity::of_peer(index), stream).await?;
    stream.write_all(&mqtt::connect(&device_id(index), None, mqtt::Session::Clean)?).await?;
    stream.read_exact(&mut [0; 4]).await?;
    let before = stream.get_ref().sent;
    let topic = format!("Pico/{}/{topic}", device_id(index));
    for payload in payloads {
        let mut message = Vec::new();
        mqtt::publish(&topic, payload.as_bytes(), &mut message)?;
        stream.write_all(&message).await?;
    }
    Ok(stream.get_ref().sent - before)
}

fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// A socket that counts what is written to it.
struct Counted {
    socket: TcpStream,
    sent: u64,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let len = ready!(Pin::new(&mut self.socket).poll_write(context, bytes))?;
        self.sent += len as u64;
        Poll::Ready(Ok(len))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
