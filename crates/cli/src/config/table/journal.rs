//! Metrics, and the journal.

use crate::config::setting::{Setting, limit, setting};
use crate::config::value::{Field, Unit};

pub(super) static SETTINGS: &[Setting] = &[
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
