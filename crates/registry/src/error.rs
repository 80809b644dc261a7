//! What can go wrong with the registry, said so that a person knows what to do next. No variant holds a secret.

use std::io;
use std::path::PathBuf;

use vitalwire_access::{DeviceId, PasswordError, UserName};

use crate::broken::BrokenCause;
use crate::limits::{BUSY_TIMEOUT_MS, PROOF_LEN_MAX, ROTATION_OVERLAP_MAX};

/// The result of a registry operation.
pub type Result<T, E = RegistryError> = std::result::Result<T, E>;

/// A registry operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// A file operation failed.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried, as in "cannot … path".
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is no registry in the folder.
    #[error("{} holds no registry; make one with `vitalwire init`, or give the right folder with --data", folder.display())]
    Absent {
        /// The data folder.
        folder: PathBuf,
    },
    /// There already is a registry in the folder.
    #[error("{} already holds a registry; it was left as it is", folder.display())]
    Exists {
        /// The data folder.
        folder: PathBuf,
    },
    /// There already is a master key file.
    #[error("{} already exists; a master key is never overwritten, as the keys sealed under it would be lost", path.display())]
    MasterKeyExists {
        /// The file.
        path: PathBuf,
    },
    /// The master key file is not there.
    #[error(
        "there is no master key at {}; give its place with --master-key, or restore it from where you keep it \
         (without it the registry's keys cannot be opened)",
        path.display()
    )]
    MasterKeyAbsent {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file does not hold a master key.
    #[error("{} is not a master key: it must hold 64 hexadecimal digits on one line", path.display())]
    MasterKeyFormat {
        /// The file.
        path: PathBuf,
    },
    /// The registry was sealed under another master key.
    #[error(
        "this master key is not the one that {} was made with; give the right one with --master-key",
        database.display()
    )]
    WrongMasterKey {
        /// The registry's file.
        database: PathBuf,
    },
    /// Others may read or change the file or folder.
    #[error("{} has mode {mode:04o}, so others can reach it; run: chmod {wanted} '{}'", path.display(), path.display())]
    Mode {
        /// The file or folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// What they should be.
        wanted: &'static str,
    },
    /// Someone else owns the file or folder.
    #[error(
        "{} belongs to user id {owner}, and this program runs as {ours}; run it as the owner, or: chown {ours} '{}'",
        path.display(), path.display()
    )]
    Owner {
        /// The file or folder.
        path: PathBuf,
        /// The owner's user id.
        owner: u32,
        /// The user id this program runs under.
        ours: u32,
    },
    /// The file is not a Vitalwire registry.
    #[error("{} is not a Vitalwire registry; it was left as it is", path.display())]
    NotARegistry {
        /// The file.
        path: PathBuf,
    },
    /// A newer program wrote the file.
    #[error(
        "{} has schema version {found}, and this program knows versions up to {known}; run the newer Vitalwire that wrote it",
        path.display()
    )]
    FutureSchema {
        /// The file.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The newest this program knows.
        known: i64,
    },
    /// Another process holds the write lock.
    #[error(
        "another process has held the registry for over {waited_ms} ms; try again, or find it and stop it"
    )]
    Busy {
        /// How long was waited, in milliseconds.
        waited_ms: u64,
    },
    /// There is no room for a change.
    #[error("the disk of the registry is full, so nothing was changed; free space on it and try again")]
    DiskFull,
    /// SQLite failed.
    #[error("the registry's database failed: {0}")]
    Database(rusqlite::Error),
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes: {0}")]
    Random(rand::rngs::SysError),
    /// The device is already enrolled.
    #[error("device {0} is already enrolled; give it a new key with rotate, or revoke it first")]
    DeviceExists(DeviceId),
    /// What an earlier device of that name sent is still to be erased.
    #[error(
        "device {0} cannot be enrolled yet: what an earlier device of that name sent is still to be erased, which a \
         running server does; `vitalwire device show {0}` tells when it is done"
    )]
    ErasurePending(DeviceId),
    /// There is no erasure under the name.
    #[error("no erasure was asked for under the name {0}")]
    ErasureUnknown(DeviceId),
    /// The proof of an erasure is too long.
    #[error("a proof of {len} bytes is over the limit of {}", PROOF_LEN_MAX)]
    ProofTooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// There is no such device.
    #[error("there is no enrolled device {0}; list shows those there are")]
    DeviceUnknown(DeviceId),
    /// The device's row cannot be trusted.
    #[error("device {id} cannot be used: {cause}")]
    DeviceBroken {
        /// The device.
        id: DeviceId,
        /// What is wrong with its row.
        cause: BrokenCause,
    },
    /// Someone enrolled the device again meanwhile.
    #[error("device {0} was enrolled for another protocol meanwhile; try again")]
    ProtocolChanged(DeviceId),
    /// Another device holds the same key, and frames carry no name: the two could not be told apart.
    #[error(
        "device {id} would have the key and IV of device {other}, and a device is recognised by its key alone; \
         give it another key"
    )]
    KeyTaken {
        /// The device to be enrolled.
        id: DeviceId,
        /// The device that has the key.
        other: DeviceId,
    },
    /// The registry is full.
    #[error("the registry holds {limit} devices, its limit; revoke some first")]
    DevicesFull {
        /// The limit.
        limit: usize,
    },
    /// The old key would work for too long.
    #[error(
        "an overlap of {days} days is over the limit of {} days; rotate again when the device can be visited",
        ROTATION_OVERLAP_MAX.as_secs() / (24 * 3600)
    )]
    OverlapTooLong {
        /// The overlap asked for, in days begun.
        days: u64,
    },
    /// The device had too many keys for the counter.
    #[error("device {0} has had so many keys that their count is at its limit; enrol it under another name")]
    GenerationsUsedUp(DeviceId),
    /// The user already exists.
    #[error("user {0} already exists; remove it first, or set its password or role")]
    UserExists(UserName),
    /// There is no such user.
    #[error("there is no user {0}; list shows those there are")]
    UserUnknown(UserName),
    /// The registry is full.
    #[error("the registry holds {limit} users, its limit; remove some first")]
    UsersFull {
        /// The limit.
        limit: usize,
    },
    /// A scope that names no device.
    #[error("user {0} would see no device; name at least one, or give it all")]
    ScopeEmpty(UserName),
    /// A scope that names a device which does not exist.
    #[error("user {user} cannot be given device {device}: it is not enrolled; enrol it first")]
    ScopeDeviceUnknown {
        /// The user.
        user: UserName,
        /// The device.
        device: DeviceId,
    },
    /// A new password was not taken.
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
