//! Packets out of pcap and pcapng files, one at a time. `pcap-parser` reads the blocks; this module holds no more of the file
//! than one of them, checks each length when it is announced, and tells a cut file from a damaged one.

use std::io::Read;

use pcap_parser::pcap::{
    LegacyPcapBlock, PcapHeader, parse_pcap_frame, parse_pcap_frame_be, parse_pcap_frame_modified,
    parse_pcap_header,
};
use pcap_parser::pcapng::{Block, EnhancedPacketBlock, SimplePacketBlock, parse_block_be, parse_block_le};

use crate::error::CaptureError;
use crate::limits::RECORD_LEN_MAX;

/// How much is read from the file at once.
const CHUNK_LEN: usize = 256 << 10;
/// The most interfaces of a section: each takes a few bytes of memory.
const INTERFACES_MAX: usize = 4_096;

/// Length of a pcap file's header.
const PCAP_HEADER_LEN: usize = 24;
/// What a pcapng file begins with, in either byte order.
const SECTION_HEADER: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
/// Type and length of a pcapng block, which each block begins with, and the byte order of a section.
const BLOCK_HEADER_LEN: usize = 12;
/// A packet in the form of before 2014; `pcap-parser` does not know it.
const OBSOLETE_PACKET_BLOCK: u32 = 2;

/// One captured packet.
pub(crate) struct Record<'a> {
    /// Nanoseconds since 1970; that of the packet before where the file has none.
    pub(crate) time_ns: u64,
    /// What the packet begins with, a number of tcpdump.org's registry.
    pub(crate) link_type: u32,
    pub(crate) data: &'a [u8],
    /// Length on the wire, of which `data` may be the beginning only.
    pub(crate) wire_len: usize,
}

/// The packets of a file.
pub(crate) struct Records<R> {
    window: Window<R>,
    format: Format,
    time_ns: u64,
}

enum Format {
    Pcap { header: PcapHeader },
    PcapNg { big_endian: bool, interfaces: Vec<Interface> },
}

#[derive(Clone, Copy)]
struct Interface {
    link_type: u32,
    snap_len: u32,
    /// `if_tsresol`: the unit of times.
    resolution: u8,
    /// `if_tsoffset`: seconds to add to each time.
    offset_s: i64,
}

impl<R: Read> Records<R> {
    pub(crate) fn open(file: R) -> Result<Self, CaptureError> {
        let mut window = Window { file, buffer: Vec::new(), start: 0, held: 0, at: 0, packets: 0 };
        let Some(magic) = window.want(4)?.and_then(|bytes| bytes.first_chunk::<4>().copied()) else {
            return Err(CaptureError::Empty);
        };
        if magic == SECTION_HEADER {
            let format = Format::PcapNg { big_endian: false, interfaces: Vec::new() };
            return Ok(Self { window, format, time_ns: 0 });
        }
        if !is_pcap(magic) {
            return Err(CaptureError::NotACapture { hint: hint(magic) });
        }
        window.hold(PCAP_HEADER_LEN);
        let bytes = window.want(PCAP_HEADER_LEN)?.unwrap_or_default();
        let Ok((_, header)) = parse_pcap_header(bytes) else {
            return Err(window.malformed("its header is none of pcap"));
        };
        Ok(Self { window, format: Format::Pcap { header }, time_ns: 0 })
    }

    /// How many bytes of the file are behind.
    pub(crate) fn position(&self) -> u64 {
        self.window.at
    }

    /// The next packet; `None` at the end of the file.
    pub(crate) fn next(&mut self) -> Result<Option<Record<'_>>, CaptureError> {
        self.window.release();
        let found = match &mut self.format {
            Format::Pcap { header } => next_of_pcap(&mut self.window, header)?,
            Format::PcapNg { big_endian, interfaces } => {
                next_of_pcapng(&mut self.window, big_endian, interfaces)?
            }
        };
        let Some(found) = found else { return Ok(None) };
        self.window.packets += 1;
        self.time_ns = found.time_ns.unwrap_or(self.time_ns);
        let record = self.window.buffer.get(self.window.start..).unwrap_or_default();
        Ok(Some(Record {
            time_ns: self.time_ns,
            link_type: found.link_type,
            data: record.get(found.data_start..found.data_start + found.data_len).unwrap_or_default(),
            wire_len: found.wire_len,
        }))
    }
}

/// Where a packet lies in the record that the window holds.
struct Found {
    time_ns: Option<u64>,
    link_type: u32,
    data_start: usize,
    data_len: usize,
    wire_len: usize,
}

fn is_pcap(magic: [u8; 4]) -> bool {
    let orders = [u32::from_le_bytes(magic), u32::from_be_bytes(magic)];
    orders.iter().any(|magic| matches!(magic, 0xa1b2_c3d4 | 0xa1b2_3c4d))
        || u32::from_le_bytes(magic) == 0xa1b2_cd34
}

fn hint(magic: [u8; 4]) -> &'static str {
    match magic {
        [0x1f, 0x8b, ..] => "it is compressed; unpack it with gunzip",
        [0x28, 0xb5, 0x2f, 0xfd] => "it is compressed; unpack it with unzstd",
        [0xfd, b'7', b'z', b'X'] => "it is compressed; unpack it with unxz",
        _ => "make one with `tcpdump -w FILE`",
    }
}

fn next_of_pcap(window: &mut Window<impl Read>, header: &PcapHeader) -> Result<Option<Found>, CaptureError> {
    let head_len = if header.is_modified_format() { 24 } else { 16 };
    let Some(head) = window.want(head_len)? else { return Ok(None) };
    let announced = head.get(8..).and_then(|rest| rest.first_chunk::<4>()).copied().unwrap_or_default();
    let announced =
        if header.is_bigendian() { u32::from_be_bytes(announced) } else { u32::from_le_bytes(announced) };
    let len = window.checked_len(u64::from(announced) + head_len as u64)?;
    window.hold(len);
    let bytes = window.want(len)?.unwrap_or_default();
    let parsed = match (header.is_modified_format(), header.is_bigendian()) {
        (true, _) => parse_pcap_frame_modified(bytes),
        (false, true) => parse_pcap_frame_be(bytes),
        (false, false) => parse_pcap_frame(bytes),
    };
    let Ok((_, LegacyPcapBlock { ts_sec, ts_usec, origlen, data, .. })) = parsed else {
        return Err(window.malformed("its length is not that of its packet"));
    };
    let unit_ns = if header.is_nanosecond_precision() { 1 } else { 1_000 };
    Ok(Some(Found {
        time_ns: Some(u64::from(ts_sec) * 1_000_000_000 + u64::from(ts_usec) * unit_ns),
        // The upper half says how long a frame check sequence is.
        link_type: header.network.0.cast_unsigned() & 0xffff,
        data_start: head_len,
        data_len: data.len(),
        wire_len: usize::try_from(origlen).unwrap_or(data.len()),
    }))
}

fn next_of_pcapng(
    window: &mut Window<impl Read>,
    big_endian: &mut bool,
    interfaces: &mut Vec<Interface>,
) -> Result<Option<Found>, CaptureError> {
    loop {
        window.release();
        let Some(head) = window.want(BLOCK_HEADER_LEN)? else { return Ok(None) };
        let Some((kind, len)) = block_head(head, big_endian) else {
            return Err(window.malformed("its section has no byte order"));
        };
        let len = window.checked_len(u64::from(len))?;
        if len < BLOCK_HEADER_LEN || !len.is_multiple_of(4) {
            return Err(window.malformed("its length is none of a block"));
        }
        if kind == OBSOLETE_PACKET_BLOCK {
            return Err(
                window.malformed("a packet block of before 2014; convert the file with `editcap -F pcap`")
            );
        }
        window.hold(len);
        let at = window.at;
        let damage = |what| CaptureError::Malformed { at, what };
        let bytes = window.want(len)?.unwrap_or_default();
        let parsed = if *big_endian { parse_block_be(bytes) } else { parse_block_le(bytes) };
        let Ok((_, block)) = parsed else {
            return Err(window.malformed("its content does not fit its length"));
        };
        match block {
            Block::SectionHeader(_) => interfaces.clear(),
            Block::InterfaceDescription(block) => {
                if interfaces.len() == INTERFACES_MAX {
                    return Err(window.malformed("its section has too many interfaces"));
                }
                interfaces.push(Interface {
                    link_type: block.linktype.0.cast_unsigned(),
                    snap_len: block.snaplen,
                    resolution: block.if_tsresol,
                    offset_s: block.if_tsoffset,
                });
            }
            Block::EnhancedPacket(block) => {
                return enhanced_packet(&block, interfaces).map(Some).map_err(damage);
            }
            Block::SimplePacket(block) => return simple_packet(&block, interfaces).map(Some).map_err(damage),
            _ => {}
        }
    }
}

fn enhanced_packet(block: &EnhancedPacketBlock<'_>, interfaces: &[Interface]) -> Result<Found, &'static str> {
    let id = usize::try_from(block.if_id).unwrap_or(usize::MAX);
    let interface = interfaces.get(id).ok_or("it names an interface that its section does not have")?;
    let units = u64::from(block.ts_high) << 32 | u64::from(block.ts_low);
    Ok(Found {
        time_ns: Some(interface.time_ns(units)),
        link_type: interface.link_type,
        data_start: 28,
        data_len: usize::try_from(block.caplen).unwrap_or(0).min(block.data.len()),
        wire_len: usize::try_from(block.origlen).unwrap_or(0),
    })
}

fn simple_packet(block: &SimplePacketBlock<'_>, interfaces: &[Interface]) -> Result<Found, &'static str> {
    let interface = interfaces.first().ok_or("a packet comes before any interface")?;
    let wire_len = usize::try_from(block.origlen).unwrap_or(0);
    let snap_len = match interface.snap_len {
        0 => usize::MAX,
        len => usize::try_from(len).unwrap_or(usize::MAX),
    };
    Ok(Found {
        time_ns: None,
        link_type: interface.link_type,
        data_start: 12,
        data_len: wire_len.min(snap_len).min(block.data.len()),
        wire_len,
    })
}

/// Type and length of a block; a section header also says in which byte order it and what follows is.
fn block_head(head: &[u8], big_endian: &mut bool) -> Option<(u32, u32)> {
    let (words, _) = head.as_chunks::<4>();
    let &[kind, len, order] = words else { return None };
    if kind == SECTION_HEADER {
        *big_endian = match order {
            [0x1a, 0x2b, 0x3c, 0x4d] => true,
            [0x4d, 0x3c, 0x2b, 0x1a] => false,
            _ => return None,
        };
    }
    let number = if *big_endian { u32::from_be_bytes } else { u32::from_le_bytes };
    Some((number(kind), number(len)))
}

impl Interface {
    /// A time of this interface in nanoseconds since 1970; what does not fit becomes the nearest that does.
    fn time_ns(&self, units: u64) -> u64 {
        let power = u32::from(self.resolution & 0x7f);
        let per_second =
            if self.resolution & 0x80 == 0 { 10_u128.checked_pow(power) } else { 1_u128.checked_shl(power) };
        let per_second = per_second.filter(|units| *units > 0).unwrap_or(u128::MAX);
        let ns = u128::from(units).saturating_mul(1_000_000_000) / per_second;
        let ns = i128::try_from(ns).unwrap_or(i128::MAX);
        let ns = ns.saturating_add(i128::from(self.offset_s) * 1_000_000_000);
        u64::try_from(ns.max(0)).unwrap_or(u64::MAX)
    }
}

/// The part of the file that is in memory: at most one record and what was read with it.
struct Window<R> {
    file: R,
    buffer: Vec<u8>,
    /// Where in `buffer` the present record begins.
    start: usize,
    /// How long the present record is, once that is known; [`Window::release`] steps over it.
    held: usize,
    /// Where in the file the present record begins.
    at: u64,
    packets: u64,
}

impl<R: Read> Window<R> {
    /// The first `len` bytes of the record; `None` if the file ends before it.
    fn want(&mut self, len: usize) -> Result<Option<&[u8]>, CaptureError> {
        let have = self.buffer.len() - self.start;
        if have < len {
            self.buffer.drain(..self.start);
            self.start = 0;
            let missing = len.max(CHUNK_LEN) - have;
            let file = self.file.by_ref();
            file.take(missing as u64).read_to_end(&mut self.buffer).map_err(CaptureError::Read)?;
        }
        match self.buffer.get(self.start..self.start + len) {
            Some(bytes) => Ok(Some(bytes)),
            None if self.buffer.len() == self.start && self.held == 0 => Ok(None),
            None => Err(CaptureError::Cut { at: self.at, packets: self.packets }),
        }
    }

    fn hold(&mut self, len: usize) {
        self.held = len;
    }

    fn release(&mut self) {
        self.start += self.held;
        self.at += self.held as u64;
        self.held = 0;
    }

    /// A length that was announced, if it may be read.
    fn checked_len(&self, len: u64) -> Result<usize, CaptureError> {
        let too_long = CaptureError::TooLong { at: self.at, len };
        usize::try_from(len).ok().filter(|len| *len <= RECORD_LEN_MAX).ok_or(too_long)
    }

    fn malformed(&self, what: &'static str) -> CaptureError {
        CaptureError::Malformed { at: self.at, what }
    }
}
