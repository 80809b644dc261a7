//! The registry's store: making it, opening it, and changing it. Each change is one transaction. What is changed is the
//! business of `device_store` and `user_store`.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::actor;
use crate::audit::LoginFold;
use crate::change::Change;
use crate::error::{RegistryError, Result};
use crate::full_disk;
use crate::key::MasterKey;
use crate::key_file;
use crate::private_file::{self, Privacy, file_error};
use crate::schema;
use crate::seal::Sealer;

/// The registry's file in the data folder.
pub const DATABASE_FILE: &str = "registry.db";

/// The registry: one connection to the SQLite file. Several processes may hold it open at once. Every call blocks on the
/// disk (and up to 5 s on another writer): keep it off reactor threads.
pub struct Registry {
    pub(crate) connection: Connection,
    pub(crate) sealer: Sealer,
    /// Who makes changes through this value, for the audit log.
    actor: String,
    pub(crate) logins: RefCell<LoginFold>,
    /// How far the journal is; 0 when no one said so.
    journal_position: Cell<u64>,
    place: Place,
    /// Device and inode of the file that was opened.
    identity: (u64, u64),
    /// The disk is full, and the connection is to a copy in memory.
    is_copy: bool,
}

/// Where a registry lies.
#[derive(Clone)]
struct Place {
    data: PathBuf,
    /// Where its master key is read, if that may be rotated while the registry is open.
    key_file: Option<PathBuf>,
    /// The user whose files these are.
    owner: u32,
}

impl Place {
    fn of(data: &Path) -> Self {
        Self { data: data.to_owned(), key_file: None, owner: private_file::us() }
    }

    fn database(&self) -> PathBuf {
        self.data.join(DATABASE_FILE)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("data", &self.place.data).finish_non_exhaustive()
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
        schema::create(&connection, &path, &Sealer::new(master), &actor::of_this_process())?;
        drop(connection);
        Self::open(data, master)
    }

    /// Opens the registry of a data folder and brings an older schema up to date.
    ///
    /// # Errors
    /// When there is none, when this is not the master key it is sealed under, when others can reach folder or file, or
    /// when a newer program wrote it. On a full disk it can be read all the same; each change is then
    /// [`RegistryError::DiskFull`] until [`Registry::follow_file`] finds room.
    pub fn open(data: &Path, master: &MasterKey) -> Result<Self> {
        Self::open_with(Place::of(data), vec![Sealer::new(master)], true)
    }

    /// As [`Registry::open`], with the master key of this file; and when that is rotated, [`Registry::follow_file`] reads the new
    /// one there.
    ///
    /// # Errors
    /// As [`Registry::open`] and [`MasterKey::load`].
    pub fn open_with_key_file(data: &Path, key_file: &Path) -> Result<Self> {
        Self::open_for(data, key_file, None)
    }

    pub(crate) fn open_for(data: &Path, key_file: &Path, owner: Option<u32>) -> Result<Self> {
        let owner = owner.unwrap_or_else(private_file::us);
        let sealers = sealers(key_file, owner)?;
        if sealers.len() > 1 {
            tracing::warn!(
                file = %key_file.display(),
                "a rotation of the master key is under way, or was cut off: `vitalwire master-key rotate` completes it"
            );
        }
        Self::open_with(
            Place { key_file: Some(key_file.to_owned()), owner, ..Place::of(data) },
            sealers,
            true,
        )
    }

    fn open_with(place: Place, sealers: Vec<Sealer>, may_copy: bool) -> Result<Self> {
        let (data, path) = (&place.data, place.database());
        let metadata = std::fs::metadata(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => RegistryError::Absent { folder: data.to_owned() },
            _ => file_error("look at", &path)(error),
        })?;
        if metadata.len() == 0 {
            return Err(RegistryError::Absent { folder: data.to_owned() });
        }
        private_file::check_folder(data, place.owner)?;
        private_file::check(&path, &metadata, Privacy::File, place.owner)?;
        let actor = actor::of_this_process();
        let opened = open_file(&path, sealers.clone(), &actor);
        let (connection, sealer, is_copy) = match opened {
            Err(error) if full_disk::is_cause_of(&error, &path) && may_copy => {
                let copy = full_disk::copy_to_memory(&path)?;
                let sealer = choose_key(&copy, &path, sealers)?;
                tracing::error!(
                    "the disk of the registry is full: it is read, and nothing in it can be changed"
                );
                (copy, sealer, true)
            }
            // SQLite says the same of a file that is not there.
            Err(error) => return Err(not_writable(data).unwrap_or(error)),
            Ok((connection, sealer)) => (connection, sealer, false),
        };
        let identity = identity(&metadata);
        let (logins, journal_position) = (RefCell::default(), Cell::default());
        Ok(Self { connection, sealer, actor, logins, journal_position, place, identity, is_copy })
    }

    pub(crate) fn owner(&self) -> u32 {
        self.place.owner
    }

    pub(crate) fn actor(&self) -> &str {
        &self.actor
    }

    /// A copy in memory takes no change.
    pub(crate) fn check_room(&self) -> Result<()> {
        if self.is_copy { Err(RegistryError::DiskFull) } else { Ok(()) }
    }

    /// Says how far the journal is. To a device that is enrolled from now on belongs what comes after, so that a name that is enrolled
    /// again is not given what it sent before.
    pub fn note_journal_position(&self, position: u64) {
        self.journal_position.set(position);
    }

    /// Runs one transaction that takes the write lock first, and stamps what it changes with the next version.
    pub(crate) fn change<T, E: From<RegistryError>>(
        &self,
        apply: impl FnOnce(&Change<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.check_room()?;
        let mut change = Change::begin(&self.connection, &self.sealer, &self.actor)?;
        change.enrolled_at = self.journal_position.get();
        let result = apply(&change)?;
        change.commit()?;
        Ok(result)
    }

    /// Runs a change and takes it back: whether it would succeed.
    pub(crate) fn rehearse<T>(&self, apply: impl FnOnce(&Change<'_>) -> Result<T>) -> Result<T> {
        self.check_room()?;
        apply(&Change::begin(&self.connection, &self.sealer, &self.actor)?)
    }

    /// Runs one transaction that adds to the audit log and changes nothing else.
    pub(crate) fn append_only(&self, apply: impl FnOnce(&Change<'_>) -> Result<()>) -> Result<()> {
        self.check_room()?;
        let change = Change::begin_log(&self.connection, &self.sealer, &self.actor)?;
        apply(&change)?;
        change.commit()
    }

    /// Names the part of the program that makes changes, for the audit log: `server` makes the actor of its records
    /// `server as ana (uid 1000)`.
    #[must_use]
    pub fn acting_as(mut self, part: &str) -> Self {
        self.actor = format!("{part} as {}", actor::of_this_process());
        self
    }

    /// Acts for a person, or for another program: the audit log has their name before that of this program, as in `ana by dashboard
    /// as vitalwire (uid 999)`.
    pub fn acting_for<T>(&mut self, person: &str, act: impl FnOnce(&Self) -> T) -> T {
        let own = self.actor.clone();
        self.actor = format!("{person} by {own}");
        let acted = act(self);
        self.actor = own;
        acted
    }

    /// If another file lies in the place of the one that is open (a restored backup), opens that one, as it does when a full disk
    /// has room again; tells whether so. If the master key was rotated, reads the new one.
    /// Who keeps a registry open for long calls this before a change, or the change goes into the file that is gone.
    ///
    /// # Errors
    /// As [`Registry::open`]; then the file that was open stays open. [`RegistryError::MasterKeyRotated`] when the new key is not
    /// where the old one was read.
    pub fn follow_file(&mut self) -> Result<bool> {
        let is_other = self.follow_database()?;
        self.follow_key()?;
        Ok(is_other)
    }

    pub(crate) fn follow_database(&mut self) -> Result<bool> {
        let path = self.place.database();
        let there = std::fs::metadata(&path);
        if !self.is_copy && there.is_ok_and(|metadata| identity(&metadata) == self.identity) {
            return Ok(false);
        }
        let mut next = match Self::open_with(self.place.clone(), self.known_keys(), false) {
            Err(error) if self.is_copy && full_disk::is_cause_of(&error, &path) => return Ok(false),
            next => next?,
        };
        next.actor.clone_from(&self.actor);
        next.logins = RefCell::new(self.logins.take());
        next.journal_position.set(self.journal_position.get());
        *self = next;
        Ok(true)
    }

    pub(crate) fn follow_key(&mut self) -> Result<()> {
        let rotated = match schema::check_key(&self.connection, &self.sealer) {
            Err(rotated @ RegistryError::MasterKeyRotated { .. }) => rotated,
            checked => return checked,
        };
        let chosen = choose_key(&self.connection, &self.place.database(), self.known_keys());
        let Ok(sealer) = chosen else { return Err(rotated) };
        self.sealer = sealer;
        tracing::info!("the master key was rotated; the new one is in use");
        Ok(())
    }

    /// The key in use, and what its file holds now.
    fn known_keys(&self) -> Vec<Sealer> {
        let mut known = vec![self.sealer.clone()];
        // A file that cannot be read now leaves the key in use.
        let read = self.place.key_file.as_ref().and_then(|file| sealers(file, self.place.owner).ok());
        known.extend(read.into_iter().flatten());
        known
    }
}

/// What opens and seals, for each key in the file.
fn sealers(key_file: &Path, owner: u32) -> Result<Vec<Sealer>> {
    Ok(key_file::read(key_file, owner)?.iter().map(Sealer::new).collect())
}

impl Drop for Registry {
    fn drop(&mut self) {
        if let Err(error) = self.drain_logins() {
            tracing::error!(%error, "logins that were counted are missing in the audit log");
        }
    }
}

/// Why a folder cannot be written to, if it cannot. SQLite writes beside a database also to read it.
fn not_writable(data: &Path) -> Option<RegistryError> {
    let refused = rustix::fs::access(data, rustix::fs::Access::WRITE_OK).err()?;
    Some(file_error("write to", data)(refused.into()))
}

/// Connects to a file that is ours, and brings it up to date.
fn open_file(path: &Path, sealers: Vec<Sealer>, actor: &str) -> Result<(Connection, Sealer)> {
    let connection = schema::connect(path)?;
    let sealer = choose_key(&connection, path, sealers)?;
    schema::update(&connection, path, &sealer, actor)?;
    schema::use_wal(&connection)?;
    Ok((connection, sealer))
}

/// The key that the registry is sealed under.
fn choose_key(connection: &Connection, path: &Path, sealers: Vec<Sealer>) -> Result<Sealer> {
    schema::check(connection, path)?;
    let check_value = schema::check_value(connection)?;
    let fits = sealers.into_iter().find(|sealer| sealer.opens_check_value(&check_value));
    fits.ok_or_else(|| RegistryError::WrongMasterKey { database: path.to_owned() })
}

fn look_at(path: &Path) -> Result<Metadata> {
    std::fs::metadata(path).map_err(file_error("look at", path))
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}
