//! Tells from captured traffic (pcap, pcapng) what in it was not encrypted: the protocol of each connection, what TLS agreed on,
//! names and keys that lie open, and blocks of ciphertext that repeat.
//!
//! It works in bounded memory, decrypts nothing, opens no file and no socket, and never shows a key, a value or a byte of the
//! capture. What it has not seen it does not guess: a gap in a connection keeps that from counting as encrypted.

mod blocks;
mod bytes;
mod error;
mod evidence;
mod flow;
mod hello;
mod limits;
mod needle;
mod packet;
mod reader;
mod record;
mod report;
mod stream;
mod suite;
mod tap;
mod verifier;

pub use error::{CaptureError, NeedleError};
pub use needle::{NeedleKind, Needles, Searched};
pub use report::{
    Finding, FlowReport, OtherPackets, ReasonReport, RepeatReport, Report, Time, TlsReport, Verdict,
};
pub use verifier::Verifier;
