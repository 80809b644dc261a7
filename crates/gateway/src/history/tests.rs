//! What sums tell is what the values say, whatever is summed already: random readings of random patients, some late, some of another
//! profile, summed at random moments, beside the plain computation.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use vitalwire_journal::{Assurance, Bucket, Entry, Journal, JournalLimits, Length, Outcome};
use vitalwire_protocol::batch::{MESSAGE_LEN_MAX, Samples, encode_batch};
use vitalwire_registry::{Border, StayId, Timeline};

use super::maker::Maker;
use super::trend::Stretches;
use super::*;
use crate::clock::system_time;
use crate::reading::{SampleBody, batch_body, samples_body};

const T0_US: i64 = 1_795_000_000_000_000;
const MINUTE_US: i64 = 60_000_000;
const CHANNEL: &str = "Temperature";

/// A value that was given to the journal.
#[derive(Clone, Copy, Debug)]
struct Given {
    time_us: i64,
    uncertainty_us: u64,
    value: f64,
    interval_us: u32,
    position: u64,
}

struct Ward {
    folder: tempfile::TempDir,
    maker: Maker,
    random: ChaCha8Rng,
    given: Vec<Given>,
    sequence: u64,
}

fn device() -> DeviceId {
    "d".parse().unwrap()
}

impl Ward {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let limits = JournalLimits { age_max: None, ..JournalLimits::default() };
        let journal = Journal::open(&folder.path().join(JOURNAL), &limits).unwrap();
        let history = History::new(journal.file(), Profiles::load(Path::new("/nowhere")).unwrap());
        let random = ChaCha8Rng::seed_from_u64(vitalwire_testing::seed::seed());
        Self { folder, maker: Maker { journal, history }, random, given: Vec::new(), sequence: 0 }
    }

    async fn append(
        &mut self,
        first_us: i64,
        span_us: u64,
        body: bytes::Bytes,
        values: &[(u64, f64)],
        interval_us: u32,
    ) {
        self.sequence += 1;
        let uncertainty_us = self.random.random_range(0..5_000);
        let entry = Entry {
            device: device(),
            boot: 1,
            sequence: self.sequence,
            received_us: first_us,
            first_us,
            span_us,
            uncertainty_us,
            samples: 1,
            assurance: Assurance::Authenticated,
            body,
        };
        let Outcome::Committed { position } = self.maker.journal.append(entry).await.await else {
            panic!("not taken")
        };
        let given = |(offset_us, value): &(u64, f64)| Given {
            time_us: first_us.saturating_add_unsigned(*offset_us),
            uncertainty_us,
            value: *value,
            interval_us,
            position,
        };
        self.given.extend(values.iter().map(given));
    }

    /// A batch with a channel before the one that is asked for, and one after it.
    async fn batch(&mut self, profile: &str, first_us: i64, interval_us: u32) {
        let most = (MINUTE_US / i64::from(interval_us)).clamp(1, 20);
        let count = usize::try_from(self.random.random_range(1..=most)).unwrap();
        let digits: Vec<i32> = (0..count).map(|_| self.random.random_range(-40_000..42_000)).collect();
        let delay_us = self.random.random_range(0..30_000);
        let channel = |index, delay_us, values| Samples { index, interval_us, delay_us, scale: -3, values };
        let channels =
            [channel(1, 0, &digits[..1]), channel(0, delay_us, &digits), channel(2, 0, &digits[..1])];
        let mut message = vec![0; MESSAGE_LEN_MAX];
        let len = encode_batch(self.sequence + 1, 1_000, None, &channels, &mut message).unwrap();
        let time = |number: usize| u64::from(delay_us) + number as u64 * u64::from(interval_us);
        let values: Vec<_> = digits
            .iter()
            .enumerate()
            .map(|(number, digits)| (time(number), f64::from(*digits) / 1e3))
            .collect();
        // What the server derives has no such channel.
        let values = if profile == "derived" { Vec::new() } else { values };
        let body = batch_body(profile, &message[..len]);
        self.append(first_us, time(count - 1), body, &values, interval_us).await;
    }

    /// Samples of the paper's frames, of which one is no number.
    async fn samples(&mut self, first_us: i64) {
        let samples = [(0, "36.5"), (1_000, "1e999"), (700_000, "36.75"), (2_000_000, "-1")];
        let body = |(offset_us, text): (u64, &str)| SampleBody {
            offset_us,
            text: format!("{text},1,1,1,1,1,1").into_bytes().into(),
        };
        let values: Vec<_> =
            samples.iter().map(|(offset_us, text)| (*offset_us, text.parse::<f64>().unwrap())).collect();
        let values: Vec<_> = values.into_iter().filter(|(_, value)| value.is_finite()).collect();
        let bodies: Vec<_> = samples.into_iter().map(body).collect();
        self.append(first_us, 2_000_000, samples_body(1, &bodies), &values, 50_000).await;
    }

    /// Some minutes of readings, with pauses; now and then something late.
    async fn goes_on(&mut self, at_us: &mut i64) {
        for _ in 0..self.random.random_range(1..60) {
            *at_us += self.random.random_range(0..40_000_000);
            let late_us =
                if self.random.random_bool(0.1) { self.random.random_range(0..9_000_000_000) } else { 0 };
            let first_us = (*at_us - late_us).max(T0_US - 1_000_000_000);
            let interval_us = [50_000, 2_000_000, 1_800_000_000][self.random.random_range(0..3)];
            match self.random.random_range(0..10) {
                0 => self.samples(first_us).await,
                1 => self.batch("ecg", first_us, interval_us).await,
                2 => self.batch("derived", first_us, interval_us).await,
                _ => self.batch("pico", first_us, interval_us).await,
            }
        }
        if self.random.random_bool(0.1) {
            *at_us += self.random.random_range(0..20_000_000_000);
        }
    }

    async fn asked(&self, history: &History, range_us: Range<i64>, points: u32) -> Vec<Bucket> {
        let query = HistoryQuery {
            device: device(),
            channel: CHANNEL.to_owned(),
            from: system_time(range_us.start),
            to: system_time(range_us.end),
        };
        history.buckets(&query, points).await.unwrap()
    }
}

/// The plain computation, of all values of the range at once.
fn plain(
    given: &[Given],
    range_us: &Range<i64>,
    points: u32,
    is_own: impl Fn(&Given) -> bool,
) -> Vec<Bucket> {
    let stretches = Stretches::of(range_us.start, range_us.end, points).unwrap();
    let mut values: Vec<&Given> =
        given.iter().filter(|given| range_us.contains(&given.time_us) && is_own(given)).collect();
    values.sort_by_key(|given| given.time_us);
    let minute = |given: &Given| Length::Minute.at(given.time_us);
    let mut longest: BTreeMap<i64, u32> = BTreeMap::new();
    for given in &values {
        let longest = longest.entry(minute(given)).or_default();
        *longest = given.interval_us.max(*longest);
    }
    let has_gap = |a: &Given, b: &Given| {
        let interval_us = longest[&minute(a)].max(longest[&minute(b)]);
        (b.time_us - a.time_us).unsigned_abs() > 3 * u64::from(interval_us)
    };
    let starts = values.chunk_by(|a, b| stretches.start_us(a.time_us) == stretches.start_us(b.time_us));
    let mut before: Option<&Given> = None;
    let mut buckets = Vec::new();
    for chunk in starts {
        let (first, last) = (chunk[0], chunk[chunk.len() - 1]);
        let numbers = || chunk.iter().map(|given| given.value);
        buckets.push(Bucket {
            start_us: stretches.start_us(first.time_us),
            first_us: first.time_us,
            last_us: last.time_us,
            samples: chunk.len() as u64,
            uncertainty_us: chunk.iter().map(|given| given.uncertainty_us).max().unwrap(),
            min: numbers().fold(f64::INFINITY, f64::min),
            max: numbers().fold(f64::NEG_INFINITY, f64::max),
            mean: numbers().sum::<f64>() / chunk.len() as f64,
            gap_before: before.is_some_and(|before| has_gap(before, first)),
            gap_within: chunk.windows(2).any(|pair| has_gap(pair[0], pair[1])),
        });
        before = Some(last);
    }
    buckets
}

fn assert_same(found: &[Bucket], expected: &[Bucket], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        assert!((found.mean - expected.mean).abs() < 1e-6, "{what}: {found:?} {expected:?}");
        assert_eq!(Bucket { mean: 0.0, ..*found }, Bucket { mean: 0.0, ..*expected }, "{what}");
    }
}

#[tokio::test]
async fn what_sums_tell_is_what_the_values_say() {
    let mut ward = Ward::new();
    let mut at_us = T0_US;
    for round in 0..vitalwire_testing::seed::length(40, 1_000) {
        ward.goes_on(&mut at_us).await;
        for _ in 0..ward.random.random_range(0..3) {
            ward.maker.round(None).await.unwrap();
        }
        let from_us = ward.random.random_range(T0_US - 2_000_000_000..at_us);
        let to_us = ward.random.random_range(from_us + 3 * MINUTE_US..at_us + 8_000_000_000);
        let minutes = u32::try_from((to_us - from_us) / MINUTE_US).unwrap();
        let points = ward.random.random_range(1..=minutes.min(10_000));
        let (range_us, what) = (from_us..to_us, format!("round {round}, {from_us}..{to_us} in {points}"));
        let found = ward.asked(&ward.maker.history, range_us.clone(), points).await;
        assert_same(&found, &plain(&ward.given, &range_us, points, |_| true), &what);
        let stay = |number| StayId::new(number).unwrap();
        let border = |stay: StayId, random: &mut ChaCha8Rng| Border {
            stay,
            time_us: random.random_range(T0_US..at_us + 1),
            position: random.random_range(0..=ward.sequence),
        };
        let borders = [1, 2, 3].map(|number| border(stay(number), &mut ward.random)).to_vec();
        let timeline = Timeline { borders, has_patients: true };
        for number in 1..=3 {
            let history = ward.maker.history.of_stay(stay(number), timeline.clone());
            let found = ward.asked(&history, range_us.clone(), points).await;
            let is_own =
                |given: &Given| timeline.stay_at(given.time_us, given.position) == Some(stay(number));
            let expected = plain(&ward.given, &range_us, points, is_own);
            assert_same(&found, &expected, &format!("{what}, stay {number} of {timeline:?}"));
        }
    }
}

/// All sums are made, then one entry comes late: the next answer has it.
#[tokio::test]
async fn what_comes_late_is_told_at_once() {
    let mut ward = Ward::new();
    for minute in 0..180 {
        ward.batch("pico", T0_US + minute * MINUTE_US, 2_000_000).await;
    }
    while ward.maker.round(None).await.unwrap() > 0 {}
    let range_us = T0_US..T0_US + 180 * MINUTE_US;
    let samples = |buckets: Vec<Bucket>| buckets.iter().map(|bucket| bucket.samples).sum::<u64>();
    let before = samples(ward.asked(&ward.maker.history, range_us.clone(), 2).await);
    ward.samples(T0_US + 90 * MINUTE_US).await;
    assert_eq!(samples(ward.asked(&ward.maker.history, range_us, 2).await), before + 3);
}

/// Otherwise a test of the sums would pass on what is read from the entries.
#[tokio::test]
async fn an_answer_of_summed_hours_reads_no_entry() {
    let mut ward = Ward::new();
    for minute in 0..200 {
        ward.batch("pico", T0_US + minute * MINUTE_US, 2_000_000).await;
    }
    while ward.maker.round(None).await.unwrap() > 0 {}
    let file = rusqlite::Connection::open(ward.folder.path().join(JOURNAL)).unwrap();
    file.execute("UPDATE entries SET body = x'00'", []).unwrap();
    let hour_us = Length::Hour.us();
    let first = (Length::Hour.at(T0_US) + 1) * hour_us;
    for (range_us, points) in [(first..first + 2 * hour_us, 2), (first..first + 2 * hour_us, 120)] {
        let found = ward.asked(&ward.maker.history, range_us.clone(), points).await;
        assert_same(&found, &plain(&ward.given, &range_us, points, |_| true), "entries are unreadable");
        assert!(!found.is_empty());
    }
}

#[tokio::test]
async fn a_channel_that_the_readings_lack_is_an_error_in_a_long_range_too() {
    let mut ward = Ward::new();
    for minute in 0..180 {
        ward.batch("pico", T0_US + minute * MINUTE_US, 2_000_000).await;
    }
    while ward.maker.round(None).await.unwrap() > 0 {}
    let query = HistoryQuery {
        device: device(),
        channel: "Heart_Rate".to_owned(),
        from: system_time(T0_US),
        to: system_time(T0_US) + Duration::from_secs(180 * 60),
    };
    let error = ward.maker.history.buckets(&query, 2).await.unwrap_err();
    assert!(error.to_string().contains("Pulse_Signal"), "{error}");
    let other = HistoryQuery { device: "other".parse().unwrap(), ..query };
    assert!(ward.maker.history.buckets(&other, 2).await.unwrap().is_empty());
}

#[test]
fn a_stay_has_all_of_a_stretch_or_nothing_or_it_is_divided() {
    let stay = |number| StayId::new(number).unwrap();
    let border = |number, time_us, position| Border { stay: stay(number), time_us, position };
    let timeline = Timeline { borders: vec![border(1, 0, 0), border(2, 600, 50)], has_patients: true };
    let only = Only { stay: stay(2), timeline: Arc::new(timeline) };
    for (range_us, positions, expected) in [
        (600..660, (51, 60), Some(true)),
        (600..660, (50, 60), None),
        (599..660, (51, 60), None),
        (540..600, (51, 60), Some(false)),
        (600..660, (40, 50), Some(false)),
        (-60..0, (51, 60), Some(false)),
    ] {
        assert_eq!(only.has_all(range_us.clone(), positions), expected, "{range_us:?} {positions:?}");
    }
}
