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
    setting(
        "dashboard.oidc_issuer",
        "oidc-issuer",
        "A provider of OpenID Connect at which users may log in to the dashboard, too, as it writes its own name",
        &Field(|v| &mut v.sign_on.issuer),
    )
    .unset("none", "https://login.ward.example/realms/ward"),
    setting(
        "dashboard.oidc_client_id",
        "oidc-client-id",
        "As what this server is registered there, with the dashboard's address and a / as where it sends people back to",
        &Field(|v| &mut v.sign_on.client_id),
    )
    .unset("needed with a provider", "vitalwire"),
    setting(
        "dashboard.oidc_client_secret_file",
        "oidc-client-secret-file",
        "The file with the secret that the provider knows this server by",
        &Field(|v| &mut v.sign_on.client_secret_file),
    )
    .unset("none: registered as a public client, with PKCE", "/etc/vitalwire/oidc-secret"),
    setting(
        "dashboard.oidc_claim",
        "oidc-claim",
        "The provider's claim that is the name of a user here; one that people cannot change themselves",
        &Field(|v| &mut v.sign_on.claim),
    )
    .unset("preferred_username", "preferred_username"),
    setting(
        "dashboard.oidc_scopes",
        "oidc-scopes",
        "What the provider is asked for beside openid, so that it tells that claim, with spaces between",
        &Field(|v| &mut v.sign_on.scopes),
    )
    .unset("profile", "profile ward"),
    setting(
        "dashboard.oidc_name",
        "oidc-name",
        "What people call the provider, on the button of the login page",
        &Field(|v| &mut v.sign_on.name),
    )
    .unset("its address", "Ward login"),
    setting(
        "dashboard.oidc_ca",
        "oidc-ca",
        "Who vouches for the provider's certificate (PEM)",
        &Field(|v| &mut v.sign_on.ca),
    )
    .unset("the system's authorities", "/etc/vitalwire/ca.pem"),
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
