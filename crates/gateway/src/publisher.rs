//! The publisher: turns readings and what happens to devices into MQTT messages, for the embedded broker
//! or an external one. It knows topics and payloads, and nothing of sockets of devices.

pub(crate) mod external;
mod flight;
mod queue;
mod render;
mod sender;
mod status;

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use vitalwire_broker::Broker;

use crate::identify::Identity;
use crate::message::Message;
use crate::reading::Reading;
use crate::ticket::Share;
use crate::topics::ROOT;
use external::External;
use status::{OFFLINE, ONLINE};

/// Where messages go.
pub(crate) enum Publisher {
    /// The broker in this process.
    Embedded(Broker),
    /// A broker elsewhere.
    External(External),
}

impl Publisher {
    /// Publishes a reading that has just come. While an external broker is away, `durable` ones are dropped: the journal
    /// has them, and the backfill publishes them later. The ticket says so.
    pub(crate) async fn live(&self, reading: Reading, share: Share, durable: bool) {
        match self {
            Self::Embedded(broker) => publish(broker, &reading, share).await,
            Self::External(external) if durable && !external.is_connected() => drop(share),
            Self::External(external) => external.enqueue_live(reading, share),
        }
    }

    /// Publishes a reading out of the journal, behind the live ones.
    pub(crate) async fn backlog(&self, reading: Reading, share: Share) {
        match self {
            Self::Embedded(broker) => publish(broker, &reading, share).await,
            Self::External(external) => external.enqueue_backlog(reading, share),
        }
    }

    /// Publishes, retained, that a device is connected and the two ends of its connection.
    pub(crate) async fn device_online(&self, identity: &Identity, local: Option<SocketAddr>) {
        let topics = &identity.topics;
        self.retained(&topics.device_ip, identity.peer.ip()).await;
        self.retained(&topics.device_port, identity.peer.port()).await;
        if let Some(local) = local {
            self.retained(&topics.server_ip, local.ip()).await;
            self.retained(&topics.server_port, local.port()).await;
        }
        match self {
            Self::Embedded(broker) => broker.publish(&*topics.status, ONLINE, true).await,
            Self::External(external) => external.device_online(identity),
        }
    }

    /// Publishes, retained, that a device is no longer connected.
    pub(crate) async fn device_offline(&self, identity: &Identity) {
        match self {
            Self::Embedded(broker) => broker.publish(&*identity.topics.status, OFFLINE, true).await,
            Self::External(external) => external.device_offline(identity.id()).await,
        }
    }

    /// Publishes something that happened to a device's connection, for whoever watches over it.
    pub(crate) async fn event(&self, identity: &Identity, kind: &str, detail: &(dyn Display + Sync)) {
        let event = serde_json::json!({
            "time": humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            "kind": kind,
            "peer": identity.peer.to_string(),
            "detail": detail.to_string(),
        });
        tracing::warn!(device = %identity.id(), peer = %identity.peer, kind, "device event");
        self.message(Message {
            topic: Arc::clone(&identity.topics.event),
            payload: event.to_string().into(),
            retain: false,
            share: None,
        })
        .await;
    }

    /// Publishes something that happened to the server itself.
    pub(crate) async fn server_event(&self, kind: &str, detail: &(dyn Display + Sync)) {
        let event = serde_json::json!({
            "time": humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            "kind": kind,
            "detail": detail.to_string(),
        });
        let topic = format!("{ROOT}/event").into();
        self.message(Message { topic, payload: event.to_string().into(), retain: false, share: None }).await;
    }

    /// Corrects what a gateway that died left behind: whoever was online then is not now.
    ///
    /// An external broker does this by itself, by the wills of the status connections.
    pub(crate) async fn mark_all_offline(&self) {
        let Self::Embedded(broker) = self else { return };
        for (topic, payload) in broker.retained(&format!("{ROOT}/+/status")).await {
            if payload == ONLINE {
                broker.publish(&topic, OFFLINE, true).await;
            }
        }
    }

    async fn retained(&self, topic: &Arc<str>, value: impl Display) {
        let payload = value.to_string().into();
        self.message(Message { topic: Arc::clone(topic), payload, retain: true, share: None }).await;
    }

    async fn message(&self, message: Message) {
        match self {
            Self::Embedded(broker) => broker.publish(&*message.topic, message.payload, message.retain).await,
            Self::External(external) => external.enqueue_message(message),
        }
    }
}

async fn publish(broker: &Broker, reading: &Reading, share: Share) {
    for message in render::messages(reading) {
        broker.publish(&*message.topic, message.payload, message.retain).await;
    }
    share.deliver();
}
