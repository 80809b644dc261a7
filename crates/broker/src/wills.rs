//! Publishes wills in place of the broker crate, which would add the sender's user name and client id to them as user
//! properties, for every subscriber to see. It decides nothing: the access rules were asked before.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use mqtt5::broker::router::MessageRouter;
use mqtt5::types::WillMessage;
use mqtt5_protocol::packet::publish::PublishPacket;

use crate::connections::{CONNECTION, Connection};

/// Wills that wait for their delay. Each belongs to a stored session, so their number is limited as those are; an entry
/// goes when the will is due, when its client comes back, or when it left in good order.
pub(crate) struct Wills {
    router: OnceLock<Arc<MessageRouter>>,
    delayed: Mutex<HashMap<String, WillMessage>>,
}

impl Wills {
    pub(crate) fn new() -> Self {
        Self { router: OnceLock::new(), delayed: Mutex::default() }
    }

    /// Where wills go. Told once, before the first client.
    pub(crate) fn publish_through(&self, router: &Arc<MessageRouter>) {
        let _ = self.router.set(Arc::clone(router));
    }

    fn delayed(&self) -> MutexGuard<'_, HashMap<String, WillMessage>> {
        self.delayed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client is back, or left in good order: its will is void.
    pub(crate) fn forget(&self, client_id: &str) {
        self.delayed().remove(client_id);
    }

    /// Keeps the will of a closing connection that is to be published later, by a task that knows no connection.
    pub(crate) fn keep_delayed(&self, connection: &Connection) {
        let Some(admitted) = connection.admitted() else { return };
        if let Some(will) =
            admitted.will.as_ref().filter(|will| will.properties.will_delay_interval.unwrap_or(0) > 0)
        {
            self.delayed().insert(admitted.client_id.clone(), will.clone());
        }
    }

    /// Whether the publication that is being asked about is a will; if so and it is allowed, publishes ours.
    ///
    /// A will is asked about either by a connection that is closing or, when delayed, by a task that serves none.
    pub(crate) fn take_over(&self, client_id: &str, allowed: bool) -> bool {
        let will = match CONNECTION.try_with(Arc::clone) {
            Ok(connection) if !connection.is_closing() => return false,
            Ok(connection) => connection.admitted().and_then(|admitted| admitted.will.clone()),
            Err(_) => self.delayed().remove(client_id),
        };
        if let (Some(will), Some(router)) = (will.filter(|_| allowed), self.router.get().cloned()) {
            tokio::spawn(async move {
                let mut packet = PublishPacket::new(will.topic, will.payload, will.qos);
                packet.retain = will.retain;
                will.properties.apply_to_publish_properties(&mut packet.properties);
                router.route_message(&packet, None).await;
            });
        }
        true
    }
}
