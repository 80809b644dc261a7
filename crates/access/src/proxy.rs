//! Whose address a connection has that comes through a proxy: the header of the PROXY protocol, version 2 (haproxy,
//! `doc/proxy-protocol.txt` §2.2), and `X-Forwarded-For`. Only proxies that the operator named are asked: what anyone
//! else writes about their own address means nothing.
//!
//! Of a header the source address is read and nothing else; its TLVs, a checksum among them, are skipped.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use crate::network::{Network, NetworkError, Networks};

/// What every header begins with, in bytes: signature, command, family and the length of the rest.
pub const PROXY_PREFIX_LEN: usize = 16;
/// The longest rest of a header that is read. Addresses take 36 bytes, haproxy's TLVs about 300 more.
pub const PROXY_REST_LEN_MAX: usize = 2_048;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
const UNSPECIFIED: u8 = 0x00;
const TCP_IPV4: u8 = 0x11;
const TCP_IPV6: u8 = 0x21;
const UNIX_STREAM: u8 = 0x31;

/// Why a named proxy's connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ProxyError {
    #[error(
        "a proxy named in the settings sent no PROXY protocol version 2 header; turn it on there (haproxy: send-proxy-v2)"
    )]
    NoHeader,
    #[error("the PROXY header has the version and command {0:#04x}; known are 0x20 and 0x21")]
    Command(u8),
    #[error("the PROXY header has the family and protocol {0:#04x}, which is not TCP")]
    Family(u8),
    #[error("the PROXY header announces {0} bytes; at most {PROXY_REST_LEN_MAX} are read")]
    TooLong(usize),
    #[error("the PROXY header ends within its addresses")]
    CutOff,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Ipv4,
    Ipv6,
    Other,
}

/// The first [`PROXY_PREFIX_LEN`] bytes of a header, which say how long the rest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProxyPrefix {
    family: Family,
    rest_len: usize,
}

impl ProxyPrefix {
    /// Reads the prefix.
    ///
    /// # Errors
    /// When it begins no header, or one that is not understood.
    pub fn decode(bytes: &[u8; PROXY_PREFIX_LEN]) -> Result<Self, ProxyError> {
        let [signature @ .., command, family, high, low] = bytes;
        if *signature != SIGNATURE {
            return Err(ProxyError::NoHeader);
        }
        let family = match (*command, *family) {
            // The proxy's own connection, to see whether we live: it keeps the proxy's address.
            (LOCAL, _) | (PROXY, UNSPECIFIED | UNIX_STREAM) => Family::Other,
            (PROXY, TCP_IPV4) => Family::Ipv4,
            (PROXY, TCP_IPV6) => Family::Ipv6,
            (PROXY, other) => return Err(ProxyError::Family(other)),
            (other, _) => return Err(ProxyError::Command(other)),
        };
        let rest_len = usize::from(u16::from_be_bytes([*high, *low]));
        if rest_len > PROXY_REST_LEN_MAX {
            return Err(ProxyError::TooLong(rest_len));
        }
        Ok(Self { family, rest_len })
    }

    /// How many bytes of the header follow.
    #[must_use]
    pub fn rest_len(self) -> usize {
        self.rest_len
    }

    /// The address of who connected to the proxy; `None` when the header names none. `rest` is what follows.
    ///
    /// # Errors
    /// When the rest is shorter than its addresses.
    pub fn source(self, rest: &[u8]) -> Result<Option<SocketAddr>, ProxyError> {
        let (ip, port) = match self.family {
            Family::Other => return Ok(None),
            // Source, destination, source's port, destination's port.
            Family::Ipv4 => {
                let addresses: &[u8; 12] = rest.first_chunk().ok_or(ProxyError::CutOff)?;
                let [a, b, c, d, _, _, _, _, high, low, _, _] = *addresses;
                (IpAddr::from([a, b, c, d]), [high, low])
            }
            Family::Ipv6 => {
                let addresses: &[u8; 36] = rest.first_chunk().ok_or(ProxyError::CutOff)?;
                let (source, rest) = addresses.split_first_chunk::<16>().ok_or(ProxyError::CutOff)?;
                let port = rest.get(16..).and_then(<[u8]>::first_chunk).ok_or(ProxyError::CutOff)?;
                (IpAddr::from(*source).to_canonical(), *port)
            }
        };
        Ok(Some(SocketAddr::new(ip, u16::from_be_bytes(port))))
    }
}

/// The proxies that are believed. None by default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proxies(Networks);

impl FromStr for Proxies {
    type Err = NetworkError;

    /// Reads them with commas between them.
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        text.parse().map(Self)
    }
}

impl fmt::Display for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Vec<Network>> for Proxies {
    fn from(networks: Vec<Network>) -> Self {
        Self(networks.into())
    }
}

impl Proxies {
    /// Whether a connection from this address comes through one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(address)
    }

    /// The address of who connected to the first of them: the last in the values of `X-Forwarded-For`, in the order of the
    /// request, that is not one of theirs, and the first when all are theirs. What stands before it came from the peer
    /// itself. `None` when there is none, or it is no address.
    pub fn forwarded_for<'a>(&self, values: impl DoubleEndedIterator<Item = &'a str>) -> Option<IpAddr> {
        let mut first = None;
        for text in values.rev().flat_map(|value| value.rsplit(',')) {
            let address = forwarded_address(text.trim())?;
            if !self.contains(address) {
                return Some(address);
            }
            first = Some(address);
        }
        first
    }
}

/// An address as proxies write it: with or without a port, and IPv6 with or without brackets.
fn forwarded_address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = match bare.parse() {
        Ok(address) => address,
        Err(_) => text.parse::<SocketAddr>().ok()?.ip(),
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What haproxy 2.6 sends with `send-proxy-v2` for a client at 192.0.2.7:51966, with an SSL TLV of five bytes.
    const IPV4: [u8; 36] =
        *b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x14\xc0\0\x02\x07\x7f\0\0\x01\xca\xfe\x07\x5b\x20\0\x05\0\0\0\0\0";

    fn decode(bytes: &[u8]) -> Result<Option<SocketAddr>, ProxyError> {
        let prefix = ProxyPrefix::decode(bytes.first_chunk().ok_or(ProxyError::CutOff)?)?;
        let end = (PROXY_PREFIX_LEN + prefix.rest_len()).min(bytes.len());
        prefix.source(&bytes[PROXY_PREFIX_LEN..end])
    }

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let len = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &len, rest].concat()
    }

    #[test]
    fn reads_the_source_of_both_families() {
        assert_eq!(decode(&IPV4), Ok(Some("192.0.2.7:51966".parse().unwrap())));
        let rest = [&[0x20, 1, 0x0d, 0xb8][..], &[0; 11], &[9], &[1; 16], &[0x12, 0x34, 0, 80]].concat();
        assert_eq!(decode(&header(PROXY, TCP_IPV6, &rest)), Ok(Some("[2001:db8::9]:4660".parse().unwrap())));
        let mapped = [&[0; 10][..], &[0xff, 0xff, 192, 0, 2, 7], &[1; 16], &[0, 9, 0, 80]].concat();
        assert_eq!(decode(&header(PROXY, TCP_IPV6, &mapped)), Ok(Some("192.0.2.7:9".parse().unwrap())));
    }

    #[test]
    fn a_header_cut_at_every_byte_gives_no_address() {
        for len in 0..PROXY_PREFIX_LEN + 12 {
            assert_eq!(decode(&IPV4[..len]), Err(ProxyError::CutOff), "{len} bytes");
        }
        for len in PROXY_PREFIX_LEN + 12..IPV4.len() {
            assert!(decode(&IPV4[..len]).unwrap().is_some(), "{len} bytes: the addresses are whole");
        }
        for len in 0..36_u8 {
            let rest = vec![1; usize::from(len)];
            assert_eq!(decode(&header(PROXY, TCP_IPV6, &rest)), Err(ProxyError::CutOff), "{len} bytes");
        }
    }

    #[test]
    fn a_header_with_any_bit_of_its_signature_flipped_is_none() {
        for bit in 0..SIGNATURE.len() * 8 {
            let mut bytes = IPV4;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&bytes), Err(ProxyError::NoHeader));
        }
    }

    #[test]
    fn health_checks_and_unknown_families_name_no_address_and_others_are_refused() {
        for (command, family) in [(LOCAL, 0), (LOCAL, 0x77), (PROXY, UNSPECIFIED), (PROXY, UNIX_STREAM)] {
            assert_eq!(decode(&header(command, family, &[])), Ok(None));
        }
        assert_eq!(decode(&header(PROXY, 0x12, &[0; 12])), Err(ProxyError::Family(0x12)));
        for command in [0x11, 0x22, 0x2f, 0x31, 0x00] {
            assert_eq!(decode(&header(command, TCP_IPV4, &[0; 12])), Err(ProxyError::Command(command)));
        }
        let mut long = header(PROXY, TCP_IPV4, &[]);
        long[14..].copy_from_slice(&2_049_u16.to_be_bytes());
        assert_eq!(decode(&long), Err(ProxyError::TooLong(2_049)));
    }

    fn proxies(networks: &[&str]) -> Proxies {
        Proxies::from(networks.iter().map(|network| network.parse().unwrap()).collect::<Vec<Network>>())
    }

    #[test]
    fn forwarded_for_is_the_last_address_that_is_no_proxy() {
        let proxies = proxies(&["10.0.0.0/8"]);
        for (values, address) in [
            (&["203.0.113.9"][..], Some("203.0.113.9")),
            (&["1.2.3.4, 203.0.113.9"], Some("203.0.113.9")),
            (&["1.2.3.4", "203.0.113.9, 10.0.0.2"], Some("203.0.113.9")),
            (&["203.0.113.9:4711,10.1.1.1"], Some("203.0.113.9")),
            (&["[2001:db8::1]:4711"], Some("2001:db8::1")),
            (&["[2001:db8::1]"], Some("2001:db8::1")),
            (&["::ffff:203.0.113.9"], Some("203.0.113.9")),
            (&["203.0.113.9, unknown"], None),
            (&["203.0.113.9,"], None),
            (&["10.0.0.1, 10.0.0.2"], Some("10.0.0.1")),
            (&["unknown, 10.0.0.2"], None),
            (&[""], None),
            (&[], None),
        ] {
            let wanted = address.map(|address| address.parse().unwrap());
            assert_eq!(proxies.forwarded_for(values.iter().copied()), wanted, "{values:?}");
        }
    }
}
