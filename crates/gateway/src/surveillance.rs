//! The surveillance: watches over every patient, whoever looks. A reader of the feed steps a monitor for each, tells what is
//! derived to the intake, and writes each change of an alarm to the registry before it tells anyone; so an alarm that was told
//! is there after a kill. `core` decides, `writer` writes, `deriving` hands on what is derived; here are the feed, the clock and
//! the others in this process.

mod core;
mod deriving;
mod desk;
mod patient;
mod record;
mod ward;
mod writer;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, error_span};
use vitalwire_access::DeviceId;
use vitalwire_journal::HistoryFile;
use vitalwire_registry::Directory;
use vitalwire_vitals::alarm::Change;

use self::core::{Core, Reply, Restored, Told};
use self::deriving::Deriving;
pub(crate) use self::desk::Desk;
use self::desk::{View, Wish};
use self::writer::Writer;
use crate::alarms::{AlarmChange, AlarmList};
use crate::clock::utc_us;
use crate::context::Context;
use crate::enrolment::Enrolment;
use crate::escalation::Escalation;
use crate::event::ServerEvent;
use crate::feed::{Beats, Feed, FeedItem, FeedReader};
use crate::server::ServerError;

/// The feed is read and timers are looked at so often: one wake-up for all that came meanwhile costs next to nothing, and one
/// for each reading would cost more than the watch itself.
const BEAT: Duration = Duration::from_millis(100);
/// Items of the feed after which others have their turn.
const TURN_ITEMS_MAX: usize = 256;
/// Late readings that are looked at in a beat: what is live goes first.
const LATE_ITEMS_MAX: usize = 64;
/// The summary is told once in so many beats.
const SUMMARY_BEATS: u32 = 10;
/// Lists of alarms that closed so long before a start are corrected where they may still stand at a broker elsewhere.
const CORRECTED_US: i64 = 24 * 3_600 * 1_000_000;

/// Devices of which something came so long before the journal's end are expected back. Longer than the grace in which they come
/// back and the longest delay together, so that one for which that did not end before the next kill is not forgotten; and
/// than the silence of a device whose connection the server still held. One that went earlier is an alarm already.
const HEARD_WITHIN_US: u64 = 30 * 60 * 1_000_000;

/// What is ready before the server starts.
pub(crate) struct Prepared {
    restored: Restored,
    /// Devices with alarms that were open lately, for which a list may stand at a broker.
    lately: BTreeSet<DeviceId>,
    /// Devices that were heard of when the server ended.
    heard: Vec<DeviceId>,
    view: View,
    wishes: mpsc::Receiver<Wish>,
    feed: FeedReader,
    late: FeedReader,
}

/// Reads what the registry knows of alarms and the journal of devices, and begins to read the feed.
///
/// # Errors
/// The registry cannot be read.
pub(crate) async fn prepare(
    enrolment: &Enrolment,
    journal: &HistoryFile,
    feed: &Feed,
) -> Result<(Desk, Prepared), ServerError> {
    let since_us = now_us().saturating_sub(CORRECTED_US);
    let kept = enrolment.kept_alarms(since_us).await?;
    // A journal that is on a full disk, or not there yet, must not keep the server from starting.
    let heard = journal.last_heard(HEARD_WITHIN_US).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "the journal does not say who was connected before: who does not come back is not told of");
        Vec::new()
    });
    let (desk, view, wishes) = Desk::new();
    let restored = Restored { next_number: kept.next_number, open: kept.open, paused: kept.paused };
    let late = feed.subscribe_to_late("alarms-late");
    let feed = feed.subscribe_for_looks("alarms");
    Ok((desk, Prepared { restored, lately: kept.lately, heard, view, wishes, feed, late }))
}

/// The task that watches.
pub(crate) struct Surveillance {
    finish: CancellationToken,
    task: JoinHandle<()>,
}

impl Surveillance {
    pub(crate) fn start(
        prepared: Prepared,
        directory: watch::Receiver<Arc<Directory>>,
        context: Arc<Context>,
    ) -> Self {
        let finish = CancellationToken::new();
        let run = run(prepared, directory, context, finish.clone());
        Self { finish, task: tokio::spawn(run.instrument(error_span!("surveillance"))) }
    }

    /// Looks at what came until now, and writes and journals what that means, as long as there is patience.
    pub(crate) async fn finish(self, patience: Duration) {
        self.finish.cancel();
        if tokio::time::timeout(patience, self.task).await.is_err() {
            tracing::warn!("stopped before all changes of alarms were written");
        }
    }
}

/// Watches until `finish`, and hands over what waits then.
async fn run(
    prepared: Prepared,
    directory: watch::Receiver<Arc<Directory>>,
    context: Arc<Context>,
    finish: CancellationToken,
) {
    let Prepared { restored, lately, heard, view, wishes, feed, late } = prepared;
    let now_us = now_us();
    let mut core = Core::new(Arc::clone(&directory.borrow()), restored, context.alarm_timing, now_us);
    core.journal(context.intake.is_healthy(), now_us);
    core.expect(heard, context.limits.return_grace, now_us);
    let missed = feed.missed();
    let deriving = Deriving::start(Arc::clone(&context.intake), context.metrics.clone());
    let writer = Writer::new(context.enrolment.clone());
    context.metrics.alarms_recorded.set(1);
    let mut watch =
        Watcher { core, writer, view, feed, late, missed, deriving, beats: 0, is_summary_old: true, context };
    watch.correct(&lately);
    // What was under way to people elsewhere when the server ended.
    for change in watch.core.escalated() {
        watch.context.web_hooks.hand(Escalation::Alarm(change));
    }
    watch.follow(directory, wishes, finish).await;
}

struct Watcher {
    core: Core,
    writer: Writer,
    view: View,
    feed: FeedReader,
    /// What devices held up.
    late: FeedReader,
    /// Of the feed, as far as it was told.
    missed: u64,
    deriving: Deriving,
    beats: u32,
    /// Something changed since the last summary.
    is_summary_old: bool,
    context: Arc<Context>,
}

impl Watcher {
    async fn follow(
        &mut self,
        mut directory: watch::Receiver<Arc<Directory>>,
        mut wishes: mpsc::Receiver<Wish>,
        finish: CancellationToken,
    ) {
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // What was open stands again before anything else is looked at.
        self.hand_on();
        loop {
            tokio::select! {
                _ = beat.tick() => self.beat().await,
                result = self.writer.finished() => {
                    let told = self.writer.settle(result, Instant::now());
                    self.tell(told);
                    self.note_health();
                }
                Some(wish) = wishes.recv() => self.grant(wish),
                Ok(()) = directory.changed() => {
                    let now = Arc::clone(&directory.borrow_and_update());
                    self.core.follow(now, now_us());
                }
                () = finish.cancelled() => break,
            }
            self.hand_on();
        }
        self.finish().await;
    }

    /// Looks at what came since the last one. Devices and readers are served in between.
    async fn beat(&mut self) {
        let mut begun = Instant::now();
        while self.look() {
            self.note_busy(begun);
            tokio::task::yield_now().await;
            begun = Instant::now();
        }
        let now_us = now_us();
        self.note_missed(now_us);
        for _ in 0..LATE_ITEMS_MAX {
            if !self.deriving.has_room_for_late() {
                break;
            }
            let Some(FeedItem::Reading(reading)) = self.late.take().map(|queued| queued.item) else { break };
            self.core.reading(&reading, false, now_us);
        }
        if let Some((devices, since_us)) = self.core.turn(now_us) {
            tracing::warn!(devices, "devices lost their connections at the same moment: look at the network");
            self.context.tell_server(ServerEvent::ManyOffline { devices });
            self.context.web_hooks.hand(Escalation::ManyOffline { time_us: now_us, since_us, devices });
        }
        self.hand_derived(now_us);
        let told = self.writer.overdue(Instant::now());
        self.tell(told);
        self.writer.write(Instant::now());
        self.beats += 1;
        if self.beats.is_multiple_of(SUMMARY_BEATS) {
            self.tell_summary(now_us);
        }
        self.note_busy(begun);
    }

    /// Looks at some of it; whether there is more.
    fn look(&mut self) -> bool {
        let now_us = now_us();
        let mut items = 0;
        while items < TURN_ITEMS_MAX
            && let Some(queued) = self.feed.take()
        {
            self.core.take(&queued.item, now_us);
            items += 1;
        }
        let is_more = items == TURN_ITEMS_MAX || self.core.step_gathered(now_us);
        self.hand_derived(now_us);
        is_more
    }

    fn note_busy(&self, begun: Instant) {
        let busy_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.context.metrics.surveillance_busy_us.inc_by(busy_us);
    }

    /// Tells of what was too much, and asks again how things stand.
    fn note_missed(&mut self, now_us: i64) {
        let missed = self.feed.missed();
        if missed > self.missed {
            self.context.tell_server(ServerEvent::SurveillanceBehind { missed: missed - self.missed });
            self.missed = missed;
            let connected = self.context.sessions.connected();
            let is_healthy = self.context.intake.is_healthy();
            self.core.recover(|device| connected.contains(device), is_healthy, now_us);
        }
    }

    fn hand_derived(&mut self, now_us: i64) {
        for (slot, moment, is_live) in std::mem::take(&mut self.core.derived) {
            let Some(patient) = self.core.patients.get_mut(slot) else { continue };
            self.deriving.take(&patient.device, moment, is_live, now_us);
        }
        self.tell_beats();
    }

    fn tell_beats(&mut self) {
        let beats = std::mem::take(&mut self.core.beats);
        if beats.is_empty() || !self.context.feed.has_drawers() {
            return;
        }
        for of_patient in beats.chunk_by(|(one, _), (other, _)| one == other) {
            let Some((slot, _)) = of_patient.first() else { continue };
            let Some(patient) = self.core.patients.get_mut(*slot) else { continue };
            let times_us = of_patient.iter().map(|(_, time_us)| *time_us).collect();
            self.context.feed.beats(Beats { device: patient.device.clone(), times_us });
        }
    }

    /// Gives what changed to the registry, if that is not busy.
    fn hand_on(&mut self) {
        if !self.writer.is_free() {
            return;
        }
        if let Some(batch) = self.core.batch(now_us()) {
            let told = self.writer.take(batch, Instant::now());
            self.tell(told);
        }
    }

    fn tell(&mut self, told: Vec<Told>) {
        let Context { feed, metrics, web_hooks, .. } = &*self.context;
        self.is_summary_old |= !told.is_empty();
        for told in told {
            match told {
                Told::List(list) => {
                    self.view.show(&list);
                    feed.alarms(&FeedItem::Alarms(list));
                }
                Told::Change(change) => {
                    metrics.note_alarm(&change.change);
                    if matches!(change.change, Change::Escalated(_)) {
                        feed.alarms(&FeedItem::Escalation(Arc::clone(&change)));
                        web_hooks.hand(Escalation::Alarm(AlarmChange::clone(&change)));
                    }
                    self.context.tell_alarm(AlarmChange::clone(&change));
                }
                Told::Reply(reply) => reply.send(self.writer.is_recorded()),
            }
        }
    }

    fn tell_summary(&mut self, now_us: i64) {
        self.note_health();
        if !std::mem::take(&mut self.is_summary_old) {
            return;
        }
        let lists = self.view.lists();
        let lists = lists.iter().map(|list| &**list);
        let summary = ward::summary(now_us, lists, self.core.servers(), self.writer.is_recorded());
        self.context.metrics.note_ward(&summary);
        let summary = Arc::new(summary);
        self.view.show_ward(&summary);
        self.context.feed.alarms(&FeedItem::Ward(summary));
    }

    fn note_health(&mut self) {
        let metrics = &self.context.metrics;
        let is_recorded = self.writer.is_recorded();
        self.is_summary_old |= metrics.alarms_recorded.set(u64::from(is_recorded)) != u64::from(is_recorded);
        metrics.alarms_waiting.set(self.writer.waiting() as u64);
        metrics.patients.set(self.core.patients.len() as u64);
    }

    /// What a broker may still have of alarms that are not open any more goes.
    fn correct(&mut self, lately: &BTreeSet<DeviceId>) {
        let now_us = now_us();
        let standing = self.context.publisher.devices_with_alarms();
        let standing: BTreeSet<_> = standing.into_iter().chain(lately.iter().cloned()).collect();
        for device in standing.into_iter().filter(|device| !self.core.has_open(device)) {
            let list = AlarmList { is_withdrawn: true, ..AlarmList::empty(device, now_us) };
            self.context.feed.alarms(&FeedItem::Alarms(Arc::new(list)));
        }
    }

    fn grant(&mut self, wish: Wish) {
        let now_us = now_us();
        match wish {
            Wish::Acknowledge { which, by, reason, answer } => {
                match self.core.acknowledge(&which, (&by, reason.as_deref()), now_us) {
                    Ok(count) => self.core.answer(Reply::Acknowledged(answer, count)),
                    Err(error) => answer_with(answer, Err(error)),
                }
            }
            Wish::Silence { device, silence, by, answer } => {
                match self.core.silence(&device, silence, &by, now_us) {
                    Ok(()) => self.core.answer(Reply::Silenced(answer)),
                    Err(error) => answer_with(answer, Err(error)),
                }
            }
            Wish::Forget { device, answer } => {
                self.core.forget(&device);
                self.writer.forget(&device);
                self.deriving.forget(device, answer);
            }
        }
    }

    /// What was measured until the stop counts, and what was derived of it is journaled.
    async fn finish(&mut self) {
        self.beat().await;
        self.deriving.end();
        self.hand_on();
        self.write_the_last().await;
        self.deriving.ended().await;
    }

    /// The last that changed; how long that may take the caller knows.
    async fn write_the_last(&mut self) {
        while self.writer.waiting() > 0 || !self.writer.is_free() {
            let result = self.writer.finished().await;
            if result.is_err() {
                return;
            }
            let told = self.writer.settle(result, Instant::now());
            self.tell(told);
            self.hand_on();
        }
    }
}

/// Who asked may be gone.
fn answer_with<T>(answer: oneshot::Sender<T>, result: T) {
    let _ = answer.send(result);
}

fn now_us() -> i64 {
    utc_us(SystemTime::now())
}
