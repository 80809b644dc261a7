//! What waits for one viewer. A slow one loses its oldest waves, counted; of everything else it has the last of each kind and device, so
//! that it never misses an alarm, and what waits is bounded by how many devices there are. It knows no socket.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use crate::message::{self, Kind};

/// See the module.
pub(crate) struct Outbox {
    /// By urgency, then device: what a device is stands before its alarms, and these before its values.
    states: BTreeMap<(u8, u16), Bytes>,
    waves: VecDeque<(u16, Bytes)>,
    waves_bytes: usize,
    waves_bytes_max: usize,
    dropped: u32,
    /// Whose waves the page wants; all when it did not say.
    watched: Option<BTreeSet<u16>>,
}

fn urgency(kind: Kind) -> u8 {
    match kind {
        Kind::Gone => 0,
        Kind::Device => 1,
        Kind::Alarms => 2,
        Kind::Ward => 3,
        Kind::Values => 4,
        Kind::Heartbeat | Kind::Wave | Kind::Beats => 5,
    }
}

impl Outbox {
    pub(crate) fn new(waves_bytes_max: usize) -> Self {
        let (states, waves) = (BTreeMap::new(), VecDeque::new());
        Self { states, waves, waves_bytes: 0, waves_bytes_max, dropped: 0, watched: None }
    }

    /// Adds a message that stands for all earlier ones of its kind and device.
    pub(crate) fn put(&mut self, kind: Kind, n: u16, message: Bytes) {
        if kind == Kind::Gone {
            self.forget(n);
        } else if kind == Kind::Device {
            self.states.remove(&(urgency(Kind::Gone), n));
        }
        self.states.insert((urgency(kind), n), message);
    }

    /// Adds a piece of a wave, if the page wants it. How many others were dropped for it.
    pub(crate) fn put_wave(&mut self, n: u16, message: &Bytes) -> u64 {
        if self.watched.as_ref().is_some_and(|watched| !watched.contains(&n)) {
            return 0;
        }
        self.waves_bytes += message.len();
        self.waves.push_back((n, message.clone()));
        let mut dropped = 0;
        while self.waves_bytes > self.waves_bytes_max {
            let Some((_, oldest)) = self.waves.pop_front() else { break };
            self.waves_bytes -= oldest.len();
            self.dropped = self.dropped.saturating_add(1);
            dropped += 1;
        }
        dropped
    }

    /// From now on only waves of these devices.
    pub(crate) fn watch(&mut self, devices: Vec<u16>) {
        let watched: BTreeSet<_> = devices.into_iter().collect();
        self.waves.retain(|(n, _)| watched.contains(n));
        self.count_waves();
        self.watched = Some(watched);
    }

    /// All that waits, in the order in which it goes.
    pub(crate) fn take(&mut self) -> Vec<Bytes> {
        let states = std::mem::take(&mut self.states).into_values();
        self.waves_bytes = 0;
        states.chain(self.waves.drain(..).map(|(_, message)| message)).collect()
    }

    /// That the server lives, and how many waves were dropped.
    pub(crate) fn heartbeat(&self, now_us: i64) -> Bytes {
        message::heartbeat(now_us, self.dropped)
    }

    /// What waits of this device is not sent any more.
    pub(crate) fn forget(&mut self, n: u16) {
        self.states.retain(|(_, of), _| *of != n);
        self.waves.retain(|(of, _)| *of != n);
        self.count_waves();
    }

    fn count_waves(&mut self) {
        self.waves_bytes = self.waves.iter().map(|(_, message)| message.len()).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn a_slow_viewer_loses_its_oldest_waves_and_no_alarm() {
        let mut outbox = Outbox::new(8);
        outbox.put(Kind::Alarms, 1, text("fever"));
        let dropped = ["aaaa", "bbbb", "cccc", "dddd"].map(|wave| outbox.put_wave(1, &text(wave)));
        assert_eq!(dropped, [0, 0, 1, 1]);
        outbox.put(Kind::Alarms, 2, text("asystole"));
        let beat = outbox.heartbeat(0);
        assert_eq!(beat[9..], 2_u32.to_le_bytes());
        assert_eq!(outbox.take(), ["fever", "asystole", "cccc", "dddd"]);
        assert!(outbox.take().is_empty());
        outbox.put_wave(1, &text("eeee"));
        assert_eq!(outbox.take(), ["eeee"], "there is room again");
    }

    #[test]
    fn the_last_of_a_kind_and_device_stands_for_all_and_devices_come_first() {
        let mut outbox = Outbox::new(8);
        outbox.put(Kind::Values, 1, text("37.0"));
        outbox.put(Kind::Alarms, 1, text("none"));
        outbox.put(Kind::Values, 1, text("37.1"));
        outbox.put(Kind::Device, 2, text("bed 2"));
        outbox.put(Kind::Alarms, 1, text("fever"));
        assert_eq!(outbox.take(), ["bed 2", "fever", "37.1"]);
    }

    #[test]
    fn of_a_device_that_is_gone_nothing_more_is_told_until_it_is_back() {
        let mut outbox = Outbox::new(8);
        outbox.put(Kind::Values, 1, text("37.0"));
        outbox.put_wave(1, &text("aaaa"));
        outbox.put(Kind::Gone, 1, text("gone"));
        outbox.put_wave(2, &text("bbbb"));
        assert_eq!(outbox.take(), ["gone", "bbbb"]);
        outbox.put(Kind::Gone, 1, text("gone"));
        outbox.put(Kind::Device, 1, text("back"));
        assert_eq!(outbox.take(), ["back"]);
    }

    #[test]
    fn a_page_gets_the_waves_that_it_watches() {
        let mut outbox = Outbox::new(8);
        outbox.put_wave(1, &text("aaaa"));
        outbox.put_wave(2, &text("bbbb"));
        outbox.watch(vec![2]);
        outbox.put_wave(1, &text("cccc"));
        outbox.put_wave(2, &text("dddd"));
        assert_eq!(outbox.take(), ["bbbb", "dddd"]);
    }
}
