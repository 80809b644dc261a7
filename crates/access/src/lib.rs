//! Who may see what: the names of devices and users, and roles. Every way to the data, MQTT today and others later, asks here.
//!
//! It opens no file and no socket, and reads no clock.

mod id;
mod role;

pub use id::{DeviceId, NAME_LEN_MAX, NameError, UserName};
pub use role::{Role, Scope};
