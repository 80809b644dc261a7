//! Every setting of `serve`, each described once: flag, variable, key in the file, help, `config show` and the commented
//! vitalwire.toml all come from here. A new setting is a field and a row.

use std::sync::LazyLock;

use vitalwire_protocol::batch::BATCH_MS_MAX;

use super::setting::{Setting, limit, setting};
use super::value::{Field, Unit};

/// How a setting is called outside the file.
pub(crate) struct Names {
    /// Without its dashes.
    pub(crate) flag: String,
    pub(crate) variable: String,
}

static NAMES: LazyLock<Vec<Names>> = LazyLock::new(|| {
    let names = SETTINGS.iter().map(|setting| {
        let flag = setting.flag.map_or_else(|| setting.key.replace(['.', '_'], "-"), str::to_owned);
        let variable = format!("VITALWIRE_{}", flag.replace('-', "_").to_uppercase());
        Names { flag, variable }
    });
    names.collect()
});

/// All settings, with their names.
pub(crate) fn settings() -> impl Iterator<Item = (&'static Setting, &'static Names)> {
    SETTINGS.iter().zip(NAMES.iter())
}

/// The longest queue that can be asked for: far more than memory has room for, and less than a queue of tokio takes.
const CHANNEL_LEN_MAX: u64 = 1 << 24;

/// Sections stay together: the file is written in this order.
pub(super) static SETTINGS: &[Setting] = &[
    setting("data", "data", "The data folder, made by `vitalwire init`", &Field(|v| &mut v.data))
        .unset("it must be named", "/var/lib/vitalwire"),
    setting(
        "master_key",
        "master-key",
        "The file with the master key; keep it apart from the data folder",
        &Field(|v| &mut v.master_key),
    )
    .unset("a systemd credential, else DIR.master-key", "/etc/vitalwire/master-key"),
    limit(
        "stop_ms_max",
        Unit::Milliseconds,
        "Time for an orderly stop",
        "What was not handed on by then is in the journal",
        &Field(|v| &mut v.limits.stop_timeout),
    )
    .at_most(60_000),
    // Devices.
    setting(
        "devices.listen",
        "listen",
        "Where devices connect; what they send is encrypted",
        &Field(|v| &mut v.devices_listen),
    ),
    setting(
        "devices.proxies",
        "device-proxies",
        "Proxies before that port, addresses or networks; each connection of theirs begins with a PROXY protocol v2 \
         header (haproxy: send-proxy-v2), or is refused",
        &Field(|v| &mut v.device_proxies),
    )
    .unset("none", "192.0.2.10, 10.1.0.0/16"),
    setting(
        "devices.batch_ms",
        "batch-ms",
        "Asked of devices on the secure link: the time that a batch covers",
        &Field(|v| &mut v.batch_ms),
    )
    .measured(Unit::Milliseconds, "")
    .at_most(BATCH_MS_MAX as u64)
    .unset("the device's own, 1000", "1000"),
    limit(
        "devices.connections_max",
        Unit::None,
        "Connections of devices at once",
        "The oldest that has not identified itself makes room; when all have, the new one is closed",
        &Field(|v| &mut v.limits.connections_max),
    ),
    limit(
        "devices.connections_per_address_max",
        Unit::None,
        "Connections of devices at once from one address",
        "The oldest of the address that has not identified itself makes room; when all have, the new one is closed",
        &Field(|v| &mut v.limits.connections_per_address_max),
    ),
    limit(
        "devices.first_frame_ms_max",
        Unit::Milliseconds,
        "Time from a connection to its first identified frame or handshake",
        "The connection is closed",
        &Field(|v| &mut v.limits.first_frame_timeout),
    ),
    limit(
        "devices.idle_ms_max",
        Unit::Milliseconds,
        "Silence of a device that sends frames",
        "The connection is closed",
        &Field(|v| &mut v.limits.idle_timeout),
    ),
    limit(
        "devices.link_idle_ms_max",
        Unit::Milliseconds,
        "Silence of a device on the secure link",
        "The connection is closed",
        &Field(|v| &mut v.limits.link_idle_timeout),
    ),
    limit(
        "devices.ack_ms_max",
        Unit::Milliseconds,
        "How long a device may leave an acknowledgement unread",
        "The connection is closed",
        &Field(|v| &mut v.limits.ack_timeout),
    ),
    limit(
        "devices.takeover_silence_ms",
        Unit::Milliseconds,
        "Silence after which a device's connection yields to a new one of it",
        "The new connection takes over; before, it waits",
        &Field(|v| &mut v.limits.takeover_silence),
    ),
    limit(
        "devices.identify_failures_max",
        Unit::None,
        "Failed identifications that an address may have at once",
        "Only devices seen there before are still identified at that address",
        &Field(|v| &mut v.limits.identify_failures_max),
    ),
    limit(
        "devices.identify_failure_forgiven_ms",
        Unit::Milliseconds,
        "Time until one failed identification is forgiven",
        "",
        &Field(|v| &mut v.limits.identify_failure_forgiven_after),
    ),
    // MQTT.
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
        "A new one is closed and counted",
        &Field(|v| &mut v.broker.connections_max),
    ),
    limit(
        "mqtt.connections_per_address_max",
        Unit::None,
        "Connections of MQTT clients at once from one address",
        "A new one is closed and counted",
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
        "Messages that wait for one absent or slow client",
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
        "One more message is delivered but not retained",
        &Field(|v| &mut v.broker.retained_messages_max),
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
        "mqtt.outgoing_messages_max",
        Unit::None,
        "Messages in memory that wait for one connected client, of QoS 0 and of QoS 1 each",
        "Those of QoS 0 are dropped, those of QoS 1 go to the queue of its session",
        &Field(|v| &mut v.broker.outgoing_messages_max),
    )
    .at_most(CHANNEL_LEN_MAX),
    limit(
        "mqtt.unacknowledged_max",
        Unit::None,
        "Messages of QoS 1 sent to one client that it has not acknowledged",
        "The others wait",
        &Field(|v| &mut v.broker.unacknowledged_max),
    ),
    limit(
        "mqtt.client_publishes_max",
        Unit::None,
        "Publications of QoS 2 that one client has under way",
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
        "A larger one is delivered but not retained",
        &Field(|v| &mut v.broker.retained_bytes_max),
    ),
    limit(
        "mqtt.gathered_kib_max",
        Unit::Kibibytes,
        "Bytes that are gathered for one client before they are written",
        "They are written at once, and messages wait",
        &Field(|v| &mut v.broker.gathered_bytes_max),
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
    // Logging in.
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
    setting(
        "metrics.listen",
        "metrics-listen",
        "Metrics, /healthz and /readyz, on this machine only; or off",
        &Field(|v| &mut v.metrics_listen),
    ),
    limit(
        "metrics.connections_max",
        Unit::None,
        "Connections at once to that port",
        "The oldest is closed",
        &Field(|v| &mut v.limits.metrics_connections_max),
    ),
    limit(
        "metrics.request_ms_max",
        Unit::Milliseconds,
        "Time for a request, its answer and the reading of it",
        "The connection is closed",
        &Field(|v| &mut v.limits.metrics_request_timeout),
    ),
    // The journal.
    setting(
        "journal.max_mib",
        "journal-max-mib",
        "How much the journal keeps",
        &Field(|v| &mut v.journal.bytes_max),
    )
    .measured(
        Unit::Mebibytes,
        "The oldest goes for the newest; what was not published yet stays, and new values are refused",
    ),
    setting(
        "journal.max_days",
        "journal-max-days",
        "How long the journal keeps it",
        &Field(|v| &mut v.journal.age_max),
    )
    .measured(Unit::Days, "It is deleted")
    .at_most(36_500),
    limit(
        "journal.wal_mib_max",
        Unit::Mebibytes,
        "Size of the write-ahead log beside the journal",
        "It is written back while readers wait",
        &Field(|v| &mut v.journal.wal_bytes_max),
    ),
    limit(
        "journal.queue_entries_max",
        Unit::None,
        "Batches that wait to be written",
        "Devices wait",
        &Field(|v| &mut v.journal.queue_entries_max),
    ),
    limit(
        "journal.commit_entries_max",
        Unit::None,
        "Batches in one commit",
        "The next commit takes the rest",
        &Field(|v| &mut v.journal.commit_entries_max),
    ),
    limit(
        "journal.commit_interval_ms",
        Unit::Milliseconds,
        "How long batches are gathered for a commit",
        "They are committed and acknowledged",
        &Field(|v| &mut v.journal.commit_interval),
    )
    .at_most(10_000),
    limit(
        "journal.position_interval_ms",
        Unit::Milliseconds,
        "How often the positions of readers are written when nothing else is",
        "",
        &Field(|v| &mut v.journal.position_interval),
    )
    .at_most(60_000),
    limit(
        "journal.reads_max",
        Unit::None,
        "Reads of the journal at once",
        "Others wait",
        &Field(|v| &mut v.journal.reads_max),
    ),
];
