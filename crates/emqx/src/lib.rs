//! EMQX 5.8.9, the last release under an open-source licence, as a broker for Vitalwire: the texts of its files ([`config()`],
//! [`acl()`], [`bootstrap()`], [`api_keys()`]), the [`Accounts`] that they are made of, and the plan by which a running EMQX
//! is brought up to date ([`Sync`]).
//!
//! Each key was looked up in the schema of the tag `v5.8.9` of EMQX's repository, in the modules that [`config()`] names; nothing of
//! it is copied. No clock, no random source, no file and no socket here: what is random is an argument, and [`Sync`] says what
//! to ask and is told what was answered.
//!
//! Below EMQX's root `/opt/emqx`, whose user is 1000, belong:
//!
//! | file | what | when EMQX reads it |
//! | --- | --- | --- |
//! | `etc/emqx.conf` | [`config()`] | at each start |
//! | [`Settings::folder`]`/`[`CERTIFICATE_FILE`], [`KEY_FILE`], [`CA_FILE`] | certificate of the broker and of its dashboard | at each start |
//! | [`Settings::folder`]`/`[`USERS_FILE`] | [`bootstrap()`] | at each start; users that it has already it leaves as they are |
//! | [`Settings::folder`]`/`[`API_KEYS_FILE`] | [`api_keys()`] | at each start; keys that it has already it replaces |
//! | [`ACL_FILE`] | [`acl()`] | at each start; what its REST API is given as rules it writes there |
//!
//! The image's entry point gives the node a name of the container's address, and that wins over `node.name`: set
//! `EMQX_NODE__NAME` to [`Settings::node`], for EMQX keeps its data under that name.

mod accounts;
mod acl;
mod bootstrap;
mod config;
mod retry;
mod sync;
mod text;
mod user;

pub use accounts::{Account, Accounts, AccountsError};
pub use acl::acl;
pub use bootstrap::{ApiKey, api_keys, bootstrap};
pub use config::{
    ACL_FILE, API_KEYS_FILE, CA_FILE, CERTIFICATE_FILE, KEY_FILE, ROOT, Settings, USERS_FILE, config,
};
pub use retry::{Failure, Retry};
pub use sync::{Change, Method, Outcome, Request, Sync, SyncError};
pub use text::Unwritable;
pub use user::{HASH_ROUNDS, Role, SALT_LEN, User, Verifier};
