//! What a user may do, and of which devices.

use std::collections::BTreeSet;

use crate::DeviceId;

/// The devices a reader may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every device, also those enrolled later.
    All,
    /// These devices. It becomes empty when the last of them is revoked, and then the reader sees nothing.
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
}

/// What a user may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Reads the topics of its devices, publishes nothing.
    Reader {
        /// Which devices.
        devices: Scope,
    },
    /// Reads everything, also what the broker says about itself.
    Admin,
}

impl Role {
    /// Whether it sees every device, also those enrolled later.
    #[must_use]
    pub fn sees_all(&self) -> bool {
        matches!(self, Self::Admin | Self::Reader { devices: Scope::All })
    }

    /// Whether it may see what this device measured.
    #[must_use]
    pub fn sees(&self, device: &DeviceId) -> bool {
        match self {
            Self::Reader { devices } => devices.contains(device.as_str()),
            Self::Admin => true,
        }
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
    fn a_reader_sees_its_devices_and_an_admin_sees_all() {
        let reader = Role::Reader { devices: Scope::Named(BTreeSet::from(["a".parse().unwrap()])) };
        let [a, b]: [DeviceId; 2] = ["a", "b"].map(|name| name.parse().unwrap());
        assert!(reader.sees(&a) && !reader.sees(&b));
        assert!(Role::Admin.sees(&b) && Role::Reader { devices: Scope::All }.sees(&b));
    }
}
