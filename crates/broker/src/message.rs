//! What is published: from the gateway, in process, and from clients, with what MQTT 5 lets them add.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What a stored publication costs beside its texts, in bytes.
const OVERHEAD: usize = 96;

/// A message on its way to subscribers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Publication {
    pub(crate) topic: Arc<str>,
    pub(crate) payload: Bytes,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    /// The properties of MQTT 5 that go on to subscribers, encoded, but for the expiry.
    pub(crate) properties: Bytes,
    /// When it expires, in seconds of the broker's clock.
    pub(crate) expires_s: Option<u64>,
    /// The session that published it, by its serial number; zero for the gateway and wills.
    pub(crate) origin: u64,
}

impl Publication {
    /// Of the gateway.
    pub(crate) fn new(topic: Arc<str>, payload: Bytes) -> Self {
        Self { topic, payload, qos: 1, retain: false, properties: Bytes::new(), expires_s: None, origin: 0 }
    }

    /// Bytes that it takes while it waits.
    pub(crate) fn footprint(&self) -> usize {
        OVERHEAD + self.topic.len() + self.payload.len() + self.properties.len()
    }

    pub(crate) fn is_expired(&self, now_s: u64) -> bool {
        self.expires_s.is_some_and(|expires_s| expires_s < now_s)
    }
}
