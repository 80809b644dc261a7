//! What of patients and alarms is sealed, as bytes: texts and numbers in, a whole number of 8-byte blocks out, padded so that
//! the length tells little. What comes back was authenticated by the seal; it is checked all the same.

use zeroize::Zeroizing;

use crate::stay::Patient;

/// A patient's texts are padded to a multiple of this.
const PATIENT_BLOCK: usize = 64;
/// A reason is padded to a multiple of this.
const REASON_BLOCK: usize = 32;
/// Flags, value, limit, bad signals, padding.
const VALUES_LEN: usize = 24;

/// Name, bed and notes: each as its length (2 bytes, big-endian) and its bytes, then zeros.
pub(crate) fn pack_patient(patient: &Patient) -> Zeroizing<Vec<u8>> {
    pack(&[&patient.name, &patient.bed, &patient.notes], PATIENT_BLOCK)
}

pub(crate) fn unpack_patient(bytes: &[u8]) -> Option<Patient> {
    let [name, bed, notes] = unpack(bytes)?;
    Some(Patient { name, bed, notes })
}

pub(crate) fn pack_reason(reason: &str) -> Zeroizing<Vec<u8>> {
    pack(&[reason], REASON_BLOCK)
}

pub(crate) fn unpack_reason(bytes: &[u8]) -> Option<String> {
    let [reason] = unpack(bytes)?;
    Some(reason)
}

/// A value and a limit, and which signals are bad.
pub(crate) fn pack_values(value: Option<f64>, limit: Option<f64>, bad: u8) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(VALUES_LEN));
    bytes.push(u8::from(value.is_some()) | u8::from(limit.is_some()) << 1);
    bytes.extend(value.unwrap_or(0.0).to_be_bytes());
    bytes.extend(limit.unwrap_or(0.0).to_be_bytes());
    bytes.push(bad);
    bytes.resize(VALUES_LEN, 0);
    bytes
}

pub(crate) fn unpack_values(bytes: &[u8]) -> Option<(Option<f64>, Option<f64>, u8)> {
    let (&flags, rest) = bytes.split_first()?;
    let (value, rest) = rest.split_first_chunk()?;
    let (limit, rest) = rest.split_first_chunk()?;
    // An earlier version had no more, and zeros here.
    let (&bad, rest) = rest.split_first()?;
    if flags > 3 || bytes.len() != VALUES_LEN || rest.iter().any(|byte| *byte != 0) {
        return None;
    }
    let number = |bit, bytes| (flags & bit != 0).then(|| f64::from_be_bytes(bytes));
    Some((number(1, *value), number(2, *limit), bad))
}

fn pack(texts: &[&str], block: usize) -> Zeroizing<Vec<u8>> {
    let len = texts.iter().map(|text| 2 + text.len()).sum::<usize>().next_multiple_of(block);
    let mut bytes = Zeroizing::new(Vec::with_capacity(len));
    for text in texts {
        let text_len = u16::try_from(text.len()).expect("the lengths of texts were checked");
        bytes.extend(text_len.to_be_bytes());
        bytes.extend(text.as_bytes());
    }
    bytes.resize(len, 0);
    bytes
}

fn unpack<const N: usize>(bytes: &[u8]) -> Option<[String; N]> {
    let mut rest = bytes;
    let mut texts = [const { String::new() }; N];
    for text in &mut texts {
        let (len, after) = rest.split_first_chunk()?;
        let (found, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
        *text = str::from_utf8(found).ok()?.to_owned();
        rest = after;
    }
    rest.iter().all(|byte| *byte == 0).then_some(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patients() -> Vec<Patient> {
        let patient = |name: &str, bed: &str, notes: &str| Patient {
            name: name.to_owned(),
            bed: bed.to_owned(),
            notes: notes.to_owned(),
        };
        vec![
            Patient::default(),
            patient("Ana", "", "asthma"),
            patient("Zoë 李", "7", ""),
            patient(&"x".repeat(128), &"y".repeat(64), &"z".repeat(1_000)),
        ]
    }

    #[test]
    fn what_was_packed_comes_back_in_whole_blocks() {
        for patient in patients() {
            let bytes = pack_patient(&patient);
            assert_eq!(bytes.len() % PATIENT_BLOCK, 0);
            assert!(unpack_patient(&bytes) == Some(patient));
        }
        for reason in ["", "moved", &"r".repeat(256)] {
            assert_eq!(unpack_reason(&pack_reason(reason)).as_deref(), Some(reason));
        }
        for value in [None, Some(134.5), Some(f64::MIN), Some(0.0)] {
            for limit in [None, Some(120.0)] {
                for bad in [0, 5] {
                    let packed = pack_values(value, limit, bad);
                    assert_eq!(unpack_values(&packed), Some((value, limit, bad)));
                }
            }
        }
    }

    #[test]
    fn cut_at_every_byte_nothing_wrong_comes_out() {
        for patient in patients() {
            let bytes = pack_patient(&patient);
            for len in 0..bytes.len() {
                // Where only padding is cut off, all is still there.
                assert!(unpack_patient(&bytes[..len]).is_none_or(|cut| cut == patient), "{len}");
            }
            let mut more = bytes.to_vec();
            more.push(1);
            assert!(unpack_patient(&more).is_none(), "something after the end");
        }
        let values = pack_values(Some(1.0), None, 1);
        for len in 0..values.len() {
            assert_eq!(unpack_values(&values[..len]), None);
        }
        assert_eq!(unpack_values(&[4; 24]), None);
        assert!(unpack_reason(&[0, 1, 0xff, 0, 0, 0, 0, 0]).is_none(), "no UTF-8");
    }
}
