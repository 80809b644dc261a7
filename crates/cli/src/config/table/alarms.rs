//! Alarms: when people are told again, and the web hooks of those who are elsewhere.

use crate::config::setting::{Setting, limit, setting};
use crate::config::value::{Field, Unit};

pub(super) static SETTINGS: &[Setting] = &[
    setting(
        "alarms.announce_again_s",
        "announce-again-s",
        "Time after which an alarm of high priority that no one acknowledged is announced again",
        &Field(|v| &mut v.alarm_timing.announce_again_s),
    )
    .measured(Unit::Seconds, "")
    .at_most(3_600),
    setting(
        "alarms.escalate_s",
        "escalate-s",
        "Time from then until it is escalated, to vitalwire/v1/escalation and the web hooks",
        &Field(|v| &mut v.alarm_timing.escalate_s),
    )
    .measured(Unit::Seconds, "")
    .at_most(3_600),
    limit(
        "alarms.return_ms_max",
        Unit::Milliseconds,
        "Time that devices have to come back after a start of the server",
        "One that is not back within it and the delay of device-offline is an alarm",
        &Field(|v| &mut v.limits.return_grace),
    )
    .at_most(600_000),
    setting(
        "alarms.webhooks",
        "webhooks",
        "Web hooks that are told of escalations, with commas between them; `vitalwire alarms test-hook` tries them",
        &Field(|v| &mut v.web_hooks),
    )
    .unset("none", "https://ward.example/hooks/vitalwire"),
    setting(
        "alarms.webhook_secret_file",
        "webhook-secret-file",
        "The file with the secret that signs what web hooks are told: whsec_ and random bytes in base64",
        &Field(|v| &mut v.web_hook_secret_file),
    )
    .unset("needed with web hooks", "/etc/vitalwire/webhook-secret"),
    setting(
        "alarms.webhook_values",
        "webhook-values",
        "Whether web hooks are told a patient's values, too; names never",
        &Field(|v| &mut v.web_hook_values),
    )
    .unset("false", "true"),
    setting(
        "alarms.webhook_allowed_hosts",
        "webhook-allowed-hosts",
        "Hosts of web hooks that may be on this machine or in a private network, and may be http://; as they stand in \
         the address",
        &Field(|v| &mut v.web_hook_allowed_hosts),
    )
    .unset("none: public addresses and https:// alone", "10.1.0.7, pager.ward.internal"),
    setting(
        "alarms.webhook_ca",
        "webhook-ca",
        "Who vouches for the web hooks' certificates (PEM)",
        &Field(|v| &mut v.web_hook_ca),
    )
    .unset("the system's authorities", "/etc/vitalwire/ca.pem"),
];
