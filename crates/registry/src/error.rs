//! What can go wrong with the registry, said so that a person knows what to do next. No variant holds a secret.

use std::io;
use std::path::PathBuf;

use vitalwire_access::{DeviceId, PasswordError, UserName};
use vitalwire_vitals::alarm::WordsError;

use crate::broken::BrokenCause;
use crate::limits::{BUSY_TIMEOUT_MS, PROOF_LEN_MAX, ROTATION_OVERLAP_MAX};
use crate::stay::StayId;

/// The result of a registry operation.
pub type Result<T, E = RegistryError> = std::result::Result<T, E>;

/// A registry operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages say it")]
pub enum RegistryError {
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried, as in "cannot … path".
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{} holds no registry; make one with `vitalwire init`, or give the right folder with --data", folder.display())]
    Absent { folder: PathBuf },
    #[error("{} already holds a registry; it was left as it is", folder.display())]
    Exists { folder: PathBuf },
    #[error("{} already exists; a master key is never overwritten, as the keys sealed under it would be lost", path.display())]
    MasterKeyExists { path: PathBuf },
    #[error(
        "there is no master key at {}; give its place with --master-key, or restore it from where you keep it \
         (without it the registry's keys cannot be opened)",
        path.display()
    )]
    MasterKeyAbsent { path: PathBuf },
    #[error("{} is not a master key: it must hold 64 hexadecimal digits on one line", path.display())]
    MasterKeyFormat { path: PathBuf },
    #[error(
        "this master key is not the one that {} is sealed under; give the right one with --master-key",
        database.display()
    )]
    WrongMasterKey { database: PathBuf },
    #[error(
        "the master key of {} was rotated meanwhile, and the key that this program was given opens it no more; start it \
         again with the new one (a service that gets it from systemd: systemctl restart)",
        database.display()
    )]
    MasterKeyRotated { database: PathBuf },
    #[error(
        "{} cannot be written, so the master key in it was not rotated: {source}; run this as its owner, with the file \
         itself and not a copy that systemd or docker handed over", path.display()
    )]
    MasterKeyReadOnly { path: PathBuf, source: io::Error },
    #[error("another process is rotating the master key in {}; let it end", path.display())]
    MasterKeyBusy { path: PathBuf },
    #[error("{} has mode {mode:04o}, so others can reach it; run: chmod {wanted} '{}'", path.display(), path.display())]
    Mode { path: PathBuf, mode: u32, wanted: &'static str },
    #[error(
        "{} belongs to user id {owner}, and this program runs as {ours}; run it as the owner, or: chown {ours} '{}'",
        path.display(), path.display()
    )]
    Owner { path: PathBuf, owner: u32, ours: u32 },
    #[error("{} is not a Vitalwire registry; it was left as it is", path.display())]
    NotARegistry { path: PathBuf },
    #[error(
        "{} has schema version {found}, and this program knows versions up to {known}; run the newer Vitalwire that wrote it",
        path.display()
    )]
    FutureSchema { path: PathBuf, found: i64, known: i64 },
    #[error(
        "another process has held the registry for over {waited_ms} ms; try again, or find it and stop it"
    )]
    Busy { waited_ms: u64 },
    #[error("the disk of the registry is full, so nothing was changed; free space on it and try again")]
    DiskFull,
    #[error("the registry's database failed: {0}")]
    Database(rusqlite::Error),
    #[error("the operating system gave no random bytes: {0}")]
    Random(rand::rngs::SysError),
    #[error("device {0} is already enrolled; give it a new key with rotate, or revoke it first")]
    DeviceExists(DeviceId),
    #[error(
        "device {0} cannot be enrolled yet: what an earlier device of that name sent is still to be erased, which a \
         running server does; `vitalwire device show {0}` tells when it is done"
    )]
    ErasurePending(DeviceId),
    #[error("no erasure was asked for under the name {0}")]
    ErasureUnknown(DeviceId),
    #[error("a proof of {len} bytes is over the limit of {}", PROOF_LEN_MAX)]
    ProofTooLong { len: usize },
    #[error("there is no enrolled device {0}; list shows those there are")]
    DeviceUnknown(DeviceId),
    #[error("device {id} cannot be used: {cause}")]
    DeviceBroken { id: DeviceId, cause: BrokenCause },
    #[error("device {0} was enrolled for another protocol meanwhile; try again")]
    ProtocolChanged(DeviceId),
    #[error(
        "device {id} would have the key and IV of device {other}, and a device is recognised by its key alone; \
         give it another key"
    )]
    KeyTaken { id: DeviceId, other: DeviceId },
    #[error("the registry holds {limit} devices, its limit; revoke some first")]
    DevicesFull { limit: usize },
    #[error(
        "an overlap of {days} days is over the limit of {} days; rotate again when the device can be visited",
        ROTATION_OVERLAP_MAX.as_secs() / (24 * 3600)
    )]
    OverlapTooLong {
        /// The overlap asked for, in days begun.
        days: u64,
    },
    #[error("device {0} has had so many keys that their count is at its limit; enrol it under another name")]
    GenerationsUsedUp(DeviceId),
    #[error("user {0} already exists; remove it first, or set its password or role")]
    UserExists(UserName),
    #[error("there is no user {0}; list shows those there are")]
    UserUnknown(UserName),
    #[error("the registry holds {limit} users, its limit; remove some first")]
    UsersFull { limit: usize },
    #[error("token {0} already exists; remove it first, or choose another name")]
    TokenExists(UserName),
    #[error("there is no token {0}; `vitalwire token list` shows those there are")]
    TokenUnknown(UserName),
    #[error("token {0} would have ended before it is used; let it last longer")]
    TokenEnded(UserName),
    #[error("token {0} would last longer than ten years; let it end before, and make another one then")]
    TokenTooLong(UserName),
    #[error("the registry holds {limit} tokens, its limit; remove some first")]
    TokensFull { limit: usize },
    #[error("{0} would see no device; name at least one, or give it all")]
    ScopeEmpty(UserName),
    #[error("{user} cannot be given device {device}: it is not enrolled; enrol it first")]
    ScopeDeviceUnknown { user: UserName, device: DeviceId },
    #[error("the {what} has {len} bytes, over the limit of {limit}; shorten it")]
    TextTooLong { what: &'static str, len: usize, limit: usize },
    #[error(
        "the {what} holds a control character, such as a line break, a tab, or one that turns the direction of text; \
         write it in one line without them"
    )]
    TextControl { what: &'static str },
    #[error("an alarm cannot be written: {0}")]
    Words(#[from] WordsError),
    #[error("there is no stay {0}; `vitalwire patient list` shows those there are")]
    StayUnknown(StayId),
    #[error(
        "no one's data is known for device {0}: no patient was set on it; `vitalwire patient set` does it"
    )]
    PatientUnknown(DeviceId),
    #[error(
        "a patient with another name wears device {0}. For another patient begin a new stay (--new); if the name was \
         wrong, say so (--correct)"
    )]
    PatientIsAnother(DeviceId),
    #[error(
        "what is known of the patient of stay {0} does not open, as the row was changed by hand; set all of it again, \
         with --correct, or begin a new stay (--new)"
    )]
    PatientBroken(StayId),
    #[error("device {0} is worn by another patient; discharge that one first, or choose another device")]
    DeviceIsWorn(DeviceId),
    #[error("device {0} cannot be both the one a patient leaves and the one they get")]
    MoveToSame(DeviceId),
    #[error("these limits make no sense: {0}")]
    Limits(String),
    #[error("another patient has device {0} by now; look at it again")]
    StayIsAnother(DeviceId),
    #[error(
        "someone else has set other limits for the patient of device {0} meanwhile; look at them, and set yours again"
    )]
    LimitsAreOthers(DeviceId),
    #[error(transparent)]
    Password(#[from] PasswordError),
}

impl From<rusqlite::Error> for RegistryError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::DiskFull,
            Some(rusqlite::ErrorCode::DatabaseBusy) => Self::Busy { waited_ms: BUSY_TIMEOUT_MS },
            _ => Self::Database(error),
        }
    }
}

impl From<rand::rngs::SysError> for RegistryError {
    fn from(error: rand::rngs::SysError) -> Self {
        Self::Random(error)
    }
}
