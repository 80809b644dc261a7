//! Whether the sensor is at the body: a value that stays exactly the same, or stands at an end of the range, is not of one.

/// Off after so many microseconds of one value.
const SAME_US: u32 = 2_000_000;
/// Off when in a second more than this share of the samples has its highest value, or its lowest, twice in a row.
const RAIL_SHARE: f32 = 0.9;
/// The waves are cut off when it is more than this.
const CLIPPED_SHARE: f32 = 0.6;
/// For so many seconds what was cut off is in the window.
const WINDOW_SECONDS: u8 = 10;

#[derive(Clone, Debug, Default)]
pub(super) struct Contact {
    last: Option<f32>,
    same_us: u32,
    /// Of the second that runs: lowest and highest value with their numbers, and how many there are.
    low: (f32, u32),
    high: (f32, u32),
    count: u32,
    /// Seconds in a row that stood at an end.
    rails: u8,
    /// Where the last of them stood.
    rail: f32,
    /// Seconds until the last one with waves that are cut off has left the window, one bit each.
    clipped: u16,
}

impl Contact {
    pub(super) fn take(&mut self, value: f32, interval_us: u32) {
        if self.last == Some(value) {
            self.same_us = self.same_us.saturating_add(interval_us);
        } else {
            if self.same_us >= SAME_US {
                // What is in the window from now on is another signal.
                self.clipped = 0;
            }
            self.same_us = 0;
        }
        self.last = Some(value);
        if self.count == 0 || value < self.low.0 {
            self.low = (value, 0);
        }
        if self.count == 0 || value > self.high.0 {
            self.high = (value, 0);
        }
        self.low.1 += u32::from(value == self.low.0);
        self.high.1 += u32::from(value == self.high.0);
        self.count += 1;
    }

    /// Ends a second. Says whether the waves of the window are whole.
    pub(super) fn second(&mut self) -> bool {
        let share = self.low.1.max(self.high.1) as f32 / self.count.max(1) as f32;
        // Of a few samples, many are the highest or lowest.
        let enough = self.count >= 10;
        let was_off = self.is_off();
        self.rail = if self.low.1 > self.high.1 { self.low.0 } else { self.high.0 };
        self.rails = if enough && share > RAIL_SHARE { self.rails.saturating_add(1) } else { 0 };
        if was_off && !self.is_off() {
            self.clipped = 0;
        }
        self.clipped =
            (self.clipped << 1 | u16::from(enough && share > CLIPPED_SHARE)) & ((1 << WINDOW_SECONDS) - 1);
        self.count = 0;
        self.clipped.count_ones() < 3
    }

    pub(super) fn is_off(&self) -> bool {
        self.same_us >= SAME_US || self.rails >= 2
    }

    /// The value at which it stands while it is off.
    pub(super) fn stands_at(&self) -> Option<f32> {
        let same = self.last.filter(|_| self.same_us >= SAME_US);
        same.or((self.rails >= 2).then_some(self.rail))
    }
}
