//! History: the values of one channel of one device in a range of time, out of the journal, in the order of time. They come in
//! pages into a fold, read and decoded off the reactor, so that a day of a pulse wave takes no more memory than a minute of it.
//! It invents nothing: where samples are missing there is a gap.

mod error;
mod fold;
mod gather;
mod maker;
mod missing;
mod replay;
mod strip;
mod sum;
mod trend;
mod value;
mod watched;
mod wave;

use std::collections::BTreeSet;
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use vitalwire_access::DeviceId;
use vitalwire_journal::{
    BUCKETS_MAX, BootAccount, Bucket, Buckets, Downsampler, Gap, HistoryCursor, HistoryFile,
    HistoryQuery as EntriesQuery, JournalError, Newest, Point,
};
use vitalwire_registry::{Border, StayId, Timeline};

pub use self::error::HistoryError;
use self::fold::Fold;
pub(crate) use self::maker::keep_sums;
pub use self::missing::Missing;
pub use self::replay::{RaisedBy, Replayed};
pub use self::strip::StripChannel;
use self::trend::{Stretches, Walk};
pub use self::value::{Number, Page, Value};
pub(crate) use self::watched::quantity;
pub use self::wave::{KeptWave, WAVE_SPAN_US_MAX, WAVE_VALUES_MAX, WavePiece, WaveTimes};
use crate::clock::{UNMAPPED_US_MIN, utc_us};
use crate::data_folder::JOURNAL;
use crate::profiles::Profiles;

/// Entries read at once. Between two reads the journal can be erased from and written back.
const PAGE_ENTRIES: usize = 256;
/// Neighbouring samples further apart than so many intervals have a gap between them.
const GAP_INTERVALS: u64 = 3;

/// What is asked.
#[derive(Clone, Debug)]
pub struct HistoryQuery {
    /// Whose.
    pub device: DeviceId,
    /// The channel's name in its profile, such as `Temperature`.
    pub channel: String,
    /// From this time on,
    pub from: SystemTime,
    /// up to, but without, this time.
    pub to: SystemTime,
}

/// What a data folder's journal holds, also while a server writes it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct History {
    file: HistoryFile,
    profiles: Profiles,
    only: Option<Only>,
}

/// One stay of a device: no value of another one is handed out.
#[derive(Clone, Debug)]
struct Only {
    stay: StayId,
    timeline: Arc<Timeline>,
}

impl Only {
    fn has(&self, time_us: i64, position: u64) -> bool {
        self.timeline.stay_at(time_us, position) == Some(self.stay)
    }

    /// Whether all values of these times, of entries from one position to another, are of the stay; nothing when a border between
    /// stays divides them.
    fn has_all(&self, range_us: Range<i64>, (first, last): (u64, u64)) -> Option<bool> {
        // As `stay_at` takes times before 1970.
        let [begin_us, end_us] = [range_us.start, range_us.end.saturating_sub(1)].map(|us| us.max(0));
        let is_divided = |border: &Border| {
            (border.time_us <= begin_us) != (border.time_us <= end_us)
                || (border.position < first) != (border.position < last)
        };
        let divided = self.timeline.borders.iter().any(is_divided);
        (!divided).then(|| self.has(range_us.start, first))
    }
}

impl History {
    /// Opens the history of a data folder for reading.
    ///
    /// # Errors
    /// There is no journal (no server ran there yet), or a profile cannot be read.
    pub fn open(data: &Path) -> Result<Self, HistoryError> {
        Ok(Self::new(HistoryFile::open(&data.join(JOURNAL))?, Profiles::load(data)?))
    }

    pub(crate) fn new(file: HistoryFile, profiles: Profiles) -> Self {
        Self { file, profiles, only: None }
    }

    /// The same for one stay of a device, by the device's timeline: what was measured in other stays is left out, whatever range is
    /// asked for. For queries about that device alone.
    #[must_use]
    pub fn of_stay(&self, stay: StayId, timeline: Timeline) -> Self {
        Self { only: Some(Only { stay, timeline: Arc::new(timeline) }), ..self.clone() }
    }

    /// The channels, of all profiles, by which alarms are decided.
    #[must_use]
    pub fn watched_channels(&self) -> BTreeSet<String> {
        self.profiles.watched_channels()
    }

    /// Whether the journal holds, or held, anything of the device that was not erased.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn knows(&self, device: &DeviceId) -> Result<bool, JournalError> {
        self.file.knows(device).await
    }

    /// The gaps in what a device sent, the newest first, at most `limit`.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn gaps(&self, device: &DeviceId, limit: usize) -> Result<Vec<Gap>, JournalError> {
        self.file.gaps(device, limit).await
    }

    /// What is held of each boot of a device on the secure link, the one used last first, at most `limit`.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn boots(&self, device: &DeviceId, limit: usize) -> Result<Vec<BootAccount>, JournalError> {
        self.file.boots(device, limit).await
    }

    /// The newest that is held of a device, measured or derived.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn newest(&self, device: &DeviceId) -> Result<Option<Newest>, JournalError> {
        self.file.newest(device).await
    }

    /// The newest that is held of each device.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn newest_of_all(&self) -> Result<Vec<(DeviceId, Newest)>, JournalError> {
        self.file.newest_of_all().await
    }

    /// Folds the values of a range, page by page, in the order of time. `step` may block, as a pipe does: it runs on a thread
    /// for that, and holds nothing of the journal meanwhile. `ControlFlow::Break` ends it.
    ///
    /// A fold sees at least what was committed when it began, and has at most some thousand values in memory. Batches of two
    /// boots may overlap by the uncertainty of their clocks; their values are merged. Only when more than
    /// 65,536 overlap, some come after later ones.
    ///
    /// # Errors
    /// A range that makes no sense, a channel that no profile has, or not that of the range's readings; or the journal cannot
    /// be read.
    pub async fn fold<S, F>(&self, query: &HistoryQuery, state: S, step: F) -> Result<S, HistoryError>
    where
        S: Send + 'static,
        F: FnMut(&mut S, &Page<'_>) -> ControlFlow<()> + Send + 'static,
    {
        let (from_us, to_us) = self.check(query)?;
        let (range_us, only) = (from_us..to_us, self.only.clone());
        let mut fold = Fold::new(query.channel.clone(), range_us, only, self.profiles.clone(), state, step);
        let mut after = None;
        loop {
            let page =
                EntriesQuery { device: query.device.clone(), from_us, to_us, limit: PAGE_ENTRIES, after };
            let entries = self.file.history(page).await?;
            after = entries.last().map(HistoryCursor::after);
            let is_last = entries.is_empty();
            let work = move || {
                fold.take(entries);
                fold
            };
            fold = tokio::task::spawn_blocking(work).await.map_err(|_| HistoryError::Stopped)?;
            if is_last || fold.is_ended() {
                return fold.finish();
            }
        }
    }

    /// The range in microseconds, if the question makes sense.
    fn check(&self, query: &HistoryQuery) -> Result<(i64, i64), HistoryError> {
        let (from_us, to_us) = (utc_us(query.from), utc_us(query.to));
        if from_us >= to_us {
            return Err(HistoryError::Range);
        }
        let known = self.profiles.channels();
        if !known.contains(&query.channel) {
            return Err(HistoryError::UnknownChannel { wanted: query.channel.clone(), known });
        }
        Ok((from_us, to_us))
    }

    /// The values of a range, thinned to so many stretches of equal time, at most [`BUCKETS_MAX`]. Where a stretch takes a minute or
    /// more, borders lie at full minutes (of an hour or more: at full hours), and a range of more than six hours has no shorter ones.
    /// Empty when the device sent nothing then.
    ///
    /// Long ranges are told out of sums that the server keeps; what is not summed is read.
    ///
    /// # Errors
    /// As [`History::fold`]; or a number of points that makes no sense.
    pub async fn buckets(&self, query: &HistoryQuery, points: u32) -> Result<Vec<Bucket>, HistoryError> {
        if !(1..=BUCKETS_MAX).contains(&points) {
            return Err(HistoryError::Points { points });
        }
        let (from_us, to_us) = self.check(query)?;
        if let Some(stretches) = Stretches::of(from_us, to_us, points) {
            return Walk::new(self, query, stretches).buckets().await;
        }
        let buckets = Buckets { from_us, to_us, count: points };
        Ok(self.fold(query, Downsampler::new(buckets), thin).await?.finish())
    }
}

fn thin(downsampler: &mut Downsampler, page: &Page<'_>) -> ControlFlow<()> {
    let gap_us = u64::from(page.interval_us) * GAP_INTERVALS;
    for value in page.values {
        let Value { time_us, uncertainty_us, ref number } = *value;
        downsampler.add(Point { time_us, uncertainty_us, value: number.to_f64() }, gap_us);
    }
    ControlFlow::Continue(())
}

/// Whether no one knows when some of the values of a bucket were measured: its time is the latest possible.
#[must_use]
pub fn is_unmapped(bucket: &Bucket) -> bool {
    bucket.uncertainty_us >= UNMAPPED_US_MIN
}

#[cfg(test)]
mod tests;
