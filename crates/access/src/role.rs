//! What a user may do, and of which devices.

use std::collections::BTreeSet;

use crate::DeviceId;

/// The devices a reader or a clinician may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every device, also those enrolled later.
    All,
    /// These devices. It becomes empty when the last of them is revoked, and then nothing is seen.
    Named(BTreeSet<DeviceId>),
}

impl Scope {
    /// Whether the scope holds the device.
    #[must_use]
    pub fn contains(&self, device: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(devices) => devices.contains(device),
        }
    }

    /// The devices, where they are named; nothing of all.
    #[must_use]
    pub fn named(&self) -> Option<&BTreeSet<DeviceId>> {
        match self {
            Self::All => None,
            Self::Named(devices) => Some(devices),
        }
    }
}

/// What a user may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Reads the topics of its devices, publishes nothing.
    Reader {
        /// Which devices.
        devices: Scope,
    },
    /// Reads as a reader does. In the dashboard it also says what becomes of the alarms of its devices.
    Clinician {
        /// Which devices.
        devices: Scope,
    },
    /// Reads everything, also what the broker says about itself.
    Admin,
}

impl Role {
    /// Its name alone, without devices: `reader`, `clinician` or `admin`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Reader { .. } => "reader",
            Self::Clinician { .. } => "clinician",
            Self::Admin => "admin",
        }
    }

    /// The devices that it sees.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        match self {
            Self::Reader { devices } | Self::Clinician { devices } => devices,
            Self::Admin => &Scope::All,
        }
    }

    /// Whether it sees every device, also those enrolled later.
    #[must_use]
    pub fn sees_all(&self) -> bool {
        *self.scope() == Scope::All
    }

    /// Whether it may see what this device measured.
    #[must_use]
    pub fn sees(&self, device: &DeviceId) -> bool {
        self.scope().contains(device.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_scope_holds_only_its_devices() {
        let scope = Scope::Named(BTreeSet::from(["a".parse().unwrap()]));
        assert!(scope.contains("a") && !scope.contains("b") && Scope::All.contains("b"));
    }

    #[test]
    fn readers_and_clinicians_see_their_devices_and_an_admin_sees_all() {
        let devices = Scope::Named(BTreeSet::from(["a".parse().unwrap()]));
        let [a, b]: [DeviceId; 2] = ["a", "b"].map(|name| name.parse().unwrap());
        for role in [Role::Reader { devices: devices.clone() }, Role::Clinician { devices }] {
            assert!(role.sees(&a) && !role.sees(&b) && !role.sees_all(), "{}", role.name());
        }
        for role in
            [Role::Admin, Role::Reader { devices: Scope::All }, Role::Clinician { devices: Scope::All }]
        {
            assert!(role.sees(&b) && role.sees_all(), "{}", role.name());
        }
    }
}
