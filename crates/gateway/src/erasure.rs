//! Erasure: when the operator asks for it, everything that the server keeps of a device goes: its readings in the
//! journal, its retained messages, and what waits for subscribers that are away. Then it looks whether all is gone, and
//! puts what it found on record.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use vitalwire_access::DeviceId;
use vitalwire_journal::JournalError;
use vitalwire_registry::{Directory, RegistryError};

use crate::context::Context;

/// After a failure it is tried again so much later.
const RETRY: Duration = Duration::from_secs(10);
/// An entry that came while the device's connection ended is erased in the next round; there is none after the second.
const ROUNDS_MAX: usize = 5;

#[derive(Debug, thiserror::Error)]
enum ErasureError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("the registry: {0}")]
    Registry(#[from] RegistryError),
    #[error("the device's connection does not end")]
    StillConnected,
    #[error("readings of the device keep coming")]
    StillThere,
}

/// Carries out what the registry asks for, until the server stops.
pub(crate) async fn run(mut directory: watch::Receiver<Arc<Directory>>, context: Arc<Context>) {
    loop {
        let pending: BTreeSet<DeviceId> = BTreeSet::clone(&directory.borrow_and_update().erasures);
        let mut failed = false;
        for device in pending {
            match erase(&context, &device).await {
                Ok(()) => tracing::info!(%device, "the device's readings are erased"),
                Err(error) => {
                    failed = true;
                    tracing::error!(%device, %error, "the device's readings are not erased yet; trying again");
                }
            }
        }
        tokio::select! {
            changed = directory.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(RETRY), if failed => {}
            () = context.stop.cancelled() => return,
        }
    }
}

async fn erase(context: &Context, device: &DeviceId) -> Result<(), ErasureError> {
    if !context.sessions.ended(device, RETRY).await {
        return Err(ErasureError::StillConnected);
    }
    let (mut entries, mut rounds) = (0, 0);
    loop {
        entries += context.intake.erase(device).await?;
        if !context.intake.holds(device).await? {
            break;
        }
        rounds += 1;
        if rounds == ROUNDS_MAX {
            return Err(ErasureError::StillThere);
        }
    }
    // What the backfill had read before is handed to no one from here on.
    context.intake.note_erasure().await;
    let messages = context.publisher.erase(device).await;
    let proof = proof(entries, messages);
    Ok(context.enrolment.erasure_done(device.clone(), entries, proof).await?)
}

/// What goes on record: what was erased, and that a search afterwards found nothing.
fn proof(entries: u64, messages: Option<usize>) -> String {
    let time = humantime::format_rfc3339_millis(SystemTime::now());
    let broker = messages
        .map_or("an external broker keeps its own copies: erase them there".to_owned(), |messages| {
            format!("{messages} stored MQTT messages erased")
        });
    format!(
        "{time}: {entries} journal entries overwritten and the file rebuilt, a search finds none; {broker}"
    )
}
