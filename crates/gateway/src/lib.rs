//! The device gateway: takes connections of devices, finds out whose they are, decodes what they send, publishes every
//! reading to its MQTT topics at once, and keeps it in the journal, after which it is acknowledged.
//!
//! A connection goes `listener` → `connection` → `link` (TLS, batches) or `frames` (the paper's AES-CBC) → `session`;
//! a reading goes from there to the `publisher` and through `intake` into the journal. What the publisher could not
//! take, the `backfill` reads from there. Each step is a module of that name. The gateway never trusts a byte before
//! identification, never acknowledges before the disk has it, and never logs a patient's values.

mod admission;
mod alarms;
mod arrival;
mod backfill;
mod cause;
mod clock;
mod connection;
mod context;
mod control;
mod data_folder;
mod enrolment;
mod erasure;
#[allow(dead_code, reason = "its web hooks land next")]
mod escalation;
mod event;
mod feed;
mod frames;
mod history;
mod http;
mod identify;
mod intake;
mod lease;
mod limits;
mod link;
mod listener;
mod measurement;
mod metrics;
mod profiles;
mod publisher;
mod reading;
mod server;
mod session;
mod stays;
mod stored;
mod surveillance;
mod ticket;
mod tls;
mod topics;

pub use alarms::{
    AlarmChange, AlarmError, AlarmList, Alarms, Silence, WardSummary, WhichAlarms, alarm_json, recorded_alarm,
};
pub use context::Ends;
pub use control::{ControlError, acknowledge, alarms, end_mqtt_session, mqtt_sessions, silence};
pub use data_folder::{journal_file, server_lock};
pub use escalation::{
    HookSecret, HookSecretError, WebHookConfig, WebHookError, WebHookFailure, WebHookUrl, WebHookUrlError,
    test_web_hooks,
};
pub use event::{DeviceEvent, Event, ServerEvent, Status};
pub use feed::{Beats, Feed, FeedItem, FeedReader};
pub use history::{
    History, HistoryError, HistoryQuery, KeptWave, Missing, Number, Page, RaisedBy, Replayed, StripChannel,
    Value, WAVE_SPAN_US_MAX, WAVE_VALUES_MAX, WavePiece, WaveTimes, is_unmapped,
};
pub use limits::Limits;
pub use metrics::{DashboardCounters, Stats};
pub use profiles::ProfilesError;
pub use publisher::{BrokerChoice, BrokerUrlError, ExternalBroker, PublisherError};
pub use reading::{Reading, ReadingValue, Series};
pub use server::{
    Addresses, ConnectionState, DeviceState, Server, ServerConfig, ServerError, ServerHandle, ServerHealth,
};
pub use vitalwire_broker::SessionInfo;
pub use vitalwire_journal::{
    Assurance, BUCKETS_MAX, BootAccount, Bucket, Gap, GapState, Health, HistoryFile, JournalLimits,
    JournalStatus, Newest, STEADY_US, Suspension, confirm_clock, free_bytes, suspension,
};
