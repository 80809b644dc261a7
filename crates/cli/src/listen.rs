//! An address to listen on, or the wish not to listen. Opens nothing.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::Deserialize;

/// Where to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listen {
    /// Not at all.
    Off,
    /// There; port 0 lets the system choose.
    At(SocketAddr),
}

/// A text that is no address.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no address to listen on: write IP:PORT such as 127.0.0.1:1883 (port 0 lets the system choose), or off"
)]
pub(crate) struct ListenError {
    text: String,
}

impl Listen {
    pub(crate) fn address(self) -> Option<SocketAddr> {
        match self {
            Self::Off => None,
            Self::At(address) => Some(address),
        }
    }
}

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(Self::Off);
        }
        text.parse().map(Self::At).map_err(|_| ListenError { text: text.to_owned() })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::At(address) => address.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Whether only this machine can reach the address.
pub(crate) fn is_loopback(ip: IpAddr) -> bool {
    // An IPv4 address in IPv6 dress is judged as what it is.
    ip.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses_and_off() {
        assert_eq!("off".parse(), Ok(Listen::Off));
        assert_eq!("127.0.0.1:0".parse(), Ok(Listen::At(([127, 0, 0, 1], 0).into())));
        assert!("[::1]:1883".parse::<Listen>().is_ok());
    }

    #[test]
    fn refusal_says_what_to_write() {
        let message = "1883".parse::<Listen>().unwrap_err().to_string();
        assert!(message.contains("`1883`") && message.contains("IP:PORT"), "{message}");
    }

    #[test]
    fn mapped_loopback_is_loopback() {
        assert!(is_loopback("::ffff:127.0.0.1".parse().unwrap()));
        assert!(is_loopback("::1".parse().unwrap()));
        assert!(!is_loopback("0.0.0.0".parse().unwrap()));
        assert!(!is_loopback("::".parse().unwrap()));
    }
}
