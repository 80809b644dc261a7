//! Identification: whose device is at the other end of a connection of AES-CBC frames.
//!
//! The frame names no device, so each enrolled key is tried on its first block (frame-protocol,
//! "Identification"). That costs the more the more devices are enrolled, so what strangers can cause is
//! bounded: devices seen at an address before are tried first and for free, a full search is refused to an
//! address with too many failures, and large searches run one at a time, off the reactor.
//!
//! Only this module makes an [`Identity`]; without one there is no reading.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::{Semaphore, watch};
use vitalwire_protocol::{BLOCK_LEN, CbcSecret, first_block_fits};
use vitalwire_registry::{Device, DeviceId, Directory};

use crate::limits::Limits;
use crate::topics::DeviceTopics;

/// A search over more keys than this leaves the reactor (1,024 trials cost some 0.1 ms).
const INLINE_TRIALS_MAX: usize = 1_024;
/// Devices remembered of one address; the longest unused is forgotten.
const KNOWN_PER_ADDRESS_MAX: usize = 64;
/// Addresses remembered; at it, all that owe nothing are forgotten, then all of them.
const ADDRESSES_MAX: usize = 16_384;

/// An authenticated device at one end of one connection.
#[derive(Debug)]
pub(crate) struct Identity {
    device: Arc<Device>,
    pub(crate) topics: DeviceTopics,
    pub(crate) peer: SocketAddr,
}

impl Identity {
    pub(crate) fn id(&self) -> &DeviceId {
        &self.device.id
    }

    pub(crate) fn device(&self) -> &Arc<Device> {
        &self.device
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentifyError {
    #[error("no enrolled key fits the first frame ({tried} keys tried)")]
    UnknownKey { tried: usize },
    #[error("too many failed identifications from this address; only devices seen there before are tried")]
    TooManyFailures,
    #[error("the key that fitted the first block was revoked meanwhile")]
    Revoked,
}

/// Finds the device of a first block.
#[derive(Debug)]
pub(crate) struct Identifier {
    directory: watch::Receiver<Arc<Directory>>,
    addresses: Mutex<HashMap<IpAddr, Address>>,
    large_search: Semaphore,
    candidates: Arc<Mutex<Arc<Candidates>>>,
    failures_max: u32,
    forgiven_per_second: f64,
}

/// The secrets of all devices that speak AES-CBC frames, one after the other in memory: a search over 100,000 scattered
/// ones waits for memory longer than it decrypts.
#[derive(Debug, Default)]
struct Candidates {
    version: Option<u64>,
    list: Vec<(CbcSecret, Arc<Device>)>,
}

impl Candidates {
    fn of(directory: &Directory) -> Self {
        let devices = directory.devices.values();
        let of = |device: &Arc<Device>| Some((device.cbc_secret()?.clone(), Arc::clone(device)));
        let list = devices.filter_map(of).collect();
        Self { version: Some(directory.version), list }
    }

    fn search(&self, block: &[u8; BLOCK_LEN]) -> Option<Arc<Device>> {
        let fits = |(secret, _): &&(CbcSecret, _)| first_block_fits(secret, block);
        self.list.iter().find(fits).map(|(_, device)| Arc::clone(device))
    }
}

/// What is remembered of an address.
#[derive(Debug)]
struct Address {
    /// Devices that were identified here, the latest first.
    known: VecDeque<DeviceId>,
    /// Failed identifications not yet forgiven.
    failures: f64,
    updated: Instant,
}

impl Identifier {
    pub(crate) fn new(directory: watch::Receiver<Arc<Directory>>, limits: &Limits) -> Self {
        Self {
            directory,
            addresses: Mutex::default(),
            large_search: Semaphore::new(1),
            candidates: Arc::default(),
            failures_max: limits.identify_failures_max,
            forgiven_per_second: 1.0 / limits.identify_failure_forgiven_after.as_secs_f64(),
        }
    }

    /// The device whose key fits `block`, the first of a connection from `peer`.
    pub(crate) async fn find(
        &self,
        peer: IpAddr,
        block: [u8; BLOCK_LEN],
        now: Instant,
    ) -> Result<Arc<Device>, IdentifyError> {
        let directory = self.directory.borrow().clone();
        if let Some(device) = self.find_known(peer, &block, &directory) {
            return Ok(device);
        }
        self.admit_search(peer, now)?;
        let tried = directory.devices.len();
        let candidates = Arc::clone(&self.candidates);
        let search = move || current(&candidates, &directory).search(&block);
        let found = if tried <= INLINE_TRIALS_MAX {
            search()
        } else {
            // Waiting here is bounded by the connection's deadline for its first frame.
            let _permit = self.large_search.acquire().await;
            tokio::task::spawn_blocking(search).await.ok().flatten()
        };
        found.ok_or(IdentifyError::UnknownKey { tried })
    }

    /// Makes the identity of a connection whose whole first frame was decoded with `device`'s key.
    pub(crate) fn confirm(
        &self,
        device: &Arc<Device>,
        peer: SocketAddr,
    ) -> Result<Arc<Identity>, IdentifyError> {
        if !self.is_current(device) {
            return Err(IdentifyError::Revoked);
        }
        self.with_address(peer.ip(), Instant::now(), |address| {
            address.known.retain(|known| known != &device.id);
            address.known.truncate(KNOWN_PER_ADDRESS_MAX - 1);
            address.known.push_front(device.id.clone());
        });
        let topics = DeviceTopics::new(&device.id);
        Ok(Arc::new(Identity { device: Arc::clone(device), topics, peer }))
    }

    /// Counts a failed identification against `peer`.
    pub(crate) fn record_failure(&self, peer: IpAddr, now: Instant) {
        self.with_address(peer, now, |address| address.failures += 1.0);
    }

    /// How many devices could be found now.
    pub(crate) fn enrolled(&self) -> usize {
        self.directory.borrow().devices.len()
    }

    /// Whether `device` is still enrolled with the key it has here.
    pub(crate) fn is_current(&self, device: &Device) -> bool {
        is_current(&self.directory.borrow(), device)
    }

    fn find_known(
        &self,
        peer: IpAddr,
        block: &[u8; BLOCK_LEN],
        directory: &Directory,
    ) -> Option<Arc<Device>> {
        let addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let known = &addresses.get(&peer)?.known;
        let mut devices = known.iter().filter_map(|id| directory.devices.get(id));
        let fits = |secret| first_block_fits(secret, block);
        devices.find(|device| device.cbc_secret().is_some_and(fits)).cloned()
    }

    fn admit_search(&self, peer: IpAddr, now: Instant) -> Result<(), IdentifyError> {
        let failures = self.with_address(peer, now, |address| address.failures);
        if failures >= f64::from(self.failures_max) { Err(IdentifyError::TooManyFailures) } else { Ok(()) }
    }

    fn with_address<T>(&self, peer: IpAddr, now: Instant, act: impl FnOnce(&mut Address) -> T) -> T {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if addresses.len() >= ADDRESSES_MAX && !addresses.contains_key(&peer) {
            self.forget_addresses(&mut addresses, now);
        }
        let address = addresses.entry(peer).or_insert_with(|| Address {
            known: VecDeque::new(),
            failures: 0.0,
            updated: now,
        });
        address.failures = self.owed(address, now);
        address.updated = now;
        act(address)
    }

    fn owed(&self, address: &Address, now: Instant) -> f64 {
        let forgiven =
            now.saturating_duration_since(address.updated).as_secs_f64() * self.forgiven_per_second;
        (address.failures - forgiven).max(0.0)
    }

    fn forget_addresses(&self, addresses: &mut HashMap<IpAddr, Address>, now: Instant) {
        addresses.retain(|_, address| self.owed(address, now) > 0.0);
        if addresses.len() >= ADDRESSES_MAX {
            addresses.clear();
        }
    }
}

/// Whether `directory` still holds `device` with the key it has here.
pub(crate) fn is_current(directory: &Directory, device: &Device) -> bool {
    directory.devices.get(&device.id).is_some_and(|current| current.generation == device.generation)
}

/// The candidates of `directory`, made anew when it has changed.
fn current(candidates: &Mutex<Arc<Candidates>>, directory: &Directory) -> Arc<Candidates> {
    let mut candidates = candidates.lock().unwrap_or_else(PoisonError::into_inner);
    if candidates.version != Some(directory.version) {
        *candidates = Arc::new(Candidates::of(directory));
    }
    Arc::clone(&candidates)
}
