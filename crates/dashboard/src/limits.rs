//! Named limits of the dashboard, and what happens at each.

use std::time::Duration;

/// Limits of the dashboard; each is a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DashboardLimits {
    /// Connections at once that are no live ones. The oldest is closed.
    pub connections_max: usize,
    /// How long a handshake, a head and a body may each take, and a connection be idle. It is closed, or answered with 408.
    pub request_patience: Duration,
    /// Live connections at once of one user. One more is refused.
    pub live_per_user_max: usize,
    /// How long a session lasts without a request or a live connection. It ends.
    pub session_idle: Duration,
    /// How long a session lasts at most. It ends.
    pub session_age_max: Duration,
    /// Bytes of waves that wait for a viewer. The oldest go, counted.
    pub viewer_waves_bytes_max: usize,
}

impl Default for DashboardLimits {
    fn default() -> Self {
        Self {
            connections_max: 256,
            request_patience: Duration::from_secs(10),
            live_per_user_max: 32,
            session_idle: Duration::from_secs(30 * 60),
            session_age_max: Duration::from_secs(12 * 60 * 60),
            viewer_waves_bytes_max: 256 << 10,
        }
    }
}

/// The longest head of a request, in bytes; a longer one is answered with 431.
pub(crate) const HEAD_BYTES_MAX: usize = 16 << 10;
/// The longest body; a longer one is answered with 413.
pub(crate) const BODY_BYTES_MAX: usize = 64 << 10;
/// How long an answer may take to be made; then it is 503.
pub(crate) const ANSWER_PATIENCE: Duration = Duration::from_secs(30);
/// How long a viewer may take no byte. Its connection is closed.
pub(crate) const VIEWER_PATIENCE: Duration = Duration::from_secs(20);
/// Histories read at once. Others wait.
pub(crate) const HISTORIES_MAX: usize = 4;
/// Days replayed at once, to tell what other limits would have raised. Others wait.
pub(crate) const PREVIEWS_MAX: usize = 1;
/// Sessions of one user. At it the one that was used longest ago ends.
pub(crate) const SESSIONS_PER_USER_MAX: usize = 64;
/// Login links that wait to be used. At it the one that ends first goes.
pub(crate) const LINKS_MAX: usize = 64;
/// Requests to the provider at once. One more is answered with 503.
pub(crate) const PROVIDER_TURNS_MAX: usize = 16;
/// How long a person may be at the provider, in seconds. Then the login must be begun again.
pub(crate) const ATTEMPT_AGE_S_MAX: u64 = 600;
