//! UF2 files: what the boot loader of an RP2040 takes when one is dropped on its USB drive. It writes blocks and reads none,
//! and knows nothing of what is in them.
//!
//! Source: Microsoft's UF2 specification ("Overview", "Block format"), and RP2040 datasheet §2.8.5.2: the boot ROM erases
//! each sector of 4 KiB that a file touches, so a file should cover whole sectors.

#![no_std]

/// Bytes of a block of the file.
pub const BLOCK_LEN: usize = 512;
/// Bytes of the flash that a block carries: a page.
pub const PAYLOAD_LEN: usize = 256;
/// The family of the RP2040, which tells its boot loader that a file is meant for it.
pub const RP2040_FAMILY: u32 = 0xe48b_ff56;
/// The address at which an RP2040 sees the first byte of its flash.
pub const FLASH_START: u32 = 0x1000_0000;
/// What fills the last page: the flash as it is when erased.
const ERASED: u8 = 0xff;

const MAGIC_START: [u32; 2] = [0x0a32_4655, 0x9e5d_5157];
const MAGIC_END: u32 = 0x0ab1_6f30;
/// The family stands where another kind of file has its length.
const FLAG_FAMILY: u32 = 0x2000;
/// Where the payload begins, after eight words.
const PAYLOAD_AT: usize = 32;

/// The blocks of a file that puts `bytes` at `address`, which is a multiple of [`PAYLOAD_LEN`] at or after [`FLASH_START`].
pub fn blocks(address: u32, bytes: &[u8]) -> impl Iterator<Item = [u8; BLOCK_LEN]> {
    let pages = bytes.chunks(PAYLOAD_LEN);
    let count = u32::try_from(pages.len()).unwrap_or(u32::MAX);
    let addresses = (address..).step_by(PAYLOAD_LEN);
    (0..count)
        .zip(addresses)
        .zip(pages)
        .map(move |((number, address), page)| block(address, number, count, page))
}

fn block(address: u32, number: u32, count: u32, page: &[u8]) -> [u8; BLOCK_LEN] {
    const PAYLOAD_LEN_WORD: u32 = 256;
    let [magic_0, magic_1] = MAGIC_START;
    let header = [magic_0, magic_1, FLAG_FAMILY, address, PAYLOAD_LEN_WORD, number, count, RP2040_FAMILY];
    let mut block = [0; BLOCK_LEN];
    let (words, _) = block.as_chunks_mut::<4>();
    for (place, word) in words.iter_mut().zip(header) {
        *place = word.to_le_bytes();
    }
    if let [.., last] = words {
        *last = MAGIC_END.to_le_bytes();
    }
    let rest = page.iter().copied().chain(core::iter::repeat(ERASED));
    for (place, byte) in block.iter_mut().skip(PAYLOAD_AT).take(PAYLOAD_LEN).zip(rest) {
        *place = byte;
    }
    block
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    #[test]
    fn a_block_is_that_of_the_specification() {
        let blocks: Vec<_> = blocks(0x1008_0000, &[0xab; 300]).collect();
        assert_eq!(blocks.len(), 2);
        assert_eq!(
            blocks[1][..32],
            [
                b'U', b'F', b'2', b'\n', 0x57, 0x51, 0x5d, 0x9e, 0x00, 0x20, 0x00, 0x00, 0x00, 0x01, 0x08,
                0x10, //
                0x00, 0x01, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x56, 0xff, 0x8b,
                0xe4,
            ]
        );
        assert_eq!(blocks[1][32..76], [0xab; 44]);
        assert_eq!(blocks[1][76..288], [0xff; 212]);
        assert_eq!(blocks[1][288..508], [0; 220]);
        assert_eq!(blocks[1][508..], [0x30, 0x6f, 0xb1, 0x0a]);
        assert_eq!(blocks[0][32..288], [0xab; 256]);
    }

    #[test]
    fn no_bytes_make_no_block() {
        assert_eq!(blocks(FLASH_START, &[]).count(), 0);
    }
}
