//! Who may see what: the names of devices and users, roles and their topics, passwords and how fast they may be guessed, whose address it is
//! behind a proxy, which networks are meant, and from which web sites browsers may come. Every way to the data, MQTT today and others
//! later, asks here.
//!
//! It opens no file and no socket, and reads no clock and no random source: both are arguments.

pub mod acl;
mod id;
mod login_limit;
mod network;
mod origin;
mod password;
mod proxy;
mod role;

pub use id::{DeviceId, NAME_LEN_MAX, NameError, UserName};
pub use login_limit::{LoginLimiter, PAIR_FAILURES_MAX, Verdict, Way};
pub use network::{Network, NetworkError, Networks};
pub use origin::{Origin, OriginError, Origins};
pub use password::{
    ForeignHash, HashMemory, PASSWORD_LEN_MAX, PASSWORD_LEN_MIN, PasswordError, PasswordHash, SALT_LEN,
};
pub use proxy::{PROXY_PREFIX_LEN, PROXY_REST_LEN_MAX, Proxies, ProxyError, ProxyPrefix};
pub use role::{Role, Scope};
