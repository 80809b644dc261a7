//! Appends three batches of a device, waits until they are on the disk, and reads them back.
//!
//!     cargo run -p vitalwire-journal --example append

use std::error::Error;

use vitalwire_journal::{Assurance, Entry, Journal, JournalLimits, Outcome};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let journal = Journal::open(&folder.path().join("journal.db"), &JournalLimits::default())?;
    // What a reader has not read is not removed, so a new one begins before anything is appended.
    let reader = journal.reader("example").await?;

    // The third is the first again, as a device sends it that saw no acknowledgement.
    for sequence in [1, 2, 1] {
        let receipt = journal.append(batch(sequence)?).await;
        // Only now may it be acknowledged.
        match receipt.await {
            Outcome::Committed { position } => println!("batch {sequence} is at position {position}"),
            Outcome::Duplicate => println!("batch {sequence} was there"),
            Outcome::Refused(refusal) => return Err(refusal.into()),
        }
    }

    for stored in reader.read(reader.position(), 10).await? {
        println!("read batch {}: {} bytes", stored.entry.sequence, stored.entry.body.len());
        reader.advance(stored.position);
    }
    journal.close().await;
    Ok(())
}

/// A second of one device's values. The journal never looks into the body.
fn batch(sequence: u64) -> Result<Entry, Box<dyn Error>> {
    let measured_us = 1_700_000_000_000_000;
    Ok(Entry {
        device: "bed_07".parse()?,
        boot: 1,
        sequence,
        received_us: measured_us + 1_050_000,
        first_us: measured_us,
        span_us: 950_000,
        uncertainty_us: 2_000,
        samples: 20,
        assurance: Assurance::Authenticated,
        body: vec![0; 40].into(),
    })
}
