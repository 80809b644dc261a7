//! Why samples are missing, as far as the journal can tell by the entries on both sides of a gap.

use vitalwire_journal::{Gap, GapState, HistoryQuery as EntriesQuery, Stored};

use super::error::HistoryError;
use super::{History, HistoryQuery};
use crate::clock::utc_us;
use crate::profiles::PICO;
use crate::reading::Body;

/// Gaps of a device's sequences that are looked through.
const GAPS_MAX: usize = 4_096;
/// Entries that may hold the same moment: those of overlapping boots, and what was derived.
const ENTRIES_MAX: usize = 64;

/// Why there is nothing between two samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Batches came one after the other, and have no value of this time: the device did not measure.
    Unmeasured,
    /// Batches are missing that will not come any more: the device had no room for them.
    Lost,
    /// Batches are missing that may still come.
    Pending,
    /// The device started anew in between; one with frames connected anew.
    Restarted,
    /// The journal does not tell.
    Unknown,
}

/// Which batch of which start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    boot: u64,
    sequence: u64,
}

impl History {
    /// Why the channel has nothing between its samples at `from` and at `to`.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn missing(&self, query: &HistoryQuery) -> Result<Missing, HistoryError> {
        let before = self.marks(query, utc_us(query.from)).await?.pop();
        let after = self.marks(query, utc_us(query.to)).await?.into_iter().next();
        let (Some(before), Some(after)) = (before, after) else { return Ok(Missing::Unknown) };
        let gaps = match is_told_by_gaps(before, after) {
            true => self.file.gaps(&query.device, GAPS_MAX).await?,
            false => Vec::new(),
        };
        Ok(judge(before, after, &gaps))
    }

    /// The entries that have the channel at this time, in the order of time.
    async fn marks(&self, query: &HistoryQuery, at_us: i64) -> Result<Vec<Mark>, HistoryError> {
        let asked = EntriesQuery {
            device: query.device.clone(),
            from_us: at_us,
            to_us: at_us.saturating_add(1),
            limit: ENTRIES_MAX,
            after: None,
        };
        let entries = self.file.history(asked).await?;
        let has_channel = |stored: &Stored| {
            let body = Body::parse(&stored.entry.body).ok()?;
            let name = match &body {
                Body::Batch { profile, .. } => profile.as_str(),
                Body::Samples { .. } => PICO,
            };
            self.profiles.find(name)?.channel_named(&query.channel).map(|_| ())
        };
        let entries = entries.into_iter().filter(|stored| has_channel(stored).is_some());
        Ok(entries.map(|stored| Mark { boot: stored.entry.boot, sequence: stored.entry.sequence }).collect())
    }
}

fn is_told_by_gaps(before: Mark, after: Mark) -> bool {
    before.boot == after.boot && after.sequence > before.sequence.saturating_add(1)
}

fn judge(before: Mark, after: Mark, gaps: &[Gap]) -> Missing {
    if before.boot != after.boot {
        return Missing::Restarted;
    }
    if !is_told_by_gaps(before, after) {
        return Missing::Unmeasured;
    }
    let within =
        |gap: &&Gap| gap.boot == before.boot && gap.first < after.sequence && gap.last > before.sequence;
    let states = gaps.iter().filter(within).map(|gap| gap.state);
    // What may still come is worth waiting for, whatever else was lost.
    let worst = states.max_by_key(|state| match state {
        GapState::Open => 2,
        GapState::GivenUp | GapState::Folded => 1,
        GapState::Filled { .. } => 0,
    });
    match worst {
        Some(GapState::Open) => Missing::Pending,
        Some(GapState::GivenUp | GapState::Folded) => Missing::Lost,
        Some(GapState::Filled { .. }) => Missing::Unknown,
        None => Missing::Unmeasured,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: u64 = 7;

    fn mark(sequence: u64) -> Mark {
        Mark { boot: BOOT, sequence }
    }

    fn gap(first: u64, last: u64, state: GapState) -> Gap {
        Gap { boot: BOOT, first, last, numbers: last - first + 1, noticed_us: 0, state }
    }

    #[test]
    fn what_is_between_two_batches_is_told_by_their_numbers() {
        assert_eq!(judge(mark(3), mark(4), &[]), Missing::Unmeasured);
        assert_eq!(judge(mark(3), mark(3), &[]), Missing::Unmeasured);
        assert_eq!(judge(mark(3), Mark { boot: 8, sequence: 1 }, &[]), Missing::Restarted);
        let lost = [gap(4, 9, GapState::GivenUp)];
        assert_eq!(judge(mark(3), mark(10), &lost), Missing::Lost);
        assert_eq!(judge(mark(10), mark(12), &lost), Missing::Unmeasured, "it is another gap");
        assert_eq!(judge(mark(3), mark(10), &[lost[0], gap(5, 6, GapState::Open)]), Missing::Pending);
        assert_eq!(
            judge(mark(3), mark(10), &[Gap { boot: 9, ..lost[0] }]),
            Missing::Unmeasured,
            "of another start"
        );
        assert_eq!(
            judge(mark(3), mark(10), &[gap(4, 9, GapState::Filled { closed_us: 5 })]),
            Missing::Unknown
        );
    }
}
