//! A connection that has just come in, and how long it may take to say who it is.

use std::net::SocketAddr;
use std::time::Duration;

use crate::admission::Admission;
use crate::cause::Cause;
use crate::context::Context;
use crate::lease::Lease;

/// On a stop, how long to wait for bytes already on their way.
pub(crate) const DRAIN_WAIT: Duration = Duration::from_millis(20);
/// And how long in all, when more bytes come all the time.
pub(crate) const DRAIN_MAX: Duration = Duration::from_millis(500);

/// A connection that has just come in.
pub(crate) struct Arrival<'a> {
    pub(crate) peer: SocketAddr,
    pub(crate) lease: &'a Lease,
    pub(crate) admission: &'a Admission,
    pub(crate) context: &'a Context,
}

impl Arrival<'_> {
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
