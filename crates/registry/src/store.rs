//! The registry's store: opening it, and enrolling, changing and reading devices. Each change is one transaction. It
//! never keeps an opened key of its own: what it hands out is zeroized by who drops it.

use crate::change::Change;
use crate::device_row::{DEVICE_COLUMNS, DeviceRow};
use crate::directory::{Device, Protocol};
use crate::error::{RegistryError, Result};
use crate::id::DeviceId;
use crate::key::{self, MasterKey, Sealer};
use crate::private_file::{self, Privacy, file_error};
use crate::schema;
use rusqlite::{Connection, Row};
use std::fmt;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use vitalwire_protocol::CbcSecret;

/// The registry's file in the data folder.
pub const DATABASE_FILE: &str = "registry.db";
/// The most enrolled devices.
pub const DEVICES_MAX: usize = 1_000_000;
/// How long a change waits for another process's change.
pub(crate) const BUSY_TIMEOUT_MS: u64 = 5_000;

/// What a person may know about a device: everything but its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Its name.
    pub id: DeviceId,
    /// What it speaks.
    pub protocol: Protocol,
    /// 1 for the first key ever enrolled under this name, one more with each new key.
    pub generation: u32,
    /// When it was enrolled (for the last time, if it was revoked in between), to the second.
    pub enrolled_at: SystemTime,
    /// When its present key was set, to the second.
    pub key_set_at: SystemTime,
}

/// The registry: one connection to the SQLite file. Several processes may hold it open at once. Every call blocks on the
/// disk (and up to 5 s on another writer): keep it off reactor threads.
pub struct Registry {
    pub(crate) connection: Connection,
    pub(crate) sealer: Sealer,
    data: PathBuf,
    /// Device and inode of the file that was opened.
    identity: (u64, u64),
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("data", &self.data).finish_non_exhaustive()
    }
}

impl Registry {
    /// Makes a registry in the data folder (which is made too, with mode 0700).
    ///
    /// # Errors
    /// When there is one already (it is left as it is), or the folder is reachable by others or cannot be written.
    pub fn create(data: &Path, master: &MasterKey) -> Result<Self> {
        private_file::ensure_folder(data)?;
        let path = data.join(DATABASE_FILE);
        match private_file::create_new(&path) {
            Ok(_) => {}
            // An empty file is what an interrupted creation leaves; it holds nothing, so it may be used.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && look_at(&path)?.len() == 0 => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(RegistryError::Exists { folder: data.to_owned() });
            }
            Err(error) => return Err(file_error("make", &path)(error)),
        }
        private_file::sync_parent(&path)?;
        let connection = schema::connect(&path)?;
        schema::create(&connection, &path, &Sealer::new(master).check_value())?;
        drop(connection);
        Self::open(data, master)
    }

    /// Opens the registry of a data folder and brings an older schema up to date.
    ///
    /// # Errors
    /// When there is none, when this is not the master key it was made with, when others can reach folder or file, or
    /// when a newer program wrote it.
    pub fn open(data: &Path, master: &MasterKey) -> Result<Self> {
        Self::open_with(data, Sealer::new(master))
    }

    fn open_with(data: &Path, sealer: Sealer) -> Result<Self> {
        let path = data.join(DATABASE_FILE);
        let metadata = std::fs::metadata(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => RegistryError::Absent { folder: data.to_owned() },
            _ => file_error("look at", &path)(error),
        })?;
        if metadata.len() == 0 {
            return Err(RegistryError::Absent { folder: data.to_owned() });
        }
        private_file::check_folder(data)?;
        private_file::check(&path, &metadata, Privacy::File)?;
        let connection = schema::connect(&path)?;
        schema::update(&connection, &path)?;
        schema::use_wal(&connection)?;
        let check_value: Vec<u8> =
            connection.query_row("SELECT check_value FROM registry", [], |row| row.get(0))?;
        if !sealer.opens_check_value(&check_value) {
            return Err(RegistryError::WrongMasterKey { database: path });
        }
        Ok(Self { connection, sealer, identity: identity(&metadata), data: data.to_owned() })
    }

    /// Enrols a device, with the given key or with a fresh one (16 printable characters each for key and IV, 96 bits of
    /// entropy each), and gives back the key. A revoked name may be enrolled again; it gets the next generation.
    ///
    /// # Errors
    /// When the name is enrolled, another device has this key, or the registry is full.
    pub fn add_device(&self, id: &DeviceId, secret: Option<CbcSecret>) -> Result<CbcSecret> {
        let secret = match secret {
            Some(secret) => secret,
            None => key::generate_device_secret()?,
        };
        self.add_devices(&[(id.clone(), secret.clone())])?;
        Ok(secret)
    }

    /// Enrols several devices, all or none.
    ///
    /// # Errors
    /// As [`Registry::add_device`], for the first device that cannot be enrolled.
    pub fn add_devices(&self, devices: &[(DeviceId, CbcSecret)]) -> Result<()> {
        self.change(|change| {
            devices.iter().try_for_each(|(id, secret)| change.enrol(id, secret))?;
            change.check_device_limit()
        })
    }

    /// All enrolled devices whose rows are sound, by name. Those that are not are in [`crate::Directory::broken`].
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn devices(&self) -> Result<Vec<DeviceInfo>> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT {DEVICE_COLUMNS}, enrolled_at, key_set_at FROM devices WHERE sealed IS NOT NULL ORDER BY id"
        ))?;
        let rows = statement.query_map([], |row| {
            Ok(DeviceRow::read(row)?.open(&self.sealer).ok().map(|device| device_info(&device, row)))
        })?;
        rows.filter_map(|row| row.map_err(RegistryError::from).and_then(Option::transpose).transpose())
            .collect()
    }

    /// One device, without its key.
    ///
    /// # Errors
    /// When it is not enrolled, or its row cannot be trusted.
    pub fn device(&self, id: &DeviceId) -> Result<DeviceInfo> {
        self.read_device(id, device_info)
    }

    /// The key of one device, for a person who must write it into the device.
    ///
    /// # Errors
    /// When it is not enrolled, or its row cannot be trusted.
    pub fn device_secret(&self, id: &DeviceId) -> Result<CbcSecret> {
        self.read_device(id, |device, _| Ok(device.secret.clone()))
    }

    fn read_device<T>(&self, id: &DeviceId, read: impl Fn(&Device, &Row<'_>) -> Result<T>) -> Result<T> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT {DEVICE_COLUMNS}, enrolled_at, key_set_at FROM devices WHERE sealed IS NOT NULL AND id = ?1"
        ))?;
        let mut rows = statement.query([id.as_str()])?;
        let row = rows.next()?.ok_or_else(|| RegistryError::DeviceUnknown(id.clone()))?;
        let device = DeviceRow::read(row)?
            .open(&self.sealer)
            .map_err(|cause| RegistryError::DeviceBroken { id: id.clone(), cause })?;
        read(&device, row)
    }

    /// Gives a device a fresh key, and gives that back. Its old key is refused as soon as servers see the change.
    ///
    /// # Errors
    /// When it is not enrolled.
    pub fn rotate_device(&self, id: &DeviceId) -> Result<CbcSecret> {
        let secret = key::generate_device_secret()?;
        self.change(|change| change.set_key(id, &secret))?;
        Ok(secret)
    }

    /// Takes a device out of service, forgets its key, and takes it out of the scopes of readers: if the name is enrolled
    /// again, perhaps on another patient, nobody sees it who was not given it anew.
    ///
    /// # Errors
    /// When it is not enrolled.
    pub fn revoke_device(&self, id: &DeviceId) -> Result<()> {
        self.change(|change| change.revoke(id))
    }

    /// Runs one transaction that takes the write lock first, and stamps what it changes with the next version.
    pub(crate) fn change<T, E: From<RegistryError>>(
        &self,
        apply: impl FnOnce(&Change<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let change = Change::begin(&self.connection, &self.sealer)?;
        let result = apply(&change)?;
        change.commit()?;
        Ok(result)
    }

    /// If another file lies in the place of the one that is open (a restored backup), opens that one; tells whether so.
    pub(crate) fn follow_file(&mut self) -> Result<bool> {
        let there = std::fs::metadata(self.data.join(DATABASE_FILE));
        if there.is_ok_and(|metadata| identity(&metadata) == self.identity) {
            return Ok(false);
        }
        *self = Self::open_with(&self.data, self.sealer.clone())?;
        Ok(true)
    }
}

fn look_at(path: &Path) -> Result<Metadata> {
    std::fs::metadata(path).map_err(file_error("look at", path))
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn from_unix_seconds(seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

fn device_info(device: &Device, row: &Row<'_>) -> Result<DeviceInfo> {
    Ok(DeviceInfo {
        id: device.id.clone(),
        protocol: device.protocol,
        generation: device.generation,
        enrolled_at: from_unix_seconds(row.get("enrolled_at")?),
        key_set_at: from_unix_seconds(row.get("key_set_at")?),
    })
}
