//! What events do to the patient.

use super::*;

fn patient(waveform: Waveform, sd: f64, events: &[&str]) -> Patient {
    let events = events.iter().map(|text| text.parse::<EventOf>().unwrap().event).collect();
    Patient::new(7, &PatientConfig { waveform, events, movements_per_min: 0.0, ..ecg_at(70.0, sd) })
}

fn intervals(beats: &[f64]) -> Vec<f64> {
    beats.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

fn rate(beats: &[f64]) -> f64 {
    60.0 * (beats.len() - 1) as f64 / (beats.last().unwrap() - beats[0])
}

fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
    (mean, variance.sqrt())
}

#[test]
fn true_beats_are_the_r_peaks_of_an_ecg_whatever_happens() {
    let patient = patient(
        Waveform::Ecg,
        3.0,
        &[
            "premature at=20s for=30s every=4",
            "fibrillation at=60s for=30s",
            "asystole at=100s for=8s",
            "tachycardia at=120s for=40s to=140",
        ],
    );
    let (shown, told) = (r_peaks(&patient, 180.0, 1_000.0), patient.true_beats(0.0, 180.0));
    assert_eq!(shown.len(), told.len());
    for (shown, told) in shown.iter().zip(&told) {
        // Sensor noise may move the highest sample of a broad beat so far.
        assert!((shown - told).abs() < 0.012, "beat at {told} s shown at {shown} s");
    }
}

#[test]
fn true_beats_are_the_highest_points_of_a_pulse_wave() {
    let patient = patient(Waveform::Ppg, 3.0, &["premature at=20s for=30s every=4"]);
    for beat in patient.true_beats(1.0, 60.0) {
        let near = |away: f64| patient.pulse_signal(beat + away);
        let top = (-20..=20).map(|i| near(f64::from(i) * 0.004)).fold(0.0, f64::max);
        // Sensor noise is up to 0.02 V.
        assert!(top - near(0.0) < 0.05 && near(0.0) > near(-0.25) + 0.2, "beat at {beat} s");
    }
}

#[test]
fn true_beats_do_not_depend_on_how_the_time_is_cut() {
    let patient = patient(Waveform::Ppg, 3.0, &["fibrillation at=10s for=41s", "asystole at=70s for=5s"]);
    let whole = patient.true_beats(0.0, 100.0);
    let mut parts = Vec::new();
    for (from, to) in [(0.0, 11.3), (11.3, 11.4), (11.4, 50.0), (50.0, 72.5), (72.5, 100.0)] {
        parts.extend(patient.true_beats(from, to));
    }
    assert_eq!(whole.len(), parts.len());
    assert!(whole.iter().zip(&parts).all(|(a, b)| (a - b).abs() < 1e-6));
    assert!(intervals(&whole).iter().all(|interval| *interval > 0.25), "in order");
    for (from, to) in [(5.0, 5.0), (6.0, 5.0), (f64::NAN, 5.0), (0.0, f64::INFINITY)] {
        assert_eq!(patient.true_beats(from, to), Vec::<f64>::new());
    }
}

#[test]
fn asystole_leaves_out_beats_and_nothing_else() {
    let (with, without) =
        (patient(Waveform::Ecg, 2.0, &["asystole at=20s for=10s"]), patient(Waveform::Ecg, 2.0, &[]));
    let mut expected = without.true_beats(0.0, 60.0);
    expected.retain(|beat| !(20.0..30.0).contains(beat));
    assert_eq!(with.true_beats(0.0, 60.0), expected);
    let flat = (210..290).map(|i| (with.pulse_signal(f64::from(i) / 10.0) - 2.0).abs()).fold(0.0, f64::max);
    assert!(flat < 0.1, "{flat} mV in asystole");
    assert_eq!(with.heart_rate_per_min(25.0), 0.0);
    assert!(with.heart_rate_per_min(35.0) > 50.0);
}

#[test]
fn slow_and_fast_hearts_have_their_rate_and_come_back() {
    let patient = patient(
        Waveform::Ecg,
        1.0,
        &["bradycardia at=100s for=100s to=35 rise=10s", "tachycardia at=300s for=100s to=160"],
    );
    let measured = |from, to| rate(&patient.true_beats(from, to));
    assert!((measured(0.0, 100.0) - 70.0).abs() < 1.0);
    assert!((measured(110.0, 190.0) - 35.0).abs() < 1.5, "{}", measured(110.0, 190.0));
    assert!((measured(200.0, 300.0) - 70.0).abs() < 1.0);
    assert!((measured(305.0, 395.0) - 160.0).abs() < 3.0, "{}", measured(305.0, 395.0));
    assert!((patient.heart_rate_per_min(350.0) - 160.0).abs() < 12.0);
}

#[test]
fn premature_beats_come_early_and_are_followed_by_a_pause() {
    let patient = patient(Waveform::Ecg, 0.0, &["premature every=6"]);
    let intervals = intervals(&patient.true_beats(0.0, 600.0));
    let period = 60.0 / 70.0;
    let early: Vec<usize> = (0..intervals.len() - 1).filter(|i| intervals[*i] < period * 0.7).collect();
    assert!((100..=118).contains(&early.len()), "{} of 700 beats are premature", early.len());
    for i in early {
        assert!((intervals[i] + intervals[i + 1] - 2.0 * period).abs() < 1e-6, "the pause compensates");
    }
}

#[test]
fn fibrillation_is_irregular_without_a_pattern_and_keeps_its_mean() {
    for length in ["", " for=1000s"] {
        let patient = patient(Waveform::Ppg, 0.0, &[&format!("fibrillation{length}")]);
        let beats = patient.true_beats(0.0, 900.0);
        let intervals = intervals(&beats);
        let (mean, deviation) = mean_and_deviation(&intervals);
        assert!((60.0 / mean - 70.0).abs() < 0.5, "{}", 60.0 / mean);
        assert!((0.14..0.4).contains(&(deviation / mean)), "{}", deviation / mean);
        assert!(intervals.iter().all(|interval| *interval > 0.35 * 60.0 / 70.0));
        let next: f64 = intervals.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum();
        let correlation = next / intervals.len() as f64 / deviation.powi(2);
        assert!(correlation.abs() < 0.3, "one interval does not tell the next: {correlation}");
    }
}

#[test]
fn fever_rises_to_its_value_stays_and_falls() {
    let patient = patient(Waveform::Ppg, 1.0, &["fever at=20s to=39.5 rise=10s for=100s"]);
    let celsius = |t: f64| patient.vitals(t)[0];
    for (t, expected) in
        [(19.0, 36.7), (25.0, 38.1), (30.5, 39.5), (100.0, 39.5), (115.0, 38.1), (130.0, 36.7)]
    {
        assert!((celsius(t) - expected).abs() < 0.5, "{} °C at {t} s", celsius(t));
    }
    assert!(celsius(35.0) > 39.2 && celsius(18.0) < 37.0);
}

#[test]
fn sensor_that_is_off_reads_nothing_and_the_heart_goes_on() {
    for waveform in [Waveform::Ecg, Waveform::Ppg] {
        let (off, on) = (patient(waveform, 2.0, &["sensor-off at=10s for=5s"]), patient(waveform, 2.0, &[]));
        assert!((0..100).all(|i| off.pulse_signal(10.0 + f64::from(i) * 0.05) == 0.0));
        assert_eq!(off.pulse_signal(15.0).to_bits(), on.pulse_signal(15.0).to_bits());
        assert_eq!(off.true_beats(0.0, 30.0), on.true_beats(0.0, 30.0));
    }
}

/// Decibels of what an event leaves of a wave.
fn measured_db(waveform: Waveform, event: &str, rate_hz: f64) -> f64 {
    let (with, without) = (patient(waveform, 1.0, &[event]), patient(waveform, 1.0, &[]));
    let times = (0..20_000).map(|i| f64::from(i) / rate_hz);
    let clean: Vec<f64> = times.clone().map(|t| without.pulse_signal(t)).collect();
    let added: Vec<f64> = times.zip(&clean).map(|(t, clean)| with.pulse_signal(t) - clean).collect();
    20.0 * (mean_and_deviation(&clean).1 / mean_and_deviation(&added).1).log10()
}

#[test]
fn noise_and_motion_have_the_decibels_that_were_asked_for_at_any_rate() {
    for (kind, slack_db) in [("noise", 0.5), ("motion", 1.0)] {
        for rate_hz in [20.0, 250.0] {
            for snr_db in [0.0, 3.0, 15.0] {
                let event = format!("{kind} snr={snr_db}");
                let measured = measured_db(Waveform::Ecg, &event, rate_hz);
                assert!((measured - snr_db).abs() < slack_db, "{event} at {rate_hz} Hz: {measured} dB");
            }
        }
        // The input of a pulse sensor ends at 0 and 3.3 V, and cuts the wildest.
        let measured = measured_db(Waveform::Ppg, &format!("{kind} snr=7"), 50.0);
        assert!((measured - 7.0).abs() < slack_db, "{kind}: {measured} dB");
    }
}

#[test]
fn motion_shakes_the_accelerometer_while_it_lasts() {
    let patient = patient(Waveform::Ppg, 1.0, &["motion at=10s for=10s snr=3"]);
    let shaken = |from: u32| {
        let x: Vec<f64> =
            (0..400).map(|i| patient.vitals(f64::from(from) + f64::from(i) / 40.0)[3]).collect();
        mean_and_deviation(&x).1
    };
    assert!(shaken(0) < 0.02 && shaken(20) < 0.02, "{} {}", shaken(0), shaken(20));
    assert!((0.1..0.5).contains(&shaken(10)), "{}", shaken(10));
}

#[test]
fn hum_has_its_amplitude_and_is_no_constant_at_20_hz() {
    let (with, without) =
        (patient(Waveform::Ecg, 1.0, &["hum hz=50 amplitude=0.5"]), patient(Waveform::Ecg, 1.0, &[]));
    for rate_hz in [20.0, 250.0, 1_000.0] {
        let added: Vec<f64> = (0..10_000)
            .map(|i| f64::from(i) / rate_hz)
            .map(|t| with.pulse_signal(t) - without.pulse_signal(t))
            .collect();
        let top = added.iter().copied().fold(0.0, f64::max);
        assert!((0.45..=0.501).contains(&top), "{top} mV at {rate_hz} Hz");
        assert!((mean_and_deviation(&added).1 - 0.5 / 2.0_f64.sqrt()).abs() < 0.02);
    }
}

#[test]
fn values_with_events_are_the_same_in_any_order() {
    let patient = patient(
        Waveform::Ppg,
        2.0,
        &[
            "fibrillation at=5s",
            "noise snr=10",
            "motion snr=5 at=3s",
            "hum",
            "fever at=2s",
            "sensor-off at=20s for=1s",
        ],
    );
    let forward: Vec<_> = (0..500).map(|i| patient.vitals(f64::from(i) * 0.05)).collect();
    let mut backward: Vec<_> = (0..500).rev().map(|i| patient.vitals(f64::from(i) * 0.05)).collect();
    backward.reverse();
    assert_eq!(forward, backward);
}

#[test]
fn nonsense_events_are_brought_to_the_limits() {
    let nonsense = [
        Happening::Premature { every: 0 },
        Happening::Bradycardia { to_per_min: f64::NAN, rise_s: f64::INFINITY },
        Happening::Tachycardia { to_per_min: 1e300, rise_s: -1.0 },
        Happening::Fever { to_celsius: f64::NAN, rise_s: f64::NAN },
        Happening::Motion { snr_db: -1e300 },
        Happening::Noise { snr_db: f64::NAN },
        Happening::Hum { hz: f64::INFINITY, amplitude: f64::NAN },
        Happening::Fibrillation,
        Happening::Asystole,
    ];
    for at_s in [0.0, -5.0, f64::NAN, f64::INFINITY] {
        for for_s in [None, Some(0.0), Some(f64::NAN), Some(-1.0), Some(1e300)] {
            let events = nonsense.iter().map(|what| PatientEvent { what: *what, at_s, for_s }).collect();
            for waveform in [Waveform::Ecg, Waveform::Ppg] {
                let config =
                    PatientConfig { waveform, events: Vec::clone(&events), ..PatientConfig::default() };
                let patient = Patient::new(1, &config);
                assert!((0..200).all(|i| patient.vitals(f64::from(i)).iter().all(|v| v.is_finite())));
            }
        }
    }
}
