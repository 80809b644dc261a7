//! How a device's clock was mapped to UTC in one of its boots, kept so that what the device brings of that boot later gets
//! the same mapping. The journal keeps the numbers and does not calculate with them.

/// The mapping of one boot's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootClock {
    /// UTC less the device's time, in microseconds.
    pub offset_us: i64,
    /// How far off `offset_us` may be at `set_at_us`, to either side.
    pub uncertainty_us: u64,
    /// The device's time at which it was mapped.
    pub set_at_us: u64,
    /// When it was mapped: UTC, microseconds.
    pub mapped_us: i64,
}
