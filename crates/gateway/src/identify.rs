//! Identification: whose device is at the other end of a connection of AES-CBC frames.
//!
//! The frame names no device, so each enrolled key is tried on its first block (frame-protocol,
//! "Identification"). That costs the more the more devices are enrolled, so what strangers can cause is
//! bounded: devices seen at an address before are tried first and for free, a full search is refused to an
//! address with too many failures, and large searches run one at a time, off the reactor.
//!
//! On the secure link the handshake has proven the device; here it only gets its identity.
//!
//! Only this module makes an [`Identity`]; without one there is no reading.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use tokio::sync::{Semaphore, watch};
use vitalwire_access::DeviceId;
use vitalwire_protocol::{BLOCK_LEN, CbcSecret, first_block_fits};
use vitalwire_registry::{Device, Directory, LinkId};

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
    credential: Credential,
    pub(crate) topics: Arc<DeviceTopics>,
    pub(crate) peer: SocketAddr,
}

impl Identity {
    fn new(credential: Credential, peer: SocketAddr) -> Arc<Self> {
        let topics = Arc::new(DeviceTopics::new(credential.id()));
        Arc::new(Self { credential, topics, peer })
    }

    pub(crate) fn id(&self) -> &DeviceId {
        self.credential.id()
    }

    pub(crate) fn device(&self) -> &Arc<Device> {
        &self.credential.device
    }

    pub(crate) fn credential(&self) -> &Credential {
        &self.credential
    }
}

/// What a connection proved itself with: its device's key of frames, or one of its links.
#[derive(Clone, Debug)]
pub(crate) struct Credential {
    pub(crate) device: Arc<Device>,
    link: Option<LinkId>,
}

impl Credential {
    pub(crate) fn new(device: &Arc<Device>, link: Option<LinkId>) -> Self {
        Self { device: Arc::clone(device), link }
    }

    pub(crate) fn id(&self) -> &DeviceId {
        &self.device.id
    }

    /// Whether `directory` still accepts it.
    pub(crate) fn is_current(&self, directory: &Directory) -> bool {
        let Some(current) = directory.devices.get(self.id()) else { return false };
        match self.link {
            None => current.generation == self.device.generation,
            Some(link) => current.accepts(&link, SystemTime::now()),
        }
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

/// All enrolled secrets, one after the other in memory: a search over 100,000 scattered ones waits for memory
/// longer than it decrypts.
#[derive(Debug, Default)]
struct Candidates {
    version: Option<u64>,
    list: Vec<(CbcSecret, Arc<Device>)>,
}

impl Candidates {
    fn of(directory: &Directory) -> Self {
        let candidate = |device: &Arc<Device>| Some((device.cbc_secret()?.clone(), Arc::clone(device)));
        let list = directory.devices.values().filter_map(candidate).collect();
        Self { version: Some(directory.version), list }
    }

    fn search(&self, block: &[u8; BLOCK_LEN]) -> Option<Candidate> {
        self.list
            .iter()
            .find(|(secret, _)| first_block_fits(secret, block))
            .map(|(secret, device)| Candidate { secret: secret.clone(), device: Arc::clone(device) })
    }
}

/// A device whose key fits a first block.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) secret: CbcSecret,
    pub(crate) device: Arc<Device>,
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
    ) -> Result<Candidate, IdentifyError> {
        let directory = self.directory.borrow().clone();
        if let Some(candidate) = self.find_known(peer, &block, &directory) {
            return Ok(candidate);
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
        let credential = Credential::new(device, None);
        if !self.is_current(&credential) {
            return Err(IdentifyError::Revoked);
        }
        self.with_address(peer.ip(), Instant::now(), |address| {
            address.known.retain(|known| known != &device.id);
            address.known.truncate(KNOWN_PER_ADDRESS_MAX - 1);
            address.known.push_front(device.id.clone());
        });
        Ok(Identity::new(credential, peer))
    }

    /// Makes the identity of a connection whose handshake proved that it has the key of `link`.
    pub(crate) fn confirm_link(
        &self,
        device: &Arc<Device>,
        link: LinkId,
        peer: SocketAddr,
    ) -> Result<Arc<Identity>, IdentifyError> {
        let credential = Credential::new(device, Some(link));
        if !self.is_current(&credential) {
            return Err(IdentifyError::Revoked);
        }
        Ok(Identity::new(credential, peer))
    }

    /// Counts a failed identification against `peer`.
    pub(crate) fn record_failure(&self, peer: IpAddr, now: Instant) {
        self.with_address(peer, now, |address| address.failures += 1.0);
    }

    /// How many devices are known now, and as of which version of the registry.
    pub(crate) fn known(&self) -> (usize, u64) {
        let directory = self.directory.borrow();
        (directory.devices.len(), directory.version)
    }

    /// All devices that are known now, by name.
    pub(crate) fn enrolled(&self) -> Vec<DeviceId> {
        self.directory.borrow().devices.keys().cloned().collect()
    }

    /// Whether the credential is still accepted.
    pub(crate) fn is_current(&self, credential: &Credential) -> bool {
        credential.is_current(&self.directory.borrow())
    }

    fn find_known(&self, peer: IpAddr, block: &[u8; BLOCK_LEN], directory: &Directory) -> Option<Candidate> {
        let addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let known = &addresses.get(&peer)?.known;
        let devices = known.iter().filter_map(|id| directory.devices.get(id));
        let mut candidates = devices.filter_map(|device| Some((device.cbc_secret()?, device)));
        candidates
            .find(|(secret, _)| first_block_fits(secret, block))
            .map(|(secret, device)| Candidate { secret: secret.clone(), device: Arc::clone(device) })
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

/// The candidates of `directory`, made again when it has changed.
fn current(candidates: &Mutex<Arc<Candidates>>, directory: &Directory) -> Arc<Candidates> {
    let mut candidates = candidates.lock().unwrap_or_else(PoisonError::into_inner);
    if candidates.version != Some(directory.version) {
        *candidates = Arc::new(Candidates::of(directory));
    }
    Arc::clone(&candidates)
}
