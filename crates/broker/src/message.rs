//! What is published: from the gateway, in process, and from clients, with what MQTT 5 lets them add.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What a message is kept among, for those who have not had it: so that the many do not drive out the few.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lane {
    /// Readings of devices.
    Readings,
    /// All else: statuses, events, what clients publish.
    Others,
}

impl Lane {
    pub(crate) const ALL: [Self; 2] = [Self::Readings, Self::Others];
}

/// Something for each lane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct PerLane<T> {
    pub(crate) readings: T,
    pub(crate) others: T,
}

impl<T: Copy> PerLane<T> {
    pub(crate) fn both(of: T) -> Self {
        Self { readings: of, others: of }
    }
}

impl<T> PerLane<T> {
    pub(crate) fn of(&self, lane: Lane) -> &T {
        match lane {
            Lane::Readings => &self.readings,
            Lane::Others => &self.others,
        }
    }

    pub(crate) fn of_mut(&mut self, lane: Lane) -> &mut T {
        match lane {
            Lane::Readings => &mut self.readings,
            Lane::Others => &mut self.others,
        }
    }

    pub(crate) fn each(&self) -> [&T; 2] {
        [&self.readings, &self.others]
    }

    pub(crate) fn each_mut(&mut self) -> [&mut T; 2] {
        [&mut self.readings, &mut self.others]
    }
}

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
    pub(crate) lane: Lane,
    /// The session that published it, by its serial number, also as its will; zero for the gateway.
    pub(crate) origin: u64,
}

impl Publication {
    /// Of the gateway, at QoS 1.
    pub(crate) fn new(topic: Arc<str>, payload: Bytes) -> Self {
        Self {
            topic,
            payload,
            qos: 1,
            retain: false,
            properties: Bytes::new(),
            expires_s: None,
            lane: Lane::Others,
            origin: 0,
        }
    }

    /// Bytes that it takes while it waits.
    pub(crate) fn footprint(&self) -> usize {
        OVERHEAD + self.topic.len() + self.payload.len() + self.properties.len()
    }

    pub(crate) fn is_expired(&self, now_s: u64) -> bool {
        self.expires_s.is_some_and(|expires_s| expires_s < now_s)
    }
}
