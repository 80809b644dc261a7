//! A connection of the paper's AES-CBC frames: waits for a whole frame, identifies the device by it, takes the device's
//! session, and from then on turns frames into readings. Readings decoded before an error are published all the same.

use std::io;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime};

use tokio::net::TcpStream;
use vitalwire_journal::{Assurance, Entry, SEQUENCE_FIRST, SPAN_US_MAX};
use vitalwire_protocol::{FrameDecoder, Sample, Variant, first_block, identify_variant};

use crate::arrival::{Arrival, DRAIN_MAX, DRAIN_WAIT};
use crate::cause::Cause;
use crate::clock::utc_us;
use crate::identify::{Candidate, IdentifyError, Identity};
use crate::lease::Ending;
use crate::reading::{Reading, SampleBody, SampleReading, samples_body};
use crate::session::{Entered, Session};
use crate::ticket::Ticket;
use crate::topics::{Source, SourceRef};

/// Bytes taken from the socket at once: some thirty frames. On the stack, so an idle connection holds none.
const READ_LEN: usize = 8 * 1024;
/// Samples are journaled in groups, every so long; all connections at the same moment, so that one commit takes them all.
const GROUP_TIME: Duration = Duration::from_secs(1);
/// A group of so many samples is journaled at once. Nothing is acknowledged to these devices, so nothing promised waits for a group.
const GROUP_SAMPLES: usize = 128;

/// An identified device with what it has sent so far.
pub(crate) struct Greeting {
    pub(crate) identity: Arc<Identity>,
    variant: Variant,
    bytes: Vec<u8>,
}

/// Waits for the first whole frame and finds out whose it is.
pub(crate) async fn identify(arrival: &Arrival<'_>, stream: &TcpStream) -> Result<Greeting, Cause> {
    let mut bytes = Vec::new();
    let mut device = None;
    loop {
        stream.readable().await?;
        match receive(stream, |received| bytes.extend_from_slice(received)) {
            Ok(0) => return Err(Cause::Closed { mid_message: true }),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error.into()),
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
pub(crate) async fn run_session(arrival: &Arrival<'_>, stream: &TcpStream, greeting: Greeting) -> Cause {
    let context = arrival.context;
    let identity = Arc::clone(&greeting.identity);
    let Some(secret) = identity.device().cbc_secret().cloned() else { return IdentifyError::Revoked.into() };
    context.metrics.identified.inc();
    let entered = tokio::select! {
        entered = context.sessions.enter(identity.credential(), arrival.lease) => entered,
        ending = arrival.lease.ended() => return ending.into(),
    };
    let session = match entered {
        Ok(session) => session,
        Err(refused) => {
            Box::pin(context.publisher.event(&identity, "second-connection-refused", &refused)).await;
            return refused.into();
        }
    };
    if !context.identifier.is_current(identity.credential()) {
        // The connection that it took over said nothing at its end.
        Box::pin(context.publisher.device_offline(&identity)).await;
        return IdentifyError::Revoked.into();
    }
    if session.entered == Entered::TookOver {
        context.metrics.takeovers.inc();
        Box::pin(context.publisher.event(&identity, "connection-taken-over", &Ending::TakenOver)).await;
    }
    tracing::info!(peer = %arrival.peer, device = %identity.id(), variant = %greeting.variant, "device connected");
    Box::pin(context.publisher.device_online(&identity, stream.local_addr().ok())).await;
    let decoder = Box::new(FrameDecoder::new(&secret, greeting.variant));
    let source = Arc::new(Source::new(&identity.topics, &context.profiles.pico()));
    let collector = Collector {
        arrival,
        stream,
        session: &session,
        source,
        decoder,
        sequence: 0,
        readings: Vec::new(),
        group: Group::new(),
    };
    let cause = collector.run(greeting.bytes).await;
    if session.is_held() {
        context.publisher.device_offline(&identity).await;
    }
    cause
}

/// Samples that wait to be journaled together.
struct Group {
    /// Stands for the connection in the journal: these devices have no boot of their own.
    boot: u64,
    /// Of the next entry.
    sequence: u64,
    samples: Vec<SampleBody>,
    first_us: i64,
    first_sequence: u64,
    ticket: Arc<Ticket>,
    due: Instant,
}

impl Group {
    fn new() -> Self {
        Self {
            boot: rand::random(),
            sequence: SEQUENCE_FIRST,
            samples: Vec::new(),
            first_us: 0,
            first_sequence: 0,
            ticket: Ticket::new(),
            due: Instant::now(),
        }
    }

    /// Whether a sample is near enough in time. A system clock that was set forward must not make an entry that the
    /// journal refuses as too long.
    fn takes(&self, sample: &SampleReading) -> bool {
        let offset_us = sample.received_us.saturating_sub(self.first_us);
        self.samples.is_empty() || u64::try_from(offset_us).unwrap_or(0) <= SPAN_US_MAX
    }

    fn add(&mut self, sample: &SampleReading, now: Instant) {
        if self.samples.is_empty() {
            (self.first_us, self.first_sequence) = (sample.received_us, sample.sequence);
            self.due = next_beat(now);
        }
        // A system clock that was set back must not make a time before the first.
        let offset_us = u64::try_from(sample.received_us - self.first_us).unwrap_or(0);
        self.samples.push(SampleBody { offset_us, text: sample.text.clone() });
    }

    /// When the group has to be journaled, or `other` when nothing waits or that is sooner.
    fn due_or(&self, other: Instant) -> Instant {
        if self.samples.is_empty() { other } else { self.due.min(other) }
    }

    fn is_due(&self, now: Instant) -> bool {
        !self.samples.is_empty() && now >= self.due
    }

    /// The entry of what waits; the group is empty then.
    fn take(&mut self, source: &Source) -> (Entry, Arc<Ticket>) {
        let entry = Entry {
            device: source.topics.id.clone(),
            boot: self.boot,
            sequence: self.sequence,
            received_us: self.first_us,
            first_us: self.first_us,
            span_us: self.samples.iter().map(|sample| sample.offset_us).max().unwrap_or(0),
            uncertainty_us: 0,
            samples: u32::try_from(self.samples.len()).unwrap_or(u32::MAX),
            assurance: Assurance::ConfidentialOnly,
            body: samples_body(self.first_sequence, &self.samples),
        };
        self.sequence += 1;
        self.samples.clear();
        (entry, std::mem::replace(&mut self.ticket, Ticket::new()))
    }
}

/// The part of a connection that turns frames into readings.
struct Collector<'a> {
    arrival: &'a Arrival<'a>,
    stream: &'a TcpStream,
    session: &'a Session,
    source: SourceRef,
    decoder: Box<FrameDecoder>,
    sequence: u64,
    /// Decoded, not yet published: at most what one read brought.
    readings: Vec<SampleReading>,
    group: Group,
}

impl Collector<'_> {
    /// Serves the connection to its end, and journals what still waits then.
    async fn run(mut self, greeting: Vec<u8>) -> Cause {
        let cause = self.collect(greeting).await;
        Box::pin(self.journal()).await;
        cause
    }

    async fn collect(&mut self, greeting: Vec<u8>) -> Cause {
        let decoded = self.decode(&greeting);
        drop(greeting);
        self.publish().await;
        if let Err(cause) = decoded {
            return cause;
        }
        let idle_timeout = self.arrival.context.limits.idle_timeout;
        let mut heard = Instant::now();
        let lease = self.arrival.lease.clone();
        let ended = lease.ended();
        let timer = tokio::time::sleep(idle_timeout);
        let stream = self.stream;
        tokio::pin!(ended, timer);
        loop {
            tokio::select! {
                ready = stream.readable() => match ready {
                    Ok(()) => if let Err(cause) = self.receive_and_publish().await { return cause },
                    Err(error) => return error.into(),
                },
                ending = &mut ended => return Box::pin(self.finish(ending)).await,
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
    async fn finish(&mut self, ending: Ending) -> Cause {
        if ending != Ending::Stopped {
            return ending.into();
        }
        // Lets the reactor learn of bytes that it has not heard of yet; an error shows in the read.
        let _ = tokio::time::timeout(DRAIN_WAIT, self.stream.readable()).await;
        let end = Instant::now() + DRAIN_MAX;
        loop {
            if Instant::now() >= end {
                return ending.into();
            }
            match self.receive_and_publish().await {
                Ok(0) => return ending.into(),
                Ok(_) => {}
                Err(cause) => return cause,
            }
        }
    }

    /// Takes what the socket holds; the number of bytes, 0 when it holds none now.
    async fn receive_and_publish(&mut self) -> Result<usize, Cause> {
        let stream = self.stream;
        let mut decoded = Ok(());
        let received = receive(stream, |bytes| decoded = self.decode(bytes));
        self.publish().await;
        decoded?;
        match received {
            Ok(0) => Err(Cause::Closed { mid_message: self.decoder.mid_frame() }),
            Ok(len) => Ok(len),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    fn decode(&mut self, mut bytes: &[u8]) -> Result<(), Cause> {
        let received_us = utc_us(SystemTime::now());
        while let Some(json) = self.decoder.next(&mut bytes)? {
            let sample = Sample::parse(json)?;
            self.sequence += 1;
            self.readings.push(SampleReading::new(&self.source, received_us, self.sequence, &sample));
        }
        Ok(())
    }

    async fn publish(&mut self) {
        if self.readings.is_empty() {
            return;
        }
        let now = Instant::now();
        self.session.delivered(now);
        let context = self.arrival.context;
        context.metrics.readings.inc_by(self.readings.len() as u64);
        let durable = context.ingest.is_healthy();
        let mut readings = std::mem::take(&mut self.readings);
        for sample in readings.drain(..) {
            if !self.group.takes(&sample) {
                self.journal().await;
            }
            self.group.add(&sample, now);
            context.publisher.live(Reading::Sample(sample), &self.group.ticket, durable).await;
            if self.group.samples.len() >= GROUP_SAMPLES {
                Box::pin(self.journal()).await;
            }
        }
        self.readings = readings;
    }

    /// Hands the group to the journal. These devices are told nothing, so no one waits for the commit.
    async fn journal(&mut self) {
        if self.group.samples.is_empty() {
            return;
        }
        let (entry, ticket) = self.group.take(&self.source);
        let ingest = Arc::clone(&self.arrival.context.ingest);
        let pending = ingest.append(entry, ticket).await;
        tokio::spawn(async move { ingest.settle(pending).await });
    }
}

/// The next multiple of [`GROUP_TIME`] after a moment that all connections share.
fn next_beat(now: Instant) -> Instant {
    static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
    let since = now.saturating_duration_since(*BEGUN);
    let into_beat =
        Duration::from_nanos(u64::try_from(since.as_nanos() % GROUP_TIME.as_nanos()).unwrap_or(0));
    now + (GROUP_TIME - into_beat)
}

/// Reads once from a socket that is ready and hands the bytes on.
fn receive(stream: &TcpStream, take: impl FnOnce(&[u8])) -> io::Result<usize> {
    let mut buffer = [0; READ_LEN];
    let len = stream.try_read(&mut buffer)?;
    take(buffer.get(..len).unwrap_or_default());
    Ok(len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topics::DeviceTopics;
    use vitalwire_profile::Profile;

    #[test]
    fn a_clock_set_forward_makes_no_entry_that_is_too_long() {
        let topics = Arc::new(DeviceTopics::new(&"d".parse().unwrap()));
        let source: SourceRef = Arc::new(Source::new(&topics, &Arc::new(Profile::builtin("pico").unwrap())));
        let at = |received_us| SampleReading {
            source: SourceRef::clone(&source),
            received_us,
            sequence: 1,
            text: "1,2,3,4,5,6,7".into(),
        };
        let mut group = Group::new();
        assert!(group.takes(&at(1_000_000)));
        group.add(&at(1_000_000), Instant::now());
        assert!(group.takes(&at(1_050_000)) && group.takes(&at(0)));
        assert!(!group.takes(&at(3_600_000_000)), "an hour later by a clock that was set");
    }
}
