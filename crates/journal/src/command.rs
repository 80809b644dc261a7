//! What the journal's handles ask the writer for.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;
use vitalwire_access::DeviceId;

use crate::boot_clock::BootClock;
use crate::entry::{Entry, Outcome, Refusal};
use crate::erase::Erased;
use crate::error::Result;
use crate::readers::ReaderState;
use crate::sums::Stretch;

/// One request. Each answer is sent when the thing is on the disk.
pub(crate) enum Command {
    Append(Append),
    GiveUp {
        device: DeviceId,
        boot: u64,
        below: u64,
        answer: oneshot::Sender<Result<Option<u64>, Refusal>>,
    },
    LastSequence {
        device: DeviceId,
        boot: u64,
        answer: oneshot::Sender<Result<Option<u64>>>,
    },
    NoteClock {
        device: DeviceId,
        boot: u64,
        clock: BootClock,
    },
    BootClock {
        device: DeviceId,
        boot: u64,
        answer: oneshot::Sender<Result<Option<BootClock>>>,
    },
    OpenReader {
        name: String,
        answer: oneshot::Sender<Result<Arc<ReaderState>>>,
    },
    ForgetReader {
        name: String,
        answer: oneshot::Sender<Result<()>>,
    },
    Erase {
        device: DeviceId,
        answer: oneshot::Sender<Result<Erased>>,
    },
    TakeUnmade {
        settle_us: Option<u64>,
        limit: usize,
        answer: oneshot::Sender<Result<Vec<Stretch>>>,
    },
    KeepSums {
        sums: Vec<(Stretch, Bytes)>,
        answer: oneshot::Sender<Result<()>>,
    },
    Close,
    #[cfg(test)]
    Execute {
        sql: String,
        answer: oneshot::Sender<()>,
    },
}

pub(crate) struct Append {
    pub(crate) entry: Entry,
    pub(crate) answer: oneshot::Sender<Outcome>,
}
