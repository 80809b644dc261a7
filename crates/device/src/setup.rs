//! Configuration Mode: the device serves one page on its own network and takes the settings that are saved there
//! (PROTOCOL.md §5).
//!
//! A connection carries one request and is closed; nothing but the page and a save is answered, and no request, however
//! long, slow or cut off, keeps the page from the next. It sees no setting that was not sealed with the setup key, and it
//! never says a setting back.

use core::cell::RefCell;
use core::fmt::Write as _;
use core::pin::pin;

use embedded_io_async::{Read, Write};
use embedded_storage::nor_flash::NorFlash;
use heapless::String;
use rand_core::CryptoRngCore;
use zeroize::Zeroize;

pub mod dns;
pub mod http;
mod network;
mod page;
pub mod seal;
mod tries;

use http::{AnswerHead, Refusal, Wanted};
pub use network::{NETWORK_NAME, configure};
pub use page::Page;
use page::{Cursor, Hex, Networks, State, Text};
use seal::{NONCE_LEN, Sealed};
pub use tries::TRIES_MAX;
use tries::Tries;

use crate::clock::{Clock, within};
use crate::identity::Identity;
use crate::settings::{Settings, SettingsError};
use crate::status::Trouble;
use crate::store::SettingsStore;

/// The port of the configuration page.
pub const PORT: u16 = 80;
/// How long a request may take to be here whole, in milliseconds from its connection.
pub const REQUEST_MS_MAX: u64 = 5_000;
/// How long an answer may take to be sent, in milliseconds.
const ANSWER_MS_MAX: u64 = 10_000;
/// How long, and how much of, what a refused request still sends is thrown away, in milliseconds and bytes: a connection
/// that is closed before would be reset, and its answer lost.
const DISCARD_MS_MAX: u64 = 1_000;
const DISCARD_LEN_MAX: usize = 16 * 1_024;
/// Bytes of a request, and of what an answer has besides its head and the constant part of the page, at most.
const BUFFER_LEN: usize = http::HEAD_LEN_MAX + http::BODY_LEN_MAX;

/// What the page says of the device, and what it is made of.
#[derive(Clone, Copy, Debug)]
pub struct About<'d> {
    /// The page as it was built.
    pub page: &'d Page,
    /// Who the device is, and what a save is sealed with.
    pub identity: &'d Identity,
    /// The version of its firmware.
    pub firmware: &'d str,
    /// The names that the page is served under: `192.168.4.1`. Other names are sent to the first of them, on port 80 unless
    /// it says another.
    pub hosts: &'d [&'d str],
}

/// The configuration server. Several connections may be served at once.
pub struct Setup<'d, F, C, R> {
    about: About<'d>,
    clock: C,
    trouble: Option<Trouble>,
    inner: RefCell<Inner<'d, F, R>>,
}

/// What connections share; never borrowed across an await.
struct Inner<'d, F, R> {
    store: &'d mut SettingsStore<F>,
    rng: R,
    networks: Networks,
    tries: Tries,
    /// The only one that a save may have; good for one try.
    nonce: [u8; NONCE_LEN],
    /// Settings were saved.
    is_saved: bool,
}

/// Why a save was not kept.
#[derive(Clone, Copy, Debug)]
enum NotSaved {
    /// Sealed with another key, or altered; at 0 tries the pause has begun.
    Key {
        tries: u8,
        wait_s: u64,
    },
    /// Sealed for a nonce that is not the present one.
    Stale,
    Settings(SettingsError),
    /// Too many wrong keys came before.
    Wait {
        seconds: u64,
    },
    Flash,
}

/// An answer: a head, the constant part of the page or nothing, and the rest of the body, which is in the buffer.
struct Answer {
    head: AnswerHead,
    constant: &'static [u8],
    rest_len: usize,
}

impl<'d, F: NorFlash, C: Clock, R: CryptoRngCore> Setup<'d, F, C, R> {
    /// A server that has seen no try yet. `trouble` is what went wrong last.
    pub fn new(
        about: About<'d>,
        store: &'d mut SettingsStore<F>,
        trouble: Option<Trouble>,
        clock: C,
        mut rng: R,
    ) -> Self {
        let mut nonce = [0; NONCE_LEN];
        rng.fill_bytes(&mut nonce);
        let inner =
            Inner { store, rng, networks: Networks::default(), tries: Tries::new(), nonce, is_saved: false };
        Self { about, clock, trouble, inner: RefCell::new(inner) }
    }

    /// Adds a network to those that the page offers: those received best first. Hidden ones, those that were listed, and
    /// those for which there is no room are left out.
    pub fn list_network(&self, name: &[u8], rssi_dbm: i8, is_secured: bool) {
        self.inner.borrow_mut().networks.push(name, rssi_dbm, is_secured);
    }

    /// The settings that were saved since the start, also by a connection whose future was dropped.
    pub fn saved(&self) -> Option<Settings> {
        let inner = &mut *self.inner.borrow_mut();
        if inner.is_saved { inner.store.load() } else { None }
    }

    /// Serves one connection, up to the end of its answer; the caller closes it. Settings are those that were saved: they
    /// are in flash, whether or not the answer arrived. If the future is dropped, the request may or may not have been
    /// answered.
    pub async fn serve_connection<S: Read + Write>(&self, socket: &mut S) -> Option<Settings> {
        let mut bytes = [0; BUFFER_LEN];
        let mut request = Request { bytes: &mut bytes, len: 0, body: 0..0 };
        let read = within(&self.clock, REQUEST_MS_MAX, pin!(request.read(socket, self.about.hosts))).await;
        let wanted = match read {
            Ok(Ok(wanted)) => Ok(wanted),
            Ok(Err(RequestError::Refused(refusal))) => Err(refusal),
            // A browser opens connections that it does not use; no one waits for an answer.
            Ok(Err(RequestError::Closed)) => return None,
            Err(_) if request.len == 0 => return None,
            Err(_) => Err(Refusal::TimedOut),
        };
        let body = request.body;
        let mut settings = None;
        let answer = match wanted {
            Ok(Wanted::Page) => self.page(&mut bytes),
            Ok(Wanted::WayToPage) => self.way_to_page(),
            Ok(Wanted::Save { .. }) => {
                let saved = self.save(bytes.get_mut(body).unwrap_or_default());
                let answer = self.saved_or_not(saved.as_ref().err().copied(), &mut bytes);
                settings = saved.ok();
                answer
            }
            Err(refusal) => refused(refusal, &mut bytes),
        };
        let rest = bytes.get(..answer.rest_len).unwrap_or_default();
        // An answer that cannot be sent is no one's loss: the page is asked for again.
        let sent = within(&self.clock, ANSWER_MS_MAX, pin!(answer.send(socket, rest))).await;
        if wanted.is_err() && matches!(sent, Ok(Ok(()))) {
            let _ = within(&self.clock, DISCARD_MS_MAX, pin!(discard(socket))).await;
        }
        settings
    }

    fn page(&self, buffer: &mut [u8]) -> Answer {
        let About { page, identity, firmware, .. } = self.about;
        let inner = self.inner.borrow();
        let state = State {
            id: &identity.name,
            firmware,
            nonce: &inner.nonce,
            trouble: self.trouble.map(Trouble::text),
            wait_s: inner.tries.wait_s(self.clock.now_ms()),
            networks: &inner.networks,
        };
        // It fits; a test asserts it.
        let rest_len = page.tail(&state, buffer).unwrap_or(0);
        let more = [
            ("Content-Encoding", "gzip"),
            ("Content-Security-Policy", page.content_security_policy),
            ("Referrer-Policy", "no-referrer"),
        ];
        let len = page.gzip.len() + rest_len;
        let head = http::answer_head("200 OK", "text/html; charset=utf-8", len, &more);
        Answer { head, constant: page.gzip, rest_len }
    }

    fn way_to_page(&self) -> Answer {
        let mut address = String::<128>::new();
        let _ = write!(address, "http://{}/", self.about.hosts.first().unwrap_or(&""));
        let head = http::answer_head("302 Found", "text/plain", 0, &[("Location", &address)]);
        Answer { head, constant: &[], rest_len: 0 }
    }

    /// Takes a save, or says why not. Every nonce is good for one try, whatever comes of it.
    fn save(&self, body: &mut [u8]) -> Result<Settings, NotSaved> {
        let now_ms = self.clock.now_ms();
        let inner = &mut *self.inner.borrow_mut();
        let seconds = inner.tries.wait_s(now_ms);
        if seconds > 0 {
            return Err(NotSaved::Wait { seconds });
        }
        // What is too short to have a nonce has an old one: nothing of it was checked.
        let sealed = Sealed::from_body(body).filter(|sealed| sealed.nonce == inner.nonce);
        let sealed = sealed.ok_or(NotSaved::Stale)?;
        inner.rng.fill_bytes(&mut inner.nonce);
        let Some(content) = sealed.open(&self.about.identity.setup_key) else {
            let tries = inner.tries.wrong(now_ms);
            return Err(NotSaved::Key { tries, wait_s: inner.tries.wait_s(now_ms) });
        };
        inner.tries.right();
        let decoded = Settings::decode(content);
        content.zeroize();
        let settings = decoded.map_err(NotSaved::Settings)?;
        inner.store.save(&settings).map_err(|_| NotSaved::Flash)?;
        inner.is_saved = true;
        Ok(settings)
    }

    fn saved_or_not(&self, refused: Option<NotSaved>, buffer: &mut [u8]) -> Answer {
        let nonce = self.inner.borrow().nonce;
        let nonce = Hex(&nonce);
        let mut json = Cursor::new(buffer);
        // The longest reason fits; tests read each.
        let (status, _) = match refused {
            None => ("200 OK", write!(json, r#"{{"saved":true}}"#)),
            Some(NotSaved::Key { tries, wait_s }) => (
                "403 Forbidden",
                write!(json, r#"{{"error":"key","tries":{tries},"seconds":{wait_s},"nonce":"{nonce}"}}"#),
            ),
            Some(NotSaved::Stale) => {
                ("409 Conflict", write!(json, r#"{{"error":"stale","nonce":"{nonce}"}}"#))
            }
            Some(NotSaved::Settings(reason)) => {
                let reason = text_of(&reason);
                let reason = Text(&reason);
                (
                    "422 Unprocessable Content",
                    write!(json, r#"{{"error":"settings","reason":{reason},"nonce":"{nonce}"}}"#),
                )
            }
            Some(NotSaved::Wait { seconds }) => {
                ("429 Too Many Requests", write!(json, r#"{{"error":"wait","seconds":{seconds}}}"#))
            }
            Some(NotSaved::Flash) => {
                ("500 Internal Server Error", write!(json, r#"{{"error":"flash","nonce":"{nonce}"}}"#))
            }
        };
        Answer::json(status, &[], json.len())
    }
}

fn refused(refusal: Refusal, buffer: &mut [u8]) -> Answer {
    let mut json = Cursor::new(buffer);
    let _ = write!(json, r#"{{"error":"request","reason":{}}}"#, Text(&text_of(&refusal)));
    let allowed = match refusal {
        Refusal::Method { allowed } => Some(("Allow", allowed)),
        _ => None,
    };
    Answer::json(refusal.status(), allowed.as_slice(), json.len())
}

/// What an error says, as far as it fits.
fn text_of(error: &dyn core::fmt::Display) -> String<200> {
    let mut text = String::new();
    let _ = write!(text, "{error}");
    text
}

impl Answer {
    fn json(status: &str, more: &[(&str, &str)], len: usize) -> Self {
        let head = http::answer_head(status, "application/json", len, more);
        Self { head, constant: &[], rest_len: len }
    }

    async fn send<S: Write>(&self, socket: &mut S, rest: &[u8]) -> Result<(), S::Error> {
        for part in [self.head.as_bytes(), self.constant, rest] {
            if !part.is_empty() {
                socket.write_all(part).await?;
            }
        }
        socket.flush().await
    }
}

async fn discard<S: Read>(socket: &mut S) {
    let mut bytes = [0; 256];
    let mut discarded = 0;
    while discarded < DISCARD_LEN_MAX {
        match socket.read(&mut bytes).await {
            Ok(0) | Err(_) => return,
            Ok(len) => discarded += len,
        }
    }
}

/// A request that is being read.
struct Request<'b> {
    bytes: &'b mut [u8; BUFFER_LEN],
    len: usize,
    /// Where its body is.
    body: core::ops::Range<usize>,
}

enum RequestError {
    /// The peer went before its request was whole.
    Closed,
    Refused(Refusal),
}

impl Request<'_> {
    /// Reads head and body.
    async fn read<S: Read>(&mut self, socket: &mut S, hosts: &[&str]) -> Result<Wanted, RequestError> {
        let (wanted, head_len) = loop {
            let received = self.bytes.get(..self.len).unwrap_or_default();
            match http::read_head(received, hosts).map_err(RequestError::Refused)? {
                Some(found) => break found,
                None => self.receive(socket).await?,
            }
        };
        if let Wanted::Save { body_len } = wanted {
            self.body = head_len..head_len + body_len;
            while self.len < self.body.end {
                self.receive(socket).await?;
            }
        }
        Ok(wanted)
    }

    async fn receive<S: Read>(&mut self, socket: &mut S) -> Result<(), RequestError> {
        match socket.read(self.bytes.get_mut(self.len..).unwrap_or_default()).await {
            Ok(0) | Err(_) => Err(RequestError::Closed),
            Ok(len) => {
                self.len += len;
                Ok(())
            }
        }
    }
}
