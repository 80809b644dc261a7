//! Fewer points from many: least, greatest and mean of each stretch of time. It never invents a value: a stretch without
//! samples gives no bucket, and a bucket says when there is a gap before it.

/// The most buckets of one result.
pub const BUCKETS_MAX: u32 = 10_000;

/// Which stretches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buckets {
    /// Where the first one begins: UTC microseconds.
    pub from_us: i64,
    /// Where the last one ends.
    pub to_us: i64,
    /// How many, at most [`BUCKETS_MAX`]; each takes the same time.
    pub count: u32,
}

/// One sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// When it was measured: UTC microseconds.
    pub time_us: i64,
    /// How far off `time_us` may be, to either side.
    pub uncertainty_us: u64,
    /// What was measured.
    pub value: f64,
}

/// What the samples of one stretch come to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// Where the stretch begins: UTC microseconds.
    pub start_us: i64,
    /// The time of its first sample.
    pub first_us: i64,
    /// The time of its last sample.
    pub last_us: i64,
    /// How many samples, at least one.
    pub samples: u64,
    /// The greatest uncertainty of their times.
    pub uncertainty_us: u64,
    /// The least value.
    pub min: f64,
    /// The greatest value.
    pub max: f64,
    /// The mean of all values.
    pub mean: f64,
    /// Samples are missing between the bucket before and this one: no line may join them.
    pub gap_before: bool,
    /// Samples are missing within the bucket.
    pub gap_within: bool,
}

/// Puts samples into buckets, one by one.
#[derive(Debug)]
pub struct Downsampler {
    buckets: Buckets,
    found: Vec<Bucket>,
}

impl Downsampler {
    /// Without samples.
    #[must_use]
    pub fn new(buckets: Buckets) -> Self {
        Self { buckets, found: Vec::new() }
    }

    /// Adds the next sample in the order of time. One outside the range, or whose value is no number, is left out. Two
    /// neighbours further apart than `gap_us` (a few sample intervals) have a gap between them.
    pub fn add(&mut self, point: Point, gap_us: u64) {
        let Buckets { from_us, to_us, count } = self.buckets;
        if !point.value.is_finite() || !(from_us..to_us).contains(&point.time_us) {
            return;
        }
        let range_us = i128::from(to_us) - i128::from(from_us);
        let count = i128::from(count.clamp(1, BUCKETS_MAX));
        let index = (i128::from(point.time_us) - i128::from(from_us)) * count / range_us;
        let start_us =
            i64::try_from(i128::from(from_us) + (index * range_us + count - 1) / count).unwrap_or(from_us);
        let gap = self.found.last().is_some_and(|last| last.last_us.abs_diff(point.time_us) > gap_us);
        match self.found.last_mut() {
            Some(last) if last.start_us >= start_us => last.add(point, gap),
            _ => self.found.push(Bucket::new(start_us, point, gap)),
        }
    }

    /// The buckets that have samples.
    #[must_use]
    pub fn finish(self) -> Vec<Bucket> {
        self.found
    }
}

impl Bucket {
    fn new(start_us: i64, point: Point, gap_before: bool) -> Self {
        let Point { time_us, uncertainty_us, value } = point;
        Self {
            start_us,
            first_us: time_us,
            last_us: time_us,
            samples: 1,
            uncertainty_us,
            min: value,
            max: value,
            mean: value,
            gap_before,
            gap_within: false,
        }
    }

    fn add(&mut self, point: Point, gap: bool) {
        let Point { time_us, uncertainty_us, value } = point;
        self.samples += 1;
        self.last_us = self.last_us.max(time_us);
        self.uncertainty_us = self.uncertainty_us.max(uncertainty_us);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        #[expect(clippy::cast_precision_loss, reason = "more than 2^53 samples fit no journal")]
        let samples = self.samples as f64;
        self.mean += (value - self.mean) / samples;
        self.gap_within |= gap;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUCKETS: Buckets = Buckets { from_us: 0, to_us: 100, count: 10 };

    fn downsample(
        samples: impl IntoIterator<Item = (i64, f64)>,
        buckets: Buckets,
        gap_us: u64,
    ) -> Vec<Bucket> {
        let mut downsampler = Downsampler::new(buckets);
        for (uncertainty_us, (time_us, value)) in (0..).zip(samples) {
            downsampler.add(Point { time_us, uncertainty_us, value }, gap_us);
        }
        downsampler.finish()
    }

    #[test]
    fn keeps_least_greatest_and_mean() {
        let found = downsample([(0, 1.0), (4, 5.0), (9, 3.0), (12, -1.0)], BUCKETS, 5);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].min, found[0].max, found[0].mean, found[0].samples), (1.0, 5.0, 3.0, 3));
        assert_eq!((found[1].start_us, found[1].min), (10, -1.0));
        assert_eq!((found[0].uncertainty_us, found[1].uncertainty_us), (2, 3), "the greatest");
        assert!(!found[1].gap_before);
    }

    #[test]
    fn gives_no_bucket_for_a_gap_and_marks_the_one_after() {
        let found = downsample([(0, 1.0), (5, 1.0), (62, 1.0), (69, 1.0)], BUCKETS, 5);
        assert_eq!(found.iter().map(|bucket| bucket.start_us).collect::<Vec<_>>(), [0, 60]);
        assert!(found[1].gap_before && found[1].gap_within && !found[0].gap_within);
    }

    #[test]
    fn sparse_samples_of_the_usual_interval_have_no_gap() {
        let fine = Buckets { count: 100, ..BUCKETS };
        let found = downsample([(0, 1.0), (10, 1.0), (20, 1.0)], fine, 20);
        assert!(found.iter().all(|bucket| !bucket.gap_before));
    }

    #[test]
    fn leaves_out_what_is_no_number_or_out_of_range() {
        let found = downsample([(-1, 1.0), (0, f64::NAN), (50, f64::INFINITY), (100, 1.0)], BUCKETS, 5);
        assert!(found.is_empty());
        let backwards = Buckets { from_us: 10, to_us: 0, ..BUCKETS };
        assert!(downsample([(5, 1.0)], backwards, 5).is_empty());
    }

    #[test]
    fn every_time_lies_in_its_bucket() {
        for count in [1, 3, 7, 33] {
            let buckets = Buckets { count, ..BUCKETS };
            for time_us in 0..100 {
                let found = downsample([(time_us, 0.0)], buckets, 5);
                let width = 100 / i64::from(count) + 1;
                assert!(
                    (found[0].start_us..found[0].start_us + width).contains(&time_us),
                    "{count} {time_us}"
                );
            }
        }
    }
}
