//! What people noted of a record, in the MIT format of annot(5): 16 bits each, the lower byte first, of which the upper 6 say what, and
//! the lower 10 how many samples after the one before.

/// Codes that are no annotations but say more of one: ecgcodes.h of the WFDB library.
const SKIP: u16 = 59;
const NUM: u16 = 60;
const SUB: u16 = 61;
const CHN: u16 = 62;
const AUX: u16 = 63;

/// Codes of beats.
const BEATS: [u8; 19] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 25, 30, 34, 35, 38, 41];

/// A note at a sample.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotation {
    /// The sample's number, from 0.
    pub sample: u64,
    /// What it is: 1 is a normal beat, 5 a premature ventricular one.
    pub code: u8,
    /// More of it, as the annotator wanted.
    pub subtype: i8,
    /// The signal that it is about.
    pub channel: u8,
    /// A number, as the annotator wanted.
    pub number: i8,
    /// A text, such as `(AFIB` for a rhythm.
    pub text: Vec<u8>,
}

impl Annotation {
    /// Whether it is a beat, of whatever kind.
    #[must_use]
    pub fn is_beat(&self) -> bool {
        BEATS.contains(&self.code)
    }
}

/// An annotation file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnnotationError {
    /// The mark of the end is missing.
    #[error("the annotations end at byte {at} without the mark of the end; the copy is not complete")]
    Cut {
        /// The file's length.
        at: usize,
    },
    /// An annotation would be before the start.
    #[error("byte {at} skips to before the record's start")]
    Before {
        /// Where it is.
        at: usize,
    },
    /// Something is said of an annotation, and there is none.
    #[error("byte {at} tells more of an annotation before there is one; is it in the MIT format?")]
    Nothing {
        /// Where it is.
        at: usize,
    },
}

/// Reads all annotations of a file.
///
/// # Errors
///
/// Returns what is wrong with it, and where.
pub fn annotations(data: &[u8]) -> Result<Vec<Annotation>, AnnotationError> {
    let mut reader = Reader { data, at: 0 };
    let mut all: Vec<Annotation> = Vec::new();
    let (mut sample, mut channel, mut number) = (0_i64, 0_u8, 0_i8);
    loop {
        let at = reader.at;
        let word = reader.word()?;
        let (code, low) = (word >> 10, word & 0x3ff);
        let [byte, _] = low.to_le_bytes();
        let nothing = AnnotationError::Nothing { at };
        match code {
            0 if low == 0 => return Ok(all),
            SKIP => {
                sample = sample
                    .checked_add(reader.long()?)
                    .filter(|sample| *sample >= 0)
                    .ok_or(AnnotationError::Before { at })?;
            }
            // Channel and number stay for those that follow.
            NUM => {
                number = byte.cast_signed();
                all.last_mut().ok_or(nothing)?.number = number;
            }
            SUB => all.last_mut().ok_or(nothing)?.subtype = byte.cast_signed(),
            CHN => {
                channel = byte;
                all.last_mut().ok_or(nothing)?.channel = channel;
            }
            AUX => all.last_mut().ok_or(nothing)?.text = reader.bytes(usize::from(low))?.to_vec(),
            _ => {
                sample = sample.saturating_add(i64::from(low));
                let [code, _] = code.to_le_bytes();
                // A code of 0 with an interval is time that passes, and no note.
                if code != 0 {
                    let sample = sample.unsigned_abs();
                    all.push(Annotation { sample, code, channel, number, ..Annotation::default() });
                }
            }
        }
    }
}

struct Reader<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], AnnotationError> {
        let taken =
            self.data.get(self.at..self.at + len).ok_or(AnnotationError::Cut { at: self.data.len() })?;
        self.at += len;
        Ok(taken)
    }

    fn word(&mut self) -> Result<u16, AnnotationError> {
        Ok(self.take(2)?.iter().rev().fold(0, |word, byte| word << 8 | u16::from(*byte)))
    }

    /// 32 bits with a sign: the upper half first, and in it the lower byte (PDP-11).
    fn long(&mut self) -> Result<i64, AnnotationError> {
        let (high, low) = (self.word()?, self.word()?);
        Ok(i64::from((u32::from(high) << 16 | u32::from(low)).cast_signed()))
    }

    /// A text, and the byte that makes its length even.
    fn bytes(&mut self, len: usize) -> Result<&'a [u8], AnnotationError> {
        let text = self.take(len)?;
        self.take(len % 2)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(code: u16, low: u16) -> [u8; 2] {
        (code << 10 | low).to_le_bytes()
    }

    /// A rhythm with a text of odd length, a beat far behind it with subtype, channel and number, and one more.
    fn file() -> Vec<u8> {
        let skip = [[0x01, 0x00], [0x02, 0x00]];
        let parts = [word(28, 18), word(AUX, 3), [b'(', b'N'], [0, 0], word(SKIP, 0), skip[0], skip[1]];
        let rest = [word(5, 3), word(SUB, 0xff), word(CHN, 1), word(NUM, 2), word(1, 1023), [0, 0]];
        parts.into_iter().chain(rest).flatten().collect()
    }

    #[test]
    fn reads_every_kind_of_word() {
        let all = annotations(&file()).unwrap();
        assert_eq!(all.len(), 3);
        assert_eq!((all[0].sample, all[0].code, all[0].text.as_slice()), (18, 28, &b"(N\0"[..]));
        assert_eq!((all[1].sample, all[1].code), (18 + 65_538 + 3, 5));
        assert_eq!((all[1].subtype, all[1].channel, all[1].number), (-1, 1, 2));
        assert_eq!((all[2].sample, all[2].channel, all[2].number, all[2].subtype), (66_582, 1, 2, 0));
        assert_eq!(all.iter().map(Annotation::is_beat).collect::<Vec<_>>(), [false, true, true]);
    }

    #[test]
    fn every_cut_is_told() {
        let file = file();
        for end in 0..file.len() {
            assert_eq!(annotations(&file[..end]), Err(AnnotationError::Cut { at: end }));
        }
    }

    #[test]
    fn refuses_what_cannot_be() {
        let back = [word(SKIP, 0), [0xff, 0xff], [0, 0]].concat();
        assert_eq!(annotations(&back), Err(AnnotationError::Before { at: 0 }));
        for code in [NUM, SUB, CHN, AUX] {
            assert_eq!(annotations(&word(code, 0)), Err(AnnotationError::Nothing { at: 0 }));
        }
    }
}
