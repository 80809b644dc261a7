//! The samples of a signal file: signal(5).

use super::header::{Format, Header, Signal};

/// Most samples of one signal that are read: more than two days at 360 Hz.
pub const SAMPLES_MAX: usize = 64 * 1024 * 1024;

/// A file does not hold what the header says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SamplesError {
    /// There is no such signal.
    #[error("the record has {signals} signals, counted from 0; there is no {signal}")]
    NoSignal {
        /// Which was asked for.
        signal: usize,
        /// How many there are.
        signals: usize,
    },
    /// Signals of one file are in different formats.
    #[error("`{file}` holds signals of different formats")]
    Mixed {
        /// The file.
        file: String,
    },
    /// The file is shorter than the header says.
    #[error("`{file}` ends after {found} of {announced} samples a signal; the copy is not complete")]
    Cut {
        /// The file.
        file: String,
        /// Whole samples of each of its signals.
        found: u64,
        /// What the header says.
        announced: u64,
    },
    /// There are more than [`SAMPLES_MAX`].
    #[error("`{file}` has more than {SAMPLES_MAX} samples a signal")]
    TooMany {
        /// The file.
        file: String,
    },
}

impl Header {
    /// The samples of signal number `signal`, from 0, in its unit; not a number where the converter had none. `data` is all of its file.
    ///
    /// # Errors
    ///
    /// Returns what of the file does not fit the header.
    pub fn samples(&self, signal: usize, data: &[u8]) -> Result<Vec<f32>, SamplesError> {
        let signals = self.signals.len();
        let wanted = self.signals.get(signal).ok_or(SamplesError::NoSignal { signal, signals })?;
        let file = || wanted.file.clone();
        let beside = || self.signals.iter().filter(|other| other.file == wanted.file);
        if beside().any(|other| (other.format, other.offset) != (wanted.format, wanted.offset)) {
            return Err(SamplesError::Mixed { file: file() });
        }
        let width = beside().count();
        let before = self.signals.iter().take(signal).filter(|other| other.file == wanted.file).count();
        let data = data.get(wanted.offset..).unwrap_or_default();
        let found = wanted.format.count(data) / width;
        let announced = self.len.unwrap_or(found as u64);
        if (found as u64) < announced {
            return Err(SamplesError::Cut { file: file(), found: found as u64, announced });
        }
        let len = usize::try_from(announced).unwrap_or(usize::MAX);
        if len > SAMPLES_MAX {
            return Err(SamplesError::TooMany { file: file() });
        }
        let places = (0..len).map(|frame| frame * width + before);
        Ok(places.map(|place| wanted.value(wanted.format.step(data, place))).collect())
    }
}

impl Format {
    /// How many samples these bytes hold.
    fn count(self, data: &[u8]) -> usize {
        match self {
            Self::Bits16 => data.len() / 2,
            // The first of a pair has its last bits in the second byte.
            Self::Bits12 => data.len() / 3 * 2 + usize::from(data.len() % 3 == 2),
        }
    }

    /// What the converter gave; nothing for the lowest number, which means that it had none.
    fn step(self, data: &[u8], place: usize) -> Option<i16> {
        let byte = |place: usize| data.get(place).copied();
        let (step, none) = match self {
            Self::Bits16 => (i16::from_le_bytes([byte(2 * place)?, byte(2 * place + 1)?]), i16::MIN),
            Self::Bits12 => {
                let start = place / 2 * 3;
                let middle = byte(start + 1)?;
                let (low, high) = if place.is_multiple_of(2) {
                    (byte(start)?, middle & 0x0f)
                } else {
                    (byte(start + 2)?, middle >> 4)
                };
                // Twelve bits, with their sign.
                ((i16::from_le_bytes([low, high]) << 4) >> 4, -2048)
            }
        };
        (step != none).then_some(step)
    }
}

impl Signal {
    #[expect(clippy::cast_possible_truncation, reason = "a converter has fewer digits than an f32")]
    fn value(&self, step: Option<i16>) -> f32 {
        step.map_or(f32::NAN, |step| ((f64::from(step) - f64::from(self.baseline)) / self.gain) as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(format: &str, len: u32) -> Header {
        let line = format!("a.dat {format} 1");
        Header::parse(&format!("a 2 250 {len}\n{line}\n{line}")).unwrap()
    }

    #[test]
    fn reads_format_16_of_two_signals() {
        let data = [1, 0, 0xff, 0xff, 0, 1, 0x00, 0x80];
        assert_eq!(header("16", 2).samples(0, &data).unwrap(), [1.0, 256.0]);
        let second = header("16", 2).samples(1, &data).unwrap();
        assert!(second[0] == -1.0 && second[1].is_nan());
    }

    /// The first bytes of record 100, whose first samples are 995, 1011, 995 and 1011.
    #[test]
    fn reads_format_212_of_two_signals() {
        let data = [0xe3, 0x33, 0xf3, 0xe3, 0x33, 0xf3];
        assert_eq!(header("212", 2).samples(0, &data).unwrap(), [995.0, 995.0]);
        assert_eq!(header("212", 2).samples(1, &data).unwrap(), [1011.0, 1011.0]);
        let low = [0xff, 0x8f, 0x00];
        assert_eq!(header("212", 1).samples(0, &low).unwrap(), [-1.0]);
        assert!(header("212", 1).samples(1, &low).unwrap()[0].is_nan(), "-2048 is no sample");
    }

    #[test]
    fn a_value_is_in_the_signals_unit() {
        let header = Header::parse("a 1 250 1\na.dat 16+1 200(1024)/mV").unwrap();
        assert_eq!(header.samples(0, &[7, 0xb0, 0x04]).unwrap(), [0.88]);
    }

    #[test]
    fn every_cut_of_a_file_is_told() {
        for format in ["16", "212"] {
            let data: Vec<u8> = (0..24).collect();
            let whole = header(format, 4);
            let needed = if format == "16" { 16 } else { 12 };
            for end in 0..data.len() {
                for signal in 0..2 {
                    let samples = whole.samples(signal, &data[..end]);
                    assert_eq!(samples.is_ok(), end >= needed, "{format}, cut at {end}: {samples:?}");
                }
                let open = Header { len: None, ..whole.clone() };
                assert!(open.samples(1, &data[..end]).is_ok());
            }
        }
    }

    #[test]
    fn refuses_what_the_header_cannot_mean() {
        let data = [0; 16];
        assert!(matches!(
            header("16", 1).samples(2, &data),
            Err(SamplesError::NoSignal { signal: 2, signals: 2 })
        ));
        let mixed = Header::parse("a 2\na.dat 16\na.dat 212").unwrap();
        assert!(matches!(mixed.samples(0, &data), Err(SamplesError::Mixed { .. })));
        let endless = Header { len: Some(u64::MAX), ..header("16", 1) };
        assert!(matches!(endless.samples(0, &data), Err(SamplesError::Cut { found: 4, .. })));
    }
}
