//! A Wi-Fi modem in software: an ESP8266 with Espressif's AT firmware on a line in memory, whose networks are made up and
//! whose connections are real ones of this computer.
//!
//! Answers are written as Espressif documents them ("ESP8266 Non-OS AT Instruction Set" 3.0 for AT 1.7, "ESP-AT User Guide"
//! 2.2 for AT 2), with what a device must bear: echo until it is turned off, noise and `ready` after a restart, lines that
//! no one asked for, and the [`Fault`]s of a script. It does not model the speed of the line, and never sleeps to look real.
//!
//! [`modem`] gives the modem, which runs until its line is closed, or until its future is dropped: all it opened is then
//! closed. [`Control`] is what happens around it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

mod command;
mod commands;
mod connections;
mod links;
mod machine;
mod uart;

pub use machine::Modem;
pub use uart::{LineReader, LineWriter, line};

/// Links of the modem.
pub const LINKS_MAX: usize = 5;
/// Bytes of one `AT+CIPSEND`, at most.
pub const SEND_LEN_MAX: usize = 2_048;
/// Bytes of one `+IPD`, at most: what one TCP segment holds.
pub const RECEIVED_LEN_MAX: usize = 1_460;
/// What happens around the modem and was not yet noticed; with more, [`Control`] waits.
const CONTROLS_MAX: usize = 64;

/// Which firmware it pretends to have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Firmware {
    /// AT 1.7: what is set is stored, unless by a command that ends with `_CUR`; a failed join ends with `FAIL`.
    At1,
    /// ESP-AT 2.2: `AT+SYSSTORE`; a failed join ends with `ERROR`.
    #[default]
    At2,
}

/// A network in reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its name, up to 32 bytes, not always text.
    pub name: Vec<u8>,
    /// Its password, empty for an open one.
    pub password: String,
    /// How strongly it is received, in dBm.
    pub rssi_dbm: i8,
}

/// How the modem is, and where it is.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Its firmware.
    pub firmware: Firmware,
    /// The networks in reach.
    pub networks: Vec<Network>,
    /// Where a host and port that the device asks for really are. Others are asked of the operating system.
    pub hosts: BTreeMap<(String, u16), SocketAddr>,
    /// Where a TCP port of the modem really listens. Others listen on a free port of 127.0.0.1.
    pub tcp_ports: BTreeMap<u16, SocketAddr>,
    /// The same for UDP ports.
    pub udp_ports: BTreeMap<u16, SocketAddr>,
    /// How long connecting may take.
    pub connect_time_max: Duration,
}

impl Default for Surroundings {
    fn default() -> Self {
        Self {
            firmware: Firmware::default(),
            networks: Vec::new(),
            hosts: BTreeMap::new(),
            tcp_ports: BTreeMap::new(),
            udp_ports: BTreeMap::new(),
            connect_time_max: Duration::from_secs(10),
        }
    }
}

/// What is known of a modem from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// How often it started.
    pub starts: u32,
    /// `AT+CWMODE`: 1 station, 2 access point, 3 both.
    pub mode: u8,
    /// Its own network, while it is open.
    pub access_point: Option<AccessPoint>,
    /// The network that it joined.
    pub joined: Option<Vec<u8>>,
    /// The TCP port that it listens on, and where that really is.
    pub tcp: Option<(u16, SocketAddr)>,
    /// The UDP ports of its links, and where they really are.
    pub udp: BTreeMap<u16, SocketAddr>,
    /// Links in use.
    pub links: usize,
    /// Bytes that were sent on its links.
    pub sent_len: u64,
    /// Bytes that were received on its links.
    pub received_len: u64,
    /// Settings that it stored in its flash: a device should not make it keep passwords.
    pub stored: u64,
    /// Commands that it took, also those it refused.
    pub commands: u64,
}

/// The modem's own network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessPoint {
    /// Its name.
    pub name: Vec<u8>,
    /// Its password; `None` if it is open.
    pub password: Option<Vec<u8>>,
    /// Stations that it takes at once. A station is an IP address here, and counts while it has a connection.
    pub stations_max: usize,
}

/// What goes wrong with one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is ignored.
    Silent,
    /// `busy p...`, and it is ignored.
    Busy,
    /// `ERROR`.
    Refuse,
    /// The modem restarts instead of answering.
    Restart,
    /// `ALREADY CONNECTED`, `ERROR`; of `AT+CIPSTART`.
    AlreadyConnected,
    /// It takes until [`Control::release`]; of commands that join, scan and connect. Meanwhile others get `busy p...`.
    Hold,
    /// The prompt is lost, of `AT+CIPSEND`: the modem waits for data and the device does not know.
    LosePrompt,
    /// The data of this `AT+CIPSEND` is sent, and `SEND OK` is lost.
    LoseSendOk,
    /// The data of this `AT+CIPSEND` is not sent: `SEND FAIL`.
    SendFail,
    /// The link is closed while the data of this `AT+CIPSEND` comes: `n,CLOSED`, `SEND FAIL`.
    CloseInSend,
    /// The modem restarts while the data of this `AT+CIPSEND` comes.
    RestartInSend,
}

#[derive(Debug)]
enum Change {
    Networks(Vec<Network>),
    Restart,
    Say(Vec<u8>),
    Lose(usize),
    Fault(String, Fault),
    Pieces(usize),
    Release,
}

/// Changes what is around the modem. When the modem has ended, changes mean nothing.
#[derive(Clone, Debug)]
pub struct Control {
    changes: mpsc::Sender<Change>,
    status: watch::Receiver<Status>,
}

impl Control {
    async fn change(&self, change: Change) {
        // An error means that there is no modem any more.
        let _ended = self.changes.send(change).await;
    }

    /// Other networks are in reach now. If the joined one is not among them, it is lost.
    pub async fn set_networks(&self, networks: Vec<Network>) {
        self.change(Change::Networks(networks)).await;
    }

    /// The modem's power fails for a moment.
    pub async fn restart(&self) {
        self.change(Change::Restart).await;
    }

    /// The modem says this: noise, or a line that no one asked for.
    pub async fn say(&self, bytes: &[u8]) {
        self.change(Change::Say(bytes.to_vec())).await;
    }

    /// So many of the next bytes that the modem says are lost.
    pub async fn lose(&self, len: usize) {
        self.change(Change::Lose(len)).await;
    }

    /// The next command that begins so goes wrong.
    pub async fn fault(&self, command: &str, fault: Fault) {
        self.change(Change::Fault(command.to_owned(), fault)).await;
    }

    /// What the modem says goes out in pieces of so many bytes at most; 0 is as it comes.
    pub async fn set_pieces(&self, len: usize) {
        self.change(Change::Pieces(len)).await;
    }

    /// Ends what [`Fault::Hold`] holds.
    pub async fn release(&self) {
        self.change(Change::Release).await;
    }

    /// How the modem is now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// How the modem is as soon as `wanted` holds; `None` if it ends before.
    pub async fn status_when(&self, wanted: impl FnMut(&Status) -> bool) -> Option<Status> {
        self.status.clone().wait_for(wanted).await.ok().map(|status| status.clone())
    }
}

/// A modem that has not started yet, and what is around it.
#[must_use]
pub fn modem(surroundings: Surroundings) -> (Modem, Control) {
    let (changes, noticed) = mpsc::channel(CONTROLS_MAX);
    let (status, seen) = watch::channel(Status::default());
    (Modem::new(surroundings, noticed, status), Control { changes, status: seen })
}

/// Where a port is that no map names.
const ANYWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
