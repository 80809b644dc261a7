//! The log: what was published at QoS 1 or 2 and some session has not had yet, once, whoever is behind. A session that is
//! behind holds a position in it and no queue of its own. The oldest go when it is full: of readings and of all else by
//! themselves, so that the many do not drive out the few. What the archive has, too, is in memory only.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::archive::Place;
use crate::message::{Lane, PerLane, Publication};

/// How full each lane of the log may become.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogLimits {
    pub(crate) messages_max: usize,
    pub(crate) bytes_max: usize,
}

/// A message and its position, which says when it was published among all.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) position: u64,
    pub(crate) publication: Arc<Publication>,
    /// Where the archive has it.
    pub(crate) place: Option<Arc<Place>>,
    /// Whether a session may want it that outlives its connection, and so the process.
    stored: bool,
}

/// Readings, or all else.
#[derive(Debug, Default)]
struct Part {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// Messages before this position had to go.
    lost_to: u64,
}

impl Part {
    fn push(&mut self, entry: Entry) {
        self.bytes += entry.publication.footprint();
        self.entries.push_back(entry);
    }

    fn pop(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_front()?;
        self.bytes -= entry.publication.footprint();
        Some(entry)
    }

    fn is_over(&self, limits: LogLimits) -> bool {
        self.entries.len() > limits.messages_max || (self.bytes > limits.bytes_max && self.entries.len() > 1)
    }

    /// Where the entries from this position on begin.
    fn index(&self, position: u64) -> usize {
        self.entries.partition_point(|entry| entry.position < position)
    }

    fn next(&self, position: u64) -> Option<&Entry> {
        self.entries.get(self.index(position))
    }

    fn release(&mut self, needed: u64) {
        while self.entries.front().is_some_and(|entry| entry.position < needed) {
            self.pop();
        }
        if self.entries.capacity() > 4 * self.entries.len() + 1024 {
            self.entries.shrink_to(2 * self.entries.len());
        }
    }
}

/// What changed of a lane since the disk was told.
#[derive(Debug, Default)]
pub(crate) struct LogChanges {
    pub(crate) new: Vec<(u64, Arc<Publication>)>,
    /// What lies before is gone.
    pub(crate) first: u64,
}

/// See the module.
pub(crate) struct Log {
    limits: LogLimits,
    parts: PerLane<Part>,
    end: u64,
    /// What lies before is needed by no one, as far as was looked.
    needed: PerLane<u64>,
    /// Up to where the disk has what is stored.
    written: u64,
    /// Something that may be on the disk already was taken out of the middle.
    rewrite: bool,
    /// Messages that had to go though someone was to get them.
    dropped: u64,
}

impl Log {
    /// A log whose first message gets this position.
    pub(crate) fn new(limits: LogLimits, end: u64) -> Self {
        let parts = PerLane::default();
        let needed = PerLane::both(end);
        Self { limits, parts, end, needed, written: end, rewrite: false, dropped: 0 }
    }

    /// Puts back a lane as the disk had it, the oldest first.
    pub(crate) fn restore(&mut self, lane: Lane, messages: Vec<(u64, Publication)>) {
        for (position, publication) in messages {
            let needed = self.needed.of_mut(lane);
            *needed = position.min(*needed);
            let publication = Arc::new(Publication { lane, ..publication });
            self.parts.of_mut(lane).push(Entry { position, publication, place: None, stored: true });
        }
    }

    /// The position that the next message gets.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Messages that had to go though someone was to get them.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Whether one more message, however long, may be over a limit.
    pub(crate) fn is_full(&self, lane: Lane) -> bool {
        let Part { entries, bytes, .. } = self.parts.of(lane);
        entries.len() >= self.limits.messages_max || *bytes >= self.limits.bytes_max
    }

    /// Appends a message. The oldest go when it is full: call `release` before, when that may make room. One that the archive
    /// has is not lost by that.
    pub(crate) fn append(
        &mut self,
        publication: Arc<Publication>,
        place: Option<Arc<Place>>,
        is_stored: bool,
    ) {
        let lane = publication.lane;
        let (position, needed, part) = (self.end, *self.needed.of(lane), self.parts.of_mut(lane));
        self.end += 1;
        let stored = is_stored && place.is_none();
        part.push(Entry { position, publication, place, stored });
        while part.is_over(self.limits) {
            let Some(gone) = part.pop() else { return };
            part.lost_to = gone.position + 1;
            let is_archived = gone.place.is_some_and(|place| !place.is_nowhere());
            self.dropped += u64::from(gone.position >= needed && !is_archived);
        }
    }

    /// What lies before these positions is needed by no one.
    pub(crate) fn release(&mut self, needed: PerLane<u64>) {
        for lane in Lane::ALL {
            let needed = self.end.min(*needed.of(lane));
            *self.needed.of_mut(lane) = needed;
            self.parts.of_mut(lane).release(needed);
        }
    }

    /// The first message at these positions or after them, in the order in which they were published.
    pub(crate) fn next(&self, from: PerLane<u64>) -> Option<&Entry> {
        let [one, other] = Lane::ALL.map(|lane| self.next_of(lane, *from.of(lane)));
        match (one, other) {
            (Some(one), Some(other)) if other.position < one.position => Some(other),
            (one, other) => one.or(other),
        }
    }

    /// The same of one lane.
    pub(crate) fn next_of(&self, lane: Lane, position: u64) -> Option<&Entry> {
        self.parts.of(lane).next(position)
    }

    /// How many messages of a lane there are from the position on.
    pub(crate) fn len_from(&self, lane: Lane, position: u64) -> usize {
        let part = self.parts.of(lane);
        part.entries.len() - part.index(position)
    }

    /// Readings that were logged before this position had to go.
    pub(crate) fn readings_lost_to(&self) -> u64 {
        self.parts.readings.lost_to
    }

    fn len(&self) -> usize {
        self.parts.each().iter().map(|part| part.entries.len()).sum()
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes out the messages on topics `concerned`; how many.
    pub(crate) fn erase(&mut self, concerned: impl Fn(&str) -> bool) -> usize {
        let before = self.len();
        for part in self.parts.each_mut() {
            part.entries.retain(|entry| !concerned(&entry.publication.topic));
            part.bytes = part.entries.iter().map(|entry| entry.publication.footprint()).sum();
        }
        let erased = before - self.len();
        self.rewrite |= erased > 0;
        erased
    }

    /// All of it is to be written again.
    pub(crate) fn rewrite(&mut self) {
        self.rewrite = true;
    }

    /// What is to be stored and is not on the disk yet, and whether the disk is to forget the rest; afterwards it counts as
    /// written.
    pub(crate) fn take_changes(&mut self) -> (PerLane<LogChanges>, bool) {
        let is_all = std::mem::take(&mut self.rewrite);
        let from = if is_all { 0 } else { self.written };
        self.written = self.end;
        let changes = |part: &Part| {
            let new = part.entries.range(part.index(from)..).filter(|entry| entry.stored);
            let new = new.map(|entry| (entry.position, Arc::clone(&entry.publication))).collect();
            LogChanges { new, first: part.entries.front().map_or(self.end, |entry| entry.position) }
        };
        let PerLane { readings, others } = &self.parts;
        (PerLane { readings: changes(readings), others: changes(others) }, is_all)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn log(messages_max: usize) -> Log {
        Log::new(LogLimits { messages_max, bytes_max: 1 << 20 }, 10)
    }

    fn publication(text: &str) -> Publication {
        let lane = if text.starts_with('r') { Lane::Readings } else { Lane::Others };
        Publication { lane, ..Publication::new(text.into(), Bytes::copy_from_slice(text.as_bytes())) }
    }

    fn append(log: &mut Log, texts: &[&str]) {
        for text in texts {
            log.append(Arc::new(publication(text)), None, true);
        }
    }

    fn all(log: &Log) -> Vec<(u64, String)> {
        let mut position = 0;
        let next = || {
            let entry = log.next(PerLane::both(position))?;
            position = entry.position + 1;
            Some((entry.position, entry.publication.topic.to_string()))
        };
        std::iter::from_fn(next).collect()
    }

    fn texts(log: &Log) -> Vec<String> {
        all(log).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn both_lanes_are_read_in_the_order_in_which_all_was_published() {
        let mut log = log(10);
        append(&mut log, &["r1", "a", "r2", "r3", "b"]);
        assert_eq!(texts(&log), ["r1", "a", "r2", "r3", "b"]);
        assert_eq!((log.next(PerLane::both(12)).unwrap().position, log.end()), (12, 15));
        assert_eq!(Lane::ALL.map(|lane| log.len_from(lane, 12)), [2, 1]);
        log.release(PerLane::both(13));
        assert_eq!(texts(&log), ["r3", "b"]);
        log.release(PerLane::both(99));
        assert_eq!((texts(&log), log.parts.readings.bytes), (vec![], 0));
    }

    #[test]
    fn the_oldest_of_a_lane_go_when_it_is_full_and_count_only_when_someone_needs_them() {
        let mut log = log(3);
        append(&mut log, &["a", "r1", "r2", "r3"]);
        assert!(log.is_full(Lane::Readings) && !log.is_full(Lane::Others));
        append(&mut log, &["r4"]);
        assert_eq!(
            (texts(&log), log.dropped),
            (vec!["a", "r2", "r3", "r4"].into_iter().map(str::to_owned).collect(), 1)
        );
        log.release(PerLane::both(14));
        append(&mut log, &["r5", "r6"]);
        assert_eq!(log.dropped, 1);
    }

    #[test]
    fn a_limit_of_bytes_holds_but_for_one_message() {
        let mut log = Log::new(LogLimits { messages_max: 100, bytes_max: 300 }, 0);
        append(&mut log, &["a", "b", "c", "d"]);
        assert!(log.parts.others.bytes <= 300);
        append(&mut log, &["x".repeat(1_000).as_str()]);
        assert_eq!(log.len(), 1);
    }

    #[test]
    fn only_what_is_to_be_stored_is_written_and_once() {
        let mut log = log(10);
        append(&mut log, &["a", "r"]);
        log.append(Arc::new(publication("b")), None, false);
        let written = |log: &mut Log| {
            let (changes, is_all) = log.take_changes();
            let positions =
                |changes: &LogChanges| -> Vec<u64> { changes.new.iter().map(|(at, _)| *at).collect() };
            (positions(&changes.readings), positions(&changes.others), is_all)
        };
        assert_eq!(written(&mut log), (vec![11], vec![10], false));
        assert_eq!(written(&mut log), (vec![], vec![], false));
        append(&mut log, &["c"]);
        assert_eq!(log.erase(|topic| topic == "a"), 1);
        assert_eq!(written(&mut log), (vec![11], vec![13], true));
    }

    #[test]
    fn what_the_disk_had_comes_back_at_its_positions() {
        let mut log = log(10);
        log.restore(Lane::Readings, vec![(5, publication("r1")), (7, publication("r2"))]);
        log.restore(Lane::Others, vec![(6, publication("a"))]);
        assert_eq!(all(&log), [(5, "r1".to_owned()), (6, "a".to_owned()), (7, "r2".to_owned())]);
        assert!(log.take_changes().0.readings.new.is_empty());
    }
}
