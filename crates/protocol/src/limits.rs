//! How long a frame and the text in it may be.

/// Bytes of plaintext or ciphertext in one block.
pub const BLOCK_LEN: usize = 16;

/// Blocks in the longest frame that is accepted or written. Real frames have 7 to 9.
pub const BLOCKS_MAX: usize = 64;

/// Bytes of the longest frame on the wire: 32 digits a block, and a `+` between blocks.
pub const FRAME_LEN_MAX: usize = BLOCKS_MAX * 33 - 1;

/// Bytes of the longest JSON text: what the longest frame holds, less one byte of padding.
pub const JSON_LEN_MAX: usize = BLOCKS_MAX * BLOCK_LEN - 1;
