//! The subscriber that counts: a real MQTT client on a real socket, on a thread of its own. It allocates nothing for a
//! message beyond what its client library does: 160,000 of them come each second from 1,000 devices.

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::{Context, bail};
use rumqttc::{Publish, QoS};
use tokio_util::sync::CancellationToken;
use vitalwire_simulator::fleet::FleetObserver;

use super::parts::{join, runtime, spawn};
use super::setup::Login;
use super::tally::{Message, Tally};
use super::topic::{Kind, classify, sequence};
use crate::mqtt_feed::{Feed, Notice};

const FILTERS: [&str; 2] = ["Pico/#", "vitalwire/v1/#"];

/// A running subscriber.
pub(crate) struct SubscriberThread {
    stop: CancellationToken,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl SubscriberThread {
    /// Connects and subscribes; when this returns, the broker has granted both trees.
    ///
    /// # Errors
    /// When the broker refuses.
    pub(crate) fn start(
        login: &Login,
        tally: Arc<Mutex<Tally>>,
        observer: Arc<FleetObserver>,
    ) -> anyhow::Result<Self> {
        let client_id = format!("vitalwire-demo-{:08x}", rand::random::<u32>());
        let options = login.url.options(&client_id, &login.password, None)?;
        let feed =
            Feed::new(login.url.clone(), options, FILTERS.map(str::to_owned).to_vec(), QoS::AtMostOnce);
        let stop = CancellationToken::new();
        let halt = stop.clone();
        // Told once, at the first subscription; a reconnect finds the channel full and no one waiting.
        let (ready, wait) = mpsc::sync_channel(1);
        let thread = spawn("subscriber", move || {
            let feed = feed.run(|notice| {
                match notice {
                    Notice::Message(publish) => count(publish, &tally, &observer),
                    Notice::Subscribed => drop(ready.try_send(())),
                    Notice::Lost(reason) => tracing::error!(reason, "the subscriber lost the broker"),
                    Notice::Idle => {}
                }
                Ok(())
            });
            runtime()?.block_on(async {
                tokio::select! {
                    ended = feed => ended.map(|never| match never {}),
                    () = halt.cancelled() => Ok(()),
                }
            })
        })?;
        if wait.recv().is_err() {
            join(thread, "subscriber").context("the subscriber cannot read the broker")?;
            bail!("the subscriber ended before it had subscribed");
        }
        Ok(Self { stop, thread })
    }

    /// Leaves the broker.
    ///
    /// # Errors
    /// When it had been refused in between.
    pub(crate) fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        join(self.thread, "subscriber")
    }
}

fn count(publish: &Publish, tally: &Mutex<Tally>, observer: &FleetObserver) {
    let Some((id, kind)) = classify(&publish.topic) else { return };
    let arrived = Instant::now();
    // The lock is free but for fifteen looks a second of the view.
    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(device) = tally.device(id) else { return };
    let sequence = if kind == Kind::Reading { sequence(&publish.payload) } else { None };
    let delay = sequence
        .and_then(|number| match observer.batch(device, number) {
            Some(batch) => batch.sent,
            None => observer.latest_sent_at(device, number),
        })
        .map(|written| arrived.saturating_duration_since(written));
    tally.record(device, &Message { kind, payload: &publish.payload, arrived, sequence, delay });
}
