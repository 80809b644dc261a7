//! Every limit of the gateway, with what happens at it.

use std::time::Duration;

use vitalwire_registry::LoginLimits;

/// Devices wait for up to a minute between two tries (`vitalwire_device::backoff`, which a test compares). Whoever found the
/// server away just before its start is not back sooner, and all at once are no thousand alarms.
const RETURN_GRACE: Duration = Duration::from_secs(60);

/// Limits of everything but the embedded broker and the journal. Each says what happens when it is reached.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at once. At it, the oldest connection that has not identified itself makes room;
    /// when all are identified, the newcomer is closed.
    pub connections_max: usize,
    /// Connections at once from one address. At it, the oldest unidentified connection of that address
    /// makes room; when all are identified, the newcomer is closed.
    pub connections_per_address_max: usize,
    /// From accepting a connection to its first complete, identified frame. Past it the connection is closed.
    pub first_frame_timeout: Duration,
    /// Without a byte from an identified device. Past it the connection is closed.
    pub idle_timeout: Duration,
    /// Without a message from a device on the secure link, which sends a batch at least every minute. Past it the
    /// connection is closed.
    pub link_idle_timeout: Duration,
    /// How long an acknowledgement may wait to be written. Past it the device does not read, and the connection is closed;
    /// until then it is not read either.
    pub ack_timeout: Duration,
    /// A device's connection that has been silent this long yields to a new one of the same device.
    pub takeover_silence: Duration,
    /// How long devices have to come back after the server started, before the delay of `device-offline` begins. Past it
    /// and the delay a device that was heard of before, and is not back, is an alarm.
    pub return_grace: Duration,
    /// Failed identifications that an address may have at once; one is forgiven each
    /// [`Self::identify_failure_forgiven_after`]. Past it only devices that were seen at that address
    /// before are still identified there.
    pub identify_failures_max: u32,
    /// How long until one failed identification of an address is forgiven.
    pub identify_failure_forgiven_after: Duration,
    /// Memory for what waits for an external broker, in bytes. When it is full the oldest reading goes: the
    /// backfill publishes it later out of the journal, unless the disk is full as well; then it is lost, counted
    /// and reported.
    pub backlog_bytes_max: usize,
    /// Connections at once to the port of metrics and health. At it, the oldest is closed.
    pub metrics_connections_max: usize,
    /// From a connection to that port until its request is answered and read. Past it the connection is closed.
    pub metrics_request_timeout: Duration,
    /// Logging in, over MQTT and whatever else asks for a password.
    pub logins: LoginLimits,
    /// Time for a graceful stop to hand what was received to the broker.
    pub stop_timeout: Duration,
}

impl Default for Limits {
    /// Assumes a clinic's server with some thousand devices, many behind one address.
    fn default() -> Self {
        Self {
            connections_max: 16_384,
            connections_per_address_max: 8_192,
            first_frame_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            link_idle_timeout: Duration::from_secs(180),
            ack_timeout: Duration::from_secs(10),
            takeover_silence: Duration::from_secs(2),
            return_grace: RETURN_GRACE,
            identify_failures_max: 50,
            identify_failure_forgiven_after: Duration::from_secs(1),
            backlog_bytes_max: 256 << 20,
            metrics_connections_max: 64,
            metrics_request_timeout: Duration::from_secs(10),
            logins: LoginLimits::default(),
            stop_timeout: Duration::from_millis(1_500),
        }
    }
}

#[cfg(test)]
mod tests {
    use vitalwire_device::backoff::BackoffLimits;

    use super::*;

    #[test]
    fn devices_come_back_within_the_grace() {
        let longest = Duration::from_millis(BackoffLimits::default().retry_ms_max.into());
        assert!(Limits::default().return_grace >= longest);
    }
}
