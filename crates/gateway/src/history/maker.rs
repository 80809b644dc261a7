//! Makes the sums by which long ranges are told: of each minute when it is over and nothing came of it for a while, then of each hour.
//! What comes later has the journal forget a sum, and it is made again. A journal of before has its sums made bit by bit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use vitalwire_journal::{Journal, Length, Stretch, SumsQuery};

use super::gather::{Gather, Minute};
use super::sum::{StretchSum, begin_us};
use super::trend::Reading;
use super::{History, HistoryError};
use crate::context::Context;

/// After the end of a minute or an hour: what devices send late by no more than this is summed once.
const SETTLE: Duration = Duration::from_secs(90);
/// Stretches of one round: some hours of one device.
const ROUND_STRETCHES: usize = 240;
/// How often it is looked for what is to be made.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// After a failure it is tried again so much later.
const RETRY: Duration = Duration::from_secs(60);
/// Kept of what has no form for it: its entries are read each time.
const UNTOLD: Bytes = Bytes::from_static(&[0]);

/// Makes sums until the server stops. While there are many it takes half of a core at most.
pub(crate) async fn keep_sums(context: Arc<Context>) {
    let journal = context.intake.journal();
    let maker = Maker { history: History::new(journal.file(), context.profiles.clone()), journal };
    loop {
        let begun = Instant::now();
        let Some(made) = context.stop.run_until_cancelled(maker.round(Some(SETTLE))).await else { return };
        let pause = match made {
            Ok(ROUND_STRETCHES..) => begun.elapsed(),
            Ok(_) => LOOK_INTERVAL,
            Err(error) => {
                tracing::warn!(%error, "history of long ranges is read without sums; trying again to make them");
                RETRY
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = context.stop.cancelled() => return,
        }
    }
}

pub(super) struct Maker {
    pub(super) journal: Journal,
    pub(super) history: History,
}

impl Maker {
    /// Makes some; how many. Without `settle`, also of what is not over.
    pub(super) async fn round(&self, settle: Option<Duration>) -> Result<usize, HistoryError> {
        let taken = self.journal.take_unmade(settle, ROUND_STRETCHES).await?;
        let is_next = |one: &Stretch, next: &Stretch| {
            (&one.device, one.length, one.number.checked_add(1))
                == (&next.device, next.length, Some(next.number))
        };
        let mut sums = Vec::with_capacity(taken.len());
        for run in taken.chunk_by(is_next) {
            match run {
                [Stretch { length: Length::Hour, .. }, ..] => self.sum_hours(run, &mut sums).await?,
                _ => self.sum_minutes(run, &mut sums).await?,
            }
        }
        self.journal.keep_sums(sums).await?;
        Ok(taken.len())
    }

    /// Of neighbouring minutes.
    async fn sum_minutes(
        &self,
        run: &[Stretch],
        sums: &mut Vec<(Stretch, Bytes)>,
    ) -> Result<(), HistoryError> {
        let [first, ..] = run else { return Ok(()) };
        let begin_us = begin_us(Length::Minute.us(), first.number);
        let range_us = begin_us..begin_us.saturating_add(Length::Minute.us().saturating_mul(count(run)));
        let gather = Gather::all(self.history.profiles.clone());
        let history = &self.history;
        let mut reading = Reading { history, device: &first.device, range_us, gather, after: None };
        let mut found = BTreeMap::new();
        loop {
            let (minutes, is_last) = reading.next(Minute::stretch_sum).await?;
            found.extend(minutes.into_iter().filter_map(|(number, sum)| Some((number, sum?))));
            if is_last {
                break;
            }
        }
        sums.extend(
            run.iter().map(|stretch| (stretch.clone(), kept(stretch, found.remove(&stretch.number)))),
        );
        Ok(())
    }

    async fn sum_hours(&self, run: &[Stretch], sums: &mut Vec<(Stretch, Bytes)>) -> Result<(), HistoryError> {
        for hour in run {
            let from = Length::Minute.at(begin_us(Length::Hour.us(), hour.number));
            let query = SumsQuery {
                device: hour.device.clone(),
                length: Length::Minute,
                from,
                to: from.saturating_add(60),
            };
            let page = self.history.file.sums(query).await?;
            let parse =
                |(number, bytes): &(i64, Bytes)| StretchSum::parse(bytes, Length::Minute.us(), *number);
            let minutes: Option<Vec<_>> = page.made.iter().map(parse).collect();
            sums.push((
                hour.clone(),
                minutes.map_or(UNTOLD, |minutes| kept(hour, StretchSum::of_minutes(minutes))),
            ));
        }
        Ok(())
    }
}

fn count(run: &[Stretch]) -> i64 {
    i64::try_from(run.len()).unwrap_or(i64::MAX)
}

/// As the journal is to keep it; empty where there is nothing.
fn kept(stretch: &Stretch, sum: Option<StretchSum>) -> Bytes {
    sum.map_or_else(Bytes::new, |sum| sum.encode(stretch).unwrap_or(UNTOLD))
}
