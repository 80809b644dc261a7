//! A device's flash: in memory, or a file that outlives the fleet. Words of 4 bytes, sectors of 4 KiB, as on a Pico.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};

use super::FlashChoice;

/// Bytes that are erased at once.
pub const FLASH_SECTOR_LEN: usize = 4_096;
/// What an erased byte reads as.
const ERASED: u8 = 0xff;

type Sector = Option<Box<[u8; FLASH_SECTOR_LEN]>>;

/// A flash of sectors of [`FLASH_SECTOR_LEN`]. It refuses what a real one cannot do only as far as alignment goes.
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
    /// The flash of the device with this id, which is a file name if the choice is a folder.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn open(choice: &FlashChoice, id: &str) -> io::Result<Self> {
        let sectors = |len: u32| usize::try_from(len).unwrap_or(usize::MAX) / FLASH_SECTOR_LEN;
        let store = match choice {
            FlashChoice::None => Store::Memory(Vec::new()),
            FlashChoice::Memory { len } => Store::Memory((0..sectors(*len)).map(|_| None).collect()),
            FlashChoice::Folder { path, len } => {
                let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
                if id.is_empty() || !id.bytes().all(is_name) {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidFilename,
                        format!("`{id}` is no file name"),
                    ));
                }
                let path = path.join(format!("{id}.flash"));
                let mut open = OpenOptions::new();
                // It holds a patient's values.
                open.read(true).write(true).create(true).truncate(false).mode(0o600);
                let file = open.open(path)?;
                let len = sectors(*len) * FLASH_SECTOR_LEN;
                // New files are erased; of old ones all is kept that has room.
                let old_len = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
                file.set_len(len as u64)?;
                let mut flash = Self { store: Store::File { file, len } };
                for sector in
                    (old_len.div_ceil(FLASH_SECTOR_LEN)..sectors_of(len)).map(|n| n * FLASH_SECTOR_LEN)
                {
                    flash.fill(sector)?;
                }
                return Ok(flash);
            }
        };
        Ok(Self { store })
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
        match &mut self.store {
            Store::File { file, .. } => {
                file.write_all_at(bytes, u64::from(offset)).map_err(|_| NorFlashErrorKind::Other)
            }
            Store::Memory(sectors) => {
                for (byte, at) in bytes.iter().zip(offset as usize..) {
                    let (sector, at) = split(at);
                    let Some(sector) = sectors.get_mut(sector) else {
                        return Err(NorFlashErrorKind::OutOfBounds);
                    };
                    let sector = sector.get_or_insert_with(|| Box::new([ERASED; FLASH_SECTOR_LEN]));
                    if let Some(slot) = sector.get_mut(at) {
                        *slot = *byte;
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
        let choice = FlashChoice::Folder { path: folder.path().to_owned(), len: 8_200 };
        exercise(SimulatedFlash::open(&FlashChoice::Memory { len: 8_200 }, "a").unwrap());
        exercise(SimulatedFlash::open(&choice, "a").unwrap());
        let mut again = SimulatedFlash::open(&choice, "a").unwrap();
        let mut read = [0; 4];
        again.read(4_092, &mut read).unwrap();
        assert_eq!((read, again.capacity()), ([1, 2, 3, 4], 8_192));
        assert_eq!(SimulatedFlash::open(&FlashChoice::None, "a").unwrap().capacity(), 0);
    }

    #[test]
    fn an_id_that_leaves_the_folder_is_refused() {
        let choice = FlashChoice::Folder { path: "/nowhere".into(), len: 8_192 };
        for id in ["", "../a", "a/b", "a.b"] {
            assert_eq!(SimulatedFlash::open(&choice, id).unwrap_err().kind(), io::ErrorKind::InvalidFilename);
        }
    }
}
