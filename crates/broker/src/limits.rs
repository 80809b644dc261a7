//! Every limit of the broker that can be set.

use std::time::Duration;

/// Limits, each with what happens when it is reached.
#[derive(Debug, Clone)]
pub struct BrokerLimits {
    /// Connections at once, also those not logged in yet. One more is closed at once and counted.
    pub connections_max: usize,
    /// Connections from one address at once. One more is closed at once and counted.
    pub connections_per_address_max: usize,
    /// Subscriptions of one client. One more is refused in SUBACK; each costs at every publication.
    pub subscriptions_per_client_max: usize,
    /// Sessions of one user, connected or stored. One more client id is refused at CONNECT.
    pub sessions_per_user_max: usize,
    /// Largest packet a client may send, in bytes. A larger one ends its connection.
    pub client_packet_bytes_max: usize,
    /// Messages waiting for one absent or slow client. The oldest are dropped, logged and counted.
    pub queued_messages_max: usize,
    /// The same in bytes.
    pub queued_bytes_max: usize,
    /// How long a session outlives its connection at most, in seconds. Then it is deleted.
    pub session_expiry_s_max: u32,
    /// Topics with a retained message. One more is delivered but not retained.
    pub retained_messages_max: usize,
    /// Time for the TLS or WebSocket handshake, in milliseconds. Then the connection is closed.
    pub handshake_ms_max: u64,
    /// Time from there to a good CONNECT, in milliseconds, at most 10,000. Then the connection is closed.
    pub connect_ms_max: u64,
    /// Messages that wait in memory for one connected client, of QoS 0 and of QoS 1 each. When it is full, QoS 0 messages
    /// are dropped and QoS 1 messages go to the session's queue.
    pub outgoing_messages_max: usize,
    /// QoS 1 messages sent to one client and not acknowledged yet. The others wait. The broker crate looks through all of
    /// them at each acknowledgement, so more is not faster.
    pub unacknowledged_max: u16,
    /// QoS 2 publications of one client under way. One more ends its connection.
    pub client_publishes_max: u16,
    /// Topic aliases that one client may define. A greater one ends its connection.
    pub topic_aliases_max: u16,
    /// Largest retained message of a client, in bytes. A larger one is delivered but not retained.
    pub retained_bytes_max: usize,
    /// Bytes that are gathered for one client. More are written at once, and the broker waits until its socket has taken
    /// them; meanwhile messages wait as said above.
    pub gathered_bytes_max: usize,
    /// How long a client's socket may take no byte, in milliseconds. Then it is gone: what was queued for it goes back to
    /// its session.
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
            queued_messages_max: 10_000,
            queued_bytes_max: 8 * 1024 * 1024,
            session_expiry_s_max: 7 * 24 * 60 * 60,
            retained_messages_max: 1_000_000,
            handshake_ms_max: 5_000,
            connect_ms_max: 9_000,
            // A thousand devices at 20 Hz make 160,000 messages a second, so a subscriber that the system lets wait for
            // 0.8 s still misses none.
            outgoing_messages_max: 128 * 1024,
            unacknowledged_max: 128,
            client_publishes_max: 64,
            topic_aliases_max: 16,
            retained_bytes_max: 64 * 1024,
            gathered_bytes_max: 64 * 1024,
            stall_ms_max: 10_000,
            linger_ms_max: 200,
        }
    }
}

impl BrokerLimits {
    pub(crate) fn handshake_deadline(&self) -> Duration {
        Duration::from_millis(self.handshake_ms_max)
    }

    pub(crate) fn connect_deadline(&self) -> Duration {
        Duration::from_millis(self.connect_ms_max)
    }
}
