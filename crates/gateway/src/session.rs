//! Sessions: at most one connection of a device counts, and which one.
//!
//! A TLS session is authenticated afresh, so the newest wins at once ([`Sessions::replace`]).
//! The paper's frames can be replayed, so there a second connection that shows a device's frames proves nothing.
//! It must not win over a connection that still delivers; after a silence the newcomer takes over, so that
//! a device that lost its Wi-Fi comes back. A newcomer waits (unread, so nothing is lost) until one of the
//! two is certain.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use vitalwire_access::DeviceId;

use crate::identify::Credential;
use crate::lease::{Ending, Lease};

/// How a connection came to hold its device's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entered {
    /// There was no other connection.
    Free,
    /// The other connection had been silent for too long.
    TookOver,
}

/// The device has a connection that still delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this device already has a connection that still delivers; a second one is refused (frames can be replayed)"
)]
pub(crate) struct StillDelivers;

/// What is known of a device's connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionState {
    /// Since when it delivers.
    pub since: SystemTime,
    /// The device's end.
    pub peer: SocketAddr,
    /// The server's end, where it is known.
    pub local: Option<SocketAddr>,
    /// The profile that it measures by.
    pub profile: String,
    /// The version that the device said; devices with frames say none.
    pub firmware: Option<String>,
}

/// The sessions of all connected devices.
#[derive(Debug)]
pub(crate) struct Sessions {
    takeover_silence: Duration,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    last_number: u64,
    sessions: HashMap<DeviceId, Arc<Entry>>,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    credential: Credential,
    delivered: Mutex<Instant>,
    /// Told at each delivery and when the session ends; only newcomers wait for it.
    changed: Notify,
    lease: Lease,
    about: OnceLock<ConnectionState>,
    /// Cancelled when the connection no longer takes anything.
    ended: CancellationToken,
}

/// The session that a connection holds. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Session {
    sessions: Arc<Sessions>,
    entry: Arc<Entry>,
    pub(crate) entered: Entered,
}

impl Sessions {
    pub(crate) fn new(takeover_silence: Duration) -> Self {
        Self { takeover_silence, table: Mutex::default() }
    }

    /// Takes the session of a device that was authenticated just now. The connection that has it ends, which is
    /// waited for: what it took is then on record.
    pub(crate) async fn replace(self: &Arc<Self>, credential: &Credential, lease: &Lease) -> Session {
        let (session, holder) = {
            let mut table = self.table();
            let holder = table.sessions.get(credential.id()).cloned();
            let entered = if holder.is_some() { Entered::TookOver } else { Entered::Free };
            (self.put(&mut table, credential, lease, entered, Instant::now()), holder)
        };
        if let Some(holder) = holder {
            holder.lease.end(Ending::Replaced);
            let _ = tokio::time::timeout(self.takeover_silence, holder.ended.cancelled()).await;
        }
        session
    }

    /// Takes the session of a device. Waits while it is not certain whether the connection that holds it
    /// still delivers.
    pub(crate) async fn enter(
        self: &Arc<Self>,
        credential: &Credential,
        lease: &Lease,
    ) -> Result<Session, StillDelivers> {
        let arrived = Instant::now();
        loop {
            let holder = match self.try_enter(credential, lease) {
                Ok(session) => return Ok(session),
                Err(holder) => holder,
            };
            let changed = holder.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let delivered = holder.delivered_at();
            if delivered > arrived {
                return Err(StillDelivers);
            }
            let silent_at = tokio::time::Instant::from_std(delivered + self.takeover_silence);
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep_until(silent_at) => {}
            }
        }
    }

    /// Ends every session whose credential `is_current` no longer accepts.
    pub(crate) fn end_stale(&self, is_current: impl Fn(&Credential) -> bool) {
        for entry in self.table().sessions.values().filter(|entry| !is_current(&entry.credential)) {
            entry.lease.end(Ending::Revoked);
        }
    }

    /// Waits, up to `patience`, until the device has no session.
    pub(crate) async fn ended(&self, device: &DeviceId, patience: Duration) -> bool {
        let ended = async {
            loop {
                let Some(entry) = self.table().sessions.get(device).cloned() else { return };
                let changed = entry.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if !self.table().sessions.contains_key(device) {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(patience, ended).await.is_ok()
    }

    pub(crate) fn connected(&self) -> HashSet<DeviceId> {
        self.table().sessions.keys().cloned().collect()
    }

    /// What is known of a device's connection, if it has one that delivers.
    pub(crate) fn connection(&self, device: &DeviceId) -> Option<ConnectionState> {
        self.table().sessions.get(device)?.about.get().cloned()
    }

    /// Devices connected.
    pub(crate) fn count(&self) -> usize {
        self.table().sessions.len()
    }

    fn try_enter(self: &Arc<Self>, credential: &Credential, lease: &Lease) -> Result<Session, Arc<Entry>> {
        let now = Instant::now();
        let mut table = self.table();
        let entered = match table.sessions.get(credential.id()) {
            None => Entered::Free,
            Some(holder) if holder.is_silent(now, self.takeover_silence) => {
                holder.lease.end(Ending::TakenOver);
                holder.changed.notify_waiters();
                Entered::TookOver
            }
            Some(holder) => return Err(Arc::clone(holder)),
        };
        Ok(self.put(&mut table, credential, lease, entered, now))
    }

    fn put(
        self: &Arc<Self>,
        table: &mut Table,
        credential: &Credential,
        lease: &Lease,
        entered: Entered,
        now: Instant,
    ) -> Session {
        table.last_number += 1;
        let entry = Arc::new(Entry {
            number: table.last_number,
            credential: credential.clone(),
            delivered: Mutex::new(now),
            changed: Notify::new(),
            lease: lease.clone(),
            about: OnceLock::new(),
            ended: CancellationToken::new(),
        });
        table.sessions.insert(credential.id().clone(), Arc::clone(&entry));
        Session { sessions: Arc::clone(self), entry, entered }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn delivered_at(&self) -> Instant {
        *self.delivered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_silent(&self, now: Instant, silence: Duration) -> bool {
        now.saturating_duration_since(self.delivered_at()) >= silence
    }
}

impl Session {
    /// Tells it from other sessions since the start, in the log.
    pub(crate) fn number(&self) -> u64 {
        self.entry.number
    }

    /// Notes what is known of its connection; the first counts.
    pub(crate) fn note(&self, about: ConnectionState) {
        self.entry.about.get_or_init(|| about);
    }

    /// Notes that the device delivered a reading `now`.
    pub(crate) fn delivered(&self, now: Instant) {
        *self.entry.delivered.lock().unwrap_or_else(PoisonError::into_inner) = now;
        self.entry.changed.notify_waiters();
    }

    /// Whether no other connection took this session over. While it is held, no newcomer comes in, so what
    /// its holder publishes about the device is the last word.
    pub(crate) fn is_held(&self) -> bool {
        !matches!(self.entry.lease.cause(), Some(Ending::TakenOver | Ending::Replaced))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let mut table = self.sessions.table();
        let id = self.entry.credential.id();
        if table.sessions.get(id).is_some_and(|holder| holder.number == self.entry.number) {
            table.sessions.remove(id);
        }
        self.entry.changed.notify_waiters();
        self.entry.ended.cancel();
    }
}

#[cfg(test)]
mod tests {
    use vitalwire_protocol::CbcSecret;
    use vitalwire_registry::{Device, DeviceKey};

    use super::*;

    fn device(generation: u32) -> Credential {
        let key = DeviceKey::AesCbc(CbcSecret::new([1; 16], [2; 16]));
        Credential::new(&Arc::new(Device { id: "d".parse().unwrap(), key, generation }), None)
    }

    fn lease() -> Lease {
        Lease::new(&CancellationToken::new())
    }

    fn sessions() -> Arc<Sessions> {
        Arc::new(Sessions::new(Duration::from_millis(200)))
    }

    #[tokio::test]
    async fn newcomer_is_refused_as_soon_as_the_holder_delivers() {
        let sessions = Arc::new(Sessions::new(Duration::from_secs(3_600)));
        let holder = sessions.enter(&device(1), &lease()).await.unwrap();
        let newcomer = tokio::spawn({
            let sessions = Arc::clone(&sessions);
            async move { sessions.enter(&device(1), &lease()).await.map(|session| session.entered) }
        });
        while !newcomer.is_finished() {
            holder.delivered(Instant::now());
            tokio::task::yield_now().await;
        }
        assert_eq!(newcomer.await.unwrap(), Err(StillDelivers));
        assert!(holder.is_held());
    }

    #[tokio::test]
    async fn newcomer_takes_over_after_silence() {
        let sessions = sessions();
        let started = Instant::now();
        let holder = sessions.enter(&device(1), &lease()).await.unwrap();
        let newcomer = sessions.enter(&device(1), &lease()).await.unwrap();
        assert!(started.elapsed() >= Duration::from_millis(200), "not before the silence is over");
        assert_eq!(newcomer.entered, Entered::TookOver);
        assert!(!holder.is_held());
        drop(holder);
        assert_eq!(sessions.count(), 1, "the old connection's end does not end the new session");
    }

    #[tokio::test]
    async fn newcomer_comes_in_at_once_when_the_holder_leaves() {
        let sessions = Arc::new(Sessions::new(Duration::from_secs(3_600)));
        let holder = sessions.enter(&device(1), &lease()).await.unwrap();
        let newcomer = tokio::spawn({
            let sessions = Arc::clone(&sessions);
            async move { sessions.enter(&device(1), &lease()).await.map(|session| session.entered) }
        });
        tokio::task::yield_now().await;
        drop(holder);
        assert_eq!(newcomer.await.unwrap(), Ok(Entered::Free));
    }

    #[tokio::test]
    async fn the_newest_authenticated_session_wins_at_once() {
        let sessions = Arc::new(Sessions::new(Duration::from_secs(3_600)));
        let [old_lease, new_lease] = [lease(), lease()];
        let old = sessions.replace(&device(1), &old_lease).await;
        let newer = tokio::spawn({
            let (sessions, lease) = (Arc::clone(&sessions), new_lease.clone());
            async move { sessions.replace(&device(1), &lease).await }
        });
        assert_eq!(old_lease.ended().await, Ending::Replaced);
        assert!(!newer.is_finished(), "it waits for what the old one has taken");
        assert!(!old.is_held());
        drop(old);
        let new = newer.await.unwrap();
        assert!(new.is_held());
        assert_eq!((new.entered, sessions.count()), (Entered::TookOver, 1));
    }

    #[tokio::test]
    async fn what_is_known_of_a_connection_goes_with_it() {
        let (sessions, device) = (sessions(), device(1));
        let session = sessions.enter(&device, &lease()).await.unwrap();
        assert_eq!(sessions.connection(device.id()), None);
        let about = ConnectionState {
            since: SystemTime::UNIX_EPOCH,
            peer: "127.0.0.1:5000".parse().unwrap(),
            local: None,
            profile: "pico".to_owned(),
            firmware: Some("1.0.0".to_owned()),
        };
        session.note(about.clone());
        assert_eq!(sessions.connection(device.id()), Some(about));
        drop(session);
        assert_eq!(sessions.connection(device.id()), None);
    }

    #[tokio::test]
    async fn a_rotated_key_ends_the_session() {
        let sessions = sessions();
        let lease = lease();
        let _session = sessions.enter(&device(1), &lease).await.unwrap();
        sessions.end_stale(|credential| credential.device.generation == 2);
        assert_eq!(lease.ended().await, Ending::Revoked);
    }
}
