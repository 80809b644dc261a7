//! Why a capture cannot be read.

use std::io;

use crate::limits::{FLOWS_MAX, RECORD_LEN_MAX};

/// Why a capture cannot be read to its end. Offsets are those of the file, in bytes.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum CaptureError {
    #[error("cannot read it: {0}")]
    Read(#[source] io::Error),
    /// A file of no bytes, which tcpdump leaves when it is stopped before its first packet was written.
    #[error("it is empty; stop tcpdump with Ctrl-C so that it writes what it holds, or give it -U")]
    Empty,
    #[error("it is no pcap or pcapng file: {hint}")]
    NotACapture {
        /// What it may be instead.
        hint: &'static str,
    },
    #[error(
        "it is cut off within the record at byte {at}, after {packets} packets: copy it again, or, if tcpdump still \
         writes it, stop that first"
    )]
    Cut { at: u64, packets: u64 },
    #[error(
        "the record at byte {at} says that it has {len} bytes, over the limit of {RECORD_LEN_MAX}: the file is damaged"
    )]
    TooLong { at: u64, len: u64 },
    /// A record contradicts itself.
    #[error("the record at byte {at} is damaged: {what}")]
    Malformed { at: u64, what: &'static str },
    #[error(
        "its packets have link type {number}, which is not supported; capture on Ethernet, loopback, or `-i any`"
    )]
    LinkType {
        /// The number in the registry of tcpdump.org.
        number: u32,
    },
    #[error(
        "it holds more than {FLOWS_MAX} connections: name the ports that matter with --port, or verify it in parts \
         (`tcpdump -r FILE -w PART -C 100`)"
    )]
    TooManyFlows,
}

/// Why the search cannot be set up.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum NeedleError {
    #[error(
        "names and keys of {len} bytes are over the limit of {max} for one search; verify without --data"
    )]
    TooMany { len: usize, max: usize },
}
