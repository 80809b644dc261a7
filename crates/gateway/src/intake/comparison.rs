//! Whether a batch that the journal has by boot and number is the one that came, or another: then a device has used a boot's
//! number twice, and must not be told that what it sent is held.

use bytes::Bytes;
use vitalwire_access::DeviceId;
use vitalwire_journal::{HistoryQuery, READ_ENTRIES_MAX};
use vitalwire_protocol::batch::{Batch, ChannelData, Message, decode};

use super::Intake;
use crate::clock::DeviceClock;
use crate::reading::{BatchSpan, Body};

/// An entry is looked for within so long of the time that the batch would have, to either side. A device's clock is mapped by each
/// connection, whose handshake takes 10 s at most.
const NEAR_US: i64 = 120_000_000;

/// A batch that came and that the journal has already.
#[derive(Debug)]
pub(crate) struct Duplicate<'a> {
    pub(crate) device: &'a DeviceId,
    pub(crate) boot: u64,
    pub(crate) sequence: u64,
    /// As the journal would keep it.
    pub(crate) record: &'a Bytes,
    /// When its first value was measured: UTC, microseconds.
    pub(crate) first_us: i64,
    /// How the boot's clock was mapped before this connection. Another start of the device counts from 0 again, so what it sent under
    /// the same number lies near the same time of this mapping.
    pub(crate) clock_before: Option<DeviceClock>,
}

impl Intake {
    /// Whether the journal holds another batch in its place. What it does not find near these times, for it was removed by age or the
    /// server's clock was set meanwhile, it takes for the same.
    pub(crate) async fn holds_other(&self, duplicate: &Duplicate<'_>) -> bool {
        for first_us in duplicate.times().into_iter().flatten() {
            let query = HistoryQuery {
                device: duplicate.device.clone(),
                from_us: first_us.saturating_sub(NEAR_US),
                to_us: first_us.saturating_add(NEAR_US),
                limit: READ_ENTRIES_MAX,
                after: None,
            };
            let found = match self.journal.file().history(query).await {
                Ok(found) => found,
                Err(error) => {
                    tracing::debug!(%error, "a batch that came again cannot be compared");
                    return false;
                }
            };
            let is_it = |boot, sequence| (boot, sequence) == (duplicate.boot, duplicate.sequence);
            if let Some(held) = found.iter().find(|held| is_it(held.entry.boot, held.entry.sequence)) {
                return is_other(&held.entry.body, duplicate.record);
            }
        }
        false
    }
}

impl Duplicate<'_> {
    /// When its first value may have been measured.
    fn times(&self) -> [Option<i64>; 2] {
        let message = message_of(self.record);
        let before = match message.as_deref().map(decode) {
            Some(Ok(Some((Message::Batch(batch), _)))) => self.clock_before.map(|clock| {
                let device_us =
                    batch.time_ms.saturating_mul(1_000).saturating_add(BatchSpan::of(&batch).first_us);
                clock.map(device_us, 0, i64::MAX).utc_us
            }),
            _ => None,
        };
        [Some(self.first_us), before]
    }
}

fn message_of(record: &Bytes) -> Option<Bytes> {
    match Body::parse(record) {
        Ok(Body::Batch { message, .. }) => Some(message),
        _ => None,
    }
}

/// Whether two records are batches with different values or times. `oldest` may differ: a batch gets it when it is sent.
fn is_other(held: &Bytes, came: &Bytes) -> bool {
    if held == came {
        return false;
    }
    let (Some(held), Some(came)) = (message_of(held), message_of(came)) else { return false };
    match (decode(&held), decode(&came)) {
        (Ok(Some((Message::Batch(held), _))), Ok(Some((Message::Batch(came), _)))) => {
            held.time_ms != came.time_ms || !has_channels_of(&held, &came)
        }
        _ => false,
    }
}

fn has_channels_of(held: &Batch<'_>, came: &Batch<'_>) -> bool {
    let is_same = |(held, came): (ChannelData<'_>, ChannelData<'_>)| {
        let head =
            |channel: &ChannelData<'_>| (channel.index, channel.interval_us, channel.delay_us, channel.scale);
        head(&held) == head(&came) && held.values.eq(came.values)
    };
    held.channels().count() == came.channels().count() && held.channels().zip(came.channels()).all(is_same)
}

#[cfg(test)]
mod tests {
    use vitalwire_protocol::batch::{Samples, add_oldest, encode_batch};

    use super::*;
    use crate::reading::batch_body;

    fn message(time_ms: u64, channels: &[(u8, &[i32])]) -> Vec<u8> {
        let samples: Vec<_> = channels
            .iter()
            .map(|(index, values)| Samples {
                index: *index,
                interval_us: 50_000,
                delay_us: 0,
                scale: -3,
                values,
            })
            .collect();
        let mut out = vec![0; 256];
        let len = encode_batch(7, time_ms, None, &samples, &mut out).unwrap();
        out.truncate(len);
        out
    }

    #[test]
    fn a_batch_is_another_by_its_time_or_its_values_and_not_by_what_it_says_is_gone() {
        let held = message(10, &[(0, &[1, 2, 3])]);
        let with_oldest = {
            let mut message = [&held[..], &[0; 16]].concat();
            let len = add_oldest(&mut message, held.len(), 3).unwrap();
            message.truncate(len);
            message
        };
        let record = |message: &[u8]| batch_body("pico", message);
        for (came, expected) in [
            (held.clone(), false),
            (with_oldest, false),
            (message(11, &[(0, &[1, 2, 3])]), true),
            (message(10, &[(0, &[1, 2, 4])]), true),
            (message(10, &[(0, &[1, 2])]), true),
            (message(10, &[(1, &[1, 2, 3])]), true),
            (message(10, &[(0, &[1, 2, 3]), (1, &[1])]), true),
        ] {
            assert_eq!(is_other(&record(&held), &record(&came)), expected, "{came:02x?}");
        }
        let unreadable = Bytes::from_static(b"\xff");
        assert!(!is_other(&unreadable, &record(&held)), "what cannot be read is not known to be another");
    }
}
