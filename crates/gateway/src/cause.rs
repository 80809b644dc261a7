//! Why a connection ended: for the log, for metrics, and for those who watch over the device.

use std::io;
use std::time::Duration;

use vitalwire_access::ProxyError;
use vitalwire_journal::{JournalError, SPAN_US_MAX};
use vitalwire_protocol::batch::BatchError;
use vitalwire_protocol::{FrameError, SampleError};

use crate::admission::Refusal;
use crate::event::DeviceEvent;
use crate::identify::IdentifyError;
use crate::lease::Ending;
use crate::session::StillDelivers;
use crate::tls::HandshakeError;

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
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    #[error(transparent)]
    Refused(#[from] Refusal),
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
    #[error(
        "the profile `{0}` is the server's own, of what it derives; name the one of what the device measures"
    )]
    ServersProfile(String),
    #[error("the profile `{profile}` has no channel {index}")]
    UnknownChannel { profile: String, index: u8 },
    #[error("batch {sequence} came after batch {last}: sequences only grow")]
    SequenceBack { sequence: u64, last: u64 },
    #[error("a batch spans {span_us} µs; the most is {} µs", SPAN_US_MAX)]
    SpanTooLong { span_us: u64 },
    #[error(
        "another batch {sequence} of this boot is held: the device used the boot's number twice; draw it at random at each start"
    )]
    OtherBatchHeld { sequence: u64 },
    #[error(
        "the boot was used before: its clock shows {time_ms} ms and has shown {known_ms} ms; draw the number at random at each start"
    )]
    BootUsedTwice { time_ms: u64, known_ms: u64 },
    #[error("the device does not read its acknowledgements: none could be sent for {0:?}")]
    SlowReader(Duration),
    #[error("the journal takes entries again: the device is to send what was not acknowledged")]
    JournalBack,
    #[error(
        "the server's clock was set: the device is to say Hello again, so that its times are mapped by the new one"
    )]
    ClockSet,
    #[error("the journal cannot be read: {0}")]
    Journal(#[from] JournalError),
}

impl Cause {
    /// What metrics call it.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Closed { .. } => "ClosedByDevice",
            Self::Lost(_) => "ConnectionLost",
            Self::NothingSent => "NothingSent",
            Self::FirstFrameLate(_) => "FirstFrameLate",
            Self::Idle(_) => "Idle",
            Self::Proxy(_) => "BadProxyHeader",
            Self::Refused(refusal) => refusal.label(),
            Self::NotOurProtocol(_) => "NotOurProtocol",
            Self::Frame(_) => "BadFrame",
            Self::Sample(_) => "BadSample",
            Self::Identify(IdentifyError::UnknownKey { .. }) => "UnknownKey",
            Self::Identify(IdentifyError::TooManyFailures) => "TooManyFailures",
            Self::Identify(IdentifyError::Revoked) | Self::Ended(Ending::Revoked) => "Revoked",
            Self::StillDelivers(_) => "SecondConnection",
            Self::Ended(Ending::TakenOver) => "TakenOver",
            Self::Ended(Ending::Replaced) => "Replaced",
            Self::Ended(Ending::Evicted) => "Evicted",
            Self::Ended(Ending::Stopped) => "Stopped",
            Self::Handshake(_) => "HandshakeFailed",
            Self::Message(_) => "BadMessage",
            Self::OutOfTurn { .. } => "MessageOutOfTurn",
            Self::UnknownProfile(_) | Self::ServersProfile(_) => "UnknownProfile",
            Self::UnknownChannel { .. } => "UnknownChannel",
            Self::SequenceBack { .. } => "SequenceBack",
            Self::SpanTooLong { .. } => "SpanTooLong",
            Self::OtherBatchHeld { .. } => "OtherBatchHeld",
            Self::BootUsedTwice { .. } => "BootUsedTwice",
            Self::SlowReader(_) => "SlowReader",
            Self::JournalBack => "JournalBack",
            Self::ClockSet => "ClockSet",
            Self::Journal(_) => "JournalFailed",
        }
    }

    /// Ends that need no one's attention.
    pub(crate) fn is_ordinary(&self) -> bool {
        matches!(
            self,
            Self::Closed { mid_message: false }
                | Self::NothingSent
                | Self::Ended(Ending::Stopped | Ending::Replaced)
        )
    }

    /// What those who watch over the device are told, for faults that are not the network's.
    pub(crate) fn event(&self) -> Option<DeviceEvent> {
        let detail = || self.to_string();
        match self {
            Self::Message(_)
            | Self::OutOfTurn { .. }
            | Self::SequenceBack { .. }
            | Self::SpanTooLong { .. } => Some(DeviceEvent::BadMessage { detail: detail() }),
            Self::UnknownProfile(_) | Self::ServersProfile(_) => {
                Some(DeviceEvent::UnknownProfile { detail: detail() })
            }
            Self::UnknownChannel { .. } => Some(DeviceEvent::UnknownChannel { detail: detail() }),
            Self::OtherBatchHeld { .. } | Self::BootUsedTwice { .. } => {
                Some(DeviceEvent::BootUsedTwice { detail: detail() })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_told_for_each_group_of_causes() {
        assert_eq!(Cause::Closed { mid_message: true }.label(), "ClosedByDevice");
        assert_eq!(Cause::Ended(Ending::Revoked).label(), Cause::Identify(IdentifyError::Revoked).label());
        assert_eq!(Cause::SequenceBack { sequence: 1, last: 2 }.event().unwrap().kind(), "bad-message");
        assert_eq!(Cause::Idle(Duration::ZERO).event(), None);
    }
}
