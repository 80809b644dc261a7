//! What the broker crate tells us while it works: which sessions and retained messages changed, for storage; and each
//! publication of a client, to take out what the broker crate added about its sender.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

use mqtt5::broker::events::{
    BrokerEventHandler, ClientConnectEvent, ClientDisconnectEvent, ClientPublishEvent, ClientSubscribeEvent,
    ClientUnsubscribeEvent, PublishAction, RetainedSetEvent,
};
use mqtt5_protocol::packet::publish::PublishPacket;

use crate::storage::Storage;
use crate::wills::Wills;

type Done<'a, T = ()> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// See the module.
pub(crate) struct Events {
    pub(crate) storage: Arc<Storage>,
    pub(crate) wills: Arc<Wills>,
}

impl BrokerEventHandler for Events {
    fn on_client_connect<'a>(&'a self, event: ClientConnectEvent) -> Done<'a> {
        self.storage.session_changed(&event.client_id);
        Box::pin(ready(()))
    }

    fn on_client_subscribe<'a>(&'a self, event: ClientSubscribeEvent) -> Done<'a> {
        self.storage.session_changed(&event.client_id);
        Box::pin(ready(()))
    }

    fn on_client_unsubscribe<'a>(&'a self, event: ClientUnsubscribeEvent) -> Done<'a> {
        self.storage.session_changed(&event.client_id);
        Box::pin(ready(()))
    }

    fn on_client_disconnect<'a>(&'a self, event: ClientDisconnectEvent) -> Done<'a> {
        if !event.unexpected {
            self.wills.forget(&event.client_id);
        }
        self.storage.session_changed(&event.client_id);
        Box::pin(ready(()))
    }

    fn on_retained_set<'a>(&'a self, event: RetainedSetEvent) -> Done<'a> {
        self.storage.retained_changed(&event.topic, event.qos, event.payload);
        Box::pin(ready(()))
    }

    /// The broker crate has put `x-mqtt-sender` and `x-mqtt-client-id` into the packet by now. The event does not carry
    /// the packet's other properties, so what goes on are topic, payload, response topic and correlation data; user
    /// properties, content type and expiry of a client's own publication are lost. Only admins publish at all.
    fn on_client_publish<'a>(&'a self, event: ClientPublishEvent) -> Done<'a, PublishAction> {
        let mut packet = PublishPacket::new(event.topic.as_ref(), event.payload, event.qos);
        packet.retain = event.retain;
        packet.packet_id = event.packet_id;
        if let Some(topic) = event.response_topic {
            packet.properties.set_response_topic(topic.to_string());
        }
        if let Some(data) = event.correlation_data {
            packet.properties.set_correlation_data(data);
        }
        Box::pin(ready(PublishAction::Transform(packet)))
    }
}
