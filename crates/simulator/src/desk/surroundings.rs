//! What is around the desk device: made-up Wi-Fi networks, and where its configuration page really is.

use std::net::SocketAddr;

use vitalwire_device::modem::ACCESS_POINT_ADDRESS;
use vitalwire_device::settings::Settings;
use vitalwire_device::setup::PORT;

use crate::modem::{Network, Surroundings};

/// The networks in reach: name, whether they have a password, and how strongly they are received, in dBm.
const NETWORKS: [(&str, bool, i8); 4] =
    [("Ward 3", true, -47), ("Clinic-Guest", false, -58), ("Öffentlich", true, -71), ("Lift 2", true, -83)];
/// The password of a network that no one has chosen yet: no one guesses it.
const NOT_CHOSEN: &str = "no one has chosen this network yet";
/// How strongly a network is received that a person named.
const NAMED_RSSI_DBM: i8 = -65;

/// The networks in reach of a device with these settings. Every name and password that a person chose is right, but with
/// `password` only that one is, and only the listed names are.
pub(super) fn networks(settings: Option<&Settings>, password: Option<&str>) -> Vec<Network> {
    let mut networks: Vec<_> = NETWORKS
        .iter()
        .map(|(name, is_secured, rssi_dbm)| Network {
            name: name.as_bytes().to_vec(),
            password: if *is_secured { password.unwrap_or(NOT_CHOSEN) } else { "" }.to_owned(),
            rssi_dbm: *rssi_dbm,
        })
        .collect();
    if let (Some(settings), None) = (settings, password) {
        let chosen = settings.wifi_password.as_str().to_owned();
        match networks.iter_mut().find(|network| network.name == settings.wifi_name.as_slice()) {
            Some(network) => network.password = chosen,
            None => networks.push(Network {
                name: settings.wifi_name.to_vec(),
                password: chosen,
                rssi_dbm: NAMED_RSSI_DBM,
            }),
        }
    }
    networks
}

/// The modem's surroundings: its web server is really at `page`.
pub(super) fn surroundings(networks: Vec<Network>, page: SocketAddr) -> Surroundings {
    Surroundings { networks, tcp_ports: [(PORT, page)].into(), ..Surroundings::default() }
}

/// The names that browsers give for the page's address: it, `localhost`, and a real device's, for a browser that was told that
/// it is here.
pub(super) fn hosts(page: SocketAddr) -> Vec<String> {
    let mut hosts = vec![page.to_string()];
    if page.ip().is_loopback() {
        hosts.push(format!("localhost:{}", page.port()));
    }
    hosts.push(ACCESS_POINT_ADDRESS.to_owned());
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(name: &str, password: &str) -> Settings {
        Settings {
            server: "10.0.0.1".try_into().unwrap(),
            port: 9_998,
            wifi_name: name.as_bytes().try_into().unwrap(),
            wifi_password: password.try_into().unwrap(),
        }
    }

    fn password_of(networks: &[Network], name: &str) -> Option<String> {
        networks
            .iter()
            .find(|network| network.name == name.as_bytes())
            .map(|network| network.password.clone())
    }

    #[test]
    fn what_a_person_chose_is_right_unless_a_password_is_given() {
        for (name, password) in [("Ward 3", "12345678"), ("my own", "abcdefgh"), ("my own", "")] {
            let found = networks(Some(&settings(name, password)), None);
            assert_eq!(password_of(&found, name).as_deref(), Some(password));
        }
        let found = networks(Some(&settings("my own", "12345678")), Some("the right one"));
        assert_eq!(password_of(&found, "my own"), None);
        assert_eq!(password_of(&found, "Ward 3").as_deref(), Some("the right one"));
        assert_eq!(password_of(&found, "Clinic-Guest").as_deref(), Some(""));
    }

    #[test]
    fn a_browser_may_say_localhost_or_a_real_device_s_address() {
        let hosts = |page: &str| hosts(page.parse().unwrap());
        assert_eq!(hosts("127.0.0.1:8080"), ["127.0.0.1:8080", "localhost:8080", "192.168.4.1"]);
        assert_eq!(hosts("10.0.0.5:80"), ["10.0.0.5:80", "192.168.4.1"]);
    }
}
