//! Devices, a reader that stays and a reader that goes and comes back, in one process, so that all read one clock. Every
//! value of a sample is the moment at which it was sent, so that what did not come is known by name. A connection that
//! breaks is an error.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval_at};
use vitalwire_protocol::{CbcSecret, FRAME_LEN_MAX, FrameEncoder, Variant};

use crate::enrolment::{SAMPLE_TOPICS, device_id, device_index, secret, source_address};
use crate::load::Shape;
use crate::mqtt;
use crate::process::{SECRET_VARIABLE, wait_for};
use crate::psk::Connector;
use crate::report::percentile_ms;
use crate::subscriber::{Login, Subscription, device_in};

const AWAY: &str = "bench-away";
/// The longest that catching up may take.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(300);
/// Without a message this long, what is missing counts as missed.
const SILENCE: Duration = Duration::from_secs(2);
/// Added to a time stamp: a number of JSON does not begin with zeros.
const STAMP_BASE: u64 = 1_000_000_000_000_000;

/// What the devices speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Speech {
    /// The paper's frames, to our gateway.
    Frames,
    /// Seven messages at QoS 1 a sample, over TLS-PSK, to the peer.
    Mqtt,
}

/// Arguments of the hidden subcommand.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct AwayArguments {
    #[arg(long)]
    pub(crate) target: SocketAddr,
    #[arg(long)]
    pub(crate) speech: Speech,
    #[arg(long)]
    pub(crate) devices: usize,
    #[arg(long)]
    pub(crate) rate_hz: f64,
    /// How long the reader is away.
    #[arg(long)]
    pub(crate) seconds: u64,
    /// Where readers connect.
    #[arg(long)]
    pub(crate) broker: SocketAddr,
    #[arg(long)]
    pub(crate) user: String,
}

impl AwayArguments {
    pub(crate) fn to_words(&self) -> Vec<String> {
        let speech = self.speech.to_possible_value().map(|value| value.get_name().to_owned());
        let mut words = vec!["away".into(), "--target".into(), self.target.to_string()];
        words.extend(["--speech".into(), speech.unwrap_or_default()]);
        words.extend(["--devices".into(), self.devices.to_string()]);
        words.extend(["--rate-hz".into(), self.rate_hz.to_string()]);
        words.extend(["--seconds".into(), self.seconds.to_string()]);
        words.extend(["--broker".into(), self.broker.to_string(), "--user".into(), self.user.clone()]);
        words
    }
}

/// What became of it. `None` where no sample came that could be timed.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct AwayReport {
    /// Messages, to the reader's return.
    pub(crate) published: u64,
    /// Of all that were published to the end.
    pub(crate) missed: u64,
    pub(crate) caught_up_ms: f64,
    pub(crate) before_p50_ms: Option<f64>,
    pub(crate) before_p99_ms: Option<f64>,
    pub(crate) meanwhile_p50_ms: Option<f64>,
    pub(crate) meanwhile_p99_ms: Option<f64>,
}

/// When something was sent and when it came, in nanoseconds after the origin.
#[derive(Clone, Copy, Debug)]
struct Trip {
    sent_ns: u64,
    came_ns: u64,
}

/// What devices and readers share.
struct Shared {
    origin: Instant,
    over: AtomicBool,
    /// Samples.
    sent: AtomicU64,
    /// Samples at the reader that stays.
    stayed: Mutex<Vec<Trip>>,
    returned: Mutex<Returned>,
}

/// All messages at the reader that was away.
#[derive(Default)]
struct Returned {
    trips: HashMap<Vec<u8>, Vec<Trip>>,
    /// By device: the last sample that came whole.
    newest_ns: Vec<u64>,
    last_ns: u64,
}

impl Returned {
    fn take(&mut self, topic: &[u8], trip: Trip) {
        match self.trips.get_mut(topic) {
            Some(trips) => trips.push(trip),
            None => {
                self.trips.insert(topic.to_vec(), vec![trip]);
            }
        }
        self.last_ns = trip.came_ns;
        if is_last_of_sample(topic)
            && let Some(newest) =
                device_in(topic).and_then(device_index).and_then(|it| self.newest_ns.get_mut(it))
        {
            *newest = trip.sent_ns;
        }
    }

    /// Messages that came, each counted once however often it did.
    fn distinct(&self) -> u64 {
        let count = |trips: &Vec<Trip>| {
            let mut sent: Vec<u64> = trips.iter().map(|trip| trip.sent_ns).collect();
            sent.sort_unstable();
            sent.dedup();
            sent.len() as u64
        };
        self.trips.values().map(count).sum()
    }
}

fn is_last_of_sample(topic: &[u8]) -> bool {
    topic.ends_with(Shape::SevenAcknowledged.marker().as_bytes())
}

impl Shared {
    fn new(devices: usize) -> Self {
        let returned = Returned { newest_ns: vec![0; devices], ..Returned::default() };
        Self {
            origin: Instant::now(),
            over: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            stayed: Mutex::default(),
            returned: Mutex::new(returned),
        }
    }

    fn now_ns(&self) -> u64 {
        // 584 years fit.
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// `None` for what is no value of a sample of this process.
    fn trip(&self, payload: &[u8]) -> Option<Trip> {
        let stamp: u64 = std::str::from_utf8(payload).ok()?.parse().ok()?;
        Some(Trip { sent_ns: stamp.checked_sub(STAMP_BASE)?, came_ns: self.now_ns() })
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The process itself: prints an [`AwayReport`] when it is done.
pub(crate) fn serve(arguments: &AwayArguments) -> Result<()> {
    let login = Login {
        address: arguments.broker,
        user: arguments.user.clone(),
        password: std::env::var(SECRET_VARIABLE)?,
    };
    let shared = Arc::new(Shared::new(arguments.devices));
    let filters = ["Pico/#".to_owned()];
    Subscription::leave(&login, AWAY, &filters)?;
    stay(&shared, Subscription::open(&login, "bench-staying", &filters)?);
    let devices = {
        let (shared, arguments) = (shared.clone(), arguments.clone());
        thread::spawn(move || run_devices(&arguments, &shared))
    };
    let half = Duration::from_secs(arguments.seconds) / 2;
    thread::sleep(half);
    let before_ns = shared.now_ns();
    thread::sleep(half);
    let (back_ns, published) = (shared.now_ns(), shared.sent.load(Ordering::Relaxed));
    let reader = come_back(&shared, Subscription::come_back(&login, AWAY)?);
    wait_until_caught_up(&shared, &devices, &reader, back_ns)?;
    shared.over.store(true, Ordering::Relaxed);
    // Open connections until everything has come: closing one could discard what is not read yet.
    let _kept = devices.join().map_err(|_| anyhow::anyhow!("the devices' thread panicked"))??;
    wait_for_silence(&shared)?;
    let report = AwayReport {
        published: published * SAMPLE_TOPICS.len() as u64,
        ..report(&shared, before_ns, back_ns)
    };
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

/// Times what the reader that stays gets, until the process ends.
fn stay(shared: &Arc<Shared>, subscription: Subscription) {
    let shared = shared.clone();
    thread::spawn(move || {
        subscription.run(|topic, payload, _| {
            if is_last_of_sample(topic)
                && let Some(trip) = shared.trip(payload)
            {
                locked(&shared.stayed).push(trip);
            }
        })
    });
}

/// Keeps what the reader gets that was away, until the process ends.
fn come_back(shared: &Arc<Shared>, subscription: Subscription) -> JoinHandle<Result<()>> {
    let shared = shared.clone();
    thread::spawn(move || {
        subscription.run(|topic, payload, _| {
            if let Some(trip) = shared.trip(payload) {
                locked(&shared.returned).take(topic, trip);
            }
        })
    })
}

/// Waits until each device's last sample came that was sent after the return: those before it came earlier.
fn wait_until_caught_up(
    shared: &Shared,
    devices: &JoinHandle<Result<Links>>,
    reader: &JoinHandle<Result<()>>,
    back_ns: u64,
) -> Result<()> {
    let caught_up = wait_for(CATCH_UP_TIMEOUT, || {
        ensure!(!devices.is_finished(), "a device's connection broke");
        ensure!(!reader.is_finished(), "the broker closed the connection of the reader that came back");
        let new = locked(&shared.returned).newest_ns.iter().all(|newest| *newest > back_ns);
        Ok(new.then_some(()))
    })?;
    let came = locked(&shared.returned).distinct();
    caught_up.with_context(|| {
        let sent = shared.sent.load(Ordering::Relaxed) * SAMPLE_TOPICS.len() as u64;
        format!("{came} of {sent} messages came in {} s", CATCH_UP_TIMEOUT.as_secs())
    })
}

/// Waits until everything came or nothing comes any more.
fn wait_for_silence(shared: &Shared) -> Result<()> {
    let sent = shared.sent.load(Ordering::Relaxed) * SAMPLE_TOPICS.len() as u64;
    let silent = wait_for(CATCH_UP_TIMEOUT, || {
        let returned = locked(&shared.returned);
        let quiet = Duration::from_nanos(shared.now_ns().saturating_sub(returned.last_ns)) > SILENCE;
        let came: usize = returned.trips.values().map(Vec::len).sum();
        Ok((quiet || (came as u64 >= sent && returned.distinct() == sent)).then_some(()))
    })?;
    silent.context("messages come without end")
}

fn report(shared: &Shared, before_ns: u64, back_ns: u64) -> AwayReport {
    let (stayed, returned) = (locked(&shared.stayed), locked(&shared.returned));
    let old = returned.trips.values().flatten().filter(|trip| trip.sent_ns < back_ns);
    let caught_up_ns = old.map(|trip| trip.came_ns).max().unwrap_or(back_ns);
    let between = |from_ns: u64, to_ns: u64| {
        let came = stayed.iter().filter(|trip| (from_ns..to_ns).contains(&trip.came_ns));
        let mut delays: Vec<u64> = came.map(|trip| trip.came_ns.saturating_sub(trip.sent_ns)).collect();
        delays.sort_unstable();
        [0.50, 0.99].map(|share| (!delays.is_empty()).then(|| percentile_ms(&delays, share)))
    };
    let [before_p50_ms, before_p99_ms] = between(before_ns, back_ns);
    let [meanwhile_p50_ms, meanwhile_p99_ms] = between(back_ns, caught_up_ns);
    let sent = shared.sent.load(Ordering::Relaxed) * SAMPLE_TOPICS.len() as u64;
    AwayReport {
        published: sent,
        missed: sent.saturating_sub(returned.distinct()),
        caught_up_ms: caught_up_ns.saturating_sub(back_ns) as f64 / 1e6,
        before_p50_ms,
        before_p99_ms,
        meanwhile_p50_ms,
        meanwhile_p99_ms,
    }
}

/// A device's connection.
type Link = Box<dyn AsyncWrite + Send + Unpin>;

/// Connections to be kept open, and what they need for that.
type Links = (Runtime, Vec<Link>);

/// All devices, their samples spread over one period, until it is over.
fn run_devices(arguments: &AwayArguments, shared: &Arc<Shared>) -> Result<Links> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let links = runtime.block_on(async {
        let connector = Arc::new(Connector::new()?);
        let period = Duration::from_secs_f64(1.0 / arguments.rate_hz);
        let mut devices = JoinSet::new();
        for index in 0..arguments.devices {
            let (connector, shared, arguments) = (connector.clone(), shared.clone(), arguments.clone());
            let share = index as f64 / arguments.devices as f64;
            let mut ticks = interval_at((Instant::now() + period.mul_f64(share)).into(), period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            devices.spawn(async move {
                let device = device(index, &connector, &arguments, &shared, ticks).await;
                device.with_context(|| format!("device {index}"))
            });
        }
        let mut links = Vec::new();
        while let Some(link) = devices.join_next().await {
            links.push(link??);
        }
        anyhow::Ok(links)
    })?;
    Ok((runtime, links))
}

async fn device(
    index: usize,
    connector: &Connector,
    arguments: &AwayArguments,
    shared: &Shared,
    ticks: Interval,
) -> Result<Link> {
    let (id, source, target) = (device_id(index), source_address(index), arguments.target);
    match arguments.speech {
        Speech::Frames => {
            let socket = TcpSocket::new_v4()?;
            socket.bind(source)?;
            let stream: TcpStream = socket.connect(target).await?;
            stream.set_nodelay(true)?;
            let (key, iv) = secret(index);
            let encoder = FrameEncoder::new(&CbcSecret::new(key, iv), Variant::Chained);
            send(shared, ticks, Box::new(stream), |_, stamp| frame(&encoder, stamp)).await
        }
        Speech::Mqtt => {
            let connection = connector.connect(index, &id, source, target).await?;
            let (mut read, write) = tokio::io::split(connection);
            tokio::spawn(async move {
                // Acknowledgements, to the end of the connection, which shows on the other side.
                let mut buffer = [0; 1_024];
                while read.read(&mut buffer).await.is_ok_and(|length| length > 0) {}
            });
            send(shared, ticks, Box::new(write), |number, stamp| messages(&id, number, stamp)).await
        }
    }
}

async fn send(
    shared: &Shared,
    mut ticks: Interval,
    mut link: Link,
    write: impl Fn(u64, u64) -> Result<Vec<u8>>,
) -> Result<Link> {
    for number in 0.. {
        ticks.tick().await;
        if shared.over.load(Ordering::Relaxed) {
            break;
        }
        // Counted before it is written: what a broken connection swallows is missed.
        shared.sent.fetch_add(1, Ordering::Relaxed);
        link.write_all(&write(number, shared.now_ns() + STAMP_BASE)?).await?;
        link.flush().await?;
    }
    Ok(link)
}

fn frame(encoder: &FrameEncoder, stamp: u64) -> Result<Vec<u8>> {
    let keys = ["Temp", "TempMcu", "PulseSig", "Acel_x", "Acel_y", "Acel_z", "TempMpu"];
    let members = keys.map(|key| format!(r#""{key}":"{stamp}""#));
    let mut bytes = vec![0; FRAME_LEN_MAX];
    let length = encoder.encode(format!("{{{}}}", members.join(",")).as_bytes(), &mut bytes);
    bytes.truncate(length.context("a sample fits a frame")?);
    Ok(bytes)
}

fn messages(id: &str, number: u64, stamp: u64) -> Result<Vec<u8>> {
    let (stamp, mut out) = (stamp.to_string(), Vec::new());
    let first = number * SAMPLE_TOPICS.len() as u64;
    for (packet, (topic, _)) in (first..).zip(SAMPLE_TOPICS) {
        let packet_id = u16::try_from(packet % u64::from(u16::MAX))? + 1;
        mqtt::publish_acknowledged(&format!("Pico/{id}/{topic}"), stamp.as_bytes(), packet_id, &mut out)?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_came_twice_does_not_stand_for_one_that_did_not() {
        let shared = Shared::new(1);
        shared.sent.store(2, Ordering::Relaxed);
        let trip = |sent_ns| Trip { sent_ns, came_ns: 100 };
        for (topic, _) in SAMPLE_TOPICS {
            let topic = format!("Pico/bench_000000/{topic}");
            for sent_ns in [1, 2, 2] {
                locked(&shared.returned).take(topic.as_bytes(), trip(sent_ns));
            }
        }
        assert_eq!(report(&shared, 0, 50).missed, 0);
        assert_eq!(locked(&shared.returned).newest_ns, [2]);
        shared.sent.store(3, Ordering::Relaxed);
        assert_eq!(report(&shared, 0, 50).missed, 7);
    }

    #[test]
    fn delays_are_told_apart_by_the_return() {
        let shared = Shared::new(1);
        let ms = |ms: u64| ms * 1_000_000;
        for (sent, came) in [(0, 9), (10, 12), (20, 25), (40, 41)] {
            locked(&shared.stayed).push(Trip { sent_ns: ms(sent), came_ns: ms(came) });
        }
        locked(&shared.returned).take(b"Pico/bench_000000/x", Trip { sent_ns: ms(1), came_ns: ms(30) });
        locked(&shared.returned).take(b"Pico/bench_000000/x", Trip { sent_ns: ms(40), came_ns: ms(42) });
        let report = report(&shared, ms(10), ms(20));
        assert_eq!((report.before_p99_ms, report.meanwhile_p99_ms), (Some(2.0), Some(5.0)));
        assert_eq!(report.caught_up_ms, 10.0);
    }

    #[test]
    fn a_stamp_is_a_number_of_json_and_is_read_back() {
        let shared = Shared::new(0);
        let stamp = (7 + STAMP_BASE).to_string();
        assert_eq!(stamp.len(), 16);
        assert_eq!(shared.trip(stamp.as_bytes()).map(|trip| trip.sent_ns), Some(7));
        assert!(shared.trip(b"127.0.0.1").is_none() && shared.trip(b"9998").is_none());
    }
}
