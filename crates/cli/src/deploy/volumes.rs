//! The volumes of a deployment: files that are there whole or not at all, each its owner's from the moment that it has its
//! name. Knows what no file means.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown, lchown};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use zeroize::Zeroizing;

use super::layout::{self, FILES, Ids, Kept, Owner, Renew, VOLUMES};

/// More than the longest of them has.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The volumes, held by one `init` at a time.
pub(crate) struct Volumes {
    root: PathBuf,
    ids: Ids,
    /// Ends with the process, however that ends.
    _lock: File,
    pub(crate) changed: bool,
}

impl Volumes {
    /// Takes the volumes, and makes those folders that are missing. What is in them is checked: it must be its owner's alone.
    ///
    /// # Errors
    /// When another `init` is at work, a secret is open to others, or this may not change owners.
    pub(crate) fn open(root: &Path, ids: Ids) -> anyhow::Result<Self> {
        fs::create_dir_all(root).with_context(|| format!("cannot make {}", root.display()))?;
        let lock = File::open(root).with_context(|| format!("cannot open {}", root.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("another `vitalwire init --deploy` is at work in {}; let it end", root.display())
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", root.display()));
            }
        }
        let mut volumes = Self { root: root.to_owned(), ids, _lock: lock, changed: false };
        for volume in VOLUMES {
            // The data folder is handed over when it is complete.
            let owner = if volume.name == layout::DATA_VOLUME { Owner::Root } else { volume.owner };
            let path = volumes.root.join(volume.name);
            volumes.ensure_folder(&path, ids.of(owner), ids.of(volume.owner))?;
        }
        FILES.iter().try_for_each(|file| volumes.check(file))?;
        Ok(volumes)
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// A folder of mode 0700 that belongs to the one when it is new, and may belong to the other when it is not.
    fn ensure_folder(&mut self, path: &Path, owner: u32, final_owner: u32) -> anyhow::Result<()> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(error).with_context(|| format!("cannot make {}", path.display()));
            }
            _ => {}
        }
        let shown = || path.display().to_string();
        let found = fs::symlink_metadata(path).with_context(|| format!("cannot look at {}", shown()))?;
        if !found.is_dir() {
            bail!("{} is no folder: remove it, or mount a volume there", shown());
        }
        if found.mode() & 0o7777 != 0o700 {
            fs::set_permissions(path, Permissions::from_mode(0o700))
                .with_context(|| format!("cannot set mode 0700 on {}", shown()))?;
            self.changed = true;
        }
        if found.uid() != owner && found.uid() != final_owner {
            lchown(path, Some(owner), Some(owner)).map_err(|error| not_given(path, owner, &error))?;
            self.changed = true;
        }
        Ok(())
    }

    /// Refuses a secret that others may have read.
    fn check(&self, file: &Kept) -> anyhow::Result<()> {
        let path = self.path(file.path);
        let found = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            found => found.with_context(|| format!("cannot look at {}", path.display()))?,
        };
        let mode = found.mode() & 0o7777;
        if !found.is_file() {
            bail!("{} is no file: remove it, and run this again", path.display());
        }
        // Its owner may write what this only reads; that opens it to no one.
        if mode & !(file.mode | 0o200) != 0 {
            let renew = match file.renew {
                Some(_) => ". If someone may have, make it again by --renew",
                None if file.path == layout::MASTER_KEY => ". If someone may have, then --renew master-key",
                None => "",
            };
            bail!(
                "{path} could be read or changed by others (mode {mode:04o}). If no one did: chmod {wanted:04o} {path}{renew}",
                path = path.display(),
                wanted = file.mode
            );
        }
        Ok(())
    }

    /// Removes what is to be made again, what depends on others first.
    pub(crate) fn remove(&mut self, renew: Renew) -> anyhow::Result<()> {
        for file in FILES.iter().rev().filter(|file| file.renew == Some(renew)) {
            let path = self.path(file.path);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot remove {}", path.display()));
                }
                _ => self.changed = true,
            }
        }
        Ok(())
    }

    /// What the file holds, if it is there.
    pub(crate) fn read(&self, path: &str) -> anyhow::Result<Option<Zeroizing<Vec<u8>>>> {
        let path = self.path(path);
        let read = || -> io::Result<Zeroizing<Vec<u8>>> {
            let mut bytes = Zeroizing::new(Vec::new());
            io::Read::read_to_end(&mut io::Read::take(File::open(&path)?, FILE_BYTES_MAX), &mut bytes)?;
            Ok(bytes)
        };
        match read() {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            bytes => bytes.map(Some).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// What the file holds; it is made when it is missing.
    pub(crate) fn ensure(
        &mut self,
        path: &str,
        make: impl FnOnce() -> anyhow::Result<Zeroizing<Vec<u8>>>,
    ) -> anyhow::Result<Zeroizing<Vec<u8>>> {
        if let Some(bytes) = self.read(path)? {
            return Ok(bytes);
        }
        let bytes = make()?;
        self.write(path, &bytes)?;
        Ok(bytes)
    }

    /// Writes what follows from other files, if it is not there as it should be.
    pub(crate) fn follow(&mut self, path: &str, bytes: &[u8]) -> anyhow::Result<()> {
        if self.read(path)?.is_some_and(|found| found.as_slice() == bytes) {
            return Ok(());
        }
        self.write(path, bytes)
    }

    /// Beside it, then renamed: a reader sees it whole, and its owner's.
    pub(crate) fn write(&mut self, path: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let (file, volume) = FILES
            .iter()
            .find(|file| file.path == path)
            .and_then(|file| Some((file, layout::volume(path)?)))
            .with_context(|| format!("{path} is not in the table of files"))?;
        let owner = self.ids.of(volume.owner);
        let path = self.path(path);
        let beside = path.with_extension("new");
        let cannot = || format!("cannot write {}", path.display());
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).with_context(cannot),
            _ => {}
        }
        let opened = OpenOptions::new().write(true).create_new(true).mode(file.mode).open(&beside);
        let mut new = opened.with_context(cannot)?;
        new.write_all(bytes).with_context(cannot)?;
        // The mode above is what the umask leaves of it.
        new.set_permissions(Permissions::from_mode(file.mode)).with_context(cannot)?;
        fchown(&new, Some(owner), Some(owner)).map_err(|error| not_given(&path, owner, &error))?;
        new.sync_all().with_context(cannot)?;
        fs::rename(&beside, &path).with_context(cannot)?;
        let parent = path.parent().unwrap_or(&self.root);
        File::open(parent).and_then(|folder| folder.sync_all()).with_context(cannot)?;
        self.changed = true;
        Ok(())
    }

    /// Whether the volume of this file or folder is its service's already. Never, where that is who runs this.
    pub(crate) fn is_handed_over(&self, path: &str) -> anyhow::Result<bool> {
        let volume = layout::volume(path).with_context(|| format!("{path} is in no volume"))?;
        let path = self.path(volume.name);
        let found = fs::metadata(&path).with_context(|| format!("cannot look at {}", path.display()))?;
        let owner = self.ids.of(volume.owner);
        Ok(owner != self.ids.of(Owner::Root) && found.uid() == owner)
    }

    /// Whose a file or folder is in the end.
    pub(crate) fn owner(&self, path: &str) -> anyhow::Result<u32> {
        let volume = layout::volume(path).with_context(|| format!("{path} is in no volume"))?;
        Ok(self.ids.of(volume.owner))
    }

    /// Gives a file or folder and all that is in it to the owner of its volume; itself last, so that it is a mark of
    /// completeness.
    pub(crate) fn hand_over(&mut self, path: &str) -> anyhow::Result<()> {
        let owner = self.owner(path)?;
        self.changed |= give(&self.path(path), owner)?;
        Ok(())
    }
}

/// Whether anything was given. Follows no links.
fn give(path: &Path, owner: u32) -> anyhow::Result<bool> {
    let cannot = || format!("cannot look at {}", path.display());
    let found = fs::symlink_metadata(path).with_context(cannot)?;
    let mut is_changed = false;
    if found.is_dir() {
        for entry in fs::read_dir(path).with_context(cannot)? {
            is_changed |= give(&entry.with_context(cannot)?.path(), owner)?;
        }
    }
    if found.uid() != owner || found.gid() != owner {
        lchown(path, Some(owner), Some(owner)).map_err(|error| not_given(path, owner, &error))?;
        is_changed = true;
    }
    Ok(is_changed)
}

fn not_given(path: &Path, owner: u32, error: &io::Error) -> anyhow::Error {
    anyhow::anyhow!(
        "cannot give {} to user {owner} ({error}): run this as root with the capabilities CHOWN, FOWNER and DAC_OVERRIDE, \
         as deploy/compose.yml does",
        path.display()
    )
}
