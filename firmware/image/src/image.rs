//! What of an ELF file goes into the RP2040's flash. It reads bytes and writes none.

use anyhow::{Context as _, bail, ensure};
use object::LittleEndian;
use object::elf::{self, FileHeader32};
use object::read::elf::{FileHeader as _, ProgramHeader as _};
use vitalwire_uf2::FLASH_START;

/// Bytes of a Pico's flash.
const FLASH_LEN: u32 = 2 * 1024 * 1024;
/// Bytes of a sector. The boot ROM erases every sector that a file touches, and may skip a part of one that is not whole
/// (RP2040 erratum E14): an image has whole sectors only.
const SECTOR_LEN: usize = 4_096;
/// What an erased byte reads as.
const ERASED: u8 = 0xff;
/// The RP2040's RAM.
const RAM: std::ops::Range<u32> = 0x2000_0000..0x2004_2000;

/// A program as it lies in flash from its start, and the memory it takes.
#[derive(Debug)]
pub(crate) struct Image {
    /// Whole sectors.
    pub(crate) bytes: Vec<u8>,
    /// Bytes of flash that the program needs.
    pub(crate) flash_len: usize,
    /// Bytes of RAM that its statics need.
    pub(crate) ram_len: u32,
}

impl Image {
    /// The image of an ELF file.
    ///
    /// # Errors
    /// It is not the file of a program for an RP2040.
    pub(crate) fn of(file: &[u8]) -> anyhow::Result<Self> {
        let header = FileHeader32::<LittleEndian>::parse(file).context("this is no ELF file of 32 bits")?;
        let endian = header.endian()?;
        ensure!(
            header.e_machine(endian) == elf::EM_ARM,
            "this ELF file is for another processor than an ARM"
        );
        let mut bytes = Vec::new();
        let mut ram_len = 0_u32;
        for segment in header.program_headers(endian, file)? {
            if segment.p_type(endian) != elf::PT_LOAD {
                continue;
            }
            if RAM.contains(&segment.p_vaddr(endian)) {
                ram_len = ram_len.saturating_add(segment.p_memsz(endian));
            }
            if segment.p_filesz(endian) == 0 {
                continue;
            }
            let Ok(data) = segment.data(endian, file) else {
                bail!("this ELF file is cut: a segment ends beyond it");
            };
            put(&mut bytes, segment.p_paddr(endian), data)?;
        }
        ensure!(!bytes.is_empty(), "this ELF file puts nothing into flash");
        let flash_len = bytes.len();
        bytes.resize(flash_len.next_multiple_of(SECTOR_LEN), ERASED);
        Ok(Self { bytes, flash_len, ram_len })
    }
}

/// Puts what belongs at `address` into the image.
fn put(image: &mut Vec<u8>, address: u32, data: &[u8]) -> anyhow::Result<()> {
    let at = address.checked_sub(FLASH_START).filter(|at| *at < FLASH_LEN);
    let at =
        at.with_context(|| format!("a segment is for {address:#010x}, which is not in the Pico's flash"))?;
    let at = usize::try_from(at)?;
    let end = at + data.len();
    ensure!(end <= usize::try_from(FLASH_LEN)?, "the program is longer than the Pico's flash");
    image.resize(image.len().max(end), ERASED);
    image.get_mut(at..end).context("resized above")?.copy_from_slice(data);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF file for ARM of these segments: address and bytes.
    fn file(segments: &[(u32, &[u8])]) -> Vec<u8> {
        const HEADER_LEN: u32 = 52;
        const SEGMENT_LEN: u32 = 32;
        let count = u32::try_from(segments.len()).unwrap();
        let mut file = vec![0x7f, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        for half in [2_u16, elf::EM_ARM.0] {
            file.extend(half.to_le_bytes());
        }
        for word in [1, 0x1000_0101, HEADER_LEN, 0, 0] {
            file.extend(word.to_le_bytes());
        }
        let halves = [HEADER_LEN, SEGMENT_LEN, count, 40, 0, 0].map(|half| u16::try_from(half).unwrap());
        file.extend(halves.into_iter().flat_map(u16::to_le_bytes));
        let mut at = HEADER_LEN + SEGMENT_LEN * count;
        for (address, bytes) in segments {
            let len = u32::try_from(bytes.len()).unwrap();
            for word in [elf::PT_LOAD.0, at, *address, *address, len, len, 5, 4] {
                file.extend(word.to_le_bytes());
            }
            at += len;
        }
        segments.iter().for_each(|(_, bytes)| file.extend_from_slice(bytes));
        file
    }

    #[test]
    fn segments_lie_at_their_place_and_sectors_are_whole() {
        let image = Image::of(&file(&[(0x1000_0000, &[1; 256]), (0x1000_1100, &[2; 3])])).unwrap();
        assert_eq!(image.flash_len, 0x1103);
        assert_eq!(image.bytes.len(), 0x2000);
        assert_eq!(image.bytes[..256], [1; 256]);
        assert_eq!(image.bytes[256..0x1100], [0xff; 0x1000]);
        assert_eq!(image.bytes[0x1100..0x1103], [2; 3]);
        assert_eq!(image.bytes[0x1103..], [0xff; 0xefd]);
        assert_eq!(image.ram_len, 0);
    }

    #[test]
    fn refuses_what_is_no_program_for_the_flash() {
        let refused = |bytes: &[u8]| Image::of(bytes).unwrap_err().to_string();
        assert!(refused(b"no ELF").contains("no ELF file"));
        assert!(refused(&file(&[])).contains("nothing into flash"));
        assert!(refused(&file(&[(0x2000_0000, &[1; 4])])).contains("0x20000000"));
        assert!(refused(&file(&[(0x101f_ffff, &[1; 4])])).contains("longer"));
        let whole = file(&[(0x1000_0000, &[1; 256])]);
        assert!(refused(&whole[..whole.len() - 1]).contains("cut"));
    }

    #[test]
    fn stands_a_file_that_ends_anywhere() {
        let whole = file(&[(0x1000_0000, &[1; 256]), (0x1000_1000, &[2; 30])]);
        for len in 0..whole.len() {
            assert!(Image::of(&whole[..len]).is_err());
        }
    }
}
