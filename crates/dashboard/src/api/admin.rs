//! Bodies of `/api/v1/admin` as types (PROTOCOL.md §6.6). Times are milliseconds since 1970. It decides nothing.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// `GET admin/devices`.
#[derive(Debug, Serialize, ToSchema)]
pub struct EnrolledDevices {
    /// Those that are enrolled, by name.
    pub devices: Vec<Enrolled>,
}

/// A device that is enrolled, without its key.
#[derive(Debug, Serialize, ToSchema)]
pub struct Enrolled {
    /// Its name.
    pub id: String,
    /// `tls` or `aes-cbc`.
    pub protocol: &'static str,
    /// 1 for the first key ever under this name, one more with each new key.
    pub generation: u32,
    /// When it was enrolled.
    pub enrolled: i64,
    /// When its key was set.
    pub key_set: i64,
    /// What it shows at its next connection, of `tls`.
    pub identity: Option<String>,
    /// While a rotation is pending: until when the old key works, unless the new one is used before.
    pub old_key_until: Option<i64>,
    /// Its connection, if it has one.
    pub connection: Option<DeviceConnection>,
    /// When the newest came that is held of it.
    pub last: Option<i64>,
    /// How that came: `authenticated` or `confidential-only`.
    pub assurance: Option<&'static str>,
}

/// A device's connection.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeviceConnection {
    /// Since when.
    pub since: i64,
    /// The device's end.
    pub peer: String,
    /// The server's end.
    pub local: Option<String>,
    /// The profile that it measures by.
    pub profile: String,
    /// The version that it said; devices with frames say none.
    pub firmware: Option<String>,
}

/// `GET admin/devices/{id}`.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeviceDetail {
    /// Nothing when it is not enrolled any more.
    pub device: Option<Enrolled>,
    /// The last erasure under its name.
    pub erasure: Option<Erasure>,
    /// What is held of its boots, the last first; of devices on the secure link.
    pub boots: Vec<BootAccount>,
    /// What was missing, or is.
    pub gaps: Vec<BatchGap>,
    /// What happened to it since the server started, the newest first.
    pub events: Vec<DeviceEvent>,
}

/// The ledger of a boot: all is well when sent = acknowledged = stored.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct BootAccount {
    /// Which, as 16 hexadecimal digits.
    pub boot: String,
    /// The highest number that came: so many batches it sent at least.
    pub sent: u64,
    /// Up to here it was told that all is kept, or has said that it will not come.
    pub acknowledged: u64,
    /// So many are kept, or were until their time was over.
    pub stored: u64,
    /// So many are missing and may still come.
    pub open: u64,
    /// So many will not come, as the device said.
    pub given_up: u64,
}

/// Numbers that were missing when a later one came.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct BatchGap {
    /// Of which boot, as 16 hexadecimal digits.
    pub boot: String,
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
    /// How many of them are missing.
    pub missing: u64,
    /// When that was noticed.
    pub noticed: i64,
    /// `open`, `given-up`, `folded` (of many that the device gave up, only the count is exact) or `filled`.
    pub state: &'static str,
    /// When the last of them came, if they did.
    pub filled: Option<i64>,
}

/// What happened to a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeviceEvent {
    /// When.
    pub time: i64,
    /// A stable name, as in events of MQTT; `online` or `offline`.
    pub kind: &'static str,
    /// The same for people.
    pub detail: String,
    /// The device's end of the connection.
    pub peer: String,
}

/// How far an erasure is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Erasure {
    /// When someone asked for it.
    pub requested: i64,
    /// When it was done; nothing while it waits for the server.
    pub done: Option<i64>,
    /// How many entries were erased.
    pub entries: Option<u64>,
    /// What shows that nothing is left.
    pub proof: Option<String>,
}

/// `POST admin/devices`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDevice {
    /// Its name.
    pub id: String,
    /// `tls`, or `aes-cbc` for the paper's frames.
    #[serde(default)]
    pub protocol: ProtocolName,
}

/// What a device speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProtocolName {
    /// The secure link.
    #[default]
    Tls,
    /// The paper's frames.
    AesCbc,
}

/// `POST admin/devices/{id}/rotate`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateDevice {
    /// How long the old key of a device with `tls` works, unless the new one is used before; 7 days without it.
    pub overlap_s: Option<u64>,
}

/// The answer to both: what must be written into the device. It is not shown again but as a label.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeviceKeys {
    /// Its name.
    pub id: String,
    /// What it speaks.
    pub protocol: &'static str,
    /// Of `tls`.
    pub identity: Option<String>,
    /// Of `tls`, as hexadecimal digits.
    pub psk: Option<String>,
    /// Of `aes-cbc`: the line of the paper's key file.
    pub key_line: Option<String>,
    /// Until when the key before works, unless this one is used before.
    pub old_key_until: Option<i64>,
}

/// `POST admin/devices/{id}/label`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelWanted {
    /// Which.
    pub kind: LabelKind,
    /// With `setup`: also the code that joins the device's own network, if it was provisioned with a password.
    #[serde(default)]
    pub wpa2: bool,
}

/// What a label is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LabelKind {
    /// Its key: who reads it is the device.
    Key,
    /// Opens its configuration page: who reads it can set it up.
    Setup,
}

/// The answer to it.
#[derive(Debug, Serialize, ToSchema)]
pub struct LabelDrawn {
    /// The codes, with words below them.
    pub svg: String,
    /// Of `setup`: the address that the code opens.
    pub page: Option<String>,
    /// Of `setup`: what a person types.
    pub setup_key: Option<String>,
    /// Of `setup`: the device's own network.
    pub network: Option<String>,
    /// Of `setup` with `wpa2`: that network's password.
    pub password: Option<String>,
}

/// `POST admin/devices/{id}/identity`: the answer is the file.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentityWanted {
    /// Which file.
    pub form: IdentityForm,
    /// The device's own network gets a password, which is on its setup label.
    #[serde(default)]
    pub wpa2: bool,
}

/// The forms of an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum IdentityForm {
    /// For the drive of a Pico whose BOOTSEL was held.
    Uf2,
    /// The sector as it is: for the desk device, a programmer or the emulator.
    Bin,
}

/// `POST admin/devices/{id}/erase`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EraseDevice {
    /// The device's name once more, typed by the person: it cannot be undone.
    pub name: String,
}

/// `GET admin/patients`.
#[derive(Debug, Serialize, ToSchema)]
pub struct Stays {
    /// The stays that go on, one of each enrolled device; of one device also those that ended, the present one last.
    pub stays: Vec<Stay>,
}

/// A patient with a device, or with several, one after another.
#[derive(Debug, Serialize, ToSchema)]
pub struct Stay {
    /// Its number.
    pub stay: u64,
    /// The device on which it is, or was at its end.
    pub device: String,
    /// When it began.
    pub started: i64,
    /// When it ended; nothing while it goes on.
    pub ended: Option<i64>,
    /// The name; nothing when no one said who it is.
    pub name: Option<String>,
    /// The bed.
    pub bed: Option<String>,
    /// What else must be known.
    pub notes: Option<String>,
    /// What is known of the patient does not open: the row was changed by hand.
    pub broken: bool,
    /// The devices on which it was, in their order.
    pub devices: Vec<String>,
}

/// `POST admin/patients/{device}`: what is not there stays as it is, an empty text takes away what was there.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PatientChange {
    /// How the patient is called on screens.
    pub name: Option<String>,
    /// The bed.
    pub bed: Option<String>,
    /// What else must be known, in one line.
    pub notes: Option<String>,
    /// It is another patient: a new stay begins now.
    #[serde(default)]
    pub new: bool,
    /// It is the same patient, and the name was wrong.
    #[serde(default)]
    pub correct: bool,
}

/// `POST admin/patients/{device}/move`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MovePatient {
    /// The device that the patient gets.
    pub to: String,
}

/// `POST admin/patients/{device}/discharge`, and others that need no words.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// The answer to these.
#[derive(Debug, Serialize, ToSchema)]
pub struct StayNumber {
    /// Which stay.
    pub stay: u64,
}

/// `GET admin/users`.
#[derive(Debug, Serialize, ToSchema)]
pub struct Users {
    /// All, by name.
    pub users: Vec<UserShown>,
}

/// A user, without the password's hash.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserShown {
    /// The name.
    pub name: String,
    /// The role.
    pub role: &'static str,
    /// The devices that it sees; nothing: all.
    pub devices: Option<Vec<String>>,
}

/// `POST admin/users`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// The name to log in with.
    pub name: String,
    /// The role.
    pub role: String,
    /// The devices that it sees; nothing: all.
    pub devices: Option<Vec<String>>,
    /// How it logs in first.
    pub first: FirstLogin,
}

/// How a new user logs in first, or one who forgot the password.
#[derive(Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FirstLogin {
    /// With this password.
    Password(String),
    /// With one that is made and shown once.
    Generated,
    /// With a link that works once; a password can be set later.
    Link,
}

/// `POST admin/users/{name}`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRights {
    /// The role.
    pub role: String,
    /// The devices that it sees; nothing: all.
    pub devices: Option<Vec<String>>,
}

/// `POST admin/users/{name}/login`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewLogin {
    /// How.
    pub first: FirstLogin,
}

/// The answer to `POST admin/users` and `POST admin/users/{name}/login`: what was made, shown once.
#[derive(Default, Serialize, ToSchema)]
pub struct Way {
    /// A password.
    pub password: Option<String>,
    /// What stands behind `#link=` in the address of the page.
    pub link: Option<String>,
    /// Until when the link works.
    pub until: Option<i64>,
}

/// What is asked of the audit log.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    /// Records before this one.
    pub before: Option<u64>,
    /// At most so many, 1 to 500.
    pub limit: u64,
    /// Of this kind.
    pub kind: Option<String>,
    /// With these words in subject, actor or detail.
    pub words: Option<String>,
    /// From this time on,
    pub from: Option<i64>,
    /// up to, but without, this one.
    pub to: Option<i64>,
}

/// `GET admin/audit`.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditPage {
    /// The newest first.
    pub records: Vec<AuditRecord>,
    /// Older ones were not looked at: `before` of the next look.
    pub next: Option<u64>,
}

/// A record as stored; `POST admin/audit/verify` says whether it can be believed.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditRecord {
    /// Counted from 1.
    pub sequence: u64,
    /// When.
    pub time: i64,
    /// What happened.
    pub kind: String,
    /// To whom.
    pub subject: String,
    /// By whom.
    pub actor: String,
    /// More about it.
    pub detail: String,
}

/// `POST admin/audit/verify`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyAudit {
    /// A head that was noted earlier.
    pub head: Option<String>,
}

/// The answer to it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Verified {
    /// Whether all is as it was written.
    pub sound: bool,
    /// How many records, from the first on, are.
    pub records: u64,
    /// Stands for them: note it where those who can write the data folder cannot.
    pub head: String,
    /// The record of the head that was asked about.
    pub expected_at: Option<u64>,
    /// The first thing that is wrong.
    pub fault: Option<String>,
}
