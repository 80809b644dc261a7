//! The dashboard's certificate: loaded at the start, and again when its files are others. It opens no socket.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vitalwire_broker::{TlsAcceptor, TlsError, TlsIdentity};

/// See the module.
pub(crate) struct Certificate {
    identity: TlsIdentity,
    loaded: Mutex<Loaded>,
}

struct Loaded {
    acceptor: TlsAcceptor,
    names: Arc<[String]>,
    /// Of the files that were last tried.
    stamps: Stamps,
}

/// Which file it is, when it was changed and how long it is: of certificate and key.
type Stamps = [Option<(u64, i64, i64, u64)>; 2];

fn stamp(path: &Path) -> Option<(u64, i64, i64, u64)> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.ino(), found.mtime(), found.mtime_nsec(), found.len()))
}

impl Certificate {
    /// Loads it.
    ///
    /// # Errors
    /// When a file cannot be read, or the two do not belong together.
    pub(crate) fn load(identity: TlsIdentity) -> Result<Self, TlsError> {
        let stamps = stamps(&identity);
        let (acceptor, names) = (TlsAcceptor::new(&identity)?, identity.names()?.into());
        Ok(Self { identity, loaded: Mutex::new(Loaded { acceptor, names, stamps }) })
    }

    /// What does the handshakes from now on.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.loaded().acceptor.clone()
    }

    /// The names that it is for.
    pub(crate) fn names(&self) -> Arc<[String]> {
        Arc::clone(&self.loaded().names)
    }

    /// Loads it again when its files are others than those that were last tried. Whether it did. It reads the disk.
    ///
    /// # Errors
    /// As [`Certificate::load`]; then the one before stays, and is not tried again until the files change.
    pub(crate) fn reload(&self) -> Result<bool, TlsError> {
        let stamps = stamps(&self.identity);
        if std::mem::replace(&mut self.loaded().stamps, stamps) == stamps {
            return Ok(false);
        }
        let (acceptor, names) = (TlsAcceptor::new(&self.identity)?, self.identity.names()?.into());
        *self.loaded() = Loaded { acceptor, names, stamps };
        Ok(true)
    }

    fn loaded(&self) -> MutexGuard<'_, Loaded> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stamps(identity: &TlsIdentity) -> Stamps {
    [stamp(&identity.certificate), stamp(&identity.key)]
}

#[cfg(test)]
mod tests {
    use vitalwire_broker::generate_self_signed;

    use super::*;

    #[test]
    fn a_renewed_certificate_is_taken_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str| generate_self_signed(folder.path(), &[name.to_owned()]).unwrap();
        let identity = make("one.example");
        let certificate = Certificate::load(identity.clone()).unwrap();
        assert_eq!(*certificate.names(), ["one.example"]);
        assert!(!certificate.reload().unwrap(), "nothing changed");
        make("two.example");
        assert!(certificate.reload().unwrap());
        assert_eq!(*certificate.names(), ["two.example"]);
        // A renewal that is half done.
        std::fs::write(&identity.key, "half").unwrap();
        assert!(certificate.reload().is_err());
        assert!(!certificate.reload().unwrap(), "told once");
        assert_eq!(*certificate.names(), ["two.example"]);
        make("three.example");
        assert!(certificate.reload().unwrap());
        assert_eq!(*certificate.names(), ["three.example"]);
    }
}
