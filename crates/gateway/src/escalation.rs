//! Escalations to people who are elsewhere: alarms that no one acknowledged go to web hooks. What is due is decided by
//! `surveillance`, which also tells the MQTT topic `vitalwire/v1/escalation`; here it is handed on (PROTOCOL.md §3.5).
//!
//! Delivery is at least once: whoever hands on does so again after a restart for what is still open (see [`WebHooks::hand`]).
//! Nothing here waits for a receiver but that receiver's own job ([`Target`]). No patient's name is ever sent, and values only
//! where the settings say so; to an address of this machine or of a private network only where they allow its host by name.

mod address;
mod client;
mod message;
mod queue;
mod secret;
mod target;
mod url;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;

use self::client::Client;
pub use self::client::{WebHookError, WebHookFailure};
use self::message::PatientValues;
use self::queue::Pace;
pub use self::secret::{HookSecret, HookSecretError};
pub(crate) use self::target::Target;
pub use self::url::{WebHookUrl, WebHookUrlError};
use crate::alarms::AlarmChange;
use crate::metrics::Metrics;

/// What waits until the job of a web hook has room for it. What comes when it is full is dropped, counted, and logged.
const HANDED_MAX: usize = 1_024;

/// Web hooks, and what they may be told.
#[derive(Clone, Debug)]
pub struct WebHookConfig {
    /// Where they are.
    pub urls: Vec<WebHookUrl>,
    /// The secret of their signatures.
    pub secret: HookSecret,
    /// Whether a patient's values are sent, too.
    pub tells_values: bool,
    /// Hosts that may be on this machine or in a private network, and that may be called without TLS; in lower case.
    pub allowed_hosts: BTreeSet<String>,
    /// Who vouches for their certificates, in PEM; the system's authorities when absent.
    pub ca: Option<PathBuf>,
}

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
    /// A person tries whether it arrives.
    Test {
        /// Now.
        time_us: i64,
    },
}

impl Escalation {
    /// A text that is the same for the same happening, also after a restart: of an alarm the time of this escalation, as the
    /// registry keeps it. An alarm that became more urgent is escalated again.
    pub(crate) fn identity(&self) -> String {
        match self {
            Self::Alarm(AlarmChange { device, time_us, change }) => {
                let device = device.as_ref().map(ToString::to_string).unwrap_or_default();
                let number = change.alarm().map_or(0, |alarm| alarm.number);
                format!("alarm {device} {number} {time_us}")
            }
            Self::ManyOffline { since_us, .. } => format!("offline {since_us}"),
            Self::Test { time_us } => format!("test {time_us}"),
        }
    }
}

/// Hands escalations to web hooks. Clones are the same.
#[derive(Clone)]
pub(crate) struct WebHooks {
    hooks: Arc<[Hook]>,
    metrics: Metrics,
}

struct Hook {
    origin: String,
    handed: mpsc::Sender<Arc<Escalation>>,
}

impl WebHooks {
    /// With their jobs, which are to be run.
    ///
    /// # Errors
    /// When the certificates of those who vouch for them cannot be read.
    pub(crate) fn new(
        config: Option<&WebHookConfig>,
        metrics: &Metrics,
    ) -> Result<(Self, Vec<Target>), WebHookError> {
        let (mut hooks, mut targets) = (Vec::new(), Vec::new());
        for client in config.map(clients).transpose()?.unwrap_or_default() {
            let Some(config) = config else { continue };
            let (handed, received) = mpsc::channel(HANDED_MAX);
            hooks.push(Hook { origin: client.origin(), handed });
            targets.push(Target {
                client,
                secret: config.secret.clone(),
                values: config.values(),
                received,
                metrics: metrics.clone(),
                pace: Pace::default(),
            });
        }
        Ok((Self { hooks: hooks.into(), metrics: metrics.clone() }, targets))
    }

    /// Hands one on, and never waits. At the start of a server: again for each open alarm that calls and was escalated before, as
    /// its delivery may not have been over. Whoever gets it twice knows it by its id.
    pub(crate) fn hand(&self, escalation: Escalation) {
        let escalation = Arc::new(escalation);
        for hook in self.hooks.iter() {
            if hook.handed.try_send(Arc::clone(&escalation)).is_err() {
                dropped(&self.metrics, &hook.origin);
            }
        }
    }
}

impl WebHookConfig {
    fn values(&self) -> PatientValues {
        if self.tells_values { PatientValues::Told } else { PatientValues::Withheld }
    }

    /// Whether the settings allow a web hook's host by name.
    #[must_use]
    pub fn allows(&self, url: &WebHookUrl) -> bool {
        self.allowed_hosts.contains(url.host())
    }
}

fn clients(config: &WebHookConfig) -> Result<Vec<Client>, WebHookError> {
    let tls = client::tls(config.ca.as_deref())?;
    let of =
        |url: &WebHookUrl| Client::new(url.clone(), config.secret.clone(), config.allows(url), tls.clone());
    Ok(config.urls.iter().map(of).collect())
}

/// Counts and logs what there was no room for.
fn dropped(metrics: &Metrics, hook: &str) {
    metrics.web_hooks_dropped.inc();
    tracing::error!(hook, "too much waits for this web hook: an escalation was dropped");
}

/// Sends a test message to each web hook, once; where each is, and what came of it.
///
/// # Errors
/// When the certificates of those who vouch for them cannot be read.
pub async fn test_web_hooks(
    config: &WebHookConfig,
) -> Result<Vec<(String, Result<(), WebHookFailure>)>, WebHookError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let escalation = Escalation::Test { time_us: i64::try_from(now.as_micros()).unwrap_or(i64::MAX) };
    let delivery = target::delivery(&escalation, &config.secret, PatientValues::Withheld);
    let mut results = Vec::new();
    for client in clients(config)? {
        let result = client.attempt(&delivery).await;
        results.push((client.origin(), result));
    }
    Ok(results)
}

#[cfg(test)]
mod tests;
