//! A pulse wave or an ECG, as it comes: its beats, and once a second its rate with how far that can be believed.

use alloc::vec::Vec;

/// What a wave shows of the heart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaveKind {
    /// An electrocardiogram: its rate is a heart rate.
    Ecg,
    /// A photoplethysmogram: its rate is a pulse rate.
    Ppg,
}

/// What a stretch of signal is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Beats can be told from noise.
    Good,
    /// They cannot: noise, movement, or too little of it yet.
    Bad,
    /// It does not change at all, or stands at an end of the sensor's range: the sensor is off.
    Off,
}

/// What is known of one second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Second {
    /// Its end: UTC, microseconds since 1970.
    pub time_us: i64,
    /// Beats a minute, over the last seconds; nothing while the signal is not good.
    pub rate_per_min: Option<f32>,
    /// From 0 to 1: how alike the beats are to each other.
    pub quality: f32,
    /// Whether it can be used.
    pub signal: Signal,
    /// For how many microseconds there has been no beat though the signal would show one; 0 when there are beats, or that is
    /// not known.
    pub without_beat_us: u64,
}

/// What a step finds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Found {
    /// A beat. It is told when it is certain, which is up to a second later.
    Beat {
        /// When it was: UTC, microseconds since 1970.
        time_us: i64,
    },
    /// A second has passed.
    Second(Second),
}

/// Watches one wave. It starts again by itself after a gap, a jump of the clock, or a change of the rate.
#[derive(Clone, Debug)]
pub struct WaveMonitor {
    kind: WaveKind,
}

impl WaveMonitor {
    /// Before the first sample.
    #[must_use]
    pub fn new(kind: WaveKind) -> Self {
        Self { kind }
    }

    /// What the wave is.
    #[must_use]
    pub fn kind(&self) -> WaveKind {
        self.kind
    }

    /// Takes samples, the first at `first_us`, each `interval_us` after the one before, in any unit. A sample that is not a number is a
    /// gap. What is found is added to `found`, in the order of time.
    pub fn step(&mut self, first_us: i64, interval_us: u32, samples: &[f32], found: &mut Vec<Found>) {
        let _ = (first_us, interval_us, samples, found);
    }
}
