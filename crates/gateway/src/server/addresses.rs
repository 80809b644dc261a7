//! Where a running server listens.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use vitalwire_broker::BrokerAddresses;

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

impl Addresses {
    pub(super) fn new(devices: SocketAddr, mqtt: BrokerAddresses, metrics: Option<&TcpListener>) -> Self {
        let BrokerAddresses { plain: mqtt, tls: mqtt_tls, websocket: mqtt_websocket } = mqtt;
        let metrics = metrics.and_then(|listener| listener.local_addr().ok());
        Self { devices, mqtt, mqtt_tls, mqtt_websocket, metrics }
    }
}
