//! A registry in a folder of its own that goes with the test.

use std::path::{Path, PathBuf};

use secrecy::SecretString;
use tempfile::TempDir;
use vitalwire_access::{DeviceId, Role, Scope, UserName};
use vitalwire_protocol::CbcSecret;
use vitalwire_registry::{DATABASE_FILE, Device, DeviceKey, Link, MasterKey, Registry};

pub(crate) struct Fixture {
    folder: TempDir,
    pub(crate) master: MasterKey,
    pub(crate) registry: Registry,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let master = MasterKey::generate().unwrap();
        let registry = Registry::create(&folder.path().join("data"), &master).unwrap();
        Self { folder, master, registry }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.data().join(DATABASE_FILE)
    }

    /// Another connection, as the command line has one.
    pub(crate) fn reopen(&self) -> Registry {
        Registry::open(&self.data(), &self.master).unwrap()
    }

    /// Someone who edits the file by hand.
    pub(crate) fn tamper(&self, sql: &str) {
        let connection = rusqlite::Connection::open(self.database()).unwrap();
        connection.execute_batch(sql).unwrap();
    }
}

pub(crate) fn id(text: &str) -> DeviceId {
    text.parse().unwrap()
}

pub(crate) fn name(text: &str) -> UserName {
    text.parse().unwrap()
}

pub(crate) fn password(text: &str) -> SecretString {
    SecretString::from(text)
}

pub(crate) fn secret(key: &[u8; 16], iv: &[u8; 16]) -> CbcSecret {
    CbcSecret::new(*key, *iv)
}

/// Key and IV of a device that speaks AES-CBC frames.
pub(crate) fn secret_of(device: &Device) -> CbcSecret {
    device.cbc_secret().unwrap().clone()
}

/// The current link of a device that speaks TLS.
pub(crate) fn link_of(key: &DeviceKey) -> Link {
    key.links().unwrap().current.clone()
}

/// A secret that no other number has.
pub(crate) fn numbered(number: usize) -> CbcSecret {
    let mut key = [0; 16];
    key.copy_from_slice(format!("key{number:013}").as_bytes());
    secret(&key, b"AAAAAAAAAAAAAAAA")
}

pub(crate) fn reader(devices: &[&str]) -> Role {
    Role::Reader { devices: Scope::Named(devices.iter().map(|device| id(device)).collect()) }
}

pub(crate) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
