//! A server for devices on the secure link: OpenSSL, as the gateway has it, and a journal in memory. It insists on
//! PROTOCOL.md §4.2 and can be told to misbehave.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use openssl::ssl::{Ssl, SslContext, SslMethod, SslOptions, SslSessionCacheMode, SslVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_openssl::SslStream;
use vitalwire_protocol::batch::{
    BatchError, MESSAGE_LEN_MAX, Message, Welcome, decode, encode_ack, encode_welcome,
};

/// One channel of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Channel {
    pub(crate) index: u8,
    pub(crate) first_us: u64,
    pub(crate) interval_us: u32,
    pub(crate) scale: i8,
    pub(crate) values: Vec<i32>,
}

/// What is known of one boot.
#[derive(Debug, Default)]
pub(crate) struct Boot {
    pub(crate) batches: BTreeMap<u64, Vec<Channel>>,
    pub(crate) given_up: BTreeSet<u64>,
    settled: u64,
}

/// A `Hello`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) boot: u64,
    pub(crate) profile: String,
    pub(crate) past: bool,
    pub(crate) oldest: Option<u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// Per link id, boot.
    pub(crate) boots: BTreeMap<(String, u64), Boot>,
    pub(crate) hellos: Vec<Seen>,
    pub(crate) events: Vec<u16>,
    pub(crate) resent: u64,
    /// Batches that told `oldest`.
    pub(crate) told: u64,
    /// Version and cipher of each session.
    pub(crate) sessions: Vec<String>,
    pub(crate) failed_handshakes: u64,
    /// Connections that ended with a `close_notify`.
    pub(crate) closed_well: u64,
    /// What is wrong with a device, if anything is.
    pub(crate) complaints: Vec<String>,
}

impl Journal {
    /// Batches of all boots of all devices.
    pub(crate) fn batches(&self) -> u64 {
        self.boots.values().map(|boot| boot.batches.len() as u64).sum()
    }
}

/// What a connection is met with.
#[derive(Clone, Debug)]
pub(crate) enum Manner {
    /// Welcomes, acknowledges every batch; after the `Welcome` it says this.
    Good(Vec<u8>),
    /// Never acknowledges.
    Silent,
    /// Says this instead of a handshake.
    NoTls(Vec<u8>),
    /// Says this instead of a `Welcome`.
    Rude(Vec<u8>),
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) journal: Arc<Mutex<Journal>>,
    /// Counts what happens, so that a test can wait for it.
    pub(crate) changed: watch::Receiver<u64>,
    accepting: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

struct Shared {
    context: SslContext,
    journal: Arc<Mutex<Journal>>,
    changes: watch::Sender<u64>,
    /// For the connections to come; the last for all that follow.
    manners: Mutex<VecDeque<Manner>>,
}

impl Server {
    /// Knows these keys; meets its connections with these manners, the last of them for ever.
    pub(crate) async fn start(keys: Vec<(String, [u8; 32])>, manners: Vec<Manner>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let journal = Arc::new(Mutex::new(Journal::default()));
        let (changes, changed) = watch::channel(0);
        let shared = Arc::new(Shared {
            context: context(keys),
            journal: Arc::clone(&journal),
            changes,
            manners: Mutex::new(manners.into()),
        });
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                tokio::spawn(Arc::clone(&shared).serve(stream));
            }
        });
        Self { address, journal, changed, accepting }
    }

    /// Waits until the journal is so.
    pub(crate) async fn until(&mut self, what: &str, is_so: impl Fn(&Journal) -> bool) {
        let waited = tokio::time::timeout(crate::PATIENCE, async {
            while !is_so(&self.journal.lock().unwrap()) {
                self.changed.changed().await.unwrap();
            }
        });
        assert!(waited.await.is_ok(), "{what}: {:?}", self.journal.lock().unwrap());
    }
}

fn context(keys: Vec<(String, [u8; 32])>) -> SslContext {
    let mut builder = SslContext::builder(SslMethod::tls_server()).unwrap();
    builder.set_min_proto_version(Some(SslVersion::TLS1_3)).unwrap();
    builder.set_max_proto_version(Some(SslVersion::TLS1_3)).unwrap();
    builder.set_ciphersuites("TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256").unwrap();
    builder.set_groups_list("X25519:P-256").unwrap();
    builder.set_num_tickets(0).unwrap();
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    builder.set_options(SslOptions::NO_TICKET);
    let index = identity_index();
    builder.set_psk_server_callback(move |ssl, identity, out| {
        let identity = identity.unwrap_or_default();
        let found = keys.iter().find(|(id, _)| id.as_bytes() == identity);
        let key = found.map_or([0x5a; 32], |(_, key)| *key);
        ssl.set_ex_data(index, String::from_utf8_lossy(identity).into_owned());
        out[..32].copy_from_slice(&key);
        Ok(32)
    });
    builder.build()
}

fn identity_index() -> openssl::ex_data::Index<Ssl, String> {
    static INDEX: std::sync::OnceLock<openssl::ex_data::Index<Ssl, String>> = std::sync::OnceLock::new();
    *INDEX.get_or_init(|| Ssl::new_ex_index().unwrap())
}

type Tls = Pin<Box<SslStream<TcpStream>>>;

impl Shared {
    async fn serve(self: Arc<Self>, mut stream: TcpStream) {
        let manner = {
            let mut manners = self.manners.lock().unwrap();
            if manners.len() > 1 { manners.pop_front() } else { manners.front().cloned() }
        };
        let manner = manner.expect("a server has manners");
        if let Manner::NoTls(bytes) = &manner {
            // The device may be gone already.
            let _ = stream.write_all(bytes).await;
            let _ = stream.read(&mut [0; 1_024]).await;
            return;
        }
        let mut tls = Box::pin(SslStream::new(Ssl::new(&self.context).unwrap(), stream).unwrap());
        if tls.as_mut().accept().await.is_err() {
            self.note(|journal| journal.failed_handshakes += 1);
            return;
        }
        let ssl = tls.ssl();
        let identity = ssl.ex_data(identity_index()).cloned().unwrap();
        let session = format!("{} {}", ssl.version_str(), ssl.current_cipher().unwrap().name());
        self.note(|journal| journal.sessions.push(session));
        if let Ok(true) = self.converse(&mut tls, &identity, &manner).await {
            self.note(|journal| journal.closed_well += 1);
        }
    }

    fn note(&self, change: impl FnOnce(&mut Journal)) {
        change(&mut self.journal.lock().unwrap());
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// Until the connection ends; true if the device closed it in order.
    async fn converse(&self, tls: &mut Tls, identity: &str, manner: &Manner) -> io::Result<bool> {
        let (mut inbox, mut boot, mut last) = (Vec::new(), None, 0);
        let mut buffer = [0; 4_096];
        loop {
            let len = tls.read(&mut buffer).await?;
            if len == 0 {
                let _ = tls.shutdown().await;
                return Ok(inbox.is_empty());
            }
            inbox.extend_from_slice(&buffer[..len]);
            let mut answer = Vec::new();
            while let Some((message, len)) = decode(&inbox).expect("devices send well-formed messages") {
                self.take(&message, identity, (&mut boot, &mut last), manner, &mut answer);
                inbox.drain(..len);
            }
            tls.write_all(&answer).await?;
            tls.flush().await?;
        }
    }

    fn take(
        &self,
        message: &Message<'_>,
        identity: &str,
        (boot, last): (&mut Option<u64>, &mut u64),
        manner: &Manner,
        answer: &mut Vec<u8>,
    ) {
        let key = |boot: &Option<u64>| (identity.to_owned(), boot.unwrap_or_default());
        self.note(|journal| match message {
            Message::Hello(hello) => {
                if boot.replace(hello.boot).is_some() {
                    journal.complaints.push("a second Hello".to_owned());
                }
                journal.hellos.push(Seen {
                    boot: hello.boot,
                    profile: hello.profile.to_owned(),
                    past: hello.past,
                    oldest: hello.oldest,
                });
                let known = journal.boots.entry(key(boot)).or_default();
                known.give_up_below(hello.oldest.unwrap_or(1));
                let settled = known.settled;
                let welcome =
                    Welcome { utc_ms: 1_795_556_251_123, sequence: (settled > 0).then_some(settled) };
                match manner {
                    Manner::Rude(bytes) => answer.extend_from_slice(bytes),
                    Manner::Good(more) => {
                        answer.extend(written(|out| encode_welcome(&welcome, out)));
                        answer.extend_from_slice(more);
                    }
                    _ => answer.extend(written(|out| encode_welcome(&welcome, out))),
                }
            }
            Message::Batch(batch) => {
                if batch.sequence <= *last {
                    journal.complaints.push(format!("batch {} after {last}", batch.sequence));
                }
                *last = batch.sequence;
                journal.told += u64::from(batch.oldest.is_some());
                let known = journal.boots.entry(key(boot)).or_default();
                known.give_up_below(batch.oldest.unwrap_or(1));
                let channels = batch.channels().map(|channel| Channel {
                    index: channel.index,
                    first_us: batch.time_ms * 1_000 + u64::from(channel.delay_us),
                    interval_us: channel.interval_us,
                    scale: channel.scale,
                    values: channel.values.collect(),
                });
                let channels: Vec<Channel> = channels.collect();
                let before = known.batches.insert(batch.sequence, channels.clone());
                if before.as_ref().is_some_and(|before| *before != channels) {
                    journal.complaints.push(format!("batch {} came twice and differs", batch.sequence));
                }
                journal.resent += u64::from(before.is_some());
                let known = journal.boots.entry(key(boot)).or_default();
                known.settle();
                if known.given_up.contains(&batch.sequence) {
                    journal.complaints.push(format!("batch {} was said to be gone", batch.sequence));
                } else if matches!(manner, Manner::Good(_)) && known.settled > 0 {
                    answer.extend(written(|out| encode_ack(known.settled, out)));
                }
            }
            Message::Event(event) => journal.events.push(event.code),
            other => journal.complaints.push(format!("a device sent {other:?}")),
        });
    }
}

impl Boot {
    fn give_up_below(&mut self, oldest: u64) {
        let missing = (1..oldest).filter(|sequence| !self.batches.contains_key(sequence));
        self.given_up.extend(missing);
        self.settle();
    }

    fn settle(&mut self) {
        while self.batches.contains_key(&(self.settled + 1)) || self.given_up.contains(&(self.settled + 1)) {
            self.settled += 1;
        }
    }
}

/// Writes one message into a vector.
pub(crate) fn written(write: impl FnOnce(&mut [u8]) -> Result<usize, BatchError>) -> Vec<u8> {
    let mut out = vec![0; MESSAGE_LEN_MAX];
    let len = write(&mut out).unwrap();
    out.truncate(len);
    out
}
