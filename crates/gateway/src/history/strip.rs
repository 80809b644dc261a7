//! What was measured around an alarm: every channel by which alarms are decided, and the rates that the server derived.

use std::collections::BTreeSet;
use std::time::SystemTime;

use vitalwire_access::DeviceId;
use vitalwire_journal::{BUCKETS_MAX, Bucket, Buckets, Downsampler};
use vitalwire_profile::{ChannelProfile, DERIVED, Profile};

use super::{History, HistoryError, HistoryQuery, Page, thin};
use crate::clock::utc_us;

/// The unit of a rate.
const PER_MINUTE: &str = "/min";

/// One channel over some time.
#[derive(Clone, Debug, PartialEq)]
pub struct StripChannel {
    /// What was measured.
    pub channel: ChannelProfile,
    /// Its values, thinned where there are more than a screen or a sheet shows.
    pub buckets: Vec<Bucket>,
}

impl History {
    /// What a device measured in this time of all by which alarms are decided, waves first, and the rates that the server derived.
    ///
    /// # Errors
    /// A range that makes no sense, or the journal cannot be read.
    pub async fn strip(
        &self,
        device: &DeviceId,
        (from, to): (SystemTime, SystemTime),
    ) -> Result<Vec<StripChannel>, HistoryError> {
        let mut found = Vec::new();
        for name in self.strip_channels() {
            let query = HistoryQuery { device: device.clone(), channel: name, from, to };
            let buckets = Buckets { from_us: utc_us(from), to_us: utc_us(to), count: BUCKETS_MAX };
            let step = |(channel, thinned): &mut (Option<ChannelProfile>, Downsampler), page: &Page<'_>| {
                channel.get_or_insert_with(|| page.channel.clone());
                thin(thinned, page)
            };
            let (channel, thinned) = match self.fold(&query, (None, Downsampler::new(buckets)), step).await {
                Err(HistoryError::UnknownChannel { .. }) => continue,
                folded => folded?,
            };
            if let Some(channel) = channel {
                found.push(StripChannel { channel, buckets: thinned.finish() });
            }
        }
        found.sort_by_key(|one| one.channel.wave.is_none());
        Ok(found)
    }

    fn strip_channels(&self) -> BTreeSet<String> {
        let derived = Profile::builtin(DERIVED);
        let derived = derived.iter().flat_map(|profile| profile.channels());
        let rates = derived.filter(|channel| channel.unit == PER_MINUTE).map(|channel| channel.name.clone());
        self.watched_channels().into_iter().chain(rates).collect()
    }
}
