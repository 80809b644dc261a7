//! The job of one web hook: takes what is handed on, tries it, and says what became of it. A hook that hangs holds up no other.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::client::{Client, WebHookFailure};
use super::message::PatientValues;
use super::queue::{Delivery, Ended, Outcome, Pace, Queue};
use super::secret::HookSecret;
use super::{Escalation, dropped};
use crate::metrics::Metrics;

/// With nothing to try, so long at most until it looks again.
const IDLE: Duration = Duration::from_secs(3_600);

/// One web hook.
pub(crate) struct Target {
    pub(super) client: Client,
    pub(super) secret: HookSecret,
    pub(super) values: PatientValues,
    pub(super) received: mpsc::Receiver<Arc<Escalation>>,
    pub(super) metrics: Metrics,
    pub(super) pace: Pace,
}

/// An attempt that has ended.
struct Attempted {
    id: String,
    result: Result<(), WebHookFailure>,
}

impl Target {
    /// Delivers until the stop. What is under way then is handed on again after the next start.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let (mut queue, mut attempts) = (Queue::new(self.pace), JoinSet::new());
        loop {
            while let Some(delivery) = queue.next(Instant::now()) {
                let client = self.client.clone();
                attempts.spawn(async move {
                    let result = client.attempt(&delivery).await;
                    Attempted { id: delivery.id.clone(), result }
                });
            }
            let due = queue.next_due().unwrap_or_else(|| Instant::now() + IDLE);
            tokio::select! {
                () = stop.cancelled() => break,
                // What there is no room for waits where it was handed on.
                escalation = self.received.recv(), if queue.has_room() => match escalation {
                    Some(escalation) => self.take(&mut queue, &escalation),
                    None => break,
                },
                Some(attempted) = attempts.join_next() => {
                    // A panic of an attempt is a bug, and its delivery waits for the next start.
                    if let Ok(attempted) = attempted {
                        self.ended(&mut queue, &attempted);
                    }
                }
                () = tokio::time::sleep_until(due) => {}
            }
        }
        if queue.len() > 0 {
            tracing::warn!(
                hook = self.client.origin(),
                waiting = queue.len(),
                "stopped before all was delivered"
            );
        }
    }

    fn take(&self, queue: &mut Queue, escalation: &Escalation) {
        let delivery = delivery(escalation, &self.secret, self.values);
        if queue.push(delivery, Instant::now()).is_err() {
            dropped(&self.metrics, &self.client.origin());
        }
    }

    fn ended(&self, queue: &mut Queue, attempted: &Attempted) {
        let outcome = match &attempted.result {
            Ok(()) => Outcome::Accepted,
            Err(failure) => failure.outcome(),
        };
        let Some(ended) = queue.ended(&attempted.id, outcome, Instant::now(), rand::random()) else { return };
        let (hook, id) = (self.client.origin(), &attempted.id);
        let cause = || attempted.result.as_ref().err().map(ToString::to_string).unwrap_or_default();
        match ended {
            Ended::Delivered { tries } => {
                self.metrics.web_hooks_delivered.inc();
                tracing::info!(hook, id, tries, "web hook delivered");
            }
            Ended::Again { tries, after } => {
                self.metrics.web_hooks_failed.inc();
                // The first says it; who gives up says it again.
                if tries == 1 {
                    let minutes = self.pace.tried_for.as_secs() / 60;
                    tracing::warn!(
                        hook,
                        id,
                        cause = cause(),
                        minutes,
                        "web hook failed; it is tried again for so long"
                    );
                } else {
                    tracing::debug!(hook, id, tries, ?after, cause = cause(), "web hook failed again");
                }
            }
            Ended::GivenUp { tries } => {
                self.metrics.web_hooks_failed.inc();
                self.metrics.web_hooks_given_up.inc();
                tracing::error!(
                    hook,
                    id,
                    tries,
                    cause = cause(),
                    "web hook given up: no one was told this way"
                );
            }
        }
    }
}

/// What is sent of an escalation. Its id is the same whenever it is made.
pub(super) fn delivery(escalation: &Escalation, secret: &HookSecret, values: PatientValues) -> Delivery {
    let id = secret.id(&escalation.identity());
    Delivery { id, body: Bytes::from(escalation.to_json(values)) }
}
