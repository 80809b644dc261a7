//! A ring of bytes of a fixed size: what a link received and no one read yet. It never grows and never overwrites.

/// Holds up to `N` bytes.
pub(super) struct Ring<const N: usize> {
    bytes: [u8; N],
    start: usize,
    len: usize,
}

impl<const N: usize> Ring<N> {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; N], start: 0, len: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes for which there is room.
    pub(super) fn room(&self) -> usize {
        N - self.len
    }

    pub(super) fn clear(&mut self) {
        (self.start, self.len) = (0, 0);
    }

    /// Keeps `bytes`; says whether there was room for all of them. Without, it keeps none.
    pub(super) fn push(&mut self, bytes: &[u8]) -> bool {
        if bytes.len() > self.room() {
            return false;
        }
        let end = (self.start + self.len) % N.max(1);
        let (first, second) = bytes.split_at(bytes.len().min(N - end));
        copy(self.bytes.get_mut(end..).unwrap_or_default(), first);
        copy(&mut self.bytes, second);
        self.len += bytes.len();
        true
    }

    /// Takes the oldest bytes, as many as there are and `out` holds; says how many.
    pub(super) fn pop(&mut self, out: &mut [u8]) -> usize {
        let count = out.len().min(self.len);
        let whole = self.bytes.get(self.start..).unwrap_or_default();
        let first = count.min(whole.len());
        let (before, after) = out.split_at_mut(first);
        copy(before, whole);
        copy(after, self.bytes.get(..count - first).unwrap_or_default());
        self.skip(count);
        count
    }

    /// Drops the oldest bytes.
    pub(super) fn skip(&mut self, count: usize) {
        let count = count.min(self.len);
        self.start = (self.start + count) % N.max(1);
        self.len -= count;
    }

    /// Drops the newest bytes.
    pub(super) fn take_back(&mut self, count: usize) {
        self.len = self.len.saturating_sub(count);
    }
}

fn copy(to: &mut [u8], from: &[u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_in_order_however_they_went_in() {
        let mut ring = Ring::<7>::new();
        let (mut next_in, mut next_out) = (0_u8, 0_u8);
        for step in 0..2_000_usize {
            let wanted = step % 5;
            let bytes: [u8; 5] = core::array::from_fn(|at| next_in.wrapping_add(u8::try_from(at).unwrap()));
            let fits = wanted <= ring.room();
            assert_eq!(ring.push(&bytes[..wanted]), fits);
            if fits {
                next_in = next_in.wrapping_add(u8::try_from(wanted).unwrap());
            }
            let mut out = [0; 3];
            let count = ring.pop(&mut out[..step % 4]);
            for byte in &out[..count] {
                assert_eq!(*byte, next_out, "step {step}");
                next_out = next_out.wrapping_add(1);
            }
        }
    }

    #[test]
    fn keeps_nothing_of_what_does_not_fit() {
        let mut ring = Ring::<4>::new();
        assert!(ring.push(b"abc"));
        assert!(!ring.push(b"de"));
        ring.take_back(1);
        assert!(ring.push(b"de"));
        let mut out = [0; 8];
        assert_eq!(ring.pop(&mut out), 4);
        assert_eq!(&out[..4], b"abde");
        assert!(ring.is_empty());
    }
}
