//! Makes captures: packets of one connection between 192.0.2.1:40000 and 192.0.2.9:9998, in pcap and pcapng files.

use vitalwire_capture::{CaptureError, FlowReport, Needles, Report, Verifier};

pub const CLIENT: ([u8; 4], u16) = ([192, 0, 2, 1], 40_000);
pub const SERVER: ([u8; 4], u16) = ([192, 0, 2, 9], 9_998);

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const ACK: u8 = 16;

/// A segment of TCP with 20 bytes of header.
pub fn tcp(from: u16, to: u16, sequence: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(from.to_be_bytes());
    bytes.extend(to.to_be_bytes());
    bytes.extend(sequence.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    bytes.extend(payload);
    bytes
}

/// A packet of IPv4.
pub fn ipv4(from: [u8; 4], to: [u8; 4], protocol: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x45, 0];
    bytes.extend(u16::try_from(20 + body.len()).unwrap().to_be_bytes());
    bytes.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    bytes.extend(from);
    bytes.extend(to);
    bytes.extend(body);
    bytes
}

/// A frame of Ethernet.
pub fn ethernet(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![2; 12];
    bytes.extend(kind.to_be_bytes());
    bytes.extend(body);
    bytes
}

/// The packets of a connection; its initial sequence numbers are 1,000 for the client and 9,000 for the server.
#[derive(Clone)]
pub struct Talk {
    pub packets: Vec<Vec<u8>>,
    next: [u32; 2],
    client: ([u8; 4], u16),
}

impl Talk {
    /// A connection that was opened.
    pub fn new() -> Self {
        Self::between(CLIENT, 1_000)
    }

    pub fn between(client: ([u8; 4], u16), first: u32) -> Self {
        let mut talk = Self { packets: Vec::new(), next: [first, 9_000], client };
        talk.up_at(first, SYN, b"");
        talk.down_at(9_000, SYN | ACK, b"");
        talk.next = [first.wrapping_add(1), 9_001];
        talk
    }

    /// The client says something.
    pub fn up(mut self, payload: &[u8]) -> Self {
        self.up_at(self.next[0], ACK, payload);
        self.next[0] = self.next[0].wrapping_add(u32::try_from(payload.len()).unwrap());
        self
    }

    /// The server says something.
    pub fn down(mut self, payload: &[u8]) -> Self {
        self.down_at(self.next[1], ACK, payload);
        self.next[1] = self.next[1].wrapping_add(u32::try_from(payload.len()).unwrap());
        self
    }

    /// A segment of the client with this sequence number.
    pub fn up_at(&mut self, sequence: u32, flags: u8, payload: &[u8]) {
        let (address, port) = self.client;
        let segment = tcp(port, SERVER.1, sequence, flags, payload);
        self.packets.push(ethernet(0x0800, &ipv4(address, SERVER.0, 6, &segment)));
    }

    fn down_at(&mut self, sequence: u32, flags: u8, payload: &[u8]) {
        let (address, port) = self.client;
        let segment = tcp(SERVER.1, port, sequence, flags, payload);
        self.packets.push(ethernet(0x0800, &ipv4(SERVER.0, address, 6, &segment)));
    }

    pub fn pcap(&self) -> Vec<u8> {
        pcap(1, &self.packets)
    }
}

/// Microseconds since 1970 of the first packet; the others follow a millisecond apart: 2026-11-24T21:37:31.5Z.
pub const FIRST_US: u64 = 1_795_556_251_500_000;

/// A pcap file in little-endian order with times in microseconds.
pub fn pcap(link_type: u32, packets: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    file.extend(0xa1b2_c3d4_u32.to_le_bytes());
    file.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0]);
    file.extend(link_type.to_le_bytes());
    for (index, packet) in packets.iter().enumerate() {
        let time_us = FIRST_US + 1_000 * index as u64;
        let len = u32::try_from(packet.len()).unwrap();
        for number in [
            u32::try_from(time_us / 1_000_000).unwrap(),
            u32::try_from(time_us % 1_000_000).unwrap(),
            len,
            len,
        ] {
            file.extend(number.to_le_bytes());
        }
        file.extend(packet);
    }
    file
}

/// A block of a pcapng file.
pub fn block(kind: u32, big_endian: bool, content: &[u8]) -> Vec<u8> {
    let padded = content.len().next_multiple_of(4);
    let len = u32::try_from(12 + padded).unwrap();
    let number = |number: u32| if big_endian { number.to_be_bytes() } else { number.to_le_bytes() };
    let mut bytes = [number(kind), number(len)].concat();
    bytes.extend(content);
    bytes.resize(8 + padded, 0);
    bytes.extend(number(len));
    bytes
}

/// A pcapng file with one interface of Ethernet and times in units of 10^-9 s.
pub fn pcapng(big_endian: bool, packets: &[Vec<u8>]) -> Vec<u8> {
    let u16_of = |number: u16| if big_endian { number.to_be_bytes() } else { number.to_le_bytes() };
    let u32_of = |number: u32| if big_endian { number.to_be_bytes() } else { number.to_le_bytes() };
    let section = [&u32_of(0x1a2b_3c4d)[..], &u16_of(1), &u16_of(0), &[0xff; 8]].concat();
    let resolution = [&u16_of(9)[..], &u16_of(1), &[9, 0, 0, 0], &[0; 4]].concat();
    let interface = [&u16_of(1)[..], &[0, 0], &u32_of(0), &resolution].concat();
    let mut file = [block(0x0a0d_0d0a, big_endian, &section), block(1, big_endian, &interface)].concat();
    for (index, packet) in packets.iter().enumerate() {
        let time_ns = (FIRST_US + 1_000 * index as u64) * 1_000;
        let len = u32_of(u32::try_from(packet.len()).unwrap());
        let high = u32_of(u32::try_from(time_ns >> 32).unwrap());
        let low = u32_of(u32::try_from(time_ns & 0xffff_ffff).unwrap());
        let content = [&u32_of(0)[..], &high, &low, &len, &len, packet].concat();
        file.extend(block(6, big_endian, &content));
    }
    file
}

/// What the verifier says of a file.
pub fn verify(file: &[u8]) -> Report {
    verify_with(Needles::general(), file)
}

pub fn verify_with(needles: Needles, file: &[u8]) -> Report {
    try_verify(needles, file).unwrap()
}

pub fn try_verify(needles: Needles, file: &[u8]) -> Result<Report, CaptureError> {
    let mut verifier = Verifier::new(needles, &[]).unwrap();
    verifier.read(file, |_| {})?;
    Ok(verifier.finish())
}

/// The only flow of a file.
pub fn flow(talk: &Talk) -> FlowReport {
    let mut report = verify(&talk.pcap());
    assert_eq!(report.flows.len(), 1);
    report.flows.remove(0)
}

/// The kinds of a flow's reasons.
pub fn reasons(flow: &FlowReport) -> Vec<&'static str> {
    flow.reasons.iter().map(|reason| reason.kind).collect()
}

/// A record of TLS.
pub fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, 3, 3];
    bytes.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
    bytes.extend(content);
    bytes
}

/// A message of a handshake in a record of its own.
pub fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).unwrap().to_be_bytes();
    record(22, &[&[kind], &len[1..], body].concat())
}

pub fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    let len = u16::try_from(content.len()).unwrap();
    [&kind.to_be_bytes()[..], &len.to_be_bytes(), content].concat()
}

/// A `ClientHello` that offers a pre-shared key of this identity.
pub fn client_hello(identity: &[u8]) -> Vec<u8> {
    let len = |len: usize| u16::try_from(len).unwrap().to_be_bytes();
    let identity = [&len(identity.len())[..], identity, &[0; 4]].concat();
    let offered = [&len(identity.len())[..], &identity, &[0, 33, 32], &[7; 32]].concat();
    let extensions = [extension(43, &[2, 3, 4]), extension(41, &offered)].concat();
    let start = [&[3, 3][..], &[1; 32], &[0], &[0, 2, 0x13, 0x03], &[1, 0]].concat();
    handshake(1, &[&start[..], &len(extensions.len()), &extensions].concat())
}

/// A `ServerHello` with these extensions.
pub fn server_hello(suite: u16, extensions: &[u8]) -> Vec<u8> {
    let len = u16::try_from(extensions.len()).unwrap().to_be_bytes();
    let start = [&[3, 3][..], &[2; 32], &[0], &suite.to_be_bytes(), &[0]].concat();
    handshake(2, &[&start[..], &len, extensions].concat())
}

/// What TLS 1.3 with a pre-shared key and a key share answers.
pub fn tls_1_3_extensions() -> Vec<u8> {
    [extension(43, &[3, 4]), extension(51, &[0; 36]), extension(41, &[0, 0])].concat()
}

/// Bytes that look random and never repeat: splitmix64 from this seed.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).to_le_bytes()
    });
    words.flatten().take(len).collect()
}

/// A device's session on the secure link.
pub fn secure_link() -> Talk {
    Talk::new()
        .up(&client_hello(b"00112233445566778899aabbccddeeff"))
        .down(
            &[server_hello(0x1303, &tls_1_3_extensions()), record(20, &[1]), record(23, &noise(1, 90))]
                .concat(),
        )
        .up(&[record(20, &[1]), record(23, &noise(2, 53))].concat())
        .up(&record(23, &noise(3, 700)))
        .down(&record(23, &noise(4, 30)))
}
