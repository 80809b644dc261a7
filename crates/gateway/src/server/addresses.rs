//! Where a running server listens.

use std::net::SocketAddr;

/// Each with the port that the system chose, where none was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// For devices.
    pub devices: SocketAddr,
    /// MQTT in plain.
    pub mqtt: Option<SocketAddr>,
    /// MQTT over TLS.
    pub mqtt_tls: Option<SocketAddr>,
    /// MQTT over WebSocket.
    pub mqtt_websocket: Option<SocketAddr>,
    /// Metrics and health.
    pub metrics: Option<SocketAddr>,
}
