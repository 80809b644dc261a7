//! The dashboard: every patient live in a browser, their alarms and trends.
//!
//! It knows a running server by its public handles alone, and decides nothing about patients: it shows what the server says, and hands
//! on what a person says about alarms. One task reads the feed for all viewers (`hub`), each viewer has an outbox that bounds what
//! waits for it (`viewer`), and every request passes one guard (`guard`) before anyone else looks at it. What goes over the wire stands in
//! PROTOCOL.md §6.

pub mod api;
mod app;
mod border;
mod failure;
mod guard;
mod hub;
mod limits;
mod live;
pub mod message;
mod names;
pub mod packed;
mod page;
mod people;
mod rest;
mod serve;
mod session;
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
use vitalwire_access::UserName;
use vitalwire_gateway::ServerHandle;
use vitalwire_registry::RegistryError;

use crate::app::{App, Looks};
use crate::guard::Hosts;
pub use crate::guard::{HostNames, HostNamesError};
use crate::hub::{Hub, Source};
pub use crate::limits::DashboardLimits;
use crate::limits::HISTORIES_MAX;
use crate::people::People;
use crate::session::Sessions;

/// How often sessions that are over are taken away, and the uses of others written.
const TIDY: Duration = Duration::from_secs(60);

/// What a dashboard is made of.
#[derive(Clone, Debug)]
pub struct DashboardConfig {
    /// The server's data folder.
    pub data: PathBuf,
    /// The file with its master key.
    pub master_key: PathBuf,
    /// Where browsers connect: this machine alone, as the dashboard speaks no TLS itself.
    pub listen: SocketAddr,
    /// Further names that browsers may know it by, as `HOST` or `HOST:PORT`: of a proxy before it.
    pub hosts: HostNames,
    /// What may be how many and how long.
    pub limits: DashboardLimits,
}

/// Why a dashboard did not start.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum DashboardError {
    #[error(
        "the dashboard on {0} would send passwords and vital signs readable over the network. Keep --dashboard-listen on 127.0.0.1; \
         for other machines put a TLS reverse proxy before it, and its name into dashboard.hosts"
    )]
    Exposed(SocketAddr),
    #[error(
        "cannot listen for the dashboard on {address} (--dashboard-listen): {cause}; choose a free port, or `off`"
    )]
    Bind { address: SocketAddr, cause: std::io::Error },
    #[error(transparent)]
    Registry(#[from] RegistryError),
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
        if !config.listen.ip().to_canonical().is_loopback() {
            return Err(DashboardError::Exposed(config.listen));
        }
        let bind_error = |cause| DashboardError::Bind { address: config.listen, cause };
        let listener = TcpListener::bind(config.listen).await.map_err(bind_error)?;
        let address = listener.local_addr().map_err(bind_error)?;
        let people = People::open(&config.data, &config.master_key)?;
        let sessions = Sessions::open(&config.data, &config.limits, time::now_ms());
        let (hub, stop, tasks) = (Arc::<Hub>::default(), CancellationToken::new(), TaskTracker::new());
        let app = Arc::new(App {
            logins: server.logins(),
            sessions: Arc::new(Mutex::new(sessions)),
            hub: Arc::clone(&hub),
            people: people.clone(),
            looks: Looks::default(),
            hosts: Hosts::new(address, &config.hosts),
            cookie: format!("vitalwire_session_{}", address.port()),
            limits: config.limits,
            histories: Semaphore::new(HISTORIES_MAX),
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

    /// An address that logs this user in, once, in this time and while the dashboard runs. Whoever has it is that user.
    pub async fn login_link(&self, user: UserName, lasts: Duration) -> String {
        let token = self.app.sessions.lock().await.link(user, lasts, time::now_ms());
        // Behind `#` it goes to no server, log or proxy.
        format!("http://{}/#link={}", self.address, *token)
    }

    /// Stops: live connections are told, answers under way are given for a moment.
    pub async fn stop(self) {
        self.app.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

async fn tidy(app: Arc<App>) {
    let mut beat = tokio::time::interval(TIDY);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while app.stop.run_until_cancelled(beat.tick()).await.is_some() {
        // It is logged, and tried again.
        let _ = app.change_sessions(|sessions| sessions.tidy(time::now_ms())).await;
    }
}
