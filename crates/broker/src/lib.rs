//! The embedded MQTT broker: authenticated, authorised, durable. Built on the `mqtt5` crate, which no other crate names.
//!
//! It has no anonymous clients and no default password, publishes no `$SYS` topics, opens no port but those it is told
//! to, and never blocks who publishes: a slow subscriber's messages wait in its own queue.
//!
//! # What survives
//! Retained messages, and sessions with the QoS 1 messages their clients missed, also a `kill -9`: all but the last
//! [`WRITE_INTERVAL`] (the private module `storage` states the bound in full).
//!
//! # Cost
//! CPU of a reading (eight messages, one subscriber to everything at QoS 0, current-thread runtime; measured by
//! `examples/publish_load.rs` on two cores that were busy with other work, its own clock ticks taken off): 34 µs at
//! 1,000 readings/s, where every reading is written by itself and the system's wake-ups dominate, and 13 µs at 10,000/s. At
//! 3,000/s with a QoS 1 subscriber whose session is stored and that comes and goes: 47 µs; with the broker crate's file
//! storage it was 310 µs. An absent QoS 1 subscriber costs 34 µs a reading at that rate; what it misses beyond
//! [`BrokerLimits::queued_messages_max`] is dropped, so readers at high rates are better off with `vitalwire/v1`.
//!
//! # Limits
//! [`BrokerLimits`] names those that can be set. What happens at each is said there.

mod allowed;
mod auth;
mod authority;
mod certificate;
mod connections;
mod counters;
mod engine;
mod error;
mod events;
mod greeting;
mod limits;
mod listener;
mod revoke;
mod storage;
mod stream;
mod tls;
mod wake;
mod websocket;
mod wills;

pub use authority::Authority;
pub use error::{BrokerError, bind_advice};
pub use limits::BrokerLimits;
pub use storage::{FILE as STORAGE_FILE, StorageError, WRITE_INTERVAL};
pub use tls::{TlsError, TlsIdentity, generate_self_signed};

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use engine::Engine;
use listener::{Front, Wire};
use mqtt5::QoS;
use mqtt5::broker::storage::StorageBackend;
use mqtt5_protocol::packet::publish::PublishPacket;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tracing::warn;
use vitalwire_access::{Networks, Origins, Proxies, acl};
use vitalwire_registry::Logins;

/// The longest a stop waits until subscribers have what was published.
const DELIVERY_MAX: Duration = Duration::from_millis(400);
/// No message sent to anybody for this long means that all who read have everything.
const DELIVERY_QUIET: Duration = Duration::from_millis(50);
/// The longest a stop then waits until connections have ended by themselves.
const LEAVING_MAX: Duration = Duration::from_millis(200);

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

/// Numbers since the start, but `clients` and `retained`, which are of now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BrokerStats {
    /// Clients logged in.
    pub clients: u64,
    /// Messages published, by the gateway or by clients.
    pub published: u64,
    /// Messages sent to clients; one published message counts once for each that gets it.
    pub sent: u64,
    /// Messages dropped from the full queues of absent or slow clients. QoS 0 messages that a slow client misses are
    /// not counted: the broker crate does not tell.
    pub dropped: u64,
    /// Logins with a wrong name or password, without one, or locked out.
    pub failed_logins: u64,
    /// Connections closed at once because of a cap.
    pub refused_connections: u64,
    /// Writes of the storage that failed; what they held is in memory only until one succeeds.
    pub storage_errors: u64,
    /// Times the storage looked for changes and wrote them. When it has grown by two, all that had changed before is on
    /// the disk (unless `storage_errors` grew too).
    pub storage_passes: u64,
}

/// A running broker. Dropping it ends it without a last delivery; [`Broker::stop`] is better.
pub struct Broker {
    engine: Arc<Engine>,
    addresses: BrokerAddresses,
    // Lies in the past: the broker crate then never waits for a slow subscriber, it queues at once.
    no_wait: Instant,
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
            let wire = Wire::Tls(tls::acceptor(identity)?);
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
        let engine = Engine::start(&config.storage, config.limits, Arc::clone(&logins)).await?;
        for (listener, front) in bound {
            engine.serving.spawn(listener::run(listener, front, Arc::clone(&engine)));
        }
        engine.serving.spawn(Arc::clone(&engine).sweep());
        engine.serving.spawn(revoke::follow(logins.directory(), Arc::clone(&engine)));
        Ok(Self { engine, addresses, no_wait: Instant::now() })
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> BrokerAddresses {
        self.addresses
    }

    /// Publishes in process, at QoS 1 (each subscriber gets it at the QoS it asked for, at most 1). Never waits for a
    /// subscriber or for the disk. An empty retained payload clears the topic.
    pub async fn publish(&self, topic: impl Into<String>, payload: Bytes, retain: bool) {
        let mut packet = PublishPacket::new(topic, payload, QoS::AtLeastOnce);
        packet.retain = retain;
        self.engine.counters.published();
        self.engine.router.route_message_with_deadline(&packet, None, self.no_wait).await;
    }

    /// The retained messages whose topics match the filter, in no order.
    pub async fn retained(&self, filter: &str) -> Vec<(String, Bytes)> {
        let messages = self.engine.router.get_retained_messages(filter).await;
        messages.into_iter().map(|message| (message.topic_name, message.payload)).collect()
    }

    /// Forgets what it keeps on the topics `concerned`, which a filter concerns too that matches no other topics: retained
    /// messages, what waits for clients, and subscriptions to these topics alone. Returns when that is on the disk and the
    /// files hold nothing of it any more; how many messages were forgotten. What was delivered is the clients'.
    ///
    /// # Errors
    /// When it cannot be written; it is forgotten in memory, and can be asked for again.
    pub async fn erase(&self, concerned: impl Fn(&str) -> bool) -> Result<usize, StorageError> {
        let retained = self.retained("#").await;
        let topics: Vec<_> =
            retained.into_iter().map(|(topic, _)| topic).filter(|topic| concerned(topic)).collect();
        let mut erased = topics.len();
        for topic in topics {
            self.publish(topic, Bytes::new(), true).await;
        }
        let memory = &self.engine.memory;
        for client in StorageBackend::session_client_ids(&**memory).await.unwrap_or_default() {
            erased += revoke::drop_queued(&self.engine, &client, &concerned).await;
            revoke::end_subscriptions(&self.engine, &client, |filter| concerned(acl::without_group(filter)))
                .await;
            self.engine.storage.session_changed(&client);
        }
        let engine = Arc::clone(&self.engine);
        let purged = tokio::task::spawn_blocking(move || engine.storage.purge()).await;
        purged.unwrap_or_else(|panicked| Err(StorageError::Failed(panicked.to_string())))?;
        Ok(erased)
    }

    /// Numbers for metrics.
    #[must_use]
    pub fn stats(&self) -> BrokerStats {
        let counted = self.engine.counters.snapshot();
        let mqtt = &self.engine.mqtt_stats;
        BrokerStats {
            clients: self.engine.connections.admitted() as u64,
            published: counted.published + mqtt.publish_received.load(Ordering::Relaxed),
            sent: mqtt.publish_sent.load(Ordering::Relaxed),
            dropped: counted.dropped_queued,
            failed_logins: counted.failed_logins,
            refused_connections: counted.refused_connections,
            storage_errors: counted.storage_errors,
            storage_passes: counted.storage_passes,
        }
    }

    /// Takes no more clients, lets those connected receive what was published, says goodbye, and writes everything to
    /// the disk. Takes a second at most, unless the disk is slower than that.
    pub async fn stop(&self) {
        let engine = Arc::clone(&self.engine);
        engine.stopping.cancel();
        let deadline = Instant::now() + DELIVERY_MAX;
        let mut sent = None;
        while sent.replace(self.stats().sent) != Some(self.stats().sent) && Instant::now() < deadline {
            tokio::time::sleep(DELIVERY_QUIET).await;
        }
        // An error only means that no one is connected.
        let _ = engine.shutdown.send(());
        engine.serving.close();
        if tokio::time::timeout(LEAVING_MAX, engine.serving.wait()).await.is_err() {
            engine.connections.cut_all();
            if tokio::time::timeout(LEAVING_MAX, engine.serving.wait()).await.is_err() {
                warn!("some MQTT connections did not end in time");
            }
        }
        engine.lingering.close();
        let _ = tokio::time::timeout(LEAVING_MAX, engine.lingering.wait()).await;
        let storage = Arc::clone(&engine.storage);
        if tokio::task::spawn_blocking(move || storage.stop()).await.is_err() {
            warn!("the broker's storage did not end in good order");
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.engine.stopping.cancel();
        let _ = self.engine.shutdown.send(());
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
