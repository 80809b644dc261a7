//! A device in Configuration Mode, and a browser made of bytes.

use std::io::Read as _;

use rand_core::{CryptoRng, RngCore};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use vitalwire_device::crc::Crc32;
use vitalwire_device::identity::{Credentials, Identity};
use vitalwire_device::settings::Settings;
use vitalwire_device::setup::{About, Page, Setup, seal};
use vitalwire_device::store::SettingsStore;
use vitalwire_testing::device::{RuntimeClock, Socket};
use vitalwire_testing::flash::Flash;

pub(crate) const KEY: [u8; 16] = [0x5a; 16];
pub(crate) const HOST: &str = "192.168.4.1";
/// What a test's page says before the device's state.
pub(crate) const START: &str = "<!doctype html><script type=application/json id=state>";

pub(crate) type SmallFlash = Flash<1, 512>;
pub(crate) type Server<'d> = Setup<'d, SmallFlash, RuntimeClock, Counting>;

/// Draws that are all different, which is all that is asked of them here.
pub(crate) struct Counting(pub(crate) u64);

impl RngCore for Counting {
    fn next_u32(&mut self) -> u32 {
        rand_core::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        self.0 += 1;
        self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        rand_core::impls::fill_bytes_via_next(self, bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for Counting {}

/// What a device is before it serves.
pub(crate) struct World {
    pub(crate) store: SettingsStore<SmallFlash>,
    identity: Identity,
    page: Page,
    hosts: Vec<&'static str>,
    starts: u64,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            store: SettingsStore::new(Flash::new(2)).unwrap(),
            identity: Identity {
                name: "icu-07".try_into().unwrap(),
                setup_key: KEY,
                seed: [1; 32],
                access_point_password: None,
                credentials: Credentials::Frames { key: [2; 16], iv: [3; 16] },
                tag: [0; 16],
            },
            page: page(),
            hosts: vec![HOST],
            starts: 0,
        }
    }

    /// The server of this device, after a start.
    pub(crate) fn server(&mut self) -> Server<'_> {
        let about =
            About { page: &self.page, identity: &self.identity, firmware: "0.1.0", hosts: &self.hosts };
        self.starts += 1;
        Setup::new(about, &mut self.store, None, RuntimeClock::start(), Counting(self.starts << 32))
    }
}

/// A page as the build makes one: a gzip member up to a byte boundary, here in a stored block.
fn page() -> Page {
    let mut gzip = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff\x00".to_vec();
    let len = u16::try_from(START.len()).unwrap();
    gzip.extend(len.to_le_bytes());
    gzip.extend((!len).to_le_bytes());
    gzip.extend(START.as_bytes());
    Page {
        gzip: gzip.leak(),
        len: u32::from(len),
        crc32: Crc32::new().over(START.as_bytes()).end(),
        content_security_policy: "default-src 'none'",
    }
}

pub(crate) fn settings() -> Settings {
    Settings::new("gateway.example", 9_998, b"Ward\xff", "correct horse").unwrap()
}

/// An answer, taken apart.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let end =
            bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("an answer has a head") + 4;
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let body = bytes[end..].to_vec();
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
        assert!(head.contains("\r\nConnection: close\r\n"), "{head}");
        Self { status: head[9..12].parse().unwrap(), head, body }
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The page, unpacked; its check is checked.
    pub(crate) fn page(&self) -> String {
        let mut page = String::new();
        flate2::read::GzDecoder::new(&self.body[..]).read_to_string(&mut page).unwrap();
        page
    }

    /// What the device says in its page.
    pub(crate) fn state(&self) -> serde_json::Value {
        let page = self.page();
        let state = page.strip_prefix(START).unwrap().strip_suffix("</script>").unwrap();
        serde_json::from_str(state).unwrap()
    }
}

/// A connection to the server, and whatever `browse` does with it; the settings that were saved by it.
pub(crate) async fn connect<T>(
    server: &Server<'_>,
    browse: impl AsyncFnOnce(DuplexStream) -> T,
) -> (Option<Settings>, T) {
    let (browser, device) = duplex(64 * 1_024);
    let serve = async {
        let mut socket = Socket(device);
        server.serve_connection(&mut socket).await
    };
    tokio::join!(serve, browse(browser))
}

/// Sends a request in pieces of so many bytes and reads the answer to its end.
pub(crate) async fn ask(server: &Server<'_>, request: &[u8], piece_len: usize) -> (Option<Settings>, Answer) {
    let (saved, answer) = connect(server, async |mut browser| {
        let mut answer = Vec::new();
        for piece in request.chunks(piece_len) {
            // The server may have answered already.
            if browser.write_all(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        browser.read_to_end(&mut answer).await.unwrap();
        answer
    })
    .await;
    (saved, Answer::from_bytes(&answer))
}

pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\nAccept-Encoding: gzip\r\n\r\n").into_bytes()
}

pub(crate) fn post(body: &[u8]) -> Vec<u8> {
    let head = format!("POST /save HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// The page must always be there; the nonce that it has.
pub(crate) async fn nonce(server: &Server<'_>) -> [u8; 16] {
    let (saved, answer) = ask(server, &get("/"), 4_096).await;
    assert_eq!((saved, answer.status), (None, 200));
    let nonce = answer.state()["nonce"].as_str().unwrap().to_owned();
    std::array::from_fn(|at| u8::from_str_radix(&nonce[2 * at..2 * at + 2], 16).unwrap())
}

/// The body of a save.
pub(crate) fn sealed(settings: &Settings, key: &[u8; 16], nonce: &[u8; 16]) -> Vec<u8> {
    let mut body = [0; 512];
    let len = seal::seal(settings, key, nonce, &[9; 12], &mut body).unwrap();
    body[..len].to_vec()
}
