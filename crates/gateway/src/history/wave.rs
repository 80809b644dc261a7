//! A wave out of the journal, as it was sent: integers at even times, with the beats that are in it. Where samples are missing one piece
//! ends and the next begins.

use std::ops::{ControlFlow, Range};
use std::time::Duration;

use vitalwire_profile::Wave;
use vitalwire_vitals::beats::{KeptBeats, LEAD_US, TAIL_US};
use vitalwire_vitals::wave::WaveKind;

use super::error::HistoryError;
use super::value::{Digits, Page, Value};
use super::{History, HistoryQuery};
use crate::clock::{system_time, utc_us};
use crate::reading::rounded;

/// The longest range of one question, in microseconds: a wave is drawn as far as it is seen.
pub const WAVE_SPAN_US_MAX: i64 = 30 * 60 * 1_000_000;
/// Values of one answer. No profile's channel has as many in [`WAVE_SPAN_US_MAX`].
pub const WAVE_VALUES_MAX: usize = 1_000_000;

/// What was measured of a wave in a range of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeptWave {
    /// The channel's index in its profile.
    pub channel: u8,
    /// In the order of time.
    pub pieces: Vec<WavePiece>,
    /// When the heart beat, as the wave shows it: UTC, microseconds since 1970.
    pub beats: Vec<i64>,
}

/// Values that follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WavePiece {
    /// When the first was measured: UTC, microseconds since 1970.
    pub first_us: i64,
    /// When the others were.
    pub times: WaveTimes,
    /// A value is its integer times ten to this power.
    pub exponent: i8,
    /// At least one.
    pub digits: Vec<i32>,
}

/// When the values of a piece were measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaveTimes {
    /// Each so many microseconds after the one before; 0 for a value alone.
    Even(u32),
    /// Of a device that says no times: how many microseconds after the first each came, itself 0.
    Alone(Vec<u32>),
}

impl History {
    /// A waveform channel of at most [`WAVE_SPAN_US_MAX`], with its beats.
    ///
    /// # Errors
    /// As [`History::fold`]; a channel that is no waveform has its values all the same. A range that is too long, or has too many values.
    pub async fn wave(&self, query: &HistoryQuery) -> Result<KeptWave, HistoryError> {
        let range_us = utc_us(query.from)..utc_us(query.to);
        if range_us.end.saturating_sub(range_us.start) > WAVE_SPAN_US_MAX {
            return Err(HistoryError::WaveSpan);
        }
        if range_us.is_empty() {
            return Err(HistoryError::Range);
        }
        // The beats' detector must have seen what was before.
        let from = system_time(range_us.start.saturating_sub(LEAD_US));
        let to = query.to.checked_add(Duration::from_micros(TAIL_US.unsigned_abs())).unwrap_or(query.to);
        let wider = HistoryQuery { from, to, ..query.clone() };
        let gathered = self.fold(&wider, Gathering::new(range_us), Gathering::take).await?;
        gathered.finish()
    }
}

/// The fold's state.
struct Gathering {
    range_us: Range<i64>,
    wave: KeptWave,
    values: usize,
    beats: Option<KeptBeats>,
    is_begun: bool,
}

impl Gathering {
    fn new(range_us: Range<i64>) -> Self {
        Self { range_us, wave: KeptWave::default(), values: 0, beats: None, is_begun: false }
    }

    fn take(&mut self, page: &Page<'_>) -> ControlFlow<()> {
        if !std::mem::replace(&mut self.is_begun, true) {
            let kind = page.channel.wave.map(|wave| match wave {
                Wave::Ecg => WaveKind::Ecg,
                Wave::Ppg => WaveKind::Ppg,
            });
            let plausible = (page.channel.minimum, page.channel.maximum);
            self.beats = kind.map(|kind| KeptBeats::new(kind, plausible));
        }
        self.wave.channel = page.channel.index;
        let usual_us = page.interval_us;
        for value in page.values {
            let is_alone = matches!(value.number.0, Digits::Text(_));
            if let Some(beats) = &mut self.beats {
                match is_alone {
                    true => beats.alone(value.time_us, usual_us, value.number.to_f64()),
                    false => beats.even(value.time_us, usual_us, value.number.to_f64()),
                }
            }
            if !self.range_us.contains(&value.time_us) {
                continue;
            }
            if self.values == WAVE_VALUES_MAX {
                self.values += 1;
                return ControlFlow::Break(());
            }
            self.values += usize::from(self.add(value, page.channel.decimals, usual_us));
        }
        ControlFlow::Continue(())
    }

    /// Whether it was a number that can be drawn.
    fn add(&mut self, value: &Value, decimals: u8, usual_us: u32) -> bool {
        let first_us = value.time_us;
        let last = self.wave.pieces.last_mut();
        let (times, exponent, digits) = match &value.number.0 {
            Digits::Decimal(decimal) => {
                let (digits, exponent) = (decimal.digits(), decimal.scale());
                if last.is_some_and(|last| last.follow(first_us, usual_us, exponent, digits)) {
                    return true;
                }
                (WaveTimes::Even(0), exponent, digits)
            }
            Digits::Text(_) => {
                let Some((digits, exponent)) = rounded(value.number.to_f64(), decimals) else { return false };
                if last.is_some_and(|last| last.follow_alone(first_us, exponent, digits)) {
                    return true;
                }
                (WaveTimes::Alone(vec![0]), exponent, digits)
            }
        };
        self.wave.pieces.push(WavePiece { first_us, times, exponent, digits: vec![digits] });
        true
    }

    fn finish(mut self) -> Result<KeptWave, HistoryError> {
        if self.values > WAVE_VALUES_MAX {
            return Err(HistoryError::WaveSpan);
        }
        let beats = self.beats.map(KeptBeats::finish).unwrap_or_default();
        self.wave.beats = beats.into_iter().filter(|beat| self.range_us.contains(beat)).collect();
        Ok(self.wave)
    }
}

impl WavePiece {
    /// Adds a value that is due now; whether it was. The second one of a piece says its interval.
    fn follow(&mut self, time_us: i64, usual_us: u32, exponent: i8, digits: i32) -> bool {
        let WaveTimes::Even(interval_us) = &mut self.times else { return false };
        if self.exponent != exponent {
            return false;
        }
        let after_us = time_us.saturating_sub(self.first_us);
        if *interval_us == 0 {
            let is_near = after_us > 0 && after_us <= i64::from(usual_us).saturating_mul(3) / 2;
            let Some(found_us) = u32::try_from(after_us).ok().filter(|_| is_near) else { return false };
            *interval_us = found_us;
        } else {
            let interval = i64::from(*interval_us);
            let due_us = i64::try_from(self.digits.len()).unwrap_or(i64::MAX).saturating_mul(interval);
            if (after_us.saturating_sub(due_us)).abs() > interval / 4 {
                return false;
            }
        }
        self.digits.push(digits);
        true
    }

    fn follow_alone(&mut self, time_us: i64, exponent: i8, digits: i32) -> bool {
        let WaveTimes::Alone(after_us) = &mut self.times else { return false };
        if self.exponent != exponent {
            return false;
        }
        let Ok(after) = u32::try_from(time_us.saturating_sub(self.first_us)) else { return false };
        after_us.push(after);
        self.digits.push(digits);
        true
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use vitalwire_profile::Profile;
    use vitalwire_protocol::batch::Decimal;

    use super::super::value::Number;
    use super::*;

    fn even(first_us: i64, interval_us: i64, digits: &[i32]) -> Vec<Value> {
        let value = |(at, digits): (i64, &i32)| Value {
            time_us: first_us + at * interval_us,
            uncertainty_us: 0,
            number: Number(Digits::Decimal(Decimal::new(*digits, -3).unwrap())),
        };
        (0..).zip(digits).map(value).collect()
    }

    fn gather(range_us: Range<i64>, interval_us: u32, pages: &[Vec<Value>]) -> Gathering {
        let profile = Profile::builtin("pico").unwrap();
        let channel = profile.channel(2).unwrap();
        let mut gathering = Gathering::new(range_us);
        for values in pages {
            let page = Page { profile: "pico", channel, interval_us, values };
            if gathering.take(&page).is_break() {
                break;
            }
        }
        gathering
    }

    #[test]
    fn batches_that_follow_each_other_are_one_piece_and_a_gap_ends_it() {
        let pages = [even(0, 4_000, &[1, 2, 3]), even(12_500, 4_000, &[4, 5]), even(40_000, 4_000, &[6])];
        let wave = gather(0..i64::MAX, 4_000, &pages).finish().unwrap();
        let piece = |first_us, interval_us, digits: &[i32]| WavePiece {
            first_us,
            times: WaveTimes::Even(interval_us),
            exponent: -3,
            digits: digits.to_vec(),
        };
        assert_eq!(wave.pieces, [piece(0, 4_000, &[1, 2, 3, 4, 5]), piece(40_000, 0, &[6])]);
        assert_eq!(wave.channel, 2);
    }

    #[test]
    fn only_the_range_is_told() {
        let wave = gather(4_000..12_000, 4_000, &[even(0, 4_000, &[1, 2, 3, 4])]).finish().unwrap();
        assert_eq!((wave.pieces.len(), wave.pieces[0].first_us), (1, 4_000));
        assert_eq!(wave.pieces[0].digits, [2, 3]);
    }

    #[test]
    fn values_without_times_keep_those_at_which_they_came() {
        let text = |(time_us, text): (i64, &'static str)| Value {
            time_us,
            uncertainty_us: 0,
            number: Number(Digits::Text(Bytes::from_static(text.as_bytes()))),
        };
        let values: Vec<_> =
            [(5, "1.8"), (50_009, "1.8024"), (99_000, "1e300"), (99_500, "-1")].map(text).into();
        let wave = gather(0..i64::MAX, 50_000, &[values]).finish().unwrap();
        let times = WaveTimes::Alone(vec![0, 50_004, 99_495]);
        assert_eq!(
            wave.pieces,
            [WavePiece { first_us: 5, times, exponent: -3, digits: vec![1800, 1802, -1000] }]
        );
    }

    #[test]
    fn more_than_fits_is_refused_and_not_cut() {
        let digits = vec![0; 100_000];
        let pages: Vec<_> = (0..11).map(|at| even(at * 100_000, 1, &digits)).collect();
        let refused = gather(0..i64::MAX, 1, &pages).finish();
        assert!(matches!(refused, Err(HistoryError::WaveSpan)));
        assert!(gather(0..1_000_000, 1, &pages).finish().is_ok());
    }
}
