//! What a fleet did, in numbers.

use std::fmt;

use super::BatchCounts;

/// Counts over all devices. Every sample that was due is in `sent` or in `dropped`; on the secure link it may be held
/// still: see `batches`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FleetReport {
    /// Devices of the fleet.
    pub devices: usize,
    /// Devices that were connected at least once.
    pub connected: usize,
    /// Samples whose whole frame was handed to the network.
    pub sent: u64,
    /// Samples that were due but never sent: no connection, or a gateway that does not read, for too long.
    pub dropped: u64,
    /// Samples that devices on the secure link measured. When the fleet has ended, each is in a batch.
    pub measured: u64,
    /// What became of the batches of the devices on the secure link.
    pub batches: BatchCounts,
    /// Connections after a device's first.
    pub reconnects: u64,
    /// Tries to connect that failed.
    pub connect_errors: u64,
}

impl fmt::Display for FleetReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (batches, held) = (&self.batches, self.batches.held());
        let on_link = self.measured > 0;
        let rows = [
            (true, "devices", self.devices as u64),
            (true, "connected", self.connected as u64),
            (on_link, "measured", self.measured),
            (true, "samples sent", self.sent),
            (on_link, "acknowledged", batches.acknowledged.samples),
            (on_link, "still held", held.samples),
            (true, "samples dropped", self.dropped),
            (on_link, "batches made", batches.made.batches),
            (on_link, "batches resent", batches.resent.batches),
            (true, "reconnects", self.reconnects),
            (true, "connect errors", self.connect_errors),
        ];
        let shown = rows.into_iter().filter(|(is_shown, ..)| *is_shown);
        for (place, (_, name, count)) in shown.enumerate() {
            let line_break = if place == 0 { "" } else { "\n" };
            write!(f, "{line_break}{name:<15} {count:>12}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_table_with_aligned_numbers() {
        let report =
            FleetReport { devices: 5, connected: 5, sent: 1_000, reconnects: 2, ..FleetReport::default() };
        let text = report.to_string();
        assert_eq!(text.lines().count(), 6);
        assert!(text.lines().all(|line| line.len() == 28), "{text}");
        assert!(text.contains("samples sent            1000"), "{text}");
        let text = FleetReport { measured: 1, ..report }.to_string();
        assert_eq!(text.lines().count(), 11);
        assert!(text.lines().all(|line| line.len() == 28), "{text}");
    }
}
