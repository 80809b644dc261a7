//! Packed values: what a predictor did not foresee, in exponential Golomb codes. Of a vital sign little remains.
//!
//! `header first code…`, a byte string. Header: bits 5 and 6 the predictor, bits 0 to 4 the order `k` of the codes,
//! bit 7 is 0. First: the first value, zigzag, as LEB128. Then per further value the zigzag `z` of its difference
//! from the prediction, most significant bit first: with `n = (z >> k) + 1`, as many zero bits as `n` has bits after
//! its leading one; `n`; the low `k` bits of `z`. Fewer than 8 zero bits fill the last byte. A code always holds a
//! one, so that the padding cannot be taken for a value and no count need be sent.

mod plan;

pub(super) use plan::Plan;

/// Largest zigzag of a difference: a prediction is at most 3 × 2^31 from 0, a value 2^31.
const ZIGZAG_MAX: u64 = 1 << 34;

/// More zero bits than any difference within [`ZIGZAG_MAX`] begins with.
const ZEROS_MAX: u32 = 34;

/// How a value is foretold from those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Predictor {
    /// By the first value: best for noise around a level.
    First,
    /// By the value before.
    Previous,
    /// By the line through the two values before: best for smooth waves.
    Line,
}

impl Predictor {
    const ALL: [Self; 3] = [Self::First, Self::Previous, Self::Line];

    fn from_header(header: u8) -> Option<Self> {
        Self::ALL.get(usize::from(header >> 5)).copied()
    }

    fn bits(self) -> u8 {
        match self {
            Self::First => 0,
            Self::Previous => 1 << 5,
            Self::Line => 2 << 5,
        }
    }
}

/// The values so far, as far as a prediction needs them.
#[derive(Clone, Copy, Debug)]
struct Past {
    predictor: Predictor,
    first: i32,
    last: i32,
    before: i32,
}

impl Past {
    fn new(predictor: Predictor, first: i32) -> Self {
        Self { predictor, first, last: first, before: first }
    }

    fn prediction(&self) -> i64 {
        match self.predictor {
            Predictor::First => self.first.into(),
            Predictor::Previous => self.last.into(),
            Predictor::Line => 2 * i64::from(self.last) - i64::from(self.before),
        }
    }

    /// The same where 32 bits are enough.
    fn prediction_narrow(&self) -> i32 {
        match self.predictor {
            Predictor::First => self.first,
            Predictor::Previous => self.last,
            Predictor::Line => self.last.wrapping_mul(2).wrapping_sub(self.before),
        }
    }

    fn push(&mut self, value: i32) {
        (self.before, self.last) = (self.last, value);
    }
}

fn from_zigzag(zigzag: u64) -> i64 {
    (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed()
}

/// The byte string is not as the format says, or a value does not fit 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damaged;

/// Reads packed values one after the other.
#[derive(Clone, Debug)]
pub(super) struct Unpacker<'a> {
    codes: &'a [u8],
    bit: usize,
    k: u8,
    past: Past,
    /// The first value, until it is handed on.
    first: Option<i32>,
}

impl<'a> Unpacker<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, Damaged> {
        let (&header, rest) = bytes.split_first().ok_or(Damaged)?;
        let predictor = Predictor::from_header(header).ok_or(Damaged)?;
        let (first, codes) = first_value(rest).ok_or(Damaged)?;
        let past = Past::new(predictor, first);
        Ok(Self { codes, bit: 0, k: header & 0x1f, past, first: Some(first) })
    }

    /// The next value; `Ok(None)` at the end.
    pub(super) fn next(&mut self) -> Result<Option<i32>, Damaged> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let Some(zigzag) = self.code()? else { return Ok(None) };
        let value = self.past.prediction() + from_zigzag(zigzag);
        let value = i32::try_from(value).map_err(|_| Damaged)?;
        self.past.push(value);
        Ok(Some(value))
    }

    /// The next zigzag; `Ok(None)` if nothing but padding is left.
    fn code(&mut self) -> Result<Option<u64>, Damaged> {
        let left = self.codes.len() * 8 - self.bit;
        let zeros = self.window().leading_zeros();
        if usize::try_from(zeros).is_ok_and(|zeros| zeros >= left) {
            return if left < 8 { Ok(None) } else { Err(Damaged) };
        }
        let k = u32::from(self.k);
        if zeros > ZEROS_MAX || usize::try_from(2 * zeros + 1 + k).is_ok_and(|len| len > left) {
            return Err(Damaged);
        }
        self.take(zeros);
        let n = self.take(zeros + 1);
        let low = self.take(k);
        let zigzag = (n - 1).checked_mul(1 << k).and_then(|high| high.checked_add(low)).ok_or(Damaged)?;
        if zigzag > ZIGZAG_MAX { Err(Damaged) } else { Ok(Some(zigzag)) }
    }

    /// The next 57 bits or more, in the high bits, and zeros after the end.
    fn window(&self) -> u64 {
        let mut bytes = [0; 8];
        let rest = self.codes.get(self.bit / 8..).unwrap_or_default();
        for (to, from) in bytes.iter_mut().zip(rest) {
            *to = *from;
        }
        u64::from_be_bytes(bytes) << (self.bit % 8)
    }

    /// Consumes up to 57 bits.
    fn take(&mut self, count: u32) -> u64 {
        let value = self.window().checked_shr(64 - count).unwrap_or(0);
        self.bit += usize::try_from(count).unwrap_or(0);
        value
    }
}

/// The first value and what follows it: LEB128 in its shortest form.
fn first_value(bytes: &[u8]) -> Option<(i32, &[u8])> {
    let len = bytes.iter().take(5).position(|byte| byte & 0x80 == 0)? + 1;
    let (leb, rest) = bytes.split_at_checked(len)?;
    if len > 1 && leb.last() == Some(&0) {
        return None;
    }
    let zigzag = leb.iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f));
    Some((i32::try_from(from_zigzag(zigzag)).ok()?, rest))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;

    fn pack(values: &[i32]) -> Vec<u8> {
        let plan = Plan::new(values).unwrap();
        let mut bytes = Vec::new();
        plan.write(|byte| -> Result<(), Damaged> {
            bytes.push(byte);
            Ok(())
        })
        .unwrap();
        assert_eq!(u64::try_from(bytes.len()).unwrap(), plan.len());
        bytes
    }

    fn unpack(bytes: &[u8]) -> Result<Vec<i32>, Damaged> {
        let mut unpacker = Unpacker::new(bytes)?;
        let mut values = Vec::new();
        while let Some(value) = unpacker.next()? {
            values.push(value);
        }
        Ok(values)
    }

    #[test]
    fn packs_as_the_text_says() {
        // 36,600 is zigzag 73,200.
        assert_eq!(pack(&[36_600]), [0x00, 0xf0, 0xbb, 0x04]);
        assert_eq!(pack(&[0]), [0x00, 0x00]);
        // Seven times the same: six codes `1`.
        assert_eq!(pack(&[5; 7]), [0x00, 0x0a, 0b1111_1100]);
        // A line: 1 (zigzag 2, code 011), then nothing new.
        assert_eq!(pack(&[7, 8, 9, 10, 11]), [0x40, 0x0e, 0b0111_1100]);
        // Order 1, predictor First: zigzags 1, 2, 3, 1 around 10: codes 11, 0100, 0101, 11.
        assert_eq!(unpack(&[0x01, 0x14, 0b1101_0001, 0b0111_0000]).unwrap(), [10, 9, 11, 8, 9]);
    }

    #[test]
    fn extremes_come_back() {
        for values in [
            [i32::MIN, i32::MAX, i32::MIN, i32::MAX].as_slice(),
            &[i32::MAX, i32::MIN, i32::MAX, i32::MAX, i32::MIN, i32::MIN],
            &[i32::MIN],
            &[0, i32::MIN, 0],
        ] {
            assert_eq!(unpack(&pack(values)).unwrap(), values);
            for predictor in Predictor::ALL {
                assert!(plan::zigzags::<u64>(predictor, values[0], &values[1..]).all(|z| z <= ZIGZAG_MAX));
            }
        }
    }

    #[test]
    fn refuses_headers_paddings_and_values_that_are_not_of_the_format() {
        assert_eq!(unpack(&[]), Err(Damaged));
        assert_eq!(unpack(&[0x00]), Err(Damaged));
        assert_eq!(unpack(&[0x60, 0x00]), Err(Damaged), "no fourth predictor");
        assert_eq!(unpack(&[0x80, 0x00]), Err(Damaged), "reserved bit");
        assert_eq!(unpack(&[0x00, 0x80, 0x00]), Err(Damaged), "long form of 0");
        assert_eq!(unpack(&[0x00, 0xff, 0xff, 0xff, 0xff, 0x1f]), Err(Damaged), "first value of 33 bits");
        assert_eq!(
            unpack(&[0x00, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01]),
            Err(Damaged),
            "first value of 6 bytes"
        );
        assert_eq!(unpack(&[0x00, 0x00, 0x00]), Err(Damaged), "a whole byte of padding");
        assert_eq!(unpack(&[0x00, 0x00, 0x80, 0x00]), Err(Damaged), "a byte too many");
        assert_eq!(unpack(&[0x00, 0x00, 0x01]), Err(Damaged), "a code without its end");
        assert_eq!(unpack(&[0x1f, 0x00, 0x80, 0x00]), Err(Damaged), "low bits missing");
        assert_eq!(unpack(&[0x00, 0x00, 0, 0, 0, 0, 0, 0, 0, 0, 1]), Err(Damaged), "too many zeros");
        // 2,147,483,647, and zigzag 2, which is one more.
        let past_the_end = [0x00, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0b0110_0000];
        assert_eq!(unpack(&past_the_end), Err(Damaged), "a value past 32 bits");
    }
}
