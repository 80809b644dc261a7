//! How alike the beats of a stretch of signal are: C. Orphanidou et al., "Signal-quality indices for the electrocardiogram and
//! photoplethysmogram", IEEE J. Biomed. Health Inform. 19(3), 2015. Each beat, from half a median interval before it to half a
//! median interval behind it, is compared with the mean of all beats; the quality is the mean of the correlations.
//!
//! Ours leaves each beat out of the mean that it is compared with, since with the few beats of ten seconds noise would
//! otherwise resemble itself, and gives all beats the same weight, so that one artefact does not become the template.

use super::Beat;
use super::ring::Thinned;
use crate::math;

/// How many points of a beat are compared. At 1 s, the most that is looked at of a beat, one each 25 ms.
const POINTS: usize = 40;
/// At most this much of the signal is compared, in seconds: of a slow heart the rest shows nothing.
const WIDTH_S_MAX: f64 = 1.0;

/// A beat that is less like the others is another thing.
const ODD: f32 = 0.5;
/// Beats that are odd make a shape of their own when they are so much alike.
const SECOND: f32 = 0.66;

type Shape = [f32; POINTS];

/// How alike beats are.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Likeness {
    /// The mean correlation, up to 1.
    pub(super) mean: f32,
    /// The share of beats that are not like the others.
    pub(super) odd: f32,
}

/// Compares the beats. With `alternating` they may also be of two shapes in turns, as in bigeminy.
pub(super) fn likeness(signal: &Thinned, beats: &[Beat], rate_hz: f64, alternating: bool) -> Likeness {
    let width = (median_interval(beats)).min(WIDTH_S_MAX * rate_hz);
    // The newest beat's other half may not be there yet.
    let last = signal.end() as f64 - 2.0 - width / 2.0;
    let whole = beats.iter().take_while(|beat| beat.at <= last).count();
    let beats = beats.get(..whole).unwrap_or(beats);
    let alike = one_shape(signal, beats.iter(), width, &mut [false; super::BEATS_MAX]);
    if !alternating {
        return alike;
    }
    let mut is_odd = [false; super::BEATS_MAX];
    let alike = one_shape(signal, beats.iter(), width, &mut is_odd);
    let strange = beats.iter().zip(is_odd).filter(|(_, odd)| *odd).map(|(beat, _)| beat);
    // Beats that differ from most, and are like each other, have another origin.
    let strange = one_shape(signal, strange, width, &mut [false; super::BEATS_MAX]);
    let odd = if strange.mean >= SECOND { alike.odd * strange.odd } else { alike.odd };
    let alike = Likeness { odd, ..alike };
    if beats.len() < 8 {
        return alike;
    }
    let even = one_shape(signal, beats.iter().step_by(2), width, &mut [false; super::BEATS_MAX]);
    let odd = one_shape(signal, beats.iter().skip(1).step_by(2), width, &mut [false; super::BEATS_MAX]);
    let in_turns = Likeness { mean: 0.5 * (even.mean + odd.mean), odd: 0.5 * (even.odd + odd.odd) };
    if in_turns.mean > alike.mean { in_turns } else { alike }
}

fn one_shape<'a>(
    signal: &Thinned,
    beats: impl Iterator<Item = &'a Beat> + Clone,
    width: f64,
    is_odd: &mut [bool],
) -> Likeness {
    let mut sum = [0.0; POINTS];
    let mut count = 0.0;
    for beat in beats.clone() {
        let shape = shape(signal, beat, width);
        sum.iter_mut().zip(shape).for_each(|(sum, value)| *sum += value);
        count += 1.0;
    }
    if count < 2.0 {
        return Likeness::default();
    }
    let alike = |beat| {
        let own = shape(signal, beat, width);
        let mut others = sum;
        others.iter_mut().zip(own).for_each(|(other, own)| *other -= own);
        // Both have mean 0, and `own` the length 1.
        dot(&own, &others) / length(&others).max(f32::MIN_POSITIVE)
    };
    let (mut total, mut odd) = (0.0, 0.0);
    for (likeness, is_odd) in beats.map(alike).zip(is_odd) {
        *is_odd = likeness < ODD;
        total += likeness;
        odd += if *is_odd { 1.0 } else { 0.0 };
    }
    Likeness { mean: total / count, odd: odd / count }
}

/// A beat without the straight line that fits it best, which is the baseline's, and with length 1; all 0 where the signal is flat.
fn shape(signal: &Thinned, beat: &Beat, width: f64) -> Shape {
    let start = beat.at - width / 2.0;
    let step = width / (POINTS - 1) as f64;
    let mut shape: Shape = core::array::from_fn(|point| signal.between(start + step * point as f64));
    detrend(&mut shape);
    let length = length(&shape);
    if length > 0.0 {
        shape.iter_mut().for_each(|value| *value /= length);
    }
    shape
}

/// Takes away the straight line that fits best.
pub(super) fn detrend(values: &mut [f32]) {
    let middle = (values.len() as f64 - 1.0) / 2.0;
    let (mut sum, mut moment, mut spread) = (0.0, 0.0, 0.0);
    for (place, value) in values.iter().enumerate() {
        let from_middle = place as f64 - middle;
        sum += f64::from(*value);
        moment += from_middle * f64::from(*value);
        spread += from_middle * from_middle;
    }
    let mean = sum / values.len().max(1) as f64;
    let slope = if spread > 0.0 { moment / spread } else { 0.0 };
    for (place, value) in values.iter_mut().enumerate() {
        *value -= math::narrow(mean + slope * (place as f64 - middle));
    }
}

fn dot(a: &Shape, b: &Shape) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn length(shape: &Shape) -> f32 {
    math::narrow(math::sqrt(f64::from(dot(shape, shape))))
}

/// In samples.
fn median_interval(beats: &[Beat]) -> f64 {
    let mut intervals = [0.0_f32; super::BEATS_MAX];
    let mut count = 0;
    let pairs = beats.iter().zip(beats.iter().skip(1));
    for (slot, (one, next)) in intervals.iter_mut().zip(pairs) {
        *slot = math::narrow(next.at - one.at);
        count += 1;
    }
    let intervals = intervals.get_mut(..count).unwrap_or_default();
    intervals.sort_unstable_by(f32::total_cmp);
    intervals.get(count / 2).copied().map_or(0.0, f64::from)
}
