//! The parts put together: the core with its clock, who may do what, connections, storage. No port is open but those of the
//! listeners.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};
use vitalwire_access::{Role, acl};
use vitalwire_registry::{Directory, Logins};

use crate::archive::MaybeArchive;
use crate::connections::{Caps, Connections};
use crate::core::session::Will;
use crate::core::{At, Core};
use crate::counters::Counters;
use crate::error::BrokerError;
use crate::limits::BrokerLimits;
use crate::message::Publication;
use crate::shared::SharedCore;
use crate::storage::{self, Storage};

/// How often ended sessions, expired messages and delayed wills are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// One warning about messages that found no room in this long, however many they are.
const DROP_WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// See the module.
pub(crate) struct Engine {
    pub(crate) limits: BrokerLimits,
    pub(crate) core: Arc<SharedCore>,
    pub(crate) logins: Arc<Logins>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) storage: Storage,
    pub(crate) archive: MaybeArchive,
    pub(crate) stopping: CancellationToken,
    pub(crate) serving: TaskTracker,
}

impl Engine {
    /// Reads the storage, restores what may still be restored, and is ready to serve.
    pub(crate) async fn start(
        folder: &Path,
        limits: BrokerLimits,
        archive: MaybeArchive,
        logins: Arc<Logins>,
    ) -> Result<Arc<Self>, BrokerError> {
        let folder = folder.to_path_buf();
        let (stored, file) = tokio::task::spawn_blocking(move || storage::open(&folder))
            .await
            .map_err(|error| BrokerError::Thread(std::io::Error::other(error)))??;
        let now_s = stored.now_s;
        let mut core = Core::restored(limits.core(), stored, archive.as_ref().map(|archive| archive.head()));
        let directory = Arc::clone(&logins.directory().borrow());
        trim(&mut core, &directory);
        let core = Arc::new(SharedCore::new(core, now_s));
        let counters = Arc::new(Counters::default());
        let storage = Storage::start(file, Arc::clone(&core), Arc::clone(&counters))?;
        let caps =
            Caps { total_max: limits.connections_max, per_address_max: limits.connections_per_address_max };
        Ok(Arc::new(Self {
            limits,
            core,
            logins,
            connections: Arc::new(Connections::new(caps)),
            counters,
            storage,
            archive,
            stopping: CancellationToken::new(),
            serving: TaskTracker::new(),
        }))
    }

    /// Whether the user, as it is now, may do something.
    pub(crate) fn role_allows(&self, user: &str, allows: impl FnOnce(&Role) -> bool) -> bool {
        self.logins.user(user).is_some_and(|user| allows(&user.role))
    }

    /// Publishes for a client or as its will. Its expiry begins now. What is to be published `once` came from this connection
    /// under this packet id.
    pub(crate) fn publish(
        &self,
        mut publication: Publication,
        expiry_s: Option<u32>,
        once: Option<(At, u16)>,
    ) {
        let mut core = self.core.lock();
        if let Some((at, packet_id)) = once {
            core.note_taken(at, packet_id);
        }
        if publication.retain && publication.payload.len() > self.limits.retained_bytes_max {
            // Not worth keeping: it goes to those who are here.
            publication.retain = false;
            core.count_not_retained();
        }
        publication.expires_s = expiry_s.map(|expiry_s| core.now_s + u64::from(expiry_s));
        core.publish(publication);
        core.flush();
    }

    /// Publishes the will of a user, who may have lost the right to it since it connected.
    pub(crate) fn publish_will(&self, user: &str, will: Will) {
        let topic = Arc::clone(&will.publication.topic);
        if !self.role_allows(user, |role| acl::may_publish(role, &topic)) {
            info!(user, ?topic, "a will is not published: its user may no longer publish there");
            return;
        }
        self.publish(will.publication, will.expiry_s, None);
    }

    /// Sweeps out what has expired, until the engine stops.
    pub(crate) async fn sweep(self: Arc<Self>) {
        let mut interval = tokio::time::interval(SWEEP_INTERVAL);
        let (mut dropped, mut warned): (u64, Option<Instant>) = (0, None);
        loop {
            tokio::select! {
                () = self.stopping.cancelled() => return,
                _ = interval.tick() => {}
            }
            let wills = self.core.lock().sweep();
            for (user, will) in wills {
                self.publish_will(&user, will);
            }
            let total = self.core.lock().stats().sent.dropped;
            if total > dropped && warned.is_none_or(|last| last.elapsed() >= DROP_WARNING_INTERVAL) {
                warn!(
                    messages = total - dropped,
                    total,
                    "readers of MQTT are too slow, or away for too long: messages for them are dropped"
                );
                (dropped, warned) = (total, Some(Instant::now()));
            }
        }
    }
}

/// Takes out of every session what its user may no longer have; of how many something was taken.
pub(crate) fn trim(core: &mut Core, directory: &Directory) -> usize {
    core.trim(|user, filter| directory.users.get(user).map(|user| acl::may_subscribe(&user.role, filter)))
}
