//! A fleet of software devices: each connects over TCP and sends its samples on schedule, as AES-CBC frames or, on the
//! secure link, as batches that it keeps until they are acknowledged.
//!
//! One task a device. A sample is what the patient had when it was due, so what a device sends does not depend on how the
//! network was. Nothing is skipped silently: every sample that was due is in the report. It never reads key files and
//! never runs the gateway.

mod batches;
mod clock;
mod frames;
mod link;
mod network;
mod observer;
mod report;
mod retry;
mod schedule;
mod source;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use batches::{BatchCount, BatchCounts, BatchSeen};
pub use clock::DeviceClock;
use frames::FrameDevice;
pub use frames::{BACKLOG_SAMPLES_MAX, FINISH_MS_MAX};
pub use link::{
    FLASH_SECTOR_LEN, FlashChoice, HANDSHAKE_MS_MAX, LINK_ID_LEN, LINK_RATE_HZ_MAX, LINK_RATE_HZ_MIN, Link,
    LinkIdError, LinkOptions, SimulatedFlash,
};
use link::{LinkDevice, LinkThread};
pub use network::{CLOSE_WAIT_MS_MAX, CONNECT_MS_MAX};
pub use observer::{CONNECTIONS_KEPT_MAX, ConnectionSeen, DeviceSeen, FleetObserver, SENT_LOG_LEN_MAX};
pub use report::FleetReport;
pub use retry::{RETRY_AFTER_MS_MAX, RETRY_AFTER_MS_MIN, SETTLED_AFTER_MS};
use schedule::Schedule;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vitalwire_protocol::{CbcSecret, Variant};

use crate::patient::{EventOf, PatientConfig, Waveform};
use crate::recording::Recording;

/// Lowest sampling rate of a device, in hertz.
pub const RATE_HZ_MIN: f64 = 0.001;
/// Highest sampling rate of a device, in hertz.
pub const RATE_HZ_MAX: f64 = 10_000.0;
/// Longest duration and longest ramp; a fleet that is to run on has no duration.
pub const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 3_600);
/// Devices that are staggered start within this time even when their period is longer: a gateway does not wait
/// for ever for the first frame of a connection.
pub const STAGGER_MS_MAX: u64 = 1_000;

/// One software device, as it is enrolled at the gateway.
#[derive(Debug, Clone)]
pub struct FleetDevice {
    /// Its id; it is not on the wire.
    pub id: String,
    /// What it speaks, with its keys.
    pub speaks: Speaks,
}

/// The one protocol that a device is enrolled for.
#[derive(Debug, Clone)]
pub enum Speaks {
    /// The paper's AES-CBC frames (PROTOCOL.md §2).
    Frames {
        /// Key and initialisation vector.
        secret: CbcSecret,
        /// How it chains blocks.
        variant: Variant,
    },
    /// Batches over TLS (PROTOCOL.md §4).
    Batches(Link),
}

impl FleetDevice {
    /// A device that sends AES-CBC frames.
    #[must_use]
    pub fn frames(id: impl Into<String>, secret: CbcSecret, variant: Variant) -> Self {
        Self { id: id.into(), speaks: Speaks::Frames { secret, variant } }
    }

    /// A device on the secure link.
    #[must_use]
    pub fn batches(id: impl Into<String>, link: Link) -> Self {
        Self { id: id.into(), speaks: Speaks::Batches(link) }
    }

    /// How it chains blocks, if it sends frames.
    #[must_use]
    pub fn variant(&self) -> Option<Variant> {
        match &self.speaks {
            Speaks::Frames { variant, .. } => Some(*variant),
            Speaks::Batches(_) => None,
        }
    }
}

/// What the devices send.
#[derive(Debug, Clone)]
pub enum Signal {
    /// Each device is on a different healthy adult at rest: [`PatientConfig::varied`].
    Modelled(Waveform),
    /// Each device is on a patient with this configuration, each with its own seed.
    Patient(PatientConfig),
    /// Each device plays the recording from its start; channels that are not recorded are modelled.
    Recording(Arc<Recording>),
}

/// How the devices' sampling moments lie to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pacing {
    /// Spread evenly over one period, of samples or of batches (at most [`STAGGER_MS_MAX`]), as devices that know nothing of each other are.
    #[default]
    Staggered,
    /// All at the same moment: the hardest load.
    Together,
}

/// A fleet and what it does.
#[derive(Debug, Clone)]
pub struct FleetConfig {
    /// The devices.
    pub devices: Vec<FleetDevice>,
    /// Where the gateway listens: `host:port`.
    pub target: String,
    /// Samples a second of each device, [`RATE_HZ_MIN`] to [`RATE_HZ_MAX`].
    pub rate_hz: f64,
    /// `None`: until stopped. Else each device sends duration × rate samples and then closes its connection.
    pub duration: Option<Duration>,
    /// Where patients and the jitter of reconnecting come from.
    pub seed: u64,
    /// What the devices send.
    pub signal: Signal,
    /// What happens to the patients, in seconds after the first sample of each device.
    pub events: Vec<EventOf>,
    /// How the devices' sampling moments lie to each other.
    pub pacing: Pacing,
    /// Zero: all devices connect at the same moment. Else their connects are spread evenly over this time.
    pub ramp: Duration,
    /// How the devices that are on the secure link use it.
    pub link: LinkOptions,
}

impl FleetConfig {
    /// 20 samples a second, as the paper's devices; modelled patients with a pulse wave; until stopped; all connect
    /// at the same moment.
    #[must_use]
    pub fn new(devices: Vec<FleetDevice>, target: impl Into<String>, seed: u64) -> Self {
        Self {
            devices,
            target: target.into(),
            rate_hz: 20.0,
            duration: None,
            seed,
            signal: Signal::Modelled(Waveform::default()),
            events: Vec::new(),
            pacing: Pacing::default(),
            ramp: Duration::ZERO,
            link: LinkOptions::default(),
        }
    }

    /// Samples of each device, if the fleet ends by itself.
    #[must_use]
    pub fn samples_per_device(&self) -> Option<u64> {
        self.duration.map(|duration| schedule::whole((duration.as_secs_f64() * self.rate_hz).round()))
    }

    /// The seed of the device at `place` in the list: its patient is `Patient::new` with this seed, asked at
    /// n / rate for the device's n-th sample (from 0).
    #[must_use]
    pub fn device_seed(&self, place: usize) -> u64 {
        // Neighbours need not differ by more: seeding a ChaCha8Rng spreads every bit.
        self.seed.wrapping_mul(0x1_0000_0001).wrapping_add(place as u64)
    }

    /// `place` of the fleet's devices as a share of all: 0 for the first, towards 1 for the last.
    fn share(&self, place: usize) -> f64 {
        place as f64 / self.devices.len() as f64
    }

    fn check(&self) -> Result<(), FleetError> {
        if !(RATE_HZ_MIN..=RATE_HZ_MAX).contains(&self.rate_hz) {
            return Err(FleetError::Rate { rate_hz: self.rate_hz });
        }
        let asked = self.duration.unwrap_or_default().max(self.ramp);
        if asked > DURATION_MAX {
            return Err(FleetError::Duration { asked });
        }
        Ok(())
    }

    fn schedule(&self, place: usize, start: Instant) -> Schedule {
        let sample = Duration::from_secs_f64(1.0 / self.rate_hz);
        // Devices that send batches are spread over a batch.
        let period = match self.devices.get(place).map(|device| &device.speaks) {
            Some(Speaks::Batches(_)) => sample.max(Duration::from_millis(self.link.batch_ms.into())),
            _ => sample,
        };
        let stagger = match self.pacing {
            Pacing::Staggered => period.min(Duration::from_millis(STAGGER_MS_MAX)).mul_f64(self.share(place)),
            Pacing::Together => Duration::ZERO,
        };
        let connect_at = start + self.ramp.mul_f64(self.share(place));
        Schedule::new(connect_at, connect_at + stagger, self.rate_hz, self.samples_per_device())
    }
}

/// Why a fleet cannot start. Once it runs, trouble with the network is counted, not returned.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum FleetError {
    #[error("a rate of {rate_hz} Hz is outside {RATE_HZ_MIN}..{RATE_HZ_MAX}")]
    Rate { rate_hz: f64 },
    /// Duration or ramp is out of range.
    #[error("{asked:?} is longer than {DURATION_MAX:?}; for a fleet that runs on give no duration")]
    Duration { asked: Duration },
    #[error("cannot find the gateway `{target}` (want host:port): {source}")]
    Resolve { target: String, source: io::Error },
    #[error(
        "a rate of {rate_hz} Hz is outside {LINK_RATE_HZ_MIN:.5}..{LINK_RATE_HZ_MAX}, which devices on the secure link can"
    )]
    LinkRate { rate_hz: f64 },
    #[error("device {id}: {reason}")]
    Link { id: String, reason: String },
    #[error("cannot start the thread of the devices on the secure link: {0}")]
    Thread(io::Error),
    #[error("the observer watches {observed} devices, the fleet has {devices}; make it from the same list")]
    OtherObserver { observed: usize, devices: usize },
}

/// Runs the fleet until its duration is over or `stop` is cancelled, and closes every connection in order.
///
/// # Errors
/// The configuration cannot be run: see [`FleetError`].
pub async fn run_fleet(
    config: FleetConfig,
    observer: Arc<FleetObserver>,
    stop: CancellationToken,
) -> Result<FleetReport, FleetError> {
    config.check()?;
    let (observed, devices) = (observer.devices(), config.devices.len());
    if observed != devices {
        return Err(FleetError::OtherObserver { observed, devices });
    }
    let addresses = resolved(&config.target).await?;
    let start = Instant::now();
    let (mut tasks, mut on_link) = (JoinSet::new(), Vec::new());
    for (place, device) in config.devices.iter().enumerate() {
        let schedule = config.schedule(place, start);
        let (id, addresses, observer) = (device.id.as_str(), Arc::clone(&addresses), Arc::clone(&observer));
        match &device.speaks {
            Speaks::Frames { secret, variant } => {
                let device =
                    FrameDevice::new(&config, place, (id, secret, *variant), schedule, addresses, observer);
                tasks.spawn(device.run(stop.clone()));
            }
            Speaks::Batches(link) => {
                let device = LinkDevice::new(&config, place, (id, link), &schedule, addresses, observer)?;
                on_link.push((device, config.device_seed(place)));
            }
        }
    }
    let on_link = (!on_link.is_empty()).then(|| LinkThread::start(on_link, stop)).transpose();
    let on_link = on_link.map_err(FleetError::Thread)?;
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }
    if let Some(on_link) = on_link {
        on_link.ended().await;
    }
    Ok(observer.report())
}

/// A name is looked up once for all devices.
async fn resolved(target: &str) -> Result<Arc<[SocketAddr]>, FleetError> {
    let failed = |source| FleetError::Resolve { target: target.to_owned(), source };
    let addresses: Arc<[SocketAddr]> = tokio::net::lookup_host(target).await.map_err(failed)?.collect();
    if addresses.is_empty() {
        return Err(failed(io::Error::from(io::ErrorKind::NotFound)));
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(devices: usize) -> FleetConfig {
        let secret = CbcSecret::new([1; 16], [2; 16]);
        let device = |n| FleetDevice::frames(format!("dev_{n}"), secret.clone(), Variant::Chained);
        FleetConfig::new((0..devices).map(device).collect(), "127.0.0.1:9998", 1)
    }

    fn first_samples_ms(config: &FleetConfig) -> Vec<f64> {
        let start = Instant::now();
        let first = |place| config.schedule(place, start).at(0) - start;
        (0..config.devices.len()).map(|place| first(place).as_secs_f64() * 1e3).collect()
    }

    #[test]
    fn devices_are_spread_over_one_period_but_connect_together() {
        let config = config(4);
        assert_eq!(first_samples_ms(&config), [0.0, 12.5, 25.0, 37.5]);
        let start = Instant::now();
        assert!((0..4).all(|place| config.schedule(place, start).connect_at() == start));
    }

    #[test]
    fn slow_devices_are_spread_over_a_second_only() {
        assert_eq!(first_samples_ms(&FleetConfig { rate_hz: 0.1, ..config(4) }), [0.0, 250.0, 500.0, 750.0]);
    }

    #[test]
    fn together_means_the_same_moment_unless_ramped() {
        let together = FleetConfig { pacing: Pacing::Together, ..config(4) };
        assert_eq!(first_samples_ms(&together), [0.0; 4]);
        let ramped = FleetConfig { ramp: Duration::from_secs(2), ..together };
        assert_eq!(first_samples_ms(&ramped), [0.0, 500.0, 1_000.0, 1_500.0]);
    }

    #[test]
    fn devices_have_different_seeds() {
        let other = FleetConfig { seed: 2, ..config(3) };
        let mut seeds: Vec<u64> =
            [config(3), other].iter().flat_map(|c| (0..3).map(|p| c.device_seed(p))).collect();
        seeds.sort_unstable();
        seeds.dedup();
        assert_eq!(seeds.len(), 6);
    }
}
