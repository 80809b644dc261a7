//! Why the broker cannot start. Each message says what to do next.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the broker cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// An address cannot be listened on.
    #[error("cannot listen for {what} on {address}: {source}; {advice}", advice = bind_advice(source))]
    Bind {
        /// What would have been served there.
        what: &'static str,
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The storage file cannot be used.
    #[error("broker storage {}: {cause}", path.display())]
    Storage {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// Another process has the storage file open.
    #[error("broker storage {} is in use by another process: stop that one, or choose another data folder", path.display())]
    StorageInUse {
        /// The file.
        path: PathBuf,
    },
    /// The storage thread cannot be started.
    #[error("cannot start the broker's storage thread: {0}")]
    Thread(#[source] io::Error),
    /// Certificate or key.
    #[error(transparent)]
    Tls(#[from] crate::tls::TlsError),
}

/// What to do about an address that cannot be listened on.
#[must_use]
pub fn bind_advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program, or another data folder's server, listens there: stop it, or choose another port \
             (`vitalwire doctor` says which it is)"
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need a privilege: choose a port above, or grant CAP_NET_BIND_SERVICE"
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine does not have that address: choose one it has, or 0.0.0.0 for all"
        }
        _ => "choose another address",
    }
}
