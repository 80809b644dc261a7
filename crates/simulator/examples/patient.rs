//! Draws two seconds of a modelled patient's pulse, and the seven values of a moment.
//!
//!     cargo run -p vitalwire-simulator --example patient -- [SEED]

use std::error::Error;

use vitalwire_protocol::Channel;
use vitalwire_simulator::patient::{PULSE_VOLTS_MAX, Patient, PatientConfig, Waveform};

fn main() -> Result<(), Box<dyn Error>> {
    let seed = std::env::args().nth(1).map_or(Ok(1), |text| text.parse())?;
    // The same seed always gives the same patient; time is an argument, so nothing is waited for.
    let patient = Patient::new(seed, &PatientConfig::varied(seed, Waveform::Ppg));
    for step in 0..40 {
        let volts = patient.pulse_signal(f64::from(step) / 20.0);
        let dots = (0..60).take_while(|dot| f64::from(*dot) < volts / PULSE_VOLTS_MAX * 60.0);
        println!("{volts:.3} V {}", dots.map(|_| '.').collect::<String>());
    }
    println!("{:.0} beats a minute", patient.heart_rate_per_min(2.0));
    for (channel, value) in Channel::ALL.into_iter().zip(patient.vitals(2.0)) {
        println!("{channel}: {value:.3}");
    }
    Ok(())
}
