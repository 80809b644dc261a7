//! One connection of a device, from its first byte to its end.
//!
//! It waits for a whole frame, identifies the device by it, takes the device's session, and from then on
//! turns frames into readings. Whatever a peer sends ends at most its own connection, with one line in the
//! log that names the cause; readings decoded before that are published all the same.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;
use vitalwire_protocol::{
    CbcSecret, Detected, FrameDecoder, FrameError, Sample, SampleError, Variant, detect, first_block,
    identify_variant,
};
use vitalwire_registry::Device;

use crate::admission::{Admission, Admissions};
use crate::identify::{Identifier, IdentifyError, Identity};
use crate::leash::{Leash, Pull};
use crate::limits::Limits;
use crate::metrics::{End, Metrics};
use crate::publisher::Publisher;
use crate::reading::Reading;
use crate::session::{Entered, Session, Sessions, StillDelivers};

/// Bytes taken from the socket at once: some thirty frames. On the stack, so an idle connection holds none.
const READ_LEN: usize = 8 * 1024;
/// On a stop, how long to wait for bytes already on their way.
const DRAIN_WAIT: Duration = Duration::from_millis(20);

/// What every connection needs of the server.
pub(crate) struct Context {
    pub(crate) admissions: Arc<Admissions>,
    pub(crate) identifier: Identifier,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) publisher: Publisher,
    pub(crate) metrics: Metrics,
    pub(crate) limits: Limits,
    pub(crate) stop: CancellationToken,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error("the device closed the connection{}", if *.mid_frame { " in the middle of a frame" } else { "" })]
    Closed { mid_frame: bool },
    #[error("connection lost: {0}")]
    Lost(#[from] io::Error),
    #[error("closed before it sent anything")]
    NothingSent,
    #[error("no complete, identified frame within {0:?}")]
    FirstFrameLate(Duration),
    #[error("nothing received for {0:?}")]
    Idle(Duration),
    #[error("this is no protocol of ours: the first byte is {0:#04x}")]
    NotOurProtocol(u8),
    #[error("the peer speaks TLS; this version takes AES-CBC frames only")]
    TlsNotOffered,
    #[error("bad frame: {0}")]
    Frame(#[from] FrameError),
    #[error("bad sample: {0}")]
    Sample(#[from] SampleError),
    #[error(transparent)]
    Identify(#[from] IdentifyError),
    #[error(transparent)]
    StillDelivers(#[from] StillDelivers),
    #[error(transparent)]
    Pulled(#[from] Pull),
}

impl Cause {
    fn end(&self) -> End {
        match self {
            Self::Closed { .. } => End::ClosedByDevice,
            Self::Lost(_) => End::ConnectionLost,
            Self::NothingSent => End::NothingSent,
            Self::FirstFrameLate(_) => End::FirstFrameLate,
            Self::Idle(_) => End::Idle,
            Self::NotOurProtocol(_) => End::NotOurProtocol,
            Self::TlsNotOffered => End::TlsNotOffered,
            Self::Frame(_) => End::BadFrame,
            Self::Sample(_) => End::BadSample,
            Self::Identify(IdentifyError::UnknownKey { .. }) => End::UnknownKey,
            Self::Identify(IdentifyError::TooManyFailures) => End::TooManyFailures,
            Self::Identify(IdentifyError::Revoked) | Self::Pulled(Pull::Revoked) => End::Revoked,
            Self::StillDelivers(_) => End::SecondConnection,
            Self::Pulled(Pull::TakenOver) => End::TakenOver,
            Self::Pulled(Pull::Evicted) => End::Evicted,
            Self::Pulled(Pull::Stopped) => End::Stopped,
        }
    }

    /// Ends that need nobody's attention.
    fn is_ordinary(&self) -> bool {
        matches!(self, Self::Closed { mid_frame: false } | Self::NothingSent | Self::Pulled(Pull::Stopped))
    }
}

/// The secret of a device whose frames were found by trial decryption.
fn frame_secret(device: &Device) -> &CbcSecret {
    device.cbc_secret().expect("trial decryption finds only devices that speak AES-CBC frames")
}

/// Serves one accepted connection until its end.
pub(crate) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    admission: Admission,
    leash: Leash,
    context: Arc<Context>,
) {
    let arrival = Arrival { stream: &stream, peer, leash: &leash, context: &context };
    let (device, cause) = match arrival.first_frame().await {
        Ok(greeting) => {
            admission.identified();
            let device = greeting.identity.id().clone();
            (Some(device), arrival.run_session(greeting).await)
        }
        Err(cause) => (None, cause),
    };
    context.metrics.ended(cause.end());
    let device = device.as_ref().map_or("-", |id| id.as_str());
    if cause.is_ordinary() {
        tracing::info!(%peer, device, %cause, "connection ended");
    } else {
        tracing::warn!(%peer, device, %cause, "connection ended");
    }
}

/// A connection that has just come in.
struct Arrival<'a> {
    stream: &'a TcpStream,
    peer: SocketAddr,
    leash: &'a Leash,
    context: &'a Context,
}

/// An identified device with what it has sent so far.
struct Greeting {
    identity: Arc<Identity>,
    variant: Variant,
    bytes: Vec<u8>,
}

impl Arrival<'_> {
    /// Waits for the first whole frame and finds out whose it is.
    async fn first_frame(&self) -> Result<Greeting, Cause> {
        let timeout = self.context.limits.first_frame_timeout;
        tokio::select! {
            greeting = self.identify() => greeting,
            pull = self.leash.pulled() => Err(pull.into()),
            () = tokio::time::sleep(timeout) => Err(Cause::FirstFrameLate(timeout)),
        }
    }

    async fn identify(&self) -> Result<Greeting, Cause> {
        let mut bytes = Vec::new();
        let mut device = None;
        loop {
            self.stream.readable().await?;
            match receive(self.stream, |received| bytes.extend_from_slice(received)) {
                Ok(0) if bytes.is_empty() => return Err(Cause::NothingSent),
                Ok(0) => return Err(Cause::Closed { mid_frame: true }),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error.into()),
            }
            match bytes.first().copied() {
                None => {}
                Some(byte) => match detect(byte) {
                    Detected::Frames => {}
                    Detected::Tls => return Err(Cause::TlsNotOffered),
                    Detected::Unknown => return Err(Cause::NotOurProtocol(byte)),
                },
            }
            let found = self.identify_bytes(&bytes, &mut device).await;
            if matches!(found, Err(Cause::Identify(IdentifyError::UnknownKey { .. }) | Cause::Frame(_))) {
                self.context.identifier.record_failure(self.peer.ip(), Instant::now());
            }
            if let Some((identity, variant)) = found? {
                return Ok(Greeting { identity, variant, bytes });
            }
        }
    }

    /// `None` while `bytes`, all since the connection began, do not hold a whole frame.
    async fn identify_bytes(
        &self,
        bytes: &[u8],
        device: &mut Option<Arc<Device>>,
    ) -> Result<Option<(Arc<Identity>, Variant)>, Cause> {
        let identifier = &self.context.identifier;
        let Some(block) = first_block(bytes)? else { return Ok(None) };
        let device = match device {
            Some(device) => device,
            None => device.insert(identifier.find(self.peer.ip(), block, Instant::now()).await?),
        };
        let Some(variant) = identify_variant(frame_secret(device), bytes)? else { return Ok(None) };
        Ok(Some((identifier.confirm(device, self.peer)?, variant)))
    }

    /// Takes the device's session and serves it; the cause of its end.
    async fn run_session(&self, greeting: Greeting) -> Cause {
        let Context { sessions, publisher, metrics, .. } = self.context;
        let identity = Arc::clone(&greeting.identity);
        metrics.identified.inc();
        let entered = tokio::select! {
            entered = sessions.enter(identity.device(), self.leash) => entered,
            pull = self.leash.pulled() => return pull.into(),
        };
        let session = match entered {
            Ok(session) => session,
            Err(refused) => {
                publisher.event(&identity, "second-connection-refused", &refused).await;
                return refused.into();
            }
        };
        if !self.context.identifier.is_current(identity.device()) {
            return IdentifyError::Revoked.into();
        }
        if session.entered == Entered::TookOver {
            metrics.takeovers.inc();
            publisher.event(&identity, "connection-taken-over", &Pull::TakenOver).await;
        }
        tracing::info!(peer = %self.peer, device = %identity.id(), variant = %greeting.variant, "device connected");
        let local = self.stream.local_addr().ok();
        publisher.device_online(&identity, local).await;
        let cause = Collector::new(self, &session, &greeting).run(greeting.bytes).await;
        if session.is_held() {
            publisher.device_offline(&identity).await;
        }
        cause
    }
}

/// The part of a connection that turns frames into readings.
struct Collector<'a> {
    arrival: &'a Arrival<'a>,
    session: &'a Session,
    identity: Arc<Identity>,
    decoder: Box<FrameDecoder>,
    sequence: u64,
    /// Decoded, not yet published: at most what one read brought.
    readings: Vec<Reading>,
}

impl<'a> Collector<'a> {
    fn new(arrival: &'a Arrival<'a>, session: &'a Session, greeting: &Greeting) -> Self {
        let identity = Arc::clone(&greeting.identity);
        let decoder = Box::new(FrameDecoder::new(frame_secret(identity.device()), greeting.variant));
        Self { arrival, session, identity, decoder, sequence: 0, readings: Vec::new() }
    }

    async fn run(mut self, greeting: Vec<u8>) -> Cause {
        let decoded = self.decode(&greeting);
        drop(greeting);
        self.publish().await;
        if let Err(cause) = decoded {
            return cause;
        }
        let idle_timeout = self.arrival.context.limits.idle_timeout;
        let mut heard = Instant::now();
        let leash = self.arrival.leash.clone();
        let pulled = leash.pulled();
        let idle = tokio::time::sleep(idle_timeout);
        tokio::pin!(pulled, idle);
        loop {
            tokio::select! {
                ready = self.arrival.stream.readable() => match ready {
                    Ok(()) => if let Err(cause) = self.receive_and_publish().await { return cause },
                    Err(error) => return error.into(),
                },
                pull = &mut pulled => return self.finish(pull).await,
                () = &mut idle => {
                    if heard.elapsed() >= idle_timeout { return Cause::Idle(idle_timeout) }
                    rearm(idle.as_mut(), heard + idle_timeout);
                    continue;
                }
            }
            heard = Instant::now();
        }
    }

    /// On a stop, what the device has already sent is still taken; otherwise the connection ends at once.
    async fn finish(&mut self, pull: Pull) -> Cause {
        if pull != Pull::Stopped {
            return pull.into();
        }
        // Lets the reactor learn of bytes that it has not heard of yet; an error shows in the read.
        let _ = tokio::time::timeout(DRAIN_WAIT, self.arrival.stream.readable()).await;
        loop {
            match self.receive_and_publish().await {
                Ok(0) => return pull.into(),
                Ok(_) => {}
                Err(cause) => return cause,
            }
        }
    }

    /// Takes what the socket holds; the number of bytes, 0 when it holds none now.
    async fn receive_and_publish(&mut self) -> Result<usize, Cause> {
        let stream = self.arrival.stream;
        let mut decoded = Ok(());
        let received = receive(stream, |bytes| decoded = self.decode(bytes));
        self.publish().await;
        decoded?;
        match received {
            Ok(0) => Err(Cause::Closed { mid_frame: self.decoder.mid_frame() }),
            Ok(len) => Ok(len),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    fn decode(&mut self, mut bytes: &[u8]) -> Result<(), Cause> {
        let received = SystemTime::now();
        while let Some(json) = self.decoder.next(&mut bytes)? {
            let sample = Sample::parse(json)?;
            self.sequence += 1;
            self.readings.push(Reading::new(&self.identity, received, self.sequence, &sample));
        }
        Ok(())
    }

    async fn publish(&mut self) {
        if self.readings.is_empty() {
            return;
        }
        self.session.delivered(Instant::now());
        self.arrival.context.metrics.readings.inc_by(self.readings.len() as u64);
        for reading in self.readings.drain(..) {
            self.arrival.context.publisher.reading(reading).await;
        }
    }
}

/// Reads once from a socket that is ready and hands the bytes on.
fn receive(stream: &TcpStream, take: impl FnOnce(&[u8])) -> io::Result<usize> {
    let mut buffer = [0; READ_LEN];
    let len = stream.try_read(&mut buffer)?;
    take(buffer.get(..len).unwrap_or_default());
    Ok(len)
}

fn rearm(sleep: std::pin::Pin<&mut Sleep>, at: Instant) {
    sleep.reset(at.into());
}
