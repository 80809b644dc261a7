//! The directory: an immutable snapshot of all devices with their opened keys and of all users. Cloning it clones a few
//! pointers. It never changes in place: [`Directory::with`] makes the next one.

use crate::id::{DeviceId, UserName};
use crate::user::User;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use vitalwire_protocol::CbcSecret;

/// The one protocol a device is enrolled for; it never falls back to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// The paper's AES-CBC frames (PROTOCOL.md): confidential only.
    AesCbc,
}

impl Protocol {
    /// The text it is stored and shown as.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AesCbc => "aes-cbc",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Protocol {
    type Err = BrokenCause;
    fn from_str(text: &str) -> Result<Self, BrokenCause> {
        match text {
            "aes-cbc" => Ok(Self::AesCbc),
            _ => Err(BrokenCause::UnknownProtocol(text.to_owned())),
        }
    }
}

/// An enrolled device with its opened key. `Debug` shows no key.
#[derive(Clone)]
pub struct Device {
    /// Its name.
    pub id: DeviceId,
    /// What it speaks.
    pub protocol: Protocol,
    /// Its key and IV.
    pub secret: CbcSecret,
    /// 1 for the first key ever enrolled under this name, one more with each new key.
    pub generation: u32,
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device")
            .field("id", &self.id)
            .field("protocol", &self.protocol)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

/// Which row of the registry a fault was found in. The text is as stored, so it may be no valid name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum RowName {
    /// A device's row.
    Device(String),
    /// A user's row.
    User(String),
}

impl fmt::Display for RowName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(id) => write!(f, "device {id:?}"),
            Self::User(name) => write!(f, "user {name:?}"),
        }
    }
}

/// Why a row is left out of the directory. The others stay in service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokenCause {
    /// The name was changed to something no name can be.
    #[error("its name is not valid; someone changed the file by hand")]
    Name,
    /// A newer program enrolled it, or someone changed the row.
    #[error("it is enrolled for the protocol {0:?}, which this version does not know; run a newer version")]
    UnknownProtocol(String),
    /// The sealed key was changed, cut, or belongs to another device.
    #[error(
        "its sealed key does not open: the row was changed, or the key of another device was put there; \
         revoke it and enrol it again"
    )]
    Seal,
    /// The count of keys is not a count.
    #[error("its key generation {0} is out of range; revoke it and enrol it again")]
    Generation(i64),
    /// The password hash is not one of ours.
    #[error("its password hash is damaged or asks for too much memory; set the password again")]
    PasswordHash,
    /// The role is unknown.
    #[error("it has a role this version does not know; set the role again, or run a newer version")]
    Role,
}

/// One device that is not what it was at an earlier version.
#[derive(Debug, Clone)]
pub enum DeviceChange {
    /// Enrolled, or its key was changed.
    Present(Arc<Device>),
    /// Revoked: it must not be served any longer.
    Revoked(DeviceId),
    /// Its row cannot be trusted: it must not be served any longer.
    Broken(String, BrokenCause),
}

/// One user that is not what it was at an earlier version.
#[derive(Debug, Clone)]
pub enum UserChange {
    /// Added, or its role, devices or password were changed.
    Present(Arc<User>),
    /// Removed: its sessions must end.
    Removed(UserName),
    /// Its row cannot be trusted: it must not log in any longer.
    Broken(String, BrokenCause),
}

/// What changed between two versions of the registry.
#[derive(Debug, Clone)]
pub struct Changes {
    /// The version these changes lead to.
    pub version: u64,
    /// The devices that changed, each once.
    pub devices: Vec<DeviceChange>,
    /// The users that changed, each once.
    pub users: Vec<UserChange>,
}

/// A snapshot of the registry.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    /// The devices that may be served.
    pub devices: Arc<BTreeMap<DeviceId, Arc<Device>>>,
    /// The users that may log in.
    pub users: Arc<BTreeMap<UserName, Arc<User>>>,
    /// The rows left out, and why.
    pub broken: Arc<BTreeMap<RowName, BrokenCause>>,
    /// The registry's version: it grows with each change of a device or a user.
    pub version: u64,
}

impl Directory {
    /// The snapshot after these changes. Costs a copy of each map that changes (pointers, not keys): some milliseconds
    /// at 100,000 devices.
    #[must_use]
    pub fn with(&self, changes: Changes) -> Self {
        let mut next = self.clone();
        next.version = changes.version;
        if !changes.devices.is_empty() {
            let devices = Arc::make_mut(&mut next.devices);
            let broken = Arc::make_mut(&mut next.broken);
            changes.devices.into_iter().for_each(|change| apply_device(devices, broken, change));
        }
        if !changes.users.is_empty() {
            let users = Arc::make_mut(&mut next.users);
            let broken = Arc::make_mut(&mut next.broken);
            changes.users.into_iter().for_each(|change| apply_user(users, broken, change));
        }
        next
    }
}

fn apply_device(
    devices: &mut BTreeMap<DeviceId, Arc<Device>>,
    broken: &mut BTreeMap<RowName, BrokenCause>,
    change: DeviceChange,
) {
    match change {
        DeviceChange::Present(device) => {
            broken.remove(&RowName::Device(device.id.to_string()));
            devices.insert(device.id.clone(), device);
        }
        DeviceChange::Revoked(id) => {
            broken.remove(&RowName::Device(id.to_string()));
            devices.remove(&id);
        }
        DeviceChange::Broken(id, cause) => {
            devices.remove(id.as_str());
            broken.insert(RowName::Device(id), cause);
        }
    }
}

fn apply_user(
    users: &mut BTreeMap<UserName, Arc<User>>,
    broken: &mut BTreeMap<RowName, BrokenCause>,
    change: UserChange,
) {
    match change {
        UserChange::Present(user) => {
            broken.remove(&RowName::User(user.name.to_string()));
            users.insert(user.name.clone(), user);
        }
        UserChange::Removed(name) => {
            broken.remove(&RowName::User(name.to_string()));
            users.remove(&name);
        }
        UserChange::Broken(name, cause) => {
            users.remove(name.as_str());
            broken.insert(RowName::User(name), cause);
        }
    }
}
