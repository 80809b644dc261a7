//! How long and with which seed random tests run.

/// `full` where the environment's VITALWIRE_FAULTS is `full`, else `short`.
pub fn length(short: u64, full: u64) -> u64 {
    if std::env::var("VITALWIRE_FAULTS").is_ok_and(|value| value == "full") { full } else { short }
}

/// The seed of a random test, printed: VITALWIRE_SEED, which repeats a run, or a new one.
pub fn seed() -> u64 {
    let seed = std::env::var("VITALWIRE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(rand::random);
    println!("VITALWIRE_SEED={seed}");
    seed
}
