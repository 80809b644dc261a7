//! Server and fleet, each on a thread of its own with a current-thread runtime, as architecture.md measured best.

use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio_util::sync::CancellationToken;
use vitalwire_access::UserName;
use vitalwire_dashboard::{Dashboard, DashboardConfig, DashboardError};
use vitalwire_gateway::{Addresses, Server, ServerConfig};
use vitalwire_simulator::fleet::{FleetConfig, FleetObserver, FleetReport, run_fleet};

use crate::signals::asked_to_stop;

pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start an event loop")
}

pub(super) fn spawn<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<JoinHandle<anyhow::Result<T>>> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.spawn(run).with_context(|| format!("cannot start the {name} thread"))
}

pub(super) fn join<T>(thread: JoinHandle<anyhow::Result<T>>, name: &str) -> anyhow::Result<T> {
    thread.join().map_err(|_| anyhow!("the {name} thread failed; this is a bug, please report it"))?
}

/// How long the link to the dashboard can be used. Who lets a demonstration run for longer opened it before.
const LINK_LASTS: Duration = Duration::from_secs(12 * 3_600);

/// A running server, with its dashboard.
pub(crate) struct ServerThread {
    pub(crate) addresses: Addresses,
    /// Opens the dashboard, once.
    pub(crate) link: String,
    stop: CancellationToken,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl ServerThread {
    /// Starts it; when this returns, devices and readers can connect. The link logs in as `viewer`. When
    /// the dashboard's address is taken after all, it may move to another port.
    ///
    /// # Errors
    /// When it cannot start.
    pub(crate) fn start(
        config: ServerConfig,
        dashboard: DashboardConfig,
        may_move: bool,
        viewer: UserName,
    ) -> anyhow::Result<Self> {
        let stop = CancellationToken::new();
        let halt = stop.clone();
        // One message: addresses or the reason why there are none.
        let (ready, wait) = mpsc::sync_channel(1);
        let thread = spawn("server", move || {
            let runtime = runtime()?;
            runtime.block_on(async {
                match start(config, dashboard, may_move).await {
                    Ok((server, dashboard)) => {
                        let link = dashboard.login_link(&viewer, LINK_LASTS).await;
                        // No one waits any more only when the demonstration has ended.
                        let _ = ready
                            .send(link.map(|link| (server.handle().addresses(), link)).map_err(Into::into));
                        halt.cancelled().await;
                        dashboard.stop().await;
                        server.stop().await;
                    }
                    Err(error) => {
                        let _ = ready.send(Err(error));
                    }
                }
            });
            runtime.shutdown_background();
            Ok(())
        })?;
        let (addresses, link) = wait.recv().context("the server ended before it was ready")??;
        Ok(Self { addresses, link, stop, thread })
    }

    /// Stops it in order.
    ///
    /// # Errors
    /// When its thread failed.
    pub(crate) fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        join(self.thread, "server")
    }
}

async fn start(
    config: ServerConfig,
    dashboard: DashboardConfig,
    may_move: bool,
) -> anyhow::Result<(Server, Dashboard)> {
    let server = Server::start(config).await?;
    let mut elsewhere = dashboard.clone();
    elsewhere.listen.set_port(0);
    let mut started = Dashboard::start(dashboard, server.handle()).await;
    if may_move && matches!(started, Err(DashboardError::Bind { .. })) {
        started = Dashboard::start(elsewhere, server.handle()).await;
    }
    match started {
        Ok(dashboard) => Ok((server, dashboard)),
        Err(error) => {
            server.stop().await;
            Err(error.into())
        }
    }
}

/// A running fleet.
pub(crate) struct FleetThread {
    stop: CancellationToken,
    thread: JoinHandle<anyhow::Result<FleetReport>>,
}

impl FleetThread {
    /// Starts it. `ended` is cancelled when it has ended, by itself or by Ctrl-C.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(crate) fn start(
        config: FleetConfig,
        observer: Arc<FleetObserver>,
        ended: CancellationToken,
    ) -> anyhow::Result<Self> {
        let stop = CancellationToken::new();
        let halt = stop.clone();
        let thread = spawn("fleet", move || {
            let _ended = ended.drop_guard();
            Ok(runtime()?.block_on(async {
                let fleet = run_fleet(config, observer, halt.clone());
                tokio::pin!(fleet);
                tokio::select! {
                    report = &mut fleet => report,
                    // With a live view Ctrl-C is a key.
                    () = asked_to_stop() => {
                        halt.cancel();
                        fleet.await
                    }
                }
            })?)
        })?;
        Ok(Self { stop, thread })
    }

    /// Stops it; devices finish their frame and close.
    ///
    /// # Errors
    /// When it could not run.
    pub(crate) fn stop(self) -> anyhow::Result<FleetReport> {
        self.stop.cancel();
        join(self.thread, "fleet")
    }
}
