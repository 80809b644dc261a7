//! What a running server can be asked, by others in this process: the command line's demonstration, tests, and
//! the dashboard.

use std::sync::{Arc, PoisonError};

use vitalwire_access::DeviceId;
use vitalwire_journal::Health;
use vitalwire_registry::Logins;

use crate::alarms::{AlarmError, Alarms, Silence, WhichAlarms};
use crate::context::{Context, Ends};
use crate::feed::Feed;
use crate::history::History;
use crate::metrics::{DashboardCounters, Stats};
use crate::server::addresses::Addresses;
use crate::session::ConnectionState;

/// Asks a running server. Cheap to clone; it does not keep the server running, and after the stop it answers with what was.
#[derive(Clone)]
pub struct ServerHandle {
    context: Arc<Context>,
    addresses: Addresses,
    logins: Arc<Logins>,
}

/// A device that is enrolled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceState {
    /// Which.
    pub device: DeviceId,
    /// Whether it has a connection now.
    pub is_connected: bool,
    /// The ends of that connection.
    pub ends: Option<Ends>,
}

/// How a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerHealth {
    /// Whether the journal takes entries. While it takes none, nothing is acknowledged.
    pub journal: Health,
    /// Whether the MQTT broker takes messages. While it is away, readings wait in the journal.
    pub is_broker_connected: bool,
    /// Whether alarms are in the registry before they are told. While they are not, they are told all the same.
    pub are_alarms_recorded: bool,
    /// Whether it stops, or has stopped.
    pub is_stopping: bool,
}

impl ServerHandle {
    pub(super) fn new(context: Arc<Context>, addresses: Addresses, logins: Arc<Logins>) -> Self {
        Self { context, addresses, logins }
    }

    /// Where the server listens; with the ports that the system chose.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Where people log in with a name and a password, whatever the way: limits and record are shared.
    #[must_use]
    pub fn logins(&self) -> Arc<Logins> {
        Arc::clone(&self.logins)
    }

    /// All enrolled devices, by name.
    #[must_use]
    pub fn devices(&self) -> Vec<DeviceState> {
        let connected = self.context.sessions.connected();
        let ends = self.context.ends.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let state = |device: DeviceId| {
            let is_connected = connected.contains(&device);
            DeviceState { is_connected, ends: ends.get(&device).copied().filter(|_| is_connected), device }
        };
        self.context.identifier.enrolled().into_iter().map(state).collect()
    }

    /// What is known of a device's connection, if it has one that delivers.
    #[must_use]
    pub fn connection(&self, device: &DeviceId) -> Option<ConnectionState> {
        self.context.sessions.connection(device)
    }

    /// How far the journal is: what comes from now on has a later position. By it a change of who wears a device divides what the
    /// device sends.
    #[must_use]
    pub fn journal_position(&self) -> u64 {
        self.context.intake.journal_position()
    }

    /// What happens from now on.
    #[must_use]
    pub fn feed(&self) -> Feed {
        self.context.feed.clone()
    }

    /// How it is now.
    #[must_use]
    pub fn health(&self) -> ServerHealth {
        ServerHealth {
            journal: self.context.intake.health().borrow().clone(),
            is_broker_connected: self.context.publisher.is_connected(),
            are_alarms_recorded: self.context.metrics.alarms_recorded.get() == 1,
            is_stopping: self.context.stop.is_cancelled(),
        }
    }

    /// Counts since the start.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.context.refresh_gauges();
        self.context.metrics.stats()
    }

    /// What a dashboard counts, which `/metrics` shows.
    #[must_use]
    pub fn dashboard_counters(&self) -> DashboardCounters {
        self.context.metrics.dashboard()
    }

    /// All open alarms, and the ward's counts.
    #[must_use]
    pub fn alarms(&self) -> Alarms {
        self.context.surveillance.alarms()
    }

    /// Says that someone knows of alarms: `by` is who, as it goes on record. For how many that was news.
    ///
    /// # Errors
    /// No such alarm is open, or name or reason cannot be kept.
    pub async fn acknowledge(
        &self,
        which: WhichAlarms,
        by: &str,
        reason: Option<&str>,
    ) -> Result<usize, AlarmError> {
        self.context.surveillance.acknowledge(which, by.to_owned(), reason.map(str::to_owned)).await
    }

    /// Pauses a patient's alarms, or ends the pause.
    ///
    /// # Errors
    /// The pause is too long, or no one is watched by this device.
    pub async fn silence(&self, device: DeviceId, silence: Silence, by: &str) -> Result<(), AlarmError> {
        self.context.surveillance.silence(device, silence, by.to_owned()).await
    }

    /// What devices measured, and the gaps in it, out of the journal.
    #[must_use]
    pub fn history(&self) -> History {
        History::new(self.context.intake.file(), self.context.profiles.clone())
    }
}
