//! A recorded signal: a CSV file of numbers, read once, interpolated at any time and looped.
//!
//! It keeps only the columns that are played, and at most [`RECORDING_NUMBERS_MAX`] numbers. It never resamples,
//! filters or repairs: a cell that is not a number is an error that names its line.

mod csv;

use std::convert::Infallible;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use vitalwire_protocol::Channel;

/// Most numbers kept of one recording, times included: 64 MiB. One channel at a fixed rate of 250 Hz fills it in nine
/// hours; a file of a million lines with one channel takes 8 MB. While a file is read, its buffer may be twice as big.
pub const RECORDING_NUMBERS_MAX: usize = 8 * 1024 * 1024;
/// Longest line accepted, in bytes.
pub const LINE_LEN_MAX: usize = 64 * 1024;
/// Largest value played, after scaling, in the channel's unit: no sensor reaches it, and it fits a sample's JSON text.
pub const RECORDING_VALUE_MAX: f64 = 1e9;
/// Highest sampling rate accepted, in hertz.
pub const RECORDING_RATE_HZ_MAX: f64 = 100_000.0;

/// A column of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Column {
    /// By its name in the header.
    Name(String),
    /// By its place, counted from 1.
    Number(usize),
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "`{name}`"),
            Self::Number(number) => write!(f, "number {number}"),
        }
    }
}

impl FromStr for Column {
    type Err = Infallible;

    /// A whole number is a place, everything else a name.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Number))
    }
}

/// Where the time of a row comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Timing {
    /// Rows follow each other at this rate.
    RateHz(f64),
    /// A column of strictly rising seconds.
    Column(Column),
}

/// One channel that the recording plays: value = cell × scale + offset.
#[derive(Debug, Clone, PartialEq)]
pub struct Track {
    /// What the column is played as.
    pub channel: Channel,
    /// Where its numbers are.
    pub column: Column,
    /// Factor from the file's unit to the channel's (0.001 for a file in millivolts and a channel in volts).
    pub scale: f64,
    /// Added after scaling, in the channel's unit (2 for an ECG in mV, as the paper's software device sends it).
    pub offset: f64,
}

impl Track {
    /// The column as it is.
    #[must_use]
    pub fn new(channel: Channel, column: Column) -> Self {
        Self { channel, column, scale: 1.0, offset: 0.0 }
    }
}

/// How a file is to be read.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordingOptions {
    /// `None`: the column named `time` or `time_s`, in seconds.
    pub timing: Option<Timing>,
    /// Empty: every column named as a channel's JSON key (`Temp`, `PulseSig`, …), or else the only column there is,
    /// apart from the time, as `PulseSig`.
    pub tracks: Vec<Track>,
    /// What separates columns.
    pub delimiter: u8,
}

impl Default for RecordingOptions {
    fn default() -> Self {
        Self { timing: None, tracks: Vec::new(), delimiter: b',' }
    }
}

impl RecordingOptions {
    /// Rows at a fixed rate, everything else as found.
    #[must_use]
    pub fn at_rate(rate_hz: f64) -> Self {
        Self { timing: Some(Timing::RateHz(rate_hz)), ..Self::default() }
    }
}

/// Why a recording cannot be played. Lines and columns count from 1.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum RecordingError {
    #[error("cannot open the recording {}: {source}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("cannot read the recording beyond line {line}: {source}")]
    Read {
        /// The last whole line.
        line: u64,
        source: io::Error,
    },
    #[error("the recording holds no row of numbers")]
    Empty,
    #[error("a sampling rate of {rate_hz} Hz is outside 0..{RECORDING_RATE_HZ_MAX}")]
    Rate { rate_hz: f64 },
    #[error("the recording has no column `time` or `time_s`; give its sampling rate or name its time column")]
    NoTiming,
    #[error(
        "cannot tell which of the {columns} columns to play; name columns as the channels (PulseSig, Temp, …) or say \
         which to play"
    )]
    NoTracks { columns: usize },
    #[error("the recording has no column {column}; its columns are: {known}")]
    NoColumn {
        column: Column,
        /// Names or places of those there are.
        known: String,
    },
    #[error("two columns are to be played as {key}; choose one")]
    DoubleTrack {
        /// JSON key of the channel.
        key: &'static str,
    },
    #[error("line {line}, column {column}: `{text}` is not a finite number")]
    NotANumber {
        line: u64,
        column: usize,
        /// The cell, shortened.
        text: String,
    },
    #[error(
        "line {line}, column {column}: {value} is beyond ±{RECORDING_VALUE_MAX}; check the column and its scale"
    )]
    TooLarge {
        line: u64,
        column: usize,
        /// The scaled value.
        value: f64,
    },
    #[error("line {line} has {columns} columns, but column {wanted} is needed; is the file cut off?")]
    ShortRow { line: u64, columns: usize, wanted: usize },
    #[error("line {line}: time {here} s does not come after {before} s")]
    TimeNotRising { line: u64, before: f64, here: f64 },
    #[error("line {line} is longer than {LINE_LEN_MAX} bytes; is this a CSV file?")]
    LineTooLong { line: u64 },
    #[error(
        "the recording has more than {numbers_max} numbers up to line {line}; play fewer columns or cut the file"
    )]
    TooLong { line: u64, numbers_max: usize },
}

/// One played column.
#[derive(Clone)]
struct Played {
    channel: Channel,
    /// Scaled already.
    values: Vec<f64>,
}

/// When each row is.
#[derive(Clone)]
enum Clock {
    RateHz(f64),
    /// Seconds after the first row.
    Seconds(Vec<f64>),
}

/// A recording, ready to be asked for its values at any time.
#[derive(Clone)]
pub struct Recording {
    played: Vec<Played>,
    clock: Clock,
    rows: usize,
    period_s: f64,
}

/// Says how long it is, never what it holds: it may be of a real person.
impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording")
            .field("rows", &self.rows)
            .field("period_s", &self.period_s)
            .finish_non_exhaustive()
    }
}

impl Recording {
    /// Reads the CSV file at `path`.
    ///
    /// # Errors
    /// See [`RecordingError`].
    pub fn open_csv(path: &Path, options: &RecordingOptions) -> Result<Self, RecordingError> {
        let file =
            File::open(path).map_err(|source| RecordingError::Open { path: path.to_owned(), source })?;
        Self::from_csv(file, options)
    }

    /// Reads CSV text: one row of numbers a line, optionally a header first. Cells may stand in quotes, but a
    /// separator inside quotes separates all the same. Empty lines are skipped.
    ///
    /// # Errors
    /// See [`RecordingError`].
    pub fn from_csv(reader: impl Read, options: &RecordingOptions) -> Result<Self, RecordingError> {
        csv::read(reader, options, RECORDING_NUMBERS_MAX)
    }

    /// `values` of each track and the times are equally long and not empty.
    fn new(played: Vec<Played>, clock: Clock, rows: usize) -> Self {
        let period_s = match &clock {
            Clock::RateHz(rate_hz) => rows as f64 / rate_hz,
            // The way back to the first row takes as long as the average step.
            Clock::Seconds(seconds) => match (seconds.last(), seconds.len()) {
                (Some(last), len) if len > 1 => last + last / (len - 1) as f64,
                _ => 1.0,
            },
        };
        Self { played, clock, rows, period_s }
    }

    /// How many rows are played.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Seconds after which it starts again.
    #[must_use]
    pub fn period_s(&self) -> f64 {
        self.period_s
    }

    /// The channels it plays.
    pub fn channels(&self) -> impl Iterator<Item = Channel> + '_ {
        self.played.iter().map(|track| track.channel)
    }

    /// The channel's value at `t_seconds`, between two rows on the straight line between them; `None` if the channel
    /// is not recorded. After the last row it goes on to the first.
    #[must_use]
    pub fn value(&self, channel: Channel, t_seconds: f64) -> Option<f64> {
        let track = self.played.iter().find(|track| track.channel == channel)?;
        Some(self.interpolated(track, self.place(t_seconds)))
    }

    /// Puts the recorded channels' values at `t_seconds` in place of those in `values` (order of `Channel::ALL`).
    pub fn overlay(&self, t_seconds: f64, values: &mut [f64; 7]) {
        let place = self.place(t_seconds);
        for track in &self.played {
            if let Some(value) = values.get_mut(track.channel.index()) {
                *value = self.interpolated(track, place);
            }
        }
    }

    /// The row at or before the time, and how far towards the next one (0..1) the time is.
    fn place(&self, t_seconds: f64) -> (usize, f64) {
        let into_s = t_seconds.rem_euclid(self.period_s);
        match &self.clock {
            Clock::RateHz(rate_hz) => {
                let row = into_s * rate_hz;
                (whole(row), row.fract())
            }
            Clock::Seconds(seconds) => {
                let row = seconds.partition_point(|at| *at <= into_s).saturating_sub(1);
                let at = seconds.get(row).copied().unwrap_or(0.0);
                let next = seconds.get(row + 1).copied().unwrap_or(self.period_s);
                (row, (into_s - at) / (next - at))
            }
        }
    }

    fn interpolated(&self, track: &Played, (row, towards_next): (usize, f64)) -> f64 {
        let value = |row: usize| track.values.get(row % self.rows).copied().unwrap_or(0.0);
        let (here, next) = (value(row), value(row + 1));
        here + (next - here) * towards_next
    }
}

#[expect(clippy::cast_possible_truncation, reason = "0 to the number of rows; a float cast saturates")]
fn whole(row: f64) -> usize {
    row as usize
}

#[cfg(test)]
mod tests;
