//! Where browsers find the dashboard, as the settings say. Opens no socket.

use std::net::SocketAddr;

use anyhow::{Context, bail};

use crate::config::DashboardSettings;
use crate::listen::is_loopback;

/// Its address without a path: by the first of the names that the operator gave, else by the first of the certificate's, else by
/// that which it listens at.
///
/// # Errors
/// When there is no dashboard, the system chooses its port, or the certificate cannot be read.
pub(crate) fn address(settings: Option<&DashboardSettings>) -> anyhow::Result<String> {
    let settings =
        settings.context("the dashboard is off: set dashboard.listen, or name its address with --url")?;
    let port = settings.address.port();
    if let Some(host) = settings.hosts.first() {
        // Without TLS of our own these are the names of a proxy that has it.
        return Ok(format!("https://{host}"));
    }
    if port == 0 {
        bail!(
            "the system chooses the port of dashboard.listen: name the dashboard's address with --url http://HOST:PORT"
        );
    }
    let Some(tls) = &settings.tls else { return Ok(format!("http://{}", settings.address)) };
    let certificate = tls.names()?;
    // One with a star is none that a browser could open.
    let name = certificate.iter().find(|name| !name.contains('*')).map_or("localhost", String::as_str);
    Ok(format!("https://{}{}", bracketed(name), if port == 443 { String::new() } else { format!(":{port}") }))
}

/// What a person is told of where it listens.
pub(crate) fn meaning(listens: SocketAddr, is_tls: bool) -> String {
    let scheme = if is_tls { "https" } else { "http" };
    let whom = if is_loopback(listens.ip()) { ", this machine only" } else { "" };
    format!("{scheme}://{listens}/{whom}")
}

/// Whether a text is a web site's address without a path.
pub(crate) fn is_address(text: &str) -> bool {
    text.parse::<vitalwire_access::Origin>().is_ok()
}

fn bracketed(name: &str) -> String {
    if name.contains(':') { format!("[{name}]") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use vitalwire_broker::generate_self_signed;

    use super::*;

    fn settings(listen: &str, hosts: Option<&str>) -> DashboardSettings {
        DashboardSettings {
            address: listen.parse().unwrap(),
            is_default: false,
            hosts: hosts.map(|hosts| hosts.parse().unwrap()).unwrap_or_default(),
            proxies: Default::default(),
            sign_on: Default::default(),
            tls: None,
            limits: Default::default(),
        }
    }

    #[test]
    fn it_is_found_by_what_the_operator_and_the_certificate_say() {
        assert_eq!(address(Some(&settings("127.0.0.1:8080", None))).unwrap(), "http://127.0.0.1:8080");
        let proxied = settings("127.0.0.1:8080", Some("ward.example, ward.example:8443"));
        assert_eq!(address(Some(&proxied)).unwrap(), "https://ward.example");
        let folder = tempfile::tempdir().unwrap();
        let names = ["*.ward.example", "ward7.example", "10.1.2.3"].map(str::to_owned);
        let identity = generate_self_signed(folder.path(), &names).unwrap();
        let mut own = settings("0.0.0.0:8443", None);
        own.tls = Some(identity);
        assert_eq!(address(Some(&own)).unwrap(), "https://ward7.example:8443");
        own.address.set_port(443);
        assert_eq!(address(Some(&own)).unwrap(), "https://ward7.example");
        own.tls = Some(generate_self_signed(folder.path(), &["::1".to_owned()]).unwrap());
        assert_eq!(address(Some(&own)).unwrap(), "https://[::1]");
    }

    #[test]
    fn without_an_address_it_says_what_to_name() {
        assert!(address(None).unwrap_err().to_string().contains("--url"));
        assert!(address(Some(&settings("127.0.0.1:0", None))).unwrap_err().to_string().contains("--url"));
        for wrong in ["ward.example", "https://ward.example/path", "ftp://a", ""] {
            assert!(!is_address(wrong), "{wrong}");
        }
        assert!(is_address("https://ward.example:8443"));
    }
}
