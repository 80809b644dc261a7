//! How long and with which seed fault tests run.

/// How much of a fault test is run.
pub fn length(short: u64, full: u64) -> u64 {
    if std::env::var("VITALWIRE_FAULTS").is_ok_and(|value| value == "full") { full } else { short }
}

/// A seed to repeat a run: VITALWIRE_SEED, or a new one; printed.
pub fn seed() -> u64 {
    let seed = std::env::var("VITALWIRE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(rand::random);
    println!("VITALWIRE_SEED={seed}");
    seed
}
