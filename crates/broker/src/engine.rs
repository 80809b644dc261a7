//! The broker crate's parts put together. Its own `run()` wants a listener of its own and publishes `$SYS` topics; we
//! need neither, so its router, its session store and its client handler are driven directly, and no port is open but
//! ours.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mqtt5::broker::config::BrokerConfig as MqttConfig;
use mqtt5::broker::resource_monitor::{ResourceLimits, ResourceMonitor};
use mqtt5::broker::router::MessageRouter;
use mqtt5::broker::storage::{
    DynamicStorage, MemoryBackend, QueueLimits as HardLimits, RetainedMessage, StorageBackend,
};
use mqtt5::broker::sys_topics::BrokerStats as MqttStats;
use mqtt5_protocol::packet::publish::PublishPacket;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;
use vitalwire_registry::Logins;

use crate::allowed::allowed_part;
use crate::auth::Gate;
use crate::connections::{Caps, Connections};
use crate::counters::Counters;
use crate::error::BrokerError;
use crate::events::Events;
use crate::limits::BrokerLimits;
use crate::storage::{self, QueueLimits, Retained, Storage};
use crate::wills::Wills;

/// The broker crate drops by itself at this many times our limit, with a line in the log for every message; our storage
/// thread trims long before.
const HARD_LIMIT_FACTOR: usize = 4;
/// How often ended sessions and expired messages are swept out.
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);

/// See the module.
pub(crate) struct Engine {
    pub(crate) limits: BrokerLimits,
    pub(crate) mqtt: Arc<MqttConfig>,
    pub(crate) router: Arc<MessageRouter>,
    pub(crate) memory: Arc<DynamicStorage>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) mqtt_stats: Arc<MqttStats>,
    pub(crate) monitor: Arc<ResourceMonitor>,
    pub(crate) storage: Arc<Storage>,
    pub(crate) shutdown: broadcast::Sender<()>,
    pub(crate) stopping: CancellationToken,
    pub(crate) serving: TaskTracker,
    pub(crate) lingering: TaskTracker,
}

impl Engine {
    /// Reads the storage, restores what may still be restored, and is ready to serve.
    pub(crate) async fn start(
        folder: &Path,
        limits: BrokerLimits,
        logins: Arc<Logins>,
    ) -> Result<Arc<Self>, BrokerError> {
        let folder = folder.to_path_buf();
        let opened = tokio::task::spawn_blocking(move || storage::open(&folder))
            .await
            .map_err(|error| BrokerError::Thread(std::io::Error::other(error)))??;
        let memory = Arc::new(DynamicStorage::Memory(MemoryBackend::with_queue_limits(HardLimits {
            max_messages: limits.queued_messages_max.saturating_mul(HARD_LIMIT_FACTOR),
            max_bytes: limits.queued_bytes_max.saturating_mul(HARD_LIMIT_FACTOR),
        })));
        restore_retained(&memory, opened.retained).await;
        let mut found = Vec::new();
        let directory = Arc::clone(&logins.directory().borrow());
        for stored in opened.sessions {
            found.push(stored.session.client_id.clone());
            if let Some(stored) = allowed_part(&directory, stored) {
                storage::restore(&memory, stored).await;
            }
        }
        let counters = Arc::new(Counters::default());
        let queue_limits =
            QueueLimits { messages_max: limits.queued_messages_max, bytes_max: limits.queued_bytes_max };
        let storage =
            Arc::new(Storage::start(opened.file, Arc::clone(&memory), queue_limits, Arc::clone(&counters))?);
        // What was taken out or away above is written.
        found.iter().for_each(|client| storage.session_changed(client));
        let engine = Self::assemble(limits, logins, memory, storage, counters).await;
        Ok(Arc::new(engine))
    }

    async fn assemble(
        limits: BrokerLimits,
        logins: Arc<Logins>,
        memory: Arc<DynamicStorage>,
        storage: Arc<Storage>,
        counters: Arc<Counters>,
    ) -> Self {
        // Events need the wills, the wills need the router, the router needs the events: the wills learn it last.
        let wills = Arc::new(Wills::new());
        let events = Arc::new(Events { storage: Arc::clone(&storage), wills: Arc::clone(&wills) });
        let router = MessageRouter::with_storage(Arc::clone(&memory))
            .with_retained_limits(limits.retained_messages_max, limits.retained_bytes_max)
            .with_event_handler(Arc::clone(&events) as Arc<_>);
        let router = Arc::new(router);
        wills.publish_through(&router);
        let mqtt = Arc::new(mqtt_config(&limits).with_event_handler(events));
        if let Err(error) = router.initialize().await {
            warn!(%error, "retained messages could not be restored");
        }
        if let Err(error) = router.recover_sessions(limits.session_expiry_s_max).await {
            warn!(%error, "stored sessions could not be restored");
        }
        let caps =
            Caps { total_max: limits.connections_max, per_address_max: limits.connections_per_address_max };
        let connections = Arc::new(Connections::new(caps));
        let gate = Arc::new(Gate {
            logins,
            connections: Arc::clone(&connections),
            memory: Arc::clone(&memory),
            wills,
            counters: Arc::clone(&counters),
            sessions_per_user_max: limits.sessions_per_user_max,
        });
        Self {
            limits,
            mqtt,
            router,
            memory,
            gate,
            connections,
            counters,
            mqtt_stats: Arc::new(MqttStats::new()),
            monitor: Arc::new(ResourceMonitor::new(unlimited())),
            storage,
            shutdown: broadcast::channel(1).0,
            stopping: CancellationToken::new(),
            serving: TaskTracker::new(),
            lingering: TaskTracker::new(),
        }
    }

    /// Sweeps out what has expired, until the engine stops.
    pub(crate) async fn sweep(self: Arc<Self>) {
        let mut interval = tokio::time::interval(SWEEP_INTERVAL);
        loop {
            tokio::select! {
                () = self.stopping.cancelled() => return,
                _ = interval.tick() => {}
            }
            self.router.sweep_sessions().await;
            if let Err(error) = self.memory.cleanup_expired().await {
                warn!(%error, "expired MQTT messages could not be swept out");
            }
        }
    }
}

async fn restore_retained(memory: &DynamicStorage, retained: Vec<Retained>) {
    for message in retained {
        let packet =
            PublishPacket::new(message.topic.as_str(), message.payload, message.qos).with_retain(true);
        if let Err(error) = memory.store_retained_message(&message.topic, RetainedMessage::new(packet)).await
        {
            warn!(%error, "a retained message could not be restored");
        }
    }
}

fn mqtt_config(limits: &BrokerLimits) -> MqttConfig {
    let mut config = MqttConfig::default()
        .with_bind_addresses(Vec::new())
        .with_max_clients(limits.connections_max)
        .with_session_expiry(Duration::from_secs(limits.session_expiry_s_max.into()))
        .with_max_packet_size(limits.client_packet_bytes_max)
        .with_max_subscriptions_per_client(limits.subscriptions_per_client_max)
        .with_client_channel_capacity(limits.outgoing_messages_max)
        .with_max_outbound_inflight(limits.unacknowledged_max)
        .with_server_receive_maximum(limits.client_publishes_max)
        .with_sys_topics_enabled(false);
    config.topic_alias_maximum = limits.topic_aliases_max;
    config.auth_config.allow_anonymous = false;
    config
}

/// Our own caps are taken before the broker crate sees a connection.
fn unlimited() -> ResourceLimits {
    ResourceLimits {
        max_connections: usize::MAX,
        max_connections_per_ip: usize::MAX,
        max_message_rate_per_client: 0,
        max_bandwidth_per_client: 0,
        max_connection_rate: u32::MAX,
        rate_limit_window: Duration::from_secs(60),
    }
}
