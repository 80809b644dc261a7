//! A connection of the paper's AES-CBC frames: waits for a whole frame, identifies the device by it, takes the device's
//! session, and from then on turns frames into samples. Those decoded before an error are taken all the same.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::{Instant, SystemTime};

use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::TcpStream;
use tracing::Span;
use vitalwire_protocol::{FrameDecoder, Sample, Variant, first_block, identify_variant};

use crate::arrival::{Arrival, DRAIN_MAX, DRAIN_WAIT};
use crate::cause::Cause;
use crate::clock::utc_us;
use crate::event::DeviceEvent;
use crate::identify::{Candidate, IdentifyError, Identity};
use crate::intake::Group;
use crate::lease::Ending;
use crate::measurement::Measurement;
use crate::reading::SampleText;
use crate::session::{ConnectionState, Entered, Session};
use crate::topics::{Source, SourceRef};

/// Bytes taken from the socket at once: some thirty frames. On the stack, so an idle connection holds none.
const READ_LEN: usize = 8 * 1024;

/// An identified device with what it has sent so far.
pub(crate) struct Greeting {
    pub(crate) identity: Arc<Identity>,
    variant: Variant,
    bytes: Vec<u8>,
}

/// Waits for the first whole frame and finds out whose it is.
pub(crate) async fn identify(arrival: &Arrival<'_>, stream: &mut TcpStream) -> Result<Greeting, Cause> {
    let mut bytes = Vec::new();
    let mut device = None;
    loop {
        if receive(stream, |received| bytes.extend_from_slice(received)).await? == 0 {
            return Err(Cause::Closed { mid_message: true });
        }
        let found = identify_bytes(arrival, &bytes, &mut device).await;
        if matches!(found, Err(Cause::Identify(IdentifyError::UnknownKey { .. }) | Cause::Frame(_))) {
            arrival.context.identifier.record_failure(arrival.peer.ip(), Instant::now());
        }
        if let Some((identity, variant)) = found? {
            return Ok(Greeting { identity, variant, bytes });
        }
    }
}

/// `None` while `bytes`, all since the connection began, do not hold a whole frame.
async fn identify_bytes(
    arrival: &Arrival<'_>,
    bytes: &[u8],
    found: &mut Option<Candidate>,
) -> Result<Option<(Arc<Identity>, Variant)>, Cause> {
    let identifier = &arrival.context.identifier;
    let Some(block) = first_block(bytes)? else { return Ok(None) };
    let Candidate { device, secret } = match found {
        Some(found) => found,
        None => found.insert(identifier.find(arrival.peer.ip(), block, Instant::now()).await?),
    };
    let Some(variant) = identify_variant(secret, bytes)? else { return Ok(None) };
    Ok(Some((identifier.confirm(device, arrival.peer)?, variant)))
}

/// Takes the device's session and serves it; the cause of its end.
pub(crate) async fn run_session(arrival: &Arrival<'_>, stream: &mut TcpStream, greeting: Greeting) -> Cause {
    let context = arrival.context;
    let identity = Arc::clone(&greeting.identity);
    let Some(secret) = identity.device().cbc_secret() else { return IdentifyError::Revoked.into() };
    // At once: the secret would lie in the task for good.
    let decoder = Box::new(FrameDecoder::new(secret, greeting.variant));
    let entering = async {
        tokio::select! {
            entered = context.sessions.enter(identity.credential(), arrival.lease) => Ok(entered),
            ending = arrival.lease.ended() => Err(ending),
        }
    };
    let session = match Box::pin(entering).await {
        Ok(Ok(session)) => session,
        Ok(Err(refused)) => {
            context.tell(&identity, DeviceEvent::SecondConnectionRefused);
            return refused.into();
        }
        Err(ending) => return ending.into(),
    };
    if !context.identifier.is_current(identity.credential()) {
        // The connection that it took over said nothing at its end.
        context.device_offline(&identity);
        return IdentifyError::Revoked.into();
    }
    if session.entered == Entered::TookOver {
        context.metrics.takeovers.inc();
        context.tell(&identity, DeviceEvent::TakenOver);
    }
    Span::current().record("session", session.number());
    tracing::info!(variant = %greeting.variant, "device connected");
    let local = stream.local_addr().ok();
    context.device_online(&identity, local);
    let source = Arc::new(Source::new(&identity.topics, &context.profiles.pico()));
    session.note(ConnectionState {
        since: SystemTime::now(),
        peer: identity.peer,
        local,
        profile: source.profile.name().to_owned(),
        firmware: None,
    });
    let mut collector = Collector {
        arrival,
        session: &session,
        source,
        decoder,
        sequence: 0,
        samples: Vec::new(),
        group: Group::new(rand::random()),
    };
    let cause = collector.run(stream, greeting.bytes).await;
    if session.is_held() {
        context.device_offline(&identity);
    }
    cause
}

/// The part of a connection that turns frames into readings.
struct Collector<'a> {
    arrival: &'a Arrival<'a>,
    session: &'a Session,
    source: SourceRef,
    decoder: Box<FrameDecoder>,
    sequence: u64,
    /// Decoded, not yet taken: at most what one read brought.
    samples: Vec<Measurement>,
    group: Group,
}

impl Collector<'_> {
    /// Serves the connection to its end, and journals what still waits then.
    async fn run(&mut self, stream: &mut TcpStream, greeting: Vec<u8>) -> Cause {
        let cause = self.collect(stream, greeting).await;
        Box::pin(self.journal()).await;
        cause
    }

    async fn collect(&mut self, stream: &mut TcpStream, greeting: Vec<u8>) -> Cause {
        let decoded = self.decode(&greeting);
        drop(greeting);
        self.take().await;
        if let Err(cause) = decoded {
            return cause;
        }
        let idle_timeout = self.arrival.context.limits.idle_timeout;
        let mut heard = Instant::now();
        let lease = self.arrival.lease.clone();
        let ended = lease.ended();
        let timer = tokio::time::sleep(idle_timeout);
        tokio::pin!(ended, timer);
        loop {
            tokio::select! {
                received = self.receive(stream) => if let Err(cause) = self.received(received).await { return cause },
                ending = &mut ended => return Box::pin(self.finish(stream, ending)).await,
                () = &mut timer => {
                    if heard.elapsed() >= idle_timeout { return Cause::Idle(idle_timeout) }
                    if self.group.is_due(Instant::now()) { Box::pin(self.journal()).await }
                    timer.as_mut().reset(self.group.due_or(heard + idle_timeout).into());
                    continue;
                }
            }
            heard = Instant::now();
            let due = self.group.due_or(timer.deadline().into_std());
            if due < timer.deadline().into_std() {
                timer.as_mut().reset(due.into());
            }
        }
    }

    /// On a stop, what the device has already sent is still taken; otherwise the connection ends at once.
    async fn finish(&mut self, stream: &mut TcpStream, ending: Ending) -> Cause {
        if ending != Ending::Stopped {
            return ending.into();
        }
        let end = Instant::now() + DRAIN_MAX;
        while Instant::now() < end {
            // The reactor may have to learn of bytes that it has not heard of yet.
            let Ok(received) = tokio::time::timeout(DRAIN_WAIT, self.receive(stream)).await else { break };
            if let Err(cause) = self.received(received).await {
                return cause;
            }
        }
        ending.into()
    }

    /// Waits for bytes and decodes them; how many they are, 0 at the device's end, and whether they were frames.
    async fn receive(&mut self, stream: &mut TcpStream) -> (io::Result<usize>, Result<(), Cause>) {
        let mut decoded = Ok(());
        let received = receive(stream, |bytes| decoded = self.decode(bytes)).await;
        (received, decoded)
    }

    async fn received(
        &mut self,
        (received, decoded): (io::Result<usize>, Result<(), Cause>),
    ) -> Result<(), Cause> {
        self.take().await;
        decoded?;
        match received? {
            0 => Err(Cause::Closed { mid_message: self.decoder.mid_frame() }),
            _ => Ok(()),
        }
    }

    fn decode(&mut self, mut bytes: &[u8]) -> Result<(), Cause> {
        let received_us = utc_us(SystemTime::now());
        while let Some(json) = self.decoder.next(&mut bytes)? {
            let sample = Sample::parse(json)?;
            self.sequence += 1;
            let text = SampleText::of(&sample);
            let boot = self.group.boot();
            let sample = Measurement::of_sample(&self.source, boot, self.sequence, text, received_us);
            self.samples.push(sample);
        }
        Ok(())
    }

    /// Hands over what was decoded.
    async fn take(&mut self) {
        // Boxed: it is a thousand bytes, which a connection does not need while it waits.
        if !self.samples.is_empty() {
            Box::pin(self.take_all()).await;
        }
    }

    async fn take_all(&mut self) {
        self.session.delivered(Instant::now());
        let intake = &self.arrival.context.intake;
        for sample in self.samples.drain(..) {
            intake.take_sample(&mut self.group, sample).await;
        }
    }

    async fn journal(&mut self) {
        // A device that is silent now needs no room for samples.
        self.samples = Vec::new();
        self.arrival.context.intake.journal_group(&mut self.group).await;
    }
}

/// Waits for bytes and hands them on; a dropped future has taken nothing. A read that does not fill the buffer is the last of its
/// wake-up: the runtime does not ask once more whether there is something.
async fn receive(stream: &mut TcpStream, mut take: impl FnMut(&[u8])) -> io::Result<usize> {
    poll_fn(|context| {
        let mut bytes = [0; READ_LEN];
        let mut buffer = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer))?;
        take(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    })
    .await
}
