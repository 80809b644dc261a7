//! The Wi-Fi modem: an ESP8266 with Espressif's AT firmware on a UART, driven so that the layers above have sockets.
//!
//! Written from Espressif's "ESP8266 Non-OS AT Instruction Set" 3.0 (AT 1.7) and "ESP-AT User Guide" 2.2 and 2.3 for ESP8266
//! (Basic, Wi-Fi and TCP-IP AT Commands; AT Messages). Always with several links (`AT+CIPMUX=1`), never in passthrough.
//!
//! [`split`] gives two halves of one [`State`]: a [`Receiver`], which a task of its own runs all the time, and a [`Modem`],
//! whose commands anybody on the same executor may give; they queue. Every command ends in a bounded time:
//!
//! - A command that got no answer, or whose future was dropped, leaves the modem with an answer to give or even waiting for
//!   data. The next command first pays the owed data (line ends, which mean nothing as commands), then asks for the version,
//!   which nothing else answers, and waits until the modem has said all: it never takes an answer that is not its own.
//! - A link whose sending was given up half way, or lost bytes, is ended and closed: it is never in a state no one knows.
//! - After a restart of the modem (`ready`) every link has ended and every command fails with
//!   [`ModemError::NotStarted`] until [`Modem::start`]. Its `ready` may be lost: [`Modem::check`] asks.
//! - Bytes may be lost while the device erases flash. The parser finds the next line end; a lost result ends by its
//!   time-out. What the bytes of a connection meant is not known here: TLS or the setup key tells.
//!
//! What this does not do: it stores nothing in the modem's flash (`AT+SYSSTORE=0`, or `_CUR` commands before 2.0), prints
//! no password, and trusts no byte of the modem: none makes it panic. A network's name in a scan is the one text that others
//! choose; AT firmware sends it as it is, so that one with line ends in it can pretend to be the modem, as someone who jams
//! the radio could: it can make a scan or a connection fail, and nothing more.

use core::cell::RefCell;
use core::future::{Future, pending, poll_fn};

use embassy_futures::yield_now;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::mutex::Mutex;
use embedded_io_async::{Read, Write};
use heapless::{String, Vec};

use crate::clock::Clock;

mod command;
mod commands;
mod core_state;
mod error;
mod event;
mod exchange;
mod line;
mod link;
mod parser;
mod ring;
mod socket;

use core_state::Core;
pub use error::{ConnectError, JoinError, ModemError, SocketError};
pub use event::{ANNOUNCED_LEN_MAX, Event, NetworkFacts};
use exchange::Wire;
pub use link::LINK_BUFFER_LEN;
pub use parser::{LINE_LEN_MAX, Parser};
pub use socket::{Datagrams, Socket};

/// Links of the modem, numbered from 0.
pub const LINKS_MAX: usize = 5;
/// Bytes of one `AT+CIPSEND`, at most.
pub const SEND_LEN_MAX: usize = 2_048;
/// Networks that a scan gives, at most: those received best.
pub const SEEN_MAX: usize = 16;
/// Bytes of a network's name, at most (IEEE 802.11 §9.4.2.2).
pub const NETWORK_NAME_LEN_MAX: usize = 32;
/// Characters of the modem's version that are kept.
pub const VERSION_LEN_MAX: usize = 64;
/// The modem's address on its own network.
pub const ACCESS_POINT_ADDRESS: &str = "192.168.4.1";

const _: () = assert!(size_of::<State>() <= 13 * 1_024, "as the documentation of State says");

/// Bytes that the receiver takes at once. Then others have their turn, so that a link is read before it overruns.
const CHUNK_LEN: usize = 128;

/// A network that the modem receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenNetwork {
    /// Its name; not always text.
    pub name: Vec<u8, NETWORK_NAME_LEN_MAX>,
    /// How strongly it is received, in dBm.
    pub rssi_dbm: i8,
    /// Whether it wants a password.
    pub secured: bool,
}

/// The version of the modem's AT firmware.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// As the modem says it: `1.7.4.0(May 11 2020 19:13:04)`.
    pub at: String<VERSION_LEN_MAX>,
}

/// What the two halves share: a buffer for each link, and the command under way; at most 13 KiB.
pub struct State {
    core: RefCell<Core>,
}

impl Default for State {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    /// Of a modem of which nothing is known.
    #[must_use]
    pub const fn new() -> Self {
        Self { core: RefCell::new(Core::new()) }
    }

    /// No borrow is held across an await, so that there is never a second one.
    fn with<T>(&self, act: impl FnOnce(&mut Core) -> T) -> T {
        act(&mut self.core.borrow_mut())
    }
}

/// The two halves of the driver. Both stay on one executor.
pub fn split<'s, R: Read, W: Write, C: Clock>(
    state: &'s mut State,
    rx: R,
    tx: W,
    clock: C,
) -> (Receiver<'s, R>, Modem<'s, W, C>) {
    state.core.get_mut().forget();
    let state = &*state;
    (Receiver { state, rx, parser: Parser::new() }, Modem { state, wire: Mutex::new(Wire::new(tx)), clock })
}

/// Takes what the modem says to whom it concerns.
pub struct Receiver<'s, R> {
    state: &'s State,
    rx: R,
    parser: Parser,
}

impl<R: Read> Receiver<'_, R> {
    /// Receives until the line reports an error; then run it again: lost or damaged bytes are no reason to stop. A line that
    /// has ended stays silent for ever. Dropping the future loses nothing.
    pub async fn run(&mut self) -> R::Error {
        let mut chunk = [0; CHUNK_LEN];
        loop {
            let count = match self.rx.read(&mut chunk).await {
                Ok(0) => return pending().await,
                Ok(count) => count,
                Err(error) => {
                    // Whatever was lost, the rest of an +IPD would be counted wrongly.
                    self.resynchronise();
                    return error;
                }
            };
            self.take(chunk.get(..count).unwrap_or_default());
            yield_now().await;
        }
    }

    fn take(&mut self, mut bytes: &[u8]) {
        if self.state.with(|core| core::mem::take(&mut core.lost_place)) {
            self.resynchronise();
        }
        while let Some(event) = self.parser.next(&mut bytes) {
            self.state.with(|core| core.handle(&event));
        }
    }

    fn resynchronise(&mut self) {
        if let Some(link) = self.parser.resynchronise() {
            self.state.with(|core| core.cut(link));
        }
    }
}

/// Gives commands to the modem. All of its methods may be called at once; commands queue.
pub struct Modem<'s, W, C> {
    state: &'s State,
    wire: Mutex<NoopRawMutex, Wire<W>>,
    clock: C,
}

impl<W: Write, C: Clock> Modem<'_, W, C> {
    /// Whether the modem is on the network that it was told to join.
    pub fn is_joined(&self) -> bool {
        self.state.with(|core| core.joined)
    }

    /// Whether the modem is set up: [`Self::start`] succeeded, and it has not restarted since.
    pub fn is_started(&self) -> bool {
        self.state.with(|core| core.started)
    }

    /// Ready when the modem is not on a network: it lost it, restarted, or never joined one.
    pub fn lost(&self) -> impl Future<Output = ()> {
        self.once(|core| (!core.joined).then_some(()))
    }

    /// Ready when the modem must be started: it restarted, or was never started.
    pub fn restarted(&self) -> impl Future<Output = ()> {
        self.once(|core| (!core.started).then_some(()))
    }

    /// Looks at the state whenever it changed, until `look` gives something.
    fn once<T>(&self, mut look: impl FnMut(&mut Core) -> Option<T>) -> impl Future<Output = T> {
        poll_fn(move |context| {
            self.state.with(|core| {
                let found = look(core);
                if found.is_none() {
                    core.watch(context);
                }
                found.map_or(core::task::Poll::Pending, core::task::Poll::Ready)
            })
        })
    }
}

#[cfg(test)]
mod tests;
