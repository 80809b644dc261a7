//! Erasure: when the operator asks for it, everything that the server keeps of a device goes: its readings in the
//! journal, its retained messages, and what waits for subscribers that are away. Then it looks into every file of the data
//! folder whether all is gone, and puts what it found on record. The record says what was checked, and no more.

mod search;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use vitalwire_access::DeviceId;
use vitalwire_broker::{STORAGE_FILE as BROKER_FILE, StorageError};
use vitalwire_journal::JournalError;
use vitalwire_registry::{DATABASE_FILE, Directory, RegistryError};

use self::search::{Found, Traces};
use crate::context::Context;
use crate::data_folder::JOURNAL;

/// After a failure it is tried again so much later.
const RETRY: Duration = Duration::from_secs(10);
/// An entry that came while the device's connection ended is erased in the next round; there is none after the second.
const ROUNDS_MAX: usize = 5;
/// Of the path of a file that holds something of the device.
const SHOWN_CHARS_MAX: usize = 100;

#[derive(Debug, thiserror::Error)]
enum ErasureError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("the registry: {0}")]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Broker(#[from] StorageError),
    #[error("the data folder cannot be searched: {0}")]
    Search(#[from] io::Error),
    #[error("{0} still holds something of the device")]
    StillInFile(String),
    #[error("the device's connection does not end")]
    StillConnected,
    #[error("readings of the device keep coming")]
    StillThere,
}

/// Carries out what the registry asks for, until the server stops.
pub(crate) async fn run(mut directory: watch::Receiver<Arc<Directory>>, context: Arc<Context>) {
    loop {
        let now = Arc::clone(&directory.borrow_and_update());
        let mut failed = false;
        for device in &*now.erasures {
            match erase(&context, device, &now).await {
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

async fn erase(context: &Context, device: &DeviceId, directory: &Directory) -> Result<(), ErasureError> {
    if !context.sessions.ended(device, RETRY).await {
        return Err(ErasureError::StillConnected);
    }
    // What was derived of it waits for the journal.
    context.surveillance.forget(device.clone()).await;
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
    let messages = context.publisher.erase(device).await?;
    let links = context.enrolment.links_ever(device.clone()).await?;
    let others = directory.devices.keys().chain(&*directory.erasures);
    let found = search(&context.data, Traces::new(device, &links, others)).await?;
    if let Some(path) = found.own.iter().find(|path| is_ours(path)) {
        return Err(ErasureError::StillInFile(path.display().to_string()));
    }
    let proof = proof(device, entries, messages, &found);
    Ok(context.enrolment.erasure_done(device.clone(), entries, proof).await?)
}

/// The files of the data folder that hold something of the device, without the registry's; with their paths in it.
async fn search(data: &Path, traces: Traces) -> io::Result<Found> {
    let data = data.to_owned();
    let searched = tokio::task::spawn_blocking(move || {
        let inside = |path: PathBuf| path.strip_prefix(&data).map(Path::to_owned).unwrap_or(path);
        let Found { own, name } = traces.find(&data)?;
        Ok(Found { own: own.into_iter().map(inside).collect(), name: name.into_iter().map(inside).collect() })
    });
    searched.await.map_err(io::Error::other)?
}

/// Whether the server writes the file, and so has to erase what is in it. All others are the operator's.
fn is_ours(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with(JOURNAL) || name.starts_with(BROKER_FILE)
}

/// What goes on record: what was erased, what was looked for where, and what stays.
fn proof(device: &DeviceId, entries: u64, messages: Option<usize>, found: &Found) -> String {
    let time = humantime::format_rfc3339_millis(SystemTime::now());
    let broker = messages.map_or_else(
        || "an external broker keeps its own copies: erase them there".to_owned(),
        |messages| format!("{messages} stored MQTT messages erased and their file rebuilt"),
    );
    let [papers, ours, name] = search::texts(device);
    let held = match shown(&found.own) {
        None => "no file of the data folder holds".to_owned(),
        Some(files) => format!("of the data folder's files, {files}, which the server does not write, hold"),
    };
    let bare = match shown(&found.name) {
        None => "no other file holds the bare name".to_owned(),
        Some(files) => format!("the bare name, or another word with these letters, stands in {files}"),
    };
    format!(
        "{time}: {entries} journal entries overwritten and the file rebuilt; {broker}; a query finds no entry and no \
         gap; {held} {papers}, {ours}, {name} or a link id of it, but {DATABASE_FILE}, which keeps the name, this record \
         and the audit log; {bare}"
    )
}

/// The first of these files, and how many more there are.
fn shown(files: &[PathBuf]) -> Option<String> {
    let (first, rest) = files.split_first()?;
    let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
    Some(first.display().to_string().chars().take(SHOWN_CHARS_MAX).collect::<String>() + &more)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proof_names_what_stays_and_fits() {
        let device: DeviceId = "x".repeat(64).parse().unwrap();
        let clean = proof(&device, u64::MAX, Some(usize::MAX), &Found::default());
        for part in ["no file of the data folder holds", DATABASE_FILE, "no other file holds the bare name"] {
            assert!(clean.contains(part), "{clean}");
        }
        let files = || ["y".repeat(300), "notes".to_owned(), "z".to_owned()].map(PathBuf::from).to_vec();
        let held = proof(&device, u64::MAX, None, &Found { own: files(), name: files() });
        assert!(held.contains("and 2 more, which the server does not write, hold"), "{held}");
        assert!(held.contains("these letters, stands in yyy"), "{held}");
        assert!(clean.len().max(held.len()) <= vitalwire_registry::PROOF_LEN_MAX, "{} bytes", held.len());
    }
}
