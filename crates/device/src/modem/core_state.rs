//! What is known of the modem: its links, its network, and the command under way. Events change it, commands and sockets
//! look at it; it does no input and no output.

use core::task::{Context, Poll};

use embassy_sync::waitqueue::{MultiWakerRegistration, WakerRegistration};
use heapless::{String, Vec};

use super::error::SocketError;
use super::event::Event;
use super::link::Link;
use super::{LINKS_MAX, SEEN_MAX, SeenNetwork, VERSION_LEN_MAX};

/// Tasks that wait at once for the network to go or for someone to connect; with more, each wakes the others for nothing.
const WATCHERS_MAX: usize = 4;

pub(super) struct Core {
    pub(super) links: [Link; LINKS_MAX],
    /// The modem is set up, and has not restarted since.
    pub(super) started: bool,
    pub(super) joined: bool,
    /// The last join succeeded: when the modem is on a network again by itself, it is that one. One that it remembers from
    /// before is not what the device was told.
    chosen: bool,
    pub(super) listening: bool,
    /// Bytes were lost: the receiver's parser must find a line end.
    pub(super) lost_place: bool,
    pub(super) exchange: Exchange,
    watchers: MultiWakerRegistration<WATCHERS_MAX>,
}

/// The command under way.
pub(super) struct Exchange {
    until: Until,
    outcome: Option<Outcome>,
    pub(super) facts: Facts,
    /// Results that came, of whatever command: while it counts, the modem still has something to say.
    pub(super) results: u32,
    waker: WakerRegistration,
}

/// What ends a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// There is none.
    Idle,
    /// `OK`.
    Ok,
    /// `OK` after the version: nothing but `AT+GMR` gives that, so that all commands before are answered.
    Version,
    /// `OK`; then the modem is on a network.
    Joined,
    /// `>`.
    Prompt,
    /// `SEND OK`.
    Sent,
    /// `ready`.
    Ready,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    Refused,
    Busy,
    Restarted,
}

/// What the modem said before the result.
pub(super) struct Facts {
    pub(super) already_connected: bool,
    pub(super) no_such_host: bool,
    pub(super) no_address: bool,
    pub(super) not_joined: Option<u8>,
    pub(super) has_one_link: bool,
    pub(super) version: Option<String<VERSION_LEN_MAX>>,
    pub(super) address: Option<String<15>>,
    pub(super) networks: Vec<SeenNetwork, SEEN_MAX>,
}

impl Facts {
    const fn new() -> Self {
        Self {
            already_connected: false,
            no_such_host: false,
            no_address: false,
            not_joined: None,
            has_one_link: false,
            version: None,
            address: None,
            networks: Vec::new(),
        }
    }
}

impl Exchange {
    /// A command is about to be sent.
    pub(super) fn begin(&mut self, until: Until) {
        (self.until, self.outcome, self.facts) = (until, None, Facts::new());
    }

    /// No command is under way: results mean nothing.
    pub(super) fn end(&mut self) {
        self.until = Until::Idle;
    }

    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Outcome> {
        if let Some(outcome) = self.outcome.take() {
            self.until = Until::Idle;
            return Poll::Ready(outcome);
        }
        self.waker.register(context.waker());
        Poll::Pending
    }

    fn settle(&mut self, event: &Event<'_>) {
        use Until::{Idle, Joined, Ok, Prompt, Ready, Sent, Version};
        let outcome = match (self.until, event) {
            (Idle, _) => return,
            (Version, Event::Ok) if self.facts.version.is_none() => return,
            (Ok | Version | Joined, Event::Ok)
            | (Prompt, Event::Prompt)
            | (Sent, Event::SendOk)
            | (Ready, Event::Ready) => Outcome::Done,
            (_, Event::Ready) => Outcome::Restarted,
            // What came before may still be answered.
            (Version | Ready, Event::Error | Event::Fail | Event::SendFail) => return,
            (_, Event::Error | Event::Fail | Event::SendFail) => Outcome::Refused,
            // Data that is being sent is not dropped.
            (Ok | Version | Joined | Prompt | Ready, Event::Busy) => Outcome::Busy,
            _ => return,
        };
        self.outcome.get_or_insert(outcome);
        self.waker.wake();
    }
}

impl Core {
    pub(super) const fn new() -> Self {
        Self {
            links: [const { Link::new() }; LINKS_MAX],
            started: false,
            joined: false,
            chosen: false,
            listening: false,
            lost_place: false,
            exchange: Exchange {
                until: Until::Idle,
                outcome: None,
                facts: Facts::new(),
                results: 0,
                waker: WakerRegistration::new(),
            },
            watchers: MultiWakerRegistration::new(),
        }
    }

    /// The modem said something.
    pub(super) fn handle(&mut self, event: &Event<'_>) {
        match *event {
            Event::Data { link, bytes, left } => {
                self.on_link(link, |link| link.received(bytes, left));
                self.watchers.wake();
                return;
            }
            Event::Connected { link } => {
                let listening = self.listening;
                self.on_link(link, |link| link.connected(listening));
                self.watchers.wake();
            }
            Event::Closed { link } => {
                self.on_link(link, Link::closed);
                self.watchers.wake();
            }
            Event::WifiJoined => self.joined = self.chosen,
            Event::WifiLost => self.network_lost(),
            Event::Ready => self.forget(),
            Event::Ok if self.exchange.until == Until::Joined => (self.joined, self.chosen) = (true, true),
            _ => self.note(event),
        }
        if is_result(event) {
            self.exchange.results = self.exchange.results.wrapping_add(1);
        }
        self.exchange.settle(event);
    }

    /// Keeps what belongs to the command under way.
    fn note(&mut self, event: &Event<'_>) {
        let facts = &mut self.exchange.facts;
        match *event {
            Event::AlreadyConnected => facts.already_connected = true,
            Event::NoSuchHost => facts.no_such_host = true,
            Event::NoAddress => facts.no_address = true,
            Event::NotJoined { reason } => facts.not_joined = Some(reason),
            Event::OneLink => facts.has_one_link = true,
            Event::Version(text) => {
                let mut version = String::new();
                // What is too long is cut.
                for letter in text.chars() {
                    let _cut = version.push(letter);
                }
                facts.version = Some(version);
            }
            Event::Address(text) => facts.address = String::try_from(text).ok(),
            Event::Network(name, about) => {
                if let Some(seen) = about.named(name) {
                    keep_strongest(&mut facts.networks, seen);
                }
            }
            _ => {}
        }
    }

    fn on_link<T>(&mut self, number: u8, act: impl FnOnce(&mut Link) -> T) -> Option<T> {
        self.links.get_mut(usize::from(number)).map(act)
    }

    /// Bytes were lost in what a link received.
    pub(super) fn cut(&mut self, number: u8) {
        self.on_link(number, Link::cut);
        self.watchers.wake();
    }

    /// The modem restarted, or is about to be started: nothing holds.
    pub(super) fn forget(&mut self) {
        (self.started, self.joined, self.chosen, self.listening) = (false, false, false, false);
        for link in &mut self.links {
            link.forgotten(SocketError::Lost);
        }
        self.watchers.wake();
    }

    /// No network is wanted any more, or another one.
    pub(super) fn unjoin(&mut self) {
        self.chosen = false;
        self.network_lost();
    }

    /// The network that was joined is gone, and with it what was connected over it.
    fn network_lost(&mut self) {
        self.joined = false;
        for link in self.links.iter_mut().filter(|link| link.is_outgoing()) {
            link.end(SocketError::Lost);
        }
        self.watchers.wake();
    }

    /// A link may have to be closed.
    pub(super) fn wake_watchers(&mut self) {
        self.watchers.wake();
    }

    pub(super) fn watch(&mut self, context: &Context<'_>) {
        self.watchers.register(context.waker());
    }
}

fn is_result(event: &Event<'_>) -> bool {
    matches!(
        event,
        Event::Ok
            | Event::Error
            | Event::Fail
            | Event::SendOk
            | Event::SendFail
            | Event::Busy
            | Event::Prompt
            | Event::Version(_)
    )
}

/// Each name once, as strongly as it is received anywhere. When all places are taken, the weakest goes.
fn keep_strongest(networks: &mut Vec<SeenNetwork, SEEN_MAX>, seen: SeenNetwork) {
    if seen.name.is_empty() {
        return;
    }
    if let Some(known) = networks.iter_mut().find(|known| known.name == seen.name) {
        if known.rssi_dbm < seen.rssi_dbm {
            *known = seen;
        }
        return;
    }
    if let Err(seen) = networks.push(seen) {
        let weakest = networks.iter_mut().min_by_key(|known| known.rssi_dbm);
        if let Some(weakest) = weakest.filter(|weakest| weakest.rssi_dbm < seen.rssi_dbm) {
            *weakest = seen;
        }
    }
}
