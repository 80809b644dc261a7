//! An MQTT client that sees what subscribers see.

use std::collections::HashMap;
use std::time::Duration;

use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
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

fn fresh() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    u64::from(std::process::id()) << 20 | NEXT.fetch_add(1, Ordering::Relaxed)
}
