//! Finds a short packing of a channel's values and writes it.
//!
//! The predictor is chosen first, by its codes of order 0, then the order. A microcontroller without 64-bit arithmetic does this for
//! each channel of each batch, so that values near 0, which all vital signs are, take 32 bits, and a try ends when it can
//! no longer win.

use super::{Past, Predictor};

/// Values that are all nearer to 0 than this differ from any prediction by less than 2^31, so that 32 bits are enough: three
/// values make a prediction, and the fourth is the one predicted.
const NARROW_MAX: u32 = 1 << 29;

/// Orders that may be longer than the one before until no better one is looked for.
const LONGER_MAX: u32 = 1;

/// The zigzag of a difference, as wide as a channel needs.
pub(super) trait Zigzag: Copy + Into<u64> {
    /// The zigzag of what was not foreseen of this value.
    fn new(value: i32, past: &Past) -> Self;

    /// `(z >> k) + 1`, and the place of its leading one.
    fn shifted(self, k: u8) -> (Self, u32);
}

/// The place of the leading one of a number that is not 0. Most are small; a core without an instruction for it would count
/// the zeros for much longer.
fn leading(n: u32) -> u32 {
    const PLACES: [u8; 16] = [0, 0, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3];
    let (mut n, mut place) = (n, 0);
    while n > 15 {
        (n, place) = (n >> 4, place + 4);
    }
    place + PLACES.get(n as usize).map_or(0, |place| u32::from(*place))
}

impl Zigzag for u64 {
    fn new(value: i32, past: &Past) -> Self {
        let difference = i64::from(value) - past.prediction();
        ((difference << 1) ^ (difference >> 63)).cast_unsigned()
    }

    fn shifted(self, k: u8) -> (Self, u32) {
        let n = (self >> k) + 1;
        (n, n.ilog2())
    }
}

impl Zigzag for u32 {
    fn new(value: i32, past: &Past) -> Self {
        let difference = value.wrapping_sub(past.prediction_narrow());
        ((difference << 1) ^ (difference >> 31)).cast_unsigned()
    }

    fn shifted(self, k: u8) -> (Self, u32) {
        // A difference below 2^31 leaves room for one more.
        let n = (self >> k) + 1;
        (n, leading(n))
    }
}

/// The zigzags of what `predictor` does not foresee of the values after the first.
pub(super) fn zigzags<Z: Zigzag>(predictor: Predictor, first: i32, rest: &[i32]) -> impl Iterator<Item = Z> {
    let mut past = Past::new(predictor, first);
    rest.iter().map(move |value| {
        let zigzag = Z::new(*value, &past);
        past.push(*value);
        zigzag
    })
}

/// How to pack values in the fewest bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::batch) struct Plan<'v> {
    predictor: Predictor,
    k: u8,
    first: i32,
    rest: &'v [i32],
    is_narrow: bool,
    code_bits: u32,
}

impl<'v> Plan<'v> {
    /// The predictor that is the shortest at order 0, and its best order: nearly as short as the best of all, for half the cycles. Of
    /// several that are as good the first predictor, and the lowest order. `None` if there is no value.
    pub(in crate::batch) fn new(values: &'v [i32]) -> Option<Self> {
        let (first, rest) = values.split_first()?;
        let is_narrow = values.iter().all(|value| value.unsigned_abs() < NARROW_MAX);
        let mut plan =
            Self { predictor: Predictor::First, k: 0, first: *first, rest, is_narrow, code_bits: u32::MAX };
        if is_narrow {
            plan.choose::<u32>()
        } else {
            plan.choose::<u64>()
        }
        Some(plan)
    }

    fn choose<Z: Zigzag>(&mut self) {
        for predictor in Predictor::ALL {
            self.take_shorter::<Z>(predictor, 0);
        }
        let predictor = self.predictor;
        // The codes are shortest where the mean has about `k` bits, or below if a few differences make the mean.
        let sum: u64 = zigzags::<Z>(predictor, self.first, self.rest).map(Into::into).sum();
        let k_max = mean(sum, self.rest.len()).checked_ilog2().map_or(0, |log| log + 1).min(31);
        let mut longer = 0;
        for k in (1..=u8::try_from(k_max).unwrap_or(31)).rev() {
            // From the best order on each lower one is longer, but for one in between now and then.
            longer = if self.take_shorter::<Z>(predictor, k) { 0 } else { longer + 1 };
            if self.k > 0 && longer > LONGER_MAX {
                break;
            }
        }
    }

    /// Takes this predictor and order, if they are shorter.
    fn take_shorter<Z: Zigzag>(&mut self, predictor: Predictor, k: u8) -> bool {
        // Orders come from the highest down, and of those that are as good the lowest wins; below all is order 0.
        let limit = if self.k > k { Some(self.code_bits) } else { self.code_bits.checked_sub(1) };
        let zigzags = zigzags::<Z>(predictor, self.first, self.rest);
        let bits = limit.and_then(|limit| code_bits(zigzags, k, limit));
        if let Some(bits) = bits {
            (self.predictor, self.k, self.code_bits) = (predictor, k, bits);
        }
        bits.is_some()
    }

    /// Bytes of the byte string.
    pub(in crate::batch) fn len(&self) -> u64 {
        u64::from(
            1 + first_zigzag(self.first).checked_ilog2().unwrap_or(0) / 7 + 1 + self.code_bits.div_ceil(8),
        )
    }

    /// Hands the bytes of the byte string to `write`, until it fails.
    pub(in crate::batch) fn write<E>(&self, mut write: impl FnMut(u8) -> Result<(), E>) -> Result<(), E> {
        write(self.predictor.bits() | self.k)?;
        let mut first = first_zigzag(self.first);
        while first > 0x7f {
            write(low_byte(first) | 0x80)?;
            first >>= 7;
        }
        write(low_byte(first))?;
        if self.is_narrow { self.write_codes::<u32, E>(write) } else { self.write_codes::<u64, E>(write) }
    }

    fn write_codes<Z: Zigzag, E>(&self, write: impl FnMut(u8) -> Result<(), E>) -> Result<(), E> {
        let mut bits = BitWriter { write, pending: 0, count: 0 };
        for zigzag in zigzags::<Z>(self.predictor, self.first, self.rest) {
            let (n, zeros) = zigzag.shifted(self.k);
            // `n` in so many bits has its leading zeros.
            bits.put(n.into(), 2 * zeros + 1)?;
            bits.put(zigzag.into(), self.k.into())?;
        }
        bits.finish()
    }
}

/// The mean, rounded down; of nothing it is 0. Most sums have 32 bits, which are quicker to divide.
fn mean(sum: u64, count: usize) -> u64 {
    match (u32::try_from(sum), u32::try_from(count)) {
        (Ok(sum), Ok(count)) => u64::from(sum.checked_div(count).unwrap_or(0)),
        _ => u64::try_from(count).ok().and_then(|count| sum.checked_div(count)).unwrap_or(0),
    }
}

/// Bits of all codes of order `k`; `None` if they are more than `limit`.
fn code_bits<Z: Zigzag>(zigzags: impl Iterator<Item = Z>, k: u8, limit: u32) -> Option<u32> {
    let mut bits = 0;
    for zigzag in zigzags {
        // A channel has some thousand values, and a code at most 70 bits.
        bits += 2 * zigzag.shifted(k).1 + 1 + u32::from(k);
        if bits > limit {
            return None;
        }
    }
    Some(bits)
}

fn first_zigzag(first: i32) -> u32 {
    ((first << 1) ^ (first >> 31)).cast_unsigned()
}

fn low_byte(value: u32) -> u8 {
    let [byte, ..] = value.to_le_bytes();
    byte
}

fn low_word(value: u64) -> u32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

struct BitWriter<W> {
    write: W,
    /// Bits that do not fill a byte yet, in the low `count` of these; what is above them was written.
    pending: u32,
    count: u32,
}

/// Bits that are put at once, at most: with the seven that may be pending they fit.
const PUT_BITS_MAX: u32 = 24;

impl<E, W: FnMut(u8) -> Result<(), E>> BitWriter<W> {
    /// Appends the low `count` bits of `value`, the highest of them first; above them `value` may have others.
    fn put(&mut self, value: u64, count: u32) -> Result<(), E> {
        let mut left = count;
        while left > PUT_BITS_MAX {
            left -= PUT_BITS_MAX;
            self.put_few(low_word(value.checked_shr(left).unwrap_or(0)), PUT_BITS_MAX)?;
        }
        self.put_few(low_word(value), left)
    }

    fn put_few(&mut self, value: u32, count: u32) -> Result<(), E> {
        self.pending = self.pending << count | value & ((1 << count) - 1);
        self.count += count;
        while self.count >= 8 {
            self.count -= 8;
            (self.write)(low_byte(self.pending >> self.count))?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), E> {
        if self.count == 0 { Ok(()) } else { (self.write)(low_byte(self.pending << (8 - self.count))) }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use proptest::prelude::*;

    use super::*;

    /// Bits of all codes.
    fn bits(values: &[i32], predictor: Predictor, k: u8) -> u64 {
        let (first, rest) = values.split_first().unwrap();
        zigzags::<u64>(predictor, *first, rest)
            .map(|z| u64::from(2 * ((z >> k) + 1).ilog2() + 1 + u32::from(k)))
            .sum()
    }

    /// The shortest of all orders.
    fn shortest(values: &[i32], predictor: Predictor) -> u64 {
        (0..=31).map(|k| bits(values, predictor, k)).min().unwrap()
    }

    fn values() -> impl Strategy<Value = std::vec::Vec<i32>> {
        let near = |max: i32| prop::collection::vec(-max..=max, 1..40);
        let narrow_max = 1 << 29;
        prop_oneof![
            near(3),
            near(200),
            near(40_000),
            near(narrow_max - 1),
            near(narrow_max + 1),
            prop::collection::vec(any::<i32>(), 1..40),
            prop::collection::vec(prop_oneof![9 => -5..5, 1 => any::<i32>()], 1..40),
        ]
    }

    /// Noise about as normal as that of a sensor, in units of its standard deviation.
    fn noise() -> impl FnMut() -> f64 {
        let mut state = 1_u32;
        move || {
            let mut draw = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                f64::from(state >> 8) / f64::from(1 << 24)
            };
            (0..12).map(|_| draw()).sum::<f64>() - 6.0
        }
    }

    #[test]
    #[expect(clippy::cast_possible_truncation, reason = "the values are small")]
    fn of_what_sensors_say_the_plan_is_within_a_hundredth_of_the_shortest() {
        let mut noise = noise();
        for (amplitude, period, deviation) in
            [(0.0, 1.0, 5.0), (0.0, 1.0, 30.0), (400.0, 18.0, 5.0), (400.0, 120.0, 3.0), (800.0, 200.0, 0.5)]
        {
            let wave: std::vec::Vec<i32> = (0..4_000)
                .map(|at| {
                    let angle = f64::from(at) / period * core::f64::consts::TAU;
                    (1_500.0 + amplitude * angle.sin() + deviation * noise()).round() as i32
                })
                .collect();
            for len in [20, 100, 250] {
                let (mut planned, mut all) = (0, 0);
                for values in wave.chunks(len) {
                    planned += u64::from(Plan::new(values).unwrap().code_bits);
                    all += Predictor::ALL
                        .map(|predictor| shortest(values, predictor))
                        .into_iter()
                        .min()
                        .unwrap();
                }
                assert!(
                    planned * 100 <= all * 101,
                    "{amplitude} {period} {deviation} {len}: {planned}, {all}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn the_order_is_the_best_of_the_predictor_that_is_the_best_at_order_0(values in values()) {
            let plan = Plan::new(&values).unwrap();
            let at_order_0 = Predictor::ALL.map(|predictor| bits(&values, predictor, 0));
            let best = Predictor::ALL.into_iter().zip(at_order_0).min_by_key(|(_, bits)| *bits).unwrap().0;
            let (planned, shortest) = (u64::from(plan.code_bits), shortest(&values, best));
            prop_assert_eq!((plan.predictor, bits(&values, plan.predictor, plan.k)), (best, planned));
            prop_assert!(planned <= shortest + shortest / 16 + 7, "{planned} bits, {shortest} would do");
        }

        #[test]
        fn leading_ones_are_found(n in any::<u32>(), shift in 0_u32..32) {
            let n: u32 = (n >> shift).max(1);
            prop_assert_eq!(leading(n), n.ilog2());
        }

        #[test]
        fn both_widths_write_the_same(values in values()) {
            let plan = Plan::new(&values).unwrap();
            let written = |is_narrow| {
                let mut bytes = std::vec::Vec::new();
                let plan = Plan { is_narrow, ..plan };
                plan.write(|byte| -> Result<(), ()> { bytes.push(byte); Ok(()) }).unwrap();
                bytes
            };
            prop_assert_eq!(written(plan.is_narrow).len() as u64, plan.len());
            prop_assert_eq!(written(plan.is_narrow), written(false));
        }
    }
}
