//! What someone outside sees of a running desk device, and what they can do to it: turn the patient's knobs, cut the network,
//! move the switch. Clones are of the same device; they may be used from any thread.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use vitalwire_device::mode::{Mode, Switch};
use vitalwire_device::status::{Activity, Trouble};

use crate::hardware::{HostClock, Wearer};

/// Points of the pulse wave that are kept: 12 s.
const SCOPE_LEN_MAX: usize = 1_200;
/// From point to point, in milliseconds: an ECG's peaks are seen.
pub(super) const SCOPE_EVERY_MS: u64 = 10;

/// How the device is. Patient values are not in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeskState {
    /// What it was started for.
    pub mode: Mode,
    /// What it does.
    pub activity: Activity,
    /// Why it does not deliver.
    pub trouble: Option<Trouble>,
    /// Whether its LED is lit.
    pub is_lit: bool,
    /// Where its configuration page is served, while it is.
    pub page: Option<SocketAddr>,
    /// The server that it was set up for, as `host:port`.
    pub server: Option<String>,
    /// Its Wi-Fi network.
    pub wifi_name: Option<String>,
    /// How often it was started, from 1.
    pub starts: u32,
    /// What the server took since the device's start.
    pub delivered: u64,
    /// What that counts.
    pub delivered_unit: DeliveredUnit,
    /// Batches that wait for the server.
    pub held: u64,
    /// Values that were due and not measured since its start.
    pub missed_values: u64,
}

/// What is counted as delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveredUnit {
    /// Batches that the server acknowledged.
    Batches,
    /// Bytes of frames that went out; no one acknowledges them.
    Bytes,
}

impl std::fmt::Display for DeliveredUnit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Batches => "batches",
            Self::Bytes => "bytes",
        })
    }
}

impl Default for DeskState {
    /// Before its first start.
    fn default() -> Self {
        Self {
            mode: Mode::Collector,
            activity: Activity::Starting,
            trouble: None,
            is_lit: false,
            page: None,
            server: None,
            wifi_name: None,
            starts: 0,
            delivered: 0,
            delivered_unit: DeliveredUnit::Batches,
            held: 0,
            missed_values: 0,
        }
    }
}

/// A running desk device, from outside.
#[derive(Debug, Clone)]
pub struct DeskHandle {
    world: HostClock,
    wearer: Wearer,
    state: watch::Receiver<DeskState>,
    switch: Arc<watch::Sender<Switch>>,
    network: Arc<watch::Sender<bool>>,
    scope: Scope,
}

/// The device's end of a [`DeskHandle`].
#[derive(Debug)]
pub(super) struct DeskEnd {
    pub(super) state: watch::Sender<DeskState>,
    pub(super) switch: watch::Receiver<Switch>,
    /// Whether the Wi-Fi network is there.
    pub(super) network: watch::Receiver<bool>,
    pub(super) scope: Scope,
}

/// Both ends of a device on this patient.
pub(super) fn ends(world: HostClock, wearer: Wearer, switch: Switch) -> (DeskHandle, DeskEnd) {
    let (state_in, state) = watch::channel(DeskState::default());
    let (switch, switch_out) = watch::channel(switch);
    let (network, network_out) = watch::channel(true);
    let scope = Scope::default();
    let end = DeskEnd { state: state_in, switch: switch_out, network: network_out, scope: scope.clone() };
    let (switch, network) = (Arc::new(switch), Arc::new(network));
    (DeskHandle { world, wearer, state, switch, network, scope }, end)
}

impl DeskHandle {
    /// How it is now.
    #[must_use]
    pub fn state(&self) -> DeskState {
        self.state.borrow().clone()
    }

    /// Waits until something of its state is other than it was seen here last; `None` when it has ended.
    pub async fn changed(&mut self) -> Option<DeskState> {
        self.state.changed().await.ok()?;
        Some(self.state.borrow_and_update().clone())
    }

    /// Seconds of the world's clock, in which [`Self::wave`] and the wearer's values are.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.world.seconds()
    }

    /// Who wears it.
    #[must_use]
    pub fn wearer(&self) -> &Wearer {
        &self.wearer
    }

    /// Where its slide switch is.
    #[must_use]
    pub fn switch(&self) -> Switch {
        *self.switch.borrow()
    }

    /// Moves the slide switch, which restarts the device if it was elsewhere.
    pub fn move_switch(&self, to: Switch) {
        self.switch.send_if_modified(|switch| std::mem::replace(switch, to) != to);
    }

    /// Whether its Wi-Fi network is there.
    #[must_use]
    pub fn has_network(&self) -> bool {
        *self.network.borrow()
    }

    /// Takes its Wi-Fi network away, or gives it back.
    pub fn set_network(&self, is_there: bool) {
        self.network.send_if_modified(|network| std::mem::replace(network, is_there) != is_there);
    }

    /// The last seconds of the pulse sensor's output: seconds of the world's clock, and volts.
    #[must_use]
    pub fn wave(&self) -> Vec<(f64, f64)> {
        self.scope.points()
    }
}

/// An oscilloscope at the pulse sensor's output. When full, the oldest point goes.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    points: Arc<Mutex<VecDeque<(f64, f64)>>>,
}

impl Scope {
    pub(super) fn push(&self, seconds: f64, volts: f64) {
        let mut points = self.points.lock().unwrap_or_else(PoisonError::into_inner);
        if points.len() == SCOPE_LEN_MAX {
            points.pop_front();
        }
        points.push_back((seconds, volts));
    }

    fn points(&self) -> Vec<(f64, f64)> {
        self.points.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}
