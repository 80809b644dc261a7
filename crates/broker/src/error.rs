//! Why the broker cannot start. Each message says what to do next.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the broker cannot start.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum BrokerError {
    #[error("cannot listen for {what} on {address}: {source}; {advice}", advice = bind_advice(source))]
    Bind {
        /// What would have been served there.
        what: &'static str,
        address: SocketAddr,
        source: io::Error,
    },
    #[error("broker storage {}: {cause}", path.display())]
    Storage { path: PathBuf, cause: String },
    #[error("broker storage {} is in use by another process: stop that one, or choose another data folder", path.display())]
    StorageInUse { path: PathBuf },
    #[error("cannot start the broker's storage thread: {0}")]
    Thread(#[source] io::Error),
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
