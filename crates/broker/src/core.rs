//! The broker without sockets and clocks: topics, subscriptions, sessions, retained messages. Connections' tasks call it, in turns,
//! and write what lies ready for their clients; who publishes calls it, too, and never waits.
//!
//! A message is looked up once by its topic, which knows its receivers until a subscription changes, and encoded once a
//! protocol version; what a receiver gets in a row is copied at once. Messages of QoS 1 and 2 that someone cannot get now go
//! into the log, once, and those who are behind read it by themselves.

mod changes;
pub(crate) mod filters;
pub(crate) mod log;
pub(crate) mod session;
pub(crate) mod turn;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::{Bound, Range};
use std::sync::Arc;

use bytes::Bytes;

pub(crate) use self::changes::{Changes, LogChanges};
use self::filters::{Filters, Group, Receiver, SessionId};
use self::log::{Log, LogLimits};
use self::session::{Addressed, Capacity, End, Link, Sent, Session, Will};
use crate::message::{Lane, PerLane, Publication};
use crate::wire::{self, Form};

/// Topics whose receivers are remembered. When there are more, all are forgotten and found again as they come.
const TOPICS_MAX: usize = 1 << 18;
/// Buffers that grew beyond this are given back.
pub(crate) const BUFFER_BYTES_KEPT: usize = 64 << 10;
/// After so many messages in a full log, it is looked again what is still needed of it.
const RELEASE_EVERY: u32 = 256;

/// What the core may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CoreLimits {
    pub(crate) log: LogLimits,
    pub(crate) subscriptions_max: usize,
    pub(crate) sessions_per_user_max: usize,
    pub(crate) session_expiry_s_max: u32,
    pub(crate) retained_max: usize,
    /// Messages outside the log that wait for one session.
    pub(crate) direct_max: usize,
    /// Bytes that wait for all sockets together; at it, clients that are behind miss QoS 0 messages.
    pub(crate) out_bytes_max: usize,
}

/// What a topic's messages go to, until a subscription or a connection changes.
struct Topic {
    name: Arc<str>,
    /// The version of subscriptions and connections that the rest was found for.
    version: u64,
    receivers: Vec<Receiver>,
    groups: Vec<Group>,
    /// A session that is not connected wants messages of QoS 1.
    wanted_later: bool,
}

/// What came of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Connected {
    pub(crate) at: At,
    /// The session was there before.
    pub(crate) present: bool,
    pub(crate) expiry_s: u32,
    /// QoS 2 publications of the client that were taken and not released.
    pub(crate) received: HashSet<u16>,
    /// Of the connection that was taken over.
    pub(crate) will: Option<Will>,
}

/// Which connection of which session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) session: SessionId,
    pub(crate) number: u64,
    /// The session's serial number.
    pub(crate) serial: u64,
}

/// Why a client's session is not for a connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Claimed {
    #[error("the client id belongs to another user")]
    Owner(Arc<str>),
    #[error("the user has too many sessions")]
    TooMany,
}

/// Who connects.
#[derive(Debug, Clone)]
pub(crate) struct Newcomer {
    pub(crate) client_id: Arc<str>,
    pub(crate) user: Arc<str>,
    pub(crate) clean: bool,
    pub(crate) expiry_s: u32,
    pub(crate) will: Option<Will>,
    pub(crate) capacity: Capacity,
}

/// Numbers since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CoreStats {
    pub(crate) published: u64,
    pub(crate) sent: Sent,
}

/// See the module.
pub(crate) struct Core {
    limits: CoreLimits,
    /// The broker's own clock, which runs while the broker does: seconds.
    pub(crate) now_s: u64,
    index: HashMap<Arc<str>, u32>,
    topics: Vec<Topic>,
    filters: Filters,
    version: u64,
    sessions: Vec<Option<Box<Session>>>,
    free: Vec<SessionId>,
    by_client: HashMap<Arc<str>, SessionId>,
    pub(crate) next_number: u64,
    retained: BTreeMap<Arc<str>, Arc<Publication>>,
    /// Topics whose retained message the disk has not, or has another.
    retained_changed: HashSet<Arc<str>>,
    /// Stored sessions that ended since the disk was told.
    gone: HashSet<Arc<str>>,
    logs: PerLane<Log>,
    appended: u32,
    /// Encoded messages of this turn, of each protocol version, at QoS 0.
    encoded: [Vec<u8>; 2],
    /// Who has new output and was not woken.
    dirty: Vec<SessionId>,
    /// Bytes that wait for sockets.
    out_bytes: usize,
    stats: CoreStats,
}

impl Core {
    pub(crate) fn new(limits: CoreLimits, logs: PerLane<Log>) -> Self {
        Self {
            limits,
            now_s: 0,
            index: HashMap::new(),
            topics: Vec::new(),
            filters: Filters::default(),
            version: 1,
            sessions: Vec::new(),
            free: Vec::new(),
            by_client: HashMap::new(),
            next_number: 1,
            retained: BTreeMap::new(),
            retained_changed: HashSet::new(),
            gone: HashSet::new(),
            logs,
            appended: 0,
            encoded: Default::default(),
            dirty: Vec::new(),
            out_bytes: 0,
            stats: CoreStats::default(),
        }
    }

    /// Messages dropped are those of QoS 0 that a client took too slowly, and those that the log had no room for.
    pub(crate) fn stats(&self) -> CoreStats {
        let Sent { sent, dropped } = self.stats.sent;
        CoreStats {
            sent: Sent { sent, dropped: dropped + self.logs.readings.dropped + self.logs.others.dropped },
            ..self.stats
        }
    }

    fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(id as usize)?.as_deref()
    }

    /// The session, while this connection has it.
    fn at(&mut self, at: At) -> Option<&mut Session> {
        let session = self.sessions.get_mut(at.session as usize)?.as_deref_mut()?;
        session.link.as_ref().is_some_and(|link| link.number == at.number).then_some(session)
    }

    fn all(&self) -> impl Iterator<Item = &Session> {
        self.sessions.iter().flatten().map(Box::as_ref)
    }

    // ---- publishing

    /// Publishes a message to all who subscribed. Call `flush` after the last of a turn.
    pub(crate) fn publish(&mut self, publication: Publication) {
        self.stats.published += 1;
        let mut shared: Option<Arc<Publication>> = None;
        if publication.retain {
            let publication = Arc::clone(shared.get_or_insert_with(|| Arc::new(publication.clone())));
            self.retain(publication);
        }
        let Some(at) = self.find(&publication.topic) else { return };
        let log_end = self.logs.of(publication.lane).end();
        let Self { topics, sessions, dirty, encoded, stats, now_s, out_bytes, limits, .. } = self;
        let Some(topic) = topics.get_mut(at) else { return };
        let mut share = || Arc::clone(shared.get_or_insert_with(|| Arc::new(publication.clone())));
        let is_full = *out_bytes > limits.out_bytes_max;
        let (mut is_logged, mut is_stored) = (false, false);
        if publication.qos > 0 && topic.wanted_later {
            (is_logged, is_stored) = (true, true);
        }
        // Where this message lies among the encoded, for each version, and with and without the retain flag.
        let mut ranges: [Option<Range<usize>>; 4] = Default::default();
        for receiver in &topic.receivers {
            let Some(session) = sessions.get_mut(receiver.session as usize).and_then(Option::as_deref_mut)
            else {
                continue;
            };
            if receiver.no_local && session.serial == publication.origin {
                continue;
            }
            let qos = receiver.qos.min(publication.qos);
            let retain = publication.retain && receiver.retain_as_published;
            if qos > 0 {
                session.end_run(encoded, &mut stats.sent);
                let behind = session.behind.of(publication.lane).is_some();
                if !behind && session.direct.is_empty() && session.has_room() {
                    let ids = receiver.ids.clone();
                    let message = Addressed { publication: share(), qos, retain, ids };
                    session.send(message, *now_s, &mut stats.sent);
                    mark(dirty, session, receiver.session);
                } else {
                    if !behind {
                        *session.behind.of_mut(publication.lane) = Some(log_end);
                        session.changed = true;
                    }
                    is_logged = true;
                    is_stored |= session.is_stored();
                }
                continue;
            }
            let Some(link) = session.link.as_mut() else { continue };
            if !link.has_room() || (is_full && link.out.len() > BUFFER_BYTES_KEPT) {
                stats.sent.dropped += 1;
                continue;
            }
            if receiver.ids.is_some() || link.capacity.packet_bytes_max < publication.footprint() {
                session.end_run(encoded, &mut stats.sent);
                let ids = receiver.ids.clone();
                let message = Addressed { publication: share(), qos, retain, ids };
                session.send(message, *now_s, &mut stats.sent);
                mark(dirty, session, receiver.session);
                continue;
            }
            let v5 = link.capacity.v5;
            let Some(buffer) = encoded.get_mut(usize::from(v5)) else { continue };
            let Some(range) = ranges.get_mut(usize::from(v5) | usize::from(retain) << 1) else { continue };
            let range = range.get_or_insert_with(|| {
                let begin = buffer.len();
                let form = Form { v5, qos: 0, retain, dup: false, packet_id: 0, ids: &[], now_s: *now_s };
                wire::publish(buffer, &publication, form);
                begin..buffer.len()
            });
            if link.run_messages > 0 && link.run.end == range.start {
                link.run.end = range.end;
                link.run_messages += 1;
            } else {
                let range = range.clone();
                session.end_run(encoded, &mut stats.sent);
                let Some(link) = session.link.as_mut() else { continue };
                (link.run, link.run_messages) = (range, 1);
            }
            mark(dirty, session, receiver.session);
        }
        for group in &mut topic.groups {
            if let Some((session, qos, ids)) = choose(group, sessions, &publication) {
                let Some(member) = sessions.get_mut(session as usize).and_then(Option::as_deref_mut) else {
                    continue;
                };
                member.end_run(encoded, &mut stats.sent);
                let message = Addressed { publication: share(), qos, retain: false, ids };
                if member.direct.is_empty() && member.has_room() {
                    member.send(message, *now_s, &mut stats.sent);
                } else if member.direct.len() < limits.direct_max && (qos > 0 || !is_full) {
                    member.direct.push_back(message);
                } else {
                    stats.sent.dropped += 1;
                }
                mark(dirty, member, session);
            }
        }
        if is_logged {
            let shared = share();
            self.append(shared, is_stored);
        }
    }

    fn append(&mut self, publication: Arc<Publication>, is_stored: bool) {
        self.appended += 1;
        let lane = publication.lane;
        if self.logs.of(lane).is_full() && self.appended >= RELEASE_EVERY {
            self.release();
        }
        self.logs.of_mut(lane).append(publication, is_stored);
    }

    /// Lets go what no session needs of the logs.
    fn release(&mut self) {
        self.appended = 0;
        for lane in [Lane::Others, Lane::Readings] {
            let behind = self.all().filter_map(|session| *session.behind.of(lane)).min();
            let log = self.logs.of_mut(lane);
            log.release(behind.unwrap_or_else(|| log.end()));
        }
    }

    /// Where the logs end.
    fn ends(&self) -> PerLane<u64> {
        PerLane { readings: self.logs.readings.end(), others: self.logs.others.end() }
    }

    /// Gives everyone what was published for them, and wakes them.
    pub(crate) fn flush(&mut self) {
        for at in 0..self.dirty.len() {
            let Some(id) = self.dirty.get(at).copied() else { break };
            if let Some(session) = self.sessions.get_mut(id as usize).and_then(Option::as_deref_mut) {
                session.end_run(&self.encoded, &mut self.stats.sent);
                if let Some(link) = &mut session.link {
                    link.is_dirty = false;
                    self.out_bytes += link.out.len() - link.counted;
                    link.counted = link.out.len();
                    link.wake();
                }
            }
        }
        self.dirty.clear();
        for encoded in &mut self.encoded {
            encoded.clear();
            encoded.shrink_to(BUFFER_BYTES_KEPT);
        }
    }

    /// The topic's place, with its receivers as they are now.
    fn find(&mut self, name: &Arc<str>) -> Option<usize> {
        let at = match self.index.get(&**name) {
            Some(at) => *at as usize,
            None => self.remember(name)?,
        };
        let topic = self.topics.get_mut(at)?;
        if topic.version != self.version {
            self.filters.matching(&topic.name, &mut topic.receivers, &mut topic.groups);
            topic.version = self.version;
            topic.wanted_later = false;
            let sessions = &self.sessions;
            let is_connected = |receiver: &Receiver| {
                let session = sessions.get(receiver.session as usize).and_then(Option::as_deref);
                session.is_some_and(|session| session.link.is_some())
            };
            topic.receivers.retain(|receiver| {
                let connected = is_connected(receiver);
                topic.wanted_later |= !connected && receiver.qos > 0;
                connected
            });
            for group in &mut topic.groups {
                group.members.retain(is_connected);
            }
        }
        Some(at)
    }

    fn remember(&mut self, name: &Arc<str>) -> Option<usize> {
        if self.topics.len() >= TOPICS_MAX {
            // None may be half-way: runs refer to what is encoded, not to topics.
            self.topics.clear();
            self.index.clear();
        }
        let at = self.topics.len();
        let (name, version) = (Arc::clone(name), 0);
        self.index.insert(Arc::clone(&name), u32::try_from(at).ok()?);
        self.topics.push(Topic {
            name,
            version,
            receivers: Vec::new(),
            groups: Vec::new(),
            wanted_later: false,
        });
        Some(at)
    }

    /// Whether a message there would go to anyone, now or later.
    pub(crate) fn is_wanted(&mut self, topic: &Arc<str>) -> bool {
        let Some(topic) = self.find(topic).and_then(|at| self.topics.get(at)) else { return true };
        topic.wanted_later
            || !topic.receivers.is_empty()
            || topic.groups.iter().any(|group| !group.members.is_empty())
    }

    // ---- retained messages

    fn retain(&mut self, publication: Arc<Publication>) {
        let topic = Arc::clone(&publication.topic);
        if publication.payload.is_empty() {
            if self.retained.remove(&topic).is_some() {
                self.retained_changed.insert(topic);
            }
        } else if self.retained.len() < self.limits.retained_max || self.retained.contains_key(&topic) {
            self.retained.insert(Arc::clone(&topic), publication);
            self.retained_changed.insert(topic);
        }
    }

    /// Puts back a retained message of the disk.
    pub(crate) fn restore_retained(&mut self, publication: Publication) {
        self.retained.insert(Arc::clone(&publication.topic), Arc::new(publication));
    }

    /// The retained messages whose topics match the filter.
    pub(crate) fn retained(&self, filter: &str) -> impl Iterator<Item = &Arc<Publication>> {
        // Topics are sorted, so that those which begin as the filter does lie together.
        let fixed = filter.find(['#', '+']).map_or(filter, |at| filter.get(..at).unwrap_or_default());
        let fixed = fixed.strip_suffix('/').unwrap_or(fixed).to_owned();
        let from = self.retained.range::<str, _>((Bound::Included(fixed.as_str()), Bound::Unbounded));
        from.map_while(move |(topic, publication)| topic.starts_with(fixed.as_str()).then_some(publication))
            .filter(move |publication| {
                filters::matches(filter, &publication.topic) && !publication.is_expired(self.now_s)
            })
    }

    // ---- sessions

    /// Gives the session of this client id to a connection. A connection that has it loses it.
    pub(crate) fn connect(&mut self, newcomer: Newcomer) -> Result<Connected, Claimed> {
        let Newcomer { client_id, user, clean, expiry_s, will, capacity } = newcomer;
        let known = self.by_client.get(&client_id).copied();
        if let Some(session) = known.and_then(|id| self.session(id))
            && session.user != user
        {
            return Err(Claimed::Owner(Arc::clone(&session.user)));
        }
        if known.is_none()
            && self.all().filter(|session| session.user == user).count() >= self.limits.sessions_per_user_max
        {
            return Err(Claimed::TooMany);
        }
        let mut lost_will = None;
        if let Some(id) = known {
            lost_will = self.take_over(id, !clean);
            if clean {
                self.remove(id);
            }
        }
        let present = known.filter(|_| !clean);
        let id = present.unwrap_or_else(|| self.add(&client_id, &user));
        let number = self.number();
        let expiry_s = expiry_s.min(self.limits.session_expiry_s_max);
        let session =
            self.sessions.get_mut(id as usize).and_then(Option::as_deref_mut).expect("it was just made");
        session.link = Some(Link::new(number, capacity));
        (session.expiry_s, session.will, session.will_due_s) = (expiry_s, will, None);
        session.changed = true;
        let (received, serial) = (std::mem::take(&mut session.received), session.serial);
        self.version += 1;
        let at = At { session: id, number, serial };
        Ok(Connected { at, present: present.is_some(), expiry_s, received, will: lost_will })
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number - 1
    }

    fn add(&mut self, client_id: &Arc<str>, user: &Arc<str>) -> SessionId {
        let serial = self.number();
        let session = Box::new(Session::new(Arc::clone(client_id), Arc::clone(user), serial));
        let id = self.free.pop().unwrap_or_else(|| {
            self.sessions.push(None);
            SessionId::try_from(self.sessions.len() - 1).expect("there are far fewer sessions")
        });
        if let Some(place) = self.sessions.get_mut(id as usize) {
            *place = Some(session);
        }
        self.by_client.insert(Arc::clone(client_id), id);
        id
    }

    /// Ends a session's connection because another one comes. Its will, when it is due now.
    fn take_over(&mut self, id: SessionId, goes_on: bool) -> Option<Will> {
        let session = self.sessions.get_mut(id as usize)?.as_deref_mut()?;
        let was_connected = session.link.is_some();
        self.unlink(id);
        let session = self.sessions.get_mut(id as usize)?.as_deref_mut()?;
        let will = session.will.take()?;
        // A will that waits is void when the client comes back in time (MQTT 5 §3.1.3.2.2).
        let is_void = goes_on && (!was_connected || will.delay_s > 0);
        (!is_void).then_some(will)
    }

    /// The connection is over. Its will, when it is due now.
    pub(crate) fn leave(&mut self, at: At, leaving: Leaving) -> Option<Will> {
        let now_s = self.now_s;
        let session_expiry_s_max = self.limits.session_expiry_s_max;
        let session = self.at(at)?;
        session.received = leaving.received;
        if let Some(expiry_s) = leaving.expiry_s {
            session.expiry_s = expiry_s.min(session_expiry_s_max);
        }
        session.left_s = now_s;
        session.changed = true;
        let will = session.will.take().filter(|_| !leaving.in_good_order);
        let (is_stored, expiry_s) = (session.is_stored(), session.expiry_s);
        let (later, now) = match will {
            Some(will) if is_stored && will.delay_s > 0 => (Some(will), None),
            will => (None, will),
        };
        session.will_due_s = later.as_ref().map(|will| now_s + u64::from(will.delay_s.min(expiry_s)));
        session.will = later;
        self.unlink(at.session);
        if !is_stored {
            self.remove(at.session);
        }
        now
    }

    fn unlink(&mut self, id: SessionId) {
        let ends = self.ends();
        let Some(session) = self.sessions.get_mut(id as usize).and_then(Option::as_deref_mut) else { return };
        // What waits to be moved to its output is among the encoded still.
        session.end_run(&self.encoded, &mut self.stats.sent);
        let Some(mut link) = session.link.take() else { return };
        self.out_bytes -= link.counted;
        link.wake();
        session.resent = 0;
        // Who subscribes at QoS 0 only has no position: nothing is kept for it.
        if session.can_miss() {
            session.behind.readings.get_or_insert(ends.readings);
            session.behind.others.get_or_insert(ends.others);
        }
        session.direct.retain(|message| message.qos > 0);
        session.changed = true;
        self.version += 1;
    }

    /// Ends a session with all that hangs on it. Its will, when that waited.
    fn remove(&mut self, id: SessionId) -> Option<(Arc<str>, Will)> {
        let mut session = self.sessions.get_mut(id as usize)?.take()?;
        for filter in session.subscriptions.keys() {
            self.filters.remove(filter, id);
        }
        self.by_client.remove(&session.client_id);
        if session.is_on_disk {
            self.gone.insert(Arc::clone(&session.client_id));
        }
        self.free.push(id);
        self.dirty.retain(|dirty| *dirty != id);
        self.version += 1;
        if let Some(link) = &mut session.link {
            self.out_bytes -= link.counted;
            link.wake();
        }
        session.will.take().map(|will| (session.user, will))
    }

    /// Puts back a session of the disk.
    pub(crate) fn restore_session(&mut self, session: Session) {
        self.next_number = self.next_number.max(session.serial + 1);
        let id = self.add(&Arc::clone(&session.client_id), &Arc::clone(&session.user));
        for (filter, subscription) in &session.subscriptions {
            self.filters.insert(filter, id, *subscription);
        }
        if let Some(place) = self.sessions.get_mut(id as usize) {
            *place = Some(Box::new(session));
        }
        self.version += 1;
    }

    /// Ends sessions that outlived their time. Wills that are due now, with whose they are.
    pub(crate) fn sweep(&mut self) -> Vec<(Arc<str>, Will)> {
        let now_s = self.now_s;
        let mut wills = Vec::new();
        for id in (0..).take(self.sessions.len()) {
            let Some(session) = self.sessions.get_mut(id as usize).and_then(Option::as_deref_mut) else {
                continue;
            };
            if session.link.is_some() {
                continue;
            }
            if session.will_due_s.is_some_and(|due_s| due_s <= now_s) {
                session.will_due_s = None;
                wills.extend(session.will.take().map(|will| (Arc::clone(&session.user), will)));
            }
            if session.left_s + u64::from(session.expiry_s) <= now_s {
                wills.extend(self.remove(id));
            }
        }
        let now_s = self.now_s;
        let expired: Vec<_> = self
            .retained
            .values()
            .filter(|of| of.is_expired(now_s))
            .map(|of| Arc::clone(&of.topic))
            .collect();
        for topic in expired {
            self.retained.remove(&topic);
            self.retained_changed.insert(topic);
        }
        wills
    }

    /// Takes out of every session what its user may no longer have; `may` says so of user and filter, and nothing of a user
    /// that is gone. Tells of how many sessions something was taken.
    pub(crate) fn trim(&mut self, may: impl Fn(&str, &str) -> Option<bool>) -> usize {
        let mut trimmed = 0;
        for id in (0..).take(self.sessions.len()) {
            let Some(session) = self.session(id) else { continue };
            let user = Arc::clone(&session.user);
            if may(&user, "#").is_none() {
                trimmed += 1;
                // A will of who is gone is not published.
                self.remove(id);
                continue;
            }
            trimmed += usize::from(self.end_subscriptions(id, |filter| may(&user, filter) == Some(false)));
            self.drop_waiting(id, |topic| may(&user, topic) == Some(false));
        }
        trimmed
    }

    fn end_subscriptions(&mut self, id: SessionId, concerned: impl Fn(&str) -> bool) -> bool {
        let Some(session) = self.sessions.get_mut(id as usize).and_then(Option::as_deref_mut) else {
            return false;
        };
        let ended: Vec<_> = session.subscriptions.extract_if(.., |filter, _| concerned(filter)).collect();
        for (filter, _) in &ended {
            self.filters.remove(filter, id);
        }
        if !ended.is_empty() {
            session.changed = true;
            self.version += 1;
        }
        if session.link.is_none() && !session.can_miss() {
            session.behind = PerLane::default();
        }
        !ended.is_empty()
    }

    /// Drops what is on its way or waits outside the log on topics `concerned`; how many messages.
    fn drop_waiting(&mut self, id: SessionId, concerned: impl Fn(&str) -> bool) -> usize {
        let Some(session) = self.sessions.get_mut(id as usize).and_then(Option::as_deref_mut) else {
            return 0;
        };
        let before = session.window.len() + session.direct.len();
        let mut resent = session.resent;
        let mut at = 0;
        session.window.retain(|in_flight| {
            let stays = !concerned(&in_flight.message.publication.topic);
            resent -= usize::from(!stays && at < session.resent);
            at += 1;
            stays
        });
        session.resent = resent;
        session.direct.retain(|message| !concerned(&message.publication.topic));
        let dropped = before - session.window.len() - session.direct.len();
        session.changed |= dropped > 0;
        dropped
    }

    /// Forgets what it keeps on topics `concerned`, which is asked about filters, too; how many messages.
    pub(crate) fn erase(&mut self, concerned: impl Fn(&str) -> bool) -> usize {
        let topics: Vec<_> = self.retained.keys().filter(|topic| concerned(topic)).cloned().collect();
        let erased = topics.len() + self.forget_waiting(&concerned);
        for topic in topics {
            // Those who are connected learn that it is gone.
            self.publish(Publication { retain: true, ..Publication::new(topic, Bytes::new()) });
        }
        self.flush();
        // Also an empty message says the topic's name.
        self.forget_waiting(&concerned);
        for id in (0..).take(self.sessions.len()) {
            self.end_subscriptions(id, |filter| concerned(filters::parts(filter).1));
        }
        self.index.retain(|topic, _| !concerned(topic));
        erased
    }

    fn forget_waiting(&mut self, concerned: impl Fn(&str) -> bool) -> usize {
        let logged: usize = self.logs.each_mut().into_iter().map(|(_, log)| log.erase(&concerned)).sum();
        logged + (0..).take(self.sessions.len()).map(|id| self.drop_waiting(id, &concerned)).sum::<usize>()
    }

    /// Ends every connection.
    pub(crate) fn end_all(&mut self, end: End) {
        for session in self.sessions.iter_mut().flatten() {
            if let Some(link) = &mut session.link {
                link.end = Some(end);
                link.wake();
            }
        }
    }

    /// Sessions: all, those that are behind, and how many messages are logged since the last of them left.
    pub(crate) fn lag(&self) -> (usize, usize, u64) {
        let (mut all, mut behind, mut most) = (0, 0, 0);
        for session in self.all() {
            all += 1;
            let lag = |lane| {
                let log = self.logs.of(lane);
                session
                    .behind
                    .of(lane)
                    .map_or(0, |position| log.end().saturating_sub(position.max(log.first())))
            };
            let lag = lag(Lane::Readings) + lag(Lane::Others);
            behind += usize::from(lag > 0);
            most = most.max(lag);
        }
        (all, behind, most)
    }
}

/// How a connection ended.
#[derive(Debug, Default)]
pub(crate) struct Leaving {
    /// With DISCONNECT, which makes the will void.
    pub(crate) in_good_order: bool,
    /// Another expiry of the session than at CONNECT.
    pub(crate) expiry_s: Option<u32>,
    pub(crate) received: HashSet<u16>,
}

fn mark(dirty: &mut Vec<SessionId>, session: &mut Session, id: SessionId) {
    if let Some(link) = session.link.as_mut().filter(|link| !link.is_dirty) {
        link.is_dirty = true;
        dirty.push(id);
    }
}

/// The member of a group who gets the message: in turn, and of those who have room.
fn choose(
    group: &mut Group,
    sessions: &[Option<Box<Session>>],
    publication: &Publication,
) -> Option<(SessionId, u8, Option<Arc<[u32]>>)> {
    let members = group.members.len();
    let has_room = |receiver: &Receiver| {
        let session = sessions.get(receiver.session as usize).and_then(Option::as_deref);
        session.is_some_and(|session| session.direct.is_empty() && session.has_room())
    };
    let in_turn = || (0..members).map(|step| (group.next + step) % members);
    let at =
        in_turn().find(|at| group.members.get(*at).is_some_and(has_room)).or_else(|| in_turn().next())?;
    group.next = (at + 1) % members;
    let receiver = group.members.get(at)?;
    Some((receiver.session, receiver.qos.min(publication.qos), receiver.ids.clone()))
}

#[cfg(test)]
mod tests;
