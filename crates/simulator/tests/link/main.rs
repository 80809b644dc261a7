//! Devices on the secure link, over real sockets, against the real gateway and against servers that misbehave.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod bad_server;
mod collector;
mod delivery;
mod proxy;
mod server;
mod wifi;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use server::{Channel, Journal};
use tokio_util::sync::CancellationToken;
use vitalwire_device::backoff::BackoffLimits;
use vitalwire_simulator::fleet::{
    FleetConfig, FleetDevice, FleetError, FleetObserver, FleetReport, Link, LinkOptions, Signal, run_fleet,
};
use vitalwire_simulator::patient::{Patient, PatientConfig};

/// Nothing here takes this long unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Link id and key of device `n`.
pub(crate) fn key(n: u8) -> (String, [u8; 32]) {
    (format!("{n:032x}"), [n.wrapping_mul(7); 32])
}

pub(crate) fn keys(devices: u8) -> Vec<(String, [u8; 32])> {
    (0..devices).map(key).collect()
}

/// A fleet that connects again at once, so that tests need not wait.
pub(crate) fn fleet(devices: u8, target: SocketAddr) -> FleetConfig {
    let device = |n| {
        let (id, psk) = key(n);
        FleetDevice::batches(format!("dev_{n}"), Link::new(&id, psk).unwrap())
    };
    let mut config = FleetConfig::new((0..devices).map(device).collect(), target.to_string(), 1);
    config.signal = Signal::Patient(PatientConfig::default());
    config.link = LinkOptions {
        batch_ms: 100,
        retry: BackoffLimits { retry_ms_min: 1, retry_ms_max: 20, settled_ms: 60_000 },
        finish_ms_max: 30_000,
        ..LinkOptions::default()
    };
    config
}

/// A fleet that runs.
pub(crate) struct Running {
    pub(crate) observer: Arc<FleetObserver>,
    stop: CancellationToken,
    fleet: tokio::task::JoinHandle<Result<FleetReport, FleetError>>,
}

impl Running {
    pub(crate) fn start(config: &FleetConfig) -> Self {
        let observer = FleetObserver::new(&config.devices);
        let stop = CancellationToken::new();
        let fleet = tokio::spawn(run_fleet(config.clone(), Arc::clone(&observer), stop.clone()));
        Self { observer, stop, fleet }
    }

    /// Waits for the fleet's own end.
    pub(crate) async fn ended(self) -> (FleetReport, Arc<FleetObserver>) {
        let report =
            tokio::time::timeout(PATIENCE, self.fleet).await.expect("the fleet ends").unwrap().unwrap();
        (report, self.observer)
    }

    pub(crate) async fn stopped(self) -> (FleetReport, Arc<FleetObserver>) {
        self.stop.cancel();
        self.ended().await
    }

    /// Waits until the fleet is so. Its devices have a thread of their own, so this looks now and then.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&FleetReport) -> bool) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while !is_so(&self.observer.report()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(waited.await.is_ok(), "{what}: {:?}", self.observer.report());
    }
}

/// What the server holds of a boot is what the patient had, sample by sample from the first, in seven channels.
pub(crate) fn check_values(
    journal: &Journal,
    config: &FleetConfig,
    observer: &FleetObserver,
    place: u8,
) -> u64 {
    let clock = observer.clock(place.into()).unwrap();
    let boot = &journal.boots[&(key(place).0, clock.boot)];
    let patient = Patient::new(config.device_seed(place.into()), &PatientConfig::default());
    let mut next = [0_u64; 7];
    for channel in boot.batches.values().flatten() {
        let Channel { index, first_us, interval_us, scale, values } = channel;
        assert_eq!((*scale, f64::from(*interval_us)), (-3, 1e6 / config.rate_hz));
        let next = &mut next[usize::from(*index)];
        for value in values {
            let since_us = *next * u64::from(*interval_us);
            let expected = patient.vitals(since_us as f64 / 1e6)[usize::from(*index)];
            assert!(
                (f64::from(*value) - expected * 1e3).abs() <= 0.5 + 1e-6,
                "channel {index}, sample {next}"
            );
            *next += 1;
        }
        let last_us = first_us + (values.len() as u64 - 1) * u64::from(*interval_us);
        assert_eq!(last_us, clock.origin_us + (*next - 1) * u64::from(*interval_us), "channel {index}");
    }
    assert!(next.iter().all(|count| *count == next[0]), "{next:?}");
    next[0]
}
