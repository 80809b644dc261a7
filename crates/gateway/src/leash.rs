//! A leash on each connection: whoever may end it pulls, and the connection learns why.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

/// Why a connection was told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Pull {
    /// It had to make room before it identified itself.
    #[error("made room for a newer connection before it identified itself")]
    Evicted,
    /// A newer connection of its device took over.
    #[error("was silent, and a newer connection of the device took over")]
    TakenOver,
    /// A newer connection of its device, authenticated afresh, took its place.
    #[error("a newer connection of the device took its place")]
    Replaced,
    /// Its device was revoked or its key rotated.
    #[error("the device was revoked or its key rotated")]
    Revoked,
    /// The server stops.
    #[error("the server stops")]
    Stopped,
}

/// One connection's leash. The first pull counts.
#[derive(Clone, Debug)]
pub(crate) struct Leash {
    token: CancellationToken,
    cause: Arc<OnceLock<Pull>>,
}

impl Leash {
    /// A leash that is also pulled when `stop` is cancelled.
    pub(crate) fn new(stop: &CancellationToken) -> Self {
        Self { token: stop.child_token(), cause: Arc::default() }
    }

    pub(crate) fn pull(&self, cause: Pull) {
        self.cause.get_or_init(|| cause);
        self.token.cancel();
    }

    /// Waits until the leash is pulled.
    pub(crate) async fn pulled(&self) -> Pull {
        self.token.cancelled().await;
        self.cause.get().copied().unwrap_or(Pull::Stopped)
    }

    /// Why it was pulled, if it was by anyone but a stop.
    pub(crate) fn cause(&self) -> Option<Pull> {
        self.cause.get().copied()
    }
}
