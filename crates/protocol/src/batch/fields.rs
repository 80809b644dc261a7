//! Reads the fields of a message that has been scanned: whole, well-formed, of definite lengths.

use minicbor::Decoder;
use minicbor::data::Type;

use super::BatchError;

/// Where a value was read from, so that a later check can say so.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) field: &'static str,
    pub(super) at: usize,
}

impl Place {
    pub(super) fn wrong_type(self, expected: &'static str) -> BatchError {
        BatchError::WrongType { field: self.field, at: self.at, expected }
    }

    pub(super) fn out_of_range(self) -> BatchError {
        BatchError::OutOfRange { field: self.field, at: self.at }
    }
}

/// A byte string with the tag before it, and where both begin.
#[derive(Clone, Copy)]
pub(super) struct TaggedBytes<'b> {
    pub(super) tag: Option<u64>,
    pub(super) bytes: &'b [u8],
    pub(super) at: usize,
}

/// Reads items one after the other; offsets are those of the message.
#[derive(Clone)]
pub(super) struct Reader<'b> {
    decoder: Decoder<'b>,
}

impl<'b> Reader<'b> {
    pub(super) fn new(message: &'b [u8], at: usize) -> Self {
        let mut decoder = Decoder::new(message);
        decoder.set_position(at);
        Self { decoder }
    }

    pub(super) fn at(&self) -> usize {
        self.decoder.position()
    }

    pub(super) fn place(&self, field: &'static str) -> Place {
        Place { field, at: self.at() }
    }

    /// An unsigned integer of this field, up to `max`.
    pub(super) fn unsigned(&mut self, field: &'static str, max: u64) -> Result<u64, BatchError> {
        let place = self.place(field);
        let value = self.decoder.u64().map_err(|_| place.wrong_type("an unsigned integer"))?;
        if value > max { Err(place.out_of_range()) } else { Ok(value) }
    }

    /// An integer of this field, of `-max` to `max`.
    pub(super) fn signed(&mut self, field: &'static str, max: i8) -> Result<i8, BatchError> {
        let place = self.place(field);
        let value = self.decoder.int().map_err(|_| place.wrong_type("an integer"))?;
        match i8::try_from(i128::from(value)) {
            Ok(value) if value.unsigned_abs() <= max.unsigned_abs() => Ok(value),
            _ => Err(place.out_of_range()),
        }
    }

    /// True or false.
    pub(super) fn bool(&mut self, field: &'static str) -> Result<bool, BatchError> {
        let place = self.place(field);
        self.decoder.bool().map_err(|_| place.wrong_type("true or false"))
    }

    /// A text of this field that fits.
    pub(super) fn text(
        &mut self,
        field: &'static str,
        fits: fn(&str) -> bool,
    ) -> Result<&'b str, BatchError> {
        let place = self.place(field);
        let text = self.decoder.str().map_err(|_| place.wrong_type("a text in UTF-8"))?;
        if fits(text) { Ok(text) } else { Err(place.out_of_range()) }
    }

    /// A byte string, and the tag before it if there is one.
    pub(super) fn tagged_bytes(&mut self, field: &'static str) -> Result<TaggedBytes<'b>, BatchError> {
        let place = self.place(field);
        let wrong_type = place.wrong_type("a byte string or a typed array");
        let tagged = self.decoder.datatype().is_ok_and(|found| found == Type::Tag);
        let tag = if tagged { Some(self.decoder.tag().map_err(|_| wrong_type)?.as_u64()) } else { None };
        let bytes = self.decoder.bytes().map_err(|_| wrong_type)?;
        Ok(TaggedBytes { tag, bytes, at: place.at })
    }

    /// The items of an array that begins here.
    pub(super) fn array(&mut self, field: &'static str) -> Result<u64, BatchError> {
        let place = self.place(field);
        self.decoder.array().ok().flatten().ok_or(place.wrong_type("an array"))
    }

    /// The pairs of a map that begins here.
    pub(super) fn map(&mut self, field: &'static str) -> Result<Fields, BatchError> {
        let place = self.place(field);
        let left = self.decoder.map().ok().flatten().ok_or(place.wrong_type("a map"))?;
        Ok(Fields { at: place.at, left, seen: 0 })
    }

    /// Skips an item that this version does not know.
    pub(super) fn skip(&mut self) -> Result<(), BatchError> {
        let at = self.at();
        self.decoder.skip().map_err(|_| BatchError::NotDefiniteCbor { at })
    }
}

/// The pairs of a map with field numbers as keys, each of which comes once.
#[derive(Clone)]
pub(super) struct Fields {
    at: usize,
    left: u64,
    /// A bit per field number that came.
    seen: u64,
}

impl Fields {
    /// The next pair's field number, with `reader` at its value; `None` after the last.
    pub(super) fn next(&mut self, reader: &mut Reader<'_>) -> Result<Option<u64>, BatchError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let at = reader.at();
        let number = reader.decoder.u8().ok().filter(|number| *number < 64);
        let number = number.ok_or(BatchError::NotAFieldNumber { at })?;
        let bit = 1 << number;
        if self.seen & bit != 0 {
            return Err(BatchError::DuplicateField { number, at });
        }
        self.seen |= bit;
        Ok(Some(u64::from(number)))
    }

    /// The value of a field that must have come.
    pub(super) fn required<T>(&self, value: Option<T>, field: &'static str) -> Result<T, BatchError> {
        value.ok_or(BatchError::MissingField { field, at: self.at })
    }
}
