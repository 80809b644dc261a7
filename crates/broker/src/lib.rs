//! The embedded MQTT broker: authenticated, authorised, durable. MQTT 3.1.1 and 5, over TCP, TLS and WebSocket.
//!
//! It has no anonymous clients and no default password, publishes no `$SYS` topics, opens no port but those it is told
//! to, and never blocks who publishes: what a subscriber cannot take now waits for it.
//!
//! The module `core` decides, without sockets and clocks; `client` is one connection's task; `protocol` and `wire` know packets.
//!
//! # What survives
//! Retained messages, and sessions with the messages of QoS 1 and 2 that their clients missed, also a `kill -9`: all but the
//! last [`WRITE_INTERVAL`] (the private module `storage` states the bound in full). Expiries count the time in which the broker
//! ran, and no setting of the system's clock moves them.
//!
//! # Limits
//! [`BrokerLimits`] names those that can be set. What happens at each is said there. A shared subscription (`$share`) has messages
//! while one of its members is connected. A delayed will is gone when the broker stops.

mod archive;
mod authority;
mod certificate;
mod client;
mod connections;
mod core;
mod counters;
mod engine;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod greeting;
mod limits;
mod listener;
mod login;
mod message;
mod protocol;
mod revoke;
mod shared;
mod storage;
mod tls;
mod wake;
mod websocket;
mod wire;

pub use archive::{Archive, Archived, Page, Place, Reading, Wanted};
pub use authority::Authority;
pub use error::{BrokerError, bind_advice};
pub use limits::BrokerLimits;
pub use message::Lane;
pub use storage::{FILE as STORAGE_FILE, StorageError, StoredSessions, WRITE_INTERVAL};
pub use tls::{TlsAcceptor, TlsError, TlsIdentity, generate_self_signed};
pub use tokio_openssl::SslStream;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use core::Core;
use core::session::End;
use engine::Engine;
use listener::{Front, Wire};
use message::Publication;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tracing::warn;
use vitalwire_access::{Networks, Origins, Proxies};
use vitalwire_registry::Logins;

/// The longest a stop waits until subscribers have what was published, and connections have ended by themselves.
const LEAVING_MAX: Duration = Duration::from_millis(600);
/// The longest it then waits for those that were cut.
const CUT_MAX: Duration = Duration::from_millis(200);

/// Where the broker listens and keeps its state.
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    /// Plain MQTT, on which passwords travel in the clear.
    pub plain: Option<SocketAddr>,
    /// Who may connect to `plain` beside this machine itself. Others are closed at once and counted.
    pub plain_peers: Networks,
    /// MQTT over TLS.
    pub tls: Option<(SocketAddr, TlsIdentity)>,
    /// MQTT over WebSocket, path `/mqtt`; without TLS.
    pub websocket: Option<SocketAddr>,
    /// Proxies before `plain` and `tls`, which begin each connection with a header of the PROXY protocol, version 2, in
    /// which they say for whom it is. Without the header a connection of theirs is refused.
    pub proxies: Proxies,
    /// Proxies before `websocket`, which say in `X-Forwarded-For` for whom a connection is. Without it a connection of
    /// theirs is refused.
    pub websocket_proxies: Proxies,
    /// Web sites that browsers may come from, beside those of the same machine or address.
    pub origins: Origins,
    /// Folder for sessions and retained messages; made when missing.
    pub storage: PathBuf,
    /// Where readings lie, too, that are published with their place there. Without it the broker keeps what is missed itself.
    pub archive: Option<Arc<dyn Archive>>,
    /// Limits.
    pub limits: BrokerLimits,
}

impl BrokerConfig {
    /// A broker that keeps its state in the folder, and listens nowhere yet.
    #[must_use]
    pub fn new(storage: impl Into<PathBuf>) -> Self {
        Self {
            plain: None,
            plain_peers: Networks::default(),
            tls: None,
            websocket: None,
            proxies: Proxies::default(),
            websocket_proxies: Proxies::default(),
            origins: Origins::default(),
            storage: storage.into(),
            archive: None,
            limits: BrokerLimits::default(),
        }
    }
}

/// Where the broker really listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BrokerAddresses {
    /// Plain MQTT.
    pub plain: Option<SocketAddr>,
    /// MQTT over TLS.
    pub tls: Option<SocketAddr>,
    /// MQTT over WebSocket.
    pub websocket: Option<SocketAddr>,
}

/// Numbers since the start, but those that are said to be of now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BrokerStats {
    /// Clients logged in, now.
    pub clients: u64,
    /// Messages published, by the gateway or by clients.
    pub published: u64,
    /// Messages sent to clients; one published message counts once for each that gets it.
    pub sent: u64,
    /// Messages dropped: of QoS 0 for a client that took them too slowly, once for each; of QoS 1 and 2 that were to go to
    /// someone when what waits was full, once for all.
    pub dropped: u64,
    /// Messages that were to be retained and were not, because of a limit.
    pub not_retained: u64,
    /// Entries of the archive, at most, that a session missed and that were there no more when its client came back.
    pub gone: u64,
    /// Logins with a wrong name or password, without one, or locked out.
    pub failed_logins: u64,
    /// Connections closed at once because of a cap.
    pub refused_connections: u64,
    /// Connections that had sent nothing and were closed to make room.
    pub evicted_connections: u64,
    /// Sessions, connected or stored, now.
    pub sessions: u64,
    /// Those of them that have not had all messages of QoS 1 and 2, now; and how many messages wait for the last of them.
    pub sessions_behind: u64,
    /// See `sessions_behind`. An entry of the archive counts as one message.
    pub messages_behind: u64,
    /// Writes of the storage that failed; what they held is in memory only until one succeeds.
    pub storage_errors: u64,
    /// Times the storage looked for changes and wrote them. When it has grown by two, all that had changed before is on
    /// the disk (unless `storage_errors` grew too).
    pub storage_passes: u64,
}

/// How far a session is behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionLag {
    /// Its client id.
    pub client_id: Arc<str>,
    /// Whose it is.
    pub user: Arc<str>,
    /// Messages that wait since it was up to date, also those that others subscribed to. An entry of the archive counts as one.
    pub messages: u64,
}

/// A session as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionInfo {
    /// Its client id.
    pub client_id: Arc<str>,
    /// Whose it is.
    pub user: Arc<str>,
    /// For how many seconds its client is away, counted while the broker runs; nothing while it is connected.
    pub away_s: Option<u64>,
    /// How many seconds it outlives its connection; when that has ended, how many of them are left.
    pub kept_s: u64,
    /// The filters that it subscribed to.
    pub filters: Vec<Box<str>>,
    /// Messages on their way to it or waiting, at most: also those since it was up to date that others subscribed to. An
    /// entry of the archive counts as one.
    pub waiting: u64,
}

/// A running broker. Dropping it ends it without a last delivery; [`Broker::stop`] is better.
pub struct Broker {
    engine: Arc<Engine>,
    addresses: BrokerAddresses,
}

impl Broker {
    /// Binds all addresses, restores what is stored, and serves the users whom `logins` lets in.
    ///
    /// # Errors
    /// When an address cannot be bound, the certificate does not load, or the storage cannot be read. Nothing is served
    /// then.
    pub async fn start(config: BrokerConfig, logins: Arc<Logins>) -> Result<Self, BrokerError> {
        let mut fronts = Vec::new();
        if let Some(address) = config.plain {
            let wire = Wire::Plain(config.plain_peers);
            fronts.push((Front { wire, proxies: config.proxies.clone() }, address));
        }
        if let Some((address, identity)) = &config.tls {
            let wire = Wire::Tls(TlsAcceptor::new(identity)?);
            fronts.push((Front { wire, proxies: config.proxies.clone() }, *address));
        }
        if let Some(address) = config.websocket {
            let wire = Wire::WebSocket(config.origins);
            fronts.push((Front { wire, proxies: config.websocket_proxies }, address));
        }
        let mut bound: Vec<(TcpListener, Front)> = Vec::new();
        for (front, address) in fronts {
            bound.push((listener::bind(&front, address).await?, front));
        }
        let addresses = addresses(&bound);
        let engine =
            Engine::start(&config.storage, config.limits, config.archive, Arc::clone(&logins)).await?;
        for (listener, front) in bound {
            engine.serving.spawn(listener::run(listener, front, Arc::clone(&engine)));
        }
        engine.serving.spawn(Arc::clone(&engine).sweep());
        engine.serving.spawn(revoke::follow(logins.directory(), Arc::clone(&engine)));
        Ok(Self { engine, addresses })
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> BrokerAddresses {
        self.addresses
    }

    /// Publishes in process, at QoS 1 (each subscriber gets it at the QoS it asked for, at most 1). Never waits for a
    /// subscriber or for the disk. An empty retained payload clears the topic.
    pub fn publish(&self, topic: impl Into<Arc<str>>, payload: Bytes, retain: bool) {
        self.publishing().publish(topic.into(), payload, retain, Lane::Others);
    }

    /// Publishes several messages: each subscriber is woken once, when this is dropped. Others wait meanwhile, so that it is
    /// not to be held across anything that takes time.
    #[must_use]
    pub fn publishing(&self) -> Publishing<'_> {
        Publishing { core: self.engine.core.lock() }
    }

    /// Says that all of the archive's entries up to here were published, so that who leaves now has had them.
    pub fn note_published(&self, through: u64) {
        self.engine.core.lock().note_published(through);
    }

    /// The retained messages whose topics match the filter, in the order of their topics.
    #[must_use]
    pub fn retained(&self, filter: &str) -> Vec<(String, Bytes)> {
        let core = self.engine.core.lock();
        core.retained(filter).map(|of| (of.topic.to_string(), of.payload.clone())).collect()
    }

    /// Forgets what it keeps on the topics `concerned`, which a filter concerns too that matches no other topics: retained
    /// messages, what waits for clients, and subscriptions to these topics alone. Returns when that is on the disk and the
    /// files hold nothing of it any more; how many messages were forgotten. What was delivered is the clients'.
    ///
    /// # Errors
    /// When it cannot be written; it is forgotten in memory, and can be asked for again.
    pub async fn erase(&self, concerned: impl Fn(&str) -> bool) -> Result<usize, StorageError> {
        let erased = self.engine.core.lock().erase(concerned);
        let engine = Arc::clone(&self.engine);
        let purged = tokio::task::spawn_blocking(move || engine.storage.purge()).await;
        purged.unwrap_or_else(|panicked| Err(StorageError::Failed(panicked.to_string())))?;
        Ok(erased)
    }

    /// Numbers for metrics.
    #[must_use]
    pub fn stats(&self) -> BrokerStats {
        let counted = self.engine.counters.snapshot();
        let core = self.engine.core.lock();
        let (stats, (sessions, behind, messages_behind)) = (core.stats(), core.lag());
        drop(core);
        BrokerStats {
            clients: self.engine.connections.admitted() as u64,
            published: stats.published,
            sent: stats.sent.sent,
            dropped: stats.sent.dropped,
            not_retained: stats.not_retained,
            gone: stats.gone,
            failed_logins: counted.failed_logins,
            refused_connections: counted.refused_connections,
            evicted_connections: self.engine.connections.evicted(),
            sessions: sessions as u64,
            sessions_behind: behind as u64,
            messages_behind: messages_behind as u64,
            storage_errors: counted.storage_errors,
            storage_passes: counted.storage_passes,
        }
    }

    /// Sessions that have not had all messages of QoS 1 and 2, those that wait for most first.
    #[must_use]
    pub fn sessions_behind(&self) -> Vec<SessionLag> {
        let behind = self.engine.core.lock().behind();
        let lag = |(client_id, user, messages): (Arc<str>, Arc<str>, usize)| SessionLag {
            client_id,
            user,
            messages: messages as u64,
        };
        behind.into_iter().map(lag).collect()
    }

    /// All sessions, those that messages wait for first.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionInfo> {
        self.engine.core.lock().listed()
    }

    /// Ends the session of a client id, and its connection: what waits for it is dropped, its will is published. Returns when
    /// that is on the disk; whose session it was, nothing when there is none. A client that connects again begins anew.
    ///
    /// # Errors
    /// When it cannot be written; it is ended in memory.
    pub async fn end_session(&self, client_id: &str) -> Result<Option<Arc<str>>, StorageError> {
        let Some((user, will)) = self.engine.core.lock().end_session(client_id) else { return Ok(None) };
        if let Some(will) = will {
            self.engine.publish_will(&user, will);
        }
        let engine = Arc::clone(&self.engine);
        let flushed = tokio::task::spawn_blocking(move || engine.storage.flush()).await;
        flushed.unwrap_or_else(|panicked| Err(StorageError::Failed(panicked.to_string())))?;
        Ok(Some(user))
    }

    /// Takes no more clients, lets those connected receive what was published, says goodbye, and writes everything to
    /// the disk. Takes a second at most, unless the disk is slower than that.
    pub async fn stop(&self) {
        let engine = Arc::clone(&self.engine);
        engine.stopping.cancel();
        // Each connection ends when its client has what was published.
        engine.core.lock().end_all(End::Stopping);
        engine.serving.close();
        if tokio::time::timeout(LEAVING_MAX, engine.serving.wait()).await.is_err() {
            engine.connections.cut_all();
            if tokio::time::timeout(CUT_MAX, engine.serving.wait()).await.is_err() {
                warn!("some MQTT connections did not end in time");
            }
        }
        engine.core.lock().look_what_was_had(true);
        if tokio::task::spawn_blocking(move || engine.storage.stop()).await.is_err() {
            warn!("the broker's storage did not end in good order");
        }
    }
}

/// See [`Broker::publishing`].
pub struct Publishing<'a> {
    core: MutexGuard<'a, Core>,
}

impl Publishing<'_> {
    /// As [`Broker::publish`].
    pub fn publish(&mut self, topic: Arc<str>, payload: Bytes, retain: bool, lane: Lane) {
        self.core.publish(Publication { retain, lane, ..Publication::new(topic, payload) });
    }

    /// Says that the messages of this entry follow. Also when none does because none is wanted: who comes back later is to look
    /// for it in the archive.
    pub fn begin_entry(&mut self, place: &Arc<Place>) {
        self.core.begin_entry(place);
    }

    /// As [`Broker::publish`], of a reading that the archive has, or will have, in this place: that of the entry that began.
    pub fn publish_archived(&mut self, topic: Arc<str>, payload: Bytes, place: &Arc<Place>) {
        let publication = Publication { lane: Lane::Readings, ..Publication::new(topic, payload) };
        self.core.publish_at(publication, Some(place));
    }

    /// Whether a reading on this topic would go to someone, now or soon. What is not wanted need not be made: who comes back
    /// later has it from the archive.
    #[must_use]
    pub fn is_wanted(&mut self, topic: &Arc<str>) -> bool {
        self.core.is_wanted(topic)
    }
}

impl Drop for Publishing<'_> {
    fn drop(&mut self) {
        self.core.flush();
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.engine.stopping.cancel();
        self.engine.connections.cut_all();
    }
}

fn addresses(bound: &[(TcpListener, Front)]) -> BrokerAddresses {
    let of = |wanted: fn(&Wire) -> bool| {
        bound
            .iter()
            .find(|(_, front)| wanted(&front.wire))
            .and_then(|(listener, _)| listener.local_addr().ok())
    };
    BrokerAddresses {
        plain: of(|wire| matches!(wire, Wire::Plain(_))),
        tls: of(|wire| matches!(wire, Wire::Tls(_))),
        websocket: of(|wire| matches!(wire, Wire::WebSocket(_))),
    }
}
