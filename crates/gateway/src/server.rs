//! The server: starts registry watch, journal, broker, publisher, listener and metrics, and stops them in order.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vitalwire_access::DeviceId;
use vitalwire_broker::{Broker, BrokerConfig, BrokerError, bind_advice};
use vitalwire_journal::{Bucket, Gap, Health, Journal, JournalError, JournalLimits};
use vitalwire_registry::{Directory, DirectoryWatch, Logins, MasterKey, Registry, RegistryError};

use crate::admission::Admissions;
use crate::context::Context;
use crate::data_folder::JOURNAL;
use crate::enrolment::Enrolment;
use crate::history::{History, HistoryError, HistoryQuery};
use crate::identify::Identifier;
use crate::intake::Intake;
use crate::limits::Limits;
use crate::metrics::{Metrics, Stats};
use crate::profiles::{Profiles, ProfilesError};
use crate::publisher::Publisher;
use crate::publisher::external::{BrokerUrlError, External, ExternalBroker};
use crate::session::Sessions;
use crate::tls::Acceptor;
use crate::{backfill, erasure, http, listener};

/// A session under an old key ends at most so long after the overlap's deadline.
const STALE_CHECK: Duration = Duration::from_secs(10);

/// How long a stop lets each part finish; together under the 2 s that a supervisor grants.
const EXTERNAL_STOP_PATIENCE: Duration = Duration::from_millis(700);

/// What a server is made of.
#[derive(Debug)]
pub struct ServerConfig {
    /// The data folder with the registry.
    pub data: PathBuf,
    /// The master key's file, kept apart from the data folder.
    pub master_key: PathBuf,
    /// Where devices connect.
    pub device_listen: SocketAddr,
    /// Which broker carries the readings.
    pub broker: BrokerChoice,
    /// Where metrics and health are served; nowhere when absent.
    pub metrics_listen: Option<SocketAddr>,
    /// Limits of the device side.
    pub limits: Limits,
    /// Bounds of the journal.
    pub journal: JournalLimits,
    /// Milliseconds of values in a batch, asked of every device on the secure link; what they are set to when absent.
    pub batch_ms: Option<u32>,
}

/// Which broker carries the readings.
#[derive(Debug)]
pub enum BrokerChoice {
    /// The one in this process.
    Embedded(BrokerConfig),
    /// One elsewhere.
    External(ExternalBroker),
}

/// Where a running server listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// For devices.
    pub devices: SocketAddr,
    /// MQTT in plain.
    pub mqtt: Option<SocketAddr>,
    /// MQTT over TLS.
    pub mqtt_tls: Option<SocketAddr>,
    /// MQTT over WebSocket.
    pub mqtt_websocket: Option<SocketAddr>,
    /// Metrics and health.
    pub metrics: Option<SocketAddr>,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Registry or master key.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The embedded broker.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The devices' profiles.
    #[error(transparent)]
    Profiles(#[from] ProfilesError),
    /// The TLS library.
    #[error("the TLS library does not start: {0}")]
    Tls(String),
    /// The external broker's settings.
    #[error(transparent)]
    BrokerUrl(#[from] BrokerUrlError),
    /// A listener could not bind.
    #[error("cannot listen for {what} on {address} ({flag}): {cause}; {}", bind_advice(cause))]
    Bind {
        /// What the listener is for.
        what: &'static str,
        /// The flag that chooses the address.
        flag: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        cause: std::io::Error,
    },
}

/// A running server. [`Server::stop`] ends it in order; dropping it aborts the listener.
pub struct Server {
    context: Arc<Context>,
    addresses: Addresses,
    connections: TaskTracker,
    services: TaskTracker,
    watch: DirectoryWatch,
    stale_sessions: JoinHandle<()>,
}

impl Server {
    /// Starts everything; when it returns, devices and readers can connect.
    ///
    /// # Errors
    /// [`ServerError`] when the registry cannot be opened or a listener cannot bind; nothing is left running then.
    pub async fn start(config: ServerConfig) -> Result<Self, ServerError> {
        let master_key = MasterKey::load(&config.master_key)?;
        let registry = Registry::open(&config.data, &master_key)?;
        let enrolment = Enrolment::new(Registry::open(&config.data, &master_key)?);
        let profiles = Profiles::load(&config.data)?;
        let devices = listener::bind(config.device_listen)
            .map_err(|cause| bind_error("devices", "--listen", config.device_listen, cause))?;
        let metrics_listener = bind_metrics(config.metrics_listen).await?;
        let (watch, directory) = vitalwire_registry::watch(registry)?;
        let acceptor =
            Acceptor::new(directory.clone()).map_err(|error| ServerError::Tls(error.to_string()))?;
        let metrics = Metrics::new();
        let journal = Journal::open(&config.data.join(JOURNAL), &config.journal)?;
        let logins = Arc::new(Logins::new(directory.clone()));
        let publisher = start_publisher(config.broker, &config.limits, &metrics, &logins).await?;
        let publisher = Arc::new(publisher);
        publisher.mark_all_offline().await;
        let mut addresses = Addresses {
            devices: devices.local_addr().unwrap_or(config.device_listen),
            mqtt: None,
            mqtt_tls: None,
            mqtt_websocket: None,
            metrics: metrics_listener.as_ref().and_then(|listener| listener.local_addr().ok()),
        };
        if let Publisher::Embedded(broker) = &*publisher {
            let mqtt = broker.addresses();
            (addresses.mqtt, addresses.mqtt_tls, addresses.mqtt_websocket) =
                (mqtt.plain, mqtt.tls, mqtt.websocket);
        }
        let context = Arc::new(Context {
            admissions: Arc::new(Admissions::new(&config.limits)),
            identifier: Identifier::new(directory.clone(), &config.limits),
            acceptor,
            enrolment,
            profiles,
            intake: Arc::new(Intake::new(journal, Arc::clone(&publisher), metrics.clone())),
            batch_ms: config.batch_ms,
            sessions: Arc::new(Sessions::new(config.limits.takeover_silence)),
            publisher,
            metrics,
            limits: config.limits,
            stop: CancellationToken::new(),
        });
        let (connections, services) = (TaskTracker::new(), TaskTracker::new());
        services.spawn(listener::run(devices, Arc::clone(&context), connections.clone()));
        services.spawn(backfill::run(Arc::clone(&context)));
        services.spawn(tell_health(Arc::clone(&context)));
        services.spawn(erasure::run(directory.clone(), Arc::clone(&context)));
        services.spawn(record_logins(logins, Arc::clone(&context)));
        if let Some(listener) = metrics_listener {
            services.spawn(http::run(listener, Arc::clone(&context)));
        }
        let stale_sessions = tokio::spawn(end_stale_sessions(directory, Arc::clone(&context.sessions)));
        Ok(Self { context, addresses, connections, services, watch, stale_sessions })
    }

    /// Where it listens; with the ports that the system chose.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Counts since the start.
    pub fn stats(&self) -> Stats {
        self.context.refresh_gauges();
        self.context.metrics.stats()
    }

    /// The values of a channel in a range of time, thinned.
    ///
    /// # Errors
    /// A range that makes no sense or is too long; or the journal cannot be read.
    pub async fn history(&self, query: &HistoryQuery) -> Result<Vec<Bucket>, HistoryError> {
        self.history_reader().query(query).await
    }

    /// The newest gaps in what a device sent, at most `limit`.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn gaps(&self, device: &DeviceId, limit: usize) -> Result<Vec<Gap>, JournalError> {
        self.history_reader().gaps(device, limit).await
    }

    fn history_reader(&self) -> History {
        History::new(self.context.intake.file(), self.context.profiles.clone())
    }

    /// Stops: accepts no more, takes what devices have sent already, publishes that they are offline, and
    /// lets the broker hand on what it holds. Takes at most 2 s.
    pub async fn stop(self) {
        let Self { context, connections, services, watch, stale_sessions, .. } = self;
        context.stop.cancel();
        connections.close();
        services.close();
        let patience = context.limits.stop_timeout;
        let drained = async {
            services.wait().await;
            connections.wait().await;
        };
        if tokio::time::timeout(patience, drained).await.is_err() {
            tracing::warn!(left = connections.len(), "stopped before all connections had ended");
        }
        stale_sessions.abort();
        drop(watch);
        // First the broker: what it has on the disk, or elsewhere, the next start need not publish.
        match &*context.publisher {
            Publisher::Embedded(broker) => broker.stop().await,
            Publisher::External(external) => external.stop(EXTERNAL_STOP_PATIENCE).await,
        }
        // Commits what is queued and the backfill's position.
        let close = async {
            backfill::finish(&context.intake).await;
            context.intake.close().await;
        };
        if tokio::time::timeout(patience, close).await.is_err() {
            tracing::warn!("stopped before the journal was closed; what was acknowledged is on the disk");
        }
    }
}

fn bind_error(
    what: &'static str,
    flag: &'static str,
    address: SocketAddr,
    cause: std::io::Error,
) -> ServerError {
    ServerError::Bind { what, flag, address, cause }
}

async fn bind_metrics(address: Option<SocketAddr>) -> Result<Option<TcpListener>, ServerError> {
    let Some(address) = address else { return Ok(None) };
    let bound = TcpListener::bind(address).await;
    bound.map(Some).map_err(|cause| bind_error("metrics", "--metrics-listen", address, cause))
}

async fn start_publisher(
    choice: BrokerChoice,
    limits: &Limits,
    metrics: &Metrics,
    logins: &Arc<Logins>,
) -> Result<Publisher, ServerError> {
    Ok(match choice {
        BrokerChoice::Embedded(config) => {
            Publisher::Embedded(Broker::start(config, Arc::clone(logins)).await?)
        }
        BrokerChoice::External(broker) => {
            Publisher::External(External::start(broker, limits.backlog_bytes_max, metrics.clone())?)
        }
    })
}

/// Puts who logs in here into the audit log. An external broker keeps its own record.
async fn record_logins(logins: Arc<Logins>, context: Arc<Context>) {
    let Some(records) = logins.records() else { return };
    context.stop.run_until_cancelled(context.enrolment.clone().record_users(records)).await;
}

/// Tells whoever watches when the journal takes no entries, and when it does again.
async fn tell_health(context: Arc<Context>) {
    let mut health = context.intake.health();
    loop {
        let now = health.borrow_and_update().clone();
        context.metrics.journal_healthy.set(u64::from(now == Health::Ok));
        let told = match &now {
            // At the start nothing has happened yet.
            Health::Ok => None,
            Health::Full { held_by: None, .. } => Some((
                "journal-full",
                "the disk is full: nothing is acknowledged until there is room".to_owned(),
            )),
            Health::Full { held_by: Some(reader), .. } => Some((
                "journal-full",
                format!("its bound is reached, and `{reader}` has not read the oldest entries"),
            )),
            Health::Failing { cause, .. } => Some(("journal-failing", cause.clone())),
        };
        if let Some((kind, detail)) = told {
            context.publisher.server_event(kind, &detail).await;
        }
        tokio::select! {
            changed = health.changed() => if changed.is_err() { return },
            () = context.stop.cancelled() => return,
        }
        if now != Health::Ok && *health.borrow() == Health::Ok {
            context.publisher.server_event("journal-back", &"entries are taken again").await;
        }
    }
}

/// Ends the sessions of devices that were revoked or whose key is no longer valid.
async fn end_stale_sessions(mut directory: watch::Receiver<Arc<Directory>>, sessions: Arc<Sessions>) {
    loop {
        if let Ok(Err(_)) = tokio::time::timeout(STALE_CHECK, directory.changed()).await {
            return;
        }
        let current = directory.borrow_and_update().clone();
        sessions.end_stale(|credential| credential.is_current(&current));
    }
}
