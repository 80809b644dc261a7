//! A month of readings in a journal, as if it had been measured: simulated patients at speed.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use vitalwire_access::DeviceId;
use vitalwire_journal::{Assurance, Entry, Journal, JournalLimits};
use vitalwire_simulator::patient::{Patient, PatientConfig, Waveform};

use crate::enrolment::device_id;
use crate::link::pico_batch;

/// The server's journal, in its data folder.
pub(crate) const JOURNAL: &str = "journal.db";
/// The reader of the journal that publishes what was not published: it has done so.
const PUBLISHER: &str = "publisher";
/// The name of the profile of a reading, as it stands before its message: CBOR text of four bytes.
const PICO: &[u8] = b"\x64pico";
/// Far more than a month of ten patients.
pub(crate) const BYTES_MAX: u64 = 64 << 30;

/// Writes so many seconds, up to `end_us`, of so many patients, in the order in which they would have come.
pub(crate) fn write(data: &Path, patients: usize, seconds: u32, end_us: i64) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let limits = JournalLimits {
            bytes_max: BYTES_MAX,
            age_max: None,
            queue_entries_max: 16_384,
            commit_entries_max: 4_096,
            ..JournalLimits::default()
        };
        let journal = Journal::open(&data.join(JOURNAL), &limits)?;
        let publisher = journal.reader(PUBLISHER).await?;
        let ward = (0..patients).map(patient).collect::<Result<Vec<_>>>()?;
        for second in 0..seconds {
            let first_us = end_us - i64::from(seconds - second) * 1_000_000;
            for (device, patient) in &ward {
                let entry = entry(device, patient, second, first_us)?;
                // It is counted below: to wait for each would take longer than to write them.
                drop(journal.append(entry).await);
            }
            publisher.advance(journal.head());
            if second % 86_400 == 86_399 {
                eprintln!("history: {} days are written", second / 86_400 + 1);
            }
        }
        let expected = u64::from(seconds) * patients as u64;
        let mut heads = journal.heads();
        heads.wait_for(|head| *head >= expected).await.context("the journal is closed")?;
        let stats = journal.stats();
        ensure!(stats.committed == expected && stats.refused == 0, "the journal did not take all: {stats:?}");
        publisher.advance(journal.head());
        journal.close().await;
        Ok(())
    })
}

fn patient(index: usize) -> Result<(DeviceId, Patient)> {
    let seed = index as u64;
    Ok((device_id(index).parse()?, Patient::new(seed, &PatientConfig::varied(seed, Waveform::Ppg))))
}

fn entry(device: &DeviceId, patient: &Patient, second: u32, first_us: i64) -> Result<Entry> {
    let sequence = u64::from(second) + 1;
    let body = [PICO, &pico_batch(patient, sequence, second)?].concat();
    Ok(Entry {
        device: device.clone(),
        boot: 1,
        sequence,
        received_us: first_us + 1_000_000,
        first_us,
        span_us: 950_000,
        uncertainty_us: 1_000,
        samples: 20,
        assurance: Assurance::Authenticated,
        body: body.into(),
    })
}
