//! The data folder of a deployment and its master key. Both are root's while they are made, for a registry opens for its owner
//! alone, and then the server's for good: that the volume is the server's says that the folder is complete.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use anyhow::{Context, bail};
use secrecy::SecretString;
use vitalwire_access::{Role, UserName};
use vitalwire_registry::{MasterKey, Registry, RegistryError};

use super::layout::{DATA_FOLDER, DATA_VOLUME, MASTER_KEY};
use super::volumes::Volumes;
use crate::output::{Output, even_if_closed};
use crate::private_file::write_new;
use crate::rotation::said;
use crate::{config, data};

/// The data folder.
pub(super) fn folder(volumes: &Volumes) -> PathBuf {
    volumes.path(DATA_VOLUME).join(DATA_FOLDER)
}

/// The registry, as long as it is not complete.
///
/// # Errors
/// When what belongs together is not there together.
pub(super) fn open(volumes: &Volumes) -> anyhow::Result<Option<Registry>> {
    let folder = folder(volumes);
    let key_path = volumes.path(MASTER_KEY);
    let (has_registry, has_key) = (data::has_registry(&folder)?, key_path.exists());
    if has_registry && !has_key {
        bail!(
            "{} is missing, and without it no key in the registry opens: put your copy of it there",
            key_path.display()
        );
    }
    if volumes.is_handed_over(DATA_VOLUME)? {
        if !has_registry {
            bail!(
                "{} holds no registry: restore the volume from a backup, or remove it to begin with an empty one",
                folder.display()
            );
        }
        return Ok(None);
    }
    if !has_key {
        create_key(&key_path)?;
    }
    match DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("cannot make {}", folder.display()));
        }
        _ => {}
    }
    let (settings, beside) = (folder.join(config::FILE_NAME), folder.join("settings.new"));
    if !settings.exists() {
        remove(&beside)?;
        write_new(&beside, config::template().as_bytes())?;
        fs::rename(&beside, &settings).with_context(|| format!("cannot make {}", settings.display()))?;
    }
    let registry = match Registry::open_with_key_file(&folder, &key_path) {
        Err(RegistryError::Absent { .. }) => Registry::create(&folder, &MasterKey::load(&key_path)?)?,
        registry => registry?,
    };
    Ok(Some(registry))
}

/// Whole or not at all: half a key would stand in the way of the next run.
fn create_key(path: &std::path::Path) -> anyhow::Result<()> {
    let beside = path.with_extension("new");
    remove(&beside)?;
    MasterKey::create(&beside)?;
    fs::rename(&beside, path).with_context(|| format!("cannot make {}", path.display()))
}

fn remove(path: &std::path::Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Rotates the master key, if it is to be, or ends a rotation that was cut off.
pub(super) fn rotate_master_key(
    volumes: &mut Volumes,
    is_wanted: bool,
    out: &mut Output<'_>,
) -> anyhow::Result<()> {
    let (folder, file) = (folder(volumes), volumes.path(MASTER_KEY));
    // Root rotates what is the server's: SQLite gives the files that it makes beside the registry to the registry's owner.
    let owner = Some(volumes.owner(MASTER_KEY)?);
    if is_wanted {
        let rotated =
            Registry::rotate_master_key(&folder, &file, owner).context("the master key was not rotated")?;
        volumes.changed = true;
        even_if_closed(writeln!(out, "{}", said(&rotated, MASTER_KEY)))?;
    } else if Registry::complete_master_key_rotation(&folder, &file, owner)? {
        volumes.changed = true;
    }
    Ok(())
}

/// Lets the administrator in with this password.
pub(super) fn set_admin(registry: &Registry, name: &UserName, password: &SecretString) -> anyhow::Result<()> {
    if has_user(registry, name)? {
        registry.set_password(name, password)?;
    } else {
        registry.add_user(name, Role::Admin, password)?;
    }
    Ok(())
}

pub(super) fn has_user(registry: &Registry, name: &UserName) -> anyhow::Result<bool> {
    match registry.check_user(name) {
        Ok(()) => Ok(true),
        Err(RegistryError::UserUnknown(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Gives folder and key to the server; the registry must be closed.
pub(super) fn hand_over(volumes: &mut Volumes) -> anyhow::Result<()> {
    if !volumes.is_handed_over(DATA_VOLUME)? {
        volumes.hand_over(DATA_VOLUME)?;
    }
    volumes.hand_over(MASTER_KEY)
}
