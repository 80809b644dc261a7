//! Facts about the modelled patient as a whole. Seeds are fixed, so a failure repeats.

use super::*;

fn ecg_at(rate: f64, sd: f64) -> PatientConfig {
    PatientConfig {
        waveform: Waveform::Ecg,
        heart_rate_per_min: rate,
        heart_rate_sd_per_min: sd,
        ..PatientConfig::default()
    }
}

/// Times of the R peaks: local maxima above 2.6 (0.6 mV).
fn r_peaks(patient: &Patient, seconds: f64, rate_hz: f64) -> Vec<f64> {
    let samples: Vec<f64> = (0..)
        .map(|i| f64::from(i) / rate_hz)
        .take_while(|t| *t < seconds)
        .map(|t| patient.pulse_signal(t))
        .collect();
    let mut peaks: Vec<f64> = Vec::new();
    for i in 1..samples.len() - 1 {
        let t = i as f64 / rate_hz;
        let is_top = samples[i] > 2.6 && samples[i] >= samples[i - 1] && samples[i] > samples[i + 1];
        if is_top && peaks.last().is_none_or(|last| t - last > 0.15) {
            peaks.push(t);
        }
    }
    peaks
}

#[test]
fn same_seed_gives_the_same_values_in_any_order() {
    let a = Patient::new(7, &PatientConfig::default());
    let b = Patient::new(7, &PatientConfig::default());
    let forward: Vec<_> = (0..500).map(|i| a.vitals(f64::from(i) * 0.05)).collect();
    let mut backward: Vec<_> = (0..500).rev().map(|i| b.vitals(f64::from(i) * 0.05)).collect();
    backward.reverse();
    assert_eq!(forward, backward);
}

#[test]
fn another_seed_gives_other_values() {
    let config = PatientConfig::default();
    assert_ne!(Patient::new(1, &config).vitals(3.0), Patient::new(2, &config).vitals(3.0));
    assert_ne!(PatientConfig::varied(1, Waveform::Ppg), PatientConfig::varied(2, Waveform::Ppg));
}

#[test]
fn measured_r_peaks_give_the_configured_rate() {
    for rate in [40.0, 60.0, 72.5, 120.0, 180.0] {
        let peaks = r_peaks(&Patient::new(11, &ecg_at(rate, 2.5)), 300.0, 250.0);
        let measured = 60.0 * (peaks.len() - 1) as f64 / (peaks.last().unwrap() - peaks[0]);
        assert!((measured - rate).abs() < 0.5, "configured {rate}, measured {measured}");
    }
}

#[test]
fn r_peaks_are_the_same_at_every_sampling_rate() {
    let patient = Patient::new(5, &ecg_at(75.0, 4.0));
    let fine = r_peaks(&patient, 120.0, 1_000.0);
    for rate_hz in [150.0, 250.0, 333.0, 500.0] {
        let coarse = r_peaks(&patient, 120.0, rate_hz);
        assert_eq!(coarse.len(), fine.len(), "at {rate_hz} Hz");
        // Sensor noise may move the highest sample of a peak by a few milliseconds.
        let worst = fine.iter().zip(&coarse).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(worst < 1.0 / rate_hz + 0.006, "peak moved by {worst} s at {rate_hz} Hz");
    }
}

#[test]
fn heart_rate_read_out_is_what_the_beats_show() {
    let patient = Patient::new(21, &ecg_at(70.0, 4.0));
    let peaks = r_peaks(&patient, 120.0, 1_000.0);
    for pair in peaks.windows(2) {
        let shown = 60.0 / (pair[1] - pair[0]);
        let read = patient.heart_rate_per_min((pair[0] + pair[1]) / 2.0);
        assert!((shown - read).abs() < 2.0, "beat at {} s: {shown} shown, {read} read", pair[0]);
    }
}

#[test]
fn variability_has_the_configured_deviation_and_breathing_in_it() {
    let patient = Patient::new(3, &ecg_at(70.0, 3.0));
    let rates: Vec<f64> = (0..6_000).map(|i| patient.heart_rate_per_min(f64::from(i) * 0.1)).collect();
    let mean = rates.iter().sum::<f64>() / rates.len() as f64;
    let sd = (rates.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / rates.len() as f64).sqrt();
    assert!((mean - 70.0).abs() < 0.3, "mean {mean}");
    assert!((sd - 3.0).abs() < 0.6, "deviation {sd}");
}

#[test]
fn heart_never_runs_backwards_however_variable() {
    for seed in 0..50 {
        let patient = Patient::new(seed, &ecg_at(60.0, 1e9));
        assert!((0..3_000).all(|i| patient.heart_rate_per_min(f64::from(i) * 0.2) > 0.0), "seed {seed}");
    }
}

#[test]
fn values_stay_plausible_for_an_hour() {
    for seed in 0..6 {
        for waveform in [Waveform::Ecg, Waveform::Ppg] {
            let patient = Patient::new(seed, &PatientConfig::varied(seed, waveform));
            for i in 0..7_200 {
                let [body, mcu, pulse, x, y, z, mpu] = patient.vitals(f64::from(i) * 0.5);
                assert!((35.9..37.8).contains(&body), "seed {seed}: body {body} °C");
                assert!(
                    (15.0..30.0).contains(&mcu) && (15.0..30.0).contains(&mpu),
                    "seed {seed}: {mcu}, {mpu} °C"
                );
                assert!((PULSE_VOLTS_MIN..=PULSE_VOLTS_MAX).contains(&pulse), "seed {seed}: pulse {pulse}");
                assert!([x, y, z].iter().all(|a| a.abs() <= 2.0), "seed {seed}: {x} {y} {z} g");
            }
        }
    }
}

#[test]
fn at_rest_gravity_is_one_g() {
    let patient = Patient::new(9, &PatientConfig { movements_per_min: 0.0, ..PatientConfig::default() });
    for i in 0..2_000 {
        let [_, _, _, x, y, z, _] = patient.vitals(f64::from(i) * 0.05);
        let gravity = (x * x + y * y + z * z).sqrt();
        assert!((gravity - 1.0).abs() < 0.03, "{gravity} g");
    }
}

#[test]
fn movement_comes_in_bursts() {
    let patient = Patient::new(9, &PatientConfig { movements_per_min: 2.0, ..PatientConfig::default() });
    let shaking = (0..12_000)
        .filter(|i| {
            let [_, _, _, x, y, z, _] = patient.vitals(f64::from(*i) * 0.05);
            ((x * x + y * y + z * z).sqrt() - 1.0).abs() > 0.04
        })
        .count();
    assert!((60..3_000).contains(&shaking), "{shaking} of 12000 samples");
}

#[test]
fn body_temperature_moves_in_sensor_steps_and_holds_between_conversions() {
    let patient = Patient::new(4, &PatientConfig::default());
    for i in 0..2_000 {
        let [celsius, ..] = patient.vitals(f64::from(i) * 0.05);
        assert!((celsius / 0.0625).fract().abs() < 1e-9, "{celsius}");
    }
    let [first, ..] = patient.vitals(0.0);
    let [second, ..] = patient.vitals(0.7);
    assert_eq!(first.to_bits(), second.to_bits());
}

#[test]
fn nonsense_configuration_is_brought_to_the_limits() {
    let config = PatientConfig {
        heart_rate_per_min: f64::NAN,
        heart_rate_sd_per_min: f64::INFINITY,
        respiration_per_min: -3.0,
        body_temperature_celsius: 1e300,
        room_temperature_celsius: f64::NAN,
        movements_per_min: 1e9,
        ..PatientConfig::default()
    };
    let patient = Patient::new(1, &config);
    assert!((0..1_000).all(|i| patient.vitals(f64::from(i)).iter().all(|v| v.is_finite())));
}

#[test]
fn waveform_names_are_read_back() {
    for waveform in [Waveform::Ecg, Waveform::Ppg] {
        assert_eq!(waveform.to_string().parse(), Ok(waveform));
    }
    assert_eq!(
        "EKG".parse::<Waveform>().unwrap_err().to_string(),
        "`EKG` is no waveform; choose `ecg` or `ppg`"
    );
}

mod events;
