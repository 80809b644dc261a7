//! Users in the store: adding, changing, removing and reading them. It never sees a password longer than it takes to hash
//! it.

use std::sync::Arc;

use rusqlite::{Connection, Row};
use secrecy::{ExposeSecret, SecretString};
use vitalwire_access::{DeviceId, PasswordHash, Role, Scope, UserName};

use crate::audit::AuditKind;
use crate::broken::BrokenCause;
use crate::change::Change;
use crate::directory::UserChange;
use crate::error::{RegistryError, Result};
use crate::limits::USERS_MAX;
use crate::scope_store::{self, Holder};
use crate::secret::random_bytes;
use crate::store::Registry;
use crate::user::User;

impl Registry {
    /// Adds a user. Slow (argon2id). Devices named in a scope must be enrolled.
    ///
    /// # Errors
    /// When the user exists, the password is too short or too long, the scope is empty or names a device that is not
    /// enrolled, or there are too many users.
    pub fn add_user(&self, name: &UserName, role: Role, password: &SecretString) -> Result<()> {
        let hash = hash(password)?;
        self.change(|change| {
            change.add_user(name, &role, hash.as_str())?;
            change.record(AuditKind::UserAdded, name.as_str(), &describe(&role))
        })
    }

    /// Whether [`Registry::add_user`] would succeed now with a good password. Changes nothing.
    ///
    /// # Errors
    /// As [`Registry::add_user`].
    pub fn check_new_user(&self, name: &UserName, role: &Role) -> Result<()> {
        self.rehearse(|change| change.add_user(name, role, ""))
    }

    /// Whether there is such a user.
    ///
    /// # Errors
    /// When there is none, or the file cannot be read.
    pub fn check_user(&self, name: &UserName) -> Result<()> {
        if user_exists(&self.connection, name)? {
            Ok(())
        } else {
            Err(RegistryError::UserUnknown(name.clone()))
        }
    }

    /// All users whose rows are sound, by name. Those that are not are in [`crate::Directory::broken`].
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn users(&self) -> Result<Vec<User>> {
        let changes = read_users(&self.connection, None)?;
        let sound = changes.into_iter().filter_map(|change| match change {
            UserChange::Present(user) => Some(Arc::unwrap_or_clone(user)),
            UserChange::Removed(_) | UserChange::Broken(..) => None,
        });
        Ok(sound.collect())
    }

    /// Removes a user, and frees the MQTT client ids it owned.
    ///
    /// # Errors
    /// When there is no such user.
    pub fn remove_user(&self, name: &UserName) -> Result<()> {
        self.change(|change| {
            change.stamp_user(name)?;
            change.set_hash(name, None)?;
            change.transaction.execute("DELETE FROM user_devices WHERE user = ?1", [name.as_str()])?;
            change.record(AuditKind::UserRemoved, name.as_str(), "")
        })
    }

    /// Sets a user's password. Slow (argon2id).
    ///
    /// # Errors
    /// When there is no such user, or the password is too short or too long.
    pub fn set_password(&self, name: &UserName, password: &SecretString) -> Result<()> {
        let hash = hash(password)?;
        self.change(|change| {
            change.stamp_user(name)?;
            change.set_hash(name, Some(&hash))?;
            change.record(AuditKind::PasswordSet, name.as_str(), "")
        })
    }

    /// Sets a user's role and devices.
    ///
    /// # Errors
    /// When there is no such user, or the scope is empty or names a device that is not enrolled.
    pub fn set_role(&self, name: &UserName, role: &Role) -> Result<()> {
        self.change(|change| {
            change.stamp_user(name)?;
            change.put_role(name, role)?;
            change.record(AuditKind::RoleSet, name.as_str(), &describe(role))
        })
    }
}

impl Change<'_> {
    fn add_user(&self, name: &UserName, role: &Role, hash: &str) -> Result<()> {
        if user_exists(&self.transaction, name)? {
            return Err(RegistryError::UserExists(name.clone()));
        }
        self.check_room_for_user()?;
        self.put_row(name, hash)?;
        self.put_role(name, role)
    }

    fn check_room_for_user(&self) -> Result<()> {
        let users: i64 = self.transaction.query_row(
            "SELECT count(*) FROM users WHERE password_hash IS NOT NULL",
            [],
            |row| row.get(0),
        )?;
        let full = usize::try_from(users).is_ok_and(|users| users >= USERS_MAX);
        if full { Err(RegistryError::UsersFull { limit: USERS_MAX }) } else { Ok(()) }
    }

    /// Stamps the row of a user that must exist with the version.
    fn stamp_user(&self, name: &UserName) -> Result<()> {
        let stamped = self.transaction.execute(
            "UPDATE users SET version = ?2 WHERE name = ?1 AND password_hash IS NOT NULL",
            (name.as_str(), self.version),
        )?;
        if stamped == 0 { Err(RegistryError::UserUnknown(name.clone())) } else { Ok(()) }
    }

    /// Makes the user's row; a tombstone of an earlier user of that name becomes it. The role follows by
    /// [`Change::put_role`].
    fn put_row(&self, name: &UserName, hash: &str) -> Result<()> {
        self.transaction.execute(
            "INSERT INTO users (name, role, all_devices, password_hash, version) VALUES (?1, '', 0, ?2, ?3)
             ON CONFLICT (name) DO UPDATE SET password_hash = ?2, version = ?3",
            (name.as_str(), hash, self.version),
        )?;
        Ok(())
    }

    fn set_hash(&self, name: &UserName, hash: Option<&PasswordHash>) -> Result<()> {
        let hash = hash.map(PasswordHash::as_str);
        self.transaction
            .execute("UPDATE users SET password_hash = ?2 WHERE name = ?1", (name.as_str(), hash))?;
        Ok(())
    }

    fn put_role(&self, name: &UserName, role: &Role) -> Result<()> {
        let devices = scope_store::named(name, role)?;
        self.transaction.execute(
            "UPDATE users SET role = ?2, all_devices = ?3 WHERE name = ?1",
            (name.as_str(), role.name(), devices.is_none()),
        )?;
        self.transaction.execute("DELETE FROM user_devices WHERE user = ?1", [name.as_str()])?;
        scope_store::put(&self.transaction, Holder::User, name, devices)
    }
}

fn hash(password: &SecretString) -> Result<PasswordHash> {
    Ok(PasswordHash::new(password.expose_secret(), &random_bytes()?)?)
}

/// A role in the words of the audit log.
pub(crate) fn describe(role: &Role) -> String {
    match (role, role.scope()) {
        (Role::Admin, _) => role.name().to_owned(),
        (_, Scope::All) => format!("{} of all devices", role.name()),
        (_, Scope::Named(devices)) => {
            let names: Vec<_> = devices.iter().map(DeviceId::as_str).collect();
            format!("{} of {}", role.name(), names.join(" "))
        }
    }
}

/// Whether there is such a user now.
pub(crate) fn user_exists(connection: &Connection, name: &UserName) -> Result<bool> {
    let mut statement =
        connection.prepare_cached("SELECT 1 FROM users WHERE name = ?1 AND password_hash IS NOT NULL")?;
    Ok(statement.exists([name.as_str()])?)
}

/// The users that changed after the version, tombstones among them; with `None` all users, without tombstones.
pub(crate) fn read_users(connection: &Connection, after: Option<i64>) -> Result<Vec<UserChange>> {
    let condition = if after.is_some() { "version > ?1" } else { "?1 IS NULL AND password_hash IS NOT NULL" };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT name, role, all_devices, password_hash FROM users WHERE {condition} ORDER BY name"
    ))?;
    let mut rows = statement.query([after])?;
    let mut changes = Vec::new();
    while let Some(row) = rows.next()? {
        changes.push(read_user(connection, row)?);
    }
    Ok(changes)
}

fn read_user(connection: &Connection, row: &Row<'_>) -> Result<UserChange> {
    let stored_name = row.get_ref(0)?.as_str().unwrap_or_default();
    let Ok(name) = stored_name.parse::<UserName>() else {
        return Ok(UserChange::Broken(stored_name.to_owned(), BrokenCause::Name));
    };
    let role = row.get_ref(1)?.as_str().unwrap_or_default();
    let Some(password_hash) = row.get_ref(3)?.as_str_or_null().unwrap_or(Some("")) else {
        return Ok(UserChange::Removed(name));
    };
    let Ok(password_hash) = password_hash.parse() else {
        return Ok(UserChange::Broken(stored_name.to_owned(), BrokenCause::PasswordHash));
    };
    let devices = scope_store::read(connection, Holder::User, &name, row.get(2)?)?;
    let Some(role) = role_named(role, devices) else {
        return Ok(UserChange::Broken(stored_name.to_owned(), BrokenCause::Role));
    };
    Ok(UserChange::Present(Arc::new(User { name, role, password_hash })))
}

/// The role that is stored under this name.
pub(crate) fn role_named(name: &str, devices: Scope) -> Option<Role> {
    let roles = [Role::Admin, Role::Clinician { devices: devices.clone() }, Role::Reader { devices }];
    roles.into_iter().find(|role| role.name() == name)
}
