//! The master key: making it, its file, and where that lies. Nothing here can be printed; what is sealed under the key
//! is the business of [`crate::seal`].

use std::env;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rand::TryRng;
use rand::rngs::SysRng;
use secrecy::{ExposeSecret, SecretBox};
use zeroize::Zeroizing;

use crate::error::{RegistryError, Result};
use crate::hex;
use crate::private_file::{self, Privacy, file_error};

const MASTER_KEY_LEN: usize = 32;
/// 64 hexadecimal digits and a line end.
pub(crate) const MASTER_KEY_FILE_LEN: usize = 2 * MASTER_KEY_LEN + 1;
/// The file's name among systemd's credentials.
const CREDENTIAL_NAME: &str = "vitalwire-master-key";
const CREDENTIALS_VARIABLE: &str = "CREDENTIALS_DIRECTORY";

/// The key under which all device keys of a registry are sealed: 32 random bytes, kept apart from the data folder.
/// Zeroized on drop; `Debug` shows nothing of it.
pub struct MasterKey(SecretBox<[u8; MASTER_KEY_LEN]>);

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

impl MasterKey {
    /// A fresh key from the operating system's random source.
    ///
    /// # Errors
    /// When that source fails.
    pub fn generate() -> Result<Self> {
        let mut key = Box::new([0; MASTER_KEY_LEN]);
        SysRng.try_fill_bytes(key.as_mut_slice())?;
        Ok(Self(SecretBox::new(key)))
    }

    /// Makes a fresh key and keeps it in a new file of mode 0600, as 64 hexadecimal digits and a line end.
    ///
    /// # Errors
    /// When the file exists already (a master key is never overwritten) or cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        let key = Self::generate()?;
        let mut file = private_file::create_new(path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => RegistryError::MasterKeyExists { path: path.to_owned() },
            _ => file_error("make", path)(error),
        })?;
        let written = file.write_all(&key.to_text()).and_then(|()| file.sync_all());
        if let Err(error) = written {
            // Half a key would stand in the way of the next try. It never sealed anything.
            let _ = std::fs::remove_file(path);
            return Err(file_error("write", path)(error));
        }
        private_file::sync_parent(path)?;
        Ok(key)
    }

    /// Reads the key from a file that is ours with mode 0600 or 0400, or from a credential that systemd gave us.
    ///
    /// # Errors
    /// When the file is absent, reachable by others (the message says which `chmod` to run), or holds no key.
    pub fn load(path: &Path) -> Result<Self> {
        let mut file = Self::open_file(path, OpenOptions::new().read(true), private_file::us())?;
        let mut text = Zeroizing::new([0; MASTER_KEY_FILE_LEN + 1]);
        let len = read_up_to(&mut file, text.as_mut_slice()).map_err(file_error("read", path))?;
        let text = text.get(..len).unwrap_or_default();
        Self::from_text(text).ok_or_else(|| RegistryError::MasterKeyFormat { path: path.to_owned() })
    }

    /// Opens a key's file, which must be the owner's alone.
    pub(crate) fn open_file(path: &Path, options: &OpenOptions, owner: u32) -> Result<File> {
        let in_credentials = env::var_os(CREDENTIALS_VARIABLE)
            .is_some_and(|folder| path.parent().is_some_and(|parent| parent == Path::new(&folder)));
        let privacy = if in_credentials { Privacy::SystemdCredential } else { Privacy::File };
        let file = options.open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => RegistryError::MasterKeyAbsent { path: path.to_owned() },
            _ => file_error("open", path)(error),
        })?;
        // The opened file is asked, not the name, which could be pointed elsewhere in between.
        let metadata = file.metadata().map_err(file_error("look at", path))?;
        private_file::check(path, &metadata, privacy, owner)?;
        Ok(file)
    }

    #[cfg(test)]
    pub(crate) fn from_bytes(bytes: [u8; MASTER_KEY_LEN]) -> Self {
        Self(SecretBox::new(Box::new(bytes)))
    }

    pub(crate) fn bytes(&self) -> &[u8; MASTER_KEY_LEN] {
        self.0.expose_secret()
    }

    pub(crate) fn to_text(&self) -> Zeroizing<Vec<u8>> {
        let mut text = Zeroizing::new(Vec::with_capacity(MASTER_KEY_FILE_LEN));
        for byte in self.0.expose_secret() {
            text.push(hex::digit(byte >> 4));
            text.push(hex::digit(byte & 15));
        }
        text.push(b'\n');
        text
    }

    pub(crate) fn from_text(text: &[u8]) -> Option<Self> {
        let digits = text.strip_suffix(b"\n").unwrap_or(text);
        if digits.len() != 2 * MASTER_KEY_LEN {
            return None;
        }
        let mut whole = true;
        let key = SecretBox::init_with_mut(|key: &mut [u8; MASTER_KEY_LEN]| {
            let (pairs, _) = digits.as_chunks::<2>();
            for (byte, [high, low]) in key.iter_mut().zip(pairs) {
                match (hex::value(*high), hex::value(*low)) {
                    (Some(high), Some(low)) => *byte = high << 4 | low,
                    _ => whole = false,
                }
            }
        });
        whole.then_some(Self(key))
    }
}

pub(crate) fn read_up_to(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    loop {
        let rest = buffer.get_mut(len..).unwrap_or_default();
        match file.read(rest)? {
            0 => return Ok(len),
            read => len += read,
        }
    }
}

/// Where the master key lies: where the flag says; else systemd's credential `vitalwire-master-key`, if there is one;
/// else beside the data folder, as `<data>.master-key`, so that a copy of the folder carries no key.
#[must_use]
pub fn master_key_path(data: &Path, flag: Option<&Path>) -> PathBuf {
    key_path(data, flag, env::var_os(CREDENTIALS_VARIABLE).as_deref().map(Path::new))
}

fn key_path(data: &Path, flag: Option<&Path>, credentials: Option<&Path>) -> PathBuf {
    if let Some(flag) = flag {
        return flag.to_owned();
    }
    if let Some(credential) =
        credentials.map(|folder| folder.join(CREDENTIAL_NAME)).filter(|path| path.exists())
    {
        return credential;
    }
    // `.` and `..` have no name of their own; the folder they stand for has.
    let folder = if data.file_name().is_some() {
        data.to_owned()
    } else {
        data.canonicalize().unwrap_or(data.to_owned())
    };
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(".master-key");
    folder.with_file_name(name)
}

#[cfg(test)]
mod tests;
