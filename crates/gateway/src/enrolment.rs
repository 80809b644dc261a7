//! What the server itself changes in the registry: the end of a rotation's overlap, finished erasures, and logins in the
//! audit log. Everything else is the operator's, by the command line.

use std::collections::{BTreeSet, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use vitalwire_access::DeviceId;
use vitalwire_registry::{
    AlarmQuery, AlarmRecord, AlarmWrite, LinkId, Login, LoginKind, Registry, RegistryError, StayId,
};

/// How often the counts of repeated logins are written.
const FLUSH_INTERVAL: Duration = Duration::from_secs(60);

/// What is known of alarms at a start.
pub(crate) struct KeptAlarms {
    pub(crate) next_number: u64,
    pub(crate) open: Vec<AlarmRecord>,
    pub(crate) paused: Vec<StayId>,
    pub(crate) lately: BTreeSet<DeviceId>,
}

/// Whether the same may succeed later: the disk, or another process, was in the way.
fn may_pass(error: &RegistryError) -> bool {
    matches!(
        error,
        RegistryError::Busy { .. }
            | RegistryError::DiskFull
            | RegistryError::Database(_)
            | RegistryError::File { .. }
            | RegistryError::Random(_)
            | RegistryError::MasterKeyRotated { .. }
    )
}

/// The registry, opened for writing; what waits for the disk leaves the reactor.
#[derive(Clone)]
pub(crate) struct Enrolment {
    registry: Arc<Mutex<Registry>>,
    /// Links whose first use since the start is on record. Bounded by the number of links ever enrolled.
    used: Arc<Mutex<HashSet<LinkId>>>,
}

impl Enrolment {
    pub(crate) fn new(registry: Registry) -> Self {
        let registry = registry.acting_as("server");
        Self { registry: Arc::new(Mutex::new(registry)), used: Arc::default() }
    }

    /// Records the first use of a link since the start; a device may connect a thousand times a day.
    pub(crate) fn note_device_login(&self, device: DeviceId, link: LinkId, peer: SocketAddr) {
        let is_first = self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(link);
        if is_first {
            let this = self.clone();
            tokio::spawn(async move { this.record(LoginKind::Device, device.to_string(), peer).await });
        }
    }

    /// Records who logs in with a name and a password.
    pub(crate) async fn record_users(self, mut logins: mpsc::Receiver<Login>) {
        let mut beat = tokio::time::interval(FLUSH_INTERVAL);
        loop {
            tokio::select! {
                login = logins.recv() => {
                    let Some(Login { user, peer, accepted }) = login else { return };
                    let kind = if accepted { LoginKind::User } else { LoginKind::Refused };
                    self.record(kind, user, peer).await;
                }
                // Repeated logins are counted and told together.
                _ = beat.tick() => if let Err(error) = self.execute(Registry::flush_logins).await {
                    tracing::error!(%error, "logins could not be recorded in the audit log");
                }
            }
        }
    }

    async fn record(&self, kind: LoginKind, subject: String, peer: SocketAddr) {
        let detail = format!("from {}", peer.ip());
        let recorded = self.execute(move |registry| registry.record_login(kind, &subject, &detail)).await;
        if let Err(error) = recorded {
            tracing::error!(%error, "a login could not be recorded in the audit log");
        }
    }

    /// The device used its new link: the old one is refused from now on. If it cannot be written now, the next
    /// connection tries again, and the overlap ends at its deadline in any case.
    pub(crate) fn confirm_rotation(&self, device: DeviceId, link: LinkId) {
        let this = self.clone();
        tokio::spawn(async move {
            let confirmed = {
                let device = device.clone();
                this.execute(move |registry| registry.confirm_rotation(&device, &link)).await
            };
            match confirmed {
                Ok(true) => {
                    tracing::info!(%device, "the new key is in use; the old one is refused from now on")
                }
                Ok(false) => {}
                Err(error) => tracing::error!(%device, %error, "the end of the old key could not be written"),
            }
        });
    }

    /// Writes changes of alarms with their audit records, all of them or none. One that the registry can never keep is left out, so
    /// that it holds up no other.
    pub(crate) async fn write_alarms(&self, writes: Vec<AlarmWrite>) -> Result<(), RegistryError> {
        self.execute(move |registry| match registry.write_alarms(&writes) {
            Err(error) if !may_pass(&error) => {
                for write in &writes {
                    match registry.write_alarms(std::slice::from_ref(write)) {
                        Err(error) if !may_pass(&error) => {
                            tracing::error!(number = write.number, %error, "a change of an alarm is not kept");
                        }
                        written => written?,
                    }
                }
                Ok(())
            }
            written => written,
        })
        .await
    }

    /// What the registry knows of alarms: the open ones, and of which devices some were raised since `since_us`.
    pub(crate) async fn kept_alarms(&self, since_us: i64) -> Result<KeptAlarms, RegistryError> {
        self.execute(move |registry| {
            let open = registry.open_alarms()?;
            let lately = registry.alarms(&AlarmQuery { from_us: Some(since_us), ..AlarmQuery::default() })?;
            Ok(KeptAlarms {
                next_number: registry.next_alarm_number()?,
                open,
                paused: registry.alarm_pauses()?.into_iter().map(|(stay, _)| stay).collect(),
                lately: lately.into_iter().filter_map(|record| record.device).collect(),
            })
        })
        .await
    }

    /// All links that devices of this name ever had.
    pub(crate) async fn links_ever(&self, device: DeviceId) -> Result<BTreeSet<LinkId>, RegistryError> {
        self.execute(move |registry| registry.links_ever(&device)).await
    }

    /// Notes that a device's readings are gone.
    pub(crate) async fn erasure_done(
        &self,
        device: DeviceId,
        entries: u64,
        proof: String,
    ) -> Result<(), RegistryError> {
        // False when it was noted before.
        self.execute(move |registry| registry.erasure_done(&device, entries, &proof)).await.map(drop)
    }

    /// Asks the registry, or changes it, off the reactor.
    pub(crate) async fn execute<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Registry) -> Result<T, RegistryError> + Send + 'static,
    ) -> Result<T, RegistryError> {
        let registry = Arc::clone(&self.registry);
        let executed = tokio::task::spawn_blocking(move || {
            let mut registry = registry.lock().unwrap_or_else(PoisonError::into_inner);
            registry.follow_file()?;
            act(&registry)
        });
        executed.await.expect("what asks the registry does not panic")
    }
}
