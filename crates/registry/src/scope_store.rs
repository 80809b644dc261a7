//! Which devices a user or a token sees, as rows of the database.

use std::collections::BTreeSet;

use rusqlite::Connection;
use vitalwire_access::{DeviceId, Role, Scope, UserName};

use crate::error::{RegistryError, Result};

/// Who sees them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Holder {
    User,
    Token,
}

/// The devices that a role names; nothing when it sees all.
pub(crate) fn named<'r>(holder: &UserName, role: &'r Role) -> Result<Option<&'r BTreeSet<DeviceId>>> {
    let devices = role.scope().named();
    if devices.is_some_and(BTreeSet::is_empty) {
        return Err(RegistryError::ScopeEmpty(holder.clone()));
    }
    Ok(devices)
}

/// Adds devices that are enrolled.
pub(crate) fn put(
    connection: &Connection,
    holder: Holder,
    name: &UserName,
    devices: Option<&BTreeSet<DeviceId>>,
) -> Result<()> {
    let insert = match holder {
        Holder::User => {
            "INSERT INTO user_devices (user, device) SELECT ?1, id FROM devices WHERE id = ?2 AND sealed IS NOT NULL"
        }
        Holder::Token => {
            "INSERT INTO token_devices (token, device) SELECT ?1, id FROM devices WHERE id = ?2 AND sealed IS NOT NULL"
        }
    };
    for device in devices.into_iter().flatten() {
        if connection.execute(insert, (name.as_str(), device.as_str()))? == 0 {
            return Err(RegistryError::ScopeDeviceUnknown { user: name.clone(), device: device.clone() });
        }
    }
    Ok(())
}

/// What it sees: all devices, or those of its rows.
pub(crate) fn read(connection: &Connection, holder: Holder, name: &UserName, is_all: bool) -> Result<Scope> {
    if is_all {
        return Ok(Scope::All);
    }
    let select = match holder {
        Holder::User => "SELECT device FROM user_devices WHERE user = ?1",
        Holder::Token => "SELECT device FROM token_devices WHERE token = ?1",
    };
    let mut statement = connection.prepare_cached(select)?;
    let mut rows = statement.query([name.as_str()])?;
    let mut devices = BTreeSet::new();
    while let Some(row) = rows.next()? {
        // A device name that is none gives no access; its own row is reported as broken.
        if let Ok(device) = row.get_ref(0)?.as_str().unwrap_or_default().parse() {
            devices.insert(device);
        }
    }
    Ok(Scope::Named(devices))
}
