//! A device's flash: in memory, or a file that outlives the program. Words of 4 bytes, sectors of 4 KiB, as on a Pico.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};

/// Bytes that are erased at once.
pub const FLASH_SECTOR_LEN: usize = 4_096;
/// What an erased byte reads as.
const ERASED: u8 = 0xff;

type Sector = Option<Box<[u8; FLASH_SECTOR_LEN]>>;

/// A flash of sectors of [`FLASH_SECTOR_LEN`]. As on a real one, writing makes ones to zeros and never the other way.
#[derive(Debug)]
pub struct SimulatedFlash {
    store: Store,
}

#[derive(Debug)]
enum Store {
    /// Sectors that were written to; the others are erased.
    Memory(Vec<Sector>),
    File {
        file: File,
        len: usize,
    },
}

impl SimulatedFlash {
    /// A flash that is forgotten when it is dropped, of so many bytes, rounded down to sectors. It takes memory only as it
    /// fills.
    #[must_use]
    pub fn in_memory(len: u32) -> Self {
        Self { store: Store::Memory((0..sectors_of(bytes_of(len))).map(|_| None).collect()) }
    }

    /// A flash in a file, which is made if it is not there: of so many bytes, rounded down to sectors. Of an old file all is
    /// kept that has room.
    ///
    /// # Errors
    /// The file cannot be made or read, or another program uses it.
    pub fn in_file(path: &Path, len: u32) -> io::Result<Self> {
        let mut open = OpenOptions::new();
        // It holds a patient's values.
        open.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = open.open(path)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                io::Error::new(io::ErrorKind::ResourceBusy, "another software device uses this flash file")
            }
            TryLockError::Error(error) => error,
        })?;
        let len = sectors_of(bytes_of(len)) * FLASH_SECTOR_LEN;
        let old_len = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        file.set_len(len as u64)?;
        let mut flash = Self { store: Store::File { file, len } };
        for sector in old_len.div_ceil(FLASH_SECTOR_LEN)..sectors_of(len) {
            flash.fill(sector * FLASH_SECTOR_LEN)?;
        }
        Ok(flash)
    }

    /// Erases the sector that begins at this offset.
    fn fill(&mut self, at: usize) -> io::Result<()> {
        match &mut self.store {
            Store::Memory(sectors) => {
                if let Some(sector) = sectors.get_mut(at / FLASH_SECTOR_LEN) {
                    *sector = None;
                }
                Ok(())
            }
            Store::File { file, .. } => file.write_all_at(&[ERASED; FLASH_SECTOR_LEN], at as u64),
        }
    }
}

fn bytes_of(len: u32) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}

fn sectors_of(len: usize) -> usize {
    len / FLASH_SECTOR_LEN
}

/// Where an offset lies: its sector, and the place in it.
fn split(offset: usize) -> (usize, usize) {
    (offset / FLASH_SECTOR_LEN, offset % FLASH_SECTOR_LEN)
}

impl ErrorType for SimulatedFlash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for SimulatedFlash {
    const READ_SIZE: usize = 4;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        check_read(self, offset, bytes.len())?;
        match &self.store {
            Store::File { file, .. } => {
                file.read_exact_at(bytes, u64::from(offset)).map_err(|_| NorFlashErrorKind::Other)
            }
            Store::Memory(sectors) => {
                for (byte, at) in bytes.iter_mut().zip(offset as usize..) {
                    let (sector, at) = split(at);
                    let written = sectors.get(sector).and_then(Option::as_ref);
                    *byte = written.and_then(|sector| sector.get(at)).copied().unwrap_or(ERASED);
                }
                Ok(())
            }
        }
    }

    fn capacity(&self) -> usize {
        match &self.store {
            Store::Memory(sectors) => sectors.len() * FLASH_SECTOR_LEN,
            Store::File { len, .. } => *len,
        }
    }
}

impl NorFlash for SimulatedFlash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = FLASH_SECTOR_LEN;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        check_erase(self, from, to)?;
        for at in (from as usize..to as usize).step_by(FLASH_SECTOR_LEN) {
            self.fill(at).map_err(|_| NorFlashErrorKind::Other)?;
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        check_write(self, offset, bytes.len())?;
        let mut cells = vec![0; bytes.len()];
        self.read(offset, &mut cells)?;
        cells.iter_mut().zip(bytes).for_each(|(cell, byte)| *cell &= byte);
        match &mut self.store {
            Store::File { file, .. } => {
                file.write_all_at(&cells, u64::from(offset)).map_err(|_| NorFlashErrorKind::Other)
            }
            Store::Memory(sectors) => {
                for (cell, at) in cells.into_iter().zip(offset as usize..) {
                    let (sector, at) = split(at);
                    let Some(sector) = sectors.get_mut(sector) else {
                        return Err(NorFlashErrorKind::OutOfBounds);
                    };
                    let sector = sector.get_or_insert_with(|| Box::new([ERASED; FLASH_SECTOR_LEN]));
                    if let Some(slot) = sector.get_mut(at) {
                        *slot = cell;
                    }
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exercise(mut flash: SimulatedFlash) {
        let mut read = [0; 8];
        flash.read(4_092, &mut read).unwrap();
        assert_eq!(read, [ERASED; 8]);
        flash.write(4_092, &[1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
        flash.read(4_092, &mut read).unwrap();
        assert_eq!(read, [1, 2, 3, 4, 5, 6, 7, 8]);
        flash.write(4_096, &[0x04, 0x0f, 0xff, 0]).unwrap();
        flash.read(4_096, &mut read[..4]).unwrap();
        assert_eq!(read[..4], [4, 6, 7, 0], "a one needs an erased sector");
        flash.erase(4_096, 8_192).unwrap();
        flash.read(4_092, &mut read).unwrap();
        assert_eq!(read, [1, 2, 3, 4, 255, 255, 255, 255]);
        assert_eq!(flash.write(3, &[0; 4]), Err(NorFlashErrorKind::NotAligned));
        assert_eq!(flash.write(8_192, &[0; 4]), Err(NorFlashErrorKind::OutOfBounds));
        assert_eq!(flash.erase(0, 4), Err(NorFlashErrorKind::NotAligned));
    }

    #[test]
    fn memory_and_file_work_alike_and_a_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.flash");
        exercise(SimulatedFlash::in_memory(8_200));
        exercise(SimulatedFlash::in_file(&path, 8_200).unwrap());
        let mut again = SimulatedFlash::in_file(&path, 8_200).unwrap();
        let mut read = [0; 4];
        again.read(4_092, &mut read).unwrap();
        assert_eq!((read, again.capacity()), ([1, 2, 3, 4], 8_192));
        assert_eq!(SimulatedFlash::in_memory(0).capacity(), 0);
    }

    #[test]
    fn one_file_is_one_device_s_flash() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.flash");
        let first = SimulatedFlash::in_file(&path, 8_192).unwrap();
        let refused = SimulatedFlash::in_file(&path, 8_192).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ResourceBusy);
        drop(first);
        SimulatedFlash::in_file(&path, 8_192).unwrap();
    }
}
