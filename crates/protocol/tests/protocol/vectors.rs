//! The vectors recorded from the paper's devices, and that they pass in both directions.

use vitalwire_protocol::{CbcSecret, FRAME_LEN_MAX, FrameDecoder, FrameEncoder, FrameError, Sample, Variant};

/// One recorded frame.
pub(crate) struct Vector {
    pub(crate) secret: CbcSecret,
    pub(crate) variant: Variant,
    pub(crate) json: String,
    pub(crate) frame: String,
    pub(crate) blocks: usize,
}

pub(crate) fn vectors() -> Vec<Vector> {
    let file = include_str!("../vectors/aes-cbc-frames.json");
    let entries: Vec<serde_json::Value> = serde_json::from_str(file).unwrap();
    entries.iter().map(vector).collect()
}

fn vector(entry: &serde_json::Value) -> Vector {
    let text = |key: &str| entry[key].as_str().unwrap();
    let bytes = |key: &str| <[u8; 16]>::try_from(text(key).as_bytes()).unwrap();
    Vector {
        secret: CbcSecret::new(bytes("key"), bytes("iv")),
        variant: match text("variant") {
            "pico_chained_cbc" => Variant::Chained,
            "pseudo_blockwise_cbc_same_iv" => Variant::Blockwise,
            other => panic!("unknown variant {other}"),
        },
        json: text("json").to_owned(),
        frame: text("frame").to_owned(),
        blocks: entry["blocks"].as_u64().unwrap().try_into().unwrap(),
    }
}

/// The vectors of one device in one variant: frames that can follow each other on one connection.
pub(crate) fn streams() -> Vec<Vec<Vector>> {
    let mut streams: Vec<Vec<Vector>> = Vec::new();
    for vector in vectors() {
        match streams.iter_mut().find(|s| s[0].secret == vector.secret && s[0].variant == vector.variant) {
            Some(stream) => stream.push(vector),
            None => streams.push(vec![vector]),
        }
    }
    streams
}

/// All texts that a decoder yields for the pieces, and the error that ends the stream, if one does.
pub(crate) fn decode<'p>(
    secret: &CbcSecret,
    variant: Variant,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> (Vec<Vec<u8>>, Option<FrameError>) {
    let mut decoder = FrameDecoder::new(secret, variant);
    let mut texts = Vec::new();
    for mut piece in pieces {
        loop {
            match decoder.next(&mut piece) {
                Ok(Some(text)) => texts.push(text.to_vec()),
                Ok(None) => break,
                Err(error) => return (texts, Some(error)),
            }
        }
        assert!(piece.is_empty(), "a decoder that needs more has left some");
    }
    (texts, None)
}

pub(crate) fn encode(secret: &CbcSecret, variant: Variant, json: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; FRAME_LEN_MAX];
    let len = FrameEncoder::new(secret, variant).encode(json, &mut frame).unwrap();
    frame.truncate(len);
    frame
}

#[test]
fn there_are_vectors_of_7_8_and_9_blocks_in_both_variants() {
    for variant in Variant::ALL {
        for blocks in [7, 8, 9] {
            assert!(
                vectors().iter().any(|v| v.variant == variant && v.blocks == blocks),
                "{variant} {blocks}"
            );
        }
    }
}

#[test]
fn every_vector_decodes_to_its_text_and_parses() {
    for vector in vectors() {
        let (texts, error) = decode(&vector.secret, vector.variant, [vector.frame.as_bytes()]);
        assert_eq!(error, None);
        assert_eq!(texts, [vector.json.as_bytes()]);
        assert!(Sample::parse(vector.json.as_bytes()).is_ok());
    }
}

#[test]
fn every_vector_encodes_to_its_frame() {
    for vector in vectors() {
        let frame = encode(&vector.secret, vector.variant, vector.json.as_bytes());
        assert_eq!(String::from_utf8(frame).unwrap(), vector.frame);
        assert_eq!(vector.frame.len(), vector.blocks * 33 - 1);
    }
}

#[test]
fn the_other_variant_reads_no_text_from_a_vector() {
    for vector in vectors() {
        let other = if vector.variant == Variant::Chained { Variant::Blockwise } else { Variant::Chained };
        let twice = vector.frame.repeat(2);
        let (texts, error) = decode(&vector.secret, other, [twice.as_bytes()]);
        assert!(texts.is_empty());
        assert_eq!(error, Some(FrameError::NotText { block: 1 }));
    }
}
