//! Many connections at once, in a process of its own: handshakes alone, or devices that each deliver a batch. Prints a
//! [`LinkLoadReport`] a round.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet};
use vitalwire_simulator::patient::{Patient, PatientConfig, Waveform};

use crate::enrolment::{SAMPLE_JSON, device_id, source_address};
use crate::link::{self, Device, pico_batch};
use crate::mqtt;
use crate::process::Talking;
use crate::psk::{Connector, Identity};
use crate::report::percentile_ms;

/// How long all connections together may take.
const ROUND_TIMEOUT: Duration = Duration::from_secs(120);
/// Of all of this program's devices.
const BOOT: u64 = 0x0123_4567_89ab_cdef;

/// What each connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Errand {
    /// A full handshake, and goodbye.
    Handshake,
    /// `Hello`, one batch, its acknowledgement; then it stays.
    Batch,
    /// The peer's: CONNECT, one PUBLISH at QoS 1, its acknowledgement; then it stays.
    Publish,
}

/// Arguments of the hidden subcommand.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct LinkLoadArguments {
    #[arg(long)]
    pub(crate) target: SocketAddr,
    #[arg(long)]
    pub(crate) errand: Errand,
    /// Connections in a round.
    #[arg(long)]
    pub(crate) count: usize,
    /// Connections at the same moment.
    #[arg(long)]
    pub(crate) at_once: usize,
    #[arg(long)]
    pub(crate) rounds: usize,
    /// The keys of our devices.
    #[arg(long)]
    pub(crate) links: Option<PathBuf>,
}

/// What a round took.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct LinkLoadReport {
    pub(crate) seconds: f64,
    /// Of one connection, from its start to its end.
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// Starts the process; each line that it says is a round's report.
pub(crate) fn start(arguments: &LinkLoadArguments) -> Result<Talking> {
    let errand = arguments.errand.to_possible_value().context("every errand has a name")?;
    let mut words: Vec<String> = vec!["link-load".into(), "--errand".into(), errand.get_name().into()];
    words.extend(["--target".into(), arguments.target.to_string()]);
    words.extend(["--count".into(), arguments.count.to_string()]);
    words.extend(["--at-once".into(), arguments.at_once.to_string()]);
    words.extend(["--rounds".into(), arguments.rounds.to_string()]);
    if let Some(links) = &arguments.links {
        words.extend(["--links".into(), links.display().to_string()]);
    }
    Talking::spawn("the load of connections", &words, "")
}

/// The process itself.
pub(crate) fn serve(arguments: &LinkLoadArguments) -> Result<()> {
    let links = arguments.links.as_deref().map(link::read).transpose()?.unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let load = Rc::new(Load { arguments: arguments.clone(), links, connector: Connector::new()? });
    for round in 1..=arguments.rounds {
        let report = LocalSet::new().block_on(&runtime, load.clone().round(round as u64))?;
        println!("{}", serde_json::to_string(&report)?);
    }
    Ok(())
}

struct Load {
    arguments: LinkLoadArguments,
    links: Vec<Identity>,
    connector: Connector,
}

impl Load {
    /// All connections of a round; those that stay are cut at its end.
    async fn round(self: Rc<Self>, number: u64) -> Result<LinkLoadReport> {
        let free = Rc::new(Semaphore::new(self.arguments.at_once));
        let mut errands = JoinSet::new();
        let begun = Instant::now();
        for place in 0..self.arguments.count {
            let (load, free) = (self.clone(), free.clone());
            errands.spawn_local(async move {
                let _permit = free.acquire().await?;
                let begun = Instant::now();
                let connection = load.run(place, number).await?;
                anyhow::Ok((begun.elapsed(), connection))
            });
        }
        let (mut times_ns, mut kept) = (Vec::new(), Vec::new());
        let all = async {
            while let Some(done) = errands.join_next().await {
                let (time, connection) = done??;
                times_ns.push(u64::try_from(time.as_nanos())?);
                kept.push(connection);
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(ROUND_TIMEOUT, all).await.context("a connection is not served")??;
        let seconds = begun.elapsed().as_secs_f64();
        times_ns.sort_unstable();
        let (p50_ms, p99_ms) = (percentile_ms(&times_ns, 0.5), percentile_ms(&times_ns, 0.99));
        Ok(LinkLoadReport { seconds, p50_ms, p99_ms })
    }

    async fn run(&self, place: usize, round: u64) -> Result<Option<tokio_openssl::SslStream<TcpStream>>> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(source_address(place))?;
        let target = self.arguments.target;
        if self.arguments.errand == Errand::Publish {
            drop(socket);
            return self.publish(place).await.map(Some);
        }
        let stream = socket.connect(target).await?;
        stream.set_nodelay(true)?;
        // From all over the list, when there are more than connections.
        let index = place * (self.links.len() / self.arguments.count).max(1) % self.links.len().max(1);
        let identity = link::key(&self.links, index)?;
        if self.arguments.errand == Errand::Handshake {
            let mut stream = self.connector.shake(identity, stream).await?;
            stream.shutdown().await?;
            // The server's end says that it was content.
            while stream.read(&mut [0; 512]).await? > 0 {}
            return Ok(None);
        }
        let patient = Patient::new(place as u64, &PatientConfig::varied(place as u64, Waveform::Ppg));
        let batch = pico_batch(&patient, round, u32::try_from(round)?)?;
        let mut device = Device::greet(&self.connector, identity, stream, BOOT).await?;
        ensure!(device.held + 1 == round, "the server holds {} batches in round {round}", device.held);
        device.deliver(round, &batch).await?;
        Ok(Some(device.stream))
    }

    async fn publish(&self, place: usize) -> Result<tokio_openssl::SslStream<TcpStream>> {
        let id = device_id(place);
        let (source, target) = (source_address(place), self.arguments.target);
        let mut stream = self.connector.connect(place, &id, source, target).await?;
        let (topic, mut message) = (format!("Pico/{id}/reading"), Vec::new());
        mqtt::publish_acknowledged(&topic, SAMPLE_JSON.as_bytes(), 1, &mut message)?;
        stream.write_all(&message).await?;
        let mut answer = [0; mqtt::PUBACK_LEN];
        stream.read_exact(&mut answer).await?;
        let said = mqtt::decode(&answer)?.map(|(packet, _)| packet);
        ensure!(said == Some(mqtt::Packet::PubAck), "the broker did not acknowledge: {said:?}");
        Ok(stream)
    }
}
