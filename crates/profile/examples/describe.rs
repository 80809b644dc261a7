//! Describes the channels of a profile: of a TOML file, or of the built-in `pico`.
//!
//!     cargo run -p vitalwire-profile --example describe -- [FILE]

use std::error::Error;

use vitalwire_profile::Profile;

fn main() -> Result<(), Box<dyn Error>> {
    let profile = match std::env::args_os().nth(1) {
        Some(file) => Profile::parse(&std::fs::read_to_string(file)?)?,
        None => Profile::builtin("pico").ok_or("pico is built in")?,
    };
    println!("{}: {}", profile.name(), profile.title());
    for channel in profile.channels() {
        let (name, unit) = (&channel.name, &channel.unit);
        println!(
            "{:>2}  {name}, {} to {} {unit}, each {} µs",
            channel.index,
            channel.minimum,
            channel.maximum,
            channel.interval_us(),
        );
    }
    Ok(())
}
