//! An external MQTT broker: where it is, and the handle to the tasks that talk to it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rumqttc::{MqttOptions, TlsConfiguration, Transport};
use secrecy::{ExposeSecret, SecretString};
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, error_span};
use vitalwire_access::DeviceId;

use super::client_id;
use super::collector::Collector;
use super::flight::INFLIGHT_MAX;
use super::queue::{Item, Shared};
use super::sender::Sender;
use super::status::Statuses;
use crate::feed::{Feed, Promise, WhenFull};
use crate::metrics::Metrics;
use crate::reading::Reading;
use crate::ticket::Share;
use crate::topics::{DeviceTopics, ROOT};

/// The largest message we send is a waveform of a whole channel: 5,000 values of at most 20 characters and a comma. One that
/// did not fit would end each connection again, and nothing would be published any more.
const PACKET_LEN_MAX: usize = 128 * 1024;
/// Also how soon a broker notices that this machine is gone (after one and a half of it).
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// How long a stop waits for what is to be sent; with the rest under the 2 s that a supervisor grants.
const STOP_PATIENCE: Duration = Duration::from_millis(700);

/// Where an external broker is and how to log in.
#[derive(Clone, Debug)]
pub struct ExternalBroker {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whether to speak TLS (`mqtts://`).
    pub tls: bool,
    /// User name; empty for none.
    pub username: String,
    /// Password.
    pub password: SecretString,
    /// Certificate authority (PEM) that signed the broker's certificate; the system's when absent.
    pub ca: Option<PathBuf>,
}

/// Why a broker URL was not understood.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum BrokerUrlError {
    #[error("`{0}` does not begin with mqtt:// or mqtts://")]
    Scheme(String),
    /// No host, or a path or password where none belongs.
    #[error("`{0}` is not of the form mqtt(s)://[user@]host[:port]; the password is given apart")]
    Form(String),
    #[error("cannot read the certificate authority {path}: {cause}", path = .path.display())]
    Ca { path: PathBuf, cause: std::io::Error },
}

impl ExternalBroker {
    /// Reads `mqtt(s)://[user@]host[:port]`; the port is 1883, or 8883 with TLS, when absent.
    ///
    /// # Errors
    /// [`BrokerUrlError`] for any other form, also for one with a password in it: a URL is seen in process lists.
    pub fn from_url(url: &str, password: SecretString) -> Result<Self, BrokerUrlError> {
        let (tls, rest) = match url.split_once("://") {
            Some(("mqtt", rest)) => (false, rest),
            Some(("mqtts", rest)) => (true, rest),
            _ => return Err(BrokerUrlError::Scheme(url.into())),
        };
        let form = || BrokerUrlError::Form(url.into());
        let (username, address) = rest.rsplit_once('@').unwrap_or(("", rest));
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) if !address.ends_with(']') => (host, port.parse().map_err(|_| form())?),
            _ => (address, if tls { 8883 } else { 1883 }),
        };
        let bare_host = host.trim_start_matches('[').trim_end_matches(']');
        if bare_host.is_empty() || username.contains(':') || rest.contains(['/', '?', '#']) {
            return Err(form());
        }
        Ok(Self { host: bare_host.into(), port, tls, username: username.into(), password, ca: None })
    }

    fn options(&self, client_id: &str) -> Result<MqttOptions, BrokerUrlError> {
        let mut options = MqttOptions::new(client_id, &self.host, self.port);
        options.set_keep_alive(KEEP_ALIVE).set_inflight(INFLIGHT_MAX);
        options.set_max_packet_size(PACKET_LEN_MAX, PACKET_LEN_MAX);
        options.set_pending_throttle(Duration::ZERO);
        if !self.username.is_empty() {
            options.set_credentials(&self.username, self.password.expose_secret());
        }
        if self.tls {
            let tls = match &self.ca {
                None => TlsConfiguration::Native,
                Some(path) => TlsConfiguration::SimpleNative {
                    ca: std::fs::read(path)
                        .map_err(|cause| BrokerUrlError::Ca { path: path.clone(), cause })?,
                    client_auth: None,
                },
            };
            options.set_transport(Transport::tls_with_config(tls));
        }
        Ok(options)
    }
}

/// A handle to the task that talks to the broker.
pub(super) struct External {
    shared: Arc<Shared>,
    tasks: TaskTracker,
    feed: Feed,
}

impl External {
    pub(super) fn start(
        broker: ExternalBroker,
        data: &Path,
        bytes_max: usize,
        feed: &Feed,
        metrics: &Metrics,
    ) -> Result<Self, BrokerUrlError> {
        let client_id = client_id::load_or_create(data);
        let options = broker.options(&client_id)?;
        let shared = Arc::new(Shared::new(bytes_max, metrics.clone()));
        let tasks = TaskTracker::new();
        let span = error_span!("publisher", broker = format!("{}:{}", broker.host, broker.port));
        let statuses = Statuses::new(options.clone(), tasks.clone());
        let reader = feed.subscribe_publisher(bytes_max, WhenFull::DropOldest);
        let collector = Collector::new(reader, Arc::clone(&shared), statuses);
        tasks.spawn(Sender::new(collector, options).run().instrument(span));
        Ok(Self { shared, tasks, feed: feed.clone() })
    }

    pub(super) fn is_connected(&self) -> bool {
        self.shared.connected.load(Ordering::Relaxed)
    }

    pub(super) fn backlog(&self, reading: Reading, share: Share) {
        let promise = Promise { share, is_durable: true };
        self.shared.enqueue_backlog(Item::Reading(Arc::new(reading), promise));
    }

    /// Lets go what waits of a device, also what is on its way and would be sent again.
    pub(super) fn erase(&self, device: &DeviceId) {
        self.feed.forget(device);
        self.shared.queue().erase(device);
        self.shared.take_away(&DeviceTopics::new(device).alarm);
        let (ours, papers) = (format!("{ROOT}/{device}/"), format!("Pico/{device}/"));
        self.shared.flight.erase(|topic| topic.starts_with(&ours) || topic.starts_with(&papers));
    }

    /// Sends what waits, as long as there is patience.
    pub(super) async fn stop(&self) {
        let is_empty = || self.shared.collected.load(Ordering::Acquire) && self.shared.queue().is_empty();
        let emptied = async {
            while !is_empty() {
                self.shared.emptied.notified().await;
            }
        };
        if tokio::time::timeout(STOP_PATIENCE, emptied).await.is_err() {
            let (durable, lost) = self.shared.queue().readings();
            tracing::info!(durable, "stopped while the broker was away: the next start publishes what waits");
            if lost > 0 {
                tracing::error!(
                    lost,
                    "stopped while neither broker nor journal took readings: they are lost"
                );
            }
        }
        self.shared.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(url: &str) -> Result<ExternalBroker, BrokerUrlError> {
        ExternalBroker::from_url(url, SecretString::from("p"))
    }

    #[test]
    fn reads_broker_urls() {
        let broker = url("mqtts://gateway@broker.example:8884").unwrap();
        assert_eq!((broker.host.as_str(), broker.port, broker.tls), ("broker.example", 8884, true));
        assert_eq!(broker.username, "gateway");
        assert_eq!(url("mqtt://[::1]").unwrap().host, "::1");
        assert_eq!(url("mqtt://localhost").unwrap().port, 1883);
        assert_eq!(url("mqtts://localhost").unwrap().port, 8883);
    }

    #[test]
    fn refuses_urls_with_a_password_or_a_path() {
        for wrong in ["mqtt://u:secret@h", "http://h", "mqtt://", "mqtt://h/topic", "mqtt://h:port", "h:1883"]
        {
            assert!(url(wrong).is_err(), "{wrong}");
        }
    }
}
