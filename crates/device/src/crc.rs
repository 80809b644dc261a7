//! CRC-32 of ISO/IEC/IEEE 8802-3, as in Ethernet, zip and gzip (RFC 1952 §8). It finds damage; it stops no one who means it.

/// A CRC that goes on over more bytes; four bits at a time: a table of 64 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crc32(u32);

impl Default for Crc32 {
    fn default() -> Self {
        Self::new()
    }
}

impl Crc32 {
    /// Over nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(u32::MAX)
    }

    /// Over bytes whose CRC is known to be `crc`, to go on behind them.
    #[must_use]
    pub const fn after(crc: u32) -> Self {
        Self(!crc)
    }

    /// And over these bytes.
    #[must_use]
    pub fn over(self, bytes: &[u8]) -> Self {
        const POLYNOMIAL: u32 = 0xedb8_8320;
        const TABLE: [u32; 16] = {
            let mut table = [0; 16];
            let mut at = 0;
            while at < 16 {
                let (mut value, mut bit) = (at, 0);
                while bit < 4 {
                    value = if value & 1 == 1 { value >> 1 ^ POLYNOMIAL } else { value >> 1 };
                    bit += 1;
                }
                #[expect(clippy::indexing_slicing, reason = "evaluated when compiled")]
                {
                    table[at as usize] = value;
                }
                at += 1;
            }
            table
        };
        let nibble = |value: u32| {
            let [low, ..] = value.to_le_bytes();
            value >> 4 ^ TABLE.get(usize::from(low & 15)).copied().unwrap_or(0)
        };
        Self(bytes.iter().fold(self.0, |value, byte| nibble(nibble(value ^ u32::from(*byte)))))
    }

    /// The CRC.
    #[must_use]
    pub const fn end(self) -> u32 {
        !self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_crc_of_ethernet() {
        assert_eq!(Crc32::new().over(b"123456789").end(), 0xcbf4_3926);
        assert_eq!(Crc32::new().end(), 0);
    }

    #[test]
    fn goes_on_after_a_known_crc() {
        let first = Crc32::new().over(b"1234").end();
        assert_eq!(Crc32::after(first).over(b"56789").end(), 0xcbf4_3926);
    }
}
