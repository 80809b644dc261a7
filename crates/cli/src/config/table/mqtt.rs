//! MQTT, and logging in.

use crate::config::setting::{Setting, limit, setting};
use crate::config::value::{Field, Unit};

/// The longest queue that can be asked for: far more than memory has room for, and less than a queue of tokio takes.
const CHANNEL_LEN_MAX: u64 = 1 << 24;

pub(super) static SETTINGS: &[Setting] = &[
    setting(
        "mqtt.listen",
        "mqtt-listen",
        "Plain MQTT, for this machine (127.0.0.1 or ::1) and the networks of --allow-plain-mqtt; or off",
        &Field(|v| &mut v.mqtt_listen),
    ),
    setting(
        "mqtt.allow_plain",
        "allow-plain-mqtt",
        "Networks in which passwords and vital signs may travel readable: plain MQTT from there is served, and an \
         external broker with an address in them may be mqtt://",
        &Field(|v| &mut v.mqtt_allow_plain),
    )
    .unset("none", "172.20.0.0/16"),
    setting(
        "mqtt.tls_listen",
        "mqtt-tls-listen",
        "MQTT over TLS; or off",
        &Field(|v| &mut v.mqtt_tls_listen),
    )
    .unset("0.0.0.0:8883 when there is a certificate", "0.0.0.0:8883"),
    setting(
        "mqtt.websocket_listen",
        "mqtt-websocket-listen",
        "MQTT over WebSocket, path /mqtt, on this machine only; or off. Put a TLS reverse proxy before it",
        &Field(|v| &mut v.mqtt_websocket_listen),
    ),
    setting(
        "mqtt.proxies",
        "mqtt-proxies",
        "Proxies before MQTT, plain and over TLS, which send a PROXY protocol v2 header",
        &Field(|v| &mut v.mqtt_proxies),
    )
    .unset("none", "192.0.2.10"),
    setting(
        "mqtt.websocket_proxies",
        "mqtt-websocket-proxies",
        "Proxies before MQTT over WebSocket, which set X-Forwarded-For",
        &Field(|v| &mut v.mqtt_websocket_proxies),
    )
    .unset("none", "127.0.0.1"),
    setting(
        "mqtt.origins",
        "mqtt-origins",
        "Web sites whose pages may connect over WebSocket, beside those of the browser's own machine and of the \
         address asked for",
        &Field(|v| &mut v.mqtt_origins),
    )
    .unset("none", "https://ward.example"),
    setting("mqtt.tls_cert", "tls-cert", "Certificate (PEM) of MQTT over TLS", &Field(|v| &mut v.tls_cert))
        .unset("the one that init made", "/etc/vitalwire/certificate.pem"),
    setting("mqtt.tls_key", "tls-key", "Its private key (PEM, mode 0600)", &Field(|v| &mut v.tls_key))
        .unset("the one that init made", "/etc/vitalwire/key.pem"),
    setting(
        "mqtt.url",
        "mqtt-url",
        "An external broker instead of the embedded one: mqtts://USER@HOST:PORT",
        &Field(|v| &mut v.mqtt_url),
    )
    .unset("the embedded broker", "mqtts://gateway@broker.example:8883"),
    setting(
        "mqtt.ca",
        "mqtt-ca",
        "The CA certificate that vouches for the external broker",
        &Field(|v| &mut v.mqtt_ca),
    )
    .unset("the system's", "/etc/vitalwire/broker-ca.pem"),
    setting(
        "mqtt.password_file",
        "mqtt-password-file",
        "File with the external broker's password, mode 0600",
        &Field(|v| &mut v.mqtt_password_file),
    )
    .unset("VITALWIRE_MQTT_PASSWORD", "/etc/vitalwire/broker-password"),
    limit(
        "mqtt.connections_max",
        Unit::None,
        "Connections of MQTT clients at once, also of those not logged in",
        "The oldest that has sent nothing is closed, or the new one; both are counted",
        &Field(|v| &mut v.broker.connections_max),
    ),
    limit(
        "mqtt.connections_per_address_max",
        Unit::None,
        "Connections of MQTT clients at once from one address",
        "The oldest that has sent nothing is closed, or the new one; both are counted",
        &Field(|v| &mut v.broker.connections_per_address_max),
    ),
    limit(
        "mqtt.subscriptions_per_client_max",
        Unit::None,
        "Subscriptions of one client",
        "One more is refused",
        &Field(|v| &mut v.broker.subscriptions_per_client_max),
    ),
    limit(
        "mqtt.sessions_per_user_max",
        Unit::None,
        "Sessions of one user, connected or stored",
        "One more client id is refused",
        &Field(|v| &mut v.broker.sessions_per_user_max),
    ),
    limit(
        "mqtt.client_packet_kib_max",
        Unit::Kibibytes,
        "Largest packet that a client may send",
        "The connection is closed",
        &Field(|v| &mut v.broker.client_packet_bytes_max),
    ),
    limit(
        "mqtt.queued_messages_max",
        Unit::None,
        "Messages of QoS 1 and 2 that wait for absent and slow clients, each once for all",
        "The oldest are dropped, logged and counted",
        &Field(|v| &mut v.broker.queued_messages_max),
    ),
    limit(
        "mqtt.queued_kib_max",
        Unit::Kibibytes,
        "The same by size",
        "The oldest are dropped, logged and counted",
        &Field(|v| &mut v.broker.queued_bytes_max),
    ),
    limit(
        "mqtt.session_expiry_s_max",
        Unit::Seconds,
        "How long a session outlives its connection",
        "The session is deleted",
        &Field(|v| &mut v.broker.session_expiry_s_max),
    ),
    limit(
        "mqtt.retained_messages_max",
        Unit::None,
        "Topics with a retained message",
        "One more message is delivered but not retained, and counted",
        &Field(|v| &mut v.broker.retained_messages_max),
    ),
    limit(
        "mqtt.retained_total_kib_max",
        Unit::Kibibytes,
        "All retained messages together",
        "One that does not fit is delivered but not retained, and counted",
        &Field(|v| &mut v.broker.retained_bytes_total_max),
    ),
    limit(
        "mqtt.handshake_ms_max",
        Unit::Milliseconds,
        "Time for the TLS or WebSocket handshake",
        "The connection is closed",
        &Field(|v| &mut v.broker.handshake_ms_max),
    ),
    limit(
        "mqtt.connect_ms_max",
        Unit::Milliseconds,
        "Time from there to a good login",
        "The connection is closed",
        &Field(|v| &mut v.broker.connect_ms_max),
    )
    .at_most(10_000),
    limit(
        "mqtt.outgoing_kib_max",
        Unit::Kibibytes,
        "Bytes that wait for one client's socket",
        "Messages of QoS 0 are dropped and counted, those of QoS 1 and 2 come later",
        &Field(|v| &mut v.broker.outgoing_bytes_max),
    ),
    limit(
        "mqtt.outgoing_total_kib_max",
        Unit::Kibibytes,
        "The same for all clients together",
        "Clients that are behind miss messages of QoS 0, which are counted",
        &Field(|v| &mut v.broker.outgoing_bytes_total_max),
    ),
    limit(
        "mqtt.unacknowledged_max",
        Unit::None,
        "Messages of QoS 1 and 2 sent to one client that it has not acknowledged",
        "The others wait",
        &Field(|v| &mut v.broker.unacknowledged_max),
    ),
    limit(
        "mqtt.client_publishes_max",
        Unit::None,
        "Publications of QoS 1 and 2 that one client has under way",
        "The connection is closed",
        &Field(|v| &mut v.broker.client_publishes_max),
    ),
    limit(
        "mqtt.topic_aliases_max",
        Unit::None,
        "Topic aliases of one client",
        "The connection is closed",
        &Field(|v| &mut v.broker.topic_aliases_max),
    ),
    limit(
        "mqtt.retained_kib_max",
        Unit::Kibibytes,
        "Largest retained message of a client",
        "A larger one is delivered but not retained, and counted",
        &Field(|v| &mut v.broker.retained_bytes_max),
    ),
    limit(
        "mqtt.stall_ms_max",
        Unit::Milliseconds,
        "How long a client may take no byte of what is sent to it",
        "The connection is closed",
        &Field(|v| &mut v.broker.stall_ms_max),
    ),
    limit(
        "mqtt.linger_ms_max",
        Unit::Milliseconds,
        "Time for the last bytes of a closing connection",
        "They are dropped",
        &Field(|v| &mut v.broker.linger_ms_max),
    ),
    limit(
        "mqtt.backlog_mib_max",
        Unit::Mebibytes,
        "Memory for what waits for an external broker",
        "The oldest reading goes; it is published later from the journal",
        &Field(|v| &mut v.limits.backlog_bytes_max),
    ),
    limit(
        "logins.checks_max",
        Unit::None,
        "Passwords checked at once, each with 19 MiB of memory and a core",
        "The others wait",
        &Field(|v| &mut v.limits.logins.checks_max),
    )
    .at_most(64),
    limit(
        "logins.waiting_max",
        Unit::None,
        "Logins that wait for their turn",
        "One more is told that the server is busy",
        &Field(|v| &mut v.limits.logins.waiting_max),
    )
    .at_most(CHANNEL_LEN_MAX),
    limit(
        "logins.wait_ms_max",
        Unit::Milliseconds,
        "How long a login waits for its turn",
        "It is told that the server is busy",
        &Field(|v| &mut v.limits.logins.wait_max),
    ),
    limit(
        "logins.records_waiting_max",
        Unit::None,
        "Logins that wait for their entry in the audit log",
        "One more is in the log of the server alone",
        &Field(|v| &mut v.limits.logins.records_waiting_max),
    )
    .at_most(CHANNEL_LEN_MAX),
];
