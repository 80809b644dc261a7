//! A journal in memory: it commits late, in order, refuses while it is full, and forgets nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::super::Fate;
use super::Chance;
use super::device::Key;

/// How late a commit may be, in milliseconds.
const COMMIT_MS_MAX: u64 = 200;

#[derive(Default)]
pub(super) struct Journal {
    pub(super) held: BTreeMap<Key, Vec<i32>>,
    pub(super) given_up: BTreeSet<Key>,
    pub(super) is_full: bool,
    /// Batches that came again with other values.
    pub(super) differing: u64,
    queue: VecDeque<Queued>,
}

struct Queued {
    /// The connection that waits for it.
    owner: u64,
    key: Key,
    values: Vec<i32>,
    at_ms: u64,
}

impl Journal {
    pub(super) fn append(
        &mut self,
        owner: u64,
        key: Key,
        values: Vec<i32>,
        now_ms: u64,
        chance: &mut Chance,
    ) {
        let at_ms = now_ms + chance.within(0, COMMIT_MS_MAX);
        let at_ms = self.queue.back().map_or(at_ms, |last| at_ms.max(last.at_ms));
        self.queue.push_back(Queued { owner, key, values, at_ms });
    }

    /// The next that is due: whose it is, which, and its fate.
    pub(super) fn settle(&mut self, now_ms: u64) -> Option<(u64, Key, Fate)> {
        let next = self.queue.pop_front_if(|next| next.at_ms <= now_ms)?;
        let Queued { owner, key, values, .. } = next;
        let fate = match self.held.get(&key) {
            Some(held) if *held == values => Fate::Held,
            Some(_) => {
                self.differing += 1;
                Fate::OtherIsHeld
            }
            None if self.is_full => Fate::Owed,
            None => {
                self.commit(key, values);
                Fate::Held
            }
        };
        Some((owner, key, fate))
    }

    fn commit(&mut self, key: Key, values: Vec<i32>) {
        self.given_up.remove(&key);
        self.held.insert(key, values);
    }

    /// Some of what was queued is on the disk, and no one is told.
    pub(super) fn kill(&mut self, chance: &mut Chance) {
        let committed = chance.within(0, self.queue.len() as u64 + 1);
        for _ in 0..committed {
            let Some(Queued { key, values, .. }) = self.queue.pop_front() else { break };
            if !self.is_full && !self.held.contains_key(&key) {
                self.commit(key, values);
            }
        }
        self.queue.clear();
    }

    pub(super) fn contiguous(&self, boot: u64) -> Option<u64> {
        let is_there = |sequence: &u64| {
            let key = Key { boot, sequence: *sequence };
            self.held.contains_key(&key) || self.given_up.contains(&key)
        };
        (1..).take_while(is_there).last()
    }

    /// `None`: it cannot now.
    pub(super) fn give_up(&mut self, boot: u64, below: u64) -> Option<Option<u64>> {
        if self.is_full {
            return None;
        }
        let keys = (1..below).map(|sequence| Key { boot, sequence });
        let missing: Vec<Key> = keys.filter(|key| !self.held.contains_key(key)).collect();
        self.given_up.extend(missing);
        Some(self.contiguous(boot))
    }
}
