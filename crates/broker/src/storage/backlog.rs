//! How one session's queue is kept in the database: as chunks of messages, so that a burst costs one row, with the number
//! already taken from each. Only what changed since the last look is written. It touches no file itself.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use mqtt5::broker::storage::QueuedMessage;

/// Messages in one row. Small enough that a row is soon used up and deleted.
const CHUNK_MESSAGES_MAX: usize = 1_000;
/// Places where the old queue may continue in the new one that are tried before the queue is written again. More than one
/// only matters when equal messages follow each other.
const ALIGNMENTS_MAX: usize = 16;

/// What one session's queue looks like in the database.
#[derive(Default)]
pub(crate) struct Backlog {
    // One fingerprint a message, oldest first: the whole of what the rows hold.
    marks: VecDeque<u64>,
    chunks: VecDeque<Chunk>,
    next_chunk: i64,
    stale: bool,
}

#[derive(Clone, Copy)]
struct Chunk {
    id: i64,
    taken: u32,
    live: usize,
}

/// One change of the table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RowChange {
    DeleteAll,
    Delete { chunk: i64 },
    Taken { chunk: i64, taken: u32 },
    Insert { chunk: i64, messages: std::ops::Range<usize> },
}

impl Backlog {
    /// Takes up a row found at the start. Rows come in order.
    pub(crate) fn found(&mut self, chunk: i64, taken: u32, live: &[QueuedMessage]) {
        self.marks.extend(live.iter().map(mark));
        self.chunks.push_back(Chunk { id: chunk, taken, live: live.len() });
        self.next_chunk = chunk + 1;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// Nothing is known of the rows any more: the next change writes them again.
    pub(crate) fn lost(&mut self) {
        *self = Self { stale: true, next_chunk: self.next_chunk, ..Self::default() };
    }

    /// The changes that bring the rows to this state of the queue; afterwards they count as made.
    pub(crate) fn advance(&mut self, queue: &[QueuedMessage]) -> Vec<RowChange> {
        let marks: VecDeque<u64> = queue.iter().map(mark).collect();
        let mut changes = Vec::new();
        if std::mem::take(&mut self.stale) {
            changes.push(RowChange::DeleteAll);
        }
        let taken = self.taken_from_front(&marks);
        let mut from = self.marks.len() - taken;
        self.drop_front(taken, &mut changes);
        while from < queue.len() {
            let until = queue.len().min(from + CHUNK_MESSAGES_MAX);
            let chunk = self.next_chunk;
            self.next_chunk += 1;
            self.chunks.push_back(Chunk { id: chunk, taken: 0, live: until - from });
            changes.push(RowChange::Insert { chunk, messages: from..until });
            from = until;
        }
        self.marks = marks;
        changes
    }

    /// How many of the oldest messages are gone, if nothing else changed but new ones at the end; else all of them, and
    /// the queue is written again.
    fn taken_from_front(&self, new: &VecDeque<u64>) -> usize {
        let old = &self.marks;
        let continues = |at: &usize| {
            let rest = old.len() - at;
            rest <= new.len() && old.range(*at..).eq(new.range(..rest))
        };
        let starts = old.iter().enumerate().filter(|(_, mark)| new.front() == Some(mark)).map(|(at, _)| at);
        starts.take(ALIGNMENTS_MAX).find(continues).unwrap_or(old.len())
    }

    fn drop_front(&mut self, mut count: usize, changes: &mut Vec<RowChange>) {
        while count > 0 {
            let Some(chunk) = self.chunks.front_mut() else { return };
            if count >= chunk.live {
                count -= chunk.live;
                changes.push(RowChange::Delete { chunk: chunk.id });
                self.chunks.pop_front();
            } else {
                chunk.live -= count;
                // A chunk holds CHUNK_MESSAGES_MAX at most.
                chunk.taken = chunk.taken.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
                changes.push(RowChange::Taken { chunk: chunk.id, taken: chunk.taken });
                return;
            }
        }
    }
}

fn mark(message: &QueuedMessage) -> u64 {
    let mut hasher = DefaultHasher::new();
    message.topic.hash(&mut hasher);
    message.payload.hash(&mut hasher);
    (message.queued_at_secs, message.packet_id, message.dup, message.retain).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mqtt5::QoS;
    use mqtt5_protocol::packet::publish::PublishPacket;

    use super::*;

    fn message(text: &str) -> QueuedMessage {
        let packet = PublishPacket::new("t", text.as_bytes().to_vec(), QoS::AtLeastOnce);
        let mut message = QueuedMessage::new(packet, "c".into(), QoS::AtLeastOnce, None);
        message.queued_at_secs = 1;
        message
    }

    /// The table as the changes leave it.
    #[derive(Default)]
    struct Rows(BTreeMap<i64, (usize, Vec<QueuedMessage>)>);

    impl Rows {
        fn apply(&mut self, changes: &[RowChange], queue: &[QueuedMessage]) {
            for change in changes {
                match change {
                    RowChange::DeleteAll => self.0.clear(),
                    RowChange::Delete { chunk } => assert!(self.0.remove(chunk).is_some()),
                    RowChange::Taken { chunk, taken } => self.0.get_mut(chunk).unwrap().0 = *taken as usize,
                    RowChange::Insert { chunk, messages } => {
                        assert!(self.0.insert(*chunk, (0, queue[messages.clone()].to_vec())).is_none());
                    }
                }
            }
        }

        fn payloads(&self) -> Vec<Vec<u8>> {
            self.0
                .values()
                .flat_map(|(taken, list)| list[*taken..].iter().map(|m| m.payload.clone()))
                .collect()
        }
    }

    #[test]
    fn rows_always_hold_what_the_queue_holds() {
        let seed = u64::from(std::process::id());
        println!("seed {seed}");
        let mut state = seed.max(1);
        let mut random = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % below as u64).unwrap()
        };
        let (mut backlog, mut rows, mut queue) = (Backlog::default(), Rows::default(), VecDeque::new());
        for _ in 0..3_000 {
            match random(10) {
                0 => queue.clear(),
                1 => (0..random(4)).for_each(|_| queue.push_front(message(&random(3).to_string()))),
                2..5 => (0..random(6)).for_each(|_| drop(queue.pop_front())),
                _ => (0..random(8)).for_each(|_| queue.push_back(message(&random(50).to_string()))),
            }
            let list: Vec<_> = queue.iter().cloned().collect();
            let changes = backlog.advance(&list);
            rows.apply(&changes, &list);
            assert_eq!(rows.payloads(), list.iter().map(|m| m.payload.clone()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn writes_only_what_is_new() {
        let mut backlog = Backlog::default();
        let list: Vec<_> = (0..5).map(|n| message(&n.to_string())).collect();
        assert_eq!(backlog.advance(&list[..3]), [RowChange::Insert { chunk: 0, messages: 0..3 }]);
        assert_eq!(backlog.advance(&list[..3]), []);
        assert_eq!(
            backlog.advance(&list[2..]),
            [RowChange::Taken { chunk: 0, taken: 2 }, RowChange::Insert { chunk: 1, messages: 1..3 }]
        );
        assert_eq!(backlog.advance(&[]), [RowChange::Delete { chunk: 0 }, RowChange::Delete { chunk: 1 }]);
        assert!(backlog.is_empty());
    }

    #[test]
    fn a_message_put_back_in_front_writes_the_queue_again() {
        let mut backlog = Backlog::default();
        let list: Vec<_> = (0..4).map(|n| message(&n.to_string())).collect();
        backlog.advance(&list[1..]);
        assert_eq!(
            backlog.advance(&list),
            [RowChange::Delete { chunk: 0 }, RowChange::Insert { chunk: 1, messages: 0..4 }]
        );
    }
}
