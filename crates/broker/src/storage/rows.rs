//! A session as the disk has it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::core::filters::Subscription;
use crate::message::Publication;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SessionRow {
    pub(crate) client_id: Arc<str>,
    pub(crate) user: Arc<str>,
    pub(crate) serial: u64,
    pub(crate) expiry_s: u32,
    /// When its connection ended; nothing while it has one.
    pub(crate) left_s: Option<u64>,
    pub(crate) subscriptions: Vec<(Box<str>, Subscription)>,
    /// Where it goes on reading the log; nothing when it subscribes at QoS 0 only.
    pub(crate) position: Option<u64>,
    /// The archive's entries up to here it has had.
    pub(crate) entry: u64,
    pub(crate) last_packet_id: u16,
    pub(crate) window: Vec<InFlightRow>,
    pub(crate) direct: Vec<DirectRow>,
    pub(crate) received: Vec<u16>,
}

/// A message that is not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InFlightRow {
    pub(crate) packet_id: u16,
    pub(crate) released: bool,
    pub(crate) message: DirectRow,
}

/// A message for one client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DirectRow {
    pub(crate) publication: Publication,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) ids: Vec<u32>,
}
