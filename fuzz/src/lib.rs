//! What the fuzz targets share: how an input is laid out, and how a stream is decoded in pieces. It fuzzes nothing.
//!
//! An input of `frame_decoder` and `identify` is `selector cut… 0 payload`. The selector's lowest bit chooses the
//! variant, the next whether the payload is the bytes of a connection or texts (one a line) to be encrypted
//! first: without that no fuzzer gets past AES. Each non-zero cut is the length of a piece, used over and over.

use vitalwire_protocol::{CbcSecret, FRAME_LEN_MAX, FrameDecoder, FrameEncoder, FrameError, Variant};

/// What a decoder made of a stream: its texts, and the error that ended it.
pub type Decoded = (Vec<Vec<u8>>, Option<FrameError>);

/// The secret of every input: that of the first vectors, so that recorded frames are worth mutating.
#[must_use]
pub fn secret() -> CbcSecret {
    CbcSecret::new(*b"1234567890123456", *b"AAAAAAAAAAAAAAAA")
}

/// An input, taken apart.
pub struct Input<'a> {
    /// The variant of the connection.
    pub variant: Variant,
    /// Whether `payload` holds texts to encrypt, and not the bytes of a connection.
    pub texts: bool,
    /// Lengths of pieces, none of them 0.
    pub cuts: &'a [u8],
    /// Texts, one a line, or bytes of a connection.
    pub payload: &'a [u8],
}

impl<'a> Input<'a> {
    /// Takes `data` apart; `None` if it is too short.
    #[must_use]
    pub fn from_bytes(data: &'a [u8]) -> Option<Self> {
        let (selector, rest) = data.split_first()?;
        let cuts = rest.iter().position(|byte| *byte == 0)?;
        Some(Self {
            variant: if selector & 1 == 0 { Variant::Chained } else { Variant::Blockwise },
            texts: selector & 2 != 0,
            cuts: &rest[..cuts],
            payload: &rest[cuts + 1..],
        })
    }

    /// The texts that a frame can carry, and the connection on which they are sent.
    #[must_use]
    pub fn encrypt(&self) -> (Vec<Vec<u8>>, Vec<u8>) {
        let (mut texts, mut wire) = (Vec::new(), Vec::new());
        for text in self.payload.split(|byte| *byte == b'\n') {
            if let Some(frame) = encode(self.variant, text) {
                wire.extend(frame);
                texts.push(text.to_vec());
            }
        }
        (texts, wire)
    }

    /// `wire` in pieces of the lengths that `cuts` gives.
    #[must_use]
    pub fn pieces<'w>(&self, wire: &'w [u8]) -> Vec<&'w [u8]> {
        let mut rest = wire;
        let mut pieces = Vec::new();
        for cut in self.cuts.iter().cycle().take_while(|_| !wire.is_empty()) {
            let (piece, after) = rest.split_at(rest.len().min(usize::from(*cut)));
            pieces.push(piece);
            rest = after;
            if rest.is_empty() {
                return pieces;
            }
        }
        vec![wire]
    }
}

/// One frame, if a frame can carry the text.
#[must_use]
pub fn encode(variant: Variant, text: &[u8]) -> Option<Vec<u8>> {
    let mut frame = vec![0; FRAME_LEN_MAX];
    let len = FrameEncoder::new(&secret(), variant).encode(text, &mut frame).ok()?;
    frame.truncate(len);
    Some(frame)
}

/// Decodes a stream that comes in these pieces, as a connection does.
#[must_use]
pub fn decode(variant: Variant, pieces: &[&[u8]]) -> Decoded {
    let mut decoder = FrameDecoder::new(&secret(), variant);
    let mut texts = Vec::new();
    for piece in pieces {
        let mut input = *piece;
        loop {
            match decoder.next(&mut input) {
                Ok(Some(text)) => {
                    texts.push(text.to_vec());
                    assert!(!decoder.mid_frame());
                }
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.next(&mut &b"0"[..]), Err(error), "a broken stream came back to life");
                    return (texts, Some(error));
                }
            }
        }
        assert!(input.is_empty(), "a decoder that needs more has left some");
    }
    (texts, None)
}
