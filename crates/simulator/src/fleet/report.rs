//! What a fleet did, in numbers.

use std::fmt;

/// Counts over all devices. Every sample that was due is in `sent` or in `dropped`.
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
    /// Connections after a device's first.
    pub reconnects: u64,
    /// Tries to connect that failed.
    pub connect_errors: u64,
}

impl fmt::Display for FleetReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: [(&str, u64); 6] = [
            ("devices", self.devices as u64),
            ("connected", self.connected as u64),
            ("samples sent", self.sent),
            ("samples dropped", self.dropped),
            ("reconnects", self.reconnects),
            ("connect errors", self.connect_errors),
        ];
        for (place, (name, count)) in rows.into_iter().enumerate() {
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
    }
}
