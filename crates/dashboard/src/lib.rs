//! The dashboard: every patient live in a browser, their alarms and trends.
//!
//! It knows a running server by its public handles alone, and decides nothing about patients: it shows what the server says, and hands
//! on what a person says about alarms. One task reads the feed for all viewers (`hub`), each viewer has an outbox that bounds what
//! waits for it (`viewer`), and every request passes one guard (`guard`) before anyone else looks at it. What goes over the wire stands in
//! PROTOCOL.md §6.

pub mod api;
mod app;
mod border;
mod certificate;
mod events;
mod failure;
mod guard;
mod hub;
mod limits;
mod link;
mod live;
pub mod message;
mod names;
pub mod packed;
mod page;
mod people;
mod rate;
mod rest;
mod serve;
mod session;
mod sign_on;
mod time;
mod viewer;
mod ward;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vitalwire_access::{Proxies, UserName};
use vitalwire_broker::{TlsError, TlsIdentity};
use vitalwire_gateway::ServerHandle;
pub use vitalwire_oidc::{Issuer, IssuerError, ProviderConfig};
use vitalwire_registry::RegistryError;

use crate::app::{App, Looks, Uses};
use crate::certificate::Certificate;
use crate::guard::Hosts;
pub use crate::guard::{HostNames, HostNamesError};
use crate::hub::{Hub, Source};
pub use crate::limits::DashboardLimits;
use crate::limits::{HISTORIES_MAX, PREVIEWS_MAX};
pub use crate::link::LoginLink;
use crate::people::People;
use crate::session::Sessions;
pub use crate::session::{FILE as DATABASE_FILE, StoreError};
use crate::sign_on::SignOn;
pub use crate::sign_on::SignOnConfig;

/// How often sessions that are over are taken away, and the uses of others written.
const TIDY: Duration = Duration::from_secs(60);

/// What a dashboard is made of.
#[derive(Clone, Debug)]
pub struct DashboardConfig {
    /// The server's data folder.
    pub data: PathBuf,
    /// The file with its master key.
    pub master_key: PathBuf,
    /// Where browsers connect: this machine alone, unless it speaks TLS.
    pub listen: SocketAddr,
    /// The certificate with which it speaks TLS. Its names open the dashboard; when its files are others, they are loaded again.
    pub tls: Option<TlsIdentity>,
    /// Further names that browsers may know it by, as `HOST` or `HOST:PORT`: of a proxy before it.
    pub hosts: HostNames,
    /// Proxies before it, which say in `X-Forwarded-For` for whom a request is. Without it a request of theirs is refused.
    pub proxies: Proxies,
    /// Where people may log in instead.
    pub sign_on: Option<SignOnConfig>,
    /// What may be how many and how long.
    pub limits: DashboardLimits,
}

impl DashboardConfig {
    /// One for this machine alone, with the usual limits.
    #[must_use]
    pub fn new(data: impl Into<PathBuf>, master_key: impl Into<PathBuf>, listen: SocketAddr) -> Self {
        Self {
            data: data.into(),
            master_key: master_key.into(),
            listen,
            tls: None,
            hosts: HostNames::default(),
            proxies: Proxies::default(),
            sign_on: None,
            limits: DashboardLimits::default(),
        }
    }
}

/// Why a dashboard did not start.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum DashboardError {
    #[error(
        "the dashboard on {0} would send passwords and vital signs readable over the network: give it a certificate, by \
         --dashboard-tls-cert and --dashboard-tls-key, or keep --dashboard-listen on 127.0.0.1"
    )]
    Exposed(SocketAddr),
    #[error(
        "cannot listen for the dashboard on {address} (--dashboard-listen): {cause}; choose a free port, or `off`"
    )]
    Bind { address: SocketAddr, cause: std::io::Error },
    #[error("the dashboard's certificate: {0}")]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error("cannot make a login link: {0}")]
    Link(#[from] StoreError),
    #[error(transparent)]
    Provider(#[from] vitalwire_oidc::TlsError),
}

/// A running dashboard. [`Dashboard::stop`] ends it in order; it shows nothing new once its server has stopped.
pub struct Dashboard {
    address: SocketAddr,
    app: Arc<App>,
    tasks: TaskTracker,
}

impl Dashboard {
    /// Starts it beside a running server; when it returns, browsers can connect.
    ///
    /// # Errors
    /// [`DashboardError`]; nothing is left running then.
    pub async fn start(config: DashboardConfig, server: ServerHandle) -> Result<Self, DashboardError> {
        if config.tls.is_none() && !config.listen.ip().to_canonical().is_loopback() {
            return Err(DashboardError::Exposed(config.listen));
        }
        let certificate = config.tls.map(Certificate::load).transpose()?;
        let bind_error = |cause| DashboardError::Bind { address: config.listen, cause };
        let listener = TcpListener::bind(config.listen).await.map_err(bind_error)?;
        let address = listener.local_addr().map_err(bind_error)?;
        let people = People::open(&config.data, &config.master_key)?;
        let sign_on = config.sign_on.map(SignOn::new).transpose()?;
        let sessions = Sessions::open(&config.data, &config.limits, time::now_ms());
        let counters = server.dashboard_counters();
        let hub = Arc::new(Hub::new(counters.clone()));
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let app = Arc::new(App {
            logins: server.logins(),
            known: sessions.known(),
            sessions: Arc::new(Mutex::new(sessions)),
            hub: Arc::clone(&hub),
            people: people.clone(),
            looks: Looks::default(),
            used: Uses::default(),
            counters,
            hosts: Hosts::new(address, &config.hosts, certificate.is_some()),
            cookie: cookie_name(address, certificate.is_some()),
            certificate,
            proxies: config.proxies,
            sign_on,
            limits: config.limits,
            histories: Semaphore::new(HISTORIES_MAX),
            previews: Semaphore::new(PREVIEWS_MAX),
            live: TaskTracker::new(),
            stop: stop.clone(),
            server: server.clone(),
        });
        let source = Source { hub, server, logins: Arc::clone(&app.logins), people, stop };
        let feed = source.begin().await;
        tasks.spawn(source.run(feed));
        tasks.spawn(serve::run(listener, Arc::clone(&app)));
        tasks.spawn(tidy(Arc::clone(&app)));
        Ok(Self { address, app, tasks })
    }

    /// Where browsers connect, with the port that the system chose.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether they do over TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.app.is_tls()
    }

    /// An address that logs this user in, once and in this time. Whoever has it is that user.
    ///
    /// # Errors
    /// When there is no such user, or the file of sessions cannot be written.
    pub async fn login_link(&self, name: &UserName, lasts: Duration) -> Result<String, DashboardError> {
        let user = self.app.logins.user(name.as_str());
        let user = user.ok_or_else(|| DashboardError::Registry(RegistryError::UserUnknown(name.clone())))?;
        let token = self.app.sessions.lock().await.link(&user, lasts, time::now_ms())?;
        let scheme = if self.is_tls() { "https" } else { "http" };
        Ok(link::address(&format!("{scheme}://{}", self.address), &token).to_string())
    }

    /// Stops: live connections are told, answers under way are given for a moment.
    pub async fn stop(self) {
        self.app.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// With TLS a name that browsers let no one set but who speaks TLS under this host.
fn cookie_name(address: SocketAddr, is_tls: bool) -> String {
    let prefix = if is_tls { "__Host-" } else { "" };
    format!("{prefix}vitalwire_session_{}", address.port())
}

/// Loads the certificate again when its files are others.
async fn renew(app: &Arc<App>) {
    let app = Arc::clone(app);
    let reloaded = tokio::task::spawn_blocking(move || app.certificate.as_ref().map(Certificate::reload));
    match reloaded.await.ok().flatten() {
        Some(Ok(true)) => tracing::info!("the dashboard has its new certificate"),
        Some(Err(error)) => {
            tracing::error!(%error, "the dashboard's new certificate cannot be used; the one before is still served");
        }
        Some(Ok(false)) | None => {}
    }
}

async fn tidy(app: Arc<App>) {
    let mut beat = tokio::time::interval(TIDY);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while app.stop.run_until_cancelled(beat.tick()).await.is_some() {
        // It is logged, and tried again.
        let _ = app.change_sessions(|sessions| sessions.tidy(time::now_ms())).await;
        renew(&app).await;
    }
}
