//! A reading as the journal keeps it: a CBOR sequence (RFC 8742) with all that is needed to make its messages again.
//!
//! A batch is the name of its profile and the message as it came. Samples of AES-CBC frames, which come one by one,
//! are kept in groups: the sequence of the first, and each one's time after the entry's first and its text.

use bytes::Bytes;
use minicbor::{Decoder, Encoder};

/// What an entry's body holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// One batch message, and the profile that says what its channels are.
    Batch { profile: String, message: Bytes },
    /// Samples in the order of time.
    Samples { first_sequence: u64, samples: Vec<SampleBody> },
}

/// One sample of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SampleBody {
    /// Microseconds after the entry's first sample.
    pub(crate) offset_us: u64,
    /// See `SampleReading::text`.
    pub(crate) text: Bytes,
}

/// A body that is not what this program writes: the file was changed, or a newer program wrote it.
#[derive(Debug, thiserror::Error)]
#[error("the journal holds an entry that this version cannot read: {0}")]
pub(crate) struct BodyError(minicbor::decode::Error);

pub(crate) fn batch_body(profile: &str, message: &[u8]) -> Bytes {
    let mut body = Vec::with_capacity(profile.len() + 2 + message.len());
    infallible(Encoder::new(&mut body).str(profile).map(drop));
    body.extend_from_slice(message);
    body.into()
}

/// The body of a group of samples: (microseconds after the first, text).
pub(crate) fn samples_body(first_sequence: u64, samples: &[SampleBody]) -> Bytes {
    let mut body = Vec::with_capacity(16 + samples.len() * 64);
    let mut encoder = Encoder::new(&mut body);
    infallible(encoder.u64(first_sequence).map(drop));
    for sample in samples {
        infallible(encoder.u64(sample.offset_us).and_then(|encoder| encoder.bytes(&sample.text)).map(drop));
    }
    body.into()
}

fn infallible(written: Result<(), minicbor::encode::Error<std::convert::Infallible>>) {
    written.expect("a Vec takes all that is written");
}

impl Body {
    /// Reads a body; a batch message in it is not looked at.
    pub(crate) fn parse(body: &Bytes) -> Result<Self, BodyError> {
        let mut decoder = Decoder::new(body);
        if decoder.datatype().map_err(BodyError)? == minicbor::data::Type::String {
            let profile = decoder.str().map_err(BodyError)?.to_owned();
            return Ok(Self::Batch { profile, message: body.slice(decoder.position()..) });
        }
        let first_sequence = decoder.u64().map_err(BodyError)?;
        let mut samples = Vec::new();
        while decoder.position() < body.len() {
            let offset_us = decoder.u64().map_err(BodyError)?;
            let text = decoder.bytes().map_err(BodyError)?;
            samples.push(SampleBody { offset_us, text: body.slice_ref(text) });
        }
        Ok(Self::Samples { first_sequence, samples })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<SampleBody> {
        [(0, "1,2"), (50_000, "3,4"), (60_000_000, "5,6")]
            .map(|(offset_us, text)| SampleBody { offset_us, text: Bytes::from(text) })
            .into()
    }

    #[test]
    fn both_bodies_come_back() {
        let message = Bytes::from_static(b"\x82\x02\xa0");
        assert_eq!(
            Body::parse(&batch_body("pico", &message)).unwrap(),
            Body::Batch { profile: "pico".into(), message }
        );
        assert_eq!(
            Body::parse(&samples_body(7, &samples())).unwrap(),
            Body::Samples { first_sequence: 7, samples: samples() }
        );
    }

    #[test]
    fn a_body_cut_within_a_sample_is_refused() {
        let body = samples_body(7, &samples());
        let whole = |len: usize| samples_body(7, &samples()[..len]).len();
        let ends: Vec<_> = (0..=3).map(whole).collect();
        for cut in 0..body.len() {
            assert_eq!(Body::parse(&body.slice(..cut)).is_ok(), ends.contains(&cut), "cut at {cut}");
        }
    }

    #[test]
    fn a_batch_body_cut_anywhere_is_refused_or_holds_no_whole_message() {
        let mut message = [0; 128];
        let values = vitalwire_protocol::batch::Samples {
            index: 0,
            interval_us: 50_000,
            delay_us: 0,
            scale: -3,
            values: &[36_600, 36_650],
        };
        let len = vitalwire_protocol::batch::encode_batch(7, 1_000, None, &[values], &mut message).unwrap();
        let body = batch_body("pico", &message[..len]);
        let name_len = body.len() - len;
        for cut in 0..=body.len() {
            match Body::parse(&body.slice(..cut)) {
                Err(_) => assert!(cut < name_len, "cut at {cut}"),
                Ok(Body::Samples { .. }) => panic!("a batch became samples, cut at {cut}"),
                Ok(Body::Batch { profile, message }) => {
                    assert_eq!(profile, "pico");
                    let whole = vitalwire_protocol::batch::decode(&message).unwrap().is_some();
                    assert_eq!(whole, cut == body.len(), "cut at {cut}");
                }
            }
        }
    }
}
