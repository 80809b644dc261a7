//! Every limit of the broker that can be set.

use std::time::Duration;

use crate::core::CoreLimits;
use crate::core::log::LogLimits;

/// Messages of shared subscriptions that wait for one member.
const DIRECT_MAX: usize = 10_000;
/// A thousand readers of ten thousand topics take more, and are then looked up again more often.
const TOPICS_BYTES_MAX: usize = 256 << 20;

/// Limits, each with what happens when it is reached.
#[derive(Debug, Clone)]
pub struct BrokerLimits {
    /// Connections at once, also those not logged in yet. For one more the oldest that has sent nothing is closed; when there
    /// is none, it is itself. Both are counted.
    pub connections_max: usize,
    /// Connections from one address at once; the same for one more.
    pub connections_per_address_max: usize,
    /// Subscriptions of one client. One more is refused in SUBACK.
    pub subscriptions_per_client_max: usize,
    /// Sessions of one user, connected or stored. One more client id is refused at CONNECT.
    pub sessions_per_user_max: usize,
    /// Largest packet a client may send, in bytes. A larger one ends its connection.
    pub client_packet_bytes_max: usize,
    /// Messages of QoS 1 and 2 that wait for absent and slow clients, each once for all of them: readings, and as many others.
    /// The oldest are dropped, logged and counted.
    pub queued_messages_max: usize,
    /// The same in bytes.
    pub queued_bytes_max: usize,
    /// How long a session outlives its connection at most, in seconds. Then it is deleted.
    pub session_expiry_s_max: u32,
    /// Topics with a retained message. One more is delivered but not retained. Counted.
    pub retained_messages_max: usize,
    /// Bytes of all retained messages together. One that does not fit is delivered but not retained, and neither is the one
    /// before it on its topic any more. Counted.
    pub retained_bytes_total_max: usize,
    /// Time for the TLS or WebSocket handshake, in milliseconds. Then the connection is closed.
    pub handshake_ms_max: u64,
    /// Time from there to a good CONNECT, in milliseconds, at most 10,000. Then the connection is closed.
    pub connect_ms_max: u64,
    /// Bytes that wait for one client's socket. When it is full, QoS 0 messages are dropped and counted, and those of QoS 1
    /// and 2 come later.
    pub outgoing_bytes_max: usize,
    /// The same for all clients together. At it, clients that are behind miss QoS 0 messages.
    pub outgoing_bytes_total_max: usize,
    /// Messages of QoS 1 and 2 sent to one client and not acknowledged yet. The others wait.
    pub unacknowledged_max: u16,
    /// Publications of one client of QoS 1 and 2 under way. One more ends its connection.
    pub client_publishes_max: u16,
    /// Topic aliases that one client may define. A greater one ends its connection.
    pub topic_aliases_max: u16,
    /// Largest retained message of a client, in bytes. A larger one is delivered but not retained. Counted.
    pub retained_bytes_max: usize,
    /// How long a client's socket may take no byte, in milliseconds. Then it is gone; its session keeps what it missed.
    pub stall_ms_max: u64,
    /// Time for the last bytes of a closing connection, in milliseconds. Then they are dropped.
    pub linger_ms_max: u64,
}

impl Default for BrokerLimits {
    /// For a ward: tens of displays, thousands of devices.
    fn default() -> Self {
        Self {
            connections_max: 1_000,
            connections_per_address_max: 256,
            subscriptions_per_client_max: 64,
            sessions_per_user_max: 100,
            client_packet_bytes_max: 256 * 1024,
            queued_messages_max: 1_000_000,
            queued_bytes_max: 128 * 1024 * 1024,
            session_expiry_s_max: 7 * 24 * 60 * 60,
            retained_messages_max: 1_000_000,
            retained_bytes_total_max: 128 * 1024 * 1024,
            handshake_ms_max: 5_000,
            connect_ms_max: 9_000,
            // A thousand devices at 20 Hz make 160,000 messages of 60 bytes a second, so a subscriber that the system lets
            // wait for 0.8 s still misses none.
            outgoing_bytes_max: 8 * 1024 * 1024,
            outgoing_bytes_total_max: 256 * 1024 * 1024,
            unacknowledged_max: 128,
            // More than the clients of others have under way that were looked at (rumqttc: 100): of 3.1.1 none can be told.
            client_publishes_max: 256,
            topic_aliases_max: 16,
            retained_bytes_max: 64 * 1024,
            stall_ms_max: 10_000,
            linger_ms_max: 200,
        }
    }
}

impl BrokerLimits {
    pub(crate) fn handshake_deadline(&self) -> Duration {
        Duration::from_millis(self.handshake_ms_max)
    }

    pub(crate) fn core(&self) -> CoreLimits {
        CoreLimits {
            log: LogLimits {
                messages_max: self.queued_messages_max.max(1),
                bytes_max: self.queued_bytes_max,
            },
            subscriptions_max: self.subscriptions_per_client_max,
            sessions_per_user_max: self.sessions_per_user_max,
            session_expiry_s_max: self.session_expiry_s_max,
            retained_max: self.retained_messages_max,
            retained_bytes_max: self.retained_bytes_total_max,
            direct_max: DIRECT_MAX,
            out_bytes_max: self.outgoing_bytes_total_max,
            topics_bytes_max: TOPICS_BYTES_MAX,
        }
    }

    pub(crate) fn connect_deadline(&self) -> Duration {
        Duration::from_millis(self.connect_ms_max)
    }
}
