//! The values of one sample of a device that speaks the paper's frames: their text, exactly as the device sent it.

use bytes::Bytes;
use vitalwire_protocol::{Channel, Sample};

/// Stands between the values of a sample's text; no number holds it.
const SEPARATOR: u8 = b',';

fn texts(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == SEPARATOR)
}

/// The number at this place of a sample's text.
pub(crate) fn number_at(text: &[u8], place: usize) -> Option<f64> {
    std::str::from_utf8(texts(text).nth(place)?).ok()?.parse().ok()
}

/// The value at this place of a sample's text, sharing its memory.
pub(crate) fn text_at(text: &Bytes, place: usize) -> Option<Bytes> {
    texts(text).nth(place).map(|value| text.slice_ref(value))
}

/// The seven values in the order of [`Channel::ALL`], with commas between them.
#[derive(Clone, Debug)]
pub(crate) struct SampleText(Bytes);

impl SampleText {
    pub(crate) fn of(sample: &Sample<'_>) -> Self {
        let mut text = Vec::with_capacity(64);
        for channel in Channel::ALL {
            if !text.is_empty() {
                text.push(SEPARATOR);
            }
            text.extend_from_slice(sample.value(channel).text.as_bytes());
        }
        Self(text.into())
    }

    /// As [`SampleText::as_bytes`] gave it to the journal.
    pub(crate) fn stored(text: Bytes) -> Self {
        Self(text)
    }

    pub(crate) fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The values' texts, sharing the sample's memory.
    pub(crate) fn texts(&self) -> impl Iterator<Item = Bytes> {
        texts(&self.0).map(|text| self.0.slice_ref(text))
    }
}
