//! Which beats a heart has, and when: its rhythm, changed by events, in closed form.
//!
//! The rhythm gives a phase, a whole number at each regular beat. A changed rate makes the heart's time run faster or slower; an
//! arrhythmia moves beats within the phase and gives them other shapes; asystole leaves them out.

use super::event::{Happening, PatientEvent, spans};
use super::heart::Rhythm;
use super::noise::{self, Noise};
use super::span::Span;
use super::waveform::{Beat, Cycle, Shape};

/// In fibrillation so many beats have the mean rate, however they come within.
const FIBRILLATION_BEATS: f64 = 8.0;
/// From one beat of a fibrillation to the next, as a share of the mean.
const FIBRILLATION_PACE: (f64, f64) = (0.65, 1.45);
/// How much too early a premature beat is, as a share of the mean interval. The next is where it would have been anyway: the
/// ventricle does not hear the sinus node in between.
const PREMATURE_BY: f64 = 0.35;
/// How strong a pulse of a premature beat is: the heart had no time to fill.
const PREMATURE_PULSE: f64 = 0.5;
/// A beat is never further from its regular place than this, in beats.
const SHIFT_MAX: u32 = 8;
/// Halvings until the moment of a beat is known to a nanosecond within a day.
const HALVINGS: u32 = 60;

/// Beats that are not regular.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Order {
    Premature { every: f64 },
    Fibrillation,
    Asystole,
}

/// Beats `from..to`, whole numbers of the phase; `to` may be infinite.
#[derive(Debug, Clone)]
struct Stretch {
    from: f64,
    to: f64,
    order: Order,
}

#[derive(Debug, Clone)]
pub(super) struct Heart {
    rhythm: Rhythm,
    /// How much faster the heart is, as a share of its mean: negative where it is slower.
    rates: Vec<(Span, f64)>,
    stretches: Vec<Stretch>,
    noise: Noise,
}

impl Heart {
    pub(super) fn new(rhythm: Rhythm, noise: Noise, events: &[PatientEvent]) -> Self {
        let mean = rhythm.mean_per_min();
        let rates = spans(events, |what| match what {
            Happening::Bradycardia { to_per_min, .. } | Happening::Tachycardia { to_per_min, .. } => {
                Some(to_per_min / mean - 1.0)
            }
            _ => None,
        });
        let orders = spans(events, |what| match what {
            Happening::Premature { every } => Some(Order::Premature { every: f64::from(every) }),
            Happening::Fibrillation => Some(Order::Fibrillation),
            Happening::Asystole => Some(Order::Asystole),
            _ => None,
        });
        let mut heart = Self { rhythm, rates, stretches: Vec::new(), noise };
        heart.stretches = orders
            .into_iter()
            .map(|(span, order)| Stretch {
                from: heart.phase(span.from_s).ceil(),
                to: if span.to_s.is_finite() { heart.phase(span.to_s).ceil() } else { f64::INFINITY },
                order,
            })
            .collect();
        heart
    }

    /// Regular heart cycles since some beat before the start; it never goes back.
    pub(super) fn phase(&self, t: f64) -> f64 {
        self.rhythm.beats(self.heart_seconds(t))
    }

    fn heart_seconds(&self, t: f64) -> f64 {
        self.rates.iter().fold(t, |sum, (span, change)| sum + change * span.integral(t))
    }

    fn speed(&self, t: f64) -> f64 {
        self.rates.iter().fold(1.0, |sum, (span, change)| sum + change * span.level(t))
    }

    /// Mean beats a minute at this moment, without variability.
    pub(super) fn mean_per_min(&self, t: f64) -> f64 {
        self.rhythm.mean_per_min() * self.speed(t)
    }

    /// Beats a minute at this moment; of an arrhythmia its mean.
    pub(super) fn rate_per_min(&self, t: f64) -> f64 {
        let stands =
            self.stretch(self.phase(t).ceil()).is_some_and(|stretch| stretch.order == Order::Asystole);
        if stands { 0.0 } else { self.rhythm.rate_per_min(self.heart_seconds(t)) * self.speed(t) }
    }

    pub(super) fn breath(&self, t: f64) -> f64 {
        self.rhythm.breath(t)
    }

    /// Where between which beats the heart is.
    pub(super) fn cycle(&self, t: f64) -> Cycle {
        let phase = self.phase(t);
        let number = self.number(phase);
        let (from, to) = (self.place(number), self.place(number + 1.0));
        Cycle {
            position: ((phase - from) / (to - from)).clamp(0.0, 1.0),
            beats: [number - 1.0, number, number + 1.0].map(|number| self.beat(number)),
        }
    }

    /// The last beat at or before a phase.
    fn number(&self, phase: f64) -> f64 {
        let mut number = phase.floor();
        for _ in 0..SHIFT_MAX {
            if self.place(number) <= phase {
                break;
            }
            number -= 1.0;
        }
        for _ in 0..SHIFT_MAX {
            if self.place(number + 1.0) > phase {
                break;
            }
            number += 1.0;
        }
        number
    }

    /// The moments of beats within a time, `lag` of a cycle behind their R peaks; in order.
    pub(super) fn moments(&self, from_s: f64, to_s: f64, lag: f64) -> Vec<f64> {
        let (low, high) = (self.phase(from_s), self.phase(to_s));
        let mut moments = Vec::new();
        if !(low.is_finite() && high.is_finite() && from_s < to_s) {
            return moments;
        }
        let mut number = self.number(low) - 1.0;
        loop {
            let here = self.place(number);
            let target = here + lag * (self.place(number + 1.0) - here);
            if target >= high {
                return moments;
            }
            if target >= low && self.beat(number).shape != Shape::None {
                moments.push(self.moment(target, from_s, to_s));
            }
            number += 1.0;
        }
    }

    /// When a phase is reached, which is within this time.
    fn moment(&self, phase: f64, mut early_s: f64, mut late_s: f64) -> f64 {
        for _ in 0..HALVINGS {
            let middle_s = f64::midpoint(early_s, late_s);
            if self.phase(middle_s) < phase {
                early_s = middle_s;
            } else {
                late_s = middle_s;
            }
        }
        late_s
    }

    fn stretch(&self, number: f64) -> Option<&Stretch> {
        self.stretches.iter().find(|stretch| (stretch.from..stretch.to).contains(&number))
    }

    /// The phase at which a beat is. Between two beats there is always some time: 0.35 of the mean at least.
    fn place(&self, number: f64) -> f64 {
        match self.stretch(number) {
            Some(stretch) => self.place_in(stretch, number),
            None => number,
        }
    }

    fn place_in(&self, stretch: &Stretch, number: f64) -> f64 {
        match stretch.order {
            Order::Asystole => number,
            Order::Premature { every } if self.is_premature(stretch.from, every, number) => {
                number - PREMATURE_BY
            }
            Order::Premature { .. } => number,
            Order::Fibrillation => {
                let group = ((number - stretch.from) / FIBRILLATION_BEATS).floor();
                let first = stretch.from + group * FIBRILLATION_BEATS;
                let beats = FIBRILLATION_BEATS.min(stretch.to - first);
                let (mut before, mut sum, mut beat) = (0.0, 0.0, first);
                while beat < first + beats {
                    let (low, high) = FIBRILLATION_PACE;
                    let pace = low + (high - low) * self.noise.uniform(noise::FIBRILLATION, beat);
                    sum += pace;
                    before += if beat < number { pace } else { 0.0 };
                    beat += 1.0;
                }
                first + before / sum * beats
            }
        }
    }

    /// One beat of each group is; never its first, so that two of them never meet.
    fn is_premature(&self, from: f64, every: f64, number: f64) -> bool {
        let group = ((number - from) / every).floor();
        let chance = self.noise.uniform(noise::PREMATURE, group);
        number == from + group * every + 1.0 + (chance * (every - 1.0)).floor()
    }

    fn beat(&self, number: f64) -> Beat {
        let Some(stretch) = self.stretch(number) else { return Beat::SINUS };
        match stretch.order {
            Order::Asystole => Beat { shape: Shape::None, pulse: 0.0 },
            Order::Premature { every } if self.is_premature(stretch.from, every, number) => {
                Beat { shape: Shape::Ventricular, pulse: PREMATURE_PULSE }
            }
            Order::Premature { .. } => Beat::SINUS,
            Order::Fibrillation => {
                let interval = self.place(number) - self.place(number - 1.0);
                Beat { shape: Shape::Fibrillating, pulse: (0.5 + 0.5 * interval).clamp(0.6, 1.2) }
            }
        }
    }
}
