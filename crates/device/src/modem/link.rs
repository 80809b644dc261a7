//! One of the modem's links: what came on it, who uses it, and how it ended. It sends nothing.
//!
//! The modem reuses a link's number. Each use has its own generation here, so that a socket that was kept does not read
//! what belongs to the next one.

use core::task::{Context, Poll};

use embassy_sync::waitqueue::WakerRegistration;

use super::error::SocketError;
use super::ring::Ring;

/// Bytes that a link keeps until they are read. More end it: the modem's line cannot be told to wait.
pub const LINK_BUFFER_LEN: usize = 2_048;

/// Bytes before each datagram in the ring: its length.
const HEADER_LEN: usize = 2;

pub(super) struct Link {
    generation: u32,
    /// Sockets of this generation.
    users: u8,
    stage: Stage,
    datagrams: bool,
    /// Another side connected to the modem.
    incoming: bool,
    /// The modem has it, as far as is known.
    open: bool,
    ended: Option<SocketError>,
    ring: Ring<LINK_BUFFER_LEN>,
    /// Bytes of the last, still incomplete datagram in the ring, with its header.
    partial: usize,
    /// Whole datagrams in the ring.
    whole: usize,
    /// What comes of the present `+IPD` is dropped.
    dropping: bool,
    reader: WakerRegistration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// No one's, or its sockets'.
    Settled,
    /// `AT+CIPSTART` is under way.
    Opening,
    /// It came from outside, and waits to be accepted.
    Waiting,
}

impl Link {
    pub(super) const fn new() -> Self {
        Self {
            generation: 0,
            users: 0,
            stage: Stage::Settled,
            datagrams: false,
            incoming: false,
            open: false,
            ended: None,
            ring: Ring::new(),
            partial: 0,
            whole: 0,
            dropping: false,
            reader: WakerRegistration::new(),
        }
    }

    /// Whether a new connection may have it.
    pub(super) fn is_free(&self) -> bool {
        self.users == 0 && !self.open && self.stage == Stage::Settled
    }

    /// Whether the modem should be told to close it.
    pub(super) fn wants_closing(&self) -> bool {
        let unused = self.users == 0 && self.stage == Stage::Settled;
        self.open && (unused || self.ended.is_some())
    }

    /// The other side is behind the network that was joined. Datagrams come from the device's own network, too.
    pub(super) fn is_outgoing(&self) -> bool {
        !self.incoming && !self.datagrams
    }

    fn renew(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.ring.clear();
        (self.users, self.partial, self.whole) = (0, 0, 0);
        (self.dropping, self.ended) = (false, None);
        self.reader.wake();
    }

    /// Takes it for a connection that is about to be opened; gives its generation. Its first user has it.
    pub(super) fn reserve(&mut self, datagrams: bool) -> u32 {
        self.renew();
        (self.users, self.stage) = (1, Stage::Opening);
        (self.datagrams, self.incoming, self.open) = (datagrams, false, false);
        self.generation
    }

    /// The modem said that what was asked for is open.
    pub(super) fn opened(&mut self, generation: u32) {
        if self.generation == generation && self.stage == Stage::Opening {
            self.stage = Stage::Settled;
            // Unless it was closed again meanwhile.
            self.open |= self.ended.is_none();
        }
    }

    /// The modem said that what was asked for is not open.
    pub(super) fn refused(&mut self, generation: u32) {
        if self.generation == generation && self.stage == Stage::Opening {
            (self.stage, self.open) = (Stage::Settled, false);
            self.end(SocketError::Closed);
        }
    }

    /// `n,CONNECT`. Says whether someone new waits to be accepted.
    pub(super) fn connected(&mut self, listening: bool) -> bool {
        if self.stage == Stage::Opening {
            self.open = true;
            return false;
        }
        self.renew();
        self.stage = if listening { Stage::Waiting } else { Stage::Settled };
        (self.datagrams, self.incoming, self.open) = (false, true, true);
        listening
    }

    /// `n,CLOSED`.
    pub(super) fn closed(&mut self) {
        // What an earlier connection left may come when the next is opened already.
        if self.stage == Stage::Opening && !self.open {
            return;
        }
        self.open = false;
        self.end(SocketError::Closed);
        if self.stage == Stage::Waiting && self.ring.is_empty() {
            self.stage = Stage::Settled;
        }
    }

    /// The modem was told to close it, or has forgotten it.
    pub(super) fn forgotten(&mut self, because: SocketError) {
        self.open = false;
        self.end(because);
        if self.stage == Stage::Waiting {
            self.stage = Stage::Settled;
        }
    }

    /// It cannot go on. The first reason stays.
    pub(super) fn end(&mut self, because: SocketError) {
        self.ended.get_or_insert(because);
        self.reader.wake();
    }

    /// As [`Self::end`], for who holds this generation.
    pub(super) fn end_of(&mut self, generation: u32, because: SocketError) {
        if self.generation == generation {
            self.end(because);
        }
    }

    /// A piece of an `+IPD` of which `left` bytes are still to come.
    pub(super) fn received(&mut self, bytes: &[u8], left: usize) {
        // Of a link that no one knows, too: its CONNECT was lost, or it is from before a restart of the device.
        self.open = true;
        if self.ended.is_some() || (self.users == 0 && self.stage == Stage::Settled) {
            return;
        }
        if self.datagrams {
            self.received_datagram(bytes, left);
        } else if !self.ring.push(bytes) {
            self.end(SocketError::Overrun { room: LINK_BUFFER_LEN });
        }
        self.reader.wake();
    }

    /// One `+IPD` is one datagram. One without room is dropped, as datagrams may be.
    fn received_datagram(&mut self, bytes: &[u8], left: usize) {
        if self.partial == 0 && !self.dropping {
            let total = bytes.len() + left;
            match u16::try_from(total) {
                Ok(len) if self.ring.room() >= total + HEADER_LEN => {
                    self.ring.push(&len.to_le_bytes());
                    self.partial = HEADER_LEN;
                }
                _ => self.dropping = true,
            }
        }
        if !self.dropping && self.ring.push(bytes) {
            self.partial += bytes.len();
        }
        if left == 0 {
            self.whole += usize::from(!core::mem::take(&mut self.dropping));
            self.partial = 0;
        }
    }

    /// The rest of an `+IPD` is lost.
    pub(super) fn cut(&mut self) {
        if self.datagrams {
            self.ring.take_back(core::mem::take(&mut self.partial));
            self.dropping = false;
        } else {
            self.end(SocketError::Garbled);
        }
    }

    /// Takes it for who accepts, if it waits; gives its generation.
    pub(super) fn accept(&mut self) -> Option<u32> {
        (self.stage == Stage::Waiting).then(|| {
            (self.stage, self.users) = (Stage::Settled, 1);
            self.generation
        })
    }

    pub(super) fn add_user(&mut self, generation: u32) {
        if self.generation == generation {
            self.users = self.users.saturating_add(1);
        }
    }

    /// One user fewer. Says whether it was the last one.
    pub(super) fn remove_user(&mut self, generation: u32) -> bool {
        if self.generation != generation {
            return false;
        }
        self.users = self.users.saturating_sub(1);
        if self.users == 0 && self.stage == Stage::Opening {
            // Opening was given up: the modem may have it or not, so that it is closed in any case.
            (self.stage, self.open) = (Stage::Settled, true);
        }
        self.users == 0
    }

    /// Whether it can be written to.
    pub(super) fn writable(&self, generation: u32) -> Result<(), SocketError> {
        match self.ended {
            _ if self.generation != generation => Err(SocketError::Closed),
            Some(error) => Err(error),
            None if !self.open => Err(SocketError::Closed),
            None => Ok(()),
        }
    }

    /// Whether what is sent on it may be lost without an end to it.
    pub(super) fn may_lose(&self, generation: u32) -> bool {
        self.datagrams && self.writable(generation).is_ok()
    }

    /// Whether the modem has it for this generation.
    pub(super) fn is_open(&self, generation: u32) -> bool {
        self.generation == generation && self.open
    }

    /// Bytes of the stream; none at its end.
    pub(super) fn poll_read(
        &mut self,
        generation: u32,
        out: &mut [u8],
        context: &mut Context<'_>,
    ) -> Poll<Result<usize, SocketError>> {
        if self.generation != generation {
            return Poll::Ready(Err(SocketError::Closed));
        }
        if out.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let count = self.ring.pop(out);
        match self.ended {
            _ if count > 0 => Poll::Ready(Ok(count)),
            Some(SocketError::Closed) => Poll::Ready(Ok(0)),
            Some(error) => Poll::Ready(Err(error)),
            None => {
                self.reader.register(context.waker());
                Poll::Pending
            }
        }
    }

    /// One datagram; of a longer one the end is lost.
    pub(super) fn poll_receive(
        &mut self,
        generation: u32,
        out: &mut [u8],
        context: &mut Context<'_>,
    ) -> Poll<Result<usize, SocketError>> {
        if self.generation != generation {
            return Poll::Ready(Err(SocketError::Closed));
        }
        if self.whole == 0 {
            let Some(error) = self.ended else {
                self.reader.register(context.waker());
                return Poll::Pending;
            };
            return Poll::Ready(Err(error));
        }
        self.whole -= 1;
        let mut header = [0; HEADER_LEN];
        self.ring.pop(&mut header);
        let len = usize::from(u16::from_le_bytes(header));
        let room = out.len().min(len);
        let count = self.ring.pop(out.get_mut(..room).unwrap_or_default());
        self.ring.skip(len - count);
        Poll::Ready(Ok(count))
    }
}
