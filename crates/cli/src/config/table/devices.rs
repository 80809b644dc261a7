//! The data folder, and the side of the devices.

use vitalwire_protocol::batch::BATCH_MS_MAX;

use crate::config::setting::{Setting, limit, setting};
use crate::config::value::{Field, Unit};

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
];
