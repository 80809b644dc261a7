//! What a client publishes at QoS 2 and has not released: its session knows the packet ids, on the disk too, so that nothing that comes
//! again is published again (MQTT-4.3.3-2), however the connection or the process ended.

use super::{At, Core};

impl Core {
    /// A publication was taken. Call it in one turn with publishing that, so that the disk gets both at once.
    pub(crate) fn note_taken(&mut self, at: At, packet_id: u16) {
        if let Some(session) = self.at(at) {
            session.changed |= session.received.insert(packet_id);
        }
    }

    /// The client will not send it again.
    pub(crate) fn forget_taken(&mut self, at: At, packet_id: u16) {
        if let Some(session) = self.at(at) {
            session.changed |= session.received.remove(&packet_id);
        }
    }
}
