//! The MQTT client side: broker URLs, and what a refused connection means in plain words. Never holds a password
//! in a URL, where every process list would show it.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail};
use rumqttc::{ConnectReturnCode, ConnectionError, MqttOptions, TlsConfiguration, Transport};
use secrecy::{ExposeSecret, SecretString};
use vitalwire_access::Networks;

use crate::listen::is_loopback;

/// Largest message that is taken, in bytes; rumqttc's own limit of 10 KiB is below what MQTT users send.
const PACKET_LEN_MAX: usize = 256 * 1024;
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Where a broker is, and as whom to speak to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MqttUrl {
    pub(crate) tls: bool,
    pub(crate) user: Option<String>,
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// Why a text is no broker URL.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MqttUrlError {
    #[error("`{0}` is no MQTT URL: write mqtt://USER@HOST:PORT, or mqtts://USER@HOST:PORT for TLS")]
    Scheme(String),
    #[error(
        "a password in a URL shows in every process list: set VITALWIRE_MQTT_PASSWORD or use a password file"
    )]
    Password,
    #[error("the URL names no host: write mqtt://USER@HOST:PORT")]
    Host,
    #[error("`{0}` is no port: write a number from 1 to 65535, or leave it out (1883, with TLS 8883)")]
    Port(String),
}

impl FromStr for MqttUrl {
    type Err = MqttUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (tls, rest) = if let Some(rest) = text.strip_prefix("mqtt://") {
            (false, rest)
        } else if let Some(rest) = text.strip_prefix("mqtts://") {
            (true, rest)
        } else {
            // A password may stand in it: show only what precedes an `@`-sign's userinfo.
            return Err(MqttUrlError::Scheme(text.rsplit('@').next().unwrap_or_default().to_owned()));
        };
        let (user, address) = match rest.rsplit_once('@') {
            Some((user, _)) if user.contains(':') => return Err(MqttUrlError::Password),
            Some((user, address)) => (Some(user.to_owned()).filter(|user| !user.is_empty()), address),
            None => (None, rest),
        };
        let address = address.trim_end_matches('/');
        let (host, port) = split_port(address)?;
        if host.is_empty() || host.contains('/') {
            return Err(MqttUrlError::Host);
        }
        let port = port.unwrap_or(if tls { 8883 } else { 1883 });
        Ok(Self { tls, user, host: host.to_owned(), port })
    }
}

fn split_port(address: &str) -> Result<(&str, Option<u16>), MqttUrlError> {
    let (host, port) = if let Some(rest) = address.strip_prefix('[') {
        let (host, tail) = rest.split_once(']').ok_or(MqttUrlError::Host)?;
        (host, tail.strip_prefix(':'))
    } else {
        match address.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        }
    };
    let port = port
        .map(|text| match text.parse() {
            Ok(0) | Err(_) => Err(MqttUrlError::Port(text.to_owned())),
            Ok(port) => Ok(port),
        })
        .transpose()?;
    Ok((host, port))
}

impl fmt::Display for MqttUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "mqtts" } else { "mqtt" };
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{scheme}://{open}{}{close}:{}", self.host, self.port)
    }
}

impl MqttUrl {
    /// The whole URL. `Display` leaves the user out.
    pub(crate) fn with_user(&self) -> String {
        match &self.user {
            Some(user) => self.to_string().replacen("://", &format!("://{user}@"), 1),
            None => self.to_string(),
        }
    }

    /// Whether a password sent to this broker can be read on the way, elsewhere than in the networks where that is allowed. A
    /// name is in none: what it stands for may change.
    pub(crate) fn exposes_password(&self, allowed: &Networks) -> bool {
        let is_allowed = || self.host.parse().is_ok_and(|ip| allowed.contains(ip));
        !self.tls && !names_this_machine(&self.host) && !is_allowed()
    }

    /// Connection options for a client with a clean session.
    ///
    /// # Errors
    /// When the CA file cannot be read.
    pub(crate) fn options(
        &self,
        client_id: &str,
        password: &SecretString,
        ca: Option<&Path>,
    ) -> anyhow::Result<MqttOptions> {
        let mut options = MqttOptions::new(client_id, &self.host, self.port);
        options
            .set_keep_alive(KEEP_ALIVE)
            .set_clean_session(true)
            .set_max_packet_size(PACKET_LEN_MAX, PACKET_LEN_MAX);
        if let Some(user) = &self.user {
            options.set_credentials(user, password.expose_secret());
        }
        if self.tls {
            options.set_transport(Transport::Tls(tls_configuration(ca)?));
        } else if ca.is_some() {
            bail!("--ca is for mqtts:// URLs; this one is {self}");
        }
        Ok(options)
    }
}

/// Whether what is sent there stays on this machine.
pub(crate) fn names_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(is_loopback)
}

fn tls_configuration(ca: Option<&Path>) -> anyhow::Result<TlsConfiguration> {
    let Some(path) = ca else { return Ok(TlsConfiguration::Native) };
    let ca = std::fs::read(path)
        .with_context(|| format!("cannot read the CA certificate {}", PathBuf::from(path).display()))?;
    Ok(TlsConfiguration::SimpleNative { ca, client_auth: None })
}

/// A failed connection in words that say what to do; `None` when it is worth trying again.
pub(crate) fn fatal_reason(error: &ConnectionError, url: &MqttUrl) -> Option<String> {
    match error {
        ConnectionError::ConnectionRefused(
            ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized,
        ) => Some(format!(
            "{url} refuses the login of {}: check name and password (`vitalwire user list`, `vitalwire user password`)",
            url.user.as_deref().unwrap_or("nobody")
        )),
        ConnectionError::ConnectionRefused(code @ ConnectReturnCode::BadClientId) => {
            Some(format!("{url} refuses this client: {code:?}"))
        }
        ConnectionError::Tls(error) => Some(format!(
            "no secure connection to {url}: {error}. If its certificate is self-signed, name it with --ca FILE"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> MqttUrl {
        text.parse().unwrap()
    }

    #[test]
    fn reads_user_host_and_port() {
        let read = url("mqtt://nurse@127.0.0.1:2883");
        assert_eq!((read.user.as_deref(), read.host.as_str(), read.port), (Some("nurse"), "127.0.0.1", 2883));
        assert_eq!(url("mqtts://ward.example").port, 8883);
        assert_eq!(url("mqtt://[::1]:1884/").host, "::1");
    }

    #[test]
    fn refuses_password_in_url_without_repeating_it() {
        let error = "mqtt://nurse:geheim@host".parse::<MqttUrl>().unwrap_err();
        assert_eq!(error, MqttUrlError::Password);
        let error = "http://nurse:geheim@host".parse::<MqttUrl>().unwrap_err();
        assert!(!error.to_string().contains("geheim"), "{error}");
    }

    #[test]
    fn refuses_missing_host_and_bad_port() {
        assert_eq!("mqtt://nurse@".parse::<MqttUrl>(), Err(MqttUrlError::Host));
        assert!(matches!("mqtt://host:0".parse::<MqttUrl>(), Err(MqttUrlError::Port(_))));
        assert!(matches!("mqtt://host:x".parse::<MqttUrl>(), Err(MqttUrlError::Port(_))));
    }

    #[test]
    fn only_tls_this_machine_and_allowed_addresses_keep_a_password() {
        let exposes = |text: &str, allowed: &Networks| url(text).exposes_password(allowed);
        let none = Networks::default();
        for (text, exposed) in [
            ("mqtt://a@10.0.0.1", true),
            ("mqtt://a@broker.example", true),
            ("mqtts://a@broker.example", false),
            ("mqtt://a@localhost", false),
            ("mqtt://a@[::1]", false),
        ] {
            assert_eq!(exposes(text, &none), exposed, "{text}");
        }
        let paper: Networks = "172.20.0.0/16".parse().unwrap();
        assert!(!exposes("mqtt://a@172.20.0.20", &paper));
        for text in ["mqtt://a@172.21.0.20", "mqtt://a@emqx", "mqtt://a@172.20.0.20.example"] {
            assert!(exposes(text, &paper), "{text}");
        }
    }
}
