//! The log: what was published at QoS 1 or 2 and some session has not had yet, once, whoever is behind. A session that is
//! behind holds a position in it and no queue of its own. The oldest go when it is full.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::message::Publication;

/// How full the log may become.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogLimits {
    pub(crate) messages_max: usize,
    pub(crate) bytes_max: usize,
}

/// One place of the log.
#[derive(Debug, Clone)]
struct Entry {
    /// Nothing when it was erased.
    publication: Option<Arc<Publication>>,
    /// Whether a session may want it that outlives its connection, and so the process.
    stored: bool,
}

/// See the module.
pub(crate) struct Log {
    limits: LogLimits,
    first: u64,
    entries: VecDeque<Entry>,
    bytes: usize,
    /// What lies before is needed by no one, as far as was looked.
    needed: u64,
    /// Up to where the disk has what is stored.
    written: u64,
    /// Something that may be on the disk already was taken out of the middle.
    pub(crate) rewrite: bool,
    /// Messages that had to go though someone was to get them.
    pub(crate) dropped: u64,
}

impl Log {
    /// A log that begins at this position.
    pub(crate) fn new(limits: LogLimits, first: u64) -> Self {
        Self {
            limits,
            first,
            entries: VecDeque::new(),
            bytes: 0,
            needed: first,
            written: first,
            rewrite: false,
            dropped: 0,
        }
    }

    /// Puts back what the disk had. Positions grow; those left out hold nothing.
    pub(crate) fn restore(&mut self, messages: Vec<(u64, Publication)>, end: u64) {
        if let Some((position, _)) = messages.first() {
            self.first = (*position).min(end);
        }
        for (position, publication) in messages {
            let gap = position.saturating_sub(self.end()).min(self.limits.messages_max as u64);
            (0..gap).for_each(|_| self.entries.push_back(Entry { publication: None, stored: false }));
            if position == self.end() {
                self.push(Some(Arc::new(publication)), true);
            }
        }
        while self.end() < end && self.entries.len() < self.limits.messages_max {
            self.entries.push_back(Entry { publication: None, stored: false });
        }
        if self.end() < end {
            self.entries.clear();
            (self.first, self.bytes) = (end, 0);
        }
        (self.needed, self.written) = (self.first, self.end());
    }

    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// The position that the next message gets.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// Whether one more message, however long, may be over a limit.
    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() >= self.limits.messages_max || self.bytes >= self.limits.bytes_max
    }

    /// Appends a message. The oldest go when it is full: call `release` before, when that may make room.
    pub(crate) fn append(&mut self, publication: Arc<Publication>, stored: bool) {
        self.push(Some(publication), stored);
        while self.entries.len() > self.limits.messages_max
            || (self.bytes > self.limits.bytes_max && self.entries.len() > 1)
        {
            self.dropped += u64::from(self.first >= self.needed);
            self.pop();
        }
    }

    fn push(&mut self, publication: Option<Arc<Publication>>, stored: bool) {
        self.bytes += publication.as_deref().map_or(0, Publication::footprint);
        self.entries.push_back(Entry { publication, stored });
    }

    fn pop(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.first += 1;
            self.bytes -= entry.publication.as_deref().map_or(0, Publication::footprint);
        }
    }

    /// What lies before the position is needed by no one.
    pub(crate) fn release(&mut self, needed: u64) {
        self.needed = needed.min(self.end());
        while self.first < self.needed {
            self.pop();
        }
        if self.entries.capacity() > 4 * self.entries.len() + 1024 {
            self.entries.shrink_to(2 * self.entries.len());
        }
    }

    /// The message at the position; nothing when it was erased, or is not there.
    pub(crate) fn get(&self, position: u64) -> Option<&Arc<Publication>> {
        let at = usize::try_from(position.checked_sub(self.first)?).ok()?;
        self.entries.get(at)?.publication.as_ref()
    }

    /// Takes out the messages on topics `concerned`; how many.
    pub(crate) fn erase(&mut self, concerned: impl Fn(&str) -> bool) -> usize {
        let mut erased = 0;
        for entry in &mut self.entries {
            if let Some(publication) = entry.publication.take_if(|of| concerned(&of.topic)) {
                self.bytes -= publication.footprint();
                erased += 1;
            }
        }
        self.rewrite |= erased > 0;
        erased
    }

    /// What is to be stored and is not on the disk yet; afterwards it counts as written.
    pub(crate) fn unwritten(&mut self) -> Vec<(u64, Arc<Publication>)> {
        if std::mem::take(&mut self.rewrite) {
            self.written = self.first;
        }
        let from = usize::try_from(self.written.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.written = self.end();
        let positions = (self.first..).zip(&self.entries).skip(from);
        positions
            .filter(|(_, entry)| entry.stored)
            .filter_map(|(position, entry)| Some((position, Arc::clone(entry.publication.as_ref()?))))
            .collect()
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
        Publication::new(text.into(), Bytes::copy_from_slice(text.as_bytes()))
    }

    fn texts(log: &Log) -> Vec<&str> {
        (log.first()..log.end()).map(|at| log.get(at).map_or("-", |of| &*of.topic)).collect()
    }

    #[test]
    fn the_oldest_go_when_it_is_full_and_count_only_when_someone_needs_them() {
        let mut log = log(3);
        for text in ["a", "b", "c"] {
            log.append(Arc::new(publication(text)), true);
        }
        assert!(log.is_full());
        log.append(Arc::new(publication("d")), true);
        assert_eq!((texts(&log), log.dropped), (vec!["b", "c", "d"], 1));
        log.release(13);
        assert_eq!((texts(&log), log.first(), log.end()), (vec!["d"], 13, 14));
        log.release(99);
        assert_eq!((log.entries.len(), log.bytes, log.first(), log.end()), (0, 0, 14, 14));
        assert_eq!(log.dropped, 1);
    }

    #[test]
    fn a_limit_of_bytes_holds_but_for_one_message() {
        let mut log = Log::new(LogLimits { messages_max: 100, bytes_max: 300 }, 0);
        for text in ["a", "b", "c", "d"] {
            log.append(Arc::new(publication(text)), true);
            assert!(log.bytes <= 300);
        }
        log.append(Arc::new(publication(&"x".repeat(1_000))), true);
        assert_eq!(log.entries.len(), 1);
    }

    #[test]
    fn only_what_is_to_be_stored_is_written_and_once() {
        let mut log = log(10);
        log.append(Arc::new(publication("a")), true);
        log.append(Arc::new(publication("b")), false);
        let written = |log: &mut Log| -> Vec<_> {
            log.unwritten().iter().map(|(at, of)| (*at, of.topic.to_string())).collect()
        };
        assert_eq!(written(&mut log), [(10, "a".to_owned())]);
        assert_eq!(written(&mut log), []);
        log.append(Arc::new(publication("c")), true);
        assert_eq!(log.erase(|topic| topic == "a"), 1);
        assert_eq!(written(&mut log), [(12, "c".to_owned())]);
    }

    #[test]
    fn what_the_disk_had_comes_back_at_its_positions() {
        let mut restored = log(10);
        restored.restore(vec![(5, publication("a")), (7, publication("b"))], 9);
        assert_eq!((texts(&restored), restored.first(), restored.end()), (vec!["a", "-", "b", "-"], 5, 9));
        assert!(restored.unwritten().is_empty());
        let mut empty = log(10);
        empty.restore(Vec::new(), 500);
        assert_eq!((empty.first(), empty.end()), (500, 500));
    }
}
