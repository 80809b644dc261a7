//! The directory: an immutable snapshot of all devices with their opened keys and of all users. Cloning it clones a few
//! pointers. It never changes in place: [`Directory::with`] makes the next one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use vitalwire_access::{DeviceId, UserName};

use crate::broken::BrokenCause;
use crate::device::Device;
use crate::link::{LinkId, Psk};
use crate::stay::CurrentStay;
use crate::token::{ApiToken, TokenHash};
use crate::user::User;

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
    /// The stays that go on and changed, each with its device.
    pub stays: Vec<(DeviceId, CurrentStay)>,
    /// All devices whose erasure waits for the server, whether they changed or not.
    pub erasures: BTreeSet<DeviceId>,
    /// All tokens, whether they changed or not.
    pub tokens: BTreeMap<TokenHash, Arc<ApiToken>>,
}

/// Which device each link belongs to. Kept by [`Directory::with`], and asked by [`Directory::link`].
#[derive(Debug, Clone, Default)]
pub struct Links(Arc<HashMap<LinkId, Arc<Device>>>);

impl Links {
    fn put(&mut self, device: &Arc<Device>) {
        if let Some(links) = device.key.links() {
            let table = Arc::make_mut(&mut self.0);
            table.extend(links.ids().map(|id| (id, Arc::clone(device))));
        }
    }

    fn remove(&mut self, device: &Device) {
        if let Some(links) = device.key.links() {
            let table = Arc::make_mut(&mut self.0);
            links.ids().for_each(|id| drop(table.remove(&id)));
        }
    }
}

/// A link that may be used now.
#[derive(Debug, Clone)]
pub struct FoundLink {
    /// Whose it is.
    pub device: Arc<Device>,
    /// Its pre-shared key.
    pub psk: Psk,
    /// False for the link before the last rotation.
    pub is_current: bool,
}

/// A snapshot of the registry.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    /// The devices that may be served.
    pub devices: Arc<BTreeMap<DeviceId, Arc<Device>>>,
    /// The links of all devices that speak TLS.
    pub links: Links,
    /// The users that may log in.
    pub users: Arc<BTreeMap<UserName, Arc<User>>>,
    /// The stay on each enrolled device, without a name.
    pub stays: Arc<BTreeMap<DeviceId, Arc<CurrentStay>>>,
    /// The devices whose erasure was asked for and waits for the server. None of them is enrolled.
    pub erasures: Arc<BTreeSet<DeviceId>>,
    /// The tokens of programs; [`Directory::token`] tells whether one goes on.
    pub tokens: Arc<BTreeMap<TokenHash, Arc<ApiToken>>>,
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
            changes.devices.into_iter().for_each(|change| next.apply_device(change));
        }
        if !changes.stays.is_empty() {
            let stays = Arc::make_mut(&mut next.stays);
            stays.extend(changes.stays.into_iter().map(|(device, stay)| (device, Arc::new(stay))));
        }
        if *next.erasures != changes.erasures {
            next.erasures = Arc::new(changes.erasures);
        }
        if *next.tokens != changes.tokens {
            next.tokens = Arc::new(changes.tokens);
        }
        if !changes.users.is_empty() {
            let users = Arc::make_mut(&mut next.users);
            let broken = Arc::make_mut(&mut next.broken);
            changes.users.into_iter().for_each(|change| apply_user(users, broken, change));
        }
        next
    }

    /// The device that may use this link at `now`, and the key it must prove. One look into a hash table.
    #[must_use]
    pub fn link(&self, id: &LinkId, now: SystemTime) -> Option<FoundLink> {
        let device = self.links.0.get(id)?;
        let (psk, is_current) = device.key.links()?.find(id, now)?;
        Some(FoundLink { device: Arc::clone(device), psk: psk.clone(), is_current })
    }

    /// The token of this hash, if it has not ended at `now`.
    #[must_use]
    pub fn token(&self, hash: &TokenHash, now: SystemTime) -> Option<&Arc<ApiToken>> {
        self.tokens.get(hash).filter(|token| now < token.ends_at)
    }

    fn apply_device(&mut self, change: DeviceChange) {
        let devices = Arc::make_mut(&mut self.devices);
        let broken = Arc::make_mut(&mut self.broken);
        let before = match change {
            DeviceChange::Present(device) => {
                broken.remove(&RowName::Device(device.id.to_string()));
                let before = devices.insert(device.id.clone(), Arc::clone(&device));
                before.iter().for_each(|before| self.links.remove(before));
                self.links.put(&device);
                return;
            }
            DeviceChange::Revoked(id) => {
                broken.remove(&RowName::Device(id.to_string()));
                if self.stays.contains_key(&id) {
                    Arc::make_mut(&mut self.stays).remove(&id);
                }
                devices.remove(&id)
            }
            DeviceChange::Broken(id, cause) => {
                let before = devices.remove(id.as_str());
                broken.insert(RowName::Device(id), cause);
                before
            }
        };
        before.iter().for_each(|before| self.links.remove(before));
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
