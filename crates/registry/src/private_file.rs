//! Files and folders that only the user of this program may reach: making them so, and refusing those that are not. It
//! never changes the mode of anything that holds something already.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::{RegistryError, Result};

pub(crate) fn file_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RegistryError {
    move |source| RegistryError::File { action, path: path.to_owned(), source }
}

/// What a secret's file or folder must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Privacy {
    /// A folder: mode 0700, ours.
    Folder,
    /// A file: mode 0600 or 0400, ours.
    File,
    /// A systemd credential: it may belong to root and be readable by a group, as systemd grants a service user its
    /// credential by an access list, which shows in the group bits; no one else can enter its folder.
    SystemdCredential,
}

impl Privacy {
    fn wanted(self) -> &'static str {
        match self {
            Self::Folder => "0700",
            Self::File | Self::SystemdCredential => "0600",
        }
    }

    fn allows_mode(self, mode: u32) -> bool {
        match self {
            Self::Folder => mode == 0o700,
            Self::File => mode == 0o600 || mode == 0o400,
            Self::SystemdCredential => mode & 0o137 == 0,
        }
    }

    fn allows_owner(self, owner: u32, ours: u32) -> bool {
        owner == ours || (self == Self::SystemdCredential && owner == 0)
    }
}

/// Refuses what others than the owner may reach or own.
pub(crate) fn check(path: &Path, metadata: &Metadata, privacy: Privacy, owner: u32) -> Result<()> {
    check_facts(path, metadata.mode(), metadata.uid(), owner, privacy)
}

/// The user whose files these are, unless someone says otherwise: that of this process.
pub(crate) fn us() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn check_facts(path: &Path, mode: u32, owner: u32, ours: u32, privacy: Privacy) -> Result<()> {
    if !privacy.allows_owner(owner, ours) {
        return Err(RegistryError::Owner { path: path.to_owned(), owner, ours });
    }
    let mode = mode & 0o7777;
    if !privacy.allows_mode(mode) {
        return Err(RegistryError::Mode { path: path.to_owned(), mode, wanted: privacy.wanted() });
    }
    Ok(())
}

/// Makes the folder (and its parents, with the usual modes) when it is not there, and closes an empty one to others;
/// refuses one that holds something and that others may enter.
pub(crate) fn ensure_folder(path: &Path) -> Result<()> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(file_error("make the folder", parent))?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => sync_parent(path)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => close_if_empty(path)?,
        Err(error) => return Err(file_error("make the folder", path)(error)),
    }
    check_folder(path, us())
}

/// What a `mkdir` or a mounted volume leaves: no one relies on reaching what is not there yet.
fn close_if_empty(path: &Path) -> Result<()> {
    let mut entries = std::fs::read_dir(path).map_err(file_error("list", path))?;
    if entries.next().is_none() {
        std::fs::set_permissions(path, Permissions::from_mode(0o700))
            .map_err(file_error("set mode 0700 on", path))?;
    }
    Ok(())
}

/// Refuses a folder that others than its owner may enter.
pub(crate) fn check_folder(path: &Path, owner: u32) -> Result<()> {
    let metadata = std::fs::metadata(path).map_err(file_error("look at", path))?;
    check(path, &metadata, Privacy::Folder, owner)
}

/// Makes a new file with mode 0600; an existing one is an error of the kind `AlreadyExists`.
pub(crate) fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Makes the name of a new file or folder survive a power cut.
pub(crate) fn sync_parent(path: &Path) -> Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    File::open(&parent).and_then(|folder| folder.sync_all()).map_err(file_error("sync the folder", &parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(mode: u32, owner: u32, privacy: Privacy) -> Result<()> {
        check_facts(Path::new("x"), mode, owner, 1000, privacy)
    }

    #[test]
    fn a_file_is_private_only_with_0600_or_0400() {
        for mode in 0..=0o7777 {
            assert_eq!(facts(0o100_000 | mode, 1000, Privacy::File).is_ok(), mode == 0o600 || mode == 0o400);
        }
    }

    #[test]
    fn a_foreign_file_is_refused_also_when_it_is_roots() {
        for owner in [0, 1001] {
            assert!(matches!(
                facts(0o600, owner, Privacy::File),
                Err(RegistryError::Owner { owner: o, ours: 1000, .. }) if o == owner
            ));
        }
    }

    #[test]
    fn a_systemd_credential_may_be_roots_and_group_readable_but_no_more() {
        assert!(facts(0o440, 0, Privacy::SystemdCredential).is_ok());
        assert!(facts(0o400, 1000, Privacy::SystemdCredential).is_ok());
        for mode in [0o444, 0o460, 0o640 | 0o020, 0o404] {
            assert!(facts(mode, 0, Privacy::SystemdCredential).is_err(), "{mode:o}");
        }
        assert!(facts(0o400, 1001, Privacy::SystemdCredential).is_err());
    }

    #[test]
    fn the_message_says_which_chmod_to_run() {
        let message = facts(0o755, 1000, Privacy::Folder).unwrap_err().to_string();
        assert!(message.contains("0755") && message.contains("chmod 0700 'x'"), "{message}");
    }
}
