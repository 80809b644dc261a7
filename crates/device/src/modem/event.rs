//! What the modem said, as the parser tells it.

use heapless::Vec;

use super::SeenNetwork;

/// Bytes that one `+IPD` may announce. The modem sends what one TCP segment held, 1,460; a larger number is noise, and
/// must not swallow what follows.
pub const ANNOUNCED_LEN_MAX: usize = 4_096;

/// What the modem said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'e> {
    /// `OK`.
    Ok,
    /// `ERROR`.
    Error,
    /// `FAIL`.
    Fail,
    /// `SEND OK`.
    SendOk,
    /// `SEND FAIL`.
    SendFail,
    /// `busy p...` or `busy s...`: what was just sent was dropped.
    Busy,
    /// `>`: the data of `AT+CIPSEND` may come.
    Prompt,
    /// `ready`: the modem has just started.
    Ready,
    /// `ALREADY CONNECTED`.
    AlreadyConnected,
    /// `link is not valid`.
    NoLink,
    /// `DNS Fail`.
    NoSuchHost,
    /// `no ip`: not on a network.
    NoAddress,
    /// `WIFI GOT IP`.
    WifiJoined,
    /// `WIFI DISCONNECT`.
    WifiLost,
    /// `n,CONNECT`.
    Connected {
        /// The link's number.
        link: u8,
    },
    /// `n,CLOSED` or `n,CONNECT FAIL`.
    Closed {
        /// The link's number.
        link: u8,
    },
    /// `+CWJAP:n`: why joining failed.
    NotJoined {
        /// 1 time-out, 2 wrong password, 3 no such network, 4 other.
        reason: u8,
    },
    /// `+CWLAP:(…)`: a network in reach.
    Network(&'e [u8], NetworkFacts),
    /// `+CIFSR:STAIP,"…"`: the modem's own address.
    Address(&'e str),
    /// `+CIPMUX:0`: the modem has one link only, as after its start.
    OneLink,
    /// `AT version:…`.
    Version(&'e str),
    /// Bytes of a connection: a piece of one `+IPD`.
    Data {
        /// The link's number.
        link: u8,
        /// The piece, never empty.
        bytes: &'e [u8],
        /// Bytes of this `+IPD` that are still to come.
        left: usize,
    },
    /// A line that means nothing here, also an empty one.
    Other,
}

/// What `+CWLAP` says of a network besides its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkFacts {
    /// How strongly it is received, in dBm.
    pub rssi_dbm: i8,
    /// Whether it wants a password.
    pub secured: bool,
}

impl NetworkFacts {
    /// The network with its name; `None` if no network can have it.
    pub(super) fn named(self, name: &[u8]) -> Option<SeenNetwork> {
        let name = Vec::from_slice(name).ok()?;
        Some(SeenNetwork { name, rssi_dbm: self.rssi_dbm, secured: self.secured })
    }
}
