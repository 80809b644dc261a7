//! Users: their role, their scope and the hash of their password. It never keeps a password.

use vitalwire_access::{PasswordHash, Role, UserName};

/// A user as the registry knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name to log in with.
    pub name: UserName,
    /// What it may do.
    pub role: Role,
    /// The password's hash.
    pub password_hash: PasswordHash,
}
