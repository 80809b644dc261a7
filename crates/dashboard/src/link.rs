//! Links that log in once, made beside the server: by the command line, while it runs or before it starts.

use std::path::Path;
use std::time::Duration;

use vitalwire_registry::User;
use zeroize::Zeroizing;

use crate::session::{StoreError, Token, keep_link, token};
use crate::time::now_ms;

/// A link that no one can use yet.
pub struct LoginLink(Token);

impl LoginLink {
    /// One that no one can guess.
    #[must_use]
    pub fn generate() -> Self {
        Self(token())
    }

    /// Its address; whoever has it is that user, once it is kept. `page` is where browsers find the dashboard, without a path.
    #[must_use]
    pub fn at(&self, page: &str) -> Zeroizing<String> {
        address(page, &self.0)
    }

    /// Keeps it in the data folder: from now on it logs this user in, once and in this time, unless the user gets another password.
    ///
    /// # Errors
    /// When the file of sessions cannot be written.
    pub fn keep(&self, data: &Path, user: &User, lasts: Duration) -> Result<(), StoreError> {
        keep_link(data, &self.0, user, lasts, now_ms())
    }
}

/// Behind `#` the token goes to no server, log or proxy.
pub(crate) fn address(page: &str, token: &Token) -> Zeroizing<String> {
    Zeroizing::new(format!("{}/#link={}", page.trim_end_matches('/'), **token))
}
