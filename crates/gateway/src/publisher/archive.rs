//! The journal as the embedded broker's archive: what a reader missed is made again from it, in the order in which it was
//! committed. Below `Pico/` come the values that were live when they were received, as they did then.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use vitalwire_broker::{Archive, Archived, Page, Reading, Wanted};
use vitalwire_journal::{Health, HistoryFile, Journal, JournalError, Stored};

use super::message::Message;
use super::render::{self, Sink};
use crate::profiles::Profiles;
use crate::stored::StoredReadings;

/// Entries read at once.
const READ_ENTRIES: usize = 256;
/// After the entry that makes so many messages, a page ends.
const PAGE_MESSAGES: usize = 2_000;
/// How long a read waits for an entry that is not there yet.
const NEWS_PATIENCE: Duration = Duration::from_millis(100);
/// After a failure the journal is read again so much later.
const RETRY: Duration = Duration::from_secs(1);

/// See the module.
pub(crate) struct JournalArchive {
    file: HistoryFile,
    head: watch::Receiver<u64>,
    health: watch::Receiver<Health>,
    /// Held while a page is made: those who come back together take turns, and one core is left for what is live.
    readings: Arc<Mutex<StoredReadings>>,
}

impl JournalArchive {
    pub(crate) fn new(journal: &Journal, profiles: Profiles) -> Self {
        let readings = Arc::new(Mutex::new(StoredReadings::new(profiles)));
        Self { file: journal.file(), head: journal.heads(), health: journal.health(), readings }
    }
}

impl Archive for JournalArchive {
    fn head(&self) -> Option<u64> {
        let head = *self.head.borrow();
        // Before it could be opened it shows none.
        (head > 0 || *self.health.borrow() == Health::Ok).then_some(head)
    }

    fn read(&self, after: u64, wanted: Wanted) -> Reading {
        let (file, head, readings) = (self.file.clone(), self.head.clone(), Arc::clone(&self.readings));
        Box::pin(async move {
            let (head, entries) = entries(file, head, after).await;
            if entries.is_empty() {
                let through = head.max(after);
                return Page { messages: Vec::new(), through, gone: through - after };
            }
            let made = tokio::task::spawn_blocking(move || page(&readings, after, &entries, &wanted));
            // It ends without a page when the runtime stops.
            made.await.unwrap_or(Page { through: after, ..Page::default() })
        })
    }
}

/// The entries after this position, and where the journal ended before they were read.
async fn entries(file: HistoryFile, mut head: watch::Receiver<u64>, after: u64) -> (u64, Vec<Stored>) {
    let news = head.wait_for(|head| *head > after);
    if matches!(tokio::time::timeout(NEWS_PATIENCE, news).await, Ok(Err(_))) {
        // The server stops.
        return std::future::pending().await;
    }
    loop {
        let end = *head.borrow();
        match file.entries_after(after, READ_ENTRIES).await {
            Ok(entries) => return (end, entries),
            Err(JournalError::Closed) => return std::future::pending().await,
            Err(error) => {
                tracing::error!(%error, "the journal cannot be read for a reader that missed something; trying again");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// The messages of one page.
struct Made<'w> {
    wanted: &'w Wanted,
    known: HashMap<Arc<str>, bool>,
    position: u64,
    messages: Vec<Archived>,
}

impl Sink for Made<'_> {
    fn wants(&mut self, topic: &Arc<str>) -> bool {
        match self.known.get(topic) {
            Some(known) => *known,
            None => {
                let wanted = (self.wanted)(topic);
                self.known.insert(Arc::clone(topic), wanted);
                wanted
            }
        }
    }

    fn take(&mut self, message: Message) {
        let Message { topic, payload, .. } = message;
        self.messages.push(Archived { position: self.position, topic, payload });
    }
}

fn page(readings: &Mutex<StoredReadings>, after: u64, entries: &[Stored], wanted: &Wanted) -> Page {
    let mut readings = readings.lock().unwrap_or_else(PoisonError::into_inner);
    let mut made = Made { wanted, known: HashMap::new(), position: after, messages: Vec::new() };
    let mut read = 0;
    for stored in entries {
        made.position = stored.position;
        read += 1;
        let is_wanted = |source: &crate::topics::Source| {
            let mut topics = source.reading_topics();
            topics.any(|topic| made.wants(topic))
        };
        for reading in readings.readings(stored, is_wanted) {
            render::live(&reading, stored.entry.received_us, &mut made);
        }
        if made.messages.len() >= PAGE_MESSAGES {
            break;
        }
    }
    Page { through: made.position, gone: made.position - after - read, messages: made.messages }
}
