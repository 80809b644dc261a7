//! The dashboard.

use crate::config::setting::{Setting, limit, setting};
use crate::config::value::{Field, Unit};

pub(super) static SETTINGS: &[Setting] = &[
    setting(
        "dashboard.listen",
        "dashboard-listen",
        "The dashboard, on this machine only; or off. Put a TLS reverse proxy before it for others",
        &Field(|v| &mut v.dashboard_listen),
    )
    .unset("127.0.0.1:8080; no dashboard when that is taken", "127.0.0.1:8080"),
    setting(
        "dashboard.hosts",
        "dashboard-hosts",
        "Further names that browsers know the dashboard by, as HOST or HOST:PORT: of the proxy before it",
        &Field(|v| &mut v.dashboard_hosts),
    )
    .unset("none", "ward.example, ward.example:8443"),
    limit(
        "dashboard.connections_max",
        Unit::None,
        "Connections at once to that port, live ones not counted",
        "The oldest is closed",
        &Field(|v| &mut v.dashboard.connections_max),
    ),
    limit(
        "dashboard.live_per_user_max",
        Unit::None,
        "Live connections at once of one user, one a tab",
        "One more is refused",
        &Field(|v| &mut v.dashboard.live_per_user_max),
    ),
    limit(
        "dashboard.session_idle_s_max",
        Unit::Seconds,
        "How long a login lasts without a request or an open page",
        "It ends",
        &Field(|v| &mut v.dashboard.session_idle),
    )
    .at_most(604_800),
    limit(
        "dashboard.session_age_s_max",
        Unit::Seconds,
        "How long a login lasts",
        "It ends",
        &Field(|v| &mut v.dashboard.session_age_max),
    )
    .at_most(604_800),
    limit(
        "dashboard.viewer_waves_kib_max",
        Unit::Kibibytes,
        "Waves that wait for one open page",
        "The oldest are dropped and counted; alarms never are",
        &Field(|v| &mut v.dashboard.viewer_waves_bytes_max),
    ),
];
