//! Who may see what: the names of devices and users, roles, passwords, and how fast passwords may be guessed. Every way to
//! the data, MQTT today and others later, asks here.
//!
//! It opens no file and no socket, and reads no clock and no random source: both are arguments.

mod id;
mod login_limit;
mod password;
mod role;

pub use id::{DeviceId, NAME_LEN_MAX, NameError, UserName};
pub use login_limit::{LoginLimiter, PAIR_FAILURES_MAX, Verdict};
pub use password::{
    ForeignHash, HashMemory, PASSWORD_LEN_MAX, PASSWORD_LEN_MIN, PasswordError, PasswordHash, SALT_LEN,
};
pub use role::{Role, Scope};
