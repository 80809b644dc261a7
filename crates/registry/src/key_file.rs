//! The file of the master key while that is rotated. The next key is written behind the present one, and over it once the
//! registry is sealed under the next: so at every moment, and after a cut at any byte, the file holds the key that the registry
//! is sealed under. It is one file, and stays the same one, so that owner, mode and mounts stay as they are.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::error::{RegistryError, Result};
use crate::key::{MASTER_KEY_FILE_LEN, MasterKey, read_up_to};
use crate::private_file::file_error;
use crate::seal::Sealer;

/// Where the next key begins.
const NEXT_AT: u64 = MASTER_KEY_FILE_LEN as u64;

/// The keys in the file: one, or two while it is rotated.
pub(crate) fn read(path: &Path, owner: u32) -> Result<Vec<MasterKey>> {
    read_from(&mut MasterKey::open_file(path, OpenOptions::new().read(true), owner)?, path)
}

fn read_from(file: &mut File, path: &Path) -> Result<Vec<MasterKey>> {
    let mut text = Zeroizing::new([0; 2 * MASTER_KEY_FILE_LEN + 1]);
    let len = read_up_to(file, text.as_mut_slice()).map_err(file_error("read", path))?;
    let keys = parse(text.get(..len).unwrap_or_default());
    keys.ok_or_else(|| RegistryError::MasterKeyFormat { path: path.to_owned() })
}

fn parse(text: &[u8]) -> Option<Vec<MasterKey>> {
    let Some((first, next)) = text.split_at_checked(MASTER_KEY_FILE_LEN) else {
        return Some(vec![MasterKey::from_text(text)?]);
    };
    let mut keys = vec![MasterKey::from_text(first)?];
    match MasterKey::from_text(next) {
        Some(next) => keys.push(next),
        // What a cut leaves of a key that nothing is sealed under: digits, or on some disks zeros. Anything else is no file of ours.
        None if next.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == 0) => {}
        None => return None,
    }
    (next.len() <= MASTER_KEY_FILE_LEN).then_some(keys)
}

/// Whether a rotation was cut off and is to be completed.
pub(crate) fn is_begun(path: &Path) -> Result<bool> {
    let metadata = std::fs::metadata(path).map_err(file_error("look at", path))?;
    Ok(metadata.len() > NEXT_AT)
}

/// The file, held by one rotation at a time.
pub(crate) struct KeyFile {
    /// The lock ends with it, however the process ends.
    file: File,
    path: PathBuf,
    keys: Vec<MasterKey>,
}

impl KeyFile {
    pub(crate) fn lock(path: &Path, owner: u32) -> Result<Self> {
        let path = path.to_owned();
        let opened = MasterKey::open_file(&path, OpenOptions::new().read(true).write(true), owner);
        let mut file = match opened {
            Err(RegistryError::File { source, .. })
                if [io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem]
                    .contains(&source.kind()) =>
            {
                return Err(RegistryError::MasterKeyReadOnly { path, source });
            }
            opened => opened?,
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(RegistryError::MasterKeyBusy { path }),
            Err(TryLockError::Error(error)) => return Err(file_error("lock", &path)(error)),
        }
        let keys = read_from(&mut file, &path)?;
        Ok(Self { file, path, keys })
    }

    /// Ends what an earlier rotation began: tells whether the registry was sealed under its key already, which is then the
    /// only one. Else that key is forgotten.
    pub(crate) fn settle(&mut self, sealer: &Sealer) -> Result<bool> {
        let next = self.keys.pop().filter(|_| !self.keys.is_empty());
        let sealed_under = next.filter(|next| sealer.opens_check_value(&Sealer::new(next).check_value()));
        match &sealed_under {
            Some(next) => self.promote(next, || {})?,
            None => self.forget_next()?,
        }
        Ok(sealed_under.is_some())
    }

    /// Writes the next key behind the present one.
    pub(crate) fn append(&self, next: &MasterKey) -> Result<()> {
        let mut text = Zeroizing::new(Vec::with_capacity(1 + MASTER_KEY_FILE_LEN));
        // Before it the line end of the present one, which a file made by hand may lack.
        text.push(b'\n');
        text.extend_from_slice(&next.to_text());
        self.write(&text, NEXT_AT - 1)
    }

    /// Makes the next key the only one.
    pub(crate) fn promote(&self, next: &MasterKey, written: impl FnOnce()) -> Result<()> {
        self.write(&next.to_text(), 0)?;
        written();
        self.forget_next()
    }

    /// Takes the key away that stands behind the present one, if one does.
    pub(crate) fn forget_next(&self) -> Result<()> {
        let len = self.file.metadata().map_err(file_error("look at", &self.path))?.len();
        if len <= NEXT_AT {
            return Ok(());
        }
        self.file
            .set_len(NEXT_AT)
            .and_then(|()| self.file.sync_all())
            .map_err(file_error("shorten", &self.path))
    }

    fn write(&self, text: &[u8], at: u64) -> Result<()> {
        self.file
            .write_all_at(text, at)
            .and_then(|()| self.file.sync_all())
            .map_err(file_error("write to", &self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(bytes: &[u8]) -> Option<Vec<[u8; 32]>> {
        Some(parse(bytes)?.iter().map(|key| *key.bytes()).collect())
    }

    fn text(byte: u8) -> Vec<u8> {
        MasterKey::from_bytes([byte; 32]).to_text().to_vec()
    }

    #[test]
    fn a_cut_while_the_next_key_is_written_leaves_the_present_one() {
        let (present, next) = (text(1), text(2));
        for len in 0..64 {
            for rest in [next[..len].to_vec(), vec![0; len]] {
                let cut = [present.clone(), rest].concat();
                assert_eq!(keys(&cut).unwrap(), [[1; 32]], "{len}");
            }
        }
        for len in 64..=65 {
            let cut = [&present, &next[..len]].concat();
            assert_eq!(keys(&cut).unwrap(), [[1; 32], [2; 32]], "{len}");
        }
    }

    #[test]
    fn a_cut_while_the_next_key_is_written_over_the_present_one_leaves_the_next() {
        let (present, next) = (text(1), text(2));
        for len in 0..=65 {
            let cut = [&next[..len], &present[len..], &next].concat();
            assert_eq!(keys(&cut).unwrap().last(), Some(&[2; 32]), "{len}");
        }
    }

    #[test]
    fn what_is_no_file_of_a_rotation_is_refused() {
        let present = text(1);
        for bad in [&b"x"[..], b" ", b"# a note\n", &[b'0'; 66], &[0; 66], &text(2).repeat(2)] {
            assert!(keys(&[&present, bad].concat()).is_none(), "{bad:?}");
        }
        assert!(keys(&[b"x", &present[..]].concat()).is_none());
    }
}
