//! What the journal keeps: one batch of one device as it came, with the few facts needed to find, order and judge it.
//! It never looks into the body.

use std::fmt;

use bytes::Bytes;
use vitalwire_access::DeviceId;

/// The longest body, in bytes.
pub const BODY_BYTES_MAX: usize = 65_536;
/// The longest time from the first sample of an entry to its last, in microseconds: history looks this far back for
/// entries that reach into a range.
pub const SPAN_US_MAX: u64 = 60_000_000;
/// The first sequence number of a boot. What is below the first one seen is a gap.
pub const SEQUENCE_FIRST: u64 = 1;
/// The highest sequence number: SQLite's integers have a sign.
pub const SEQUENCE_MAX: u64 = i64::MAX.unsigned_abs();

/// How far a reading can be trusted to be what its device measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Assurance {
    /// AES-CBC frames: no one else could read it, but it may have been altered or replayed.
    ConfidentialOnly,
    /// TLS 1.3: it is what the device sent, once.
    Authenticated,
}

impl Assurance {
    /// The stable name, in the journal and in messages.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::ConfidentialOnly => "confidential-only",
            Self::Authenticated => "authenticated",
        }
    }

    pub(crate) fn code(self) -> i64 {
        match self {
            Self::ConfidentialOnly => 0,
            Self::Authenticated => 1,
        }
    }

    pub(crate) fn from_code(code: i64) -> Self {
        // What is not known to be authenticated is not called so.
        if code == 1 { Self::Authenticated } else { Self::ConfidentialOnly }
    }
}

impl fmt::Display for Assurance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.label())
    }
}

/// One batch of one device.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// Who sent it.
    pub device: DeviceId,
    /// Which start of the device it belongs to: sequence numbers begin again with each.
    pub boot: u64,
    /// Its number within the boot, from [`SEQUENCE_FIRST`] to [`SEQUENCE_MAX`].
    pub sequence: u64,
    /// When the gateway received it: UTC, microseconds since 1970.
    pub received_us: i64,
    /// When its first sample was measured: UTC, microseconds since 1970.
    pub first_us: i64,
    /// From its first sample to its last, at most [`SPAN_US_MAX`].
    pub span_us: u64,
    /// How far off `first_us` may be, to either side.
    pub uncertainty_us: u64,
    /// How many samples it holds.
    pub samples: u32,
    /// How far it can be trusted.
    pub assurance: Assurance,
    /// The batch as it came, at most [`BODY_BYTES_MAX`] bytes.
    pub body: Bytes,
}

/// Without the body: it holds patient values, which stay out of logs.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("device", &self.device)
            .field("boot", &self.boot)
            .field("sequence", &self.sequence)
            .field("first_us", &self.first_us)
            .field("samples", &self.samples)
            .field("body_len", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// An entry with its place in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its place: strictly increasing in the order of commits, never used twice, with holes where entries were removed.
    pub position: u64,
    /// What was appended.
    pub entry: Entry,
}

/// What became of an appended entry. It is known only after the commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is on the disk: acknowledge it.
    Committed {
        /// Its place in the journal.
        position: u64,
    },
    /// This (device, boot, sequence) is on the disk already, or was and has been removed by age or size: acknowledge it.
    Duplicate,
    /// It is not kept: do not acknowledge it. The device sends it again.
    Refused(Refusal),
}

/// Why an entry is not kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Refusal {
    #[error("the disk of the journal is full; free space on it, the journal goes on by itself")]
    DiskFull,
    #[error(
        "the journal is at its limit of bytes and reader {reader} has not read the oldest entries; \
         bring that reader back, raise the limit, or forget the reader"
    )]
    BoundReached {
        /// Who lags most.
        reader: String,
    },
    #[error("the journal cannot be written ({cause}); look at the disk, the journal tries again by itself")]
    Failing { cause: String },
    #[error(
        "the sequence of this boot has {gaps} gaps, the most that are kept; \
         the device must fill them, give them up, or start a new boot"
    )]
    TooManyGaps { gaps: usize },
    #[error("sequence {sequence} is not within {SEQUENCE_FIRST} to {SEQUENCE_MAX}")]
    SequenceOutOfRange { sequence: u64 },
    #[error("a body of {len} bytes is over the limit of {BODY_BYTES_MAX}")]
    BodyTooLong { len: usize },
    #[error("an entry that spans {span_us} µs is over the limit of {SPAN_US_MAX}")]
    SpanTooLong {
        /// From first to last sample.
        span_us: u64,
    },
    #[error("the journal is closed")]
    Closed,
}

impl Refusal {
    /// A stable name for a metric.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::DiskFull => "disk-full",
            Self::BoundReached { .. } => "bound-reached",
            Self::Failing { .. } => "failing",
            Self::TooManyGaps { .. } => "too-many-gaps",
            Self::SequenceOutOfRange { .. } => "sequence-out-of-range",
            Self::BodyTooLong { .. } => "body-too-long",
            Self::SpanTooLong { .. } => "span-too-long",
            Self::Closed => "closed",
        }
    }
}

impl Entry {
    /// Checks what no state of the journal can change.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        if !(SEQUENCE_FIRST..=SEQUENCE_MAX).contains(&self.sequence) {
            return Err(Refusal::SequenceOutOfRange { sequence: self.sequence });
        }
        if self.body.len() > BODY_BYTES_MAX {
            return Err(Refusal::BodyTooLong { len: self.body.len() });
        }
        if self.span_us > SPAN_US_MAX {
            return Err(Refusal::SpanTooLong { span_us: self.span_us });
        }
        Ok(())
    }
}
