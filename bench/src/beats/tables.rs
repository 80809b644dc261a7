//! Simulated patients with noise and movement of a known strength, and made signals of hearts that are not well.

use vitalwire_signals::made::{Kind, Noise, Rhythm, Wave, noise};
use vitalwire_simulator::patient::{Happening, Patient, PatientConfig, PatientEvent, Waveform};
use vitalwire_vitals::alarm::Limits;
use vitalwire_vitals::wave::WaveKind;

use super::alarms::{is_false, raised};
use super::score::{Score, find, percent};

const RATES_HZ: [f64; 4] = [20.0, 50.0, 125.0, 250.0];
/// Mean rates of the patients, a minute.
const PER_MIN: [f64; 4] = [48.0, 66.0, 84.0, 115.0];

pub(crate) fn report(quick: bool) {
    let seconds = if quick { 30.0 } else { 300.0 };
    println!("## Simulated patients\n");
    println!(
        "{} patients of {seconds} s at rest, 48 to 115 a minute, by `vitalwire_simulator`; decibels of the wave's power over \
         that of white noise or of movement (0.5 to 4 Hz) that never ends. Each cell: windows accepted %, mean error of their rate a \
         minute, those of them that are wrong by more than 2 a minute %.\n",
        PER_MIN.len()
    );
    let disturbances: [(&str, Option<Happening>); 8] = [
        ("clean", None),
        ("noise 15 dB", Some(Happening::Noise { snr_db: 15.0 })),
        ("7 dB", Some(Happening::Noise { snr_db: 7.0 })),
        ("3 dB", Some(Happening::Noise { snr_db: 3.0 })),
        ("movement 15 dB", Some(Happening::Motion { snr_db: 15.0 })),
        ("7 dB", Some(Happening::Motion { snr_db: 7.0 })),
        ("3 dB", Some(Happening::Motion { snr_db: 3.0 })),
        ("mains", Some(Happening::Hum { hz: 50.0, amplitude: 0.3 })),
    ];
    print!("| wave, Hz |");
    disturbances.iter().for_each(|(name, _)| print!(" {name} |"));
    println!("\n| --- |{}", " ---: |".repeat(disturbances.len()));
    for waveform in [Waveform::Ecg, Waveform::Ppg] {
        for rate_hz in RATES_HZ {
            print!("| {}, {rate_hz} |", if waveform == Waveform::Ecg { "ECG" } else { "PPG" });
            for (_, disturbance) in disturbances {
                print!(" {} |", cell(&simulated(waveform, rate_hz, disturbance, seconds)));
            }
            println!();
        }
    }
    println!();
    rhythms(quick);
    noise_alone(quick);
}

/// Accepted, mean error, wrong.
fn cell(scores: &[Score]) -> String {
    let accepted = scores.iter().map(|score| score.accepted).sum::<f64>() / scores.len() as f64;
    let errors: Vec<f64> = scores.iter().flat_map(|score| score.errors.iter().copied()).collect();
    let all = Score { errors, ..Score::default() };
    if all.errors.is_empty() {
        return format!("{} / — / —", percent(accepted));
    }
    format!("{} / {:.2} / {}", percent(accepted), all.error_mean(), percent(all.wrong()))
}

fn simulated(waveform: Waveform, rate_hz: f64, disturbance: Option<Happening>, seconds: f64) -> Vec<Score> {
    let score = |(seed, heart_rate_per_min): (u64, f64)| {
        let events =
            disturbance.map(|what| PatientEvent { what, at_s: 0.0, for_s: None }).into_iter().collect();
        let config = PatientConfig { waveform, heart_rate_per_min, events, ..PatientConfig::default() };
        let patient = Patient::new(seed, &config);
        let samples: Vec<f32> = (0..(seconds * rate_hz) as usize)
            .map(|number| patient.pulse_signal(number as f64 / rate_hz) as f32)
            .collect();
        let truth_us: Vec<i64> =
            patient.true_beats(0.0, seconds).iter().map(|at_s| (at_s * 1e6) as i64).collect();
        let kind = if waveform == Waveform::Ecg { WaveKind::Ecg } else { WaveKind::Ppg };
        Score::of(&find(kind, rate_hz, &samples), &truth_us)
    };
    (1..).zip(PER_MIN).map(score).collect()
}

/// Hearts that are not well, with noise of 20 dB.
fn rhythms(quick: bool) {
    let seconds = if quick { 60.0 } else { 600.0 };
    println!("## Rhythms\n");
    println!(
        "Made signals of {seconds} s with white noise of 20 dB, by `vitalwire_signals::made`. Each cell: Se %, PPV %, windows accepted %, \
         mean error of the rate a minute; then alarms with the default limits, and how many of them are false.\n"
    );
    println!("| rhythm | ECG, 250 Hz | PPG, 20 Hz | PPG, 250 Hz |\n| --- | --- | --- | --- |");
    let sinus =
        |per_min: f64| (format!("sinus, {per_min}/min"), Rhythm::Sinus, per_min, Noise::White(20.0), 1.0);
    let ill = |name: &str, rhythm| (name.to_owned(), rhythm, 72.0, Noise::White(20.0), 1.0);
    let mut rows: Vec<_> = [30.0, 40.0, 60.0, 90.0, 130.0, 180.0, 220.0].map(sinus).into();
    rows.extend([
        ill("bigeminy", Rhythm::Bigeminy),
        ill("ventricular beats", Rhythm::Ectopic),
        ill("atrial fibrillation", Rhythm::Fibrillation),
        ill("paced", Rhythm::Paced),
        ill("no beat for 15 s", Rhythm::Pause(30.0, 45.0)),
        ("a twentieth of the height".to_owned(), Rhythm::Sinus, 72.0, Noise::White(20.0), 0.05),
        ("baseline wander".to_owned(), Rhythm::Sinus, 72.0, Noise::Wander, 1.0),
        ("mains hum".to_owned(), Rhythm::Sinus, 72.0, Noise::Hum, 1.0),
        ("bursts of movement".to_owned(), Rhythm::Sinus, 72.0, Noise::Motion, 1.0),
    ]);
    for (name, rhythm, per_min, noise, amplitude) in rows {
        print!("| {name} |");
        for (kind, rate_hz) in [(Kind::Ecg, 250.0), (Kind::Ppg, 20.0), (Kind::Ppg, 250.0)] {
            let wave = Wave { rhythm, per_min, noise, amplitude, seconds, ..Wave::new(kind, rate_hz, 7) };
            print!(" {} |", rhythm_cell(&wave));
        }
        println!();
    }
    println!();
}

fn rhythm_cell(wave: &Wave) -> String {
    let made = wave.make();
    let truth_us: Vec<i64> = made.beats_s.iter().map(|at_s| (at_s * 1e6) as i64).collect();
    let kind = if wave.kind == Kind::Ecg { WaveKind::Ecg } else { WaveKind::Ppg };
    let score = Score::of(&find(kind, wave.rate_hz, &made.samples), &truth_us);
    let alarms = raised(kind, wave.rate_hz, &made.samples);
    let limits = Limits::default();
    let wrong = alarms.iter().filter(|alarm| is_false(alarm, &limits, &truth_us)).count();
    let of_the_body = alarms.iter().filter(|alarm| super::alarms::is_of_the_body(alarm)).count();
    let error = if score.errors.is_empty() { "—".to_owned() } else { format!("{:.2}", score.error_mean()) };
    format!(
        "{} / {} / {} / {error}; {of_the_body}, {wrong}",
        percent(score.sensitivity),
        percent(score.predictivity),
        percent(score.accepted),
    )
}

/// No heart at all: for how many seconds there is a rate, or silence is told as asystole would be.
fn noise_alone(quick: bool) {
    let hours = if quick { 0.02 } else { 4.0 };
    println!("## Noise alone\n");
    println!(
        "{hours} hours each, by `vitalwire_signals::made`. Each cell: seconds with a rate, and with a silence of 4 s or more.\n"
    );
    println!(
        "| wave, Hz | white | memory 0.5 | 0.9 | 0.97 | brown |\n| --- | ---: | ---: | ---: | ---: | ---: |"
    );
    for (name, kind) in [("ECG", WaveKind::Ecg), ("PPG", WaveKind::Ppg)] {
        for rate_hz in [20.0, 50.0, 250.0] {
            print!("| {name}, {rate_hz} |");
            for memory in [0.0, 0.5, 0.9, 0.97, 1.0] {
                let samples = noise((hours * 3_600.0 * rate_hz) as usize, memory, 11);
                let seconds = find(kind, rate_hz, &samples).seconds;
                let rates = seconds.iter().filter(|second| second.rate_per_min.is_some()).count();
                let silent = seconds.iter().filter(|second| second.without_beat_us >= 4_000_000).count();
                print!(" {rates}, {silent} |");
            }
            println!();
        }
    }
    println!();
}
