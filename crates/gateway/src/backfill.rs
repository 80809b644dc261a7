//! The backfill: publishes what is in the journal and was not published when it came, because the broker was away, the
//! process was killed, or the device brought it late.
//!
//! It goes through the journal in order, at a position that survives the process, and leaves out what was published at
//! once. Live readings do not wait for it. A subscriber may get a reading twice (after kill -9), never not at all.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use vitalwire_journal::{JournalError, Reader, Stored};

use crate::context::Context;
use crate::intake::Intake;
use crate::stored::StoredReadings;
use crate::ticket::{Delivery, Ticket};

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
/// again. Up to where all is published.
pub(crate) async fn finish(intake: &Intake) -> Option<u64> {
    let reader = intake.reader(READER).await.ok()?;
    let mut at = reader.position();
    while let Ok(positions) = reader.positions(at, READ_ENTRIES).await
        && !positions.is_empty()
    {
        for position in positions {
            let is_published =
                intake.claim_at(position).is_some_and(|ticket| ticket.state() == Delivery::Delivered);
            if !is_published {
                reader.advance(at);
                return Some(at);
            }
            at = position;
        }
    }
    reader.advance(at);
    Some(at)
}

struct Backfill<'a> {
    context: &'a Context,
    reader: Reader,
    /// Entries up to here were looked at.
    at: u64,
    /// Handed to the publisher, the oldest first.
    window: VecDeque<(u64, Arc<Ticket>)>,
    sources: StoredReadings,
}

impl<'a> Backfill<'a> {
    async fn follow(context: &'a Context) -> Result<Infallible, JournalError> {
        let reader = context.intake.reader(READER).await?;
        let at = reader.position();
        let sources = StoredReadings::new(context.profiles.clone());
        context.publisher.note_published(at);
        let mut backfill = Self { context, reader, at, window: VecDeque::new(), sources };
        loop {
            let head = backfill.reader.wait_past(backfill.at).await?;
            tokio::time::sleep(SETTLE).await;
            backfill.pass(head).await?;
        }
    }

    /// Looks at all entries up to `head`.
    async fn pass(&mut self, head: u64) -> Result<(), JournalError> {
        while self.at < head {
            let positions = self.reader.positions(self.at, READ_ENTRIES).await?;
            let Some(last) = positions.last() else {
                // The rest was removed: by age, by size, or with its device.
                self.at = head;
                break;
            };
            if self.skip_published(&positions).await == *last {
                continue;
            }
            let erasures = *self.context.intake.erasures().await;
            for stored in self.reader.read(self.at, READ_ENTRIES).await? {
                let ticket = self.context.intake.take_ticket(&stored);
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

    /// Steps over entries that were published at once, without reading them; where it stopped.
    async fn skip_published(&mut self, positions: &[u64]) -> u64 {
        for position in positions {
            let Some(ticket) = self.context.intake.claim_at(*position) else { break };
            if ticket.settled().await == Delivery::Dropped {
                break;
            }
            self.at = *position;
        }
        self.note_progress();
        self.at
    }

    /// Publishes an entry that was not published yet; false when it may have been erased since it was read.
    async fn deliver(&mut self, stored: &Stored, published: Option<Arc<Ticket>>, erasures: u64) -> bool {
        if let Some(published) = published
            && published.settled().await == Delivery::Delivered
        {
            return true;
        }
        let readings = self.sources.readings(stored, |_| true);
        let ticket = Ticket::at(stored.position);
        let now = self.context.intake.erasures().await;
        if *now != erasures {
            return false;
        }
        for reading in readings {
            self.context.metrics.backfilled.inc();
            self.context.publisher.backlog(reading, ticket.share()).await;
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
        self.context.intake.forget_claims_through(done);
        self.reader.advance(done);
        self.context.publisher.note_published(done);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::tests::{intake, measurement_of};

    #[tokio::test]
    async fn a_stop_steps_over_what_was_published_though_positions_have_holes() {
        let folder = tempfile::tempdir().unwrap();
        let intake = intake(&folder);
        for (device, sequence) in [("gone", 1), ("gone", 2), ("d", 1), ("gone", 3), ("d", 2)] {
            intake.take_as_published(measurement_of(device, sequence)).await;
        }
        intake.erase(&"gone".parse().unwrap()).await.unwrap();
        finish(&intake).await;
        assert_eq!(intake.reader(READER).await.unwrap().position(), 5);
    }

    #[tokio::test]
    async fn a_stop_steps_over_nothing_that_was_not_published() {
        let folder = tempfile::tempdir().unwrap();
        let intake = intake(&folder);
        intake.take_as_published(measurement_of("gone", 1)).await;
        intake.take_as_published(measurement_of("d", 1)).await;
        // No publisher reads the feed.
        let _ = intake.take(measurement_of("d", 2)).await.await;
        intake.take_as_published(measurement_of("d", 3)).await;
        intake.erase(&"gone".parse().unwrap()).await.unwrap();
        finish(&intake).await;
        assert_eq!(intake.reader(READER).await.unwrap().position(), 2);
    }
}
