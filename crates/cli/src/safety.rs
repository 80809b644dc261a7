//! What `serve` refuses to do because it would expose patients or keys, each with the reason and the way out.
//! Judges settings and file modes; changes nothing.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use vitalwire_access::Networks;

use crate::config::{BrokerSettings, Settings, WebHookSettings};
use crate::listen::is_loopback;
use crate::mqtt::MqttUrl;

/// A setting that is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(
        "plain MQTT on {0} would send passwords and vital signs readable over the network. Keep --mqtt-listen on \
         127.0.0.1 and let others use TLS: --mqtt-tls-listen 0.0.0.0:8883. For a network in which no one listens in: \
         --allow-plain-mqtt CIDR"
    )]
    PlainMqtt(SocketAddr),
    #[error(
        "MQTT over plain WebSocket on {0} would send passwords and vital signs readable over the network. Keep \
         --mqtt-websocket-listen on 127.0.0.1 and put a TLS reverse proxy in front of it"
    )]
    PlainWebSocket(SocketAddr),
    #[error(
        "metrics on {0} would tell anyone on the network which devices are connected. Keep --metrics-listen on \
         127.0.0.1 and let the collector fetch them there or through a reverse proxy"
    )]
    Metrics(SocketAddr),
    #[error(
        "the dashboard on {0} would send passwords and vital signs readable over the network. Give it a certificate \
         (--dashboard-tls-cert FILE --dashboard-tls-key FILE, or a data folder made by `vitalwire init`), or keep \
         --dashboard-listen on 127.0.0.1"
    )]
    Dashboard(SocketAddr),
    /// A password over plain MQTT to another machine.
    #[error(
        "{0} would send the broker's password and all vital signs readable over the network. Use mqtts://. For an \
         address in a network in which no one listens in: --allow-plain-mqtt CIDR"
    )]
    PlainBroker(String),
    #[error(
        "the web hook {origin} would be told of alarms readable over the network. Use https://, or allow its host by \
         name where no one listens in: --webhook-allowed-hosts {host}"
    )]
    PlainWebHook { origin: String, host: String },
    #[error("{path} can be read by others (mode {mode:04o}): chmod 600 {path}")]
    OpenFile { path: String, mode: u32 },
    #[error("cannot read {path}: {reason}")]
    Unreadable { path: String, reason: String },
}

/// All that is unsafe in these settings; empty when they may be used.
pub(crate) fn refusals(settings: &Settings) -> Vec<Refusal> {
    let mut found = Vec::new();
    if let Some(address) = exposed(settings.metrics) {
        found.push(Refusal::Metrics(address));
    }
    if let Some(dashboard) = &settings.dashboard {
        match &dashboard.tls {
            Some(tls) => found.extend(check_secret_file(&tls.key).err()),
            None => found.extend(exposed(Some(dashboard.address)).map(Refusal::Dashboard)),
        }
    }
    match &settings.broker {
        BrokerSettings::Embedded { plain, tls, websocket, .. } => {
            // With a network that is allowed, the broker turns away who is outside of it.
            if settings.trust.plain_mqtt.is_empty() {
                found.extend(exposed(*plain).map(Refusal::PlainMqtt));
            }
            found.extend(exposed(*websocket).map(Refusal::PlainWebSocket));
            found.extend(tls.as_ref().and_then(|tls| check_secret_file(&tls.key).err()));
        }
        BrokerSettings::External { url, password_file, .. } => {
            found.extend(check_url(url, &settings.trust.plain_mqtt));
            found.extend(password_file.as_ref().and_then(|path| check_secret_file(path).err()));
        }
    }
    found.extend(settings.web_hooks.iter().flat_map(web_hook_refusals));
    found
}

/// All that is unsafe in the settings of web hooks.
pub(crate) fn web_hook_refusals(hooks: &WebHookSettings) -> Vec<Refusal> {
    let mut found: Vec<_> = check_secret_file(&hooks.secret_file).err().into_iter().collect();
    let plain = hooks.urls.iter().filter(|url| !url.is_tls() && !hooks.allowed_hosts.contains(url.host()));
    found
        .extend(plain.map(|url| Refusal::PlainWebHook { origin: url.origin(), host: url.host().to_owned() }));
    found
}

fn exposed(address: Option<SocketAddr>) -> Option<SocketAddr> {
    address.filter(|address| !is_loopback(address.ip()))
}

/// Refuses a broker URL that would carry a password readable over a network where that is not allowed.
pub(crate) fn check_url(url: &MqttUrl, allowed: &Networks) -> Option<Refusal> {
    url.exposes_password(allowed).then(|| Refusal::PlainBroker(url.to_string()))
}

/// Refuses a file with a secret that others than its owner and group can read.
pub(crate) fn check_secret_file(path: &Path) -> Result<(), Refusal> {
    let shown = || PathBuf::from(path).display().to_string();
    let metadata = std::fs::metadata(path)
        .map_err(|error| Refusal::Unreadable { path: shown(), reason: error.to_string() })?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o007 == 0 { Ok(()) } else { Err(Refusal::OpenFile { path: shown(), mode }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TlsSettings;

    fn settings(broker: BrokerSettings) -> Settings {
        Settings {
            batch_ms: None,
            alarm_timing: Default::default(),
            web_hooks: None,
            limits: Default::default(),
            journal: Default::default(),
            data: PathBuf::from("data"),
            master_key: None,
            devices: ([0, 0, 0, 0], 9998).into(),
            trust: Default::default(),
            broker,
            metrics: None,
            dashboard: None,
        }
    }

    fn embedded(plain: Option<SocketAddr>, websocket: Option<SocketAddr>) -> BrokerSettings {
        BrokerSettings::Embedded { plain, tls: None, websocket, limits: Default::default() }
    }

    #[test]
    fn devices_may_be_reached_from_everywhere() {
        assert_eq!(refusals(&settings(embedded(None, None))), []);
    }

    #[test]
    fn refuses_plain_mqtt_websocket_and_metrics_beyond_this_machine() {
        let open: SocketAddr = ([0, 0, 0, 0], 1883).into();
        let mut all = settings(embedded(Some(open), Some(open)));
        all.metrics = Some(open);
        let expected = [Refusal::Metrics(open), Refusal::PlainMqtt(open), Refusal::PlainWebSocket(open)];
        assert_eq!(refusals(&all), expected);
    }

    #[test]
    fn refuses_a_web_hook_that_others_can_read_and_a_secret_that_they_can() {
        let folder = tempfile::tempdir().unwrap();
        let secret_file = folder.path().join("secret");
        std::fs::write(&secret_file, "whsec_…").unwrap();
        std::fs::set_permissions(&secret_file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let mut all = settings(embedded(None, None));
        let urls = ["http://pager.ward/hook?key=1", "https://ward.example/hook"];
        all.web_hooks = Some(WebHookSettings {
            urls: urls.map(|url| url.parse().unwrap()).into(),
            secret_file: secret_file.clone(),
            tells_values: false,
            allowed_hosts: Default::default(),
            ca: None,
        });
        let (origin, host) = ("http://pager.ward".to_owned(), "pager.ward".to_owned());
        assert_eq!(refusals(&all), [Refusal::PlainWebHook { origin, host }]);
        all.web_hooks.as_mut().unwrap().allowed_hosts.insert("pager.ward".to_owned());
        assert_eq!(refusals(&all), []);
        std::fs::set_permissions(&secret_file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(refusals(&all)[..], [Refusal::OpenFile { .. }]));
    }

    #[test]
    fn a_dashboard_that_others_reach_has_tls_with_a_key_that_they_cannot_read() {
        let folder = tempfile::tempdir().unwrap();
        let tls =
            vitalwire_broker::generate_self_signed(folder.path(), &["ward.example".to_owned()]).unwrap();
        let mut all = settings(embedded(None, None));
        let open: SocketAddr = ([0, 0, 0, 0], 8443).into();
        let dashboard = |tls| crate::config::DashboardSettings {
            address: open,
            is_default: false,
            tls,
            hosts: Default::default(),
            proxies: Default::default(),
            sign_on: Default::default(),
            limits: Default::default(),
        };
        all.dashboard = Some(dashboard(None));
        assert_eq!(refusals(&all), [Refusal::Dashboard(open)]);
        all.dashboard = Some(dashboard(Some(tls.clone())));
        assert_eq!(refusals(&all), []);
        std::fs::set_permissions(&tls.key, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(refusals(&all)[..], [Refusal::OpenFile { .. }]));
    }

    #[test]
    fn loopback_is_allowed() {
        let here = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        let mut all = settings(embedded(here, here));
        all.metrics = here;
        assert_eq!(refusals(&all), []);
    }

    #[test]
    fn networks_that_are_allowed_open_plain_mqtt_and_nothing_else() {
        let open: SocketAddr = ([0, 0, 0, 0], 1883).into();
        let mut all = settings(embedded(Some(open), Some(open)));
        all.trust.plain_mqtt = "172.20.0.0/16".parse().unwrap();
        assert_eq!(refusals(&all), [Refusal::PlainWebSocket(open)]);
        let external = |url: &str| {
            let url = url.parse().unwrap();
            let mut all = settings(BrokerSettings::External { url, ca: None, password_file: None });
            all.trust.plain_mqtt = "172.20.0.0/16".parse().unwrap();
            refusals(&all)
        };
        assert_eq!(external("mqtt://gateway@172.20.0.20"), []);
        assert!(matches!(external("mqtt://gateway@172.21.0.20")[..], [Refusal::PlainBroker(_)]));
    }

    #[test]
    fn refuses_password_over_plain_mqtt_to_another_machine() {
        let external = |url: &str| {
            settings(BrokerSettings::External { url: url.parse().unwrap(), ca: None, password_file: None })
        };
        assert!(matches!(refusals(&external("mqtt://gateway@10.1.2.3"))[..], [Refusal::PlainBroker(_)]));
        assert_eq!(refusals(&external("mqtts://gateway@10.1.2.3")), []);
        assert_eq!(refusals(&external("mqtt://gateway@127.0.0.1")), []);
    }

    #[test]
    fn refuses_a_key_that_others_can_read_and_says_chmod() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key.pem");
        std::fs::write(&key, "secret").unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
        let tls =
            TlsSettings { address: ([0, 0, 0, 0], 8883).into(), certificate: key.clone(), key: key.clone() };
        let all = settings(BrokerSettings::Embedded {
            plain: None,
            tls: Some(tls),
            websocket: None,
            limits: Default::default(),
        });
        let found = refusals(&all);
        assert!(matches!(found[..], [Refusal::OpenFile { mode: 0o644, .. }]), "{found:?}");
        assert!(found[0].to_string().contains("chmod 600"));
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(refusals(&all), []);
    }
}
