//! What one heart cycle looks like: ECG and photoplethysmogram as sums of Gaussians over the cycle.
//!
//! It maps a position in the heart cycle (0 = R peak, up to 1) and the beats around it to a voltage. Only the waves of a fibrillating
//! atrium know the time.

use std::f64::consts::{PI, TAU};

/// Lowest voltage the device's analogue input can give.
pub const PULSE_VOLTS_MIN: f64 = 0.0;
/// Highest voltage the device's analogue input can give.
pub const PULSE_VOLTS_MAX: f64 = 3.3;

/// A bump of the waveform: where in the cycle (radians from the R peak), how wide (standard deviation in radians),
/// how high.
struct Bump {
    angle: f64,
    width: f64,
    height: f64,
}

impl Bump {
    /// Its height at an angle of the cycle. The three beats around have their angles; each bump counts where it is nearest.
    fn at(&self, angle: f64, stretch_angle: f64, stretch_width: f64) -> f64 {
        let distance = angle - self.angle * stretch_angle;
        if !(-PI..PI).contains(&distance) {
            return 0.0;
        }
        let width = self.width * stretch_width;
        self.height * (-distance.powi(2) / (2.0 * width * width)).exp()
    }
}

/// How a beat looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// As it should.
    Sinus,
    /// Without a P wave.
    Fibrillating,
    /// Broad and high, without a P wave, and with its T wave turned over.
    Ventricular,
    /// There is no beat.
    None,
}

/// A beat.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beat {
    pub(super) shape: Shape,
    /// How strong its pulse is: 1 usually.
    pub(super) pulse: f64,
}

impl Beat {
    pub(super) const SINUS: Self = Self { shape: Shape::Sinus, pulse: 1.0 };
}

/// A moment between two beats.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cycle {
    /// 0 at the R peak of the beat in the middle of `beats`, 1 at that of the last.
    pub(super) position: f64,
    pub(super) beats: [Beat; 3],
}

impl Cycle {
    /// Of a regular heart.
    pub(super) fn regular(position: f64) -> Self {
        Self { position, beats: [Beat::SINUS; 3] }
    }

    /// What each of the beats adds, which is asked with its angle.
    fn sum(&self, of: impl Fn(Beat, f64) -> f64) -> f64 {
        let angle = self.position * TAU;
        self.beats.iter().zip([angle + TAU, angle, angle - TAU]).map(|(beat, angle)| of(*beat, angle)).sum()
    }
}

/// Angles and widths of Q, R, S and the angles of P and T: McSharry et al. 2003, table I, whose equation of motion
/// has these Gaussians as its solution over one cycle. P is narrowed and the heights (mV) are set to what a lead II
/// of a healthy adult shows.
const P: Bump = Bump { angle: -PI / 3.0, width: 0.20, height: 0.15 };
const Q: Bump = Bump { angle: -PI / 12.0, width: 0.1, height: -0.12 };
const R: Bump = Bump { angle: 0.0, width: 0.1, height: 1.10 };
const S: Bump = Bump { angle: PI / 12.0, width: 0.1, height: -0.25 };
const T: Bump = Bump { angle: PI / 2.0, width: 0.4, height: 0.30 };
/// A beat from the ventricle: its excitation goes from cell to cell, not along the fast paths, and takes twice the time.
const R_VENTRICULAR: Bump = Bump { angle: 0.0, width: 0.22, height: 1.35 };
const S_VENTRICULAR: Bump = Bump { angle: PI / 6.0, width: 0.2, height: -0.40 };
const T_VENTRICULAR: Bump = Bump { angle: PI / 1.8, width: 0.45, height: -0.35 };
/// Waves of a fibrillating atrium, in millivolts and hertz.
const ATRIUM_MILLIVOLTS: f64 = 0.05;
const ATRIUM_HZ: f64 = 6.2;

/// Millivolts of a lead-II-like ECG.
///
/// A faster heart fills more of its cycle with the same QRS complex: angles and widths grow with the square root of
/// the rate, P and T move less, as in the authors' program ECGSYN (PhysioNet).
pub(super) fn ecg_millivolts(cycle: &Cycle, mean_per_min: f64, t: f64, breath: f64, noise: f64) -> f64 {
    let fast = (mean_per_min / 60.0).sqrt();
    let slow = fast.sqrt();
    let normal = |angle| {
        Q.at(angle, fast, fast) + R.at(angle, fast, fast) + S.at(angle, fast, fast) + T.at(angle, slow, fast)
    };
    let beat = cycle.sum(|beat, angle| match beat.shape {
        Shape::None => 0.0,
        Shape::Sinus => P.at(angle, slow, fast) + normal(angle),
        Shape::Fibrillating => normal(angle),
        Shape::Ventricular => {
            R_VENTRICULAR.at(angle, fast, fast)
                + S_VENTRICULAR.at(angle, fast, fast)
                + T_VENTRICULAR.at(angle, slow, fast)
        }
    });
    let [_, here, _] = cycle.beats;
    let atrium =
        if here.shape == Shape::Fibrillating { ATRIUM_MILLIVOLTS * (TAU * ATRIUM_HZ * t).sin() } else { 0.0 };
    // Breathing moves the electrodes: baseline wander and, slightly, the height of the beat.
    (beat + atrium) * (1.0 + 0.04 * breath) + 0.05 * breath + 0.008 * noise
}

/// The systolic wave reaches a finger about a quarter of a second after the R peak. Two Gaussians a pulse as in Tang,
/// Chen, Ward and Elgendi, "Synthetic photoplethysmogram generation using two Gaussian functions", Scientific Reports
/// 10, 2020, 13883; the heights are volts. Between the two lies the dicrotic notch.
const SYSTOLIC: Bump = Bump { angle: TAU * SYSTOLIC_POSITION, width: TAU * 0.075, height: 1.30 };
const DIASTOLIC: Bump = Bump { angle: TAU * 0.56, width: TAU * 0.095, height: 0.52 };
const PPG_BASELINE_VOLTS: f64 = 0.95;

/// Where in the cycle a pulse wave has its highest point.
pub(super) const SYSTOLIC_POSITION: f64 = 0.28;

/// Volts at the analogue input of a pulse sensor, which [`PULSE_VOLTS_MIN`] and [`PULSE_VOLTS_MAX`] do not bound yet.
pub(super) fn ppg_volts(cycle: &Cycle, breath: f64, noise: f64) -> f64 {
    let pulse =
        cycle.sum(|beat, angle| beat.pulse * (SYSTOLIC.at(angle, 1.0, 1.0) + DIASTOLIC.at(angle, 1.0, 1.0)));
    // Breathing in lowers the stroke volume and shifts the venous baseline.
    PPG_BASELINE_VOLTS + pulse * (1.0 - 0.08 * breath) + 0.06 * breath + 0.006 * noise
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ecg(position: f64, per_min: f64) -> f64 {
        ecg_millivolts(&Cycle::regular(position), per_min, 0.0, 0.0, 0.0)
    }

    fn ppg(position: f64) -> f64 {
        ppg_volts(&Cycle::regular(position), 0.0, 0.0)
    }

    fn extremes(samples: &[f64]) -> Vec<(bool, f64)> {
        (1..samples.len() - 1)
            .filter_map(|i| {
                let (before, here, after) = (samples[i - 1], samples[i], samples[i + 1]);
                if here > before && here >= after {
                    Some((true, here))
                } else if here < before && here <= after {
                    Some((false, here))
                } else {
                    None
                }
            })
            .collect()
    }

    #[test]
    fn ppg_has_systolic_peak_dicrotic_notch_and_diastolic_peak() {
        let cycle: Vec<f64> = (0..1_000).map(|i| ppg(f64::from(i) / 1_000.0)).collect();
        let found = extremes(&cycle);
        let peaks: Vec<f64> = found.iter().filter(|(peak, _)| *peak).map(|(_, v)| *v).collect();
        let valleys: Vec<f64> = found.iter().filter(|(peak, _)| !*peak).map(|(_, v)| *v).collect();
        assert_eq!(peaks.len(), 2, "{found:?}");
        assert!(peaks[0] > peaks[1] + 0.5, "systolic above diastolic: {peaks:?}");
        assert!(
            valleys.iter().any(|v| *v < peaks[1] - 0.02 && *v > PPG_BASELINE_VOLTS + 0.1),
            "notch: {valleys:?}"
        );
    }

    #[test]
    fn ecg_has_its_five_waves_in_order() {
        // From half a cycle before the R peak to half a cycle after it.
        let cycle: Vec<f64> =
            (0..1_000).map(|i| ecg((f64::from(i) / 1_000.0 - 0.5).rem_euclid(1.0), 60.0)).collect();
        let heights: Vec<f64> =
            extremes(&cycle).into_iter().filter(|(peak, v)| *peak == (*v > 0.0)).map(|(_, v)| v).collect();
        assert_eq!(heights.len(), 5, "P Q R S T: {heights:?}");
        assert!(
            heights[0] > 0.1
                && heights[1] < -0.03
                && heights[2] > 1.0
                && heights[3] < -0.1
                && heights[4] > 0.25
        );
    }

    #[test]
    fn one_cycle_joins_the_next_without_a_step() {
        for rate in [20.0, 60.0, 180.0, 300.0] {
            let step = ecg(0.999_999, rate) - ecg(0.0, rate);
            assert!(step.abs() < 1e-3, "{step} mV at {rate}/min");
            let middle = ecg(0.499_999, rate) - ecg(0.500_001, rate);
            assert!(middle.abs() < 1e-3, "{middle} mV at {rate}/min, mid-cycle");
        }
        assert!((ppg(0.999_999) - ppg(0.0)).abs() < 1e-3);
    }
}
