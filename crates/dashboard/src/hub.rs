//! Tells every viewer what the server tells: one reader of the feed for all of them, each message made once. No viewer waits for another.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use vitalwire_access::DeviceId;
use vitalwire_gateway::{DashboardCounters, Ends, FeedItem, FeedReader, ServerHandle};
use vitalwire_registry::{Logins, RegistryError};

use crate::app::Asker;
use crate::events::Events;
use crate::limits::DashboardLimits;
use crate::message::Kind;
use crate::names::Names;
use crate::people::{People, Who};
use crate::time::now_us;
use crate::viewer::Outbox;
use crate::ward::{Told, Ward};

/// How often values are told.
const BEAT: Duration = Duration::from_secs(1);

/// How long what comes is gathered: a wake-up for each reading would cost more than the readings do.
const GATHER: Duration = Duration::from_millis(40);
/// Items at one go, so that others have their turn.
const ITEMS_AT_ONCE_MAX: usize = 1_000;

/// The name in the metrics of who misses something.
const READER: &str = "dashboard";

/// One live connection.
pub(crate) struct Viewer {
    user: Arc<Asker>,
    outbox: Mutex<Outbox>,
    /// Told when something waits; only the connection waits for it.
    pub(crate) arrived: Notify,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Hub {
    state: Mutex<State>,
    pub(crate) events: Events,
}

#[derive(Default)]
struct State {
    ward: Ward,
    viewers: Vec<Arc<Viewer>>,
    counters: DashboardCounters,
}

/// A user has as many live connections as one may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

impl Viewer {
    pub(crate) fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many pieces of waves it misses for that.
    fn tell(&self, told: &Told) -> u64 {
        let sees = match &told.device {
            Some(device) => self.user.role.sees(device),
            None => self.user.role.sees_all(),
        };
        if !sees {
            return 0;
        }
        let mut outbox = self.outbox();
        if told.is_handover {
            outbox.forget(told.n);
        }
        let dropped = match told.kind {
            Kind::Wave | Kind::Beats => outbox.put_wave(told.n, &told.bytes),
            kind => {
                outbox.put(kind, told.n, told.bytes.clone());
                0
            }
        };
        drop(outbox);
        self.arrived.notify_one();
        dropped
    }
}

impl State {
    fn tell<I: IntoIterator<Item = Told>>(&mut self, change: impl FnOnce(&mut Ward) -> I) {
        for told in change(&mut self.ward) {
            let dropped = self.viewers.iter().map(|viewer| viewer.tell(&told)).sum();
            self.counters.note_waves_dropped(dropped);
        }
    }
}

impl Hub {
    /// One that counts for the server's metrics.
    pub(crate) fn new(counters: DashboardCounters) -> Self {
        Self { state: Mutex::new(State { counters, ..State::default() }), events: Events::default() }
    }

    /// A new viewer, with all that it must know at the start.
    pub(crate) fn attach(&self, user: &Arc<Asker>, limits: &DashboardLimits) -> Result<Arc<Viewer>, TooMany> {
        let mut state = self.state();
        let of_user = state.viewers.iter().filter(|viewer| viewer.user.name == user.name);
        if of_user.count() >= limits.live_per_user_max {
            return Err(TooMany);
        }
        let viewer = Arc::new(Viewer {
            user: Arc::clone(user),
            outbox: Mutex::new(Outbox::new(limits.viewer_waves_bytes_max)),
            arrived: Notify::new(),
        });
        state.ward.catch_up();
        state.tell(|ward| ward.tick(now_us()));
        let all = state.ward.all(user.role.sees_all(), |device| user.role.sees(device));
        for told in &all {
            viewer.tell(told);
        }
        state.viewers.push(Arc::clone(&viewer));
        state.counters.note_viewers(state.viewers.len());
        Ok(viewer)
    }

    /// It looks no more.
    pub(crate) fn detach(&self, viewer: &Arc<Viewer>) {
        let mut state = self.state();
        state.viewers.retain(|other| !Arc::ptr_eq(other, viewer));
        state.counters.note_viewers(state.viewers.len());
    }

    /// Looks at what is known of the devices.
    pub(crate) fn look<T>(&self, at: impl FnOnce(&Ward) -> T) -> T {
        let mut state = self.state();
        state.ward.catch_up();
        at(&state.ward)
    }

    fn change<I: IntoIterator<Item = Told>>(&self, change: impl FnOnce(&mut Ward) -> I) {
        self.state().tell(change);
    }

    fn tick(&self) {
        let mut state = self.state();
        if !state.viewers.is_empty() {
            state.tell(|ward| ward.tick(now_us()));
        }
    }

    pub(crate) fn take(&self, item: &FeedItem) {
        match item {
            FeedItem::Reading(reading) => {
                let mut state = self.state();
                if state.viewers.is_empty() {
                    state.ward.keep(reading, now_us());
                } else {
                    state.tell(|ward| ward.reading(reading, now_us()));
                }
            }
            FeedItem::Status(status) => {
                self.events.status(status, SystemTime::now());
                self.change(|ward| {
                    let ends = status.is_online.then_some(Ends { peer: status.peer, local: status.local });
                    ward.status(&status.device, status.is_online, ends)
                });
            }
            FeedItem::Beats(beats) => {
                let mut state = self.state();
                if !state.viewers.is_empty() {
                    state.tell(|ward| ward.beats(beats));
                }
            }
            FeedItem::Alarms(list) => self.change(|ward| ward.alarms(list)),
            FeedItem::Ward(summary) => self.change(|ward| ward.summary(summary)),
            FeedItem::Event(event) => self.events.event(event),
            FeedItem::Escalation(_) => {}
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The next item, not before this time. Dropping it loses none.
async fn next_from(feed: &mut FeedReader, next_at: Instant) -> Option<FeedItem> {
    tokio::time::sleep_until(next_at).await;
    feed.next().await
}

/// What keeps the hub up to date.
pub(crate) struct Source {
    pub(crate) hub: Arc<Hub>,
    pub(crate) server: ServerHandle,
    pub(crate) logins: Arc<Logins>,
    pub(crate) people: People,
    pub(crate) stop: CancellationToken,
}

impl Source {
    /// Reads along until the stop.
    pub(crate) async fn run(self, mut feed: FeedReader) {
        let mut directory = self.logins.directory();
        // Nothing below waits for the registry.
        let mut names = Reading::default();
        names.state.changed(Instant::now());
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut missed, mut next_at) = (feed.missed(), Instant::now());
        loop {
            tokio::select! {
                item = next_from(&mut feed, next_at) => {
                    let Some(item) = item else { return };
                    self.hub.take(&item);
                    self.take_more(&mut feed);
                    next_at = Instant::now() + GATHER;
                }
                _ = beat.tick() => {
                    self.hub.tick();
                    // What was missed may have been the end of an alarm.
                    if feed.missed() != missed {
                        missed = feed.missed();
                        self.refresh();
                    }
                    if names.state.must_go(Instant::now()) {
                        tracing::error!("the dashboard shows no names until it can read who wears the devices");
                        self.hub.change(Ward::hide_people);
                    }
                    names.begin(&self.people);
                }
                changed = directory.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.refresh();
                    names.state.changed(Instant::now());
                    names.begin(&self.people);
                }
                read = names.ended() => {
                    names.state.ended(read.is_ok());
                    match read {
                        Ok(people) => {
                            self.hub.change(|ward| ward.set_people(people));
                            names.begin(&self.people);
                        }
                        Err(error) => tracing::error!(%error, "the dashboard cannot read who wears the devices"),
                    }
                }
                () = self.stop.cancelled() => return,
            }
        }
    }

    /// Takes what is there already.
    fn take_more(&self, feed: &mut FeedReader) {
        for _ in 1..ITEMS_AT_ONCE_MAX {
            let Some(Some(item)) = feed.next().now_or_never() else { return };
            self.hub.take(&item);
        }
    }

    /// Subscribes, and learns how it is now.
    pub(crate) async fn begin(&self) -> FeedReader {
        let feed = self.server.feed().subscribe_to_draw(READER);
        self.refresh();
        match self.people.all().await {
            Ok(people) => self.hub.change(|ward| ward.set_people(people)),
            Err(error) => tracing::error!(%error, "the dashboard cannot read who wears the devices"),
        }
        feed
    }

    fn refresh(&self) {
        let devices = self.server.devices();
        let enrolled: BTreeSet<&DeviceId> = devices.iter().map(|state| &state.device).collect();
        self.hub.events.keep(|device| enrolled.contains(device));
        let connected = devices.iter().filter(|state| state.is_connected);
        let online = connected.map(|state| (state.device.clone(), state.ends)).collect();
        self.hub.change(|ward| ward.set_devices(devices.iter().map(|state| &state.device), &online));
        let alarms = self.server.alarms();
        let open: BTreeSet<_> = alarms.patients.iter().map(|list| list.device.clone()).collect();
        self.hub.change(|ward| ward.close_alarms(&open));
        for list in &alarms.patients {
            self.hub.change(|ward| ward.alarms(list));
        }
        self.hub.change(|ward| ward.summary(&alarms.ward));
    }
}

type PeopleRead = Result<BTreeMap<DeviceId, Who>, RegistryError>;

/// Who wears the devices, read beside all else.
#[derive(Default)]
struct Reading {
    state: Names,
    under_way: Option<JoinHandle<PeopleRead>>,
}

impl Reading {
    fn begin(&mut self, people: &People) {
        if self.state.begin() {
            let people = people.clone();
            self.under_way = Some(tokio::spawn(async move { people.all().await }));
        }
    }

    /// Dropping it loses nothing.
    async fn ended(&mut self) -> PeopleRead {
        let Some(reading) = &mut self.under_way else { return std::future::pending().await };
        let read = reading.await.expect("what reads the registry does not panic");
        self.under_way = None;
        read
    }
}
