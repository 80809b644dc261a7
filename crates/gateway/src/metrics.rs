//! What the gateway counts, for Prometheus and for the terminal view.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use vitalwire_vitals::alarm::{Alarm, Change};

use crate::alarms::WardSummary;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct EndLabel {
    end: &'static str,
}

/// Who reads the feed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ReaderLabel {
    reader: String,
}

/// A session of the embedded broker.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct SessionLabel {
    pub(crate) client: String,
    pub(crate) user: String,
}

/// What an alarm is, never whose.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct AlarmLabel {
    condition: &'static str,
    priority: &'static str,
}

/// How a request was answered: `2xx`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct AnswerLabel {
    status: &'static str,
}

type Level = Gauge<u64, AtomicU64>;

/// Each line is a field, its kind, its name for Prometheus (after `vitalwire_`) and what it counts.
macro_rules! metrics {
    ($($field:ident: $kind:ty = $name:literal, $help:literal;)*) => {
        /// All counters of the gateway.
        #[derive(Clone, Debug)]
        pub(crate) struct Metrics {
            registry: Arc<Registry>,
            $(#[doc = $help] pub(crate) $field: $kind,)*
        }

        impl Metrics {
            pub(crate) fn new() -> Self {
                let mut registry = Registry::with_prefix("vitalwire");
                $(
                    let $field = <$kind>::default();
                    registry.register($name, $help, $field.clone());
                )*
                Self { registry: Arc::new(registry), $($field,)* }
            }
        }
    };
}

metrics! {
    missed: Family<ReaderLabel, Counter> = "feed_missed", "What readers of the feed missed because they were behind";
    ends: Family<EndLabel, Counter> = "connections_ended", "Device connections that ended, by cause";
    accepted: Counter = "connections_accepted", "Device connections accepted";
    identified: Counter = "connections_identified", "Device connections that identified themselves";
    readings: Counter = "readings", "Readings taken from devices: samples, or moments of a batch";
    batches: Counter = "batches", "Batches taken from devices on the secure link";
    acknowledgements: Counter = "acknowledgements", "Acknowledgements sent; each stands for all batches before it";
    journaled: Counter = "journal_entries", "Entries of devices committed to the journal";
    journaled_derived: Counter = "journal_derived_entries", "Entries of what the server derives, committed to the journal";
    duplicates: Counter = "journal_duplicates", "Batches that devices sent again and the journal had";
    unjournaled: Counter = "journal_refusals", "Entries of devices that the journal refused (disk full, mostly)";
    unjournaled_derived: Counter = "journal_derived_refusals", "Entries of what the server derives that the journal refused";
    derived_dropped: Counter = "derived_dropped", "Seconds of derived values that were neither told nor kept, because the journal or the broker took nothing";
    journal_healthy: Level = "journal_healthy", "1 while the journal takes entries";
    removed_by_age: Counter = "journal_removed_by_age", "Entries that the journal removed because they were old";
    removed_by_size: Counter = "journal_removed_by_size", "Entries that the journal removed to make room";
    age_suspended: Level = "journal_age_suspended", "1 while nothing is removed by age, because the clock was set";
    backfilled: Counter = "publisher_backfilled", "Frames and batches published late, out of the journal";
    takeovers: Counter = "sessions_taken_over", "Sessions taken over from another connection";
    accept_errors: Counter = "accept_errors", "Failed accepts (out of file descriptors, mostly)";
    connections: Level = "connections_open", "Device connections open now";
    devices: Level = "devices_connected", "Devices connected now";
    enrolled: Level = "devices_enrolled", "Devices the server knows";
    registry_version: Level = "registry_version", "Version of the registry that the server knows";
    backlog: Level = "publisher_backlog", "Readings waiting in memory for the external broker";
    dropped: Counter = "publisher_dropped", "Readings let go because that memory was full; the backfill publishes those that the journal has";
    lost: Counter = "publisher_lost", "Of these, readings that the journal may not have";
    broker_connected: Level = "broker_connected", "1 while the MQTT broker takes messages";
    web_hooks_delivered: Counter = "web_hooks_delivered", "Escalations that a web hook took";
    web_hooks_failed: Counter = "web_hook_attempts_failed", "Attempts at a web hook that failed";
    web_hooks_given_up: Counter = "web_hooks_given_up", "Escalations that a web hook did not take in time";
    web_hooks_dropped: Counter = "web_hooks_dropped", "Escalations dropped because too many waited for a web hook";
    mqtt_clients: Level = "mqtt_clients", "Clients of the embedded broker";
    mqtt_sessions: Level = "mqtt_sessions", "MQTT sessions, connected or stored";
    mqtt_behind: Level = "mqtt_sessions_behind", "MQTT sessions that have not had all messages of QoS 1 and 2";
    mqtt_lag: Level = "mqtt_messages_behind", "Messages that the last of them has not had";
    mqtt_session_lag: Family<SessionLabel, Level> = "mqtt_session_messages_behind", "Messages that wait since a session was up to date, of the 100 sessions that are most behind";
    mqtt_published: Counter = "mqtt_messages_published", "Messages published at the embedded broker";
    mqtt_sent: Counter = "mqtt_messages_sent", "Messages sent to MQTT clients";
    mqtt_dropped: Counter = "mqtt_messages_dropped", "Messages that MQTT clients missed: of QoS 0 taken too slowly, of QoS 1 and 2 that waited for too long";
    mqtt_gone: Counter = "mqtt_entries_gone", "Entries of the journal, at most, that readers of MQTT missed and that were gone when they came back";
    mqtt_not_retained: Counter = "mqtt_messages_not_retained", "Messages of MQTT that were to be retained and were not, because of a limit";
    mqtt_failed_logins: Counter = "mqtt_logins_failed", "MQTT logins with a wrong name or password";
    mqtt_refused: Counter = "mqtt_connections_refused", "MQTT connections refused because there were too many";
    patients: Level = "patients_watched", "Patients under watch";
    alarms_open: Family<AlarmLabel, Level> = "alarms_open", "Open alarms, by condition and priority";
    alarms_raised: Family<AlarmLabel, Counter> = "alarms_raised", "Alarms raised, by condition and priority";
    alarms_acknowledged: Counter = "alarms_acknowledged", "Alarms that someone acknowledged";
    alarms_escalated: Counter = "alarms_escalated", "Alarms that no one acknowledged, handed to others";
    alarms_recorded: Level = "alarms_recorded", "1 while the registry takes alarms before they are told";
    alarms_waiting: Level = "alarms_unwritten", "Changes of alarms that wait for the registry";
    surveillance_busy_us: Counter = "surveillance_busy_microseconds", "How long all looks at what came of patients took, without the waits in between";
    dashboard_viewers: Level = "dashboard_viewers", "Live connections of the dashboard, one a tab";
    dashboard_waves_dropped: Counter = "dashboard_waves_dropped", "Pieces of waves that viewers of the dashboard missed because they read too slowly";
    dashboard_logins: Counter = "dashboard_logins", "Logins to the dashboard";
    dashboard_failed_logins: Counter = "dashboard_logins_failed", "Logins to the dashboard that were refused";
    dashboard_requests: Family<AnswerLabel, Counter> = "dashboard_requests", "Requests to the dashboard, by what became of them";
    mqtt_evicted: Counter = "mqtt_connections_evicted", "MQTT connections that said nothing and made room";
}

/// What a dashboard beside the server counts, for the server's metrics. Clones are the same; by default no one reads them.
#[derive(Clone, Debug, Default)]
pub struct DashboardCounters {
    viewers: Level,
    waves_dropped: Counter,
    logins: Counter,
    failed_logins: Counter,
    requests: Family<AnswerLabel, Counter>,
}

impl DashboardCounters {
    /// So many live connections are open.
    pub fn note_viewers(&self, count: usize) {
        self.viewers.set(count as u64);
    }

    /// Viewers missed so many pieces of waves more.
    pub fn note_waves_dropped(&self, count: u64) {
        self.waves_dropped.inc_by(count);
    }

    /// Someone logged in, or was refused.
    pub fn note_login(&self, is_accepted: bool) {
        let counter = if is_accepted { &self.logins } else { &self.failed_logins };
        counter.inc();
    }

    /// A request was answered with this status.
    pub fn note_request(&self, status: u16) {
        let status = match status / 100 {
            1 => "1xx",
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            _ => "5xx",
        };
        self.requests.get_or_create(&AnswerLabel { status }).inc();
    }
}

impl AlarmLabel {
    fn of(alarm: &Alarm) -> Self {
        Self { condition: alarm.condition.name(), priority: alarm.priority.name() }
    }
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
    /// Clients of the embedded broker; 0 with another.
    pub mqtt_clients: u64,
    /// Readings that wait for the external broker.
    pub backlog: u64,
    /// Readings lost because the backlog was full.
    pub dropped: u64,
}

impl Metrics {
    /// Counts the end of a connection, by the label of its cause.
    pub(crate) fn ended(&self, end: &'static str) {
        self.ends.get_or_create(&EndLabel { end }).inc();
    }

    /// Counts what became of an alarm.
    pub(crate) fn note_alarm(&self, change: &Change) {
        match change {
            Change::Raised(alarm) => drop(self.alarms_raised.get_or_create(&AlarmLabel::of(alarm)).inc()),
            Change::Acknowledged(_) => drop(self.alarms_acknowledged.inc()),
            Change::Escalated(_) => drop(self.alarms_escalated.inc()),
            _ => {}
        }
    }

    /// Notes how many alarms are open.
    pub(crate) fn note_ward(&self, ward: &WardSummary) {
        self.alarms_open.clear();
        for (condition, priority, count) in &ward.counts {
            let label = AlarmLabel { condition: condition.name(), priority: priority.name() };
            self.alarms_open.get_or_create(&label).set(*count as u64);
        }
        for alarm in &ward.server {
            self.alarms_open.get_or_create(&AlarmLabel::of(alarm)).inc();
        }
    }

    /// What the readers of the feed of this name missed.
    pub(crate) fn missed_by(&self, name: &str) -> Counter {
        self.missed.get_or_create(&ReaderLabel { reader: name.to_owned() }).clone()
    }

    /// Those of a dashboard.
    pub(crate) fn dashboard(&self) -> DashboardCounters {
        DashboardCounters {
            viewers: self.dashboard_viewers.clone(),
            waves_dropped: self.dashboard_waves_dropped.clone(),
            logins: self.dashboard_logins.clone(),
            failed_logins: self.dashboard_failed_logins.clone(),
            requests: self.dashboard_requests.clone(),
        }
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
            mqtt_clients: self.mqtt_clients.get(),
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
        metrics.ended("BadFrame");
        metrics.readings.inc_by(3);
        metrics.dashboard().note_request(404);
        let text = metrics.to_text();
        assert!(text.contains(r#"vitalwire_connections_ended_total{end="BadFrame"} 1"#), "{text}");
        assert!(text.contains("vitalwire_readings_total 3"), "{text}");
        assert!(text.contains(r#"vitalwire_dashboard_requests_total{status="4xx"} 1"#), "{text}");
    }
}
