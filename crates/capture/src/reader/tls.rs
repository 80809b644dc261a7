//! Records of TLS (RFC 8446 §5.1, RFC 5246 §6.2): the messages in the clear are read, the rest is searched for what should not be
//! readable there and for blocks that repeat.

use crate::blocks::BLOCK_LEN;
use crate::bytes::Bytes;
use crate::evidence::{Evidence, Protocol, Reason};
use crate::hello::{psk_identities, server_hello};
use crate::suite::{Encryption, encryption};
use crate::tap::Tap;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
const HEARTBEAT: u8 = 24;

const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const TLS_1_2: u16 = 0x0303;
const TLS_1_3: u16 = 0x0304;

/// The longest content of a record, with what encryption adds.
const RECORD_LEN_MAX: u16 = (1 << 14) + 2_048;
/// The longest message of a handshake that is read; certificates are the longest there are.
const MESSAGE_LEN_MAX: usize = 64 << 10;
/// In TLS 1.2 with GCM a record begins with a number that is no ciphertext (RFC 5288 §3).
const EXPLICIT_NONCE_LEN: usize = 8;

/// Records of one direction.
#[derive(Default)]
pub(crate) struct TlsReader {
    head: Vec<u8>,
    kind: u8,
    /// Bytes of the present record that are still to come.
    left: usize,
    /// Messages of the handshake, as far as they have come, and where they began.
    messages: Vec<u8>,
    messages_at: u64,
    is_encrypted: bool,
    blocks: BlockCutter,
    lost: Option<Lost>,
}

/// Why it is no longer known where records begin.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lost {
    Gap,
    NotTls,
}

impl TlsReader {
    pub(crate) fn feed(&mut self, at: u64, bytes: &[u8], tap: &mut Tap<'_>) {
        let mut rest = Bytes(bytes);
        while !rest.0.is_empty() {
            let at = at + (bytes.len() - rest.0.len()) as u64;
            match self.lost {
                // Most likely more of the same, so that short names would be found by chance.
                Some(Lost::Gap) => return tap.cipher(at, rest.0),
                Some(Lost::NotTls) => return tap.plain(at, rest.0),
                None if self.left == 0 => {
                    self.head.extend(rest.u8());
                    self.begin(at, tap);
                }
                None => {
                    let part = rest.take(self.left.min(rest.0.len())).unwrap_or_default();
                    self.left -= part.len();
                    self.take(at, part, tap);
                }
            }
        }
    }

    /// So many bytes are missing. Within a record they change nothing but that; beyond it no one knows where the next begins.
    pub(crate) fn gap(&mut self, len: u64) {
        let within = usize::try_from(len).ok().and_then(|len| self.left.checked_sub(len));
        match within {
            Some(left) if self.kind == APPLICATION_DATA && self.is_encrypted => {
                self.left = left;
                self.blocks.lose_step();
            }
            _ => self.lost = self.lost.or(Some(Lost::Gap)),
        }
    }

    /// A message that did not come to its end is searched as far as it came.
    pub(crate) fn finish(&mut self, tap: &mut Tap<'_>) {
        let messages = std::mem::take(&mut self.messages);
        let identities = if messages.first() == Some(&CLIENT_HELLO) { 0..messages.len() } else { 0..0 };
        tap.message(self.messages_at, &messages, identities);
    }

    /// Begins a record when its header is whole.
    fn begin(&mut self, at: u64, tap: &mut Tap<'_>) {
        let &[kind, major, minor, high, low] = self.head.as_slice() else { return };
        let len = u16::from_be_bytes([high, low]);
        let is_tls = (CHANGE_CIPHER_SPEC..=HEARTBEAT).contains(&kind) && major == 3 && minor <= 4;
        if !is_tls || len > RECORD_LEN_MAX {
            self.lost = Some(Lost::NotTls);
            let at = at.saturating_sub(4);
            tap.evidence.note(Reason::NotTls { at });
            tap.evidence.note(Reason::NotJudged(Protocol::Unknown));
            tap.plain(at, &self.head);
            return;
        }
        self.head.clear();
        (self.kind, self.left) = (kind, usize::from(len));
        let version = tap.evidence.server_hello.map(|hello| hello.version);
        match kind {
            CHANGE_CIPHER_SPEC => self.is_encrypted = true,
            APPLICATION_DATA if !self.is_encrypted => {
                if version == Some(TLS_1_2) {
                    tap.evidence.note(Reason::BeforeEncryption);
                }
                self.is_encrypted = true;
            }
            _ => {}
        }
        self.blocks.start(if is_gcm_of_tls_1_2(tap.evidence) { EXPLICIT_NONCE_LEN } else { 0 });
    }

    /// Part of a record's content.
    fn take(&mut self, at: u64, part: &[u8], tap: &mut Tap<'_>) {
        let hello = tap.evidence.server_hello;
        // In TLS 1.3 what is encrypted calls itself application data.
        let is_tls_1_3 = hello.is_some_and(|hello| hello.version == TLS_1_3);
        match self.kind {
            CHANGE_CIPHER_SPEC => tap.plain(at, part),
            HANDSHAKE if !self.is_encrypted || is_tls_1_3 => self.take_messages(at, part, tap),
            ALERT | HEARTBEAT if !self.is_encrypted || is_tls_1_3 => tap.plain(at, part),
            _ if hello.and_then(|hello| encryption(hello.suite)) == Some(Encryption::None) => {
                tap.plain(at, part);
                tap.evidence.encrypted_len += part.len() as u64;
            }
            _ => {
                tap.cipher(at, part);
                tap.evidence.encrypted_len += part.len() as u64;
                self.blocks.feed(at, part, tap);
            }
        }
    }

    fn take_messages(&mut self, at: u64, part: &[u8], tap: &mut Tap<'_>) {
        if self.messages.is_empty() {
            self.messages_at = at;
        }
        self.messages.extend_from_slice(part);
        loop {
            let mut bytes = Bytes(&self.messages);
            let Some([kind, a, b, c]) = bytes.array() else { return };
            let len = usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap_or(usize::MAX);
            if len > MESSAGE_LEN_MAX {
                tap.evidence.note(Reason::BadHandshake);
                self.lost = Some(Lost::NotTls);
                tap.plain(self.messages_at, &std::mem::take(&mut self.messages));
                return;
            }
            if bytes.0.len() < len {
                return;
            }
            let rest = self.messages.split_off(4 + len);
            let message = std::mem::replace(&mut self.messages, rest);
            self.read_message(kind, &message, tap);
            self.messages_at += message.len() as u64;
        }
    }

    fn read_message(&mut self, kind: u8, message: &[u8], tap: &mut Tap<'_>) {
        let body = message.get(4..).unwrap_or_default();
        let mut identities = 0..0;
        match kind {
            CLIENT_HELLO => {
                tap.evidence.client_hello = true;
                match psk_identities(body) {
                    Some(range) => identities = range.start + 4..range.end + 4,
                    None => tap.evidence.note(Reason::BadHandshake),
                }
            }
            SERVER_HELLO => match server_hello(body) {
                Some(hello) => {
                    tap.evidence.server_hello = Some(hello);
                    self.is_encrypted |= hello.version == TLS_1_3 && !hello.is_retry;
                }
                None => tap.evidence.note(Reason::BadHandshake),
            },
            _ if tap.evidence.server_hello.is_some_and(|hello| hello.version == TLS_1_3) => {
                tap.evidence.note(Reason::BeforeEncryption);
            }
            _ => {}
        }
        tap.message(self.messages_at, message, identities);
    }
}

fn is_gcm_of_tls_1_2(evidence: &Evidence) -> bool {
    evidence
        .server_hello
        .is_some_and(|hello| hello.version == TLS_1_2 && encryption(hello.suite) == Some(Encryption::Aead))
}

/// Cuts what a record encrypts into blocks.
#[derive(Default)]
struct BlockCutter {
    block: Vec<u8>,
    skip: usize,
    /// False after a gap: it is not known where blocks begin until the next record.
    in_step: bool,
}

impl BlockCutter {
    fn start(&mut self, skip: usize) {
        self.block.clear();
        (self.skip, self.in_step) = (skip, true);
    }

    fn lose_step(&mut self) {
        self.in_step = false;
    }

    fn feed(&mut self, at: u64, part: &[u8], tap: &mut Tap<'_>) {
        if !self.in_step {
            return;
        }
        let skipped = self.skip.min(part.len());
        self.skip -= skipped;
        let mut rest = Bytes(part.get(skipped..).unwrap_or_default());
        while !rest.0.is_empty() {
            let place = at + (part.len() - rest.0.len()) as u64;
            let wanted = (BLOCK_LEN - self.block.len()).min(rest.0.len());
            self.block.extend_from_slice(rest.take(wanted).unwrap_or_default());
            if let Ok(block) = <[u8; BLOCK_LEN]>::try_from(self.block.as_slice()) {
                let end = place + wanted as u64;
                tap.block(end.saturating_sub(BLOCK_LEN as u64), block);
                self.block.clear();
            }
        }
    }
}
