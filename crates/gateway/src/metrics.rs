//! What the gateway counts, for Prometheus and for the terminal view.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// How a connection of a device ended: one counter a variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(missing_docs, reason = "the names say it; they are metric labels")]
pub(crate) enum End {
    ClosedByDevice,
    ConnectionLost,
    NothingSent,
    FirstFrameLate,
    Idle,
    NotOurProtocol,
    HandshakeFailed,
    BadMessage,
    MessageOutOfTurn,
    UnknownProfile,
    UnknownChannel,
    SequenceBack,
    SpanTooLong,
    SlowReader,
    JournalBack,
    JournalFailed,
    Replaced,
    BadFrame,
    BadSample,
    UnknownKey,
    TooManyFailures,
    SecondConnection,
    TakenOver,
    Revoked,
    Evicted,
    Refused,
    Stopped,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndLabel {
    end: End,
}

/// All counters of the gateway.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    registry: Arc<Registry>,
    ends: Family<EndLabel, Counter>,
    pub(crate) accepted: Counter,
    pub(crate) identified: Counter,
    pub(crate) readings: Counter,
    pub(crate) batches: Counter,
    pub(crate) acknowledgements: Counter,
    pub(crate) journaled: Counter,
    pub(crate) duplicates: Counter,
    pub(crate) unjournaled: Counter,
    pub(crate) backfilled: Counter,
    pub(crate) takeovers: Counter,
    pub(crate) accept_errors: Counter,
    pub(crate) connections: Gauge<u64, AtomicU64>,
    pub(crate) devices: Gauge<u64, AtomicU64>,
    pub(crate) enrolled: Gauge<u64, AtomicU64>,
    pub(crate) registry_version: Gauge<u64, AtomicU64>,
    pub(crate) backlog: Gauge<u64, AtomicU64>,
    pub(crate) dropped: Counter,
    pub(crate) broker_connected: Gauge<u64, AtomicU64>,
    pub(crate) mqtt_clients: Gauge<u64, AtomicU64>,
}

/// Counts of a running server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections of devices accepted since the start.
    pub accepted: u64,
    /// Connections that identified themselves.
    pub identified: u64,
    /// Readings taken from devices.
    pub readings: u64,
    /// Entries committed to the journal.
    pub journaled: u64,
    /// Batches that came again.
    pub duplicates: u64,
    /// Entries that the journal refused.
    pub unjournaled: u64,
    /// Frames and batches published late, out of the journal.
    pub backfilled: u64,
    /// Connections open now.
    pub connections: u64,
    /// Devices connected now.
    pub devices: u64,
    /// Devices the server knows.
    pub enrolled: u64,
    /// The version of the registry that the server knows; a change reaches it a moment later.
    pub registry_version: u64,
    /// Whether the broker takes messages.
    pub broker_connected: bool,
    /// Readings that wait for the external broker.
    pub backlog: u64,
    /// Readings lost because the backlog was full.
    pub dropped: u64,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("vitalwire");
        macro_rules! register {
            ($name:literal, $help:literal) => {{
                let metric = Default::default();
                register!($name, $help, metric)
            }};
            ($name:literal, $help:literal, $metric:ident) => {{
                registry.register($name, $help, Clone::clone(&$metric));
                $metric
            }};
        }
        let ends: Family<EndLabel, Counter> =
            register!("connections_ended", "Device connections that ended, by cause");
        let accepted: Counter = register!("connections_accepted", "Device connections accepted");
        let identified: Counter =
            register!("connections_identified", "Device connections that identified themselves");
        let readings: Counter =
            register!("readings", "Readings taken from devices: samples, or moments of a batch");
        let batches: Counter = register!("batches", "Batches taken from devices on the secure link");
        let acknowledgements: Counter =
            register!("acknowledgements", "Acknowledgements sent; each stands for all batches before it");
        let journaled: Counter = register!("journal_entries", "Entries committed to the journal");
        let duplicates: Counter =
            register!("journal_duplicates", "Batches that devices sent again and the journal had");
        let unjournaled: Counter =
            register!("journal_refusals", "Entries that the journal refused (disk full, mostly)");
        let backfilled: Counter =
            register!("publisher_backfilled", "Frames and batches published late, out of the journal");
        let takeovers: Counter =
            register!("sessions_taken_over", "Sessions taken over from a silent connection");
        let accept_errors: Counter =
            register!("accept_errors", "Failed accepts (out of file descriptors, mostly)");
        let connections: Gauge<u64, AtomicU64> = register!("connections_open", "Device connections open now");
        let devices: Gauge<u64, AtomicU64> = register!("devices_connected", "Devices connected now");
        let enrolled: Gauge<u64, AtomicU64> = register!("devices_enrolled", "Devices the server knows");
        let registry_version: Gauge<u64, AtomicU64> =
            register!("registry_version", "Version of the registry that the server knows");
        let backlog: Gauge<u64, AtomicU64> =
            register!("publisher_backlog", "Readings waiting for the external broker");
        let dropped: Counter = register!("publisher_dropped", "Readings lost because the backlog was full");
        let broker_connected: Gauge<u64, AtomicU64> =
            register!("broker_connected", "1 while the MQTT broker takes messages");
        let mqtt_clients: Gauge<u64, AtomicU64> = register!("mqtt_clients", "Clients of the embedded broker");
        Self {
            registry: Arc::new(registry),
            ends,
            accepted,
            identified,
            readings,
            batches,
            acknowledgements,
            journaled,
            duplicates,
            unjournaled,
            backfilled,
            takeovers,
            accept_errors,
            connections,
            devices,
            enrolled,
            registry_version,
            backlog,
            dropped,
            broker_connected,
            mqtt_clients,
        }
    }

    pub(crate) fn ended(&self, end: End) {
        self.ends.get_or_create(&EndLabel { end }).inc();
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            accepted: self.accepted.get(),
            identified: self.identified.get(),
            readings: self.readings.get(),
            journaled: self.journaled.get(),
            duplicates: self.duplicates.get(),
            unjournaled: self.unjournaled.get(),
            backfilled: self.backfilled.get(),
            connections: self.connections.get(),
            devices: self.devices.get(),
            enrolled: self.enrolled.get(),
            registry_version: self.registry_version.get(),
            broker_connected: self.broker_connected.get() == 1,
            backlog: self.backlog.get(),
            dropped: self.dropped.get(),
        }
    }

    /// The counters in the OpenMetrics text format.
    pub(crate) fn to_text(&self) -> String {
        let mut out = String::new();
        text::encode(&mut out, &self.registry).expect("a String takes all that is written");
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_names_each_cause() {
        let metrics = Metrics::new();
        metrics.ended(End::BadFrame);
        metrics.readings.inc_by(3);
        let text = metrics.to_text();
        assert!(text.contains(r#"vitalwire_connections_ended_total{end="BadFrame"} 1"#), "{text}");
        assert!(text.contains("vitalwire_readings_total 3"), "{text}");
    }
}
