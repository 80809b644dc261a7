//! Escalations to people who are elsewhere: alarms that no one acknowledged go to web hooks. What is due is decided by
//! `surveillance`, which also tells the MQTT topic `vitalwire/v1/escalation`; here it is handed on.
//!
//! Delivery is at least once: whoever hands on does so again after a restart for what is still open (see [`WebHooks::hand`]).

mod message;

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::alarms::AlarmChange;

/// What waits to be handed on. What comes when it is full is dropped, counted, and logged.
const WAITING_MAX: usize = 1_024;

/// What someone must hear of, wherever they are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Escalation {
    /// An alarm that no one acknowledged in time.
    Alarm(AlarmChange),
    /// Many devices lost their connections at once. One message stands for all of them.
    ManyOffline {
        /// Now, by the server's clock: UTC, microseconds since 1970.
        time_us: i64,
        /// When the first of them went.
        since_us: i64,
        /// How many.
        devices: usize,
    },
}

/// Hands escalations to web hooks. Clones are the same.
#[derive(Clone)]
pub(crate) struct WebHooks {
    waiting: mpsc::Sender<Arc<Escalation>>,
}

impl WebHooks {
    /// With the other end.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Arc<Escalation>>) {
        let (waiting, received) = mpsc::channel(WAITING_MAX);
        (Self { waiting }, received)
    }

    /// Hands one on, and never waits. At the start of a server: again for each open alarm that calls and was escalated before, as
    /// its delivery may not have been over. Whoever gets it twice knows it by its id.
    pub(crate) fn hand(&self, escalation: Escalation) {
        // No one listens where no web hook is set.
        let _ = self.waiting.try_send(Arc::new(escalation));
    }
}
