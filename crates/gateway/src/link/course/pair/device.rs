//! A device: the outbox and the session of the firmware, and what is known of every batch it made.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use vitalwire_device::outbox::Outbox;
use vitalwire_device::session::{Identity, Outgoing, Session, SessionError, SessionLimits};
use vitalwire_protocol::batch::{Message, Samples, decode, encode_batch};
use vitalwire_testing::flash::Flash;

use super::Chance;
use super::journal::Journal;
use super::network::Network;

type Memory = Outbox<Vec<u8>, Flash<4, 256>>;

const IDENTITY: Identity<'static> = Identity { profile: "pico", firmware: "1.0.0", started_ms: 0 };
/// So little that older batches have to go to flash.
pub(super) const MEMORY_LEN: usize = 150;
/// Milliseconds until it connects again.
const PAUSE_MS: u64 = 500;
/// Batches of a sector that is not wholly acknowledged, which come back after a restart.
const SECTOR_BATCHES_MAX: u64 = 12;

/// Which batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) boot: u64,
    pub(super) sequence: u64,
}

/// What is wrong with a batch, if anything is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Good,
    UnknownChannel,
    TooLong,
    /// It says that it is the first.
    SequenceBack,
    /// It breaks the protocol.
    Unreadable,
}

pub(super) struct Device {
    pub(super) outbox: Memory,
    session: Option<Session>,
    limits: SessionLimits,
    now_ms: u64,
    connect_at_ms: u64,
    /// What the outbox should hold, oldest first; `None`: it came back with its sector after a restart.
    held: VecDeque<Option<Key>>,
    /// What must reach the journal, or has.
    pub(super) expected: BTreeMap<Key, Vec<i32>>,
    /// What may be missing there: dropped for want of room, lost with the memory of a restart, or refused.
    pub(super) excused: BTreeSet<Key>,
    pub(super) kinds: BTreeMap<Key, Kind>,
    /// Codes of the events that it told.
    pub(super) events: Vec<u16>,
}

impl Device {
    pub(super) fn new(memory_len: usize, sectors: usize, window_len: u64) -> Self {
        Self {
            outbox: Outbox::mount(1, vec![0; memory_len], Flash::new(sectors)),
            session: None,
            limits: SessionLimits { window_len, ..SessionLimits::default() },
            now_ms: 0,
            connect_at_ms: 0,
            held: VecDeque::new(),
            expected: BTreeMap::new(),
            excused: BTreeSet::new(),
            kinds: BTreeMap::new(),
            events: Vec::new(),
        }
    }

    pub(super) fn measure(&mut self, batches: u64, chance: &mut Chance) {
        for _ in 0..batches {
            let kind = match chance.within(0, 120) {
                0 => Kind::UnknownChannel,
                1 => Kind::TooLong,
                2 => Kind::Unreadable,
                _ => Kind::Good,
            };
            self.measure_one(kind);
        }
    }

    pub(super) fn measure_one(&mut self, kind: Kind) {
        let key = Key { boot: self.outbox.boot(), sequence: self.outbox.next_sequence() };
        let tag = i32::try_from(key.boot * 1_000 + key.sequence).unwrap();
        let values = vec![tag; usize::try_from(1 + key.sequence % 9).unwrap()];
        let message = message(key, &values, self.now_ms, kind);
        let dropped = self.outbox.push(self.now_ms, &message).unwrap();
        for _ in 0..dropped {
            let gone = self.held.pop_front().expect("what is dropped was held");
            self.excused.extend(gone);
        }
        self.held.push_back(Some(key));
        self.kinds.insert(key, kind);
        if kind == Kind::Good {
            self.expected.insert(key, values);
        } else {
            self.excused.insert(key);
        }
        assert_eq!(self.outbox.held(), self.held.len() as u64);
    }

    /// Connects, says and hears what it can now.
    pub(super) fn run(
        &mut self,
        now_ms: u64,
        network: &mut Network,
        chance: &mut Chance,
        journal: &Journal,
    ) -> bool {
        self.now_ms = now_ms;
        let is_connecting = self.session.is_none();
        if is_connecting && (self.outbox.held() == 0 || now_ms < self.connect_at_ms) {
            return false;
        }
        if is_connecting {
            let mut out = [0; 128];
            let begun = Session::begin(&mut self.outbox, &IDENTITY, self.limits, now_ms, &mut out);
            let (session, len) = begun.unwrap();
            network.connect();
            network.send_to_server(&out[..len], now_ms, chance);
            self.session = Some(session);
        }
        let heard = self.hear(network, chance, journal);
        let said = self.say(network, chance);
        is_connecting || heard || said
    }

    fn hear(&mut self, network: &mut Network, chance: &mut Chance, journal: &Journal) -> bool {
        let Some(session) = &mut self.session else { return false };
        let received = network.received_by_device(self.now_ms, chance);
        let is_over = received.is_none();
        let received = received.unwrap_or_default();
        let mut rest = &received[..];
        let error = loop {
            match session.receive(&mut self.outbox, self.now_ms, &mut rest) {
                Ok(Some(_)) => {}
                Ok(None) => break session.check(self.now_ms).err(),
                Err(error) => break Some(error),
            }
        };
        self.forget(journal);
        let is_expected = |error: &SessionError| {
            matches!(
                error,
                SessionError::Refused { .. }
                    | SessionError::NotWelcomed { .. }
                    | SessionError::NotAcknowledged { .. }
            )
        };
        assert!(error.as_ref().is_none_or(is_expected), "{error:?}");
        if is_over || error.is_some() {
            self.leave(network);
        }
        !received.is_empty() || is_over
    }

    fn leave(&mut self, network: &mut Network) {
        self.session = None;
        self.connect_at_ms = self.now_ms + PAUSE_MS;
        network.close(network.number());
    }

    /// The outbox has forgotten what was acknowledged: that must be on the disk, whatever happens to the server now.
    fn forget(&mut self, journal: &Journal) {
        while self.held.len() as u64 > self.outbox.held() {
            let Some(Some(key)) = self.held.pop_front() else { continue };
            let is_held = journal.held.get(&key).is_some_and(|held| self.expected.get(&key) == Some(held));
            assert!(
                is_held || self.kinds.get(&key) != Some(&Kind::Good),
                "{key:?} is forgotten and not held"
            );
        }
    }

    fn say(&mut self, network: &mut Network, chance: &mut Chance) -> bool {
        let mut said = false;
        let mut out = [0; 512];
        while let Some(session) = &mut self.session {
            let outgoing = match session.next_message(&mut self.outbox, self.now_ms, &mut out) {
                Ok(Some(outgoing)) => outgoing,
                Ok(None) => break,
                // A batch that no one can read takes no `oldest`. The next `Hello` tells that.
                Err(error) => {
                    assert!(matches!(error, SessionError::Message(_)), "{error}");
                    self.leave(network);
                    return true;
                }
            };
            let message = &out[..outgoing.len()];
            if let Outgoing::Event { .. } = outgoing {
                let Ok(Some((Message::Event(event), _))) = decode(message) else { panic!("no event") };
                self.events.push(event.code);
            }
            network.send_to_server(message, self.now_ms, chance);
            said = true;
        }
        if self.session.as_ref().is_some_and(|session| session.is_finished(&mut self.outbox)) {
            self.leave(network);
            self.connect_at_ms = self.now_ms;
            said = true;
        }
        said
    }

    /// Starts again, after it saved its memory or not.
    pub(super) fn restart(&mut self, now_ms: u64, saved: bool, network: &mut Network) {
        self.now_ms = now_ms;
        self.leave(network);
        if saved {
            self.outbox.save();
            // Room for what is saved may be made by dropping the oldest.
            while self.held.len() as u64 > self.outbox.held() {
                let gone = self.held.pop_front().unwrap();
                self.excused.extend(gone);
            }
        }
        let in_flash = usize::try_from(self.outbox.held_in_flash()).unwrap();
        for key in self.held.split_off(in_flash).into_iter().flatten() {
            self.excused.insert(key);
        }
        let boot = self.outbox.boot() + 1;
        let nothing = Outbox::mount(boot, vec![0; MEMORY_LEN], Flash::new(0));
        let flash = std::mem::replace(&mut self.outbox, nothing).into_flash();
        self.outbox = Outbox::mount(boot, vec![0; MEMORY_LEN], flash);
        let back = self.outbox.held() - self.held.len() as u64;
        assert!(back <= SECTOR_BATCHES_MAX, "{back} came back");
        for _ in 0..back {
            self.held.push_front(None);
        }
    }
}

fn message(key: Key, values: &[i32], time_ms: u64, kind: Kind) -> Vec<u8> {
    let good = Samples { index: 0, interval_us: 50_000, delay_us: 0, scale: 0, values };
    let two = [1, 2];
    let (sequence, samples) = match kind {
        Kind::Good | Kind::Unreadable => (key.sequence, good),
        Kind::UnknownChannel => (key.sequence, Samples { index: 9, ..good }),
        Kind::TooLong => (key.sequence, Samples { interval_us: 61_000_000, values: &two, ..good }),
        Kind::SequenceBack => (1, good),
    };
    let mut out = vec![0; 256];
    let len = encode_batch(sequence, time_ms, None, &[samples], &mut out).unwrap();
    out.truncate(len);
    if kind == Kind::Unreadable {
        // The key of its first field.
        out[3] = 0x20;
    }
    out
}
