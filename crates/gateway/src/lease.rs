//! A lease on each connection: others may end it by that, and the connection learns why.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

/// Why a connection was told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Ending {
    #[error("made room for a newer connection before it identified itself")]
    Evicted,
    #[error("was silent, and a newer connection of the device took over")]
    TakenOver,
    #[error("a newer connection of the device took its place")]
    Replaced,
    #[error("the device was revoked or its key rotated")]
    Revoked,
    #[error("the server stops")]
    Stopped,
}

/// One connection's lease. The first ending counts.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    token: CancellationToken,
    cause: Arc<OnceLock<Ending>>,
}

impl Lease {
    /// A lease that is also ended when `stop` is cancelled.
    pub(crate) fn new(stop: &CancellationToken) -> Self {
        Self { token: stop.child_token(), cause: Arc::default() }
    }

    pub(crate) fn end(&self, cause: Ending) {
        self.cause.get_or_init(|| cause);
        self.token.cancel();
    }

    /// Waits until the lease is ended.
    pub(crate) async fn ended(&self) -> Ending {
        self.token.cancelled().await;
        self.cause.get().copied().unwrap_or(Ending::Stopped)
    }

    /// Why it was ended, if it was by anyone but a stop.
    pub(crate) fn cause(&self) -> Option<Ending> {
        self.cause.get().copied()
    }
}
