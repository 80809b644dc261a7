//! The server: starts registry watch, journal, broker, publisher, listener and metrics, and stops them in order.

mod addresses;
mod handle;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, error_span};
use vitalwire_access::Proxies;
use vitalwire_broker::bind_advice;
use vitalwire_journal::{Health, Journal, JournalError, JournalLimits};
use vitalwire_registry::{Directory, DirectoryWatch, Logins, Registry, RegistryError};
use vitalwire_vitals::alarm::Timing;

use crate::admission::Admissions;
use crate::context::Context;
use crate::control::Control;
use crate::data_folder::JOURNAL;
use crate::enrolment::Enrolment;
use crate::escalation::{Target, WebHookConfig, WebHookError, WebHooks};
use crate::event::ServerEvent;
use crate::feed::Feed;
use crate::identify::Identifier;
use crate::intake::Intake;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::profiles::{Profiles, ProfilesError};
use crate::publisher::{BrokerChoice, JournalArchive, Publisher, PublisherError, Surroundings};
use crate::session::Sessions;
use crate::surveillance::Surveillance;
use crate::tls::Acceptor;
use crate::{backfill, erasure, history, http, listener, stays, surveillance};

pub use self::addresses::Addresses;
pub use self::handle::{DeviceState, ServerHandle, ServerHealth};
pub use crate::session::ConnectionState;

/// A session under an old key ends at most so long after the overlap's deadline.
const STALE_CHECK: Duration = Duration::from_secs(10);

/// How long a stop waits for what is on its way into the journal.
const SETTLE_PATIENCE: Duration = Duration::from_millis(300);

/// What a server is made of.
#[derive(Debug)]
pub struct ServerConfig {
    /// The data folder with the registry.
    pub data: PathBuf,
    /// The master key's file, kept apart from the data folder.
    pub master_key: PathBuf,
    /// Where devices connect.
    pub device_listen: SocketAddr,
    /// Proxies before `device_listen`, which begin each connection with a header of the PROXY protocol, version 2, in which
    /// they say for whom it is. Without the header a connection of theirs is refused.
    pub device_proxies: Proxies,
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
    /// When people are told again of an alarm that no one acknowledges, and when others are.
    pub alarm_timing: Timing,
    /// Who is told of alarms that no one acknowledges; no one when absent.
    pub web_hooks: Option<WebHookConfig>,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ServerError {
    /// Registry or master key.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The embedded broker, or the external one's settings.
    #[error(transparent)]
    Publisher(#[from] PublisherError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Profiles(#[from] ProfilesError),
    #[error(transparent)]
    WebHooks(#[from] WebHookError),
    #[error("the TLS library does not start: {0}")]
    Tls(String),
    #[error("cannot listen for {what} on {address} ({flag}): {cause}; {}", bind_advice(cause))]
    Bind {
        /// What the listener is for.
        what: &'static str,
        /// The flag that chooses the address.
        flag: &'static str,
        address: SocketAddr,
        cause: std::io::Error,
    },
}

/// A running server. [`Server::stop`] ends it in order; dropping it aborts the listener.
pub struct Server {
    context: Arc<Context>,
    handle: ServerHandle,
    connections: TaskTracker,
    services: TaskTracker,
    watch: DirectoryWatch,
    stale_sessions: JoinHandle<()>,
    surveillance: Surveillance,
}

impl Server {
    /// Starts everything; when it returns, devices and readers can connect.
    ///
    /// # Errors
    /// [`ServerError`] when the registry cannot be opened or a listener cannot bind; nothing is left running then.
    pub async fn start(config: ServerConfig) -> Result<Self, ServerError> {
        let open = || Registry::open_with_key_file(&config.data, &config.master_key);
        let registry = open()?;
        let enrolment = Enrolment::new(open()?);
        let profiles = Profiles::load(&config.data)?;
        let devices = listener::bind(config.device_listen)
            .map_err(|cause| bind_error("devices", "--listen", config.device_listen, cause))?;
        let metrics_listener = bind_metrics(config.metrics_listen).await?;
        let (watch, directory) = vitalwire_registry::watch(registry)?;
        let acceptor =
            Acceptor::new(directory.clone()).map_err(|error| ServerError::Tls(error.to_string()))?;
        let metrics = Metrics::new();
        let (web_hooks, hook_jobs) = WebHooks::new(config.web_hooks.as_ref(), &metrics)?;
        let journal = Journal::open(&config.data.join(JOURNAL), &config.journal)?;
        let logins = Arc::new(Logins::new(directory.clone(), config.limits.logins.clone()));
        let feed = Feed::new(metrics.clone());
        let archive = Arc::new(JournalArchive::new(&journal, profiles.clone()));
        let surroundings = Surroundings {
            data: &config.data,
            limits: &config.limits,
            metrics: &metrics,
            logins: &logins,
            feed: &feed,
            archive,
        };
        let publisher = Publisher::start(config.broker, surroundings).await?;
        // Before devices connect: it misses nothing of them.
        let (desk, prepared) = surveillance::prepare(&enrolment, &journal.file(), &feed).await?;
        let devices_at = devices.local_addr().unwrap_or(config.device_listen);
        let addresses = Addresses::new(devices_at, publisher.addresses(), metrics_listener.as_ref());
        let context = Arc::new(Context {
            admissions: Arc::new(Admissions::new(&config.limits)),
            identifier: Identifier::new(directory.clone(), &config.limits),
            acceptor,
            enrolment,
            profiles,
            intake: Arc::new(Intake::new(journal, feed.clone(), metrics.clone())),
            batch_ms: config.batch_ms,
            device_proxies: config.device_proxies,
            data: config.data,
            sessions: Arc::new(Sessions::new(config.limits.takeover_silence)),
            web_hooks,
            alarm_timing: config.alarm_timing,
            feed,
            publisher,
            surveillance: desk,
            ends: Mutex::default(),
            metrics,
            limits: config.limits,
            stop: CancellationToken::new(),
        });
        stays::begin(&context).await;
        let (connections, services) = (TaskTracker::new(), TaskTracker::new());
        let surveillance = Surveillance::start(prepared, directory.clone(), Arc::clone(&context));
        let handle = ServerHandle::new(Arc::clone(&context), addresses, Arc::clone(&logins));
        start_services(&services, &context, &directory, logins, (hook_jobs, config.journal.age_max));
        services.spawn(listener::run(devices, Arc::clone(&context), connections.clone()));
        metrics_listener.map(|listener| services.spawn(http::run(listener, Arc::clone(&context))));
        let stale_sessions = tokio::spawn(end_stale_sessions(directory, Arc::clone(&context.sessions)));
        Ok(Self { context, handle, connections, services, watch, stale_sessions, surveillance })
    }

    /// Asks it, also from elsewhere.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// Stops: accepts no more, takes what devices have sent already, publishes that they are offline, and
    /// lets the broker hand on what it holds. Takes at most 2 s.
    pub async fn stop(self) {
        let Self { context, connections, services, watch, stale_sessions, surveillance, .. } = self;
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
        surveillance.finish(patience).await;
        drop(watch);
        // First the broker: what it has on the disk, or elsewhere, the next start need not publish.
        context.feed.close();
        context.publisher.finish().await;
        let settle = async {
            context.intake.settled().await;
            backfill::finish(&context.intake).await
        };
        // So that sessions know what their clients have had.
        if let Ok(Some(through)) = tokio::time::timeout(SETTLE_PATIENCE, settle).await {
            context.publisher.note_published(through);
        }
        context.publisher.stop().await;
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

/// Starts the jobs that run until the stop, but those that serve a port.
fn start_services(
    services: &TaskTracker,
    context: &Arc<Context>,
    directory: &watch::Receiver<Arc<Directory>>,
    logins: Arc<Logins>,
    (hooks, age_max): (Vec<Target>, Option<Duration>),
) {
    let context = || Arc::clone(context);
    services.spawn(backfill::run(context()).instrument(error_span!("backfill")));
    services.spawn(history::keep_sums(context()).instrument(error_span!("sums")));
    services.spawn(tell_health(context()).instrument(error_span!("health")));
    services.spawn(erasure::run(directory.clone(), context()).instrument(error_span!("erasure")));
    if let Some(control) = Control::open(&context().data) {
        services.spawn(control.run(context()).instrument(error_span!("control")));
    }
    services.spawn(stays::run(context(), age_max).instrument(error_span!("stays")));
    for hook in hooks {
        services.spawn(hook.run(context().stop.clone()).instrument(error_span!("web hook")));
    }
    services.spawn(record_logins(logins, context()).instrument(error_span!("logins")));
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

/// Puts who logs in here into the audit log. An external broker keeps its own record.
async fn record_logins(logins: Arc<Logins>, context: Arc<Context>) {
    let Some(records) = logins.records() else { return };
    context.stop.run_until_cancelled(context.enrolment.clone().record_users(records)).await;
}

/// Tells those who watch when the journal takes no entries, and when it does again.
async fn tell_health(context: Arc<Context>) {
    let mut health = context.intake.health();
    loop {
        let now = health.borrow_and_update().clone();
        context.metrics.journal_healthy.set(u64::from(now == Health::Ok));
        match &now {
            // At the start nothing has happened yet.
            Health::Ok => {}
            Health::Full { held_by, .. } => {
                context.tell_server(ServerEvent::JournalFull { held_by: held_by.clone() });
            }
            Health::Failing { cause, .. } => {
                context.tell_server(ServerEvent::JournalFailing { cause: cause.clone() });
            }
        }
        tokio::select! {
            changed = health.changed() => if changed.is_err() { return },
            () = context.stop.cancelled() => return,
        }
        if now != Health::Ok && *health.borrow() == Health::Ok {
            context.tell_server(ServerEvent::JournalBack);
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
