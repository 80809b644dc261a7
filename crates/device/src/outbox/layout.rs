//! How batches lie in flash, and the check that tells what was written whole.
//!
//! ```text
//! sector: head (magic, generation, boot, check) | done mark | record … | erased
//! record: head (mark, length, sequence, newest, check) | message | padding to the unit
//! ```
//!
//! A sector holds batches of one boot. Its generation counts the sectors that were opened, so that their order is known
//! after a restart. The check of a record covers its sector's generation: what an interrupted erase left of an older
//! record is not taken for a new one. All numbers are little-endian.

use crate::crc::Crc32;

/// What an erased byte reads as.
pub(super) const ERASED: u8 = 0xff;
pub(super) const SECTOR_HEAD_LEN: usize = 20;
pub(super) const RECORD_HEAD_LEN: usize = 24;
const SECTOR_MAGIC: [u8; 4] = *b"VwO1";
const RECORD_MARK: [u8; 2] = *b"Vb";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SectorHead {
    pub(super) generation: u32,
    pub(super) boot: u64,
}

impl SectorHead {
    pub(super) fn to_bytes(self) -> [u8; SECTOR_HEAD_LEN] {
        let mut bytes = [0; SECTOR_HEAD_LEN];
        let mut writer = Fields { bytes: &mut bytes, at: 0 };
        writer.put(&SECTOR_MAGIC);
        writer.put(&self.generation.to_le_bytes());
        writer.put(&self.boot.to_le_bytes());
        let check = Check::new(0).over(writer.written()).end();
        writer.put(&check.to_le_bytes());
        bytes
    }

    /// `None`: nothing was written here, or not whole.
    pub(super) fn from_bytes(bytes: &[u8; SECTOR_HEAD_LEN]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk()?;
        let (generation, rest) = rest.split_first_chunk()?;
        let (boot, _) = rest.split_first_chunk()?;
        let head = Self { generation: u32::from_le_bytes(*generation), boot: u64::from_le_bytes(*boot) };
        (*magic == SECTOR_MAGIC && head.to_bytes() == *bytes).then_some(head)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordHead {
    pub(super) len: u16,
    pub(super) sequence: u64,
    pub(super) newest_ms: u64,
    pub(super) check: u32,
}

impl RecordHead {
    pub(super) fn to_bytes(self) -> [u8; RECORD_HEAD_LEN] {
        let mut bytes = [0; RECORD_HEAD_LEN];
        let mut writer = Fields { bytes: &mut bytes, at: 0 };
        writer.put(&RECORD_MARK);
        writer.put(&self.len.to_le_bytes());
        writer.put(&self.sequence.to_le_bytes());
        writer.put(&self.newest_ms.to_le_bytes());
        writer.put(&self.check.to_le_bytes());
        bytes
    }

    /// `None`: no record begins here. Whether it is whole only its check tells.
    pub(super) fn from_bytes(bytes: &[u8; RECORD_HEAD_LEN]) -> Option<Self> {
        let (mark, rest) = bytes.split_first_chunk()?;
        let (len, rest) = rest.split_first_chunk()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (newest_ms, rest) = rest.split_first_chunk()?;
        let (check, _) = rest.split_first_chunk()?;
        (*mark == RECORD_MARK).then_some(Self {
            len: u16::from_le_bytes(*len),
            sequence: u64::from_le_bytes(*sequence),
            newest_ms: u64::from_le_bytes(*newest_ms),
            check: u32::from_le_bytes(*check),
        })
    }

    /// The check over this head, but for its check, to go on over the message.
    pub(super) fn begin_check(self, generation: u32) -> Check {
        let bytes = Self { check: 0, ..self }.to_bytes();
        Check::new(generation).over(&bytes)
    }
}

/// Writes fields one after the other.
struct Fields<'b> {
    bytes: &'b mut [u8],
    at: usize,
}

impl Fields<'_> {
    fn put(&mut self, field: &[u8]) {
        super::copy(self.bytes.get_mut(self.at..).unwrap_or_default(), field);
        self.at += field.len();
    }

    fn written(&self) -> &[u8] {
        self.bytes.get(..self.at).unwrap_or_default()
    }
}

/// The CRC that tells what was written whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Check(Crc32);

impl Check {
    /// Over `seed` first, so that the same bytes have another check elsewhere.
    pub(super) fn new(seed: u32) -> Self {
        Self(Crc32::new().over(&seed.to_le_bytes()))
    }

    pub(super) fn over(self, bytes: &[u8]) -> Self {
        Self(self.0.over(bytes))
    }

    pub(super) fn end(self) -> u32 {
        self.0.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_bytes_have_another_check_under_another_seed() {
        assert_ne!(Check::new(1).over(b"1").end(), Check::new(2).over(b"1").end());
    }

    #[test]
    fn heads_come_back_and_a_flipped_bit_of_a_sector_does_not() {
        let head = SectorHead { generation: 7, boot: u64::MAX - 1 };
        let bytes = head.to_bytes();
        assert_eq!(SectorHead::from_bytes(&bytes), Some(head));
        for bit in 0..SECTOR_HEAD_LEN * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SectorHead::from_bytes(&damaged), None, "bit {bit}");
        }
        let record = RecordHead { len: 300, sequence: 9, newest_ms: 1 << 40, check: 0x1234_5678 };
        assert_eq!(RecordHead::from_bytes(&record.to_bytes()), Some(record));
        assert_eq!(RecordHead::from_bytes(&[ERASED; RECORD_HEAD_LEN]), None);
        assert_eq!(SectorHead::from_bytes(&[ERASED; SECTOR_HEAD_LEN]), None);
    }
}
