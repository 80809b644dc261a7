//! One connection of a device, from its first byte to its end. The first byte says what is spoken: TLS (`link`) or the
//! paper's AES-CBC frames (`frames`).
//!
//! Whatever a peer sends ends at most its own connection, with one line in the log that names the cause.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use vitalwire_access::DeviceId;
use vitalwire_protocol::batch::BatchError;
use vitalwire_protocol::{Detected, FrameError, SampleError, detect};

use crate::admission::{Admission, Admissions};
use crate::enrolment::Enrolment;
use crate::frames;
use crate::identify::{Identifier, IdentifyError};
use crate::ingest::Ingest;
use crate::lease::{Ending, Lease};
use crate::limits::Limits;
use crate::link;
use crate::metrics::{End, Metrics};
use crate::profiles::Profiles;
use crate::publisher::Publisher;
use crate::session::{Sessions, StillDelivers};
use crate::tls::{Acceptor, HandshakeError};

/// On a stop, how long to wait for bytes already on their way.
pub(crate) const DRAIN_WAIT: Duration = Duration::from_millis(20);
/// And how long in all, when more bytes come all the time.
pub(crate) const DRAIN_MAX: Duration = Duration::from_millis(500);

/// What every connection needs of the server.
pub(crate) struct Context {
    pub(crate) admissions: Arc<Admissions>,
    pub(crate) identifier: Identifier,
    pub(crate) acceptor: Acceptor,
    pub(crate) enrolment: Enrolment,
    pub(crate) profiles: Profiles,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) publisher: Publisher,
    pub(crate) ingest: Arc<Ingest>,
    pub(crate) metrics: Metrics,
    pub(crate) limits: Limits,
    /// Asked of every device, if anything is: milliseconds of values in a batch.
    pub(crate) batch_ms: Option<u32>,
    pub(crate) stop: CancellationToken,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Cause {
    #[error("the device closed the connection{}", if *.mid_message { " in the middle of a message" } else { "" })]
    Closed { mid_message: bool },
    #[error("connection lost: {0}")]
    Lost(#[from] io::Error),
    #[error("closed before it sent anything")]
    NothingSent,
    #[error("did not say who it is within {0:?}")]
    FirstFrameLate(Duration),
    #[error("nothing received for {0:?}")]
    Idle(Duration),
    #[error("this is no protocol of ours: the first byte is {0:#04x}")]
    NotOurProtocol(u8),
    #[error("bad frame: {0}")]
    Frame(#[from] FrameError),
    #[error("bad sample: {0}")]
    Sample(#[from] SampleError),
    #[error(transparent)]
    Identify(#[from] IdentifyError),
    #[error(transparent)]
    StillDelivers(#[from] StillDelivers),
    #[error(transparent)]
    Ended(#[from] Ending),
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    #[error("bad message: {0}")]
    Message(#[from] BatchError),
    #[error("{what} is no message for a device to send here")]
    OutOfTurn { what: &'static str },
    #[error(
        "no profile is called `{0}`; put its file into the data folder's `profiles` and start the server again"
    )]
    UnknownProfile(String),
    #[error("the profile `{profile}` has no channel {index}")]
    UnknownChannel { profile: String, index: u8 },
    #[error("batch {sequence} came after batch {last}: sequences only grow")]
    SequenceBack { sequence: u64, last: u64 },
    #[error("a batch spans {span_us} µs; the most is {} µs", vitalwire_journal::SPAN_US_MAX)]
    SpanTooLong { span_us: u64 },
    #[error("the device does not read its acknowledgements: none could be sent for {0:?}")]
    SlowReader(Duration),
    #[error("the journal takes entries again: the device is to send what was not acknowledged")]
    JournalBack,
    #[error(
        "the server's clock was set: the device is to say Hello again, so that its times are mapped by the new one"
    )]
    ClockSet,
    #[error("the journal cannot be read: {0}")]
    Journal(#[from] vitalwire_journal::JournalError),
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
            Self::Frame(_) => End::BadFrame,
            Self::Sample(_) => End::BadSample,
            Self::Identify(IdentifyError::UnknownKey { .. }) => End::UnknownKey,
            Self::Identify(IdentifyError::TooManyFailures) => End::TooManyFailures,
            Self::Identify(IdentifyError::Revoked) | Self::Ended(Ending::Revoked) => End::Revoked,
            Self::StillDelivers(_) => End::SecondConnection,
            Self::Ended(Ending::TakenOver) => End::TakenOver,
            Self::Ended(Ending::Replaced) => End::Replaced,
            Self::Ended(Ending::Evicted) => End::Evicted,
            Self::Ended(Ending::Stopped) => End::Stopped,
            Self::Handshake(_) => End::HandshakeFailed,
            Self::Message(_) => End::BadMessage,
            Self::OutOfTurn { .. } => End::MessageOutOfTurn,
            Self::UnknownProfile(_) => End::UnknownProfile,
            Self::UnknownChannel { .. } => End::UnknownChannel,
            Self::SequenceBack { .. } => End::SequenceBack,
            Self::SpanTooLong { .. } => End::SpanTooLong,
            Self::SlowReader(_) => End::SlowReader,
            Self::JournalBack => End::JournalBack,
            Self::ClockSet => End::ClockSet,
            Self::Journal(_) => End::JournalFailed,
        }
    }

    /// Ends that need no one's attention.
    fn is_ordinary(&self) -> bool {
        matches!(
            self,
            Self::Closed { mid_message: false }
                | Self::NothingSent
                | Self::Ended(Ending::Stopped | Ending::Replaced)
        )
    }

    /// The kind of the event that whoever watches over the device is told, for faults that are not the network's.
    pub(crate) fn event(&self) -> Option<&'static str> {
        match self {
            Self::Message(_)
            | Self::OutOfTurn { .. }
            | Self::SequenceBack { .. }
            | Self::SpanTooLong { .. } => Some("bad-message"),
            Self::UnknownProfile(_) => Some("unknown-profile"),
            Self::UnknownChannel { .. } => Some("unknown-channel"),
            _ => None,
        }
    }
}

/// A connection that has just come in.
pub(crate) struct Arrival<'a> {
    pub(crate) peer: SocketAddr,
    pub(crate) lease: &'a Lease,
    pub(crate) admission: &'a Admission,
    pub(crate) context: &'a Context,
}

/// Serves one accepted connection until its end.
pub(crate) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    admission: Admission,
    lease: Lease,
    context: Arc<Context>,
) {
    let arrival = Arrival { peer, lease: &lease, admission: &admission, context: &context };
    let (device, cause) = arrival.serve(stream).await;
    context.metrics.ended(cause.end());
    let device = device.as_ref().map_or("-", |id| id.as_str());
    if cause.is_ordinary() {
        tracing::info!(%peer, device, %cause, "connection ended");
    } else {
        tracing::warn!(%peer, device, %cause, "connection ended");
    }
}

impl Arrival<'_> {
    async fn serve(&self, stream: TcpStream) -> (Option<DeviceId>, Cause) {
        let deadline = tokio::time::Instant::now() + self.context.limits.first_frame_timeout;
        // Steps are boxed, here and in both protocols, so that a connection takes memory for its present one only: what
        // thousands of them do is wait.
        match self.before(deadline, first_byte(&stream)).await {
            Ok(Detected::Tls) => Box::pin(link::serve(self, stream, deadline)).await,
            Ok(_) => match Box::pin(self.before(deadline, frames::identify(self, &stream))).await {
                Ok(greeting) => {
                    self.admission.identified();
                    let device = greeting.identity.id().clone();
                    (Some(device), Box::pin(frames::run_session(self, &stream, greeting)).await)
                }
                Err(cause) => (None, cause),
            },
            Err(cause) => (None, cause),
        }
    }

    /// Waits for `step`, but not past the deadline for a peer to say who it is, nor when the connection has to go.
    pub(crate) async fn before<T, E: Into<Cause>>(
        &self,
        deadline: tokio::time::Instant,
        step: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Cause> {
        tokio::select! {
            done = step => done.map_err(Into::into),
            ending = self.lease.ended() => Err(ending.into()),
            () = tokio::time::sleep_until(deadline) => {
                Err(Cause::FirstFrameLate(self.context.limits.first_frame_timeout))
            }
        }
    }
}

/// What the peer speaks; its first byte stays in the socket.
async fn first_byte(stream: &TcpStream) -> Result<Detected, Cause> {
    let mut byte = [0];
    match stream.peek(&mut byte).await? {
        0 => Err(Cause::NothingSent),
        _ => match (detect(byte[0]), byte) {
            (Detected::Unknown, [byte]) => Err(Cause::NotOurProtocol(byte)),
            (detected, _) => Ok(detected),
        },
    }
}
