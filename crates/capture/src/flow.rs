//! One connection: both directions put in order and read, and the verdict on what they showed.

use std::net::SocketAddr;

use crate::blocks::Blocks;
use crate::evidence::{Evidence, Findings, Protocol, Reason};
use crate::needle::Search;
use crate::packet::{Datagram, Ends, Segment};
use crate::reader::Reader;
use crate::stream::{Load, Piece, Stream};
use crate::suite::{self, Encryption};
use crate::tap::{Places, Tap};

/// What all flows share.
pub(crate) struct Shared<'a> {
    pub(crate) search: &'a Search,
    pub(crate) blocks: &'a mut Blocks,
    pub(crate) findings: &'a mut Findings,
}

/// One connection of TCP, or the datagrams between two ends of UDP.
pub(crate) struct Flow {
    pub(crate) client: SocketAddr,
    pub(crate) server: SocketAddr,
    pub(crate) is_udp: bool,
    pub(crate) from_ns: u64,
    pub(crate) to_ns: u64,
    pub(crate) evidence: Evidence,
    number: u32,
    /// The client's first sequence number, if its SYN was captured.
    first_sequence: Option<u32>,
    up: Half,
    down: Half,
}

/// One direction.
#[derive(Default)]
struct Half {
    stream: Stream,
    reader: Reader,
    places: Places,
    len: u64,
}

impl Flow {
    pub(crate) fn new(
        number: u32,
        client: SocketAddr,
        server: SocketAddr,
        is_udp: bool,
        time_ns: u64,
    ) -> Self {
        Self {
            client,
            server,
            is_udp,
            from_ns: time_ns,
            to_ns: time_ns,
            evidence: Evidence::default(),
            number,
            first_sequence: None,
            up: Half::default(),
            down: Half::default(),
        }
    }

    /// Whether a SYN with this number begins another connection between the same ends. One with the same number is the same
    /// packet, captured at another place.
    pub(crate) fn is_another(&self, first_sequence: u32) -> bool {
        match self.first_sequence {
            Some(known) => known != first_sequence,
            None => self.up.len + self.down.len > 0,
        }
    }

    /// Bytes to the server, and back.
    pub(crate) fn lens(&self) -> (u64, u64) {
        (self.up.len, self.down.len)
    }

    pub(crate) fn take_segment(&mut self, segment: &Segment<'_>, time_ns: u64, shared: &mut Shared<'_>) {
        self.see(time_ns);
        let to_server = segment.ends.source == self.client;
        let half = if to_server { &mut self.up } else { &mut self.down };
        let mut sequence = segment.sequence;
        if segment.is_syn {
            sequence = sequence.wrapping_add(1);
            half.stream.start(sequence);
            if !segment.has_ack {
                self.first_sequence.get_or_insert(segment.sequence);
            }
        }
        // What a RST carries is a reason for people at most, and no part of the stream.
        if segment.is_rst || (segment.payload.is_empty() && segment.cut_len == 0) {
            return;
        }
        if !half.stream.has_start() {
            half.reader.start_is_missing();
            self.evidence.note(Reason::StartMissing);
        }
        let load = Load { sequence, bytes: segment.payload, cut_len: segment.cut_len, time_ns };
        let (number, evidence) = (self.number, &mut self.evidence);
        let Half { stream, reader, places, len } = half;
        stream.take(load, |piece| {
            *len += take_piece(&piece, reader, &mut tap(number, to_server, evidence, places, shared));
        });
        if stream.strays > 0 {
            evidence.note(Reason::Stray);
        }
    }

    pub(crate) fn take_datagram(&mut self, datagram: &Datagram<'_>, time_ns: u64, shared: &mut Shared<'_>) {
        self.see(time_ns);
        self.evidence.note(Reason::NotJudged(Protocol::Udp));
        let to_server = datagram.ends.source == self.client;
        let half = if to_server { &mut self.up } else { &mut self.down };
        let at = half.len;
        half.len += datagram.payload.len() as u64;
        // Each is for itself: nothing goes on from one to the next.
        let mut places = Places::default();
        let mut tap = tap(self.number, to_server, &mut self.evidence, &mut places, shared);
        tap.time_ns = time_ns;
        tap.plain(at, datagram.payload);
    }

    /// The end of the capture.
    pub(crate) fn finish(&mut self, shared: &mut Shared<'_>) {
        let (number, evidence) = (self.number, &mut self.evidence);
        for (to_server, half) in [(true, &mut self.up), (false, &mut self.down)] {
            let Half { stream, reader, places, len } = half;
            stream.finish(|piece| {
                *len += take_piece(&piece, reader, &mut tap(number, to_server, evidence, places, shared));
            });
            reader.finish(&mut tap(number, to_server, evidence, places, shared));
        }
        self.judge_tls();
    }

    /// What the flow speaks; `None` if no byte was sent.
    pub(crate) fn protocol(&self) -> Option<Protocol> {
        if self.is_udp {
            return Some(Protocol::Udp);
        }
        self.up.reader.protocol().or_else(|| self.down.reader.protocol())
    }

    fn see(&mut self, time_ns: u64) {
        self.from_ns = self.from_ns.min(time_ns);
        self.to_ns = self.to_ns.max(time_ns);
    }

    /// Notes what was agreed and does not protect.
    fn judge_tls(&mut self) {
        let carried = self.evidence.encrypted_len > 0;
        if self.protocol() != Some(Protocol::Tls) || !carried {
            return;
        }
        let Some(hello) = self.evidence.server_hello.filter(|hello| !hello.is_retry) else {
            return self.evidence.note(Reason::NoHandshake);
        };
        if hello.version < 0x0303 {
            self.evidence.note(Reason::OldVersion);
        }
        match suite::encryption(hello.suite) {
            Some(Encryption::None) => self.evidence.note(Reason::NullCipher),
            Some(_) => {}
            None => self.evidence.note(Reason::UnknownSuite),
        }
    }
}

/// Client and server of a connection of which the beginning is not known: servers have the lower ports.
pub(crate) fn client_first(ends: Ends, ports: &[u16]) -> (SocketAddr, SocketAddr) {
    let Ends { source, destination } = ends;
    let is_served = |end: SocketAddr| ports.contains(&end.port());
    let to_server = match (is_served(source), is_served(destination)) {
        (false, true) => true,
        (true, false) => false,
        _ => destination.port() <= source.port(),
    };
    if to_server { (source, destination) } else { (destination, source) }
}

fn tap<'a>(
    flow: u32,
    to_server: bool,
    evidence: &'a mut Evidence,
    places: &'a mut Places,
    shared: &'a mut Shared<'_>,
) -> Tap<'a> {
    let Shared { search, blocks, findings } = shared;
    Tap { search, blocks, findings, evidence, places, flow, to_server, time_ns: 0 }
}

/// How many bytes it had.
fn take_piece(piece: &Piece<'_>, reader: &mut Reader, tap: &mut Tap<'_>) -> u64 {
    match *piece {
        Piece::Data { at, bytes, time_ns } => {
            tap.time_ns = time_ns;
            reader.feed(at, bytes, tap);
            bytes.len() as u64
        }
        Piece::Gap { len } => {
            reader.gap(len, tap);
            0
        }
    }
}
