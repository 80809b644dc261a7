//! What connections and background jobs share of a running server.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use tokio_util::sync::CancellationToken;
use vitalwire_access::{DeviceId, Proxies};
use vitalwire_broker::BrokerStats;
use vitalwire_vitals::alarm::Timing;

use crate::admission::Admissions;
use crate::alarms::AlarmChange;
use crate::enrolment::Enrolment;
use crate::escalation::WebHooks;
use crate::event::{DeviceEvent, Event, ServerEvent, Status};
use crate::feed::Feed;
use crate::identify::{Identifier, Identity};
use crate::intake::Intake;
use crate::limits::Limits;
use crate::metrics::{Metrics, SessionLabel};
use crate::profiles::Profiles;
use crate::publisher::Publisher;
use crate::session::Sessions;
use crate::surveillance::Desk;
use crate::tls::Acceptor;

/// Sessions whose lag is a metric each. More would make the answer long for whoever opens many.
const LAGS_MAX: usize = 100;

/// What every connection needs of the server.
pub(crate) struct Context {
    pub(crate) admissions: Arc<Admissions>,
    pub(crate) identifier: Identifier,
    pub(crate) acceptor: Acceptor,
    pub(crate) enrolment: Enrolment,
    pub(crate) profiles: Profiles,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) feed: Feed,
    pub(crate) web_hooks: WebHooks,
    /// When people are told again of an alarm that no one acknowledges.
    pub(crate) alarm_timing: Timing,
    pub(crate) publisher: Publisher,
    pub(crate) intake: Arc<Intake>,
    pub(crate) surveillance: Desk,
    /// Of the devices that are connected.
    pub(crate) ends: Mutex<BTreeMap<DeviceId, Ends>>,
    pub(crate) metrics: Metrics,
    pub(crate) limits: Limits,
    /// Asked of every device, if anything is: milliseconds of values in a batch.
    pub(crate) batch_ms: Option<u32>,
    /// Whose connections begin with a header that says for whom they are.
    pub(crate) device_proxies: Proxies,
    /// The data folder.
    pub(crate) data: PathBuf,
    pub(crate) stop: CancellationToken,
}

/// The two ends of a device's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The device's.
    pub peer: SocketAddr,
    /// The server's, where it is known.
    pub local: Option<SocketAddr>,
}

impl Context {
    /// Brings the gauges up to date that no one counts along.
    pub(crate) fn refresh_gauges(&self) {
        self.metrics.connections.set(self.admissions.open() as u64);
        self.metrics.devices.set(self.sessions.count() as u64);
        let (enrolled, version) = self.identifier.known();
        self.metrics.enrolled.set(enrolled as u64);
        self.metrics.registry_version.set(version);
        let journal = self.intake.journal_stats();
        self.metrics.removed_by_age.inner().store(journal.removed_by_age, Ordering::Relaxed);
        self.metrics.removed_by_size.inner().store(journal.removed_by_size, Ordering::Relaxed);
        self.metrics.age_suspended.set(u64::from(journal.suspension.is_some()));
        self.note_broker(&self.publisher.stats().unwrap_or_default());
        self.metrics.mqtt_session_lag.clear();
        for lag in self.publisher.sessions_behind().into_iter().take(LAGS_MAX) {
            let label = SessionLabel { client: lag.client_id.to_string(), user: lag.user.to_string() };
            self.metrics.mqtt_session_lag.get_or_create(&label).set(lag.messages);
        }
    }

    fn note_broker(&self, broker: &BrokerStats) {
        let metrics = &self.metrics;
        metrics.mqtt_clients.set(broker.clients);
        metrics.mqtt_sessions.set(broker.sessions);
        metrics.mqtt_behind.set(broker.sessions_behind);
        metrics.mqtt_lag.set(broker.messages_behind);
        for (counter, count) in [
            (&metrics.mqtt_published, broker.published),
            (&metrics.mqtt_sent, broker.sent),
            (&metrics.mqtt_dropped, broker.dropped),
            (&metrics.mqtt_not_retained, broker.not_retained),
            (&metrics.mqtt_gone, broker.gone),
            (&metrics.mqtt_failed_logins, broker.failed_logins),
            (&metrics.mqtt_refused, broker.refused_connections),
            (&metrics.mqtt_evicted, broker.evicted_connections),
        ] {
            counter.inner().store(count, Ordering::Relaxed);
        }
    }

    /// Tells those who watch that something happened to a device.
    pub(crate) fn tell(&self, identity: &Identity, what: DeviceEvent) {
        let (device, peer) = (identity.id().clone(), identity.peer);
        self.tell_event(Event::Device { device, peer, time: SystemTime::now(), what });
    }

    /// Tells those who watch that something happened to the server.
    pub(crate) fn tell_server(&self, what: ServerEvent) {
        self.tell_event(Event::Server { time: SystemTime::now(), what });
    }

    /// Tells those who watch that an alarm changed.
    pub(crate) fn tell_alarm(&self, change: AlarmChange) {
        self.tell_event(Event::Alarm(change));
    }

    fn tell_event(&self, event: Event) {
        event.log();
        self.feed.event(event);
    }

    /// Tells that a device has a connection, and the server's end of it.
    pub(crate) fn device_online(&self, identity: &Identity, local: Option<SocketAddr>) {
        self.tell_status(identity, true, local);
    }

    /// Tells that a device has no connection any more.
    pub(crate) fn device_offline(&self, identity: &Identity) {
        self.tell_status(identity, false, None);
    }

    fn tell_status(&self, identity: &Identity, is_online: bool, local: Option<SocketAddr>) {
        let (device, peer) = (identity.id().clone(), identity.peer);
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        if is_online {
            ends.insert(device.clone(), Ends { peer, local });
        } else {
            ends.remove(&device);
        }
        drop(ends);
        self.feed.status(Status { device, is_online, peer, local });
    }
}
