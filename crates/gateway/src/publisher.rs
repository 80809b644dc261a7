//! The publisher: reads the feed and turns it into MQTT messages, for the embedded broker or an external one. It knows topics
//! and payloads, and nothing of sockets of devices. What it could not publish when it came, the backfill hands to it later.

mod archive;
mod client_id;
mod collector;
mod embedded;
mod external;
mod flight;
mod message;
mod queue;
mod render;
mod sender;
mod status;

use std::path::Path;
use std::sync::Arc;

use vitalwire_access::DeviceId;
use vitalwire_broker::{
    BrokerAddresses, BrokerConfig, BrokerError, BrokerStats, SessionInfo, SessionLag, StorageError,
};
use vitalwire_registry::Logins;

pub(crate) use self::archive::JournalArchive;
pub use self::external::{BrokerUrlError, ExternalBroker};

use self::embedded::Embedded;
use self::external::External;
use crate::feed::Feed;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::reading::Reading;
use crate::ticket::Share;

/// Which broker carries the readings.
#[derive(Debug)]
pub enum BrokerChoice {
    /// The one in this process.
    Embedded(Box<BrokerConfig>),
    /// One elsewhere.
    External(ExternalBroker),
}

/// Why the publisher did not start.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum PublisherError {
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error(transparent)]
    Url(#[from] BrokerUrlError),
}

/// What the publisher needs of the server.
pub(crate) struct Surroundings<'a> {
    pub(crate) data: &'a Path,
    pub(crate) limits: &'a Limits,
    pub(crate) metrics: &'a Metrics,
    pub(crate) logins: &'a Arc<Logins>,
    pub(crate) feed: &'a Feed,
    pub(crate) archive: Arc<JournalArchive>,
}

/// The publisher, whichever broker it has.
pub(crate) struct Publisher(Kind);

enum Kind {
    Embedded(Embedded),
    External(External),
}

impl Publisher {
    /// Starts to read the feed.
    pub(crate) async fn start(choice: BrokerChoice, of: Surroundings<'_>) -> Result<Self, PublisherError> {
        Ok(Self(match choice {
            BrokerChoice::Embedded(config) => {
                let config = BrokerConfig { archive: Some(of.archive), ..*config };
                Kind::Embedded(Embedded::start(config, of.logins, of.feed, of.metrics).await?)
            }
            BrokerChoice::External(broker) => {
                let bytes_max = of.limits.backlog_bytes_max;
                Kind::External(External::start(broker, of.data, bytes_max, of.feed, of.metrics)?)
            }
        }))
    }

    /// Where readers connect; nowhere with an external broker.
    pub(crate) fn addresses(&self) -> BrokerAddresses {
        match &self.0 {
            Kind::Embedded(embedded) => embedded.addresses(),
            Kind::External(_) => BrokerAddresses::default(),
        }
    }

    /// Whether the broker takes messages now.
    pub(crate) fn is_connected(&self) -> bool {
        match &self.0 {
            Kind::Embedded(_) => true,
            Kind::External(external) => external.is_connected(),
        }
    }

    /// What the broker counts, where it is known.
    pub(crate) fn stats(&self) -> Option<BrokerStats> {
        match &self.0 {
            Kind::Embedded(embedded) => Some(embedded.stats()),
            Kind::External(_) => None,
        }
    }

    /// Sessions of the broker that have not had everything, where it is known.
    pub(crate) fn sessions_behind(&self) -> Vec<SessionLag> {
        match &self.0 {
            Kind::Embedded(embedded) => embedded.sessions_behind(),
            Kind::External(_) => Vec::new(),
        }
    }

    /// All sessions of the broker, where it is known.
    pub(crate) fn mqtt_sessions(&self) -> Option<Vec<SessionInfo>> {
        match &self.0 {
            Kind::Embedded(embedded) => Some(embedded.sessions()),
            Kind::External(_) => None,
        }
    }

    /// Ends a session; whose it was, if there was one. `None` when the broker is elsewhere.
    pub(crate) async fn end_mqtt_session(
        &self,
        client_id: &str,
    ) -> Option<Result<Option<Arc<str>>, StorageError>> {
        match &self.0 {
            Kind::Embedded(embedded) => Some(embedded.end_session(client_id).await),
            Kind::External(_) => None,
        }
    }

    /// Publishes a reading out of the journal, behind the live ones, and below `vitalwire/v1` alone.
    pub(crate) async fn backlog(&self, reading: Reading, share: Share) {
        match &self.0 {
            Kind::Embedded(embedded) => embedded.backlog(&reading, share),
            Kind::External(external) => external.backlog(reading, share),
        }
    }

    /// Lets go what waits of a device and what the broker keeps of it; how many messages the broker kept, `None` when it is
    /// elsewhere and keeps its own copies.
    ///
    /// # Errors
    /// When what the broker keeps is not off the disk.
    pub(crate) async fn erase(&self, device: &DeviceId) -> Result<Option<usize>, StorageError> {
        match &self.0 {
            Kind::Embedded(embedded) => embedded.erase(device).await.map(Some),
            Kind::External(external) => {
                external.erase(device);
                Ok(None)
            }
        }
    }

    /// Devices for which a list of alarms stands at the broker that is not empty, as far as that is known.
    pub(crate) fn devices_with_alarms(&self) -> Vec<DeviceId> {
        match &self.0 {
            Kind::Embedded(embedded) => embedded.devices_with_alarms(),
            Kind::External(_) => Vec::new(),
        }
    }

    /// Says that all of the journal's entries up to here were published.
    pub(crate) fn note_published(&self, through: u64) {
        match &self.0 {
            Kind::Embedded(embedded) => embedded.note_published(through),
            Kind::External(_) => {}
        }
    }

    /// Publishes what the feed, which was closed, still holds, where that takes no patience.
    pub(crate) async fn finish(&self) {
        match &self.0 {
            Kind::Embedded(embedded) => embedded.finish().await,
            Kind::External(_) => {}
        }
    }

    /// Hands on what the feed, which was closed, still holds, and ends.
    pub(crate) async fn stop(&self) {
        match &self.0 {
            Kind::Embedded(embedded) => embedded.stop().await,
            Kind::External(external) => external.stop().await,
        }
    }
}
