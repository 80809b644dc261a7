//! Finds blocks of ciphertext that were there before. Good encryption never shows the same 16 bytes twice; ECB, and CBC that
//! starts at the same IV again, show equal beginnings of equal texts.

use std::collections::HashMap;

/// Bytes of a block.
pub(crate) const BLOCK_LEN: usize = 16;
/// Blocks of a generation. The newest generation and the one before are remembered, 4 to 8 MiB of ciphertext.
const GENERATION_BLOCKS: usize = 1 << 18;

/// Where a block was first seen: its flow and its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) flow: u32,
    pub(crate) at: u64,
}

/// The blocks that are remembered.
#[derive(Default)]
pub(crate) struct Blocks {
    newest: HashMap<[u8; BLOCK_LEN], Seen>,
    before: HashMap<[u8; BLOCK_LEN], Seen>,
}

impl Blocks {
    /// Notes a block; where the same one was seen before, if it is still remembered.
    pub(crate) fn note(&mut self, block: [u8; BLOCK_LEN], seen: Seen) -> Option<Seen> {
        if let Some(before) = self.newest.get(&block) {
            return Some(*before);
        }
        // One that comes again stays with the newest, so that a block that repeats is remembered for ever.
        let before = self.before.get(&block).copied();
        if self.newest.len() == GENERATION_BLOCKS {
            self.before = std::mem::take(&mut self.newest);
        }
        self.newest.insert(block, before.unwrap_or(seen));
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_block_is_found_and_another_never() {
        let mut blocks = Blocks::default();
        let first = Seen { flow: 0, at: 5 };
        assert_eq!(blocks.note([0; 16], first), None);
        for number in 1..u128::from(1_u32 << 18) {
            assert_eq!(blocks.note(number.to_le_bytes(), Seen { flow: 1, at: 1 }), None);
        }
        assert_eq!(blocks.note([0; 16], Seen { flow: 3, at: 9 }), Some(first));
    }

    #[test]
    fn old_blocks_are_forgotten_and_those_that_repeat_are_not() {
        let mut blocks = Blocks::default();
        let seen = Seen { flow: 0, at: 0 };
        for number in 0..4 * GENERATION_BLOCKS as u128 {
            blocks.note(number.to_le_bytes(), seen);
            if number % 1_000 == 0 {
                assert_eq!(blocks.note([0; 16], seen), Some(seen));
            }
        }
        assert!(blocks.newest.len() + blocks.before.len() <= 2 * GENERATION_BLOCKS);
        assert_eq!(blocks.note(1_u128.to_le_bytes(), seen), None);
    }
}
