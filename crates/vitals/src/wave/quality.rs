//! How alike the beats of a stretch of signal are: C. Orphanidou et al., "Signal-quality indices for the electrocardiogram and
//! photoplethysmogram", IEEE J. Biomed. Health Inform. 19(3), 2015. Each beat, from half a median interval before it to half a
//! median interval behind it, is compared with the mean of all beats; the quality is the mean of the correlations.
//!
//! Ours leaves each beat out of the mean that it is compared with, since with the few beats of ten seconds noise would
//! otherwise resemble itself, and gives all beats the same weight, so that one artefact does not become the template.

use super::Beat;
use super::ring::Ring;
use crate::math;

/// How many points of a beat are compared. At 1 s, the most that is looked at of a beat, one each 25 ms.
const POINTS: usize = 40;
/// At most this much of the signal is compared, in seconds: of a slow heart the rest shows nothing.
const WIDTH_S_MAX: f64 = 1.0;

type Shape = [f32; POINTS];

/// From 0 to 1. With `alternating` beats may also be of two shapes in turns, as in bigeminy.
pub(super) fn likeness(signal: &Ring, beats: &[Beat], rate_hz: f64, alternating: bool) -> f32 {
    let width = (median_interval(beats)).min(WIDTH_S_MAX * rate_hz);
    // The newest beat's other half may not be there yet.
    let last = signal.end() as f64 - 2.0 - width / 2.0;
    let whole = beats.iter().take_while(|beat| beat.at <= last).count();
    let beats = beats.get(..whole).unwrap_or(beats);
    let alike = one_shape(signal, beats.iter(), width);
    if !alternating || beats.len() < 8 {
        return alike.max(0.0);
    }
    let even = one_shape(signal, beats.iter().step_by(2), width);
    let odd = one_shape(signal, beats.iter().skip(1).step_by(2), width);
    alike.max(0.5 * (even + odd)).max(0.0)
}

fn one_shape<'a>(signal: &Ring, beats: impl Iterator<Item = &'a Beat> + Clone, width: f64) -> f32 {
    let mut sum = [0.0; POINTS];
    let mut count = 0.0;
    for beat in beats.clone() {
        let shape = shape(signal, beat, width);
        sum.iter_mut().zip(shape).for_each(|(sum, value)| *sum += value);
        count += 1.0;
    }
    if count < 2.0 {
        return 0.0;
    }
    let alike = |beat| {
        let own = shape(signal, beat, width);
        let mut others = sum;
        others.iter_mut().zip(own).for_each(|(other, own)| *other -= own);
        // Both have mean 0, and `own` the length 1.
        dot(&own, &others) / length(&others).max(f32::MIN_POSITIVE)
    };
    beats.map(alike).sum::<f32>() / count
}

/// A beat with mean 0 and length 1, or all 0 where the signal is flat.
fn shape(signal: &Ring, beat: &Beat, width: f64) -> Shape {
    let start = beat.at - width / 2.0;
    let step = width / (POINTS - 1) as f64;
    let mut shape: Shape = core::array::from_fn(|point| signal.between(start + step * point as f64));
    let mean = shape.iter().sum::<f32>() / POINTS as f32;
    shape.iter_mut().for_each(|value| *value -= mean);
    let length = length(&shape);
    if length > 0.0 {
        shape.iter_mut().for_each(|value| *value /= length);
    }
    shape
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
