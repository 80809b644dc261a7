//! How far the stack ever grew: the start-up code paints it, and what is still painted was never used.

use cortex_m_rt::STACK_PAINT_VALUE;

#[expect(unsafe_code, reason = "memory.x defines them")]
// SAFETY: symbols of the linker's, of which only the addresses are used.
unsafe extern "C" {
    static _stack_end: u32;
    static _stack_start: u32;
}

/// Watches the stack.
pub(crate) struct Mark {
    /// Words above the stack's end that were never used as far as is known.
    unused: usize,
}

impl Mark {
    /// Nothing is known yet.
    pub(crate) fn new() -> Self {
        Self { unused: len() }
    }

    /// Bytes of the stack that were ever in use, if they became more since this was asked last. It looks at all the others, some
    /// cycles a word: not to be asked often.
    pub(crate) fn grown(&mut self) -> Option<usize> {
        let before = self.unused;
        self.unused = (0..before).find(|at| word(*at) != STACK_PAINT_VALUE).unwrap_or(before);
        (self.unused < before).then(|| (len() - self.unused) * size_of::<u32>())
    }
}

/// Words of the stack.
fn len() -> usize {
    (&raw const _stack_start as usize - &raw const _stack_end as usize) / size_of::<u32>()
}

/// The word at this place above the stack's end.
fn word(at: usize) -> u32 {
    #[expect(unsafe_code, reason = "no reference may be made to memory that calls write to")]
    // SAFETY: `at` is less than `len()`, so this is an aligned word of RAM, of which any bits are a valid value; the read is
    // volatile, as an interrupt may write there.
    unsafe {
        (&raw const _stack_end).add(at).read_volatile()
    }
}
