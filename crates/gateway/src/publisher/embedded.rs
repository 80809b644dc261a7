//! The broker in this process: one task reads the feed and publishes, in the turn in which the reading came.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::task::JoinHandle;
use tracing::{Instrument as _, error_span};
use vitalwire_access::DeviceId;
use vitalwire_broker::{
    Broker, BrokerAddresses, BrokerConfig, BrokerError, BrokerStats, Lane, Place, Publishing, SessionInfo,
    SessionLag, StorageError,
};
use vitalwire_registry::Logins;

use super::message::Message;
use super::render::{self, Sink};
use super::status::{OFFLINE, ONLINE};
use crate::clock::utc_us;
use crate::feed::{Feed, FeedItem, FeedReader, Queued, WhenFull};
use crate::metrics::Metrics;
use crate::reading::Reading;
use crate::ticket::Share;
use crate::topics::ROOT;

/// Bytes of readings that wait to be published. At it, connections are read no further: all that publishing needs is the
/// processor, so that it is the devices' senders that have to wait.
const WAITING_BYTES_MAX: usize = 1 << 20;
/// What is published in one turn. Readers are written to when it ends.
const TURN_ITEMS_MAX: usize = 64;
/// How long a stop waits for what the feed holds.
const STOP_PATIENCE: Duration = Duration::from_millis(500);

pub(super) struct Embedded {
    broker: Arc<Broker>,
    feed: Feed,
    /// Held while an item of the feed is published: an erasure must not overtake what was taken out of the feed before it.
    publishing: Arc<tokio::sync::Mutex<()>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Embedded {
    pub(super) async fn start(
        config: BrokerConfig,
        logins: &Arc<Logins>,
        feed: &Feed,
        metrics: &Metrics,
    ) -> Result<Self, BrokerError> {
        let broker = Arc::new(Broker::start(config, Arc::clone(logins)).await?);
        mark_all_offline(&broker);
        metrics.broker_connected.set(1);
        let reader = feed.subscribe_publisher(WAITING_BYTES_MAX, WhenFull::Wait);
        let publishing = Arc::default();
        let run = run(reader, Arc::clone(&broker), Arc::clone(&publishing));
        let task = tokio::spawn(run.instrument(error_span!("publisher")));
        Ok(Self { broker, feed: feed.clone(), publishing, task: Mutex::new(Some(task)) })
    }

    pub(super) fn addresses(&self) -> BrokerAddresses {
        self.broker.addresses()
    }

    pub(super) fn stats(&self) -> BrokerStats {
        self.broker.stats()
    }

    pub(super) fn sessions_behind(&self) -> Vec<SessionLag> {
        self.broker.sessions_behind()
    }

    pub(super) fn sessions(&self) -> Vec<SessionInfo> {
        self.broker.sessions()
    }

    pub(super) async fn end_session(&self, client_id: &str) -> Result<Option<Arc<str>>, StorageError> {
        self.broker.end_session(client_id).await
    }

    pub(super) fn backlog(&self, reading: &Reading, share: Share) {
        let mut publishing = self.broker.publishing();
        if is_worth_an_entry(&mut publishing, reading) {
            render::backlog(reading, &mut Archiving::new(&mut publishing, share.place()));
        }
        drop(publishing);
        share.deliver();
    }

    pub(super) async fn erase(&self, device: &DeviceId) -> Result<usize, StorageError> {
        let (ours, papers) = (format!("{ROOT}/{device}/"), format!("Pico/{device}/"));
        let _publishing = self.publishing.lock().await;
        self.feed.forget(device);
        self.broker.erase(|topic: &str| topic.starts_with(&ours) || topic.starts_with(&papers)).await
    }

    pub(super) fn devices_with_alarms(&self) -> Vec<DeviceId> {
        let device =
            |topic: &str| topic.strip_prefix(ROOT)?.strip_prefix('/')?.strip_suffix("/alarm")?.parse().ok();
        let standing = self.broker.retained(&format!("{ROOT}/+/alarm"));
        standing.into_iter().filter_map(|(topic, _)| device(&topic)).collect()
    }

    pub(super) fn note_published(&self, through: u64) {
        self.broker.note_published(through);
    }

    pub(super) async fn finish(&self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task
            && tokio::time::timeout(STOP_PATIENCE, task).await.is_err()
        {
            tracing::warn!("stopped before all readings were published; the next start publishes them");
        }
    }

    pub(super) async fn stop(&self) {
        self.finish().await;
        self.broker.stop().await;
    }
}

/// Publishes what the feed tells, until it ends.
async fn run(mut feed: FeedReader, broker: Arc<Broker>, publishing: Arc<tokio::sync::Mutex<()>>) {
    while feed.ready().await {
        // An erasure may have let go what was there.
        if let Some(turn) = Turn::take(&mut feed, &publishing).await {
            turn.publish(&broker);
        }
    }
}

/// What was taken out of the feed, and the turn in which it is published: no erasure comes in between.
struct Turn<'a> {
    queued: Vec<Queued>,
    _publishing: tokio::sync::MutexGuard<'a, ()>,
}

impl<'a> Turn<'a> {
    async fn take(feed: &mut FeedReader, publishing: &'a tokio::sync::Mutex<()>) -> Option<Self> {
        let publishing = publishing.lock().await;
        let queued: Vec<_> = std::iter::from_fn(|| feed.take()).take(TURN_ITEMS_MAX).collect();
        (!queued.is_empty()).then_some(Self { queued, _publishing: publishing })
    }

    fn publish(self, broker: &Broker) {
        let now_us = utc_us(SystemTime::now());
        let mut publishing = broker.publishing();
        for queued in &self.queued {
            match (&queued.item, &queued.delivery) {
                (FeedItem::Reading(reading), Some(promise)) => {
                    if !is_worth_an_entry(&mut publishing, reading) {
                        continue;
                    }
                    let mut sink = Archiving::new(&mut publishing, promise.share.place());
                    render::live(reading, now_us, &mut sink);
                }
                // The feed gives each reading's promise to its publisher.
                (FeedItem::Reading(_), None) => {}
                (FeedItem::Status(status), _) => {
                    let messages = render::status(status).into_iter();
                    messages.for_each(|message| publish(&mut publishing, message));
                }
                (FeedItem::Event(event), _) => publish(&mut publishing, render::event(event)),
                (FeedItem::Alarms(list), _) => publish(&mut publishing, render::alarms(list)),
                (FeedItem::Ward(summary), _) => publish(&mut publishing, render::ward(summary)),
                (FeedItem::Escalation(change), _) => publish(&mut publishing, render::escalation(change)),
                (FeedItem::Beats(_), _) => {}
            }
        }
        drop(publishing);
        for promise in self.queued.into_iter().filter_map(|queued| queued.delivery) {
            promise.share.deliver();
        }
    }
}

/// What was derived waits for ten seconds until it is known where it stands in the journal, and until then the broker remembers each
/// reading after it. So it is told of those alone that someone subscribed to, also someone who is away.
fn is_worth_an_entry(publishing: &mut Publishing<'_>, reading: &Reading) -> bool {
    !reading.source.is_derived || publishing.is_wanted(&reading.source.reading)
}

fn publish(publishing: &mut Publishing<'_>, message: Message) {
    publishing.publish(message.topic, message.payload, message.retain, Lane::Others);
}

/// Publishes the messages of one reading, which the journal has, or will have, in this place.
struct Archiving<'p, 'b> {
    publishing: &'p mut Publishing<'b>,
    place: &'p Arc<Place>,
}

impl<'p, 'b> Archiving<'p, 'b> {
    fn new(publishing: &'p mut Publishing<'b>, place: &'p Arc<Place>) -> Self {
        publishing.begin_entry(place);
        Self { publishing, place }
    }
}

impl Sink for Archiving<'_, '_> {
    fn wants(&mut self, topic: &Arc<str>) -> bool {
        self.publishing.is_wanted(topic)
    }

    fn take(&mut self, message: Message) {
        self.publishing.publish_archived(message.topic, message.payload, self.place);
    }
}

/// Corrects what a gateway that died left behind: a device that was online then is not now. An external broker does this by
/// itself, by the wills of the status connections.
fn mark_all_offline(broker: &Broker) {
    for (topic, payload) in broker.retained(&format!("{ROOT}/+/status")) {
        if payload == ONLINE {
            broker.publish(topic, OFFLINE, true);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use tokio::sync::watch;
    use vitalwire_registry::LoginLimits;

    use super::*;
    use crate::event::Status;

    /// A publisher whose steps the test takes, its feed and its broker.
    struct Steps {
        embedded: Embedded,
        reader: FeedReader,
        _folder: tempfile::TempDir,
    }

    impl Steps {
        async fn start() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let logins = Logins::new(watch::channel(Arc::default()).1, LoginLimits::default());
            let config = BrokerConfig::new(folder.path().join("broker"));
            let broker = Arc::new(Broker::start(config, Arc::new(logins)).await.unwrap());
            let feed = Feed::new(Metrics::new());
            let reader = feed.subscribe_publisher(WAITING_BYTES_MAX, WhenFull::Wait);
            let (publishing, task) = (Arc::default(), Mutex::new(None));
            Self { embedded: Embedded { broker, feed, publishing, task }, reader, _folder: folder }
        }

        fn tell_status(&self, device: &DeviceId) {
            let peer = "192.0.2.7:1".parse().unwrap();
            let status = Status { device: device.clone(), is_online: false, peer, local: None };
            self.embedded.feed.status(status);
        }

        async fn publish_the_rest(self) -> Vec<String> {
            self.embedded.feed.close();
            let (broker, publishing) =
                (Arc::clone(&self.embedded.broker), Arc::clone(&self.embedded.publishing));
            run(self.reader, broker, publishing).await;
            let retained = self.embedded.broker.retained("#");
            self.embedded.broker.stop().await;
            retained.into_iter().map(|(topic, _)| topic).collect()
        }
    }

    #[tokio::test]
    async fn what_is_being_published_of_a_device_goes_with_its_erasure() {
        let mut steps = Steps::start().await;
        let device: DeviceId = "bed_07".parse().unwrap();
        steps.tell_status(&device);
        {
            let Steps { embedded, reader, .. } = &mut steps;
            let turn = Turn::take(reader, &embedded.publishing).await.unwrap();
            // The erasure comes as far as it can before what was taken out of the feed is published.
            let mut erasure = pin!(embedded.erase(&device));
            assert!(erasure.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            turn.publish(&embedded.broker);
            erasure.await.unwrap();
        }
        assert_eq!(steps.publish_the_rest().await, Vec::<String>::new());
    }

    #[tokio::test]
    async fn what_waits_to_be_published_of_a_device_goes_with_its_erasure() {
        let steps = Steps::start().await;
        let [erased, other] = ["bed_07", "bed_08"].map(|id| id.parse::<DeviceId>().unwrap());
        steps.tell_status(&erased);
        steps.tell_status(&other);
        steps.embedded.erase(&erased).await.unwrap();
        let left = steps.publish_the_rest().await;
        assert!(!left.is_empty(), "the other device's status is published");
        assert!(left.iter().all(|topic| topic.contains("bed_08")), "{left:?}");
    }
}
