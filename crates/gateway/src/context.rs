//! What connections and background jobs share of a running server.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio_util::sync::CancellationToken;

use crate::admission::Admissions;
use crate::enrolment::Enrolment;
use crate::identify::Identifier;
use crate::intake::Intake;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::profiles::Profiles;
use crate::publisher::Publisher;
use crate::session::Sessions;
use crate::tls::Acceptor;

/// What every connection needs of the server.
pub(crate) struct Context {
    pub(crate) admissions: Arc<Admissions>,
    pub(crate) identifier: Identifier,
    pub(crate) acceptor: Acceptor,
    pub(crate) enrolment: Enrolment,
    pub(crate) profiles: Profiles,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) intake: Arc<Intake>,
    pub(crate) metrics: Metrics,
    pub(crate) limits: Limits,
    /// Asked of every device, if anything is: milliseconds of values in a batch.
    pub(crate) batch_ms: Option<u32>,
    pub(crate) stop: CancellationToken,
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
        if let Publisher::Embedded(broker) = &*self.publisher {
            self.metrics.broker_connected.set(1);
            self.metrics.mqtt_clients.set(broker.stats().clients);
        }
    }
}
