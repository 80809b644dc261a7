//! One MQTT message.

use std::sync::Arc;

use bytes::Bytes;

use crate::ticket::Share;

/// All are published at QoS 1, and a subscriber chooses less if it likes.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) topic: Arc<str>,
    pub(super) payload: Bytes,
    pub(super) retain: bool,
    /// After this time (UTC, microseconds since 1970) it is not sent any more: a value whose topic says no time.
    pub(super) live_until_us: Option<i64>,
    /// On the last message of a reading.
    pub(super) share: Option<Share>,
}

impl Message {
    /// A message that is not retained, because its value is soon old.
    pub(super) fn passing(topic: &Arc<str>, payload: impl Into<Bytes>) -> Self {
        Self {
            topic: Arc::clone(topic),
            payload: payload.into(),
            retain: false,
            live_until_us: None,
            share: None,
        }
    }

    /// A message that the broker keeps for those who subscribe later.
    pub(super) fn retained(topic: &Arc<str>, payload: impl Into<Bytes>) -> Self {
        Self { retain: true, ..Self::passing(topic, payload) }
    }
}
