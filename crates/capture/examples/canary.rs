//! Looks for a name and a key in a capture from standard input, and tells what each connection came to.
//!
//!     tcpdump -i any -c 100 -w - | cargo run -p vitalwire-capture --example canary

use std::error::Error;
use std::io::stdin;

use vitalwire_capture::{Needles, Verifier};

fn main() -> Result<(), Box<dyn Error>> {
    let mut needles = Needles::general();
    needles.name("device", "bed_07");
    needles.key("the key of the paper's example", b"1234567890123456");

    let mut verifier = Verifier::new(needles, &[])?;
    verifier.read(stdin().lock(), |_| {})?;
    let report = verifier.finish();
    for flow in &report.flows {
        println!("{} → {}: {}, {:?}", flow.client, flow.server, flow.protocol, flow.verdict);
        for finding in &flow.findings {
            println!("  {} at byte {}, {}", finding.what, finding.at, finding.time);
        }
    }
    println!("{} packets: {:?}", report.packets, report.verdict);
    Ok(())
}
