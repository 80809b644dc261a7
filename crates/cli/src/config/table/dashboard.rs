//! The dashboard.

use crate::config::setting::{Setting, limit, setting};
use crate::config::value::{Field, Unit};

pub(super) static SETTINGS: &[Setting] = &[
    setting(
        "dashboard.listen",
        "dashboard-listen",
        "The dashboard; or off. On any address but this machine's own it speaks TLS",
        &Field(|v| &mut v.dashboard_listen),
    )
    .unset("127.0.0.1:8080; no dashboard when that is taken", "0.0.0.0:8443"),
    setting(
        "dashboard.tls_cert",
        "dashboard-tls-cert",
        "Certificate (PEM) of the dashboard. It is loaded again within a minute when the file changes",
        &Field(|v| &mut v.dashboard_tls_cert),
    )
    .unset("that of MQTT over TLS; no TLS on this machine's own addresses", "/etc/vitalwire/dashboard.pem"),
    setting(
        "dashboard.tls_key",
        "dashboard-tls-key",
        "Its private key (PEM, mode 0600)",
        &Field(|v| &mut v.dashboard_tls_key),
    )
    .unset("that of MQTT over TLS", "/etc/vitalwire/dashboard-key.pem"),
    setting(
        "dashboard.hosts",
        "dashboard-hosts",
        "Further names that browsers know the dashboard by, as HOST or HOST:PORT, beside those of its certificate: of a \
         proxy before it",
        &Field(|v| &mut v.dashboard_hosts),
    )
    .unset("none", "ward.example, ward.example:8443"),
    setting(
        "dashboard.proxies",
        "dashboard-proxies",
        "Proxies before the dashboard, which set X-Forwarded-For",
        &Field(|v| &mut v.dashboard_proxies),
    )
    .unset("none", "127.0.0.1"),
    limit(
        "dashboard.connections_max",
        Unit::None,
        "Connections at once to that port, live ones not counted",
        "The oldest is closed",
        &Field(|v| &mut v.dashboard.connections_max),
    ),
    limit(
        "dashboard.request_ms_max",
        Unit::Milliseconds,
        "Time for a handshake, for the head of a request, and for its body; and how long a connection may be idle",
        "The connection is closed, or the answer is 408",
        &Field(|v| &mut v.dashboard.request_patience),
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
