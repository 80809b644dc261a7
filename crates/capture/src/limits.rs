//! What a capture may hold at most. A capture with more is refused with an error that says so.

/// Connections of which a report is made, about 1 KiB each.
pub(crate) const FLOWS_MAX: usize = 100_000;
/// The longest record that is read, in bytes: a packet with its options is far shorter.
pub(crate) const RECORD_LEN_MAX: usize = 16 << 20;
