//! A NOR flash in memory: it refuses what a real one forbids, and can lose power at any word.

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};

/// Words of `UNIT` bytes, sectors of `SECTOR`.
#[derive(Clone, Debug)]
pub struct Flash<const UNIT: usize, const SECTOR: usize> {
    /// What it holds.
    pub bytes: Vec<u8>,
    /// Words that were written since they were erased.
    is_written: Vec<bool>,
    /// Words, and erasures, until power is lost.
    pub power: Option<u64>,
    /// Power is lost: nothing works.
    pub is_dead: bool,
    /// Words and erasures so far.
    pub operations: u64,
    /// Sectors erased so far.
    pub erased: u64,
    random: u32,
}

impl<const UNIT: usize, const SECTOR: usize> Flash<UNIT, SECTOR> {
    /// Erased.
    pub fn new(sectors: usize) -> Self {
        Self {
            bytes: vec![0xff; sectors * SECTOR],
            is_written: vec![false; sectors * SECTOR / UNIT],
            power: None,
            is_dead: false,
            operations: 0,
            erased: 0,
            random: 0x9e37_79b9,
        }
    }

    /// Power returns.
    pub fn revived(mut self) -> Self {
        (self.power, self.is_dead) = (None, false);
        self
    }

    fn random(&mut self) -> u8 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        self.random.to_le_bytes()[1]
    }

    /// Uses power; false when it is lost with this operation.
    fn spend(&mut self) -> bool {
        self.operations += 1;
        match &mut self.power {
            None => true,
            Some(0) => {
                self.is_dead = true;
                false
            }
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }

    fn check(&self, offset: u32, len: usize, unit: usize) -> Result<usize, NorFlashErrorKind> {
        let offset = usize::try_from(offset).unwrap();
        if self.is_dead {
            Err(NorFlashErrorKind::Other)
        } else if offset + len > self.bytes.len() {
            Err(NorFlashErrorKind::OutOfBounds)
        } else if offset.is_multiple_of(unit) && len.is_multiple_of(unit) {
            Ok(offset)
        } else {
            Err(NorFlashErrorKind::NotAligned)
        }
    }
}

impl<const UNIT: usize, const SECTOR: usize> ErrorType for Flash<UNIT, SECTOR> {
    type Error = NorFlashErrorKind;
}

impl<const UNIT: usize, const SECTOR: usize> ReadNorFlash for Flash<UNIT, SECTOR> {
    const READ_SIZE: usize = UNIT;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        let at = self.check(offset, bytes.len(), UNIT)?;
        bytes.copy_from_slice(&self.bytes[at..at + bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl<const UNIT: usize, const SECTOR: usize> NorFlash for Flash<UNIT, SECTOR> {
    const WRITE_SIZE: usize = UNIT;
    const ERASE_SIZE: usize = SECTOR;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        let at = self.check(from, usize::try_from(to - from).unwrap(), SECTOR)?;
        for sector in (at..usize::try_from(to).unwrap()).step_by(SECTOR) {
            if !self.spend() {
                // Some bytes are as they were, some erased, some neither.
                for byte in sector..sector + SECTOR {
                    match self.random() % 4 {
                        0 => self.bytes[byte] = 0xff,
                        1 => self.bytes[byte] |= self.random(),
                        _ => {}
                    }
                }
                return Err(NorFlashErrorKind::Other);
            }
            self.erased += 1;
            self.bytes[sector..sector + SECTOR].fill(0xff);
            self.is_written[sector / UNIT..(sector + SECTOR) / UNIT].fill(false);
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        let at = self.check(offset, bytes.len(), UNIT)?;
        for (word, content) in (at / UNIT..).zip(bytes.chunks(UNIT)) {
            assert!(!self.is_written[word], "word {word} is written twice");
            self.is_written[word] = true;
            let whole = self.spend();
            for (byte, content) in (word * UNIT..).zip(content) {
                let mask = if whole { 0 } else { self.random() };
                self.bytes[byte] = content | mask;
            }
            if !whole {
                return Err(NorFlashErrorKind::Other);
            }
        }
        Ok(())
    }
}
