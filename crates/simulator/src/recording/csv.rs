//! CSV text into a [`Recording`], line by line in bounded memory.

use std::io::{BufRead, BufReader, Read};

use vitalwire_protocol::Channel;

use super::{
    Clock, Column, LINE_LEN_MAX, Played, RECORDING_RATE_HZ_MAX, RECORDING_VALUE_MAX, Recording,
    RecordingError, RecordingOptions, Timing, Track,
};

/// A cell quoted in an error is cut to this many characters.
const QUOTED_CELL_LEN_MAX: usize = 40;

/// Keeps at most `numbers_max` numbers.
pub(super) fn read(
    reader: impl Read,
    options: &RecordingOptions,
    numbers_max: usize,
) -> Result<Recording, RecordingError> {
    let mut lines = Lines { reader: BufReader::new(reader), line: Vec::new(), number: 0 };
    if !lines.advance()? {
        return Err(RecordingError::Empty);
    }
    let first: Vec<String> = lines.cells(options.delimiter).map(str::to_owned).collect();
    // A header is a first line with a cell that is no number at all; `1e999` and `NaN` are numbers gone wrong.
    let has_header = first.iter().any(|cell| cell.parse::<f64>().is_err());
    let mut rows = Rows::new(&first, has_header, options)?;
    let mut at_row = if has_header { lines.advance()? } else { true };
    while at_row {
        rows.push(&lines, options.delimiter, numbers_max)?;
        at_row = lines.advance()?;
    }
    rows.finish()
}

/// The non-empty lines of a file.
struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
    number: u64,
}

impl<R: Read> Lines<R> {
    /// On to the next line that is not blank; `false` at the end of the file.
    fn advance(&mut self) -> Result<bool, RecordingError> {
        loop {
            self.line.clear();
            let mut limited = self.reader.by_ref().take(LINE_LEN_MAX as u64 + 1);
            let length = limited
                .read_until(b'\n', &mut self.line)
                .map_err(|source| RecordingError::Read { line: self.number, source })?;
            if length == 0 {
                return Ok(false);
            }
            self.number += 1;
            if length > LINE_LEN_MAX {
                return Err(RecordingError::LineTooLong { line: self.number });
            }
            if self.number == 1 && self.line.starts_with(b"\xef\xbb\xbf") {
                // Spreadsheets put a byte order mark in front.
                self.line.drain(..3);
            }
            if !self.line.trim_ascii().is_empty() {
                return Ok(true);
            }
        }
    }
}

impl<R> Lines<R> {
    fn cells(&self, delimiter: u8) -> impl Iterator<Item = &str> {
        self.line.split(move |byte| *byte == delimiter).map(|cell| {
            // Text that is not UTF-8 is no number either way; the error names line and column.
            let text = std::str::from_utf8(cell).unwrap_or("\u{fffd}").trim();
            unquoted(text, '"').or_else(|| unquoted(text, '\'')).unwrap_or(text)
        })
    }
}

fn unquoted(text: &str, quote: char) -> Option<&str> {
    text.strip_prefix(quote)?.strip_suffix(quote).map(str::trim)
}

/// What is read of each row, and what was read so far.
struct Rows {
    /// Place of the time, counted from 0; `None` at a fixed rate.
    time_place: Option<usize>,
    tracks: Vec<Track>,
    /// Place of each track, counted from 0.
    track_places: Vec<usize>,
    played: Vec<Played>,
    clock: Clock,
    first_time: Option<f64>,
    rows: usize,
}

impl Rows {
    fn new(first: &[String], has_header: bool, options: &RecordingOptions) -> Result<Self, RecordingError> {
        let header = Header { names: if has_header { first } else { &[] }, columns: first.len() };
        let (time_place, clock) = header.timing(options.timing.as_ref())?;
        let tracks =
            if options.tracks.is_empty() { header.tracks(time_place)? } else { options.tracks.clone() };
        let mut played: Vec<Played> = Vec::new();
        let mut track_places = Vec::new();
        for track in &tracks {
            if played.iter().any(|other| other.channel == track.channel) {
                return Err(RecordingError::DoubleTrack { key: track.channel.json_key() });
            }
            track_places.push(header.place(&track.column)?);
            played.push(Played { channel: track.channel, values: Vec::new() });
        }
        Ok(Self { time_place, tracks, track_places, played, clock, first_time: None, rows: 0 })
    }

    fn push<R>(&mut self, lines: &Lines<R>, delimiter: u8, numbers_max: usize) -> Result<(), RecordingError> {
        let line = lines.number;
        let numbers_a_row = self.played.len() + usize::from(self.time_place.is_some());
        if (self.rows + 1) * numbers_a_row > numbers_max {
            return Err(RecordingError::TooLong { line, numbers_max });
        }
        let number = |place: usize| match lines.cells(delimiter).nth(place) {
            Some(cell) => finite(cell).ok_or_else(|| RecordingError::NotANumber {
                line,
                column: place + 1,
                text: cell.chars().take(QUOTED_CELL_LEN_MAX).collect(),
            }),
            None => {
                let columns = lines.cells(delimiter).count();
                Err(RecordingError::ShortRow { line, columns, wanted: place + 1 })
            }
        };
        if let (Some(place), Clock::Seconds(seconds)) = (self.time_place, &mut self.clock) {
            let here = number(place)?;
            let first = *self.first_time.get_or_insert(here);
            if let Some(before) = seconds.last().filter(|before| here - first <= **before) {
                return Err(RecordingError::TimeNotRising { line, before: first + before, here });
            }
            seconds.push(here - first);
        }
        let tracks = self.tracks.iter().zip(&self.track_places);
        for (played, (track, place)) in self.played.iter_mut().zip(tracks) {
            let value = number(*place)? * track.scale + track.offset;
            // Also refuses what a scale that is not finite makes of it.
            if !value.is_finite() || value.abs() > RECORDING_VALUE_MAX {
                return Err(RecordingError::TooLarge { line, column: place + 1, value });
            }
            played.values.push(value);
        }
        self.rows += 1;
        Ok(())
    }

    fn finish(self) -> Result<Recording, RecordingError> {
        if self.rows == 0 {
            return Err(RecordingError::Empty);
        }
        Ok(Recording::new(self.played, self.clock, self.rows))
    }
}

fn finite(cell: &str) -> Option<f64> {
    cell.parse().ok().filter(|number: &f64| number.is_finite())
}

/// Names (none without a header) and number of columns.
struct Header<'a> {
    names: &'a [String],
    columns: usize,
}

impl Header<'_> {
    fn timing(&self, timing: Option<&Timing>) -> Result<(Option<usize>, Clock), RecordingError> {
        match timing {
            Some(Timing::RateHz(rate_hz)) if *rate_hz > 0.0 && *rate_hz <= RECORDING_RATE_HZ_MAX => {
                Ok((None, Clock::RateHz(*rate_hz)))
            }
            Some(Timing::RateHz(rate_hz)) => Err(RecordingError::Rate { rate_hz: *rate_hz }),
            Some(Timing::Column(column)) => Ok((Some(self.place(column)?), Clock::Seconds(Vec::new()))),
            None => {
                let place =
                    self.names.iter().position(|name| is_time(name)).ok_or(RecordingError::NoTiming)?;
                Ok((Some(place), Clock::Seconds(Vec::new())))
            }
        }
    }

    /// The tracks that show from the names, or from there being just one column.
    fn tracks(&self, time_place: Option<usize>) -> Result<Vec<Track>, RecordingError> {
        let named: Vec<Track> = Channel::ALL
            .into_iter()
            .filter(|channel| self.names.iter().any(|name| name == channel.json_key()))
            .map(|channel| Track::new(channel, Column::Name(channel.json_key().to_owned())))
            .collect();
        if !named.is_empty() {
            return Ok(named);
        }
        // A time column that is not used, because a rate was given, is still not a signal.
        let is_signal = |place: &usize| {
            Some(*place) != time_place && !self.names.get(*place).is_some_and(|name| is_time(name))
        };
        let mut signals = (0..self.columns).filter(is_signal);
        match (signals.next(), signals.next()) {
            (Some(only), None) => Ok(vec![Track::new(Channel::PulseSig, Column::Number(only + 1))]),
            _ => Err(RecordingError::NoTracks { columns: self.columns }),
        }
    }

    fn place(&self, column: &Column) -> Result<usize, RecordingError> {
        let place = match column {
            Column::Name(name) => self.names.iter().position(|known| known == name),
            Column::Number(number) => number.checked_sub(1).filter(|place| *place < self.columns),
        };
        place.ok_or_else(|| RecordingError::NoColumn { column: column.clone(), known: self.known() })
    }

    fn known(&self) -> String {
        if self.names.is_empty() {
            format!("1 to {} (it has no header)", self.columns)
        } else {
            self.names.join(", ")
        }
    }
}

fn is_time(name: &str) -> bool {
    name.eq_ignore_ascii_case("time") || name.eq_ignore_ascii_case("time_s")
}
