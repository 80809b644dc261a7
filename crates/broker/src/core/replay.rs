//! How a session reads in the archive what it missed, and comes back to what is published now.
//!
//! While it is connected the log has all readings for it from the position `covered` on. When it has read the archive as far as
//! everything stands that was published before, it goes on in the log, and leaves out what it had from the archive already. So
//! nothing is missed, and nothing comes twice there but an entry that is committed in that moment.

use std::collections::VecDeque;
use std::sync::Arc;

use super::session::{Behind, Session};
use super::{At, Core};
use crate::archive::{Archived, Page, Place, Wanted};
use crate::core::filters;
use crate::message::{Lane, Publication};

/// Of the looks once a second that are remembered: longer than sessions are looked at whose clients have gone.
const LOOKS_MAX: usize = 15;

/// What is known of the archive's newest entries.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    /// All entries up to here were published.
    published: u64,
    /// Entries published so far.
    number: u64,
    /// Those of whom it is not known yet where they stand, with their numbers, the oldest first. An entry that is published bit by
    /// bit is there more than once.
    under_way: VecDeque<(u64, Arc<Place>)>,
    /// The newest of the others.
    settled: u64,
    /// Numbers and positions of those that were settled in the last seconds, the oldest first.
    recent: VecDeque<(u64, u64)>,
    /// The next number at each of the last looks, the oldest first.
    looks: VecDeque<u64>,
    /// Entries of smaller numbers are not remembered.
    forgotten: u64,
    /// How often something was erased.
    pub(crate) erasures: u64,
}

impl Tail {
    /// Of an archive that has entries up to `head`, and of which nothing was published yet that it has not.
    pub(crate) fn new(published: u64, head: u64) -> Self {
        Self { published, settled: head, ..Self::default() }
    }

    /// All entries up to here were published. A message of an entry after it may have been, too.
    pub(crate) fn published(&self) -> u64 {
        self.published
    }

    /// The number of the next entry.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    fn note_published(&mut self, through: u64) {
        self.published = self.published.max(through);
    }

    /// Something of an entry is being published; its number.
    pub(super) fn note(&mut self, place: &Arc<Place>) -> u64 {
        if let Some((number, _)) = self.under_way.back().filter(|(_, last)| Arc::ptr_eq(last, place)) {
            return *number;
        }
        self.settle();
        self.under_way.push_back((self.number, Arc::clone(place)));
        self.number += 1;
        self.number - 1
    }

    fn settle(&mut self) {
        while let Some((number, place)) = self.under_way.pop_front_if(|(_, place)| place.is_settled()) {
            if let Some(position) = place.position() {
                self.settled = self.settled.max(position);
                self.recent.push_back((number, position));
            }
        }
    }

    /// Forgets what is longer ago than sessions without a connection are looked at. To be called once a second.
    fn look(&mut self) {
        self.looks.push_back(self.number);
        if self.looks.len() > LOOKS_MAX
            && let Some(oldest) = self.looks.pop_front()
        {
            while self.recent.pop_front_if(|(number, _)| *number < oldest).is_some() {}
            self.forgotten = oldest;
        }
    }

    /// Of each entry's number, up to where all entries were published before it, as far as is known; the greatest number first.
    fn had_before(&self) -> Vec<(u64, u64)> {
        let settled = self.recent.iter().copied();
        let others = self.under_way.iter().filter_map(|(number, place)| Some((*number, place.position()?)));
        let mut known: Vec<_> = settled.chain(others).collect();
        known.reverse();
        let mut had = self.published;
        for (_, position) in &mut known {
            had = had.min(*position - 1);
            *position = had;
        }
        known
    }

    /// Up to where everything stands that was published before the entry of this number; nothing while that is not known.
    fn settled_before(&mut self, number: u64) -> Option<u64> {
        self.settle();
        self.under_way.front().is_none_or(|(first, _)| *first >= number).then_some(self.settled)
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Replay {
    /// What was read and not sent yet.
    page: VecDeque<Archived>,
    /// All entries up to here are in the page, or were sent.
    through: u64,
    /// A page is being read.
    is_asked: bool,
    /// From this position on the log has all readings for it.
    covered: u64,
    /// Entries of smaller numbers were published before.
    number: u64,
    /// Up to where those stand.
    barrier: Option<u64>,
}

/// What a session wants of the archive.
pub(crate) struct Ask {
    pub(crate) after: u64,
    pub(crate) wanted: Wanted,
    pub(crate) erasures: u64,
}

impl Replay {
    /// From an entry on; the log has what is published from now on.
    fn new(after: u64, covered: u64, tail: &Tail) -> Self {
        let number = tail.number;
        Self { page: VecDeque::new(), through: after, is_asked: false, covered, number, barrier: None }
    }

    pub(super) fn covered(&self) -> u64 {
        self.covered
    }

    /// Drops what was read on topics `concerned`; how many messages.
    pub(super) fn forget(&mut self, concerned: impl Fn(&str) -> bool) -> usize {
        let before = self.page.len();
        self.page.retain(|message| !concerned(&message.topic));
        before - self.page.len()
    }
}

impl Behind {
    /// From here on readings come from the archive; what is published from now on is logged.
    pub(super) fn begin_replay(&mut self, log_end: u64, tail: &Tail) {
        self.replay = Some(Box::new(Replay::new(self.entry, log_end, tail)));
    }

    /// The same, when they come from there already.
    pub(super) fn restart_replay(&mut self, log_end: u64, tail: &Tail) {
        if self.replay.is_some() {
            self.begin_replay(log_end, tail);
        }
    }
}

impl Core {
    /// All entries of the archive up to here were published.
    pub(crate) fn note_published(&mut self, through: u64) {
        self.tail.note_published(through);
    }

    /// The messages of an entry are published now, as far as they are wanted.
    pub(crate) fn begin_entry(&mut self, place: &Arc<Place>) {
        if self.has_archive {
            self.tail.note(place);
        }
    }

    /// Looks what sessions have had whose clients have just gone: it shows a moment later. To be called once a second, and at the
    /// end, when the disk is to know. After a kill they get again what it had not been told: a row a session and second would
    /// cost more than that.
    pub(crate) fn look_what_was_had(&mut self, is_end: bool) {
        self.tail.look();
        let mut known = None;
        for session in self.sessions.all_mut().filter(|session| session.link.is_none()) {
            // Who was slow for long before it went has missed entries that are not remembered.
            let can_tell = |behind: &Behind| behind.replay.is_none() && behind.number >= self.tail.forgotten;
            let Some(behind) = session.behind.as_mut().filter(|behind| can_tell(behind)) else { continue };
            let known = known.get_or_insert_with(|| self.tail.had_before());
            let later = known.partition_point(|(number, _)| *number >= behind.number);
            let first = later.checked_sub(1).and_then(|at| known.get(at));
            let had = first.map_or(self.tail.published, |(_, had)| *had);
            if had > behind.entry {
                behind.entry = had;
                session.changed |= is_end;
            }
        }
    }

    /// Whether readings for a session that is behind come from the archive: also when the log has not all of them any more.
    pub(super) fn reads_archive(&mut self, at: At) -> bool {
        let (log_end, lost_to) = (self.log.end(), self.log.readings_lost_to());
        let session = self.sessions.get_mut(at.session);
        let Some(behind) = session.and_then(|session| session.behind.as_mut()) else { return false };
        if self.has_archive && behind.replay.is_none() && behind.position.readings < lost_to {
            behind.begin_replay(log_end, &self.tail);
        }
        behind.replay.is_some()
    }

    /// Sends what a client missed, and what was read of the archive; whether there is more that it has room for.
    pub(super) fn replay(&mut self, at: At, steps: usize) -> bool {
        for _ in 0..steps {
            let Some(session) = self.at(at).filter(|session| session.has_room()) else { return false };
            let Some(behind) = &mut session.behind else { return false };
            let others = behind.position.others;
            if let Some(entry) = self.log.next_of(Lane::Others, others).cloned() {
                self.hand_over(at, entry.publication, |receiver| entry.position >= receiver.since);
                self.pass(at, |behind| behind.position.others = entry.position + 1);
            } else if !self.send_archived(at) {
                return self.rejoin(at);
            }
        }
        true
    }

    /// Sends the next message of the page; false when there is none.
    fn send_archived(&mut self, at: At) -> bool {
        let Some(behind) = self.at(at).and_then(|session| session.behind.as_mut()) else { return false };
        let Some(replay) = &mut behind.replay else { return false };
        let Some(Archived { position, topic, payload }) = replay.page.pop_front() else {
            behind.entry = behind.entry.max(replay.through);
            return false;
        };
        // The rest of its entry may still come.
        behind.entry = behind.entry.max(position - 1);
        let publication = Publication { lane: Lane::Readings, ..Publication::new(topic, payload) };
        self.hand_over(at, Arc::new(publication), |receiver| position > receiver.since_entry);
        true
    }

    /// Goes on in the log when the archive is read as far as that needs; whether it does. When the log has become too full
    /// meanwhile, `reads_archive` finds it.
    fn rejoin(&mut self, at: At) -> bool {
        let Some(session) = self.sessions.get_mut(at.session) else { return false };
        let Some(behind) = &mut session.behind else { return false };
        let (entry, Some(replay)) = (behind.entry, &mut behind.replay) else { return false };
        if replay.barrier.is_none() {
            replay.barrier = self.tail.settled_before(replay.number);
        }
        if replay.barrier.is_none_or(|barrier| entry < barrier) {
            return false;
        }
        behind.position.readings = replay.covered;
        behind.replay = None;
        session.changed = true;
        true
    }

    /// What a client's session wants of the archive now. Its connection reads that, and hands it to `take_page`.
    pub(crate) fn ask(&mut self, at: At) -> Option<Ask> {
        let erasures = self.tail.erasures;
        let session = self.at(at)?;
        let replay = session.behind.as_mut()?.replay.as_mut()?;
        if replay.is_asked || !replay.page.is_empty() {
            return None;
        }
        replay.is_asked = true;
        let after = replay.through;
        let filters: Vec<_> = session
            .subscriptions
            .iter()
            .filter(|(filter, of)| of.qos > 0 && filters::parts(filter).0.is_none())
            .map(|(filter, _)| filter.clone())
            .collect();
        let wanted = move |topic: &str| filters.iter().any(|filter| filters::matches(filter, topic));
        Some(Ask { after, wanted: Box::new(wanted), erasures })
    }

    /// Takes what was read. What was read before something was erased is read again.
    pub(crate) fn take_page(&mut self, at: At, page: Page, erasures: u64) {
        let is_valid = erasures == self.tail.erasures;
        let Some(behind) = self.at(at).and_then(|session| session.behind.as_mut()) else { return };
        let Some(replay) = &mut behind.replay else { return };
        replay.is_asked = false;
        if is_valid {
            replay.through = replay.through.max(page.through);
            replay.page = page.messages.into();
            self.stats.gone += page.gone;
        }
    }

    /// Whether the session waits for a page that no one reads.
    pub(super) fn wants_page(session: &Session) -> bool {
        let replay = session.behind.as_ref().and_then(|behind| behind.replay.as_ref());
        session.has_room() && replay.is_some_and(|replay| replay.page.is_empty() && !replay.is_asked)
    }
}
