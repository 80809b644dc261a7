//! The real gateway, behind a relay that has the devices' keys: it notes what both sides say, and can misbehave as no gateway
//! does. What it notes as held is what the gateway said it holds; [`Server::check`] compares that with the gateway's journal.

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
use vitalwire_journal::{HistoryCursor, HistoryFile, HistoryQuery};
use vitalwire_protocol::batch::{Batch, BatchError, MESSAGE_LEN_MAX, Message, decode};
use vitalwire_testing::clinic::Clinic;
use vitalwire_testing::link::{Connection, LinkDevice};

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
    /// What the gateway said it holds.
    pub(crate) batches: BTreeMap<u64, Vec<Channel>>,
    /// What it will not wait for any more.
    pub(crate) given_up: BTreeSet<u64>,
    /// What came, held or not.
    came: BTreeMap<u64, Vec<Channel>>,
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
    /// The gateway; after its `Welcome` this is said.
    Good(Vec<u8>),
    /// The gateway, whose acknowledgements do not arrive.
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
    clinic: Clinic,
    /// Name at the gateway and PSK identity here.
    devices: BTreeMap<String, LinkDevice>,
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
    devices: BTreeMap<String, LinkDevice>,
    /// For the connections to come; the last for all that follow.
    manners: Mutex<VecDeque<Manner>>,
}

impl Server {
    /// Knows these keys; meets its connections with these manners, the last of them for ever.
    pub(crate) async fn start(keys: Vec<(String, [u8; 32])>, manners: Vec<Manner>) -> Self {
        let clinic = Clinic::open().await;
        let mut devices = BTreeMap::new();
        for (number, (identity, _)) in keys.iter().enumerate() {
            devices.insert(identity.clone(), clinic.enrol_link(&format!("device_{number}")).await);
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let journal = Arc::new(Mutex::new(Journal::default()));
        let (changes, changed) = watch::channel(0);
        let shared = Arc::new(Shared {
            context: context(keys),
            journal: Arc::clone(&journal),
            changes,
            devices: devices.clone(),
            manners: Mutex::new(manners.into()),
        });
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                tokio::spawn(Arc::clone(&shared).serve(stream));
            }
        });
        Self { address, journal, changed, clinic, devices, accepting }
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

impl Server {
    /// The gateway's journal holds what it said it holds, value by value, and nothing else came into it.
    pub(crate) async fn check(&self) {
        let file = HistoryFile::open(&self.clinic.data().join("journal.db")).unwrap();
        for (identity, device) in &self.devices {
            let mut held: BTreeMap<(u64, u64), Vec<Channel>> = BTreeMap::new();
            let mut query = HistoryQuery {
                device: device.id.parse().unwrap(),
                from_us: i64::MIN,
                to_us: i64::MAX,
                limit: usize::MAX,
                after: None,
            };
            loop {
                let page = file.history(query.clone()).await.unwrap();
                let Some(last) = page.last() else { break };
                query.after = Some(HistoryCursor::after(last));
                for stored in &page {
                    // What the server derived of it came from no device.
                    if stored.entry.body.starts_with(b"\x67derived") {
                        continue;
                    }
                    // The name of the profile, `pico`, as a CBOR text, and the message.
                    let message = stored.entry.body.strip_prefix(b"\x64pico").unwrap();
                    let Ok(Some((Message::Batch(batch), _))) = decode(message) else { panic!("no batch") };
                    let place = (stored.entry.boot, stored.entry.sequence);
                    assert!(held.insert(place, channels_of(&batch)).is_none(), "{place:?} is there twice");
                }
            }
            let journal = self.journal.lock().unwrap();
            let boots = journal.boots.iter().filter(|((known, _), _)| known == identity);
            for ((_, boot), known) in boots {
                for (sequence, channels) in &known.batches {
                    assert_eq!(held.get(&(*boot, *sequence)), Some(channels), "batch {sequence} of {boot:x}");
                }
            }
            for ((boot, sequence), channels) in &held {
                let known = &journal.boots[&(identity.clone(), *boot)];
                assert_eq!(known.came.get(sequence), Some(channels), "batch {sequence} of {boot:x}");
            }
        }
    }
}

fn channels_of(batch: &Batch<'_>) -> Vec<Channel> {
    let channel = |channel: vitalwire_protocol::batch::ChannelData<'_>| Channel {
        index: channel.index,
        first_us: batch.time_ms * 1_000 + u64::from(channel.delay_us),
        interval_us: channel.interval_us,
        scale: channel.scale,
        values: channel.values.collect(),
    };
    batch.channels().map(channel).collect()
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
        let closed = match &manner {
            Manner::Rude(bytes) => self.be_rude(&mut tls, bytes).await,
            _ => {
                let gateway = self.devices[&identity].shake().await;
                self.relay(&mut tls, gateway, &identity, &manner).await
            }
        };
        if let Ok(true) = closed {
            self.note(|journal| journal.closed_well += 1);
        }
    }

    fn note(&self, change: impl FnOnce(&mut Journal)) {
        change(&mut self.journal.lock().unwrap());
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// Says this to a `Hello`.
    async fn be_rude(&self, tls: &mut Tls, bytes: &[u8]) -> io::Result<bool> {
        let mut buffer = [0; 4_096];
        let mut is_said = false;
        while tls.read(&mut buffer).await? > 0 {
            if !std::mem::replace(&mut is_said, true) {
                tls.write_all(bytes).await?;
                tls.flush().await?;
            }
        }
        Ok(false)
    }

    /// Carries messages until the connection ends; true if the device closed it in order.
    async fn relay(
        &self,
        tls: &mut Tls,
        mut gateway: Connection,
        identity: &str,
        manner: &Manner,
    ) -> io::Result<bool> {
        let mut said = Said { identity: identity.to_owned(), boot: None, last: 0 };
        let (mut from_device, mut from_gateway) = (Vec::new(), Vec::new());
        let (mut up, mut down) = ([0; 4_096], [0; 4_096]);
        loop {
            tokio::select! {
                len = tls.read(&mut up) => {
                    let len = len?;
                    if len == 0 {
                        let _ = tls.shutdown().await;
                        let _ = gateway.stream.shutdown().await;
                        return Ok(from_device.is_empty());
                    }
                    from_device.extend_from_slice(&up[..len]);
                    while let Some((message, len)) = decode(&from_device).expect("devices send well-formed messages") {
                        self.note(|journal| said.by_device(journal, &message));
                        from_device.drain(..len);
                    }
                    gateway.stream.write_all(&up[..len]).await?;
                    gateway.stream.flush().await?;
                }
                len = gateway.stream.read(&mut down) => {
                    let len = len.unwrap_or(0);
                    if len == 0 {
                        let _ = tls.shutdown().await;
                        return Ok(false);
                    }
                    from_gateway.extend_from_slice(&down[..len]);
                    let mut answer = Vec::new();
                    while let Some((message, len)) = decode(&from_gateway).expect("so does the gateway") {
                        let is_ack = matches!(message, Message::Ack { .. });
                        if !(is_ack && matches!(manner, Manner::Silent)) {
                            answer.extend_from_slice(&from_gateway[..len]);
                            self.note(|journal| said.by_gateway(journal, &message));
                        }
                        if let (Message::Welcome(_), Manner::Good(more)) = (&message, manner) {
                            answer.extend_from_slice(more);
                        }
                        from_gateway.drain(..len);
                    }
                    tls.write_all(&answer).await?;
                    tls.flush().await?;
                }
            }
        }
    }
}

/// What was said in a connection so far.
struct Said {
    identity: String,
    boot: Option<u64>,
    last: u64,
}

impl Said {
    fn boot<'j>(&self, journal: &'j mut Journal) -> &'j mut Boot {
        let boot = self.boot.unwrap_or_default();
        journal.boots.entry((self.identity.clone(), boot)).or_default()
    }

    fn by_device(&mut self, journal: &mut Journal, message: &Message<'_>) {
        match message {
            Message::Hello(hello) => {
                if self.boot.replace(hello.boot).is_some() {
                    journal.complaints.push("a second Hello".to_owned());
                }
                journal.hellos.push(Seen {
                    boot: hello.boot,
                    profile: hello.profile.to_owned(),
                    past: hello.past,
                    oldest: hello.oldest,
                });
            }
            Message::Batch(batch) => {
                let sequence = batch.sequence;
                if sequence <= self.last {
                    journal.complaints.push(format!("batch {sequence} after {}", self.last));
                }
                self.last = sequence;
                journal.told += u64::from(batch.oldest.is_some());
                let channels = channels_of(batch);
                let known = self.boot(journal);
                let was_gone = known.given_up.contains(&sequence);
                let before = known.came.insert(sequence, channels.clone());
                if before.as_ref().is_some_and(|before| *before != channels) {
                    journal.complaints.push(format!("batch {sequence} came twice and differs"));
                }
                if was_gone {
                    journal.complaints.push(format!("batch {sequence} was said to be gone"));
                }
                journal.resent += u64::from(before.is_some());
            }
            Message::Event(event) => journal.events.push(event.code),
            other => journal.complaints.push(format!("a device sent {other:?}")),
        }
    }

    fn by_gateway(&self, journal: &mut Journal, message: &Message<'_>) {
        match message {
            Message::Welcome(welcome) => self.settled(journal, welcome.sequence.unwrap_or(0)),
            Message::Ack { sequence } => self.settled(journal, *sequence),
            Message::Refused(refused) => {
                journal.complaints.push(format!("the gateway refuses it: {}", refused.text));
            }
            other => journal.complaints.push(format!("the gateway sent {other:?}")),
        }
    }

    /// The gateway holds what came up to here, and waits for nothing else.
    fn settled(&self, journal: &mut Journal, sequence: u64) {
        let known = self.boot(journal);
        for sequence in known.settled + 1..=sequence {
            match known.came.get(&sequence) {
                Some(channels) => drop(known.batches.insert(sequence, channels.clone())),
                None => drop(known.given_up.insert(sequence)),
            }
        }
        known.settled = known.settled.max(sequence);
    }
}

/// Writes one message into a vector.
pub(crate) fn written(write: impl FnOnce(&mut [u8]) -> Result<usize, BatchError>) -> Vec<u8> {
    let mut out = vec![0; MESSAGE_LEN_MAX];
    let len = write(&mut out).unwrap();
    out.truncate(len);
    out
}
