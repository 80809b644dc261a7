//! Who is connected and says nothing: of each quantity that a device is to tell, when there was last a value.

use alloc::vec::Vec;

use super::Quantity;
use crate::wave::WaveKind;

/// Without a value for so long, by the server's clock, though the device is online, it is silent,
const SILENCE_US: i64 = 15_000_000;
/// or for so many intervals of a slow channel.
const INTERVALS: i64 = 3;
/// A device that was away for longer is given all of that time again.
const AWAY_US_MAX: i64 = 60_000_000;

/// What may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The device, of which no one knows yet what it tells.
    Anything,
    Wave,
    Temperature,
    Rate,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    kind: Kind,
    interval_us: u32,
    seen_us: i64,
    is_silent: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Silence {
    seen: Vec<Seen>,
    /// As the profile says it; until it is known, what was measured.
    channels: Option<Vec<(Quantity, u32)>>,
    went_us: Option<i64>,
}

impl Silence {
    /// The device has these channels, each with its interval. Whether they differ from those that it had.
    pub(super) fn watch(&mut self, channels: &[(Quantity, u32)], now_us: i64) -> Change {
        if self.channels.as_deref() == Some(channels) {
            return Change::None;
        }
        let is_first = self.channels.replace(channels.to_vec()).is_none();
        self.seen.clear();
        for (quantity, interval_us) in channels {
            self.add(Kind::of(*quantity), *interval_us, now_us);
        }
        if is_first { Change::First } else { Change::Other }
    }

    /// Values of this quantity came; whether there was one that says something.
    pub(super) fn heard(&mut self, quantity: Quantity, interval_us: u32, is_value: bool, now_us: i64) {
        let kind = Kind::of(quantity);
        if self.channels.is_none() {
            self.seen.retain(|seen| seen.kind != Kind::Anything);
            self.add(kind, interval_us, now_us);
        }
        for seen in self.seen.iter_mut().filter(|seen| seen.kind == kind && is_value) {
            *seen = Seen { kind, interval_us, seen_us: now_us, is_silent: false };
        }
    }

    /// A rate that is told beside a wave is not looked at.
    fn add(&mut self, kind: Kind, interval_us: u32, now_us: i64) {
        let is_there = |seen: &Seen| seen.kind == kind || (seen.kind, kind) == (Kind::Wave, Kind::Rate);
        if self.seen.iter().any(is_there) {
            return;
        }
        self.seen.retain(|seen| (seen.kind, kind) != (Kind::Rate, Kind::Wave));
        self.seen.push(Seen { kind, interval_us, seen_us: now_us, is_silent: false });
    }

    pub(super) fn begin(&mut self, now_us: i64) {
        if self.channels.is_none() && self.seen.is_empty() {
            self.add(Kind::Anything, 0, now_us);
        }
        for seen in &mut self.seen {
            (seen.seen_us, seen.is_silent) = (now_us, false);
        }
    }

    pub(super) fn went(&mut self, now_us: i64) {
        self.went_us = Some(now_us);
    }

    /// It is connected again. One that comes and goes and says nothing is silent none the less: only the time that it was away
    /// does not count. Whether it goes on so.
    pub(super) fn came(&mut self, now_us: i64) -> bool {
        let away_us = self.went_us.take().map(|went_us| now_us.saturating_sub(went_us));
        let Some(away_us) = away_us.filter(|us| !self.seen.is_empty() && (0..=AWAY_US_MAX).contains(us))
        else {
            self.begin(now_us);
            return false;
        };
        for seen in &mut self.seen {
            (seen.seen_us, seen.is_silent) = (seen.seen_us.saturating_add(away_us), false);
        }
        true
    }

    /// Whether something fell silent.
    pub(super) fn tick(&mut self, now_us: i64) -> bool {
        let mut is_news = false;
        for seen in &mut self.seen {
            // The clock may have been set back.
            seen.seen_us = seen.seen_us.min(now_us);
            if !seen.is_silent && now_us >= seen.due_us() {
                (seen.is_silent, is_news) = (true, true);
            }
        }
        is_news
    }

    pub(super) fn due_us(&self) -> Option<i64> {
        self.seen.iter().filter(|seen| !seen.is_silent).map(Seen::due_us).min()
    }

    pub(super) fn is_silent(&self, kind: Kind) -> bool {
        self.seen.iter().any(|seen| seen.kind == kind && seen.is_silent)
    }

    /// The kind of wave that the profile says.
    pub(super) fn wave_kind(&self) -> Option<WaveKind> {
        self.channels.iter().flatten().find_map(|(quantity, _)| match quantity {
            Quantity::Wave(kind) => Some(*kind),
            Quantity::Temperature | Quantity::Rate => None,
        })
    }

    pub(super) fn has(&self, kind: Kind) -> bool {
        self.seen.iter().any(|seen| seen.kind == kind)
    }
}

/// What is new of a device's channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    None,
    First,
    Other,
}

impl Seen {
    fn due_us(&self) -> i64 {
        self.seen_us.saturating_add(SILENCE_US.max(i64::from(self.interval_us) * INTERVALS))
    }
}

impl Kind {
    fn of(quantity: Quantity) -> Self {
        match quantity {
            Quantity::Wave(_) => Self::Wave,
            Quantity::Temperature => Self::Temperature,
            Quantity::Rate => Self::Rate,
        }
    }
}
