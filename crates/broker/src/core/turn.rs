//! What a connection's task asks of the core.

use std::sync::Arc;
use std::task::Waker;

use super::filters::{self, Receiver, Subscription};
use super::session::{Addressed, Behind, End};
use super::{At, BUFFER_BYTES_KEPT, Core};
use crate::message::Publication;
use crate::wire::Answer;

/// Places of the log that are looked at in one turn for one client that is behind.
const PAGE: usize = 512;

/// What a connection's task is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Write what lies in the buffer; `more`: come again at once; `ask`: read for it what `Core::ask` gives.
    Write { more: bool, ask: bool },
    /// End the connection.
    End(End),
}

/// What a client asks for in SUBSCRIBE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) qos: u8,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    pub(crate) retained: RetainHandling,
    pub(crate) id: u32,
}

/// When a subscription gets retained messages (MQTT 5 §3.8.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RetainHandling {
    Always,
    IfNew,
    Never,
}

/// Why a subscription is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    NotAFilter,
    TooMany,
    Gone,
}

impl Core {
    /// Subscribes. Answer the client, then call `send_retained` with what this gives.
    pub(crate) fn subscribe(&mut self, at: At, filter: &str, wish: Wish) -> Result<bool, Refused> {
        if !filters::is_filter(filter) {
            return Err(Refused::NotAFilter);
        }
        let (subscriptions_max, since) = (self.limits.subscriptions_max, self.log.end());
        let since_entry = self.tail.published();
        let session = self.at(at).ok_or(Refused::Gone)?;
        let known = session.subscriptions.get(filter).copied();
        if known.is_none() && session.subscriptions.len() >= subscriptions_max {
            return Err(Refused::TooMany);
        }
        let known_since = known.filter(|known| known.qos > 0).map(|known| (known.since, known.since_entry));
        let (since, since_entry) = known_since.unwrap_or((since, since_entry));
        let Wish { qos, no_local, retain_as_published, id, .. } = wish;
        let subscription = Subscription { qos, no_local, retain_as_published, id, since, since_entry };
        session.subscriptions.insert(filter.into(), subscription);
        session.changed = true;
        self.filters.insert(filter, at.session, subscription);
        self.version += 1;
        let is_shared = filters::parts(filter).0.is_some();
        Ok(!is_shared
            && match wish.retained {
                RetainHandling::Always => true,
                RetainHandling::IfNew => known.is_none(),
                RetainHandling::Never => false,
            })
    }

    /// Sends the retained messages of a subscription.
    pub(crate) fn send_retained(&mut self, at: At, filter: &str, wish: Wish) {
        let messages: Vec<_> = self.retained(filter).cloned().collect();
        let direct_max = self.limits.retained_max.max(self.limits.direct_max);
        let Some(session) = self.at(at) else { return };
        for publication in messages {
            if session.direct.len() >= direct_max {
                return;
            }
            if wish.no_local && publication.origin == session.serial {
                continue;
            }
            let qos = wish.qos.min(publication.qos);
            let ids = (wish.id > 0).then(|| [wish.id].into());
            session.direct.push_back(Addressed { publication, qos, retain: true, ids });
        }
        session.changed = true;
    }

    /// Whether there was such a subscription.
    pub(crate) fn unsubscribe(&mut self, at: At, filter: &str) -> bool {
        let Some(session) = self.at(at) else { return false };
        let known = session.subscriptions.remove(filter).is_some();
        if known {
            session.changed = true;
            self.filters.remove(filter, at.session);
            self.version += 1;
        }
        known
    }

    /// Takes an answer to a message. An id that is not known is passed over: what it was for may have been erased.
    pub(crate) fn answered(&mut self, at: At, answer: Answer, packet_id: u16) {
        let Some(session) = self.at(at) else { return };
        match answer {
            Answer::Acknowledged if session.is_in_flight(packet_id, 1) => {
                session.finished(packet_id);
            }
            Answer::Refused | Answer::Completed if session.is_in_flight(packet_id, 2) => {
                session.finished(packet_id);
            }
            Answer::Received if !session.released(packet_id) => {
                // The client waits for the end of an exchange that we do not know: it gets it.
                if let Some(link) = &mut session.link {
                    crate::wire::release(&mut link.out, packet_id);
                }
            }
            _ => {}
        }
    }

    /// Puts a packet behind what waits for the client already.
    pub(crate) fn reply(&mut self, at: At, packet: &[u8]) {
        if let Some(link) = self.at(at).and_then(|session| session.link.as_mut()) {
            link.out.extend_from_slice(packet);
        }
    }

    /// Gives what waits for the client, in exchange for an empty buffer. When there is nothing, `waker` is told of the next.
    pub(crate) fn turn(&mut self, at: At, client_id: &str, buffer: &mut Vec<u8>, waker: &Waker) -> Turn {
        let more = self.catch_up(at);
        let was_taken_over = self.by_client.contains_key(client_id);
        let Some(session) = self.at(at) else {
            return Turn::End(if was_taken_over { End::TakenOver } else { End::Removed });
        };
        let ask = Self::wants_page(session);
        // What was published before a stop is delivered, as far as the client takes it in time.
        let has_all = session.direct.is_empty() && session.behind.is_none() && session.window.is_empty();
        let Some(link) = &mut session.link else { return Turn::End(End::Removed) };
        std::mem::swap(&mut link.out, buffer);
        let counted = std::mem::take(&mut link.counted);
        if link.out.capacity() > BUFFER_BYTES_KEPT {
            link.out = Vec::new();
        }
        let turn = match link.end {
            Some(end) if buffer.is_empty() && has_all => Turn::End(end),
            _ => Turn::Write { more, ask },
        };
        if buffer.is_empty() && !link.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            link.waker = Some(waker.clone());
        }
        self.out_bytes -= counted;
        turn
    }

    /// Sends what a client missed, as far as it has room; whether there is more that it has room for.
    fn catch_up(&mut self, at: At) -> bool {
        let now_s = self.now_s;
        let mut sent = self.stats.sent;
        let Some(session) = self.at(at) else { return false };
        session.resend(now_s, &mut sent);
        while let Some(message) = session.direct.front() {
            let has_room = if message.qos > 0 {
                session.has_room()
            } else {
                session.link.as_ref().is_some_and(|link| link.has_room())
            };
            let Some(message) = has_room.then(|| session.direct.pop_front()).flatten() else { break };
            session.send(message, now_s, &mut sent);
        }
        let may_read = session.direct.is_empty();
        let is_behind = session.behind.is_some();
        self.stats.sent = sent;
        may_read
            && is_behind
            && if self.reads_archive(at) { self.replay(at, PAGE) } else { self.read_log(at) }
    }

    fn read_log(&mut self, at: At) -> bool {
        for _ in 0..PAGE {
            let Some(session) = self.at(at).filter(|session| session.has_room()) else { return false };
            let Some(behind) = &mut session.behind else { return false };
            let (from, entry) = (behind.position, behind.entry);
            let Some(next) = self.log.next(from).cloned() else {
                if let Some(session) = self.at(at) {
                    (session.behind, session.changed) = (None, true);
                }
                return false;
            };
            let was_read = next.place.is_some_and(|place| place.position().is_some_and(|of| of <= entry));
            if !was_read {
                self.hand_over(at, next.publication, |receiver| next.position >= receiver.since);
            }
            self.pass(at, |behind| {
                for position in behind.position.each_mut() {
                    *position = (next.position + 1).max(*position);
                }
            });
        }
        true
    }

    /// Sends a message that was missed to a client, if it is for it.
    pub(super) fn hand_over(
        &mut self,
        at: At,
        publication: Arc<Publication>,
        is_new: impl FnOnce(&Receiver) -> bool,
    ) {
        let Some(topic) = self.find(&publication.topic).and_then(|at| self.topics.get(at)) else { return };
        let found = topic.receivers.binary_search_by_key(&at.session, |receiver| receiver.session);
        let Some(receiver) = found.ok().and_then(|at| topic.receivers.get(at)).cloned() else { return };
        let (now_s, mut sent) = (self.now_s, self.stats.sent);
        let Some(session) = self.at(at) else { return };
        let is_own = receiver.no_local && session.serial == publication.origin;
        if receiver.qos > 0 && !is_own && is_new(&receiver) {
            let qos = receiver.qos.min(publication.qos);
            let retain = publication.retain && receiver.retain_as_published;
            let message = Addressed { publication, qos, retain, ids: receiver.ids };
            session.send(message, now_s, &mut sent);
        }
        self.stats.sent = sent;
    }

    pub(super) fn pass(&mut self, at: At, note: impl FnOnce(&mut Behind)) {
        if let Some(session) = self.at(at) {
            session.behind.as_mut().map(note);
            session.changed = true;
        }
    }
}
