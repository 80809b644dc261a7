//! The way of a message to those who subscribed to its topic.

use std::ops::Range;
use std::sync::Arc;

use super::filters::{Filters, Group, Receiver, SessionId};
use super::session::{Addressed, Behind, Link, Sent, Session};
use super::{BUFFER_BYTES_KEPT, Core, RELEASE_EVERY, Sessions, Topic};
use crate::archive::Place;
use crate::message::{PerLane, Publication};
use crate::wire::{self, Form};

/// One message, and what became of it so far.
struct Fanout<'a> {
    publication: &'a Publication,
    /// The same for those who keep it: made for the first of them.
    shared: Option<Arc<Publication>>,
    dirty: &'a mut Vec<SessionId>,
    encoded: &'a mut [Vec<u8>; 2],
    /// Where the message lies among the encoded, for each version, and with and without the retain flag.
    ranges: [Option<Range<usize>>; 4],
    sent: &'a mut Sent,
    now_s: u64,
    /// Sockets hold as much as they may.
    is_full: bool,
    direct_max: usize,
    log_end: u64,
    /// Entries of the archive up to here were published.
    published: u64,
    /// The number of its entry, or of the next.
    number: u64,
    /// Someone is to get it later; and that is a session which outlives its connection.
    is_logged: bool,
    is_stored: bool,
}

impl Fanout<'_> {
    fn share(&mut self) -> Arc<Publication> {
        Arc::clone(self.shared.get_or_insert_with(|| Arc::new(self.publication.clone())))
    }

    fn addressed(&mut self, receiver: &Receiver) -> Addressed {
        Addressed {
            publication: self.share(),
            qos: receiver.qos.min(self.publication.qos),
            retain: self.publication.retain && receiver.retain_as_published,
            ids: receiver.ids.clone(),
        }
    }

    fn reach(&mut self, receiver: &Receiver, session: &mut Session) {
        if receiver.no_local && session.serial == self.publication.origin {
            return;
        }
        let is_acknowledged = receiver.qos.min(self.publication.qos) > 0;
        if !is_acknowledged && !self.is_for_one(receiver, session) {
            return self.reach_encoded(receiver, session);
        }
        session.end_run(self.encoded, self.sent);
        if !is_acknowledged {
            if !session.link.as_ref().is_some_and(Link::has_room) {
                self.sent.dropped += 1;
                return;
            }
        } else if session.behind.is_some() || !session.direct.is_empty() || !session.has_room() {
            if session.behind.is_none() {
                session.behind = Some(Behind::new(self.log_end, self.published, self.number));
                session.changed = true;
            }
            self.is_logged = true;
            self.is_stored |= session.is_stored();
            return;
        }
        session.send(self.addressed(receiver), self.now_s, self.sent);
        mark(self.dirty, session, receiver.session);
    }

    /// Whether its packet is like no one else's.
    fn is_for_one(&self, receiver: &Receiver, session: &Session) -> bool {
        let bytes = self.publication.footprint();
        let takes_less = session.link.as_ref().is_some_and(|link| link.capacity.packet_bytes_max < bytes);
        receiver.ids.is_some() || takes_less
    }

    /// At QoS 0 all of a version get the same bytes, and what follows each other goes to a client's output in one copy.
    fn reach_encoded(&mut self, receiver: &Receiver, session: &mut Session) {
        let Some(link) = session.link.as_mut() else { return };
        if !link.has_room() || (self.is_full && link.out.len() > BUFFER_BYTES_KEPT) {
            self.sent.dropped += 1;
            return;
        }
        let v5 = link.capacity.v5;
        let retain = self.publication.retain && receiver.retain_as_published;
        let Some(buffer) = self.encoded.get_mut(usize::from(v5)) else { return };
        let Some(range) = self.ranges.get_mut(usize::from(v5) | usize::from(retain) << 1) else { return };
        let range = range.get_or_insert_with(|| {
            let begin = buffer.len();
            let form = Form { v5, qos: 0, retain, dup: false, packet_id: 0, ids: &[], now_s: self.now_s };
            wire::publish(buffer, self.publication, form);
            begin..buffer.len()
        });
        if link.run_messages > 0 && link.run.end == range.start {
            link.run.end = range.end;
            link.run_messages += 1;
        } else {
            let range = range.clone();
            session.end_run(self.encoded, self.sent);
            let Some(link) = session.link.as_mut() else { return };
            (link.run, link.run_messages) = (range, 1);
        }
        mark(self.dirty, session, receiver.session);
    }

    /// One member gets it: in turn, and of those who have room.
    fn reach_group(&mut self, group: &mut Group, sessions: &mut Sessions) {
        let members = group.members.len();
        let has_room = |receiver: &Receiver| {
            let session = sessions.get(receiver.session);
            session.is_some_and(|session| session.direct.is_empty() && session.has_room())
        };
        let in_turn = || (0..members).map(|step| (group.next + step) % members);
        let at = in_turn().find(|at| group.members.get(*at).is_some_and(has_room));
        let Some(at) = at.or_else(|| in_turn().next()) else { return };
        group.next = (at + 1) % members;
        let Some(receiver) = group.members.get(at) else { return };
        let message = Addressed { retain: false, ..self.addressed(receiver) };
        let Some(member) = sessions.get_mut(receiver.session) else { return };
        member.end_run(self.encoded, self.sent);
        if member.direct.is_empty() && member.has_room() {
            member.send(message, self.now_s, self.sent);
        } else if member.direct.len() < self.direct_max && (message.qos > 0 || !self.is_full) {
            member.direct.push_back(message);
        } else {
            self.sent.dropped += 1;
        }
        mark(self.dirty, member, receiver.session);
    }
}

fn mark(dirty: &mut Vec<SessionId>, session: &mut Session, id: SessionId) {
    if let Some(link) = session.link.as_mut().filter(|link| !link.is_dirty) {
        link.is_dirty = true;
        dirty.push(id);
    }
}

impl Core {
    /// Publishes a message to all who subscribed. Call `flush` after the last of a turn.
    pub(crate) fn publish(&mut self, publication: Publication) {
        self.publish_at(publication, None);
    }

    /// The same, of a message that the archive has, or will have, in this place.
    pub(crate) fn publish_at(&mut self, publication: Publication, place: Option<&Arc<Place>>) {
        // Without an archive it is kept here.
        let place = place.filter(|_| self.has_archive);
        let number = match place {
            Some(place) => self.tail.note(place),
            None => self.tail.number(),
        };
        self.stats.published += 1;
        let mut shared = None;
        if publication.retain {
            let publication = Arc::new(publication.clone());
            self.retain(&publication);
            shared = Some(publication);
        }
        let Some(at) = self.find(&publication.topic) else { return };
        let log_end = self.log.end();
        let Some(topic) = self.topics.get_mut(at) else { return };
        let is_wanted_later =
            publication.qos > 0 && if place.is_some() { topic.logged_later } else { topic.wanted_later };
        let mut fanout = Fanout {
            publication: &publication,
            shared,
            dirty: &mut self.dirty,
            encoded: &mut self.encoded,
            ranges: Default::default(),
            sent: &mut self.stats.sent,
            now_s: self.now_s,
            is_full: self.out_bytes > self.limits.out_bytes_max,
            direct_max: self.limits.direct_max,
            log_end,
            published: self.tail.published(),
            number,
            is_logged: is_wanted_later,
            is_stored: is_wanted_later,
        };
        for receiver in &topic.receivers {
            if let Some(session) = self.sessions.get_mut(receiver.session) {
                fanout.reach(receiver, session);
            }
        }
        for group in &mut topic.groups {
            fanout.reach_group(group, &mut self.sessions);
        }
        if fanout.is_logged {
            let (shared, is_stored) = (fanout.share(), fanout.is_stored);
            self.append(shared, place.cloned(), is_stored);
        }
    }

    fn append(&mut self, publication: Arc<Publication>, place: Option<Arc<Place>>, is_stored: bool) {
        self.appended += 1;
        if self.log.is_full(publication.lane) && self.appended >= RELEASE_EVERY {
            self.release();
        }
        self.log.append(publication, place, is_stored);
    }

    /// Lets go what no session needs of the log.
    pub(super) fn release(&mut self) {
        self.appended = 0;
        let mut needed = PerLane::both(self.log.end());
        for session in self.sessions.all() {
            let Some(behind) = &session.behind else { continue };
            let readings = match &behind.replay {
                None => behind.position.readings,
                Some(replay) if session.link.is_some() => replay.covered(),
                Some(_) => u64::MAX,
            };
            needed.readings = readings.min(needed.readings);
            needed.others = behind.position.others.min(needed.others);
        }
        self.log.release(needed);
    }

    /// Gives everyone what was published for them, and wakes them.
    pub(crate) fn flush(&mut self) {
        for at in 0..self.dirty.len() {
            let Some(id) = self.dirty.get(at).copied() else { break };
            if let Some(session) = self.sessions.get_mut(id) {
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
    pub(super) fn find(&mut self, name: &Arc<str>) -> Option<usize> {
        if self.topics_bytes > self.limits.topics_bytes_max {
            // None may be half-way: runs refer to what is encoded, not to topics.
            self.topics.clear();
            self.index.clear();
            self.topics_bytes = 0;
        }
        // A device's topics were first published one after the other, and are each time: most are the next one.
        let is_it = |at: &usize| self.topics.get(*at).is_some_and(|topic| Arc::ptr_eq(&topic.name, name));
        self.last = match [self.last, self.last + 1].into_iter().find(is_it) {
            Some(at) => at,
            None => self.look_up(name)?,
        };
        let topic = self.topics.get_mut(self.last)?;
        if topic.version != self.version {
            self.topics_bytes -= topic.bytes();
            topic.version = self.version;
            topic.find_receivers(&self.filters, &self.sessions);
            self.topics_bytes += topic.bytes();
        }
        Some(self.last)
    }

    fn look_up(&mut self, name: &Arc<str>) -> Option<usize> {
        let Some((known, at)) = self.index.get_key_value(&**name) else { return self.remember(name) };
        let at = *at;
        if !Arc::ptr_eq(known, name) {
            // From now on the publisher's own: next time it is found without a look at its text.
            self.index.remove(&**name);
            self.index.insert(Arc::clone(name), at);
            if let Some(topic) = self.topics.get_mut(at as usize) {
                topic.name = Arc::clone(name);
            }
        }
        Some(at as usize)
    }

    fn remember(&mut self, name: &Arc<str>) -> Option<usize> {
        let at = self.topics.len();
        let (name, version) = (Arc::clone(name), 0);
        self.index.insert(Arc::clone(&name), u32::try_from(at).ok()?);
        let topic = Topic {
            name,
            version,
            receivers: Box::default(),
            groups: Box::default(),
            wanted_later: false,
            logged_later: false,
        };
        self.topics_bytes += topic.bytes();
        if self.topics.len() == self.topics.capacity() {
            // By less than a vector does by itself: there are many.
            self.topics.reserve_exact(self.topics.len() / 8 + 16);
        }
        self.topics.push(topic);
        Some(at)
    }

    /// Whether a reading there would go to anyone, now or out of the log.
    pub(crate) fn is_wanted(&mut self, topic: &Arc<str>) -> bool {
        let Some(topic) = self.find(topic).and_then(|at| self.topics.get(at)) else { return true };
        topic.logged_later
            || !topic.receivers.is_empty()
            || topic.groups.iter().any(|group| !group.members.is_empty())
    }
}

impl Topic {
    /// Those who are connected; of the others, whether there are any who get it later.
    fn find_receivers(&mut self, filters: &Filters, sessions: &Sessions) {
        let mut receivers = std::mem::take(&mut self.receivers).into_vec();
        let mut groups = std::mem::take(&mut self.groups).into_vec();
        filters.matching(&self.name, &mut receivers, &mut groups);
        let is_connected = |receiver: &Receiver| {
            sessions.get(receiver.session).is_some_and(|session| session.link.is_some())
        };
        let reads_log = |receiver: &Receiver| {
            let behind = sessions.get(receiver.session).and_then(|session| session.behind.as_ref());
            behind.is_some_and(|behind| behind.replay.is_none())
        };
        (self.wanted_later, self.logged_later) = (false, false);
        receivers.retain(|receiver| {
            let connected = is_connected(receiver);
            if !connected && receiver.qos > 0 {
                self.wanted_later = true;
                self.logged_later |= reads_log(receiver);
            }
            connected
        });
        for group in &mut groups {
            group.members.retain(is_connected);
        }
        // Most topics have one receiver, and there are many topics: no room is kept for more.
        (self.receivers, self.groups) = (receivers.into(), groups.into());
    }

    /// What it takes, with its place in the index.
    fn bytes(&self) -> usize {
        let members = |group: &Group| group.members.capacity() * size_of::<Receiver>();
        let groups: usize = self.groups.iter().map(|group| size_of::<Group>() + members(group)).sum();
        2 * size_of::<Self>() + self.name.len() + size_of_val(&*self.receivers) + groups
    }
}
