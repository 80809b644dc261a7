//! The backfill: publishes what is in the journal and was not published when it came, because the broker was away, the
//! process was killed, or the device brought it late.
//!
//! It goes through the journal in order, at a position that survives the process, and leaves out what was published at
//! once. Live readings do not wait for it. A subscriber may get a reading twice (after kill -9), never not at all.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use vitalwire_access::DeviceId;
use vitalwire_journal::{JournalError, Reader, ReaderKind, Start, Stored};

use crate::context::Context;
use crate::profiles::PICO;
use crate::reading::{BatchReading, Body, Reading, SampleBody, SampleReading};
use crate::ticket::{Delivery, Ticket};
use crate::topics::{DeviceTopics, Source, SourceRef};

/// The journal's name of this reader.
const READER: &str = "publisher";
/// An entry is looked at this long after its commit: its connection has then said whether it was published.
const SETTLE: Duration = Duration::from_millis(500);
/// Entries read at once.
const READ_ENTRIES: usize = 256;
/// Entries handed to the publisher and not yet with the broker.
const WINDOW_ENTRIES: usize = 64;
/// After a failure the journal is read again so much later.
const RETRY: Duration = Duration::from_secs(1);
/// Sources remembered; when full, all are forgotten.
const SOURCES_MAX: usize = 4_096;

/// Runs until the server stops.
pub(crate) async fn run(context: Arc<Context>) {
    let follow = async {
        loop {
            let Err(error) = Backfill::follow(&context).await;
            // It must not end: entries stay until it has read them, so the journal would fill up and take no more.
            tracing::error!(%error, "the journal cannot be read: late readings are not published; trying again");
            tokio::time::sleep(RETRY).await;
        }
    };
    context.stop.run_until_cancelled(follow).await;
}

/// At a stop, when nothing more comes: steps over what was published at once, so that the next start does not publish it
/// again.
pub(crate) async fn finish(context: &Context) {
    let Ok(reader) = context.ingest.journal.reader(READER, ReaderKind::Holding, Start::Oldest).await else {
        return;
    };
    let mut at = reader.position();
    while let Some(ticket) = context.ingest.claims.take(at + 1) {
        if ticket.state() != Delivery::Delivered {
            break;
        }
        at += 1;
    }
    reader.advance(at);
}

struct Backfill<'a> {
    context: &'a Context,
    reader: Reader,
    /// Entries up to here were looked at.
    at: u64,
    /// Handed to the publisher, the oldest first.
    window: VecDeque<(u64, Arc<Ticket>)>,
    sources: HashMap<(DeviceId, String), SourceRef>,
}

impl<'a> Backfill<'a> {
    async fn follow(context: &'a Context) -> Result<Infallible, JournalError> {
        let reader = context.ingest.journal.reader(READER, ReaderKind::Holding, Start::Oldest).await?;
        let at = reader.position();
        let mut backfill = Self { context, reader, at, window: VecDeque::new(), sources: HashMap::new() };
        loop {
            let head = backfill.reader.wait_for(backfill.at + 1).await?;
            tokio::time::sleep(SETTLE).await;
            backfill.pass(head).await?;
        }
    }

    /// Looks at all entries up to `head`.
    async fn pass(&mut self, head: u64) -> Result<(), JournalError> {
        while self.at < head {
            if self.skip_published(head).await {
                continue;
            }
            let erasures = *self.context.ingest.erasures.lock().await;
            let stored = self.reader.read(self.at, READ_ENTRIES).await?;
            if stored.is_empty() {
                // The rest was removed: by age, by size, or with its device.
                self.at = head;
            }
            for stored in stored {
                let ticket = self.context.ingest.take_ticket(stored.position, &stored.entry);
                if !self.deliver(&stored, ticket, erasures).await {
                    break;
                }
                self.at = stored.position;
                self.note_progress();
            }
        }
        while !self.window.is_empty() {
            self.shrink_window().await;
        }
        self.note_progress();
        Ok(())
    }

    /// Steps over entries that were published at once, without reading them; false when the next one was not.
    async fn skip_published(&mut self, head: u64) -> bool {
        let begun = self.at;
        while self.at < head {
            let Some(ticket) = self.context.ingest.claims.take(self.at + 1) else { break };
            if ticket.settled().await == Delivery::Dropped {
                self.context.ingest.claims.claim(self.at + 1, ticket);
                break;
            }
            self.at += 1;
        }
        self.note_progress();
        self.at > begun
    }

    /// Publishes an entry that was not published yet; false when it may have been erased since it was read.
    async fn deliver(&mut self, stored: &Stored, published: Option<Arc<Ticket>>, erasures: u64) -> bool {
        if let Some(published) = published
            && published.settled().await == Delivery::Delivered
        {
            return true;
        }
        let readings = self.readings(stored);
        let ticket = Ticket::new();
        let now = self.context.ingest.erasures.lock().await;
        if *now != erasures {
            return false;
        }
        for reading in readings {
            self.context.metrics.backfilled.inc();
            self.context.publisher.backlog(reading, &ticket).await;
        }
        drop(now);
        self.window.push_back((stored.position, ticket));
        while self.window.len() >= WINDOW_ENTRIES {
            self.shrink_window().await;
        }
        // In one process with the broker nothing ever waits, and live readings need the thread too.
        tokio::task::yield_now().await;
        true
    }

    async fn shrink_window(&mut self) {
        if let Some((_, ticket)) = self.window.front() {
            // Only the readings of an erased device are let go here.
            ticket.settled().await;
            self.window.pop_front();
        }
    }

    /// What was looked at and is with the broker need not be looked at again.
    fn note_progress(&self) {
        let done = self.window.front().map_or(self.at, |(position, _)| position - 1);
        self.context.ingest.claims.forget_through(done);
        self.reader.advance(done);
    }

    fn readings(&mut self, stored: &Stored) -> Vec<Reading> {
        let entry = &stored.entry;
        let body = match Body::parse(&entry.body) {
            Ok(body) => body,
            Err(error) => {
                tracing::error!(device = %entry.device, position = stored.position, %error, "not published");
                return Vec::new();
            }
        };
        match body {
            Body::Batch { profile, message } => {
                let Some(source) = self.source(&entry.device, &profile) else {
                    tracing::error!(device = %entry.device, profile, "not published: the profile is gone");
                    return Vec::new();
                };
                vec![Reading::Batch(BatchReading {
                    source,
                    boot: entry.boot,
                    first_us: entry.first_us,
                    uncertainty_us: entry.uncertainty_us,
                    message,
                })]
            }
            Body::Samples { first_sequence, samples } => {
                let Some(source) = self.source(&entry.device, PICO) else { return Vec::new() };
                let reading = |(sequence, sample): (u64, SampleBody)| {
                    Reading::Sample(SampleReading {
                        source: SourceRef::clone(&source),
                        received_us: entry.first_us.saturating_add_unsigned(sample.offset_us),
                        sequence,
                        text: sample.text,
                    })
                };
                (first_sequence..).zip(samples).map(reading).collect()
            }
        }
    }

    fn source(&mut self, device: &DeviceId, profile: &str) -> Option<SourceRef> {
        let key = (device.clone(), profile.to_owned());
        if let Some(source) = self.sources.get(&key) {
            return Some(SourceRef::clone(source));
        }
        let profile = self.context.profiles.find(profile)?;
        let source = Arc::new(Source::new(&Arc::new(DeviceTopics::new(device)), &profile));
        if self.sources.len() >= SOURCES_MAX {
            self.sources.clear();
        }
        self.sources.insert(key, SourceRef::clone(&source));
        Some(source)
    }
}
