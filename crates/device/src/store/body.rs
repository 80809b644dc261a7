//! The body of a record: a CBOR map whose items stay as they were written until they are replaced. What another firmware put
//! there and this one does not read is kept, so that nothing is lost on the way to an earlier firmware and back.

use heapless::Vec;
use minicbor::encode::Write as _;
use minicbor::encode::write::{Cursor, EndOfSlice};
use minicbor::{Decoder, Encoder};
use zeroize::Zeroizing;

use super::{HEAD_LEN, RECORD_LEN_MAX, SEED_LEN};
use crate::identity::TAG_LEN;
use crate::settings;

/// Bytes of a body, at most.
pub(super) const BODY_LEN_MAX: usize = RECORD_LEN_MAX - HEAD_LEN;
/// The map, then each value of this firmware with its key and its head. What is left is for items of others.
const OWN_LEN_MAX: usize =
    1 + (1 + 3 + settings::ENCODED_LEN_MAX) + (1 + 2) + (1 + 2 + SEED_LEN) + (1 + 1 + TAG_LEN);
const _: () = assert!(OWN_LEN_MAX + 64 <= BODY_LEN_MAX);

/// Keys of the body. A number that was used stays used.
pub(super) mod field {
    pub(in crate::store) const SETTINGS: u8 = 1;
    pub(in crate::store) const TROUBLE: u8 = 2;
    pub(in crate::store) const SEED: u8 = 3;
    pub(in crate::store) const OWNER: u8 = 4;
    /// Keys from here on are of later firmware.
    pub(super) const LATER: u64 = 5;
}

/// What this firmware writes.
#[derive(Clone, Copy)]
pub(super) enum Value<'v> {
    Number(u8),
    Bytes(&'v [u8]),
}

/// An item as it was written.
struct Item<'b> {
    key: u64,
    /// Key and value.
    whole: &'b [u8],
    value: &'b [u8],
}

/// The items. What cannot be read, and what follows it, is as if it had not been written.
#[derive(Default)]
pub(super) struct Body(Zeroizing<Vec<u8, BODY_LEN_MAX>>);

impl Body {
    /// Of these bytes; without items if they are too many.
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(Vec::from_slice(bytes).unwrap_or_default()))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn number(&self, key: u8) -> Option<u8> {
        Decoder::new(self.value(key)?).u8().ok()
    }

    /// The byte string with this key.
    pub(super) fn bytes(&self, key: u8) -> Option<&[u8]> {
        Decoder::new(self.value(key)?).bytes().ok()
    }

    #[inline(never)]
    fn value(&self, key: u8) -> Option<&[u8]> {
        self.items().find(|item| item.key == u64::from(key)).map(|item| item.value)
    }

    fn items(&self) -> impl Iterator<Item = Item<'_>> {
        let mut decoder = Decoder::new(&self.0);
        let count = decoder.map().ok().flatten().unwrap_or(0);
        let mut read = move || {
            let start = decoder.position();
            let key = decoder.u64().ok()?;
            let value_at = decoder.position();
            decoder.skip().ok()?;
            let end = decoder.position();
            Some(Item { key, whole: self.0.get(start..end)?, value: self.0.get(value_at..end)? })
        };
        (0..count).map_while(move |_| read())
    }

    /// The same with this value for the key, or without one. If there is no room otherwise, items of later firmware go. `None`:
    /// there is no room even so.
    // Rare: once in the program is enough of it.
    #[inline(never)]
    pub(super) fn with(&self, key: u8, value: Option<Value<'_>>) -> Option<Self> {
        let all = self.rewritten(key, value, |_| true);
        all.or_else(|_| self.rewritten(key, value, |key| key < field::LATER)).ok()
    }

    #[inline(never)]
    fn rewritten(
        &self,
        key: u8,
        value: Option<Value<'_>>,
        stays: fn(u64) -> bool,
    ) -> Result<Self, minicbor::encode::Error<EndOfSlice>> {
        let others = || self.items().filter(|item| item.key != u64::from(key) && stays(item.key));
        let mut bytes = Zeroizing::new([0; BODY_LEN_MAX]);
        let mut encoder = Encoder::new(Cursor::new(bytes.as_mut_slice()));
        encoder.map((others().count() + usize::from(value.is_some())) as u64)?;
        for item in others() {
            encoder.writer_mut().write_all(item.whole).map_err(minicbor::encode::Error::write)?;
        }
        match value {
            None => {}
            Some(Value::Number(number)) => drop(encoder.u8(key)?.u8(number)?),
            Some(Value::Bytes(bytes)) => drop(encoder.u8(key)?.bytes(bytes)?),
        }
        let len = encoder.writer().position();
        Ok(Self::new(bytes.get(..len).unwrap_or_default()))
    }
}
