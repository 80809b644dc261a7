//! Shows who sees which device, and what a wrong password costs: a nurse of two beds, and someone who guesses.
//!
//!     cargo run -p vitalwire-access --example ward

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use vitalwire_access::{DeviceId, HashMemory, LoginLimiter, PasswordHash, Role, Scope, Verdict, Way};

fn main() -> Result<(), Box<dyn Error>> {
    let beds = ["bed_07", "bed_08"].map(str::parse::<DeviceId>).into_iter().collect::<Result<_, _>>()?;
    let nurse = Role::Reader { devices: Scope::Named(beds) };
    for bed in ["bed_07", "bed_09"] {
        println!("the nurse sees {bed}: {}", nurse.sees(&bed.parse()?));
    }

    // A program draws the salt at random.
    let hash = PasswordHash::new("a password for the nurse", &[7; 16])?;
    let mut memory = HashMemory::default();
    let (mut limiter, now) = (LoginLimiter::new(), Instant::now());
    let address = IpAddr::from(Ipv4Addr::LOCALHOST);
    for guess in 1.. {
        let verdict = limiter.begin(Way::Mqtt, "nurse", address, now);
        println!("guess {guess}: {verdict:?}");
        let Verdict::Check { .. } = verdict else { break };
        if !hash.verify(b"a guess", &mut memory) {
            limiter.failed(Way::Mqtt, "nurse", address, now);
        }
    }
    Ok(())
}
