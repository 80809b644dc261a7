//! What a person sets on the configuration page: the server and the Wi-Fi network. One encoding, in CBOR, serves the page
//! and the flash.

use heapless::{String, Vec};
use zeroize::Zeroize;

/// Bytes of a server's name or address, at most (RFC 1035 §2.3.4, without the final dot).
pub const SERVER_LEN_MAX: usize = 253;
/// Bytes of a network's name, at most (IEEE 802.11 §9.4.2.2). They need not be text.
pub const WIFI_NAME_LEN_MAX: usize = 32;
/// Bytes of a network's password, at most (WPA2: 8 to 63 printable ASCII characters, or 64 hexadecimal digits). Empty: an
/// open network.
pub const WIFI_PASSWORD_LEN_MAX: usize = 64;
/// The port that the server listens on unless told otherwise.
pub const SERVER_PORT_DEFAULT: u16 = 9_998;

/// The settings of a device. Printing them shows no password.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// The server's name or IPv4 address.
    pub server: String<SERVER_LEN_MAX>,
    /// Its port.
    pub port: u16,
    /// The network's name.
    pub wifi_name: Vec<u8, WIFI_NAME_LEN_MAX>,
    /// The network's password, empty for an open one.
    pub wifi_password: String<WIFI_PASSWORD_LEN_MAX>,
}

impl core::fmt::Debug for Settings {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { server, port, wifi_name, wifi_password: _ } = self;
        f.debug_struct("Settings")
            .field("server", server)
            .field("port", port)
            .field("wifi_name", wifi_name)
            .finish_non_exhaustive()
    }
}

impl Drop for Settings {
    fn drop(&mut self) {
        self.wifi_password.zeroize();
    }
}
