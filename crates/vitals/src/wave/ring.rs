//! The last values of a signal, by their numbers since its start.

use alloc::vec;
use alloc::vec::Vec;

use crate::math;

/// Keeps the last values; what is older, or not there yet, reads as 0.
#[derive(Clone, Debug)]
pub(super) struct Ring {
    values: Vec<f32>,
    /// Where the next value goes.
    place: usize,
    /// How many values there have been.
    end: usize,
}

impl Ring {
    pub(super) fn new(len: usize) -> Self {
        Self { values: vec![0.0; len.max(1)], place: 0, end: 0 }
    }

    pub(super) fn push(&mut self, value: f32) {
        if let Some(slot) = self.values.get_mut(self.place) {
            *slot = value;
        }
        self.place = if self.place + 1 < self.values.len() { self.place + 1 } else { 0 };
        self.end += 1;
    }

    /// The number that the next value gets.
    pub(super) fn end(&self) -> usize {
        self.end
    }

    /// The value of this number.
    pub(super) fn at(&self, number: usize) -> f32 {
        let back = self.end.wrapping_sub(number);
        if back == 0 || back > self.values.len() {
            return 0.0;
        }
        let place =
            if back <= self.place { self.place - back } else { self.place + self.values.len() - back };
        self.values.get(place).copied().unwrap_or(0.0)
    }

    /// The mean of the last values, as many as there are of `count`.
    pub(super) fn mean(&self, count: usize) -> f32 {
        let start = self.end.saturating_sub(count.min(self.values.len()));
        let sum: f64 = (start..self.end).map(|number| f64::from(self.at(number))).sum();
        math::narrow(sum / (self.end - start).max(1) as f64)
    }

    /// The value between numbers: the cubic through the two on either side (Catmull and Rom, 1974).
    pub(super) fn between(&self, number: f64) -> f32 {
        let start = math::floor(number);
        let f = math::narrow(number - start as f64);
        let [a, b, c, d] =
            [self.at(start.wrapping_sub(1)), self.at(start), self.at(start + 1), self.at(start + 2)];
        b + 0.5 * f * (c - a + f * (2.0 * a - 5.0 * b + 4.0 * c - d + f * (3.0 * (b - c) + d - a)))
    }
}

/// The last values of a signal that changes so slowly that some can be left out.
#[derive(Clone, Debug)]
pub(super) struct Thinned {
    kept: Ring,
    stride: usize,
    end: usize,
}

impl Thinned {
    /// Keeps one of `stride` values, and so many of the signal's.
    pub(super) fn new(len: usize, stride: usize) -> Self {
        let stride = stride.max(1);
        Self { kept: Ring::new(len.div_ceil(stride)), stride, end: 0 }
    }

    pub(super) fn push(&mut self, value: f32) {
        if self.end.is_multiple_of(self.stride) {
            self.kept.push(value);
        }
        self.end += 1;
    }

    /// The number that the next value gets.
    pub(super) fn end(&self) -> usize {
        self.end
    }

    /// As [`Ring::between`], by the numbers of all values.
    pub(super) fn between(&self, number: f64) -> f32 {
        self.kept.between(number / self.stride as f64)
    }

    /// As [`Ring::mean`].
    pub(super) fn mean(&self, count: usize) -> f32 {
        self.kept.mean(count.div_ceil(self.stride))
    }

    /// Those that are kept.
    pub(super) fn kept(&self) -> &Ring {
        &self.kept
    }
}

/// The mean of the last values. Summed again for each, so that no error of rounding stays.
#[derive(Clone, Debug)]
pub(super) struct Average {
    values: Vec<f32>,
    place: usize,
}

impl Average {
    pub(super) fn new(len: usize) -> Self {
        Self { values: vec![0.0; len.max(1)], place: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// Takes a value and returns the mean with it; before there are enough, the others are 0.
    pub(super) fn push(&mut self, value: f32) -> f32 {
        if let Some(slot) = self.values.get_mut(self.place) {
            *slot = value;
        }
        self.place = if self.place + 1 < self.values.len() { self.place + 1 } else { 0 };
        self.values.iter().sum::<f32>() / self.values.len() as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last_by_their_numbers() {
        let mut ring = Ring::new(3);
        for value in [1.0, 2.0, 3.0, 4.0, 5.0] {
            ring.push(value);
        }
        assert_eq!([1, 2, 3, 4, 5].map(|number| ring.at(number)), [0.0, 3.0, 4.0, 5.0, 0.0]);
        assert_eq!(ring.mean(2), 4.5);
        assert_eq!(ring.mean(9), 4.0);
    }

    #[test]
    fn a_thinned_signal_is_found_by_the_numbers_of_all_its_values() {
        let mut thinned = Thinned::new(12, 2);
        for value in 0..12_u8 {
            thinned.push(f32::from(value));
        }
        assert_eq!([4.0, 5.0, 5.5].map(|number| thinned.between(number)), [4.0, 5.0, 5.5]);
        assert_eq!((thinned.end(), thinned.mean(4)), (12, 9.0));
    }

    #[test]
    fn a_straight_line_is_straight_between_its_values() {
        let mut ring = Ring::new(8);
        for value in [0.0, 1.0, 2.0, 3.0, 4.0] {
            ring.push(value);
        }
        assert_eq!([1.0, 1.25, 1.5, 2.75].map(|number| ring.between(number)), [1.0, 1.25, 1.5, 2.75]);
    }
}
