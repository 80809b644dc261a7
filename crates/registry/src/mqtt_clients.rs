//! Who owns an MQTT client id. A broker keeps a session (subscriptions, missed messages) under a client id, so whoever
//! may use the id may read them: the first user of an id owns it. Claims never change the directory or its version.

use crate::error::{RegistryError, Result};
use crate::id::UserName;
use crate::store::Registry;
use crate::user_store::user_exists;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

/// The most client ids one user owns. A claim over it frees the id that was claimed longest ago.
pub const CLIENT_IDS_PER_USER_MAX: u32 = 1_000;
/// The longest client id, in bytes (MQTT 5 §3.1.3.1 obliges a server to take 23).
pub const CLIENT_ID_LEN_MAX: usize = 256;

/// The answer to a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum ClientIdClaim {
    /// The id is the user's.
    Granted {
        /// An id the user owned and lost to make room. Its session must be dropped before somebody else claims the id.
        evicted: Option<String>,
    },
    /// The id is another user's; the connection must be refused.
    OwnedByOther,
}

impl Registry {
    /// Claims a client id for a user, who keeps it until the user is removed or has claimed
    /// [`CLIENT_IDS_PER_USER_MAX`] newer ones. One durable write.
    ///
    /// # Errors
    /// When the id is too long, or there is no such user (any more).
    pub fn claim_client_id(&self, client_id: &str, user: &UserName) -> Result<ClientIdClaim> {
        if client_id.len() > CLIENT_ID_LEN_MAX {
            return Err(RegistryError::ClientIdTooLong { len: client_id.len(), limit: CLIENT_ID_LEN_MAX });
        }
        let transaction = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
        if !user_exists(&transaction, user)? {
            return Err(RegistryError::UserUnknown(user.clone()));
        }
        let claimed = transaction
            .prepare_cached(
                "INSERT INTO mqtt_clients (client_id, user, last_used)
                 VALUES (?1, ?2, (SELECT coalesce(max(last_used), 0) + 1 FROM mqtt_clients WHERE user = ?2))
                 ON CONFLICT (client_id) DO UPDATE SET last_used = excluded.last_used WHERE user = ?2",
            )?
            .execute((client_id, user.as_str()))?;
        if claimed == 0 {
            return Ok(ClientIdClaim::OwnedByOther);
        }
        let evicted = evict_oldest(&transaction, user)?;
        transaction.commit()?;
        Ok(ClientIdClaim::Granted { evicted })
    }
}

/// Frees the oldest id of a user who has one too many. Each claim adds at most one, so one is enough.
fn evict_oldest(connection: &Connection, user: &UserName) -> Result<Option<String>> {
    let mut statement = connection.prepare_cached(
        "DELETE FROM mqtt_clients WHERE client_id =
             (SELECT client_id FROM mqtt_clients WHERE user = ?1 ORDER BY last_used LIMIT 1)
             AND (SELECT count(*) FROM mqtt_clients WHERE user = ?1) > ?2
         RETURNING client_id",
    )?;
    Ok(statement.query_row((user.as_str(), CLIENT_IDS_PER_USER_MAX), |row| row.get(0)).optional()?)
}
