//! The load generator of the peer: devices that publish over TLS-PSK, in a process of its own. When it is told to
//! time them it also subscribes, so that both ends read one clock. Never used for our side: that has the simulator.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Interval, MissedTickBehavior, interval_at, sleep, timeout_at};

use crate::enrolment::{SAMPLE_JSON, SAMPLE_TOPICS, device_id, device_index};
use crate::mqtt;
use crate::process::SECRET_VARIABLE;
use crate::psk::{Connection, Connector};
use crate::report::percentile_ms;
use crate::subscriber::{Login, Subscription, device_in};

/// First pause after a connection failed; it doubles up to the second figure.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(1);
/// After the last sample, how long the subscriber may go without a message before what is missing counts as lost.
const DRAIN_SILENCE: Duration = Duration::from_secs(2);

/// How a device publishes a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shape {
    /// Seven messages, each written by itself, as client libraries do.
    Seven,
    /// Seven messages in one write, so in one TLS record.
    SevenInOne,
    /// The same at QoS 1; a sample's acknowledgements are read before the next is sent.
    SevenAcknowledged,
    /// One message with the JSON object.
    Json,
}

impl Shape {
    /// The end of the topic of the message that completes a sample.
    pub(crate) fn marker(self) -> &'static str {
        match self {
            Self::Seven | Self::SevenInOne | Self::SevenAcknowledged => {
                "/Internal_Device_Data/Temperature/MPU"
            }
            Self::Json => "/reading",
        }
    }

    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// Arguments of the hidden subcommand.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct LoadArguments {
    #[arg(long)]
    pub(crate) target: SocketAddr,
    #[arg(long)]
    pub(crate) devices: usize,
    #[arg(long)]
    pub(crate) rate_hz: f64,
    #[arg(long)]
    pub(crate) seconds: f64,
    #[arg(long)]
    pub(crate) shape: Shape,
    /// Also subscribe here, as `--user`, and time every sample.
    #[arg(long, requires = "user")]
    pub(crate) timed_at: Option<SocketAddr>,
    #[arg(long)]
    pub(crate) user: Option<String>,
}

impl LoadArguments {
    pub(crate) fn to_words(&self) -> Vec<String> {
        let mut words = vec!["load".into(), "--target".into(), self.target.to_string()];
        words.extend(["--devices".into(), self.devices.to_string()]);
        words.extend(["--rate-hz".into(), self.rate_hz.to_string()]);
        words.extend(["--seconds".into(), self.seconds.to_string()]);
        words.extend(["--shape".into(), self.shape.name()]);
        if let (Some(address), Some(user)) = (self.timed_at, &self.user) {
            words.extend(["--timed-at".into(), address.to_string(), "--user".into(), user.clone()]);
        }
        words
    }
}

/// What became of a run. Times in milliseconds.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct LoadReport {
    pub(crate) sent: u64,
    pub(crate) connect_errors: u64,
    pub(crate) delivered: u64,
    /// Devices of which at least one sample came.
    pub(crate) served: usize,
    /// From the start of a device's first connection to its first sample at the subscriber.
    pub(crate) first_p50_ms: f64,
    pub(crate) first_p99_ms: f64,
    pub(crate) first_max_ms: f64,
    /// From just before a sample is written to its last message at the subscriber.
    pub(crate) latency_p50_ms: f64,
    pub(crate) latency_p99_ms: f64,
}

/// What devices and subscriber share.
struct Shared {
    origin: Instant,
    sent: AtomicU64,
    connect_errors: AtomicU64,
    timings: Mutex<Timings>,
}

#[derive(Default)]
struct Timings {
    /// Nanoseconds after the origin, one a device; 0 is "not yet".
    first_ns: Vec<u64>,
    latencies_ns: Vec<u64>,
    last_ns: u64,
}

impl Shared {
    fn now_ns(&self) -> u64 {
        // 584 years fit.
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn on_message(&self, shape: Shape, topic: &[u8], payload: &[u8]) {
        if !topic.ends_with(shape.marker().as_bytes()) {
            return;
        }
        let now = self.now_ns();
        let stamp = payload.get(..STAMP_LEN).and_then(|digits| std::str::from_utf8(digits).ok());
        let (Some(written), Some(index)) =
            (stamp.and_then(|digits| digits.parse::<u64>().ok()), device_in(topic).and_then(device_index))
        else {
            return;
        };
        let mut timings = self.timings.lock().unwrap_or_else(PoisonError::into_inner);
        timings.latencies_ns.push(now.saturating_sub(written));
        timings.last_ns = now;
        if let Some(first) = timings.first_ns.get_mut(index)
            && *first == 0
        {
            *first = now;
        }
    }
}

/// The load generator's process: prints a [`LoadReport`] when it is done.
pub(crate) fn serve(arguments: LoadArguments) -> Result<()> {
    let timings = Timings { first_ns: vec![0; arguments.devices], ..Timings::default() };
    let shared = Arc::new(Shared {
        origin: Instant::now(),
        sent: AtomicU64::new(0),
        connect_errors: AtomicU64::new(0),
        timings: Mutex::new(timings),
    });
    if let (Some(address), Some(user)) = (arguments.timed_at, arguments.user.clone()) {
        let login = Login { address, user, password: std::env::var(SECRET_VARIABLE)? };
        let subscription = Subscription::open(&login, "bench-timer", &["Pico/#".into()])?;
        let (shared, shape) = (shared.clone(), arguments.shape);
        // Ends with the process.
        thread::spawn(move || subscription.run(|topic, payload, _| shared.on_message(shape, topic, payload)));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let timed = arguments.timed_at.is_some();
    let report = runtime.block_on(async {
        let left = run_devices(&arguments, &shared).await?;
        if timed {
            drain(&shared).await;
        }
        anyhow::Ok(report(&shared, &left))
    })?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

/// What a device leaves behind: when it began, in nanoseconds after the origin, and its connection, which must stay
/// open until everything has come, as closing it could discard what the broker has not read.
type Left = (u64, Option<Connection>);

/// All devices connect at the same moment; their samples are spread over one period, and those that became due before
/// a device was connected follow at once: as the simulator's fleet does for our side.
async fn run_devices(arguments: &LoadArguments, shared: &Arc<Shared>) -> Result<Vec<Left>> {
    let connector = Arc::new(Connector::new()?);
    let begin = Instant::now();
    let end = begin + Duration::from_secs_f64(arguments.seconds);
    let period = Duration::from_secs_f64(1.0 / arguments.rate_hz);
    let mut tasks = Vec::new();
    for index in 0..arguments.devices {
        let (connector, shared, arguments) = (connector.clone(), shared.clone(), arguments.clone());
        let share = index as f64 / arguments.devices as f64;
        tasks.push(tokio::spawn(async move {
            let started = shared.now_ns();
            let mut ticks = interval_at((begin + period.mul_f64(share)).into(), period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            (started, device(index, &connector, &shared, &arguments, ticks, end).await)
        }));
    }
    let mut left = Vec::new();
    for task in tasks {
        left.push(task.await?);
    }
    Ok(left)
}

async fn device(
    index: usize,
    connector: &Connector,
    shared: &Shared,
    arguments: &LoadArguments,
    mut ticks: Interval,
    end: Instant,
) -> Option<Connection> {
    let source = (Ipv4Addr::LOCALHOST, 0).into();
    let mut pause = RETRY_FIRST;
    loop {
        let outcome = match timeout_at(
            end.into(),
            connector.connect(index, &device_id(index), source, arguments.target),
        )
        .await
        {
            Err(_over) => return None,
            Ok(Ok(mut connection)) => {
                publish(index, &mut connection, shared, arguments, &mut ticks, end).await.map(|()| connection)
            }
            Ok(Err(error)) => Err(error),
        };
        match outcome {
            Ok(connection) => return Some(connection),
            Err(error) => eprintln!("device {index}: {error:#}"),
        }
        shared.connect_errors.fetch_add(1, Ordering::Relaxed);
        sleep(pause).await;
        pause = (pause * 2).min(RETRY_MAX);
    }
}

/// Publishes until the end of the run.
async fn publish(
    index: usize,
    connection: &mut Connection,
    shared: &Shared,
    arguments: &LoadArguments,
    ticks: &mut Interval,
    end: Instant,
) -> Result<()> {
    loop {
        ticks.tick().await;
        if Instant::now() >= end {
            return Ok(());
        }
        let stamp = arguments.timed_at.map(|_| shared.now_ns());
        // Counted before it is written: what a broken connection swallows is lost.
        shared.sent.fetch_add(1, Ordering::Relaxed);
        for write in sample(index, arguments.shape, stamp)? {
            connection.write_all(&write).await?;
        }
        connection.flush().await?;
        if arguments.shape == Shape::SevenAcknowledged {
            connection.read_exact(&mut [0; SAMPLE_TOPICS.len() * mqtt::PUBACK_LEN]).await?;
        }
    }
}

/// Digits of a time stamp at the start of the payload that completes a sample.
const STAMP_LEN: usize = 16;

/// The writes that publish one sample; with `stamp` the last payload begins with it.
pub(crate) fn sample(index: usize, shape: Shape, stamp: Option<u64>) -> Result<Vec<Vec<u8>>> {
    let id = device_id(index);
    let stamp = stamp.map(|nanoseconds| format!("{nanoseconds:0STAMP_LEN$}"));
    if shape == Shape::Json {
        let payload = stamp.unwrap_or_default() + SAMPLE_JSON;
        let mut out = Vec::new();
        mqtt::publish(&format!("Pico/{id}/reading"), payload.as_bytes(), &mut out)?;
        return Ok(vec![out]);
    }
    let mut writes = Vec::new();
    let mut out = Vec::new();
    for (place, (topic, value)) in SAMPLE_TOPICS.iter().enumerate() {
        let last = place + 1 == SAMPLE_TOPICS.len();
        let payload = stamp.as_deref().filter(|_| last).unwrap_or(value).as_bytes();
        let topic = format!("Pico/{id}/{topic}");
        match shape {
            Shape::SevenAcknowledged => {
                mqtt::publish_acknowledged(&topic, payload, u16::try_from(place)? + 1, &mut out)?;
            }
            _ => mqtt::publish(&topic, payload, &mut out)?,
        }
        if last || shape == Shape::Seven {
            writes.push(std::mem::take(&mut out));
        }
    }
    Ok(writes)
}

/// Waits until everything sent has come, or nothing comes any more.
async fn drain(shared: &Shared) {
    loop {
        {
            let timings = shared.timings.lock().unwrap_or_else(PoisonError::into_inner);
            let delivered = timings.latencies_ns.len() as u64;
            let silent = Duration::from_nanos(shared.now_ns().saturating_sub(timings.last_ns));
            if delivered >= shared.sent.load(Ordering::Relaxed) || silent > DRAIN_SILENCE {
                return;
            }
        }
        sleep(Duration::from_millis(20)).await;
    }
}

fn report(shared: &Shared, left: &[Left]) -> LoadReport {
    let mut timings = shared.timings.lock().unwrap_or_else(PoisonError::into_inner);
    let mut firsts: Vec<u64> = timings
        .first_ns
        .iter()
        .zip(left)
        .filter(|(first, _)| **first > 0)
        .map(|(first, (started, _))| first.saturating_sub(*started))
        .collect();
    firsts.sort_unstable();
    timings.latencies_ns.sort_unstable();
    LoadReport {
        sent: shared.sent.load(Ordering::Relaxed),
        connect_errors: shared.connect_errors.load(Ordering::Relaxed),
        delivered: timings.latencies_ns.len() as u64,
        served: firsts.len(),
        first_p50_ms: percentile_ms(&firsts, 0.50),
        first_p99_ms: percentile_ms(&firsts, 0.99),
        first_max_ms: percentile_ms(&firsts, 1.0),
        latency_p50_ms: percentile_ms(&timings.latencies_ns, 0.50),
        latency_p99_ms: percentile_ms(&timings.latencies_ns, 0.99),
    }
}
