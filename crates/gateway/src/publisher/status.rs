//! A device's status on an external broker: one small connection a device, whose will says `offline`.
//!
//! MQTT gives a connection one will (MQTT 3.1.1 §3.1.2.5), and one message has one topic. So that each device's
//! retained status turns to `offline` also when this process dies, each connected device has a connection.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rumqttc::{AsyncClient, Event, EventLoop, LastWill, MqttOptions, Packet, QoS};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(super) const ONLINE: Bytes = Bytes::from_static(b"online");
pub(super) const OFFLINE: Bytes = Bytes::from_static(b"offline");

const RECONNECT_DELAY: Duration = Duration::from_secs(1);
/// How long to wait for the broker to acknowledge `offline`.
const FAREWELL_TIMEOUT: Duration = Duration::from_millis(500);

/// The status connection of one connected device; dropped, it says `offline` in its own time.
#[derive(Debug)]
pub(super) struct StatusLink {
    leaving: CancellationToken,
    left: CancellationToken,
}

impl StatusLink {
    pub(super) fn start(mut options: MqttOptions, topic: Arc<str>, tasks: &TaskTracker) -> Self {
        options.set_last_will(LastWill::new(&*topic, OFFLINE, QoS::AtLeastOnce, true));
        let link = Self { leaving: CancellationToken::new(), left: CancellationToken::new() };
        let (leaving, left) = (link.leaving.clone(), link.left.clone().drop_guard());
        tasks.spawn(async move {
            let _left = left;
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

    /// Publishes `offline` and closes the connection.
    pub(super) async fn finish(self) {
        self.leaving.cancel();
        self.left.cancelled().await;
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
