//! Sessions: how they begin, are taken over, left and end; and what is taken out of them.

use std::sync::Arc;

use bytes::Bytes;

use super::filters::{self, SessionId};
use super::session::{Behind, End, Link, Session, Will};
use super::{At, Claimed, Connected, Core, Leaving, Newcomer};
use crate::message::{Lane, Publication};

/// Who is away for longer than this, in seconds, reads readings in the archive when it is back. Who comes back before has nothing
/// twice.
pub(super) const LOGGED_FOR_S: u64 = 10;

impl Core {
    /// Gives the session of this client id to a connection. A connection that has it loses it.
    pub(crate) fn connect(&mut self, newcomer: Newcomer) -> Result<Connected, Claimed> {
        let Newcomer { client_id, user, clean, expiry_s, will, capacity } = newcomer;
        let known = self.by_client.get(&client_id).copied();
        if let Some(session) = known.and_then(|id| self.sessions.get(id))
            && session.user != user
        {
            return Err(Claimed::Owner(Arc::clone(&session.user)));
        }
        if known.is_none()
            && self.sessions.all().filter(|session| session.user == user).count()
                >= self.limits.sessions_per_user_max
        {
            return Err(Claimed::TooMany);
        }
        let present = known.filter(|id| !clean && self.outlives(*id));
        let mut lost_will = None;
        if let Some(id) = known {
            lost_will = self.take_over(id, present.is_some());
            if present.is_none() {
                self.remove(id);
            }
        }
        let id = present.unwrap_or_else(|| {
            let serial = self.number();
            self.add(Session::new(client_id, user, serial))
        });
        let number = self.number();
        let expiry_s = expiry_s.min(self.limits.session_expiry_s_max);
        let session = self.sessions.get_mut(id).expect("it was just made");
        session.link = Some(Link::new(number, capacity));
        if let Some(behind) = &mut session.behind {
            // What is published from now on is logged for it.
            behind.restart_replay(self.log.end(), &self.tail);
        }
        (session.expiry_s, session.will, session.will_due_s) = (expiry_s, will, None);
        if let Some(will) = &mut session.will {
            will.publication.origin = session.serial;
        }
        session.changed = true;
        let (received, serial) = (session.received.clone(), session.serial);
        self.version += 1;
        let at = At { session: id, number, serial };
        Ok(Connected { at, present: present.is_some(), expiry_s, received, will: lost_will })
    }

    /// Whether the session goes on when its connection ends now, or ended before (MQTT-3.1.2-6; MQTT 5 §3.1.2.11.2).
    fn outlives(&self, id: SessionId) -> bool {
        self.sessions.get(id).is_some_and(|session| session.is_stored() && !session.is_over(self.now_s))
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number - 1
    }

    fn add(&mut self, session: Session) -> SessionId {
        let client_id = Arc::clone(&session.client_id);
        let id = self.sessions.add(session);
        self.by_client.insert(client_id, id);
        id
    }

    /// Ends a session's connection because another one comes. Its will, when it is due now.
    fn take_over(&mut self, id: SessionId, goes_on: bool) -> Option<Will> {
        let session = self.sessions.get_mut(id)?;
        let (was_connected, will) = (session.link.is_some(), session.will.take());
        self.unlink(id);
        let will = will?;
        // A will that waits is void when the client comes back in time (MQTT 5 §3.1.3.2.2).
        let is_void = goes_on && (!was_connected || will.delay_s > 0);
        (!is_void).then_some(will)
    }

    /// The connection is over. Its will, when it is due now.
    pub(crate) fn leave(&mut self, at: At, leaving: Leaving) -> Option<Will> {
        let now_s = self.now_s;
        let session_expiry_s_max = self.limits.session_expiry_s_max;
        let session = self.at(at)?;
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
        let log_end = self.log.end();
        let Some(session) = self.sessions.get_mut(id) else { return };
        // What waits to be moved to its output is among the encoded still.
        session.end_run(&self.encoded, &mut self.stats.sent);
        let Some(mut link) = session.link.take() else { return };
        self.out_bytes -= link.counted;
        link.wake();
        session.resent = 0;
        // Who subscribes at QoS 0 only has no position: nothing is kept for it.
        if session.can_miss() {
            let (published, number) = (self.tail.published(), self.tail.number());
            let behind = session.behind.get_or_insert_with(|| Behind::new(log_end, published, number));
            behind.restart_replay(log_end, &self.tail);
        }
        session.direct.retain(|message| message.qos > 0);
        session.changed = true;
        self.version += 1;
    }

    /// Ends a session with all that hangs on it. Its will, when that waited.
    pub(super) fn remove(&mut self, id: SessionId) -> Option<(Arc<str>, Will)> {
        let mut session = self.sessions.remove(id)?;
        for filter in session.subscriptions.keys() {
            self.filters.remove(filter, id);
        }
        self.by_client.remove(&session.client_id);
        if session.is_on_disk {
            self.gone.insert(Arc::clone(&session.client_id));
        }
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
        let id = self.add(session);
        for (filter, subscription) in self.sessions.get(id).iter().flat_map(|session| &session.subscriptions)
        {
            self.filters.insert(filter, id, *subscription);
        }
        self.version += 1;
    }

    /// Ends sessions that outlived their time. Wills that are due now, with whose they are.
    pub(crate) fn sweep(&mut self) -> Vec<(Arc<str>, Will)> {
        self.look_what_was_had(false);
        let now_s = self.now_s;
        let (log_end, has_archive) = (self.log.end(), self.has_archive);
        let mut wills = Vec::new();
        for id in self.sessions.ids() {
            let Some(session) = self.sessions.get_mut(id) else { continue };
            if session.link.is_some() {
                continue;
            }
            if has_archive
                && session.left_s + LOGGED_FOR_S < now_s
                && let Some(behind) = session.behind.as_mut().filter(|behind| behind.replay.is_none())
            {
                behind.begin_replay(log_end, &self.tail);
                (session.changed, self.version) = (true, self.version + 1);
            }
            // Not before the whole time has passed: what the clock shows has begun up to a second before.
            if session.will_due_s.is_some_and(|due_s| due_s < now_s) {
                session.will_due_s = None;
                wills.extend(session.will.take().map(|will| (Arc::clone(&session.user), will)));
            }
            if session.is_over(now_s) {
                wills.extend(self.remove(id));
            }
        }
        let expired: Vec<_> = self
            .retained
            .values()
            .filter(|of| of.is_expired(now_s))
            .map(|of| Arc::clone(&of.topic))
            .collect();
        for topic in expired {
            self.forget_retained(&topic);
        }
        wills
    }

    /// Takes out of every session what its user may no longer have; `may` says so of user and filter, and nothing of a user
    /// that is gone. Tells of how many sessions something was taken.
    pub(crate) fn trim(&mut self, may: impl Fn(&str, &str) -> Option<bool>) -> usize {
        let mut trimmed = 0;
        for id in self.sessions.ids() {
            let Some(session) = self.sessions.get(id) else { continue };
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
        let Some(session) = self.sessions.get_mut(id) else { return false };
        let ended: Vec<_> = session.subscriptions.extract_if(.., |filter, _| concerned(filter)).collect();
        for (filter, _) in &ended {
            self.filters.remove(filter, id);
        }
        if !ended.is_empty() {
            session.changed = true;
            self.version += 1;
        }
        if session.link.is_none() && !session.can_miss() {
            session.behind = None;
        }
        !ended.is_empty()
    }

    /// Drops what is on its way or waits outside the log on topics `concerned`; how many messages.
    fn drop_waiting(&mut self, id: SessionId, concerned: impl Fn(&str) -> bool) -> usize {
        let Some(session) = self.sessions.get_mut(id) else { return 0 };
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
        let mut dropped = before - session.window.len() - session.direct.len();
        if let Some(replay) = session.behind.as_mut().and_then(|behind| behind.replay.as_mut()) {
            dropped += replay.forget(concerned);
        }
        session.changed |= dropped > 0;
        dropped
    }

    /// Forgets what it keeps on topics `concerned`, which is asked about filters, too; how many messages.
    pub(crate) fn erase(&mut self, concerned: impl Fn(&str) -> bool) -> usize {
        self.tail.erasures += 1;
        let topics: Vec<_> = self.retained.keys().filter(|topic| concerned(topic)).cloned().collect();
        let erased = topics.len() + self.forget_waiting(&concerned);
        for topic in topics {
            // Those who are connected learn that it is gone.
            self.publish(Publication { retain: true, ..Publication::new(topic, Bytes::new()) });
        }
        self.flush();
        // Also an empty message says the topic's name.
        self.forget_waiting(&concerned);
        for id in self.sessions.ids() {
            self.end_subscriptions(id, |filter| concerned(filters::parts(filter).1));
        }
        self.index.retain(|topic, _| !concerned(topic));
        erased
    }

    fn forget_waiting(&mut self, concerned: impl Fn(&str) -> bool) -> usize {
        let logged = self.log.erase(&concerned);
        logged + self.sessions.ids().map(|id| self.drop_waiting(id, &concerned)).sum::<usize>()
    }

    /// Ends every connection.
    pub(crate) fn end_all(&mut self, end: End) {
        for session in self.sessions.all_mut() {
            if let Some(link) = &mut session.link {
                link.end = Some(end);
                link.wake();
            }
        }
    }

    /// Sessions that have not had everything, those that miss most first: client id, user, and how many messages.
    pub(crate) fn behind(&self) -> Vec<(Arc<str>, Arc<str>, usize)> {
        let mut behind: Vec<_> = self
            .sessions
            .all()
            .filter_map(|session| Some((session, self.missed(session.behind.as_ref()?))))
            .filter(|(_, messages)| *messages > 0)
            .map(|(session, messages)| (Arc::clone(&session.client_id), Arc::clone(&session.user), messages))
            .collect();
        behind.sort_by_key(|(_, _, messages)| std::cmp::Reverse(*messages));
        behind
    }

    /// How many messages it has not had. An entry of the archive counts as one.
    pub(super) fn missed(&self, behind: &Behind) -> usize {
        let logged = |lane: Lane| self.log.len_from(lane, *behind.position.of(lane));
        let readings = match behind.replay {
            Some(_) => {
                usize::try_from(self.tail.published().saturating_sub(behind.entry)).unwrap_or(usize::MAX)
            }
            None => logged(Lane::Readings),
        };
        readings.saturating_add(logged(Lane::Others))
    }

    /// Sessions: all, those that are behind, and how many messages are logged since the last of them left.
    pub(crate) fn lag(&self) -> (usize, usize, usize) {
        let behind = self.behind();
        (self.by_client.len(), behind.len(), behind.first().map_or(0, |(_, _, messages)| *messages))
    }
}
