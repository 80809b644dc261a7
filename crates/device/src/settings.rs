//! What a person sets on the configuration page: the server and the Wi-Fi network. One encoding, in CBOR, serves the page
//! and the flash.

use heapless::{String, Vec};
use minicbor::encode::write::Cursor;
use minicbor::{Decoder, Encoder};
use zeroize::Zeroize;

/// Bytes of a server's name or address, at most (RFC 1035 §2.3.4, without the final dot).
pub const SERVER_LEN_MAX: usize = 253;
/// Bytes of a network's name, at most (IEEE 802.11 §9.4.2.2). They need not be text.
pub const WIFI_NAME_LEN_MAX: usize = 32;
/// Bytes of a network's password, at most (WPA2: 8 to 63 printable ASCII characters, or 64 hexadecimal digits). Empty: an
/// open network.
pub const WIFI_PASSWORD_LEN_MAX: usize = 64;
/// Bytes of encoded settings, at most: the items at their longest, each with its head.
pub const ENCODED_LEN_MAX: usize =
    1 + (2 + SERVER_LEN_MAX) + 3 + (2 + WIFI_NAME_LEN_MAX) + (2 + WIFI_PASSWORD_LEN_MAX);
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

/// Why settings are refused. A person reads it on the configuration page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum SettingsError {
    /// Not CBOR of the form `[text, number, bytes, text]`.
    #[error("the settings are not of the form that this firmware reads; reload the page and save again")]
    Form,
    #[error("the server's address has {len} characters; it needs 1 to {SERVER_LEN_MAX}")]
    ServerLength { len: usize },
    #[error(
        "the server's address is neither an IPv4 address such as 192.168.1.20 nor a name of letters, digits, dots and inner dashes"
    )]
    Server,
    #[error("the server's port is {port}; it must be between 1 and 65535")]
    Port { port: u64 },
    #[error("the Wi-Fi name has {len} bytes; it needs 1 to {WIFI_NAME_LEN_MAX}")]
    WifiNameLength { len: usize },
    #[error(
        "the Wi-Fi password must have 8 to 63 ordinary characters or 64 hexadecimal digits, or be empty for an open network"
    )]
    WifiPassword,
    #[error("the settings do not fit into {available} bytes")]
    OutputTooSmall { available: usize },
}

impl Settings {
    /// Settings of these parts.
    ///
    /// # Errors
    /// A part outside its limits.
    pub fn new(
        server: &str,
        port: u64,
        wifi_name: &[u8],
        wifi_password: &str,
    ) -> Result<Self, SettingsError> {
        check_server(server)?;
        let port = u16::try_from(port).ok().filter(|port| *port != 0).ok_or(SettingsError::Port { port })?;
        if wifi_name.is_empty() {
            return Err(SettingsError::WifiNameLength { len: 0 });
        }
        if !is_wifi_password(wifi_password) {
            return Err(SettingsError::WifiPassword);
        }
        Ok(Self {
            server: String::try_from(server)
                .map_err(|_| SettingsError::ServerLength { len: server.len() })?,
            port,
            wifi_name: Vec::from_slice(wifi_name)
                .map_err(|_| SettingsError::WifiNameLength { len: wifi_name.len() })?,
            wifi_password: String::try_from(wifi_password).map_err(|_| SettingsError::WifiPassword)?,
        })
    }

    /// Reads the CBOR array `[server, port, wifi name, wifi password]`. What follows the four is ignored, so that a later
    /// page can say more.
    ///
    /// # Errors
    /// Another form, or a part outside its limits.
    pub fn decode(bytes: &[u8]) -> Result<Self, SettingsError> {
        let form = |_| SettingsError::Form;
        let mut decoder = Decoder::new(bytes);
        if decoder.array().map_err(form)?.is_some_and(|items| items < 4) {
            return Err(SettingsError::Form);
        }
        let server = decoder.str().map_err(form)?;
        let port = decoder.u64().map_err(form)?;
        let wifi_name = decoder.bytes().map_err(form)?;
        let wifi_password = decoder.str().map_err(form)?;
        Self::new(server, port, wifi_name, wifi_password)
    }

    /// Writes that array into `out` and returns its length, at most [`ENCODED_LEN_MAX`].
    ///
    /// # Errors
    /// `out` is too small.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, SettingsError> {
        let available = out.len();
        let mut encoder = Encoder::new(Cursor::new(out));
        let mut write = || {
            encoder
                .array(4)?
                .str(&self.server)?
                .u16(self.port)?
                .bytes(&self.wifi_name)?
                .str(&self.wifi_password)?
                .ok()
        };
        write().map_err(|_| SettingsError::OutputTooSmall { available })?;
        Ok(encoder.writer().position())
    }
}

/// An IPv4 address or a host's name (RFC 1123 §2.1). A name whose last part is a number would be an address (RFC 3696 §2),
/// so it must be one.
fn check_server(server: &str) -> Result<(), SettingsError> {
    if server.is_empty() || server.len() > SERVER_LEN_MAX {
        return Err(SettingsError::ServerLength { len: server.len() });
    }
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let is_good = if server.rsplit('.').next().is_some_and(is_number) {
        server.parse::<core::net::Ipv4Addr>().is_ok()
    } else {
        server.split('.').all(is_label)
    };
    if is_good { Ok(()) } else { Err(SettingsError::Server) }
}

/// Up to 63 letters, digits and inner dashes (RFC 1035 §2.3.1).
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// Empty, a passphrase, or a key in hexadecimal digits (IEEE 802.11 annex J.4).
fn is_wifi_password(password: &str) -> bool {
    match password.len() {
        0 => true,
        8..=63 => password.bytes().all(|byte| matches!(byte, b' '..=b'~')),
        64 => password.bytes().all(|byte| byte.is_ascii_hexdigit()),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
