//! One MQTT message, as readings and events become it and the publisher sends it.

use std::sync::Arc;

use bytes::Bytes;

use crate::ticket::Share;

/// All are published at QoS 1, and a subscriber chooses less if it likes.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) topic: Arc<str>,
    pub(crate) payload: Bytes,
    pub(crate) retain: bool,
    /// On the last message of a reading that somebody follows.
    pub(crate) share: Option<Share>,
}

impl Message {
    /// A message that is not retained, because its value is soon old.
    pub(crate) fn passing(topic: &Arc<str>, payload: impl Into<Bytes>) -> Self {
        Self { topic: Arc::clone(topic), payload: payload.into(), retain: false, share: None }
    }
}
