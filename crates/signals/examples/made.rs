//! An ECG with ventricular beats as CSV, which `vitalwire simulate` can play; where its beats are goes to standard error.

use vitalwire_signals::made::{Kind, Noise, Rhythm, Wave};

fn main() {
    let wave = Wave {
        rhythm: Rhythm::Ectopic,
        noise: Noise::White(20.0),
        seconds: 10.0,
        ..Wave::new(Kind::Ecg, 250.0, 1)
    };
    let made = wave.make();
    println!("ecg");
    made.samples.iter().for_each(|sample| println!("{sample:.3}"));
    let beats: Vec<String> = made.beats_s.iter().map(|at_s| format!("{at_s:.2}")).collect();
    eprintln!("beats at {} s", beats.join(", "));
}
