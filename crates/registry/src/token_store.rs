//! Tokens in the store: adding, removing and reading them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use rusqlite::{Connection, Row};
use vitalwire_access::{Role, UserName};

use crate::audit::AuditKind;
use crate::change::Change;
use crate::error::{RegistryError, Result};
use crate::limits::{TOKEN_LASTS_MAX, TOKEN_NAME_LEN_MAX, TOKENS_MAX};
use crate::scope_store::{self, Holder};
use crate::store::Registry;
use crate::time::{from_unix_seconds, unix_seconds};
use crate::token::{ApiToken, TokenHash, TokenSecret};
use crate::user_store::{describe, role_named};

/// The tokens of a registry, by what is kept of each.
pub(crate) type Tokens = BTreeMap<TokenHash, Arc<ApiToken>>;

impl Registry {
    /// Adds a token. Devices named in its role must be enrolled. The time is for people and for its end: it says from when on it lasts.
    ///
    /// # Errors
    /// When there is one of that name, the name is too long, it would have ended already, its scope is empty or names a device that is not enrolled, or
    /// there are too many.
    pub fn add_token(
        &self,
        name: &UserName,
        role: &Role,
        secret: &TokenSecret,
        lasts: Range<SystemTime>,
    ) -> Result<()> {
        self.change(|change| {
            change.add_token(name, role, secret, &lasts)?;
            let until = unix_seconds(lasts.end);
            let detail = format!("{}, until {until} s since 1970", describe(role));
            change.record(AuditKind::TokenAdded, name.as_str(), &detail)
        })
    }

    /// Whether [`Registry::add_token`] would succeed now. Changes nothing.
    ///
    /// # Errors
    /// As [`Registry::add_token`].
    pub fn check_new_token(&self, name: &UserName, role: &Role, lasts: &Range<SystemTime>) -> Result<()> {
        let secret = TokenSecret::generate()?;
        self.rehearse(|change| change.add_token(name, role, &secret, lasts))
    }

    /// Removes a token: it opens nothing any more.
    ///
    /// # Errors
    /// When there is no such token.
    pub fn remove_token(&self, name: &UserName) -> Result<()> {
        self.change(|change| {
            change.transaction.execute("DELETE FROM token_devices WHERE token = ?1", [name.as_str()])?;
            let removed =
                change.transaction.execute("DELETE FROM tokens WHERE name = ?1", [name.as_str()])?;
            if removed == 0 {
                return Err(RegistryError::TokenUnknown(name.clone()));
            }
            change.record(AuditKind::TokenRemoved, name.as_str(), "")
        })
    }

    /// All tokens, by name; also those that have ended. A row that makes no sense is left out.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn tokens(&self) -> Result<Vec<ApiToken>> {
        let mut tokens: Vec<_> =
            read_tokens(&self.connection)?.into_values().map(Arc::unwrap_or_clone).collect();
        tokens.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(tokens)
    }
}

impl Change<'_> {
    fn add_token(
        &self,
        name: &UserName,
        role: &Role,
        secret: &TokenSecret,
        lasts: &Range<SystemTime>,
    ) -> Result<()> {
        let len = name.as_str().len();
        if len > TOKEN_NAME_LEN_MAX {
            return Err(RegistryError::TextTooLong {
                what: "name of a token",
                len,
                limit: TOKEN_NAME_LEN_MAX,
            });
        }
        let (created_at, ends_at) = (unix_seconds(lasts.start), unix_seconds(lasts.end));
        if ends_at <= created_at {
            return Err(RegistryError::TokenEnded(name.clone()));
        }
        if !is_an_end(created_at, ends_at) {
            return Err(RegistryError::TokenTooLong(name.clone()));
        }
        let devices = scope_store::named(name, role)?;
        let added = self.transaction.execute(
            "INSERT INTO tokens (name, role, all_devices, hash, created_at, ends_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (name) DO NOTHING",
            (name.as_str(), role.name(), devices.is_none(), secret.hash().bytes(), created_at, ends_at),
        )?;
        if added == 0 {
            return Err(RegistryError::TokenExists(name.clone()));
        }
        let count: i64 = self.transaction.query_row("SELECT count(*) FROM tokens", [], |row| row.get(0))?;
        if usize::try_from(count).is_ok_and(|count| count > TOKENS_MAX) {
            return Err(RegistryError::TokensFull { limit: TOKENS_MAX });
        }
        scope_store::put(&self.transaction, Holder::Token, name, devices)
    }
}

/// All that make sense.
pub(crate) fn read_tokens(connection: &Connection) -> Result<Tokens> {
    let mut statement =
        connection.prepare_cached("SELECT name, role, all_devices, hash, created_at, ends_at FROM tokens")?;
    let mut rows = statement.query([])?;
    let mut tokens = Tokens::new();
    while let Some(row) = rows.next()? {
        match read_token(connection, row)? {
            Some((hash, token)) => drop(tokens.insert(hash, Arc::new(token))),
            None => {
                let name = row.get_ref(0)?.as_str().unwrap_or_default();
                tracing::error!(name, "token left out: its row makes no sense; remove it");
            }
        }
    }
    Ok(tokens)
}

fn read_token(connection: &Connection, row: &Row<'_>) -> Result<Option<(TokenHash, ApiToken)>> {
    let Ok(name) = row.get_ref(0)?.as_str().unwrap_or_default().parse::<UserName>() else { return Ok(None) };
    let devices = scope_store::read(connection, Holder::Token, &name, row.get(2)?)?;
    let Some(role) = role_named(row.get_ref(1)?.as_str().unwrap_or_default(), devices) else {
        return Ok(None);
    };
    let Some(hash) = TokenHash::from_bytes(row.get_ref(3)?.as_blob().unwrap_or_default()) else {
        return Ok(None);
    };
    let (created_at, ends_at) = (row.get(4)?, row.get(5)?);
    if !is_an_end(created_at, ends_at) {
        return Ok(None);
    }
    let (created_at, ends_at) = (from_unix_seconds(created_at), from_unix_seconds(ends_at));
    Ok(Some((hash, ApiToken { name, role, created_at, ends_at })))
}

/// Whether a token may last from one Unix second to another.
fn is_an_end(created_at: i64, ends_at: i64) -> bool {
    let lasts = ends_at.checked_sub(created_at).and_then(|lasts| u64::try_from(lasts).ok());
    created_at >= 0 && lasts.is_some_and(|lasts| lasts <= TOKEN_LASTS_MAX.as_secs())
}
