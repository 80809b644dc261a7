//! From a captured packet to the TCP segment or UDP datagram in it: Ethernet with VLAN tags, Linux cooked (both versions),
//! raw IP and loopback; IPv4 and IPv6. It keeps nothing from packet to packet, so fragments of IP stay what they are.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::bytes::Bytes;
use crate::error::CaptureError;

/// The most VLAN tags, and the most extension headers of IPv6, that are stepped over.
const TAGS_MAX: usize = 8;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const TCP: u8 = 6;
const UDP: u8 = 17;

pub(crate) enum Packet<'a> {
    Tcp(Segment<'a>),
    Udp(Datagram<'a>),
    /// Part of a packet of IP, which is not put together.
    Fragment(&'a [u8]),
    /// Neither TCP nor UDP over IP.
    Other(&'a [u8]),
    /// Cut short by the capture, or damaged.
    Unreadable(&'a [u8]),
}

/// From whom a packet is, and to whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ends {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
}

pub(crate) struct Segment<'a> {
    pub(crate) ends: Ends,
    pub(crate) sequence: u32,
    pub(crate) is_syn: bool,
    pub(crate) has_ack: bool,
    pub(crate) is_rst: bool,
    pub(crate) payload: &'a [u8],
    /// Bytes at the end of the payload that were on the wire and are not in the capture.
    pub(crate) cut_len: usize,
}

pub(crate) struct Datagram<'a> {
    pub(crate) ends: Ends,
    pub(crate) payload: &'a [u8],
    pub(crate) is_cut: bool,
}

/// Takes a packet apart.
///
/// # Errors
/// The link type is none of those above.
pub(crate) fn dissect(link_type: u32, data: &[u8], wire_len: usize) -> Result<Packet<'_>, CaptureError> {
    let mut bytes = Bytes(data);
    let network = match link_type {
        0 => loopback(&mut bytes, u32::from_ne_bytes),
        108 => loopback(&mut bytes, u32::from_be_bytes),
        1 => bytes.take(12).and_then(|_| ether_type(&mut bytes)),
        113 => bytes.take(14).and_then(|_| ether_type(&mut bytes)),
        276 => bytes.u16().and_then(|kind| bytes.take(18).and_then(|_| behind_tags(kind, &mut bytes))),
        12 | 14 | 101 => by_version(bytes),
        228 => Some(IPV4),
        229 => Some(IPV6),
        number => return Err(CaptureError::LinkType { number }),
    };
    let cut_len = wire_len.saturating_sub(data.len());
    Ok(match network {
        None => Packet::Unreadable(data),
        Some(IPV4) => ipv4(bytes, cut_len).unwrap_or(Packet::Unreadable(data)),
        Some(IPV6) => ipv6(bytes, cut_len).unwrap_or(Packet::Unreadable(data)),
        Some(_) => Packet::Other(data),
    })
}

/// The protocol family in front of a packet on a loopback of BSD.
fn loopback(bytes: &mut Bytes<'_>, number: fn([u8; 4]) -> u32) -> Option<u16> {
    let family = number(bytes.array()?);
    // The machine that captured may have had another byte order.
    let family = if family > 0xffff { family.swap_bytes() } else { family };
    Some(match family {
        2 => IPV4,
        10 | 24 | 28 | 30 => IPV6,
        _ => 0,
    })
}

fn ether_type(bytes: &mut Bytes<'_>) -> Option<u16> {
    let kind = bytes.u16()?;
    behind_tags(kind, bytes)
}

/// Steps over VLAN tags (IEEE 802.1Q and 802.1ad) to what is behind them.
fn behind_tags(mut kind: u16, bytes: &mut Bytes<'_>) -> Option<u16> {
    for _ in 0..TAGS_MAX {
        if !matches!(kind, 0x8100 | 0x88a8 | 0x9100) {
            return Some(kind);
        }
        bytes.take(2)?;
        kind = bytes.u16()?;
    }
    None
}

fn by_version(bytes: Bytes<'_>) -> Option<u16> {
    match bytes.0.first()? >> 4 {
        4 => Some(IPV4),
        6 => Some(IPV6),
        _ => None,
    }
}

/// RFC 791.
fn ipv4(packet: Bytes<'_>, cut_len: usize) -> Option<Packet<'_>> {
    let mut bytes = packet;
    let [version, _] = bytes.array()?;
    let total_len = usize::from(bytes.u16()?);
    bytes.take(2)?;
    let fragment = bytes.u16()?;
    let [_, protocol] = bytes.array()?;
    bytes.take(2)?;
    let addresses =
        [bytes.array::<4>()?, bytes.array::<4>()?].map(|address| IpAddr::V4(Ipv4Addr::from(address)));
    let header_len = usize::from(version & 15) * 4;
    if version >> 4 != 4 || header_len < 20 {
        return None;
    }
    // A network card that splits packets itself leaves the length at 0.
    let total_len = if total_len == 0 { packet.0.len() + cut_len } else { total_len };
    if fragment & 0x3fff != 0 {
        return Some(Packet::Fragment(packet.0));
    }
    let body = Body::of(packet.0, header_len, total_len)?;
    body.transport(protocol, addresses, packet.0)
}

/// RFC 8200.
fn ipv6(packet: Bytes<'_>, cut_len: usize) -> Option<Packet<'_>> {
    let mut bytes = packet;
    let [version, _, _, _] = bytes.array()?;
    let payload_len = usize::from(bytes.u16()?);
    let [mut protocol, _] = bytes.array()?;
    let addresses =
        [bytes.array::<16>()?, bytes.array::<16>()?].map(|address| IpAddr::V6(Ipv6Addr::from(address)));
    if version >> 4 != 6 {
        return None;
    }
    let total_len = if payload_len == 0 { packet.0.len() + cut_len } else { payload_len + 40 };
    for _ in 0..TAGS_MAX {
        let len = match protocol {
            0 | 43 | 60 => 8 + usize::from(*bytes.0.get(1)?) * 8,
            51 => 8 + usize::from(*bytes.0.get(1)?) * 4,
            44 => {
                let is_whole = matches!(bytes.0.get(2..4)?, [high, low] if *high == 0 && low & 0xf9 == 0);
                if !is_whole {
                    return Some(Packet::Fragment(packet.0));
                }
                8
            }
            _ => {
                let header_len = packet.0.len() - bytes.0.len();
                return Body::of(packet.0, header_len, total_len)?.transport(protocol, addresses, packet.0);
            }
        };
        protocol = bytes.take(len)?.first().copied()?;
    }
    None
}

/// What is behind the headers of IP.
struct Body<'a> {
    bytes: &'a [u8],
    /// How long it was on the wire.
    wire_len: usize,
}

impl<'a> Body<'a> {
    /// Leaves out what an Ethernet frame is padded with.
    fn of(packet: &'a [u8], header_len: usize, total_len: usize) -> Option<Self> {
        let wire_len = total_len.checked_sub(header_len)?;
        let bytes = packet.get(header_len..)?;
        Some(Self { bytes: bytes.get(..wire_len).unwrap_or(bytes), wire_len })
    }

    fn transport(
        &self,
        protocol: u8,
        [source, destination]: [IpAddr; 2],
        packet: &'a [u8],
    ) -> Option<Packet<'a>> {
        let mut bytes = Bytes(self.bytes);
        match protocol {
            TCP | UDP => {
                let source = SocketAddr::new(source, bytes.u16()?);
                let ends = Ends { source, destination: SocketAddr::new(destination, bytes.u16()?) };
                if protocol == TCP { self.tcp(ends, bytes) } else { self.udp(ends, bytes) }
            }
            _ => Some(Packet::Other(packet)),
        }
    }

    /// RFC 9293.
    fn tcp(&self, ends: Ends, mut bytes: Bytes<'a>) -> Option<Packet<'a>> {
        let sequence = bytes.u32()?;
        bytes.u32()?;
        let [offset, flags] = bytes.array()?;
        let header_len = usize::from(offset >> 4) * 4;
        let wire_len = self.wire_len.checked_sub(header_len).filter(|_| header_len >= 20)?;
        let payload = self.bytes.get(header_len..)?;
        Some(Packet::Tcp(Segment {
            ends,
            sequence,
            is_syn: flags & 2 != 0,
            has_ack: flags & 16 != 0,
            is_rst: flags & 4 != 0,
            payload,
            cut_len: wire_len - payload.len(),
        }))
    }

    /// RFC 768.
    fn udp(&self, ends: Ends, mut bytes: Bytes<'a>) -> Option<Packet<'a>> {
        let len = usize::from(bytes.u16()?).checked_sub(8)?;
        bytes.u16()?;
        let payload = bytes.0.get(..len).unwrap_or(bytes.0);
        Some(Packet::Udp(Datagram { ends, payload, is_cut: payload.len() < len }))
    }
}
