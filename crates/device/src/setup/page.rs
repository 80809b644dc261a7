//! The configuration page as it goes out: what the build made of it, and what this device has to say in it.
//!
//! It is one member of gzip (RFC 1952). Its first part is constant: header and deflate blocks up to a byte boundary
//! (RFC 1951 §3.2.4), which end inside `<script type=application/json …>`. The device adds one stored block with its state
//! and the trailer, so that a single request gets all, and nothing needs to be compressed here. Nothing that the device adds
//! is executed: the page's script reads it, and its content security policy is a constant.

use core::fmt::Write as _;

use heapless::String;

use crate::crc::Crc32;

/// A page, as `vitalwire-web` builds it.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// The first part of the gzip member.
    pub gzip: &'static [u8],
    /// Bytes of what that part is compressed from.
    pub len: u32,
    /// Their CRC-32.
    pub crc32: u32,
    /// What the page may do: run the one script and the one style that it was built with, and ask the device.
    pub content_security_policy: &'static str,
}

/// Bytes of the networks in it, at most: 16 with the longest names.
const NETWORKS_LEN_MAX: usize = 1_280;
/// Behind the state.
const END: &str = "</script>";
/// A last, stored block begins with this byte (RFC 1951 §3.2.3).
const LAST_STORED: u8 = 1;
/// Its head: that byte, the length and its complement.
const BLOCK_HEAD_LEN: usize = 5;
/// CRC-32 and length of everything.
const TRAILER_LEN: usize = 8;

/// What a device says in its page.
#[derive(Clone, Copy, Debug)]
pub(super) struct State<'s> {
    pub(super) id: &'s str,
    pub(super) firmware: &'s str,
    pub(super) nonce: &'s [u8],
    pub(super) trouble: Option<&'s str>,
    pub(super) wait_s: u64,
    pub(super) networks: &'s Networks,
}

impl Page {
    /// Writes what follows [`Self::gzip`] with this state into `out` and returns its length. `None`: it does not fit.
    pub(super) fn tail(&self, state: &State<'_>, out: &mut [u8]) -> Option<usize> {
        let (head, rest) = out.split_first_chunk_mut::<BLOCK_HEAD_LEN>()?;
        let mut cursor = Cursor::new(rest);
        state.write(&mut cursor).ok()?;
        let text_len = cursor.len();
        let (text, rest) = rest.split_at_mut_checked(text_len)?;
        let trailer = rest.first_chunk_mut::<TRAILER_LEN>()?;
        let len = u16::try_from(text_len).ok()?;
        let ([low, high], [not_low, not_high]) = (len.to_le_bytes(), (!len).to_le_bytes());
        *head = [LAST_STORED, low, high, not_low, not_high];
        let crc = Crc32::after(self.crc32).over(text).end();
        let (crc_out, len_out) = trailer.split_at_mut(TRAILER_LEN / 2);
        crc_out.copy_from_slice(&crc.to_le_bytes());
        len_out.copy_from_slice(&(self.len + u32::from(len)).to_le_bytes());
        Some(BLOCK_HEAD_LEN + text_len + TRAILER_LEN)
    }
}

/// Writes text into bytes, as far as it fits.
pub(super) struct Cursor<'o> {
    out: &'o mut [u8],
    len: usize,
}

impl<'o> Cursor<'o> {
    pub(super) fn new(out: &'o mut [u8]) -> Self {
        Self { out, len: 0 }
    }

    /// Bytes that were written.
    pub(super) fn len(&self) -> usize {
        self.len
    }
}

impl core::fmt::Write for Cursor<'_> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let end = self.len + text.len();
        self.out.get_mut(self.len..end).ok_or(core::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

impl State<'_> {
    fn write(&self, out: &mut Cursor<'_>) -> core::fmt::Result {
        let Self { id, firmware, nonce, trouble, wait_s, networks } = self;
        write!(out, "{{\"id\":{},\"firmware\":{},\"nonce\":\"{}\"", Text(id), Text(firmware), Hex(nonce))?;
        if let Some(trouble) = trouble {
            write!(out, ",\"trouble\":{}", Text(trouble))?;
        }
        write!(out, ",\"wait\":{wait_s},\"networks\":[{}]}}{END}", networks.json)
    }
}

/// The networks that the modem sees, as the page is told of them: `[name in hexadecimal digits, dBm, 1 if it has a
/// password]`. A name may be any bytes; as digits it is harmless.
#[derive(Debug, Default)]
pub(super) struct Networks {
    json: String<NETWORKS_LEN_MAX>,
}

impl Networks {
    /// One more; where it does not fit, it is left out. So are hidden networks, and those listed before: the same network
    /// has several stations.
    pub(super) fn push(&mut self, name: &[u8], rssi_dbm: i8, is_secured: bool) {
        let mut entry = String::<80>::new();
        let len = self.json.len();
        let comma = if len == 0 { "" } else { "," };
        if write!(entry, "[\"{}\",", Hex(name)).is_err()
            || name.is_empty()
            || self.json.contains(entry.as_str())
        {
            return;
        }
        if write!(self.json, "{comma}{entry}{rssi_dbm},{}]", u8::from(is_secured)).is_err() {
            self.json.truncate(len);
        }
    }
}

/// A text in JSON (RFC 8259 §7), of which nothing ends the script that it stands in.
pub(super) struct Text<'t>(pub(super) &'t str);

impl core::fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_char('"')?;
        for character in self.0.chars() {
            match character {
                '"' | '\\' | '<' | '\0'..='\u{1f}' => write!(f, "\\u{:04x}", u32::from(character))?,
                _ => f.write_char(character)?,
            }
        }
        f.write_char('"')
    }
}

/// Bytes as hexadecimal digits.
pub(super) struct Hex<'b>(pub(super) &'b [u8]);

impl core::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString;

    use super::*;

    #[test]
    fn a_text_ends_neither_its_quotes_nor_its_script() {
        assert_eq!(Text("a\"\\</script>\n").to_string(), r#""a\u0022\u005c\u003c/script>\u000a""#);
    }

    #[test]
    fn a_tail_is_one_stored_block_and_the_trailer() {
        let page = Page { gzip: b"", len: 9, crc32: 0xcbf4_3926, content_security_policy: "" };
        let mut networks = Networks::default();
        networks.push(b"W<\xff", -60, true);
        let state = State {
            id: "icu-07",
            firmware: "0.1.0",
            nonce: &[0xab; 2],
            trouble: Some("No <network>"),
            wait_s: 7,
            networks: &networks,
        };
        let text = "{\"id\":\"icu-07\",\"firmware\":\"0.1.0\",\"nonce\":\"abab\",\"trouble\":\"No \\u003cnetwork>\",\
                    \"wait\":7,\"networks\":[[\"573cff\",-60,1]]}</script>";
        let mut out = [0; 200];
        let len = page.tail(&state, &mut out).unwrap();
        for short in 0..len {
            assert_eq!(page.tail(&state, &mut std::vec![0; short]), None);
        }
        let tail = &out[..len];
        assert_eq!(tail[..5], [1, 127, 0, 128, 255]);
        assert_eq!(&tail[5..tail.len() - 8], text.as_bytes());
        let crc = Crc32::new().over(b"123456789").over(text.as_bytes()).end();
        assert_eq!(tail[tail.len() - 8..tail.len() - 4], crc.to_le_bytes());
        assert_eq!(tail[tail.len() - 4..], 136_u32.to_le_bytes());
    }

    #[test]
    fn sixteen_networks_of_the_longest_names_fit_with_the_longest_texts() {
        let mut networks = Networks::default();
        for number in 0..20 {
            networks.push(&[number; 32], -100, true);
            networks.push(&[number; 32], -100, true);
        }
        networks.push(b"", -30, false);
        assert_eq!(networks.json.matches('[').count(), 16);
        let page = Page { gzip: b"", len: 0, crc32: 0, content_security_policy: "" };
        let state = State {
            id: &"\"".repeat(64),
            firmware: &"1".repeat(32),
            nonce: &[0; 16],
            trouble: Some(&"t".repeat(100)),
            wait_s: 3_600,
            networks: &networks,
        };
        assert!(page.tail(&state, &mut [0; super::super::BUFFER_LEN]).is_some());
    }
}
