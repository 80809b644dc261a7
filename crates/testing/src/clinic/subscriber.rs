//! MQTT clients that see what subscribers see.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use rumqttc::{AsyncClient, Event, MqttOptions, Packet, Publish, QoS};
use tokio::sync::mpsc;

use crate::{PASSWORD, PATIENCE};

/// A client with the user `watcher`, which connects again when it must.
pub struct Subscriber {
    messages: mpsc::UnboundedReceiver<(String, String)>,
    /// For what no method here does.
    pub client: AsyncClient,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Subscriber {
    /// Returns when every filter is subscribed to.
    pub async fn connect(port: u16, filters: &[&str], clean_session: bool) -> Self {
        let mut options = MqttOptions::new(format!("test-{}", fresh()), "127.0.0.1", port);
        options.set_credentials("watcher", PASSWORD).set_clean_session(clean_session);
        options.set_max_packet_size(1 << 20, 1 << 20).set_inflight(1_000);
        let (client, mut events) = AsyncClient::new(options, 100);
        let (sender, messages) = mpsc::unbounded_channel();
        let (ready, mut subscribed) = mpsc::channel(filters.len());
        for filter in filters {
            client.subscribe(*filter, QoS::AtLeastOnce).await.unwrap();
        }
        let task = tokio::spawn(async move {
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Packet::SubAck(_))) => {
                        let _ = ready.try_send(());
                    }
                    Ok(Event::Incoming(Packet::Publish(publish))) => {
                        let text = String::from_utf8_lossy(&publish.payload).into_owned();
                        let _ = sender.send((publish.topic, text));
                    }
                    Ok(_) => {}
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        });
        for _ in filters {
            tokio::time::timeout(PATIENCE, subscribed.recv()).await.expect("subscribed").unwrap();
        }
        Self { messages, client, task }
    }

    /// The next message's topic and payload.
    pub async fn next(&mut self) -> (String, String) {
        let message = tokio::time::timeout(PATIENCE, self.messages.recv()).await;
        message.expect("a message arrives").expect("the client runs")
    }

    /// Waits for a message of `topic`, leaving out all others.
    pub async fn until(&mut self, topic: &str) {
        self.value(topic).await;
    }

    /// The next payload of `topic`, leaving out all others.
    pub async fn value(&mut self, topic: &str) -> String {
        loop {
            let (got, payload) = self.next().await;
            if got == topic {
                return payload;
            }
        }
    }

    /// Takes messages until each topic of `topics` was seen; the last payload of each.
    pub async fn collect(&mut self, topics: &[String]) -> HashMap<String, String> {
        let mut seen = HashMap::new();
        while !topics.iter().all(|topic| seen.contains_key(topic)) {
            let (topic, payload) = self.next().await;
            seen.insert(topic, payload);
        }
        seen
    }

    /// What has arrived and was not taken.
    pub fn rest(&mut self) -> Vec<(String, String)> {
        std::iter::from_fn(|| self.messages.try_recv().ok()).collect()
    }
}

/// A reader whose session the broker keeps. What it takes is acknowledged then, and not before.
pub struct Reader {
    client: AsyncClient,
    messages: mpsc::UnboundedReceiver<Publish>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Reader {
    /// Makes a session of this name, subscribed to at QoS 1.
    pub async fn connect(address: SocketAddr, name: &str, filters: &[&str]) -> Self {
        let (sender, mut subscribed) = mpsc::unbounded_channel();
        let reader = Self::start(address, name, sender);
        for filter in filters {
            reader.client.subscribe(*filter, QoS::AtLeastOnce).await.unwrap();
            tokio::time::timeout(PATIENCE, subscribed.recv()).await.expect("subscribed").unwrap();
        }
        reader
    }

    /// Comes back to its session.
    pub fn come_back(address: SocketAddr, name: &str) -> Self {
        Self::start(address, name, mpsc::unbounded_channel().0)
    }

    fn start(address: SocketAddr, name: &str, subscribed: mpsc::UnboundedSender<()>) -> Self {
        let mut options = MqttOptions::new(name, address.ip().to_string(), address.port());
        options.set_credentials("watcher", PASSWORD).set_clean_session(false).set_manual_acks(true);
        options.set_max_packet_size(1 << 20, 1 << 20);
        let (client, mut events) = AsyncClient::new(options, 100_000);
        let (sender, messages) = mpsc::unbounded_channel();
        // One connection: it ends with the first error.
        let task = tokio::spawn(async move {
            while let Ok(event) = events.poll().await {
                match event {
                    Event::Incoming(Packet::SubAck(_)) => drop(subscribed.send(())),
                    Event::Incoming(Packet::Publish(publish)) => drop(sender.send(publish)),
                    _ => {}
                }
            }
        });
        Self { client, messages, task }
    }

    /// Takes messages, of which each topic and payload is shown to `is_last`, until that says so.
    pub async fn take(&mut self, mut is_last: impl FnMut(&str, &str) -> bool) {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.messages.recv()).await;
            let message = message.expect("a message arrives").expect("the connection stays");
            let _ = self.client.ack(&message).await;
            if is_last(&message.topic, &String::from_utf8_lossy(&message.payload)) {
                return;
            }
        }
    }

    /// Takes what has arrived.
    pub fn take_rest(&mut self, mut see: impl FnMut(&str, &str)) {
        while let Ok(message) = self.messages.try_recv() {
            let _ = self.client.try_ack(&message);
            see(&message.topic, &String::from_utf8_lossy(&message.payload));
        }
    }

    /// Ends the connection, not the session; what was acknowledged has arrived then.
    pub async fn leave(mut self) {
        self.client.disconnect().await.unwrap();
        tokio::time::timeout(PATIENCE, &mut self.task).await.expect("the connection ends").unwrap();
    }
}

fn fresh() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    u64::from(std::process::id()) << 20 | NEXT.fetch_add(1, Ordering::Relaxed)
}
