//! Hands what was derived to the intake, in a task of its own: it waits for the journal and for the publisher, and the watch over
//! patients waits for neither. What does not fit meanwhile is dropped and counted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tracing::{Instrument as _, error_span};
use vitalwire_access::DeviceId;
use vitalwire_profile::{DERIVED, Profile};

use crate::clock::utc_us;
use crate::intake::{Derived, Intake, Moment};
use crate::metrics::Metrics;
use crate::topics::{DeviceTopics, Source};

/// Seconds of patients that wait at most: twenty of a thousand patients.
const WAITING_MAX: usize = 20_000;
/// What waits for the journal is looked at so often.
const BEAT: Duration = Duration::from_secs(1);

enum Order {
    Take { device: DeviceId, moment: Moment, is_live: bool, now_us: i64, _place: OwnedSemaphorePermit },
    Forget { device: DeviceId, answer: oneshot::Sender<()> },
    End,
}

/// The watch's side, which never waits.
pub(super) struct Deriving {
    /// Not bounded by itself: only what has a place comes here, and what is rare.
    orders: mpsc::UnboundedSender<Order>,
    places: Arc<Semaphore>,
    places_max: usize,
    is_full: bool,
    metrics: Metrics,
    task: JoinHandle<()>,
}

impl Deriving {
    pub(super) fn start(intake: Arc<Intake>, metrics: Metrics) -> Self {
        Self::with_places(intake, metrics, WAITING_MAX)
    }

    fn with_places(intake: Arc<Intake>, metrics: Metrics, places_max: usize) -> Self {
        let (orders, received) = mpsc::unbounded_channel();
        let places = Arc::new(Semaphore::new(places_max));
        let task = tokio::spawn(run(intake, received).instrument(error_span!("derived")));
        Self { orders, places, places_max, is_full: false, metrics, task }
    }

    /// Takes what was derived of one second, in the order of calls.
    pub(super) fn take(&mut self, device: &DeviceId, moment: Moment, is_live: bool, now_us: i64) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            self.metrics.derived_dropped.inc();
            if !std::mem::replace(&mut self.is_full, true) {
                tracing::error!("the journal or the broker takes nothing: what is derived is dropped");
            }
            return;
        };
        self.is_full = false;
        let device = device.clone();
        // It ends only when the server does.
        let _ = self.orders.send(Order::Take { device, moment, is_live, now_us, _place: place });
    }

    /// Whether there is room for what came late: what is live must not find the places taken.
    pub(super) fn has_room_for_late(&self) -> bool {
        self.places.available_permits() > self.places_max / 2
    }

    /// Answers when nothing of a device is on its way to the journal any more.
    pub(super) fn forget(&self, device: DeviceId, answer: oneshot::Sender<()>) {
        let _ = self.orders.send(Order::Forget { device, answer });
    }

    /// Nothing more comes.
    pub(super) fn end(&self) {
        let _ = self.orders.send(Order::End);
    }

    /// Returns when all that waited is handed on.
    pub(super) async fn ended(&mut self) {
        let _ = (&mut self.task).await;
    }
}

/// Of each device what was derived, live and of a backlog; each is there from its first moment on.
type Kept = HashMap<DeviceId, [Option<Derived>; 2]>;

async fn run(intake: Arc<Intake>, mut orders: mpsc::UnboundedReceiver<Order>) {
    let profile = Arc::new(Profile::builtin(DERIVED).expect("it is built in"));
    let mut kept = Kept::new();
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some(Order::Take { device, moment, is_live, now_us, _place }) => {
                    let derived = derived(&mut kept, &device, is_live, &profile);
                    intake.take_derived(derived, moment, is_live, now_us).await;
                }
                Some(Order::Forget { device, answer }) => {
                    kept.remove(&device);
                    // Who asked may be gone.
                    let _ = answer.send(());
                }
                Some(Order::End) | None => break,
            },
            _ = beat.tick() => {
                let now_us = utc_us(SystemTime::now());
                for derived in kept.values_mut().flatten().flatten().filter(|of| of.is_ripe(now_us)) {
                    intake.journal_derived(derived).await;
                }
            }
        }
    }
    for derived in kept.values_mut().flatten().flatten() {
        intake.journal_derived(derived).await;
    }
}

fn derived<'k>(
    kept: &'k mut Kept,
    device: &DeviceId,
    is_live: bool,
    profile: &Arc<Profile>,
) -> &'k mut Derived {
    let [live, late] = kept.entry(device.clone()).or_default();
    let place = if is_live { live } else { late };
    place.get_or_insert_with(|| {
        let topics = Arc::new(DeviceTopics::new(device));
        Derived::new(Arc::new(Source::new(&topics, profile)), rand::random())
    })
}

#[cfg(test)]
mod tests {
    use vitalwire_journal::Assurance;

    use super::*;
    use crate::feed::{FeedItem, WhenFull};
    use crate::intake::tests::{intake, intake_with_feed};

    const START_US: i64 = 1_795_000_000_000_000;

    fn device() -> DeviceId {
        "d".parse().unwrap()
    }

    fn take(deriving: &mut Deriving, second: i64) {
        let digits = vec![Some(720), None, Some(94), Some(1), Some(2)];
        let time_us = START_US + second * 1_000_000;
        let moment = Moment { time_us, uncertainty_us: 7, assurance: Assurance::Authenticated, digits };
        deriving.take(&device(), moment, true, time_us);
    }

    #[tokio::test]
    async fn who_watches_waits_for_no_publisher_and_what_does_not_fit_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let (intake, feed) = intake_with_feed(&folder);
        // A publisher that takes nothing holds back who tells.
        let mut publisher = feed.subscribe_publisher(1, WhenFull::Wait);
        let metrics = Metrics::new();
        let mut deriving = Deriving::with_places(intake, metrics.clone(), 4);
        assert!(deriving.has_room_for_late());
        // Now, so that nothing is old enough to be journaled meanwhile.
        let begun = (utc_us(SystemTime::now()) - START_US) / 1_000_000;
        for second in 0..10 {
            take(&mut deriving, begun + second);
            tokio::task::yield_now().await;
        }
        assert_eq!(metrics.derived_dropped.get(), 6);
        assert!(!deriving.has_room_for_late());
        // When it is read again, what waited comes in its order and place, and what comes now.
        let mut told = Vec::new();
        for _ in 0..4 {
            told.push(publisher.next_queued().await.unwrap());
        }
        while deriving.places.available_permits() < 4 {
            tokio::task::yield_now().await;
        }
        take(&mut deriving, begun + 10);
        told.push(publisher.next_queued().await.unwrap());
        deriving.end();
        deriving.ended().await;
        let told: Vec<_> = told
            .iter()
            .map(|queued| match &queued.item {
                FeedItem::Reading(reading) => {
                    ((reading.first_us - START_US) / 1_000_000 - begun, reading.sequence)
                }
                item => panic!("{item:?}"),
            })
            .collect();
        assert_eq!(told, [(0, 1), (1, 1), (2, 1), (3, 1), (10, 2)]);
        assert_eq!(metrics.derived_dropped.get(), 6);
    }

    #[tokio::test]
    async fn what_waits_is_journaled_at_the_end_but_for_a_device_that_was_erased() {
        for is_erased in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let intake = intake(&folder);
            let mut deriving = Deriving::start(Arc::clone(&intake), Metrics::new());
            // Fewer than an entry has, and now: nothing of it is ripe.
            let now_us = utc_us(SystemTime::now());
            let second = (now_us - START_US) / 1_000_000;
            take(&mut deriving, second);
            take(&mut deriving, second + 1);
            if is_erased {
                let (answer, answered) = oneshot::channel();
                deriving.forget(device(), answer);
                answered.await.unwrap();
            }
            deriving.end();
            deriving.ended().await;
            intake.settled().await;
            assert_eq!(intake.holds(&device()).await.unwrap(), !is_erased);
        }
    }
}
