//! A device's status on an external broker: one small connection a device, whose will says `offline`.
//!
//! MQTT gives a connection one will (MQTT 3.1.1 §3.1.2.5), and one message has one topic. So that each device's
//! retained status turns to `offline` also when this process dies, each connected device has a connection.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rumqttc::{AsyncClient, Event, EventLoop, LastWill, MqttOptions, Packet, QoS};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vitalwire_access::DeviceId;

use crate::event::Status;

pub(super) const ONLINE: Bytes = Bytes::from_static(b"online");
pub(super) const OFFLINE: Bytes = Bytes::from_static(b"offline");

const RECONNECT_DELAY: Duration = Duration::from_secs(1);
/// How long to wait for the broker to acknowledge `offline`.
const FAREWELL_TIMEOUT: Duration = Duration::from_millis(500);

/// The status connections of all connected devices.
pub(super) struct Statuses {
    /// Of the server's own connection; a device's has its name appended.
    options: MqttOptions,
    links: HashMap<DeviceId, StatusLink>,
    tasks: TaskTracker,
}

impl Statuses {
    pub(super) fn new(options: MqttOptions, tasks: TaskTracker) -> Self {
        Self { options, links: HashMap::new(), tasks }
    }

    /// Notes that a device came or went.
    pub(super) fn note(&mut self, status: &Status, topic: Arc<str>) {
        if !status.is_online {
            if let Some(link) = self.links.get(&status.device) {
                link.leaving.cancel();
            }
            // What waits for the broker is bounded by the devices that were ever connected.
            self.links.retain(|_, link| !link.left.is_cancelled());
            return;
        }
        let before = self.links.get(&status.device);
        // A newer connection of the device has taken over: it was online all the time.
        if before.is_some_and(|link| !link.leaving.is_cancelled()) {
            return;
        }
        let mut options = self.options.clone();
        options.set_client_id(format!("{}-{}", options.client_id(), status.device));
        let after = before.map(|link| link.left.clone());
        let link = StatusLink::start(options, topic, after, &self.tasks);
        self.links.insert(status.device.clone(), link);
    }
}

/// The status connection of one connected device; dropped, it says `offline` in its own time.
#[derive(Debug)]
struct StatusLink {
    leaving: CancellationToken,
    left: CancellationToken,
}

impl StatusLink {
    /// `after` is cancelled when the connection before, which has the same name, has ended.
    fn start(
        mut options: MqttOptions,
        topic: Arc<str>,
        after: Option<CancellationToken>,
        tasks: &TaskTracker,
    ) -> Self {
        options.set_last_will(LastWill::new(&*topic, OFFLINE, QoS::AtLeastOnce, true));
        let link = Self { leaving: CancellationToken::new(), left: CancellationToken::new() };
        let (leaving, left) = (link.leaving.clone(), link.left.clone().drop_guard());
        tasks.spawn(async move {
            let _left = left;
            if let Some(after) = after {
                after.cancelled().await;
            }
            while !leaving.is_cancelled() {
                let (client, events) = AsyncClient::new(options.clone(), 4);
                hold(client, events, &topic, &leaving).await;
                tokio::select! {
                    () = tokio::time::sleep(RECONNECT_DELAY) => {}
                    () = leaving.cancelled() => {}
                }
            }
        });
        link
    }
}

impl Drop for StatusLink {
    fn drop(&mut self) {
        self.leaving.cancel();
    }
}

/// Holds one connection until it fails or the device leaves.
async fn hold(client: AsyncClient, mut events: EventLoop, topic: &str, leaving: &CancellationToken) {
    loop {
        tokio::select! {
            event = events.poll() => match event {
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    // The channel holds four requests and is empty here.
                    let _ = client.try_publish(topic, QoS::AtLeastOnce, true, ONLINE);
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(topic, %error, "status connection lost");
                    return;
                }
            },
            () = leaving.cancelled() => {
                let _ = tokio::time::timeout(FAREWELL_TIMEOUT, farewell(&client, &mut events, topic)).await;
                return;
            }
        }
    }
}

async fn farewell(client: &AsyncClient, events: &mut EventLoop, topic: &str) {
    let _ = client.try_publish(topic, QoS::AtLeastOnce, true, OFFLINE);
    let _ = client.try_disconnect();
    // Requests go out in order, so the disconnection's end is `offline`'s arrival.
    while events.poll().await.is_ok() {}
}
