//! The configuration server: whatever a connection carries, in whatever pieces, ends in one whole answer or none, and the
//! page is there after it.
#![no_main]

use std::convert::Infallible;
use std::future::{Future, pending};

use embassy_futures::block_on;
use embedded_io_async::{ErrorType, Read, Write};
use embedded_storage::nor_flash::{self, NorFlash, ReadNorFlash};
use libfuzzer_sys::fuzz_target;
use rand_core::{CryptoRng, RngCore};
use vitalwire_device::clock::Clock;
use vitalwire_device::identity::{Credentials, Identity};
use vitalwire_device::setup::{About, Page, Setup};
use vitalwire_device::store::SettingsStore;

const KEY: [u8; 16] = [1; 16];
const PAGE: Page = Page { gzip: &[0x1f], len: 0, crc32: 0, content_security_policy: "p" };

fuzz_target!(|data: &[u8]| {
    // An odd first byte: the rest is CBOR that is sealed and saved. The byte is also the length of the pieces.
    let Some((first, rest)) = data.split_first() else { return };
    let request = if first & 1 == 1 { save(rest) } else { rest.to_vec() };
    let identity = Identity {
        name: "n".try_into().expect("it is short"),
        setup_key: KEY,
        seed: [0; 32],
        access_point_password: None,
        credentials: Credentials::Frames { key: [0; 16], iv: [0; 16] },
        tag: [0; 16],
    };
    let mut store = SettingsStore::new(Flash([0xff; 1_024])).expect("it is large enough");
    let about = About { page: &PAGE, identity: &identity, firmware: "f", hosts: &["a"] };
    let setup = Setup::new(about, &mut store, None, Still, Same);
    let mut socket = Socket { input: &request, piece_len: usize::from(*first / 2) + 1, output: Vec::new() };
    let saved = block_on(setup.serve_connection(&mut socket));
    assert!(saved.is_none() || first & 1 == 1, "a save needs the key");
    if !socket.output.is_empty() {
        assert_whole(&socket.output);
    }
    let mut page = Socket { input: b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", piece_len: 64, output: Vec::new() };
    block_on(setup.serve_connection(&mut page));
    assert!(page.output.starts_with(b"HTTP/1.1 200 OK\r\n"));
    assert_whole(&page.output);
    drop(setup);
    assert_eq!(store.load(), saved);
});

fn assert_whole(answer: &[u8]) {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head ends") + 4;
    let head = std::str::from_utf8(&answer[..end]).expect("a head is text");
    assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", answer.len() - end)), "{head}");
}

/// A save of any CBOR under the right key and nonce.
fn save(cbor: &[u8]) -> Vec<u8> {
    use aes_gcm::aead::{Aead, KeyInit, Payload};
    let aad = [b"vitalwire setup v1".as_slice(), &[Same::BYTE; 16]].concat();
    let cipher = aes_gcm::Aes128Gcm::new(&KEY.into());
    let content = cipher.encrypt(&[0; 12].into(), Payload { msg: cbor, aad: &aad }).expect("it is short");
    let body = [&[Same::BYTE; 16][..], &[0; 12], &content].concat();
    let head = format!("POST /save HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), &body].concat()
}

/// A connection whose peer has sent everything, and takes everything.
struct Socket<'a> {
    input: &'a [u8],
    piece_len: usize,
    output: Vec<u8>,
}

impl ErrorType for Socket<'_> {
    type Error = Infallible;
}

impl Read for Socket<'_> {
    async fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        let len = self.piece_len.min(bytes.len()).min(self.input.len());
        let (piece, rest) = self.input.split_at(len);
        bytes[..len].copy_from_slice(piece);
        self.input = rest;
        Ok(len)
    }
}

impl Write for Socket<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.output.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// No time passes.
#[derive(Clone)]
struct Still;

impl Clock for Still {
    fn now_us(&self) -> u64 {
        0
    }

    fn wait_until_us(&self, _: u64) -> impl Future<Output = ()> {
        pending()
    }
}

/// Draws the same for ever, so that a save can be sealed before.
struct Same;

impl Same {
    const BYTE: u8 = 7;
}

impl RngCore for Same {
    fn next_u32(&mut self) -> u32 {
        u32::from_ne_bytes([Self::BYTE; 4])
    }

    fn next_u64(&mut self) -> u64 {
        u64::from_ne_bytes([Self::BYTE; 8])
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        bytes.fill(Self::BYTE);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        bytes.fill(Self::BYTE);
        Ok(())
    }
}

impl CryptoRng for Same {}

/// A flash of two sectors.
struct Flash([u8; 1_024]);

impl nor_flash::ErrorType for Flash {
    type Error = Infallible;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, at: u32, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.copy_from_slice(&self.0[at as usize..][..bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.0.len()
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 1;
    const ERASE_SIZE: usize = 512;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Infallible> {
        self.0[from as usize..to as usize].fill(0xff);
        Ok(())
    }

    fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), Infallible> {
        self.0[at as usize..][..bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}
