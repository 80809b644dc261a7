//! The master key and what is sealed under it. The one module that names the key-wrapping and key-derivation crates. It
//! never writes an opened device key anywhere, and nothing here can be printed.
//!
//! A device's key and IV (32 bytes) are wrapped with AES-KW (RFC 3394, AES-256) under a key of its own:
//! `HKDF-SHA256(master key, info = "vitalwire device kek v1" ‖ id)` (RFC 5869, no salt). A sealed key put into another
//! device's row therefore does not open, and AES-KW's 64-bit check finds every changed bit. A device enrolled for
//! another protocol will have another label, so that a key never serves two protocols.

use crate::error::{RegistryError, Result};
use crate::id::DeviceId;
use crate::private_file::{self, Privacy, file_error};
use aes_kw::{KeyInit, KwAes256};
use hkdf::Hkdf;
use rand::TryRng;
use rand::rngs::SysRng;
use secrecy::{ExposeSecret, SecretBox};
use sha2::Sha256;
use std::env;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use vitalwire_protocol::CbcSecret;
use zeroize::{Zeroize, Zeroizing};

const MASTER_KEY_LEN: usize = 32;
/// 64 hexadecimal digits and a line end.
const MASTER_KEY_FILE_LEN: usize = 2 * MASTER_KEY_LEN + 1;
/// The file's name among systemd's credentials.
const CREDENTIAL_NAME: &str = "vitalwire-master-key";
const CREDENTIALS_VARIABLE: &str = "CREDENTIALS_DIRECTORY";

/// A sealed device key: 32 bytes and the 8 of AES-KW's check.
pub(crate) const SEALED_LEN: usize = 40;
/// The registry's fingerprint of a device key.
pub(crate) const FINGERPRINT_LEN: usize = 16;

const DEVICE_LABEL: &[u8] = b"vitalwire device kek v1";
const CHECK_LABEL: &[u8] = b"vitalwire registry check kek v1";
const FINGERPRINT_LABEL: &[u8] = b"vitalwire device key fingerprint v1";
const CHECK_PLAINTEXT: &[u8; 16] = b"vitalwire check.";

/// The 64 characters that generated keys are made of: each carries exactly 6 bits, so 16 of them carry 96.
const KEY_ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Random bytes from the operating system.
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    SysRng.try_fill_bytes(&mut bytes)?;
    Ok(bytes)
}

/// A fresh device key and IV: 16 printable ASCII characters each, as the paper's key files hold them, of 64 symbols. The
/// key thus has 96 bits of entropy, and so has the IV, which is secret too.
pub(crate) fn generate_device_secret() -> Result<CbcSecret> {
    let mut key = printable()?;
    let mut iv = printable()?;
    let secret = CbcSecret::new(key, iv);
    key.zeroize();
    iv.zeroize();
    Ok(secret)
}

fn printable() -> Result<[u8; 16]> {
    let bytes: [u8; 16] = random_bytes()?;
    Ok(bytes.map(|byte| KEY_ALPHABET.get(usize::from(byte & 63)).copied().unwrap_or(b'A')))
}

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
        let in_credentials = env::var_os(CREDENTIALS_VARIABLE)
            .is_some_and(|folder| path.parent().is_some_and(|parent| parent == Path::new(&folder)));
        let privacy = if in_credentials { Privacy::SystemdCredential } else { Privacy::File };
        let mut file = File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => RegistryError::MasterKeyAbsent { path: path.to_owned() },
            _ => file_error("open", path)(error),
        })?;
        // The opened file is asked, not the name, which could be pointed elsewhere in between.
        let metadata = file.metadata().map_err(file_error("look at", path))?;
        private_file::check(path, &metadata, privacy)?;
        let mut text = Zeroizing::new([0; MASTER_KEY_FILE_LEN + 1]);
        let len = read_up_to(&mut file, text.as_mut_slice()).map_err(file_error("read", path))?;
        let text = text.get(..len).unwrap_or_default();
        Self::from_text(text).ok_or_else(|| RegistryError::MasterKeyFormat { path: path.to_owned() })
    }

    fn to_text(&self) -> Zeroizing<Vec<u8>> {
        let mut text = Zeroizing::new(Vec::with_capacity(MASTER_KEY_FILE_LEN));
        for byte in self.0.expose_secret() {
            text.push(hex_digit(byte >> 4));
            text.push(hex_digit(byte & 15));
        }
        text.push(b'\n');
        text
    }

    fn from_text(text: &[u8]) -> Option<Self> {
        let digits = text.strip_suffix(b"\n").unwrap_or(text);
        if digits.len() != 2 * MASTER_KEY_LEN {
            return None;
        }
        let mut whole = true;
        let key = SecretBox::init_with_mut(|key: &mut [u8; MASTER_KEY_LEN]| {
            let (pairs, _) = digits.as_chunks::<2>();
            for (byte, [high, low]) in key.iter_mut().zip(pairs) {
                match (hex_value(*high), hex_value(*low)) {
                    (Some(high), Some(low)) => *byte = high << 4 | low,
                    _ => whole = false,
                }
            }
        });
        whole.then_some(Self(key))
    }
}

fn read_up_to(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    loop {
        let rest = buffer.get_mut(len..).unwrap_or_default();
        match file.read(rest)? {
            0 => return Ok(len),
            read => len += read,
        }
    }
}

fn hex_digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' + value - 10 }
}

fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
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

/// Seals and opens device keys. Holds the master key only in its extracted form, which hkdf zeroizes on drop.
#[derive(Clone)]
pub(crate) struct Sealer {
    hkdf: Hkdf<Sha256>,
}

/// The bytes do not open under this key for this device.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SealBroken;

impl Sealer {
    pub(crate) fn new(master: &MasterKey) -> Self {
        Self { hkdf: Hkdf::new(None, master.0.expose_secret()) }
    }

    pub(crate) fn seal(&self, id: &DeviceId, secret: &CbcSecret) -> [u8; SEALED_LEN] {
        let plain = joined(secret);
        let mut sealed = [0; SEALED_LEN];
        self.kek(&[DEVICE_LABEL, id.as_str().as_bytes()])
            .wrap_key(plain.as_slice(), &mut sealed)
            .expect("32 bytes wrap into 40");
        sealed
    }

    pub(crate) fn open(&self, id: &DeviceId, sealed: &[u8]) -> Result<CbcSecret, SealBroken> {
        if sealed.len() != SEALED_LEN {
            return Err(SealBroken);
        }
        let mut plain = Zeroizing::new([0; 32]);
        self.kek(&[DEVICE_LABEL, id.as_str().as_bytes()])
            .unwrap_key(sealed, plain.as_mut_slice())
            .map_err(|_| SealBroken)?;
        let (halves, _) = plain.as_chunks::<16>();
        match halves {
            [key, iv] => Ok(CbcSecret::new(*key, *iv)),
            _ => Err(SealBroken),
        }
    }

    /// Equal for equal keys, and tells nothing else to whoever lacks the master key. It lets the database refuse the same
    /// key for two devices.
    pub(crate) fn fingerprint(&self, secret: &CbcSecret) -> [u8; FINGERPRINT_LEN] {
        let mut fingerprint = [0; FINGERPRINT_LEN];
        self.hkdf
            .expand_multi_info(&[FINGERPRINT_LABEL, joined(secret).as_slice()], &mut fingerprint)
            .expect("16 bytes are within HKDF's limit");
        fingerprint
    }

    /// A value that only this master key opens, to tell a wrong one at once.
    pub(crate) fn check_value(&self) -> [u8; 24] {
        let mut sealed = [0; 24];
        self.kek(&[CHECK_LABEL]).wrap_key(CHECK_PLAINTEXT, &mut sealed).expect("16 bytes wrap into 24");
        sealed
    }

    pub(crate) fn opens_check_value(&self, sealed: &[u8]) -> bool {
        sealed == self.check_value()
    }

    fn kek(&self, info: &[&[u8]]) -> KwAes256 {
        let mut kek = Zeroizing::new([0; 32]);
        self.hkdf.expand_multi_info(info, kek.as_mut_slice()).expect("32 bytes are within HKDF's limit");
        KwAes256::new(&(*kek).into())
    }
}

fn joined(secret: &CbcSecret) -> Zeroizing<[u8; 32]> {
    let mut joined = Zeroizing::new([0; 32]);
    let (key, iv) = joined.split_at_mut(16);
    key.copy_from_slice(secret.key());
    iv.copy_from_slice(secret.iv());
    joined
}

#[cfg(test)]
mod tests;
