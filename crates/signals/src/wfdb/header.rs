//! The header of a record: which signals there are, in which file and format, and what their numbers mean.

use std::str::FromStr;

/// Most signals of a record.
pub const SIGNALS_MAX: usize = 64;
/// Highest rate, in Hz.
const RATE_HZ_MAX: f64 = 100_000.0;
/// What applies where a header says none: header(5).
const RATE_HZ_DEFAULT: f64 = 250.0;
const GAIN_DEFAULT: f64 = 200.0;

/// How samples lie in their file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// 16 bits each, the lower byte first.
    Bits16,
    /// Two of 12 bits in three bytes.
    Bits12,
}

/// One signal of a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    /// The file's name, without a folder.
    pub file: String,
    /// How the samples lie in it.
    pub format: Format,
    /// Bytes of the file before the first sample.
    pub offset: usize,
    /// Steps of the converter to a unit.
    pub gain: f64,
    /// What the converter gives for 0.
    pub baseline: i32,
    /// The unit: `mV` where the header has none.
    pub units: String,
    /// What the signal is, such as `MLII`; empty where the header does not say.
    pub description: String,
}

/// What a record consists of.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// The record's name.
    pub name: String,
    /// Samples a second of each signal.
    pub rate_hz: f64,
    /// How many samples each signal has, where the header says it.
    pub len: Option<u64>,
    /// The signals, in the order of the header.
    pub signals: Vec<Signal>,
    /// The comments below them.
    pub comments: Vec<String>,
}

/// A header cannot be used. Lines are counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// There is no line but comments.
    #[error("the header has no line that names a record; is it a WFDB header (.hea)?")]
    Empty,
    /// A line lacks something.
    #[error("line {line} lacks {what}")]
    Lacks {
        /// The line.
        line: usize,
        /// What it lacks.
        what: &'static str,
    },
    /// Something is no number, or none that is possible.
    #[error("line {line}: `{text}` cannot be {what}")]
    Value {
        /// The line.
        line: usize,
        /// What it would have to be.
        what: &'static str,
        /// What stands there.
        text: String,
    },
    /// What this reader does not know.
    #[error(
        "line {line}: {what} cannot be read; convert the record to format 16 or 212 with PhysioNet's xform"
    )]
    Unsupported {
        /// The line.
        line: usize,
        /// What it is.
        what: &'static str,
    },
    /// There are fewer lines of signals than the first line says.
    #[error("the header announces {announced} signals and describes {found}")]
    SignalsMissing {
        /// Of the first line.
        announced: usize,
        /// How many there are.
        found: usize,
    },
}

impl Header {
    /// Reads a header.
    ///
    /// # Errors
    ///
    /// Returns what is wrong where, or what this reader does not know: records of several segments, several samples a frame, and
    /// signals that are skewed against each other.
    pub fn parse(text: &str) -> Result<Self, HeaderError> {
        let mut lines = (1..).zip(text.lines()).map(|(number, line)| Line { number, text: line.trim() });
        let first = lines.find(|line| line.has_content()).ok_or(HeaderError::Empty)?;
        let (mut header, count) = record_line(&first)?;
        for line in lines {
            if let Some(comment) = line.text.strip_prefix('#') {
                header.comments.push(comment.trim().to_owned());
            } else if line.has_content() && header.signals.len() < count {
                header.signals.push(signal_line(&line)?);
            }
        }
        if header.signals.len() < count {
            return Err(HeaderError::SignalsMissing { announced: count, found: header.signals.len() });
        }
        Ok(header)
    }
}

/// A line with its number.
struct Line<'a> {
    number: usize,
    text: &'a str,
}

impl Line<'_> {
    fn has_content(&self) -> bool {
        !self.text.is_empty() && !self.text.starts_with('#')
    }

    fn lacks(&self, what: &'static str) -> HeaderError {
        HeaderError::Lacks { line: self.number, what }
    }

    fn unsupported(&self, what: &'static str) -> HeaderError {
        HeaderError::Unsupported { line: self.number, what }
    }

    fn number<T: FromStr>(&self, text: &str, what: &'static str) -> Result<T, HeaderError> {
        text.parse().map_err(|_| HeaderError::Value { line: self.number, what, text: shortened(text) })
    }

    /// A number above 0 that no one needs to be afraid of.
    fn positive(&self, text: &str, max: f64, what: &'static str) -> Result<f64, HeaderError> {
        let value: f64 = self.number(text, what)?;
        if value > 0.0 && value <= max {
            Ok(value)
        } else {
            Err(HeaderError::Value { line: self.number, what, text: shortened(text) })
        }
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

/// `name[/segments] signals [rate[/counter[(base)]] [samples [time [date]]]]`.
fn record_line(line: &Line<'_>) -> Result<(Header, usize), HeaderError> {
    let mut fields = line.text.split_whitespace();
    let name = fields.next().ok_or(HeaderError::Empty)?;
    if name.contains('/') {
        return Err(line.unsupported("a record of several segments"));
    }
    let count = fields.next().ok_or(line.lacks("the number of signals"))?;
    let count: usize = line.number(count, "the number of signals")?;
    if count > SIGNALS_MAX {
        return Err(line.unsupported("a record of more than 64 signals"));
    }
    let rate_hz = fields.next().map_or(Ok(RATE_HZ_DEFAULT), |text| {
        // Behind a slash stands how a counter ran that no one has any more.
        let rate = text.split('/').next().unwrap_or(text);
        line.positive(rate, RATE_HZ_MAX, "a sampling rate from above 0 to 100,000 Hz")
    })?;
    let len: Option<u64> = fields
        .next()
        .map(|text| line.number(text, "the number of samples"))
        .transpose()?
        .filter(|len| *len > 0);
    let name = name.to_owned();
    Ok((Header { name, rate_hz, len, signals: Vec::with_capacity(count), comments: Vec::new() }, count))
}

/// `file format[xsamples][:skew][+offset] [gain[(baseline)][/units] [bits [zero [initial [checksum [block [description]]]]]]]`.
fn signal_line(line: &Line<'_>) -> Result<Signal, HeaderError> {
    let mut fields = line.text.split_whitespace();
    let file = fields.next().ok_or(line.lacks("a file's name"))?;
    if file.contains(['/', '\\']) || file.starts_with('.') {
        let text = shortened(file);
        return Err(HeaderError::Value { line: line.number, what: "a file beside the header", text });
    }
    let (format, offset) = format(line, fields.next().ok_or(line.lacks("a format"))?)?;
    let gain = fields.next().unwrap_or_default();
    let _bits = fields.next();
    let zero = fields.next().map_or(Ok(0), |text| line.number(text, "the converter's zero"))?;
    let (gain, baseline, units) = gain_field(line, gain, zero)?;
    // Initial value, checksum and block size; the rest is the description.
    let description = fields.skip(3).collect::<Vec<_>>().join(" ");
    Ok(Signal { file: file.to_owned(), format, offset, gain, baseline, units, description })
}

fn format(line: &Line<'_>, text: &str) -> Result<(Format, usize), HeaderError> {
    let (text, offset) = text.split_once('+').map_or((text, None), |(text, offset)| (text, Some(offset)));
    let (text, skew) = text.split_once(':').map_or((text, None), |(text, skew)| (text, Some(skew)));
    let (text, samples) = text.split_once('x').map_or((text, None), |(text, samples)| (text, Some(samples)));
    let offset = offset.map_or(Ok(0), |text| line.number(text, "where the samples begin"))?;
    if let Some(skew) = skew
        && line.number::<i64>(skew, "a skew")? != 0
    {
        return Err(line.unsupported("a signal that is skewed against the others"));
    }
    if let Some(samples) = samples
        && line.number::<u32>(samples, "samples a frame")? != 1
    {
        return Err(line.unsupported("a signal of several samples a frame"));
    }
    match text {
        "16" => Ok((Format::Bits16, offset)),
        "212" => Ok((Format::Bits12, offset)),
        _ => Err(line.unsupported("this format")),
    }
}

/// `gain[(baseline)][/units]`; a gain of 0 is none.
fn gain_field(line: &Line<'_>, text: &str, zero: i32) -> Result<(f64, i32, String), HeaderError> {
    let (text, units) = text.split_once('/').unwrap_or((text, "mV"));
    let (gain, baseline) = match text.split_once('(') {
        Some((gain, rest)) => {
            let baseline = rest.strip_suffix(')').ok_or(line.lacks("the bracket behind a baseline"))?;
            (gain, line.number(baseline, "a baseline")?)
        }
        None => (text, zero),
    };
    let gain: f64 = if gain.is_empty() { 0.0 } else { line.number(gain, "a gain")? };
    if !(gain.is_finite() && gain >= 0.0) {
        return Err(HeaderError::Value { line: line.number, what: "a gain", text: shortened(text) });
    }
    Ok((if gain == 0.0 { GAIN_DEFAULT } else { gain }, baseline, units.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = "# before\n100 2 360/250(7) 650000 0:0:0 1/2/1990\n100.dat 212 200 11 1024 995 -22131 0 MLII\n\
                          \n100.dat 16+512 100.5(-3)/uV 12 5 0 0 0 lead V5\n# 69 M\n";

    #[test]
    fn reads_every_field() {
        let header = Header::parse(RECORD).unwrap();
        assert_eq!((header.name.as_str(), header.rate_hz, header.len), ("100", 360.0, Some(650_000)));
        assert_eq!(header.comments, ["69 M"]);
        let [one, two] = header.signals.as_slice() else { panic!("{header:?}") };
        assert_eq!((one.format, one.offset, one.gain, one.baseline), (Format::Bits12, 0, 200.0, 1024));
        assert_eq!((one.units.as_str(), one.description.as_str()), ("mV", "MLII"));
        assert_eq!((two.format, two.offset, two.gain, two.baseline), (Format::Bits16, 512, 100.5, -3));
        assert_eq!((two.units.as_str(), two.description.as_str()), ("uV", "lead V5"));
    }

    #[test]
    fn what_a_header_leaves_out_has_defaults() {
        let header = Header::parse("a 1\na.dat 16").unwrap();
        assert_eq!((header.rate_hz, header.len), (250.0, None));
        assert_eq!((header.signals[0].gain, header.signals[0].baseline), (200.0, 0));
        assert_eq!(Header::parse("a 1 360 0\na.dat 16 0(5)").unwrap().signals[0].gain, 200.0);
    }

    #[test]
    fn says_what_it_does_not_read() {
        for (text, says) in [
            ("", "no line that names a record"),
            ("# only", "no line that names a record"),
            ("a/3 1", "line 1: a record of several segments"),
            ("a", "line 1 lacks the number of signals"),
            ("a -1", "line 1: `-1` cannot be the number of signals"),
            ("a 65", "more than 64 signals"),
            ("a 1 nan\na.dat 16", "`nan` cannot be a sampling rate"),
            ("a 1 0\na.dat 16", "`0` cannot be a sampling rate"),
            ("a 2\na.dat 16", "announces 2 signals and describes 1"),
            ("a 1\n\n../a.dat 16", "line 3: `../a.dat` cannot be a file beside the header"),
            ("a 1\n/etc/passwd 16", "cannot be a file beside the header"),
            ("a 1\na.dat 16:4", "line 2: a signal that is skewed against the others cannot be read"),
            ("a 1\na.dat 16:-1+9", "skewed"),
            ("a 1\na.dat 212x2", "several samples a frame"),
            ("a 1\na.dat 310", "this format cannot be read"),
            ("a 1\na.dat", "line 2 lacks a format"),
            ("a 1\na.dat 16 200(", "lacks the bracket"),
            ("a 1\na.dat 16 inf", "`inf` cannot be a gain"),
            ("a 1\na.dat 16 -200", "cannot be a gain"),
        ] {
            let error = Header::parse(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text:?}: {error}");
        }
    }

    #[test]
    fn every_cut_is_a_header_or_an_error() {
        for end in 0..RECORD.len() {
            let cut = Header::parse(&RECORD[..end]);
            // Before the second signal's format something is missing; behind it a number or a bracket may be.
            assert!(cut.is_err() || end >= RECORD.find("16+512").unwrap() + 2, "cut at {end}: {cut:?}");
        }
    }
}
