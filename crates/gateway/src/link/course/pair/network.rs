//! One connection at a time between device and server. Bytes are late, come in pieces, and are lost from any byte on.

use std::collections::VecDeque;

use super::Chance;

/// How late bytes may be, in milliseconds.
const DELAY_MS_MAX: u64 = 100;

/// One direction.
#[derive(Default)]
struct Pipe {
    pieces: VecDeque<(u64, Vec<u8>)>,
}

impl Pipe {
    fn send(&mut self, bytes: &[u8], now_ms: u64, delay_ms: u64) {
        let at_ms = self.pieces.back().map_or(0, |(at_ms, _)| *at_ms).max(now_ms + delay_ms);
        self.pieces.push_back((at_ms, bytes.to_vec()));
    }

    fn receive(&mut self, now_ms: u64, chance: &mut Chance) -> Vec<u8> {
        let mut received = Vec::new();
        while let Some((_, mut bytes)) = self.pieces.pop_front_if(|(at_ms, _)| *at_ms <= now_ms) {
            if chance.once_in(4) && bytes.len() > 1 {
                let rest = bytes.split_off(usize::try_from(chance.within(1, bytes.len() as u64)).unwrap());
                self.pieces.push_front((now_ms + 1, rest));
                received.extend(bytes);
                break;
            }
            received.extend(bytes);
        }
        received
    }

    /// From any byte on nothing comes any more.
    fn cut(&mut self, chance: &mut Chance) {
        let len: usize = self.pieces.iter().map(|(_, bytes)| bytes.len()).sum();
        let mut left = usize::try_from(chance.within(0, len as u64 + 1)).unwrap();
        for (_, bytes) in &mut self.pieces {
            bytes.truncate(left);
            left -= bytes.len();
        }
        self.pieces.retain(|(_, bytes)| !bytes.is_empty());
    }
}

#[derive(Default)]
pub(super) struct Network {
    /// Counts connections; 0: there was none yet.
    number: u64,
    up: Pipe,
    down: Pipe,
    /// Ended by either side or by the network: what is on its way still comes.
    is_closed: bool,
    /// The server does not notice that it is closed.
    is_half_open: bool,
    /// It is neither late nor in pieces.
    pub(super) is_good: bool,
}

impl Network {
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn connect(&mut self) -> u64 {
        let (number, is_good) = (self.number + 1, self.is_good);
        *self = Self { number, is_good, ..Self::default() };
        number
    }

    fn delay_ms(&self, chance: &mut Chance) -> u64 {
        if self.is_good { 0 } else { chance.within(0, DELAY_MS_MAX) }
    }

    pub(super) fn send_to_server(&mut self, bytes: &[u8], now_ms: u64, chance: &mut Chance) {
        let delay_ms = self.delay_ms(chance);
        if !self.is_closed {
            self.up.send(bytes, now_ms, delay_ms);
        }
    }

    /// False when the server has noticed that the connection is gone.
    pub(super) fn send_to_device(
        &mut self,
        number: u64,
        bytes: &[u8],
        now_ms: u64,
        chance: &mut Chance,
    ) -> bool {
        let is_gone = number != self.number || self.is_closed;
        if !is_gone {
            let delay_ms = self.delay_ms(chance);
            self.down.send(bytes, now_ms, delay_ms);
        }
        !is_gone || (number == self.number && self.is_half_open)
    }

    /// `None`: the connection has ended, and all that came is read.
    pub(super) fn received_by_server(
        &mut self,
        number: u64,
        now_ms: u64,
        chance: &mut Chance,
    ) -> Option<Vec<u8>> {
        if number != self.number {
            return None;
        }
        let received = self.up.receive(now_ms, chance);
        let is_over = self.is_closed && !self.is_half_open && self.up.pieces.is_empty();
        (!is_over || !received.is_empty()).then_some(received)
    }

    /// The same for the device.
    pub(super) fn received_by_device(&mut self, now_ms: u64, chance: &mut Chance) -> Option<Vec<u8>> {
        let received = self.down.receive(now_ms, chance);
        let is_over = self.is_closed && self.down.pieces.is_empty();
        (!is_over || !received.is_empty()).then_some(received)
    }

    /// A side closes this connection in order.
    pub(super) fn close(&mut self, number: u64) {
        if number == self.number {
            self.is_closed = true;
        }
    }

    /// The connection breaks: of what is on its way some comes.
    pub(super) fn cut(&mut self, chance: &mut Chance) {
        self.up.cut(chance);
        self.down.cut(chance);
        self.is_closed = true;
    }

    /// The same, and the server does not notice.
    pub(super) fn lose(&mut self, chance: &mut Chance) {
        self.cut(chance);
        self.is_half_open = true;
    }
}
